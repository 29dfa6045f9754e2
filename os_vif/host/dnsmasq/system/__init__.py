# SPDX-License-Identifier: Apache-2.0
"""How the servers on bridges are looked at and changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.engine import dispatch
from os_vif.engine.checks import interface_name
from os_vif.engine.family import Abandoned, Phase, Search, System
from os_vif.engine.place import AS_ROOT
from os_vif.engine.plugged import Part, Plugged
from os_vif.engine.topology import parse_mark
from os_vif.host.dnsmasq import options
from os_vif.host.dnsmasq.questions import SERVERS, Guest, Server, noted
from os_vif.host.dnsmasq.resources import Reservation
from os_vif.host.dnsmasq.steps import reserved_by, reserving, served_by, stopping
from os_vif.host.dnsmasq.system import folders, servers
from os_vif.host.links.questions import is_shared
from os_vif.host.links.system import devices
from os_vif.system import trust

if TYPE_CHECKING:
    from os_vif.engine.step import Args, Step


def _reveal(bridges: list[Any]) -> list[list[Any]]:
    found = []
    for bridge in map(interface_name, bridges):
        # Of those that this process may not look at nothing is said.
        with contextlib.suppress(PermissionError):
            found.append([bridge, servers.look(bridge)])
    return found


# --- running steps --------------------------------------------------------------------------------


def _start(args: Args) -> Args | None:
    return None if servers.start(served_by(args)) else args


def _stop(args: Args) -> Args | None:
    return None if servers.stop(args["bridge"]) else args


def _reserve(args: Args) -> Args:
    former = servers.reserve(args["bridge"], args["vif"], reserved_by(args))
    return reserving(args["bridge"], args["vif"], former).args


def _refuses(args: Args, _section: str) -> str:
    """Say why a bridge is not served for another process: it is none of ours."""
    link = devices.look_up([args["bridge"]])[args["bridge"]]
    return "" if link is None or is_shared(link.alias) else f"{link.name} is no bridge of ours"


REFUSES: Mapping[str, Callable[[Args, str], str]] = {
    "start_dnsmasq": _refuses,
    "set_reservation": lambda args, section: _refuses(args, section) if args["mark"] else "",
}
"""Why a kind of step is not run for another process."""


# --- what the host holds of VIFs ------------------------------------------------------------------


def _find(_search: Search) -> Iterator[Part]:
    try:
        bridges = folders.bridges()
    except PermissionError:
        return
    answers: dict[str, Server] = {}
    for bridge in bridges:
        # What another container has is no reason to tell nothing of all others.
        with contextlib.suppress(ProcessLookupError):
            SERVERS.take(answers, _reveal([bridge]))
    for bridge, server in answers.items():
        for vif, it in server.reserved.items():
            kept = Reservation(bridge=bridge, mac=it.mac, addresses=it.addresses, name=it.name)
            yield Part(vif, "reservations", Guest(kept, server), parse_mark(it.mark))


def _remove(plugged: Plugged, phase: Phase) -> Sequence[Step]:
    if phase is not Phase.AHEAD:
        return ()
    bridges = [guest.reservation.bridge for guest in plugged["reservations"]]
    # Who has no privilege sees no reservations, and the device tells of one.
    bridges += [bridge for link in plugged["links"] for bridge in noted(link.alias)]
    return [
        step
        for bridge in dict.fromkeys(bridges)
        for step in (reserving(bridge, plugged.mark.vif_id, None), stopping(bridge))
    ]


def _abandoned() -> Sequence[Abandoned]:
    """Return the servers that no VIF uses: a process was killed before it could say for whom."""
    if not dispatch.is_privileged(AS_ROOT):
        return ()
    found = []
    for bridge in folders.bridges():
        with folders.found(bridge) as folder:
            if folder is not None and not folders.reserved(folder):
                found.append(Abandoned(bridge, (stopping(bridge),), AS_ROOT))
    return found


def _admit() -> None:
    trust.need_trusted_options(options.GROUP, options.OPTS)


SYSTEM = System(
    reveal={SERVERS.name: _reveal},
    run={"start_dnsmasq": _start, "stop_dnsmasq": _stop, "set_reservation": _reserve},
    refuses=REFUSES,
    find=_find,
    remove=_remove,
    abandoned=_abandoned,
    admit=_admit,
)
