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

from os_vif import exception
from os_vif.engine.draft import Draft, Known, Plan
from os_vif.engine.families import ask, of_resource, rule_of
from os_vif.engine.family import Caution, Phase
from os_vif.engine.observed import Asks, Host
from os_vif.engine.topology import Resource, Topology


def questions(topology: Topology) -> Asks:
    """Return what must be looked up on the host to plan ``topology``, either way.

    :raises UnusableFamily: nobody knows one of its resources.
    """
    return Asks(
        asked
        for resource in topology.resources
        for asked in rule_of(type(resource)).asks(resource, topology.mark)
    )


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


def plan_plug(topology: Topology, host: Host, known: Known | None = None) -> Plan:
    """Return the steps that make the host look like ``topology``; ``host`` becomes the result.

    :param known: what earlier looks of the same call have shown; what this one shows is added
    :raises ResourceConflict: something that is not ours stands in the way.
    :raises NetworkInterfaceNotFound: a device that must be there is not.
    """
    draft = Draft(topology, host, undoable=True, known=known)
    ruled = [(rule_of(type(resource)), resource) for resource in topology.resources]
    try:
        for rule, resource in ruled:
            if rule.first is not None:
                rule.first(draft, resource)
        for rule, resource in ruled:
            rule.plug(draft, resource)
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


def plan_dissolve(topology: Topology, host: Host, known: Known | None = None) -> Plan:
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


def plan_unplug(topology: Topology, host: Host, known: Known | None = None) -> Plan:
    """Return the steps that take away what is this VIF's; ``host`` becomes the result.

    What is shared stays, what is a stranger's is left alone.  Nothing of it is taken back when a
    step fails: half unplugged is nearer to what was asked for, and again does the rest.

    :param known: as for :func:`plan_plug`
    """
    draft = Draft(topology, host, undoable=False, known=known)
    for phase in Phase:
        for resource in topology.resources if phase is Phase.LAST else topology.resources[::-1]:
            act = rule_of(type(resource)).unplug.get(phase)
            if act is not None:
                act(draft, resource)
    return draft.plan
