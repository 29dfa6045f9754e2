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
import random
import time
from collections.abc import Callable, Sequence

from oslo_log import log as logging

from os_vif import exception
from os_vif.engine import dispatch, families, planner, runner, steady, steps
from os_vif.engine.draft import Known, Plan
from os_vif.engine.family import Caution
from os_vif.engine.observed import Asked, Asks, Host
from os_vif.engine.place import Place
from os_vif.engine.step import KERNEL, Args, Kind, Step
from os_vif.engine.topology import Mark, Topology
from os_vif.engine.turns import Job, Turn
from os_vif.system import netlink

LOG = logging.getLogger(__name__)

_ATTEMPTS = 20
_LONGEST_PAUSE = 0.25
"""Seconds before another attempt, at the most: several processes may want one VIF."""

# What a step says when another process was faster: look again instead of giving up.
_OVERTAKEN = frozenset(
    {
        errno.EEXIST,
        errno.EBUSY,
        errno.ENODEV,
        errno.ENOENT,
        errno.ENXIO,
        errno.EADDRNOTAVAIL,
        errno.EPIPE,  # a database that was restarted
        errno.EBADFD,  # a tap that was deleted while we made it
    }
)
# What may be so, too, and may as well stay: it is tried a few times only.
_MAYBE_OVERTAKEN = errno.EAGAIN
_MAYBES = 4

_PATIENT_LOOKS = 5
_PATIENCE = 0.002
"""Seconds before the first new look at what is in the way; doubled each time.  Another process
may be making it, and a tap cannot be marked in the moment it is made."""

_CHANCE = random.SystemRandom()

Planner = Callable[[Topology, Host, Known, planner.Removing], Plan]


def _nowhere(_plugin: str) -> None:
    return None


@dataclasses.dataclass(slots=True)
class Request:
    """One VIF to be plugged or unplugged, and what became of it.

    :ivar topology: what it looks like.
    :ivar place: where its steps run.
    :ivar shared: unplugging, what of it VIFs share that is to go too where none uses it any more.
    :ivar done: what was done to the host, in order; empty if all was well already.
    :ivar error: why it failed; None if it did not.
    :ivar undo: what takes back what was done.
    :ivar ran: whether its steps ran, even if they found all done.
    :ivar blocked: whether something is in its way, at the latest look.
    :ivar known: what the looks so far have shown.
    :ivar cautions: what planning saw and no step puts right.
    :ivar elsewhere: by a plugin's name, the place of its VIFs; None where it has none.
    :ivar former: marks beside its topology's that its VIF was found to have.
    :ivar aside: whether it waits for its turn at another place.
    """

    topology: Topology
    place: Place
    shared: Topology | None = None
    done: list[Step] = dataclasses.field(default_factory=list)
    error: Exception | None = None
    undo: list[Step | None] = dataclasses.field(default_factory=list, repr=False)
    ran: bool = False
    blocked: bool = False
    known: Known = dataclasses.field(default_factory=Known, repr=False)
    cautions: list[Caution] = dataclasses.field(default_factory=list)
    elsewhere: Callable[[str], Place | None] = dataclasses.field(default=_nowhere, repr=False)
    former: frozenset[Mark] = frozenset()
    aside: bool = False

    def widen(self, host: Host) -> bool:
        """Look everywhere from now on for a VIF that was another plugin's, or another guest's.

        :param host: as it was seen
        :returns: whether it has to be looked at again.
        """
        if self.former:
            return False
        self.former = frozenset(planner.former_marks(self.topology, host))
        for plugin in sorted({mark.plugin for mark in self.former}):
            there = self.elsewhere(plugin)
            if self.place.database is None and there is not None:
                self.place = dataclasses.replace(self.place, database=there.database)
        return bool(self.former)


# --- plug and unplug --------------------------------------------------------------------------


def plug(requests: Sequence[Request], *, together: bool = False) -> None:
    """Make the host look like all of ``requests``; each says afterwards what became of it.

    :param together: all or nothing: one failure takes back all.
    """
    _submit(planner.plan_plug, requests, together=together)


def unplug(requests: Sequence[Request], *, together: bool = False) -> None:
    """Take away what plugging made of ``requests``; each says afterwards what became of it."""
    _submit(planner.plan_unplug, requests, together=together)
    rest = [
        (request, Request(request.shared, request.place))
        for request in requests
        if request.shared is not None and request.error is None
    ]
    if rest:
        dissolve([more for _request, more in rest])
    for request, more in rest:
        request.done += more.done
        request.error = more.error


