# SPDX-License-Identifier: Apache-2.0
"""Run the steps of many groups on Open vSwitch as one transaction; take back those that failed."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from os_vif.engine import steps
from os_vif.engine.runner import Group, Report
from os_vif.engine.step import Step
from os_vif.host.links.system import devices
from os_vif.host.openvswitch.resources import Database
from os_vif.host.openvswitch.system import changes
from os_vif.system.ovsdb_calls import Lost, OvsdbError

_THEIRS = (errno.ESTALE, errno.EEXIST)
"""What a transaction fails with where somebody else has changed what it is about."""


def run(database: Database, groups: Sequence[Group]) -> list[Report]:
    """Run groups of steps; one that fails is taken back, the others go on."""
    reports: list[Report] = [{"error": None, "unchanged": [], "seen": {}} for _group in groups]
    # A port that is deleted and added again needs a transaction for each: in one, ovs-vswitchd
    # would see nothing but a port that is there before and after.
    first = [[step for step, _undo in group if _comes_again(step, group)] for group in groups]
    if any(first):
        _run_phase(database, groups, first, reports)
    second = [[step for step, _undo in group if not _comes_again(step, group)] for group in groups]
    _run_phase(database, groups, second, reports)
    return reports


def _comes_again(step: Step, group: Group) -> bool:
    return step.kind == "del_port" and any(
        other.kind == "add_port" and other.args["name"] == step.args["name"]
        for other, _undo in group
    )


def _run_phase(
    database: Database,
    groups: Sequence[Group],
    todo: Sequence[Sequence[Step]],
    reports: Sequence[Report],
) -> None:
    """Run one transaction of all groups that have not failed; leave out what it fails for."""
    while True:
        live = [at for at, report in enumerate(reports) if report["error"] is None and todo[at]]
        # Two VIFs may both have planned the bridge they share.
        merged = _once([step for at in live for step in todo[at]])
        if not merged:
            return
        try:
            unattached = changes.change(database, merged)
        except changes.Failed as error:
            for at in live:
                mine = [step for step in error.steps if step in todo[at]]
                if mine:
                    _fail(database, groups[at], reports[at], mine[0], error, is_done=False)
            continue
        except changes.NotFollowed as error:
            for at in live:
                _fail(database, groups[at], reports[at], None, error, is_done=True)
            return
        except OvsdbError as error:
            for at in live:
                lost = isinstance(error, Lost)
                _fail(database, groups[at], reports[at], None, error, is_done=lost)
            return
        for step, why in _why(unattached):
            for at in live:
                if step in todo[at] and reports[at]["error"] is None:
                    _fail(database, groups[at], reports[at], step, why, is_done=True)
        return


def _why(unattached: Sequence[tuple[Step, int, str]]) -> list[tuple[Step, OSError]]:
    """Return the steps whose port could not be attached, each with the error."""
    return [(step, OSError(_why_it(step, code, words), words)) for step, code, words in unattached]


def _why_it(step: Step, code: int, words: str) -> int:
    if step.args.get("type"):
        return code
    # Without its device somebody was faster, and it is worth another look; he may have made it
    # again since, and then ovs-vswitchd's own words alone tell.
    if os.strerror(errno.ENODEV) in words or not devices.exists(step.args["name"]):
        return errno.ENODEV
    # Of one that was made again under its hands it says so, and of one that it can never have.
    if any(os.strerror(number) in words for number in (errno.EBUSY, errno.EINVAL)):
        return errno.EAGAIN
    return code


def _once(todo: Sequence[Step]) -> list[Step]:
    kept: dict[tuple[str, str], list[Step]] = {}
    for step in todo:
        same = kept.setdefault((step.kind, step.args["name"]), [])
        if step not in same:
            same.append(step)
    return [step for same in kept.values() for step in same]


def _fail(
    database: Database,
    group: Group,
    report: Report,
    step: Step | None,
    error: OSError,
    *,
    is_done: bool,
) -> None:
    back = [undo for _step, undo in reversed(group) if undo]
    left = take_back(database, back) if is_done else []
    first = step or group[0][0]
    report["error"] = {
        "step": steps.describe(first),
        "errno": error.errno or errno.EIO,
        "reason": error.strerror or str(error),
        "left": left,
    }


def take_back(database: Database, back: Sequence[Step]) -> list[str]:
    """Run steps that undo others, without waiting for ovs-vswitchd; return what could not be."""
    # A port given back must not be deleted in the same transaction.
    for kinds in (("del_port", "del_br", "set_port"), ("add_br", "add_port")):
        todo = [step for step in back if step.kind in kinds]
        while todo:
            try:
                changes.undo(database, todo)
                break
            except OvsdbError as error:
                if not isinstance(error, changes.Failed) or error.errno not in _THEIRS:
                    return [f"{steps.describe(step)}: {error.strerror}" for step in todo]
                # Somebody else has changed these meanwhile, and they are theirs now.
                theirs = {(step.kind, step.args["name"]) for step in error.steps}
                todo = [step for step in todo if (step.kind, step.args["name"]) not in theirs]
    return []
