# SPDX-License-Identifier: Apache-2.0
"""From what is wanted and what was seen to the steps between: pure, no I/O.

What may live here: the order of a plan.  The rules (``os_vif/host/*/rules``) say when a thing is
there, when it is in the way, and which steps make it so.  Each step is written on the model of the
host at once, so that the next resource, and the next VIF of a batch, is planned on what the ones
before it will have done.

Who owns a device decides what may be done to it:

* one with the VIF's mark is the VIF's, whatever it looks like;
* an unmarked one is adopted when it is evidently the VIF's (the right kind, and its MAC or a
  name derived from its id);
* one marked as shared is corrected when it drifted; a stranger's bridge is used as it is;
* anything else is in the way, is named in the error, and is never touched.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from os_vif import exception
from os_vif.engine import families
from os_vif.engine.draft import Draft, Known, Plan
from os_vif.engine.families import ask, of_resource, rule_of
from os_vif.engine.family import NO_STRAYS, Caution, Family, Phase
from os_vif.engine.observed import HOLDERS, Asked, Asks, Host
from os_vif.engine.plugged import Plugged
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Resource, Topology

Told = TypeVar("Told")

Removing = Callable[[Plugged, Phase], Sequence[Step]]
"""Returns the steps that take away what was found of a VIF, in a phase."""


def _leave(_plugged: Plugged, _phase: Phase) -> Sequence[Step]:
    return ()


def names(topologies: Iterable[Topology]) -> Asks:
    """Return what must be looked up before anything else: the own names of devices they name.

    A topology of which a resource is nobody's has none.
    """
    asked: set[Asked] = set()
    for topology in topologies:
        with contextlib.suppress(exception.UnusableFamily):
            asked |= {
                item
                for resource in topology.resources
                for item in rule_of(type(resource)).names(resource)
            }
    return Asks(asked)


def named(topology: Topology, host: Host) -> Topology:
    """Return a topology with the own names of the devices it names.

    :param host: the answers to :func:`names`
    :raises UnusableFamily: nobody knows one of its resources.
    """
    resources = tuple(rule_of(type(it)).named(it, host) for it in topology.resources)
    return dataclasses.replace(topology, resources=resources)


def questions(topology: Topology, marks: Collection[Mark] = ()) -> Asks:
    """Return what must be looked up on the host to plan ``topology``, either way.

    :param marks: others than its own that its VIF is known to have: then of every family, else of
        those that it has to do with
    :raises UnusableFamily: nobody knows one of its resources.
    """
    asked = _asked(topology)
    there = families.all_families() if marks else _concerned(topology, asked)
    return Asks(asked | _asked_elsewhere(topology, there, marks))


def questions_elsewhere(topology: Topology, marks: Collection[Mark]) -> Asks:
    """Return what must be looked up to see what the VIF has that is not in ``topology``.

    It is not what planning needs: of the topology's own things, only who is behind an address.

    :param marks: as for :func:`questions`
    :raises UnusableFamily: nobody knows one of its resources.
    """
    cards = {item for item in _asked(topology) if item.question.when < HOLDERS}
    return Asks(cards | _asked_elsewhere(topology, families.all_families(), marks))


def _asked(topology: Topology) -> set[Asked]:
    return {
        item
        for resource in topology.resources
        for item in rule_of(type(resource)).asks(resource, topology.mark)
    }


def _asked_elsewhere(
    topology: Topology, there: Iterable[Family], marks: Collection[Mark]
) -> set[Asked]:
    known = (topology.mark, *(mark for mark in marks if mark != topology.mark))
    return set(_of_each(there, lambda it: it.strays.asks(topology, known)))


def _of_each(there: Iterable[Family], act: Callable[[Family], Iterable[Told]]) -> Iterator[Told]:
    for family in there:
        if family.strays is not NO_STRAYS:
            yield from ask(family, act)


def _concerned(topology: Topology, asked: Collection[Asked]) -> list[Family]:
    """Return the families that a topology is made of, or asks."""
    there = [of_resource(type(resource)) for resource in topology.resources]
    there += map(families.of_question, {item.question.name for item in asked})
    return list({family.name: family for family in there}.values())


def former_marks(topology: Topology, host: Host) -> set[Mark]:
    """Return the marks that the VIF's things have and that the topology does not give them.

    It was another plugin's, or another guest's, before.
    """
    found = set(_of_each(families.loaded(), lambda it: it.strays.marks(topology, host)))
    mine = topology.mark
    return found and found - {mine, dataclasses.replace(mine, instance="")}


def strays_of(topology: Topology, host: Host) -> Plugged | None:
    """Return what the VIF has elsewhere, as far as that was asked; None for nothing."""
    parts: dict[str, tuple[object, ...]] = {}
    for part in _of_each(families.loaded(), lambda it: it.strays.find(topology, host)):
        parts[part.kind] = (*parts.get(part.kind, ()), part.item)
    return Plugged(topology.mark, parts) if parts else None


def watches(topology: Topology) -> Asks:
    """Return what must be looked up beside :func:`questions` to warn of ``topology``.

    :raises UnusableFamily: nobody knows one of its resources.
    """
    return Asks(
        asked
        for resource in topology.resources
        for asked in rule_of(type(resource)).watches(resource, topology.mark)
    )


def cautions(topology: Topology, host: Host) -> list[Caution]:
    """Return what to warn of, each once, from the host as it is before any step."""
    said = [item for resource in topology.resources for item in _warned(topology, host, resource)]
    return list(dict.fromkeys(said))


def _warned(topology: Topology, host: Host, resource: Resource) -> list[Caution]:
    kind = type(resource)
    return ask(of_resource(kind), lambda _family: rule_of(kind).warns(topology, host, resource))


def plan_plug(
    topology: Topology, host: Host, known: Known | None = None, removing: Removing = _leave
) -> Plan:
    """Return the steps that make the host look like ``topology``; ``host`` becomes the result.

    :param known: what earlier looks of the same call have shown; what this one shows is added
    :param removing: what takes away what the VIF has elsewhere
    :raises ResourceConflict: something that is not ours stands in the way.
    :raises NetworkInterfaceNotFound: a device that must be there is not.
    """
    draft = Draft(topology, host, undoable=True, known=known)
    ruled = [(rule_of(type(resource)), resource) for resource in topology.resources]
    try:
        # First, or two would have the guest's address, or the device that both stand on.
        _clear(draft, removing)
        for rule, resource in ruled:
            if rule.first is not None:
                rule.first(draft, resource)
        for rule, resource in ruled:
            rule.plug(draft, resource)
        for family in families.loaded():
            family.strays.settle(draft)
    except exception.ExceptionBase:
        draft.abandon()  # the next VIF must not be planned on it
        raise
    return draft.plan


def dissolve_questions(topology: Topology) -> Asks:
    """Return what must be looked up on the host for :func:`plan_dissolve`.

    :raises UnusableFamily: nobody knows one of its resources.
    """
    return Asks(
        asked
        for resource in topology.resources
        for asked in rule_of(type(resource)).dissolve_asks(resource, topology.mark)
    )


def plan_dissolve(
    topology: Topology, host: Host, known: Known | None = None, _removing: Removing = _leave
) -> Plan:
    """Return the steps that take away what VIFs share, where nobody uses it; unlike the VIF's own.

    With it the host's own addresses move, so a step that fails takes back all.

    :raises ResourceConflict: something cannot be moved.
    """
    draft = Draft(topology, host, undoable=True, known=known)
    try:
        for resource in reversed(topology.resources):
            dissolve = rule_of(type(resource)).dissolve
            if dissolve is not None:
                dissolve(draft, resource)
    except exception.ExceptionBase:
        draft.abandon()
        raise
    return draft.plan


def _clear(draft: Draft, removing: Removing) -> None:
    """Take up the steps that take away what the VIF has elsewhere.

    :raises ResourceConflict: it cannot go, as somebody uses it.
    """
    strays = strays_of(draft.topology, draft.host)
    if strays is None:
        return
    for phase in Phase:
        if phase is Phase.DELETE:
            need_free(draft, strays)  # by now all that is the VIF's has let go of the devices
        for step in removing(strays, phase):
            draft.take(step)


def need_free(draft: Draft, strays: Plugged) -> None:
    """See that nobody uses what a VIF has elsewhere.

    :raises ResourceConflict: somebody does.
    """
    for family in families.loaded():
        family.strays.need_free(draft, strays)


def plan_unplug(
    topology: Topology, host: Host, known: Known | None = None, removing: Removing = _leave
) -> Plan:
    """Return the steps that take away what is this VIF's; ``host`` becomes the result.

    What is shared stays, what is a stranger's is left alone.  Nothing of it is taken back when a
    step fails: half unplugged is nearer to what was asked for, and again does the rest.

    :param known: as for :func:`plan_plug`
    :param removing: the same
    :raises HeldByAnother: what is the VIF's is in another's hands.
    """
    draft = Draft(topology, host, undoable=False, known=known)
    strays = strays_of(topology, host)
    for phase in Phase:
        for resource in topology.resources if phase is Phase.LAST else topology.resources[::-1]:
            act = rule_of(type(resource)).unplug.get(phase)
            if act is not None:
                act(draft, resource)
        for step in removing(strays, phase) if strays is not None else ():
            draft.take(step)
    return draft.plan
