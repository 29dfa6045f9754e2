# SPDX-License-Identifier: Apache-2.0
"""Look at VIFs, and touch nothing: what is missing of them, what is elsewhere, what to warn of."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from os_vif import exception
from os_vif.engine import dispatch, planner
from os_vif.engine.converge import Request
from os_vif.engine.draft import Draft
from os_vif.engine.family import Caution
from os_vif.engine.observed import Asks, Host
from os_vif.engine.place import Place
from os_vif.engine.plugged import Plugged
from os_vif.engine.steady import observe
from os_vif.engine.step import HOST, Step
from os_vif.engine.topology import Mark


@dataclasses.dataclass(slots=True)
class Seen:
    """What a look at one VIF found.

    :ivar steps: those that are missing.
    :ivar cautions: what to warn of.
    :ivar error: why it cannot be planned; None if it can.
    """

    steps: list[Step] = dataclasses.field(default_factory=list)
    cautions: list[Caution] = dataclasses.field(default_factory=list)
    error: Exception | None = None
    _host: Host | None = dataclasses.field(default=None, repr=False)
    _with_daemon: bool = False


def plan(request: Request, *, unplugging: bool = False) -> list[Step]:
    """Return the steps that are missing, and touch nothing.

    :raises ResourceConflict: something that is not ours stands in the way.
    :raises NetworkInterfaceNotFound: a device that must be there is not.
    """
    return _examine(request, unplugging=unplugging, warn=False).steps


def examine(requests: Sequence[Request], *, unplugging: bool = False) -> list[Seen]:
    """Look at VIFs, each by itself, and touch nothing.

    What to warn of is looked up once for all of them, because it is about the host.
    """
    found = []
    for request in requests:
        try:
            found.append(_examine(request, unplugging=unplugging, warn=not unplugging))
        except Exception as error:  # each VIF has its own answer
            found.append(Seen(error=error))
    if not unplugging:
        pairs = list(zip(requests, found, strict=True))
        for place in dict.fromkeys(request.place for request in requests):
            _watch(place, [(it, seen) for it, seen in pairs if it.place == place])
    return found


def _examine(request: Request, *, unplugging: bool, warn: bool) -> Seen:
    asked = _asked(request)
    host = observe(asked, request.place, with_daemon=True)
    if request.widen(host):
        asked = _asked(request)
        host = observe(asked, request.place, with_daemon=True)
    # Planning writes on the host what it will be; a copy takes as long as the plan.
    before = copy.deepcopy(host) if warn else None
    chosen = planner.plan_unplug if unplugging else planner.plan_plug
    todo = chosen(request.topology, host, removing=dispatch.removing)
    if request.shared is not None:
        todo.steps += planner.plan_dissolve(request.shared, host).steps
    with_daemon = any(item.question.privileged for item in asked)
    return Seen(todo.steps, todo.cautions, _host=before, _with_daemon=with_daemon)


def _asked(request: Request) -> Asks:
    asked = planner.questions(request.topology, request.former)
    if request.shared is not None:
        asked |= planner.dissolve_questions(request.shared)
    return asked


def _watch(place: Place, pairs: Sequence[tuple[Request, Seen]]) -> None:
    """Note for each VIF that can be planned what to warn of.

    Warnings alone are not worth starting a daemon for: it serves where planning needed it too.
    """
    pairs = [(request, seen) for request, seen in pairs if seen.error is None]
    try:
        watched = {item for it, _seen in pairs for item in planner.watches(it.topology)}
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