def dissolve(requests: Sequence[Request]) -> None:
    """Take away what VIFs share, of ``requests``, where nobody uses it; as :func:`unplug`.

    One that fails is taken back.
    """
    _submit(planner.plan_dissolve, requests, together=False)


_turns: dict[str, Turn[Planner, Request]] = {}
"""By network namespace."""


def _forget_turns() -> None:
    # One that another thread of the parent has would never be handed on in a child.
    _turns.clear()


os.register_at_fork(after_in_child=_forget_turns)
os.register_at_fork(after_in_child=families.forget_lock)


def _submit(plan: Planner, requests: Sequence[Request], *, together: bool) -> None:
    here = netlink.namespace()

    def serve(plan: Planner, requests: Sequence[Request], together: bool) -> None:
        with netlink.session(here):
            _settle(plan, requests, together=together)

    if any(_waits(request.topology) for request in requests):
        # Like another process: who wants something that takes seconds keeps nobody else waiting.
        serve(plan, requests, together)
        return
    turn = _turns.get(here) or _turns.setdefault(here, Turn())
    vifs = frozenset(request.topology.mark.vif_id for request in requests)
    turn.have_served(Job(plan, requests, vifs, together), serve)


def _waits(topology: Topology) -> bool:
    try:
        return any(families.rule_of(type(item)).waits for item in topology.resources)
    except exception.UnusableFamily:
        return False  # told where it is planned, to who asked for it


def _settle(plan: Planner, requests: Sequence[Request], *, together: bool) -> None:
    """Serve requests of one kind, by the daemon they go to."""
    waiting = list(requests)
    while waiting:
        place = waiting[0].place
        mine = [request for request in waiting if request.place == place]
        waiting = [request for request in waiting if request.place != place]
        for request in mine:
            request.aside = False
        try:
            with dispatch.call(place, [request.topology for request in mine]):
                _converge(plan, mine, place, together=together)
        except Exception as error:  # nobody who waits may go without an answer
            LOG.debug("serving %d requests failed", len(mine), exc_info=True)
            alone = len(mine) == 1 or together
            for request in reversed(mine) if alone else mine:
                if request.error is not None:
                    continue
                if not alone and not isinstance(error, exception.NotPrivileged):
                    # One of them may be the cause, and must not spoil the others.
                    _settle(plan, [request], together=False)
                else:
                    _fail(request, error)
        except BaseException:  # interrupted
            for request in reversed(mine):
                _take_back(request)
            raise
        if together and any(request.error for request in mine):
            break
        waiting += [request for request in mine if request.aside]
    if together and any(request.error for request in requests):
        _abandon(requests)


def _converge(plan: Planner, requests: Sequence[Request], place: Place, *, together: bool) -> None:
    """Look, plan, run and look again until nothing is left to do."""
    blocked_looks = maybes = 0
    for attempt in range(_ATTEMPTS + 1):
        pending = [it for it in requests if it.error is None and not it.aside]
        planned = _plan(plan, pending, place, patient=blocked_looks < _PATIENT_LOOKS)
        working = [(request, todo) for request, todo in planned if todo.steps]
        refused = together and any(request.error for request in requests)
        blocked = not refused and any(request.blocked for request in pending)
        blocked_looks = blocked_looks + 1 if blocked else 0
        if blocked and (together or not working):
            time.sleep(_PATIENCE * 2 ** (blocked_looks - 1))
            continue
        if not working or refused:
            return
        if attempt == _ATTEMPTS:
            # Several rounds, and still not as described: somebody else keeps changing it.
            for request, todo in working:
                left = "; ".join(steps.describe(step) for step in todo.steps)
                _fail(request, exception.NotConverged(steps=left))
            return
        groups = [list(zip(todo.steps, todo.undo, strict=True)) for _request, todo in working]
        reports = dispatch.run(
            place,
            groups,
            together=together,
            merge_first=plan is planner.plan_unplug and attempt == 0,
        )
        # With one group's failure the others of an all-or-nothing round were taken back too.
        rolled_back = together and any(report["error"] for report in reports)
        overtaken = False
        passing = _OVERTAKEN | ({_MAYBE_OVERTAKEN} if maybes < _MAYBES else set())
        for (request, todo), group, report in zip(working, groups, reports, strict=False):
            error = report["error"]
            if error is None:
                if not rolled_back:
                    _record(request, todo, group, report["unchanged"])
            elif error["errno"] in passing and attempt < _ATTEMPTS - 1 and not error["left"]:
                maybes += error["errno"] == _MAYBE_OVERTAKEN
                LOG.debug("%s: %s; looking again", error["step"], error["reason"])
                overtaken = True
            else:
                failed = exception.StepFailed(
                    step=error["step"],
                    reason=error["reason"],
                    errno=error["errno"],
                    left="; ".join(error["left"]),
                )
                _fail(request, failed)
        if not (overtaken or blocked) and all(
            _seen_well(place, todo, report)
            for (_request, todo), report in zip(working, reports, strict=False)
        ):
            return
        if attempt > (0 if overtaken else 1):
            # Those who change the same thing must not go on in step.
            time.sleep(_CHANCE.uniform(0, min(_PATIENCE * 2**attempt, _LONGEST_PAUSE)))


