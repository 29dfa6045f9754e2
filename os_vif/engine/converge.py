# SPDX-License-Identifier: Apache-2.0
"""Make descriptions true: look, plan, run, look again.

Callers of one process that come at the same time are served together (group commit): whoever
gets the turn takes along the requests of all who wait, so that many deletions cost one of the
kernel's waits and many plugs one trip to the privileged daemon.

Processes do not wait for each other.  Each looks at the host after its steps, and plans again
while something is left to do; so two at once end in a state that one of them asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from os_vif import exception
from os_vif.engine import dispatch, families, journal, planner, runner, steady, steps, turns
from os_vif.engine.draft import Known, Plan
from os_vif.engine.family import Caution
from os_vif.engine.observed import Asked, Asks, Host
from os_vif.engine.patience import Patience, Tries
from os_vif.engine.place import Place
from os_vif.engine.step import KERNEL, Args, Kind, Step
from os_vif.engine.topology import Mark, Topology
from os_vif.engine.turns import Job, Turn
from os_vif.system import netlink

LOG = logging.getLogger(__name__)

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
    :ivar tries: what has been tried for it so far.
    :ivar known: what the looks so far have shown.
    :ivar cautions: what planning saw and no step puts right.
    :ivar elsewhere: by a plugin's name, the place of its VIFs; None where it has none.
    :ivar former: marks beside its topology's that its VIF was found to have.
    :ivar aside: whether it waits for its turn at another place.
    :ivar by_own_names: whether its topology has the own names of the devices it names.
    """

    topology: Topology
    place: Place
    shared: Topology | None = None
    done: list[Step] = dataclasses.field(default_factory=list)
    error: Exception | None = None
    undo: list[Step | None] = dataclasses.field(default_factory=list, repr=False)
    ran: bool = False
    blocked: bool = False
    tries: Tries = dataclasses.field(default_factory=Tries, repr=False)
    known: Known = dataclasses.field(default_factory=Known, repr=False)
    cautions: list[Caution] = dataclasses.field(default_factory=list)
    elsewhere: Callable[[str], Place | None] = dataclasses.field(default=_nowhere, repr=False)
    former: frozenset[Mark] = frozenset()
    aside: bool = False
    by_own_names: bool = False

    def name(self, host: Host) -> None:
        """Have its topologies name devices by their own names.

        :param host: the answers to :func:`.planner.names`
        """
        self.by_own_names = True
        with contextlib.suppress(exception.UnusableFamily):  # told where it is planned
            self.topology = planner.named(self.topology, host)
            self.shared = self.shared and planner.named(self.shared, host)

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
                    _fail(request, _with_cause(error, request.tries))
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
    patience = Patience()
    while True:
        pending = [it for it in requests if it.error is None and not it.aside]
        planned = _plan(plan, pending, place, patient=patience.blocks(), together=together)
        working = [(request, todo) for request, todo in planned if todo.steps]
        refused = together and any(request.error for request in requests)
        blocked = not refused and any(request.blocked for request in pending)
        patience.look(blocked=blocked)
        if blocked and (together or not working):
            patience.wait()
            continue
        if refused:
            return
        lasting = [it for it in working if not _is_given_up(patience, *it)]
        if not lasting or (together and lasting != working):
            return
        working = lasting
        first = patience.round()
        groups = [list(zip(todo.steps, todo.undo, strict=True)) for _request, todo in working]
        reports = dispatch.run(
            place,
            groups,
            together=together,
            merge_first=plan is planner.plan_unplug and first,
        )
        # With one group's failure the others of an all-or-nothing round were taken back too.
        rolled_back = together and any(report["error"] for report in reports)
        _tell(working, groups, reports, rolled_back=rolled_back)
        overtaken = False
        for (request, todo), group, report in zip(working, groups, reports, strict=False):
            error = report["error"]
            if error is None:
                if not rolled_back:
                    _record(request, todo, group, report["unchanged"])
            elif patience.passes(error, request.tries):
                LOG.debug("%s: %s; looking again", error["step"], error["reason"])
                overtaken = True
            else:
                _fail(request, _failed(error, patience.words(error)))
        if not (overtaken or blocked) and all(
            _seen_well(place, todo, report)
            for (_request, todo), report in zip(working, reports, strict=False)
        ):
            return
        if overtaken:
            turns.only_waits()
        patience.pause(overtaken=overtaken)


