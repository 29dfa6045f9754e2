# SPDX-License-Identifier: Apache-2.0
"""Who looks, and who runs what: the kernel behind the privilege boundary, the rest in this process.

A group's steps run in order; of many groups, those that go to the same place go together.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from os_vif.host import observer, runner
from os_vif.host.fast_path import DAEMON
from os_vif.host.observed import Host, Questions
from os_vif.host.place import Place
from os_vif.host.runner import Group, Report
from os_vif.host.step import CALLER, KERNEL, OVSDB, Step
from os_vif.host.steps import KINDS

if TYPE_CHECKING:
    from types import ModuleType

_CAP_NET_ADMIN = 12


@functools.lru_cache(maxsize=4)
def _has_net_admin(_process: int, _user: int) -> bool:
    with open("/proc/thread-self/status") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)
    return False


def is_privileged(section: str = "") -> bool:
    """Tell whether this process may itself do what the daemon of a section does.

    That is to change network devices (CAP_NET_ADMIN); of the fast path's, also to run programs as
    root.
    """
    return _has_net_admin(os.getpid(), os.geteuid()) and (section != DAEMON or os.geteuid() == 0)


def _daemon() -> ModuleType:
    # oslo.privsep is only loaded where there is somebody to serve it for.
    from os_vif.host import privilege

    return privilege


def _switch() -> ModuleType:
    # The ovs package is only loaded where there is a switch.
    from os_vif.host import switch_runner

    return switch_runner


def call(place: Place) -> contextlib.AbstractContextManager[None]:
    """Let all that is asked of the place's database in a block share one time limit."""
    if place.database is None:
        return contextlib.nullcontext()
    one_call: contextlib.AbstractContextManager[None] = _switch().one_call()
    return one_call


def observe(asked: Questions, place: Place, *, with_daemon: bool) -> Host:
    """Answer questions about the host.

    :param with_daemon: also what only the privileged daemon may see; a trip to it.
    :raises OSError: somebody refused to tell.
    """
    functions = observer.functions(asked)
    rows: tuple[Any, ...] = ({}, {}, {})
    if asked.ovs_bridges or asked.ovs_ports:
        representors = {found.representor for found in functions.values() if found} - {""}
        # Before the devices: what the switch says it has attached, it has open by then.
        rows = _switch().look_up(
            place.database,
            sorted(asked.ovs_bridges),
            sorted(asked.ovs_ports | representors),
            sorted(asked.ovs_ids),
        )
    privileged = with_daemon or is_privileged(place.section)
    processes: list[observer.Row] = []
    if privileged and asked.back_ends:
        # Before the devices: a process that forwards has its tap open by then.
        processes = _look(place.section, "back_ends", sorted(asked.back_ends))
    host = observer.observe(asked, functions)
    host.ovs_bridges, host.ovs_ports, host.ovs_ids = rows
    observer.take_up(host, "back_ends", processes)
    if privileged:
        there = observer.devices(asked.vsis, functions)
        hidden: dict[str, list[Any]] = {
            "forwarding": sorted(asked.forwarding),
            "vsis": [name for name in there if host.links.get(name) is not None],
        }
        for what, items in hidden.items():
            if items:
                observer.take_up(host, what, _look(place.section, what, items))
    return host


def _look(section: str, what: str, asked: list[Any]) -> list[observer.Row]:
    if is_privileged(section):
        return observer.look(what, asked)
    rows: list[observer.Row] = _daemon().look(section, what, asked)
    return rows


def _run_kernel(section: str, groups: Sequence[Group], *, together: bool) -> list[Report]:
    if is_privileged(section):
        return runner.run(groups, together=together)
    plain = [_plain(group, together=together) for group in groups]
    reports: list[Report] = _daemon().run(section, plain, together=together)
    return reports


def _run_deletes_first(section: str, groups: Sequence[Group]) -> list[Report]:
    """Run the deletes of all groups in one step: the kernel waits once for each.

    One that something else has to go before stays where it is.  Should the step fail, each goes by
    itself.
    """
    deletes = [
        list(itertools.takewhile(lambda item: item[0].kind == "delete_links", group))
        for group in groups
    ]
    doomed = [link for mine in deletes for step, _undo in mine for link in step.args["links"]]
    if not doomed:
        return _run_kernel(section, groups, together=False)
    kept = [
        [at for at, item in enumerate(group) if item not in mine]
        for group, mine in zip(groups, deletes, strict=True)
    ]
    rest = [[group[at] for at in left] for group, left in zip(groups, kept, strict=True)]
    merged: Group = [(Step("delete_links", {"links": doomed}), None)]
    ahead, *reports = _run_kernel(section, [merged, *rest], together=False)
    for report, left in zip(reports, kept, strict=True):
        report["unchanged"] = [left[at] for at in report["unchanged"]]
    if ahead["error"]:
        for report, alone in zip(
            reports, _run_kernel(section, deletes, together=False), strict=True
        ):
            report["error"] = report["error"] or alone["error"]
    return reports


