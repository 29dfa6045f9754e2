# SPDX-License-Identifier: Apache-2.0
"""Run steps, and take back those of a group that failed: the privileged side of the boundary.

What comes in is plain data from a process that may be anybody, so each step is checked against
the table again before the first one runs.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from os_vif.host import steps
from os_vif.host.backends import (
    addresses,
    altnames,
    fast_path,
    fp_vdev,
    iptables,
    links,
    netlink,
    pci_drivers,
    port_profile,
    stacking,
    taps,
    vdp,
    vfs,
)
from os_vif.host.fast_path_steps import stop_back_end
from os_vif.host.observed import Link
from os_vif.host.profiles import Vsi
from os_vif.host.step import Args, Step

Plain = list[Any]
"""``[[kind, args, undo kind or None, undo args or None], ...]``: one group of steps."""

Report = dict[str, Any]
"""What became of a group: ``error`` (None, or ``step``, ``errno``, ``reason`` and ``left``, what
could not be taken back), ``unchanged``, the positions of steps that found all done, and ``seen``,
the attributes a step was to set as the kernel showed them right after it, by device."""


def _create_link(args: Args) -> Link:
    if args["kind"] == "tap":
        return taps.create(args["name"], args["attributes"])
    if args["kind"] == "macvtap":
        return stacking.create_macvtap(args["name"], args["attributes"])
    return links.create(args["name"], args["kind"], args["attributes"])


def _set_forwarding(args: Args) -> Args:
    """Return the step that brings back what was there, which only this side could see."""
    former = iptables.replace(
        args["comment"],
        args["rules"],
        ipv6=args["ipv6"],
        top_regex=args["top_regex"],
        bottom_regex=args["bottom_regex"],
    )
    return {**args, "rules": [list(rule) for rule in former]}


def _on_vsi(act: Callable[..., bool]) -> Callable[[Args], Args | None]:
    """Return the handler for ``act``, which tells whether anything was to be done."""
    return lambda args: None if act(**{**args, "vsi": Vsi(**args["vsi"])}) else args


def _start_back_end(args: Args) -> Args | None:
    done = fast_path.start(args["name"], args["path"], listens=args["listens"], mac=args["mac"])
    if done is fast_path.Done.HANDED_OVER:
        # It ran before, and so it does whatever becomes of the rest: this ends none that has a tap.
        return stop_back_end(args["name"], abandoned=True).args
    return args if done is fast_path.Done.NOTHING else None


HANDLERS: Mapping[str, Callable[[Args], Args | Link | None]] = {
    "create_link": _create_link,
    "set_link": lambda args: links.change(args["name"], args["attributes"]),
    "rename_link": lambda args: links.rename(**args),
    "delete_links": lambda args: links.delete([(name, index) for name, index in args["links"]]),
    "delete_unused": lambda args: stacking.delete_unused(args["name"]),
    "add_address": lambda args: addresses.add(args["device"], args["address"]),
    "delete_address": lambda args: addresses.delete(args["device"], args["address"]),
    "add_route": lambda args: addresses.add_route(args["device"], args["route"]),
    "delete_route": lambda args: addresses.delete_route(args["device"], args["route"]),
    "add_proxy": lambda args: addresses.add_proxy(args["device"], args["address"]),
    "delete_proxy": lambda args: addresses.delete_proxy(args["device"], args["address"]),
    "set_forwarding": _set_forwarding,
    "mark_function": lambda args: None if altnames.add(**args) else args,
    "unmark_function": lambda args: None if altnames.remove(**args) else args,
    "set_vf": lambda args: vfs.change(args["device"], args["vf"], args["settings"]),
    "bind_driver": lambda args: pci_drivers.bind(**args),
    "associate_vsi": _on_vsi(vdp.associate),
    "disassociate_vsi": _on_vsi(vdp.disassociate),
    "set_port_profile": lambda args: port_profile.set_profile(**args),
    "add_fp_device": lambda args: fp_vdev.add(**args),
    "del_fp_device": lambda args: None if fp_vdev.delete(**args) else args,
    "start_back_end": _start_back_end,
    "stop_back_end": lambda args: None if fast_path.stop(**args) else args,
    "clear_port_profile": lambda args: None if port_profile.clear_profile(**args) else args,
}
"""What runs each kind of step.  It may return the device as it is then, or the fields of the
step that takes it back, where only this side could see what was there."""

CALLERS_HANDLERS: Mapping[str, Callable[[Args], None]] = {
    "expect_socket": lambda args: fast_path.expect(
        args["path"], args["user"], listens=args["listens"]
    ),
}
"""The same for steps that the caller's own process runs, and no daemon."""

