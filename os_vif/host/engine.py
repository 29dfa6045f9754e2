# SPDX-License-Identifier: Apache-2.0
"""Make descriptions true: look, plan, run, look again.

Callers of one process that come at the same time are served together (group commit): whoever
gets the turn takes along the requests of all who wait, so that many deletions cost one of the
kernel's waits and many plugs one trip to the privileged daemon.

Processes do not wait for each other.  Each looks at the host after its steps, and plans again
while something is left to do; so two at once end in a state that one of them asked for.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
import time
from collections.abc import Callable, Sequence

from oslo_log import log as logging

from os_vif import exception
from os_vif.host import dispatch, planner, runner, steps
from os_vif.host.backends import iptables, links, netlink
from os_vif.host.draft import Plan
from os_vif.host.observed import Host, Link, Questions
from os_vif.host.steps import Step
from os_vif.host.topology import Mark, Topology, parse_mark, parse_rules_comment

LOG = logging.getLogger(__name__)

_ATTEMPTS = 8

# What a step says when another process was faster: look again instead of giving up.
_OVERTAKEN = frozenset(
    {
        errno.EEXIST,
        errno.EBUSY,
        errno.ENODEV,
        errno.ENOENT,
        errno.ENXIO,
        errno.EADDRNOTAVAIL,
        errno.EBADFD,  # a tap that was deleted while we made it
    }
)
_PATIENT_LOOKS = 5
_PATIENCE = 0.002
"""Seconds before the first new look at what is in the way; doubled each time.  Another process
may be making it, and a tap cannot be marked in the moment it is made."""

Planner = Callable[[Topology, Host], Plan]


@dataclasses.dataclass(slots=True)
class Request:
    """One VIF to be plugged or unplugged, and what became of it.

    :ivar topology: what it looks like.
    :ivar section: the configuration section of its privileged daemon.
    :ivar done: what was done to the host, in order; empty if all was well already.
    :ivar error: why it failed; None if it did not.
    :ivar undo: what takes back what was done.
    :ivar ran: whether its steps ran, even if they found all done.
    :ivar blocked: whether something is in its way, at the latest look.
    """

    topology: Topology
    section: str
    done: list[Step] = dataclasses.field(default_factory=list)
    error: Exception | None = None
    undo: list[Step | None] = dataclasses.field(default_factory=list, repr=False)
    ran: bool = False
    blocked: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Plugged:
    """What the host holds of one VIF.

    :ivar mark: whose it is.
    :ivar links: its devices.
    :ivar comments: the comments of its forwarding rules.
    """

    mark: Mark
    links: tuple[Link, ...]
    comments: tuple[str, ...] = ()


# --- plug and unplug --------------------------------------------------------------------------


def plug(requests: Sequence[Request], *, together: bool = False) -> None:
    """Make the host look like all of ``requests``; each says afterwards what became of it.

    :param together: all or nothing: one failure takes back all.
    """
    _submit(planner.plan_plug, requests, together=together)


def unplug(requests: Sequence[Request], *, together: bool = False) -> None:
    """Take away what plugging made of ``requests``; each says afterwards what became of it."""
    _submit(planner.plan_unplug, requests, together=together)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What one caller wants done, and by which planner."""

    plan: Planner
    requests: Sequence[Request]


@dataclasses.dataclass(slots=True)
class _Turn:
    """Those who wait in one network namespace, and the lock of whoever serves them."""

    waiting: list[_Job] = dataclasses.field(default_factory=list)
    serving: threading.Lock = dataclasses.field(default_factory=threading.Lock)


_turns: dict[str, _Turn] = {}


def _forget_turns() -> None:
    # A lock held by another thread of the parent would never be given back in a child.
    _turns.clear()


os.register_at_fork(after_in_child=_forget_turns)


def _submit(plan: Planner, requests: Sequence[Request], *, together: bool) -> None:
    here = netlink.namespace()
    turn = _turns.get(here) or _turns.setdefault(here, _Turn())
    if together:
        with turn.serving, netlink.session(here):
            _settle(plan, requests, together=True)
        return
    mine = _Job(plan, requests)
    turn.waiting.append(mine)
    with turn.serving, netlink.session(here):
        # Whoever had the turn before may have served us already; then nothing of ours waits.
        count = len(turn.waiting)
        try:
            while count:
                batch = turn.waiting[:count]
                verb = batch[0].plan
                same = next((i for i, job in enumerate(batch) if job.plan is not verb), count)
                merged = [request for job in batch[:same] for request in job.requests]
                _settle(verb, merged, together=False)
                del turn.waiting[:same]
                count -= same
        except BaseException:
            # Interrupted: we give up what is ours, the others serve themselves.
            turn.waiting[:count] = [job for job in turn.waiting[:count] if job is not mine]
            raise