def _is_given_up(patience: Patience, request: Request, todo: Plan) -> bool:
    """Tell whether a request's steps have been run often enough, and then give it its error."""
    lost = request.tries.lost
    request.tries.again(todo.steps)
    if not patience.is_over(request.tries):
        return False
    if lost:
        _fail(request, _failed(lost, patience.words(lost)))
    else:
        # Several rounds, and still not as described: somebody else keeps changing it.
        left = "; ".join(steps.describe(step) for step in todo.steps)
        _fail(request, exception.NotConverged(steps=left))
    return True


def _with_cause(error: Exception, tries: Tries) -> Exception:
    """Return the error of a call, or what its time went by with, if that is over."""
    if tries.lost and isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
        return _failed(tries.lost, f"; and {error.strerror or error}")
    return error


def _failed(error: Mapping[str, Any], more: str = "") -> exception.StepFailed:
    """Return what to raise for an error as a report says it."""
    return exception.StepFailed(
        step=error["step"],
        reason=f"{error['reason']}{more}",
        errno=error["errno"],
        left="; ".join(error["left"]),
    )


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
    plan: Planner, requests: Sequence[Request], place: Place, *, patient: bool, together: bool
) -> list[tuple[Request, Plan]]:
    """Return what has to be done for each request.

    :param patient: what is in the way may be gone at the next look, and is no error yet
    :param together: nor is what others of the call lack of it
    """
    if not requests:
        return []
    name_devices(requests, place)
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
    wanting = False
    for request in [it for it in known if not it.aside]:
        try:
            todo = plan(request.topology, host, request.known, dispatch.removing)
            request.blocked = False
            # What it costs others is seen before it is done, and what it did, after.
            request.cautions = list(dict.fromkeys([*request.cautions, *todo.cautions]))
        except exception.ExceptionBase as error:
            in_the_way = isinstance(error, exception.ResourceConflict)
            request.blocked = patient and (in_the_way or (together and wanting))
            if request.blocked:
                wanting = True
                continue
            _fail(request, error)
            continue
        if request.ran and not dispatch.is_privileged(place.section):
            # Nobody could look at these, and they were run already.
            kept = [i for i, it in enumerate(todo.steps) if not families.kind_of(it.kind).hidden]
            todo = Plan([todo.steps[i] for i in kept], [todo.undo[i] for i in kept], todo.cautions)
        found.append((request, todo))
    return found


def name_devices(requests: Sequence[Request], place: Place) -> None:
    """Have requests name the host's devices by their own names, which takes one look for each."""
    new = [request for request in requests if not request.by_own_names]
    both = [topology for it in new for topology in (it.topology, it.shared) if topology]
    asked = planner.names(both)
    if not asked:
        for request in new:
            request.by_own_names = True
        return
    host = steady.observe(asked, place, with_daemon=False)
    for request in new:
        request.name(host)


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
    if not back:
        return []
    left = dispatch.take_back(request.place, back)
    if journal.is_kept():
        journal.tell_undone(_who(request), back, left)
    return left


def _tell(
    working: Sequence[tuple[Request, Plan]],
    groups: Sequence[runner.Group],
    reports: Sequence[runner.Report],
    *,
    rolled_back: bool,
) -> None:
    if journal.is_kept():
        whose = [_who(request) for request, _todo in working]
        journal.tell(whose, groups, reports, rolled_back=rolled_back)


def _who(request: Request) -> str:
    return f"{request.topology.kind} {request.topology.mark.vif_id}"


def _abandon(requests: Sequence[Request]) -> None:
    """Give every request of an all-or-nothing call its error, and take back the others."""
    for request in reversed(requests):
        if request.error is None:
            _fail(request, exception.NotAttempted())
        request.done.clear()