def _seen_well(place: Place, todo: Plan, report: runner.Report) -> bool:
    """Tell whether the answers leave nothing to look at again.

    So it is with devices that were only deleted, and with a single new one that was shown as
    described.  A change may have changed other things too, and of several steps the first may be
    undone while the last runs.  With a switch it is the other way round: that a new port was
    attached, in the end, shows its devices to be there; and somebody may have added a port
    meanwhile to a device that was deleted.
    """
    if report["error"] is not None:
        return False
    if len(report["unchanged"]) == len(todo.steps):
        return True  # whoever ran them has looked again
    kinds = [(families.kind_of(step.kind), step.args) for step in todo.steps]
    if len(kinds) == 1 and kinds[0][0].final:
        return place.database is None
    on_kernel = [(kind, args) for kind, args in kinds if kind.by == KERNEL]
    if len(on_kernel) > 1 and not any(kind.crowning(args) for kind, args in kinds):
        return False
    return _held(place, kinds) and all(
        kind.proven(args, report["seen"]) for kind, args in on_kernel
    )


def _held(place: Place, kinds: Sequence[tuple[Kind, Args]]) -> bool:
    """Tell whether what the steps did holds, where they have their doubts."""
    asked = Asks(item for kind, args in kinds for item in kind.doubts(args))
    if not asked:
        return True
    host = steady.observe(asked, place, with_daemon=False)
    return all(kind.holds(args, host) for kind, args in kinds)


def _plan(
    plan: Planner, requests: Sequence[Request], place: Place, *, patient: bool
) -> list[tuple[Request, Plan]]:
    """Return what has to be done for each request.

    :param patient: what is in the way may be gone at the next look, and is no error yet.
    """
    if not requests:
        return []
    dissolving = plan is planner.plan_dissolve
    known = []
    asked: set[Asked] = set()
    for request in requests:
        try:
            asked |= (
                planner.dissolve_questions(request.topology)
                if dissolving
                else planner.questions(request.topology, request.former)
            )
        except exception.UnusableFamily as error:
            request.error = error
        else:
            known.append(request)
    # Whether anybody has rules for a bridge, the privileged side alone sees.
    host = steady.observe(asked, place, with_daemon=dissolving)
    found = []
    for request in known:
        request.aside = request.widen(host)
    for request in [it for it in known if not it.aside]:
        try:
            todo = plan(request.topology, host, request.known, dispatch.removing)
            request.blocked = False
            request.cautions = todo.cautions
        except exception.ExceptionBase as error:
            request.blocked = patient and isinstance(error, exception.ResourceConflict)
            if request.blocked:
                continue
            _fail(request, error)
            continue
        if request.ran and not dispatch.is_privileged(place.section):
            # Nobody could look at these, and they were run already.
            kept = [i for i, it in enumerate(todo.steps) if not families.kind_of(it.kind).hidden]
            todo = Plan([todo.steps[i] for i in kept], [todo.undo[i] for i in kept], todo.cautions)
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


def _fail(request: Request, error: Exception) -> None:
    """Give a request its error, which says what of its earlier rounds could not be taken back."""
    request.error = exception.with_left(error, _take_back(request))


def _take_back(request: Request) -> list[str]:
    """Undo what earlier rounds did for a request; return what could not be, in words."""
    back = [step for step in reversed(request.undo) if step is not None]
    request.done.clear()
    request.undo.clear()
    return dispatch.take_back(request.place, back) if back else []


def _abandon(requests: Sequence[Request]) -> None:
    """Give every request of an all-or-nothing call its error, and take back the others."""
    for request in reversed(requests):
        if request.error is None:
            _fail(request, exception.NotAttempted())
        request.done.clear()