def _settle(plan: Planner, requests: Sequence[Request], *, together: bool) -> None:
    """Serve requests of one kind, by the daemon they go to."""
    sections = dict.fromkeys(request.section for request in requests)
    for section in sections:
        mine = [request for request in requests if request.section == section]
        try:
            _converge(plan, mine, section, together=together)
        except Exception as error:  # nobody who waits may go without an answer
            LOG.debug("serving %d requests failed", len(mine), exc_info=True)
            for request in mine:
                if request.error is not None:
                    continue
                alone = len(mine) == 1 or together
                if not alone and not isinstance(error, exception.NotPrivileged):
                    # One of them may be the cause, and must not spoil the others.
                    _settle(plan, [request], together=False)
                else:
                    request.error = error
        if together and any(request.error for request in mine):
            break
    if together and any(request.error for request in requests):
        _abandon(requests)


def _converge(plan: Planner, requests: Sequence[Request], section: str, *, together: bool) -> None:
    """Look, plan, run and look again until nothing is left to do."""
    for attempt in range(_ATTEMPTS + 1):
        pending = [request for request in requests if request.error is None]
        planned = _plan(plan, pending, section, patient=attempt < _PATIENT_LOOKS)
        working = [(request, todo) for request, todo in planned if todo.steps]
        refused = together and any(request.error for request in requests)
        blocked = not refused and any(request.blocked for request in pending)
        if blocked and (together or not working):
            time.sleep(_PATIENCE * 2**attempt)
            continue
        if not working or refused:
            return
        if attempt == _ATTEMPTS:
            # Several rounds, and still not as described: somebody else keeps changing it.
            for request, todo in working:
                request.error = exception.NotConverged(
                    steps="; ".join(steps.describe(step) for step in todo.steps)
                )
                _take_back(request, section)
            return
        groups = [list(zip(todo.steps, todo.undo, strict=True)) for _request, todo in working]
        if attempt == 0 and plan is planner.plan_unplug and len(groups) > 1:
            groups = _deletes_first(groups)
        groups, ahead = groups[-len(working) :], groups[: -len(working)]
        reports = dispatch.run(section, ahead + groups, together=together)
        failed_ahead = any(report["error"] for report in reports[: len(ahead)])
        reports = reports[len(ahead) :]
        # With one group's failure the others of an all-or-nothing round were taken back too.
        rolled_back = together and any(report["error"] for report in reports)
        for (request, todo), group, report in zip(working, groups, reports, strict=False):
            error = report["error"]
            if error is None:
                if not rolled_back:
                    _record(request, todo, group, report["unchanged"])
            elif error["errno"] in _OVERTAKEN and attempt < _ATTEMPTS - 1 and not error["left"]:
                LOG.debug("%s: %s; looking again", error["step"], error["reason"])
            else:
                request.error = exception.StepFailed(
                    step=error["step"], reason=error["reason"], left="; ".join(error["left"])
                )
                _take_back(request, section)
        if (
            not blocked
            and not failed_ahead
            and all(
                _seen_well(todo, report)
                for (_request, todo), report in zip(working, reports, strict=False)
            )
        ):
            return


def _deletes_first(groups: list[runner.Group]) -> list[runner.Group]:
    """Put the deletes of all groups into one of its own: the kernel waits once per request.

    Should it fail, the next look finds what is left, and each goes by itself.
    """
    doomed: list[object] = []
    rest: list[runner.Group] = []
    for group in groups:
        kept: runner.Group = []
        for step, undo in group:
            if step.kind == "delete_links":
                doomed += step.args["links"]
            else:
                kept.append((step, undo))
        rest.append(kept)
    return [[(Step("delete_links", {"links": doomed}), None)], *rest] if doomed else rest


def _seen_well(todo: Plan, report: runner.Report) -> bool:
    """Tell whether the kernel's answers leave nothing to look at again.

    So it is with devices that were only deleted, and with a single new one that was shown as
    described.  A change may have changed other things too, and of several steps the first may be
    undone while the last runs.
    """
    kinds = [step.kind for step in todo.steps]
    if kinds == ["delete_links"]:
        return report["error"] is None
    if kinds != ["create_link"] or not report["seen"]:
        return False
    [shown] = report["seen"].values()
    return bool(shown == todo.steps[0].args["attributes"])


