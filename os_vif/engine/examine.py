# SPDX-License-Identifier: Apache-2.0
"""Look at VIFs, and touch nothing: what is missing of them, what is elsewhere, what to warn of."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from os_vif import exception
from os_vif.engine import call_time, dispatch, families, planner, steps
from os_vif.engine.converge import Request, name_devices
from os_vif.engine.draft import Draft
from os_vif.engine.family import Caution, Unseen
from os_vif.engine.observed import Asks, Host, Question
from os_vif.engine.place import AS_ROOT, Place
from os_vif.engine.plugged import Plugged
from os_vif.engine.steady import observe
from os_vif.engine.step import HOST, Change, Step
from os_vif.engine.topology import Mark


@dataclasses.dataclass(slots=True)
class Seen:
    """What a look at one VIF found.

    :ivar steps: those that are missing.
    :ivar cautions: what to warn of.
    :ivar error: why it cannot be planned; None if it can.
    :ivar unseen: what nobody here may see.
    :ivar assumed: of the steps, those that are there because of that.
    :ivar changes: of each step what it changes, where the look was for that too.
    """

    steps: list[Step] = dataclasses.field(default_factory=list)
    cautions: list[Caution] = dataclasses.field(default_factory=list)
    error: Exception | None = None
    unseen: list[Unseen] = dataclasses.field(default_factory=list)
    assumed: list[Step] = dataclasses.field(default_factory=list)
    changes: list[Change] = dataclasses.field(default_factory=list)
    _host: Host | None = dataclasses.field(default=None, repr=False)
    _with_daemon: bool = False


class _Eyes:
    """Looks at the host for one call.

    :param partial: without what takes privilege, where nobody can be found who has it and the
        configuration names nobody.  Then nobody is asked for a password either.
    """

    def __init__(self, *, partial: bool) -> None:
        self._partial = partial
        self._blind: set[str] = set()

    def observe(self, asked: Asks, place: Place) -> Host:
        """Answer questions about the host.

        :raises NotPrivileged: nobody may see what they ask.
        """
        if self.sees(place):
            try:
                with call_time.unattended() if self._partial else contextlib.nullcontext():
                    return observe(asked, place, with_daemon=True)
            except exception.NotPrivileged as error:
                if not self._partial or error.kwargs.get("configured"):
                    raise
                self._blind.add(place.section)
        return observe(asked, place, with_daemon=False)

    def sees(self, place: Place) -> bool:
        """Tell whether somebody may see all of a place, as far as is known."""
        return place.section not in self._blind


def plan(request: Request, *, unplugging: bool = False, partial: bool = False) -> Seen:
    """Return what is missing, without warnings, and touch nothing.

    :param partial: without what nobody here may see
    :raises NotPrivileged: there is such a thing.
    :raises ResourceConflict: something that is not ours stands in the way.
    :raises NetworkInterfaceNotFound: a device that must be there is not.
    """
    return _examine(request, _Eyes(partial=partial), unplugging=unplugging, whole=False)


def examine(
    requests: Sequence[Request], *, unplugging: bool = False, partial: bool = False
) -> list[Seen]:
    """Look at VIFs, each by itself, and touch nothing.

    What to warn of is looked up once for all of them, because it is about the host.

    :param partial: as for :func:`plan`
    """
    eyes = _Eyes(partial=partial)
    found = []
    for request in requests:
        try:
            found.append(_examine(request, eyes, unplugging=unplugging, whole=True))
        except Exception as error:  # each VIF has its own answer
            found.append(Seen(error=error))
    if not unplugging:
        pairs = list(zip(requests, found, strict=True))
        for place in dict.fromkeys(request.place for request in requests):
            _watch(place, [(it, seen) for it, seen in pairs if it.place == place])
    return found


def _examine(request: Request, eyes: _Eyes, *, unplugging: bool, whole: bool) -> Seen:
    name_devices([request], request.place)
    asked = _asked(request)
    host = eyes.observe(asked, request.place)
    if request.widen(host):
        asked = _asked(request)
        host = eyes.observe(asked, request.place)
    # Planning writes on the host what it will be; a copy takes as long as the plan.
    before = copy.deepcopy(host) if whole else None
    chosen = planner.plan_unplug if unplugging else planner.plan_plug
    todo = chosen(request.topology, host, removing=dispatch.removing)
    if request.shared is not None:
        todo.steps += planner.plan_dissolve(request.shared, host).steps
    changes = []
    if before is not None and todo.steps:
        model = copy.deepcopy(before)
        changes = [steps.change(model, step) for step in todo.steps]
    with_daemon = whole and any(item.question.privileged for item in asked)
    return Seen(
        todo.steps,
        todo.cautions,
        unseen=_in_words(host.unseen, request.place),
        assumed=_assumed(todo.steps, host.unseen),
        changes=changes,
        _host=before,
        _with_daemon=with_daemon and eyes.sees(request.place),
    )


def examine_together(requests: Sequence[Request], *, watching: bool) -> list[Seen]:
    """Look at topologies of one place, once for all of them, and touch nothing.

    Each is planned on what those before it will have done.  Nothing that takes privilege to see is
    looked at.

    :param watching: look too for what only warnings need
    :raises OSError: somebody refused to tell.
    """
    place = requests[0].place
    asked = Asks(item for it in requests for item in planner.questions(it.topology))
    host = observe(asked, place, with_daemon=False)
    before = copy.deepcopy(host)
    model: Host | None = None  # where nothing is to be done, nobody needs it
    found = []
    for request in requests:
        try:
            todo = planner.plan_plug(request.topology, host)
        except exception.ExceptionBase as error:
            found.append(Seen(error=error))
        else:
            if model is None and todo.steps:
                model = copy.deepcopy(before)
            changes = [steps.change(model, step) for step in todo.steps if model is not None]
            found.append(Seen(todo.steps, todo.cautions, changes=changes, _host=before))
    _watch(place, list(zip(requests, found, strict=True)), watching=watching)
    return found


def _in_words(unseen: Collection[Question[Any, Any]], place: Place) -> list[Unseen]:
    needs = "root" if place.section == AS_ROOT else "CAP_NET_ADMIN"
    named = {question.sees or question.name for question in unseen}
    return [Unseen(what, needs) for what in sorted(named)]


def _assumed(todo: Iterable[Step], unseen: Collection[Question[Any, Any]]) -> list[Step]:
    """Return the steps on what only the privileged side sees, where it was not seen."""
    blind = {families.of_question(question.name).name for question in unseen}
    return [
        step
        for step in todo
        if families.kind_of(step.kind).hidden and families.family_of(step.kind).name in blind
    ]


def _asked(request: Request) -> Asks:
    asked = planner.questions(request.topology, request.former)
    if request.shared is not None:
        asked |= planner.dissolve_questions(request.shared)
    return asked


def _watch(place: Place, pairs: Sequence[tuple[Request, Seen]], *, watching: bool = True) -> None:
    """Note for each VIF that can be planned what to warn of.

    Warnings alone are not worth starting a daemon for: it serves where planning needed it too.
    """
    pairs = [(request, seen) for request, seen in pairs if seen.error is None]
    try:
        watched = {item for it, _seen in pairs if watching for item in planner.watches(it.topology)}
        with_daemon = any(seen._with_daemon for _request, seen in pairs)
        around = observe(watched, place, with_daemon=with_daemon)
    except (OSError, exception.ExceptionBase) as error:
        for _request, seen in pairs:
            seen.cautions.append(Caution(HOST, f"what to warn of could not be seen: {error}"))
        return
    for request, seen in pairs:
        before = seen._host or Host()
        for question, answers in around.answers.items():
            before[question].update(answers)
        seen.cautions += planner.cautions(request.topology, before)


def elsewhere(
    request: Request, marks: Collection[Mark], databases: Iterable[Any]
) -> Plugged | None:
    """Return what a VIF has that is not in its description; None for nothing, or if it is in use.

    :param marks: those that the host is known to hold of the VIF
    :param databases: where to look beside the place of the VIF's plugin
    """
    topology = request.topology
    asked = planner.questions_elsewhere(topology, marks)
    parts: dict[str, tuple[Any, ...]] = {}
    for database in dict.fromkeys([request.place.database, *databases]):
        place = dataclasses.replace(request.place, database=database)
        host = observe(asked, place, with_daemon=False)
        strays = planner.strays_of(topology, host)
        if strays is not None:
            try:
                # The guest on it is not to be cut off for tidiness; check tells of it.
                planner.need_free(Draft(topology, host, undoable=False), strays)
            except exception.ResourceConflict:
                return None
            for kind, items in strays.parts.items():
                known = parts.get(kind, ())
                parts[kind] = (*known, *(item for item in items if item not in known))
    return Plugged(topology.mark, parts) if parts else None
