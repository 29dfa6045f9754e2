# SPDX-License-Identifier: Apache-2.0
"""How vhost-user sockets, and what serves them, are looked at and changed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.engine import dispatch
from os_vif.engine.checks import interface_name
from os_vif.engine.family import Abandoned, Phase, System
from os_vif.engine.observed import Host, Question
from os_vif.engine.place import AS_ROOT, Place
from os_vif.engine.step import Args, Step
from os_vif.engine.topology import parse_mark
from os_vif.host.links.system import devices as links
from os_vif.host.vhost_user import options as fast_path_options
from os_vif.host.vhost_user.questions import BACK_ENDS, SOCKETS, is_served_tap
from os_vif.host.vhost_user.rules import deleting, stopping
from os_vif.host.vhost_user.steps import stop_back_end
from os_vif.host.vhost_user.system import back_ends, fp_vdev, testpmd
from os_vif.system import trust

if TYPE_CHECKING:
    from os_vif.engine.plugged import Plugged

# --- looking --------------------------------------------------------------------------------------


def _look(asked: Mapping[Question[Any, Any], set[Any]], host: Host, _place: Place) -> tuple[()]:
    for path, user, guest_listens in asked.get(SOCKETS, ()):
        state = back_ends.look_at_socket(path, user, guest_listens=guest_listens)
        if state is not None:
            host[SOCKETS][path] = state
    return ()


def _back_ends(asked: list[Any]) -> list[Any]:
    """Return the processes of taps, each with the fields of its state, or None for none.

    Of those that this process may not look at nothing is said: CAP_NET_ADMIN alone does not open
    root's folders.
    """
    found: list[Any] = []
    for device in map(interface_name, asked):
        with contextlib.suppress(PermissionError):
            state = back_ends.look(device)
            found.append([device, None if state is None else dataclasses.asdict(state)])
    return found


# --- running steps --------------------------------------------------------------------------------


def _start_back_end(args: Args) -> Args | None:
    done = back_ends.start(args["name"], args["path"], listens=args["listens"], mac=args["mac"])
    if done is back_ends.Done.HANDED_OVER:
        # It ran before, and so it does whatever becomes of the rest: this ends none that has a tap.
        return stop_back_end(args["name"], abandoned=True).args
    return args if done is back_ends.Done.NOTHING else None


# --- what the host holds of VIFs ------------------------------------------------------------------


def _remove(plugged: Plugged, phase: Phase) -> Sequence[Step]:
    if phase is not Phase.AHEAD:
        return ()
    # A process has its tap open, and what a fast path made it deletes itself.
    return [step for link in plugged["links"] for step in (*stopping(link), *deleting(link))]


def _abandoned() -> Sequence[Abandoned]:
    """Return the processes that serve a tap which somebody deleted; root alone sees them.

    A tap is made before its process.
    """
    if not dispatch.is_privileged(AS_ROOT):
        return ()
    serving = testpmd.devices()
    there = links.look_up(serving) if serving else {}
    return [
        Abandoned(name, (stop_back_end(name, abandoned=True),), AS_ROOT, told=True)
        for name in serving
        if there[name] is None
    ]


def _refuses_start(args: Args, _section: str) -> str:
    """Say why a process is not started for another: its tap is none of a VIF's."""
    link = links.look_up([args["name"]])[args["name"]]
    if link is None or (link.kind == "tap" and parse_mark(link.alias) is not None):
        return ""
    return f"{link.name} is no tap of a VIF"


def _admit() -> None:
    fast_path_options.here()
    trust.need_trusted_options(fast_path_options.GROUP, fast_path_options.OPTS)


SYSTEM = System(
    look=_look,
    reveal={BACK_ENDS.name: _back_ends},
    run={
        "add_fp_device": lambda args: fp_vdev.add(**args),
        "del_fp_device": lambda args: None if fp_vdev.delete(**args) else args,
        "start_back_end": _start_back_end,
        "stop_back_end": lambda args: None if back_ends.stop(**args) else args,
    },
    run_as_caller={
        "expect_socket": lambda args: back_ends.expect(
            args["path"], args["user"], listens=args["listens"]
        ),
    },
    refuses={"start_back_end": _refuses_start},
    remove=_remove,
    abandoned=_abandoned,
    admit=_admit,
    serves=lambda item: [link.name for link in item["links"] if is_served_tap(link)],
)