def _plan(
    plan: Planner, requests: Sequence[Request], section: str, *, patient: bool
) -> list[tuple[Request, Plan]]:
    """Return what has to be done for each request.

    :param patient: what is in the way may be gone at the next look, and is no error yet.
    """
    if not requests:
        return []
    asked = Questions.union([planner.questions(request.topology) for request in requests])
    host = dispatch.observe(asked, section, with_daemon=False)
    found = []
    for request in requests:
        try:
            todo = plan(request.topology, host)
            request.blocked = False
        except exception.ExceptionBase as error:
            request.blocked = patient and isinstance(error, exception.ResourceConflict)
            if request.blocked:
                continue
            request.error = error
            _take_back(request, section)
            continue
        if request.ran and not dispatch.is_privileged():
            # Nobody could look at these, and they were run already.
            kept = [i for i, step in enumerate(todo.steps) if step.kind != "set_forwarding"]
            todo = Plan([todo.steps[i] for i in kept], [todo.undo[i] for i in kept])
        found.append((request, todo))
    return found


def _record(request: Request, todo: Plan, group: runner.Group, unchanged: Sequence[int]) -> None:
    """Note what was done for a request: by its own group and, before that, for all together."""
    request.ran = True
    idle = [step for position, (step, _undo) in enumerate(group) if position in unchanged]
    for step, undo in zip(todo.steps, todo.undo, strict=True):
        if step not in idle:
            request.done.append(step)
            request.undo.append(undo)


def _take_back(request: Request, section: str) -> None:
    """Undo what earlier rounds did for a request that failed in a later one."""
    back = [step for step in reversed(request.undo) if step is not None]
    request.done.clear()
    request.undo.clear()
    if back:
        dispatch.run(section, [[(step, None) for step in back]], together=False)


def _abandon(requests: Sequence[Request]) -> None:
    """Give every request of an all-or-nothing call its error, and take back the others."""
    for request in reversed(requests):
        if request.error is None:
            _take_back(request, request.section)
            request.error = exception.NotAttempted()
        request.done.clear()


# --- looking only -----------------------------------------------------------------------------


def plan(request: Request, *, unplugging: bool = False) -> list[Step]:
    """Return the steps that are missing, and touch nothing.

    :raises ResourceConflict: something that is not ours stands in the way.
    :raises NetworkInterfaceNotFound: a device that must be there is not.
    """
    asked = planner.questions(request.topology)
    host = dispatch.observe(asked, request.section, with_daemon=True)
    chosen = planner.plan_unplug if unplugging else planner.plan_plug
    return chosen(request.topology, host).steps


def plugged(vif_id: str | None = None) -> list[Plugged]:
    """Return what the host holds of VIFs, by the marks; of one, or of all, sorted by id.

    Forwarding rules are only seen with privilege.
    """
    by_id: dict[str, tuple[Mark, list[Link]]] = {}
    for link in links.all_links():
        mark = parse_mark(link.alias)
        if mark is not None and vif_id in (None, mark.vif_id):
            by_id.setdefault(mark.vif_id, (mark, []))[1].append(link)
    comments: dict[str, set[str]] = {}
    if dispatch.is_privileged():
        for ipv6 in (False, True):
            for comment in iptables.comments(ipv6=ipv6):
                owner = parse_rules_comment(comment)
                if owner is not None and vif_id in (None, owner):
                    comments.setdefault(owner, set()).add(comment)
    found = []
    for owner in sorted(by_id.keys() | comments.keys()):
        mark, mine = by_id.get(owner, (Mark(owner, "linux_bridge"), []))
        found.append(Plugged(mark, tuple(mine), tuple(sorted(comments.get(owner, ())))))
    return found


def remove(gone: Sequence[Plugged], section: str) -> list[Step]:
    """Delete everything the host holds of these VIFs; return what was done.

    :raises StepFailed: the kernel refused.
    """
    todo: list[Step] = []
    doomed = [[link.name, link.index] for item in gone for link in item.links]
    if doomed:
        todo.append(Step("delete_links", {"links": doomed}))
    for item in gone:
        for comment in item.comments:
            for ipv6 in (False, True):
                args: steps.Args = {"comment": comment, "ipv6": ipv6, "rules": []}
                todo.append(Step("set_forwarding", {**args, "top_regex": "", "bottom_regex": ""}))
    if not todo:
        return []
    [report] = dispatch.run(section, [[(step, None) for step in todo]], together=False)
    if report["error"]:
        raise exception.StepFailed(
            step=report["error"]["step"], reason=report["error"]["reason"], left=""
        )
    return [step for i, step in enumerate(todo) if i not in report["unchanged"]]