def _plain(group: Group, *, together: bool) -> runner.Plain:
    plain: runner.Plain = []
    for position, (step, undo) in enumerate(group, 1):
        # Nobody needs the last one's undo on the other side if that either does all or nothing.
        needed = together or position < len(group) or KINDS[step.kind].partial
        back = (undo.kind, undo.args) if undo and needed else (None, None)
        plain.append([step.kind, step.args, *back])
    return plain


def _by(step: Step) -> str:
    return KINDS[step.kind].by


_ORDER = (CALLER, KERNEL, OVSDB)


def _run_part(place: Place, by: str, parts: Sequence[Group], *, merge: bool) -> list[Report]:
    if by == CALLER:
        return runner.run_as_caller(parts)
    if by == OVSDB:
        reports: list[Report] = _switch().run(place.database, parts)
        return reports
    if merge:
        return _run_deletes_first(place.section, parts)
    return _run_kernel(place.section, parts, together=False)


def run(
    place: Place, groups: Sequence[Group], *, together: bool, deletes_first: bool = False
) -> list[Report]:
    """Run groups of steps; a failed group is taken back, the others go on.

    :param together: one group's failure takes back all.
    :param deletes_first: delete the devices of all groups that begin with it in one step, before
        anything else is done to the kernel's.
    """
    merge = deletes_first and len(groups) > 1 and not together
    callers = any(_by(step) == CALLER for group in groups for step, _undo in group)
    if place.database is None and not callers:
        if merge:
            return _run_deletes_first(place.section, groups)
        return _run_kernel(place.section, groups, together=together)
    works = [_Work(group) for group in groups]
    while True:
        going = [work for work in works if work.rest and work.report["error"] is None]
        if not going or (together and any(work.report["error"] for work in works)):
            break
        # Devices first when plugging; unplugging, every group begins with the switch.
        by = min((_by(work.rest[0][0]) for work in going), key=_ORDER.index)
        mine = [work for work in going if _by(work.rest[0][0]) == by]
        parts = [work.next_part() for work in mine]
        for work, part, report in zip(
            mine, parts, _run_part(place, by, parts, merge=merge), strict=True
        ):
            work.take_up(part, report)
    failed = [work for work in works if work.report["error"]]
    for work in works if together and failed else failed:
        left = take_back(place, [undo for _step, undo in reversed(work.done) if undo])
        if work.report["error"]:
            work.report["error"]["left"] += left
    return [work.report for work in works]


class _Work:
    """A group on its way: what is left, what is done, and the report so far."""

    def __init__(self, group: Group) -> None:
        self.rest = list(group)
        self.done: Group = []
        self.report: Report = {"error": None, "unchanged": [], "seen": {}}

    def next_part(self) -> Group:
        """Return the next steps that go to the same place."""
        by = _by(self.rest[0][0])
        part: Group = []
        while self.rest and _by(self.rest[0][0]) == by:
            part.append(self.rest.pop(0))
        return part

    def take_up(self, part: Group, report: Report) -> None:
        """Note what became of a part."""
        if report["error"]:
            self.report["error"] = report["error"]
            return
        self.report["unchanged"] += [at + len(self.done) for at in report["unchanged"]]
        self.report["seen"].update(report["seen"])
        self.done += part


def take_back(place: Place, undo: Sequence[Step]) -> list[str]:
    """Run steps that take back others, the latest first; return what could not be, in words."""
    on_switch = [step for step in undo if _by(step) == OVSDB]
    left: list[str] = _switch().take_back(place.database, on_switch) if on_switch else []
    # Each by itself: with a device all is gone that was to be taken back of it.
    alone: list[Group] = [[(step, None)] for step in undo if _by(step) == KERNEL]
    if alone:
        for report in _run_kernel(place.section, alone, together=False):
            error = report["error"]
            if error and error["errno"] != errno.ENODEV:
                left.append(f"{error['step']}: {error['reason']}")
    return left