Group = list[tuple[Step, Step | None]]
"""Steps in order, each with the one that takes it back."""


def run_plain(groups: Sequence[Plain], section: str, *, together: bool) -> list[Report]:
    """Check plain data that came from another process, and run it; see :func:`run`.

    :param section: the configuration section of the daemon that this is
    :raises InvalidField: a step is not one of the table's for this daemon; nothing was run.
    """
    checked: list[Group] = [
        [
            (
                steps.checked(kind, args, section),
                steps.checked(undo_kind, undo_args, section) if undo_kind is not None else None,
            )
            for kind, args, undo_kind, undo_args in group
        ]
        for group in groups
    ]
    return run(checked, together=together)


def run(groups: Sequence[Group], *, together: bool) -> list[Report]:
    """Run groups of steps one after another; a failed group is taken back, the others go on.

    :param together: one group's failure takes back all, and those behind it do not run.
    """
    with netlink.session():
        return _run_groups(groups, together=together)


def run_as_caller(groups: Sequence[Group]) -> list[Report]:
    """Run groups of steps that need no privilege; those of a failed one have nothing to take back.

    :returns: as :func:`run`.
    """
    reports: list[Report] = []
    for group in groups:
        failure = None
        for step, _undo in group:
            try:
                CALLERS_HANDLERS[step.kind](step.args)
            except OSError as error:
                failure = _failure(step, error, [])
                break
        reports.append({"error": failure, "unchanged": [], "seen": {}})
    return reports


def _run_groups(groups: Sequence[Group], *, together: bool) -> list[Report]:
    reports: list[Report] = []
    finished: Group = []
    for group in groups:
        done: Group = []
        report = _run_group(group, done)
        reports.append(report)
        if report["error"] and together:
            report["error"]["left"] += _undo(finished)
            break
        finished += done
    return reports


def _run_group(group: Group, done: Group) -> Report:
    unchanged: list[int] = []
    seen: dict[str, Any] = {}
    for position, (step, planned_undo) in enumerate(group):
        undo = planned_undo
        try:
            found = HANDLERS[step.kind](step.args)
        except BaseException as error:
            if steps.KINDS[step.kind].partial:
                done.append((step, undo))
            left = _undo(done)
            if not isinstance(error, OSError):  # interrupted, or a mistake of ours
                raise
            return {"error": _failure(step, error, left), "unchanged": [], "seen": {}}
        if isinstance(found, Link):
            seen[found.name] = _shown(found, step)
        elif found is not None:
            if found == step.args:
                unchanged.append(position)
                undo = None
            elif undo:
                undo = Step(undo.kind, found)
        done.append((step, undo))
    return {"error": None, "unchanged": unchanged, "seen": seen}


def _failure(step: Step, error: OSError, left: list[str]) -> dict[str, Any]:
    return {
        "step": steps.describe(step),
        "errno": error.errno or 0,
        "reason": error.strerror or str(error),
        "left": left,
    }


def _shown(link: Link, step: Step) -> Args:
    """Return as plain data how the kernel showed what a step was to set."""
    shown = {"alias": link.alias, "peer": link.attributes.get("link"), **link.attributes}
    return {key: shown[key] for key in step.args["attributes"] if key in shown}


def _undo(done: Group) -> list[str]:
    """Take back steps, last first; return what could not be, in words."""
    left = []
    for _step, undo in reversed(done):
        if undo is None:
            continue
        try:
            HANDLERS[undo.kind](undo.args)
        except OSError as error:
            if error.errno != errno.ENODEV:  # with a device all is gone that was to be taken back
                left.append(f"{steps.describe(undo)}: {error.strerror or error}")
    done.clear()
    return left
