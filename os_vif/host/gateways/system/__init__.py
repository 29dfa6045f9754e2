# SPDX-License-Identifier: Apache-2.0
"""Look at gateways, and change them."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from os_vif.engine.family import Phase, Search, System
from os_vif.engine.observed import Asked, Host, Question
from os_vif.engine.plugged import Part, Plugged
from os_vif.engine.topology import parse_mark
from os_vif.host.gateways.questions import (
    MUTE,
    NETWORKS,
    ROUTING,
    TABLES,
    Routing,
    Served,
    Taken,
    noted_on,
    row_of,
)
from os_vif.host.gateways.steps import (
    former,
    gateway_of,
    is_only_left,
    leaving,
    users_after,
    ways_of,
)
from os_vif.host.gateways.system import serving, tables
from os_vif.host.routes.questions import ADDRESSES
from os_vif.host.routes.system import addresses, participation

if TYPE_CHECKING:
    from os_vif.engine.look import Row
    from os_vif.engine.place import Place
    from os_vif.engine.step import Args, Step


# --- looking --------------------------------------------------------------------------------------


def _look(
    asked: Mapping[Question[Any, Any], set[Any]], host: Host, _place: Place
) -> Iterable[Asked]:
    for bridge, ipv6, versions in asked.get(ROUTING, ()):
        served = host[TABLES].get(bridge)
        noted = [it.path for it in served.settings] if served is not None else []
        settings = serving.routing(bridge, ways_of(host), ipv6=ipv6, versions=versions, noted=noted)
        before = host[ROUTING].get(bridge)
        more = before.settings if before is not None else {}
        host[ROUTING][bridge] = Routing({**more, **settings}, serving.is_writable())
    for version in asked.get(MUTE, ()):
        host[MUTE][version] = tuple(_mute(version))
    taken: dict[int, list[Taken]] = {}
    for bridge, text in sorted(asked.get(NETWORKS, ())):
        network = ipaddress.ip_network(text)
        there = [ipaddress.ip_interface(it.local) for it in host[ADDRESSES].get(bridge, ())]
        if any(it.network == network for it in there):
            continue
        version = network.version
        if version not in taken:
            taken[version] = [Taken(*it) for it in addresses.networks(ipv6=version == 6)]
        host[NETWORKS][text] = tuple(it for it in taken[version] if it.overlaps(network))
    return ()


def _mute(version: int) -> Iterator[Taken]:
    forwarding: dict[str, bool] = {}
    for taken in (Taken(*it) for it in addresses.networks(ipv6=version == 6)):
        device = taken.device
        if device not in ("", "lo"):
            if device not in forwarding:
                forwarding[device] = serving.forwards(device, version)
            if not forwarding[device]:
                yield taken


def _reveal(bridges: list[Any]) -> list[Row]:
    served = tables.read().served
    return [[bridge, row_of(served[bridge]) if bridge in served else None] for bridge in bridges]


def _find(search: Search) -> Iterator[Part]:
    if not search.privileged:
        return
    for served in tables.read().ours.values():
        for text in served.users:
            mark = parse_mark(text)
            if mark is not None:
                yield Part(mark.vif_id, "gateways", served, mark)


def _remove(plugged: Plugged, phase: Phase) -> list[Step]:
    if phase is not Phase.LAST:
        return []
    # Who has no privilege sees no tables, and the device tells of one.
    bridges = [bridge for link in plugged["links"] for bridge in noted_on(link.alias)]
    bridges += [served.bridge for served in plugged["gateways"]]
    return [leaving(bridge, plugged.mark.vif_id) for bridge in dict.fromkeys(bridges)]


# --- doing ----------------------------------------------------------------------------------------


def _set(args: Args) -> Args | None:
    """Return the step that brings back what was there, which only this side could see.

    None where that is the same one, and there was something to do.
    """

    def change(have: Served) -> Served:
        users = users_after(have, args)
        if is_only_left(args):
            return dataclasses.replace(have, users=users)
        wanted = gateway_of(args)
        return dataclasses.replace(have, users=users, addresses=wanted.addresses, nat=wanted.nat)

    was, done = serving.become(args["bridge"], change)
    back = former(args["vif"], args["bridge"], was).args
    return None if done and back == args else back


def _leave(args: Args) -> Args:
    before: Args | None = None
    by_bridge: dict[str, list[str]] = {}
    for bridge, vif in args["users"]:
        by_bridge.setdefault(bridge, []).append(vif)
    for bridge, vifs in by_bridge.items():
        was = serving.leave(bridge, vifs)
        if was is not None and any(was.user(vif) for vif in vifs):
            # Only one by itself is ever taken back.
            before = former(vifs[0], bridge, was).args
    return before if before is not None else args


def _refuses(args: Args, _section: str) -> str:
    """Say why another process may not have a gateway: only of a bridge's guests it is one."""
    bridge = args["bridge"]
    return "" if participation.is_bridge(bridge) else f"{bridge} is no bridge"


REFUSES: Mapping[str, Callable[[Args, str], str]] = {"set_gateway": _refuses}
"""Why a kind of step is not run for another process."""

SYSTEM = System(
    look=_look,
    reveal={TABLES.name: _reveal},
    run={"set_gateway": _set, "leave_gateways": _leave},
    refuses=REFUSES,
    find=_find,
    remove=_remove,
)
