# SPDX-License-Identifier: Apache-2.0
"""Who looks, and who runs what: the kernel behind the privilege boundary, OVSDB in this process.

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
from os_vif.host.observed import Host, Questions
from os_vif.host.place import Place
from os_vif.host.runner import Group, Report
from os_vif.host.step import OVSDB, Step
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


def is_privileged() -> bool:
    """Tell whether this process may change network devices itself (CAP_NET_ADMIN)."""
    return _has_net_admin(os.getpid(), os.geteuid())


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
    host = observer.observe(asked, functions)
    host.ovs_bridges, host.ovs_ports, host.ovs_ids = rows
    if asked.forwarding and (with_daemon or is_privileged()):
        look = (
            observer.forwarding
            if is_privileged()
            else functools.partial(_daemon().forwarding, place.section)
        )
        host.forwarding.update(look(sorted(asked.forwarding)))
    if asked.vsis and (with_daemon or is_privileged()):
        ask = observer.vsis if is_privileged() else functools.partial(_daemon().vsis, place.section)
        there = observer.devices(asked.vsis, functions)
        host.vsis.update(ask([name for name in there if host.links.get(name) is not None]))
    return host


def _run_kernel(section: str, groups: Sequence[Group], *, together: bool) -> list[Report]:
    if is_privileged():
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


def _is_ovsdb(step: Step) -> bool:
    return KINDS[step.kind].by == OVSDB


def run(
    place: Place, groups: Sequence[Group], *, together: bool, deletes_first: bool = False
) -> list[Report]:
    """Run groups of steps; a failed group is taken back, the others go on.

    :param together: one group's failure takes back all.
    :param deletes_first: delete the devices of all groups that begin with it in one step, before
        anything else is done to the kernel's.
    """
    merge = deletes_first and len(groups) > 1 and not together
    if place.database is None:
        if merge:
            return _run_deletes_first(place.section, groups)
        return _run_kernel(place.section, groups, together=together)
    works = [_Work(group) for group in groups]
    while True:
        going = [work for work in works if work.rest and work.report["error"] is None]
        if not going or (together and any(work.report["error"] for work in works)):
            break
        kernel = [work for work in going if not _is_ovsdb(work.rest[0][0])]
        ovsdb = [work for work in going if _is_ovsdb(work.rest[0][0])]
        # Devices first when plugging; unplugging, every group begins with the switch.
        for mine, is_ovsdb in ((kernel, False), (ovsdb, True)):
            if not mine or (is_ovsdb and kernel):
                continue
            parts = [work.next_part() for work in mine]
            reports = (
                _switch().run(place.database, parts)
                if is_ovsdb
                else _run_deletes_first(place.section, parts)
                if merge
                else _run_kernel(place.section, parts, together=False)
            )
            for work, part, report in zip(mine, parts, reports, strict=True):
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
        kind = _is_ovsdb(self.rest[0][0])
        part: Group = []
        while self.rest and _is_ovsdb(self.rest[0][0]) == kind:
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
    on_switch = [step for step in undo if _is_ovsdb(step)]
    left: list[str] = _switch().take_back(place.database, on_switch) if on_switch else []
    # Each by itself: with a device all is gone that was to be taken back of it.
    alone: list[Group] = [[(step, None)] for step in undo if not _is_ovsdb(step)]
    if alone:
        for report in _run_kernel(place.section, alone, together=False):
            error = report["error"]
            if error and error["errno"] != errno.ENODEV:
                left.append(f"{error['step']}: {error['reason']}")
    return left
