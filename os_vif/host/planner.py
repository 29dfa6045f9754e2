# SPDX-License-Identifier: Apache-2.0
"""From what is wanted and what was seen to the steps between: pure, no I/O.

What may live here: which rule is for which kind of resource, and what must be looked up.  The
rules themselves (link_rules.py, route_rules.py) say when a thing is there, when it is in the way,
and which steps make it so.  Each step is written on the model of the host at once, so that the next
resource, and the next VIF of a batch, is planned on what the ones before it will have done.

Who owns a device decides what may be done to it:

* one with the VIF's mark is the VIF's, whatever it looks like;
* an unmarked one is adopted when it is evidently the VIF's (the right kind, and its MAC or a
  name derived from its id);
* one marked as shared is corrected when it drifted; a stranger's bridge is used as it is;
* anything else is in the way, is named in the error, and is never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from os_vif import exception
from os_vif.host import steps
from os_vif.host.draft import Draft, Plan
from os_vif.host.link_rules import is_ours, plug_bridge, plug_tap, plug_uplink, plug_vlan
from os_vif.host.observed import Host, Questions
from os_vif.host.resources import (
    Bridge,
    ForwardRules,
    HostRoute,
    ProxyNeighbour,
    Resource,
    Tap,
    Uplink,
    Vlan,
)
from os_vif.host.route_rules import plug_proxy, plug_route, plug_rules, set_rules
from os_vif.host.topology import Topology, rules_comment


def questions(topology: Topology) -> Questions:
    """Return what must be looked up on the host to plan ``topology``, either way."""
    links: set[str] = set()
    bridges: set[str] = set()
    proxying: set[str] = set()
    moves: set[tuple[str, str]] = set()
    routes: set[str] = set()
    proxies: set[tuple[str, str]] = set()
    forwarding: set[tuple[str, bool]] = set()
    for resource in topology.resources:
        match resource:
            case Tap():
                links.add(resource.name)
                if "proxy_delay" in resource.conf:
                    proxying.add(resource.name)
            case Bridge():
                links.add(resource.name)
                bridges.add(resource.name)
            case Vlan():
                links.update((resource.name, resource.link))
            case Uplink():
                links.add(resource.name)
                moves.add((resource.name, resource.bridge))
            case HostRoute():
                routes.add(resource.destination)
            case ProxyNeighbour():
                proxies.add((resource.device, resource.address))
            case ForwardRules():
                forwarding.add((rules_comment(topology.mark, resource.bridge), resource.ipv6))
    return Questions(
        frozenset(links),
        frozenset(bridges),
        frozenset(proxying),
        frozenset(moves),
        frozenset(routes),
        frozenset(proxies),
        frozenset(forwarding),
    )


def plan_plug(topology: Topology, host: Host) -> Plan:
    """Return the steps that make the host look like ``topology``; ``host`` becomes the result.

    :raises ResourceConflict: something that is not ours stands in the way.
    :raises NetworkInterfaceNotFound: a device that must be there is not.
    """
    draft = Draft(topology, host, undoable=True)
    try:
        for resource in topology.resources:
            _PLUG[type(resource)](draft, resource)
    except exception.ExceptionBase:
        # None of it will run, so the next VIF must not be planned on it.
        for step in reversed(draft.plan.undo):
            if step is not None:
                steps.apply(host, step)
        raise
    return draft.plan


def plan_unplug(topology: Topology, host: Host) -> Plan:
    """Return the steps that take away what is this VIF's; ``host`` becomes the result.

    What is shared stays, what is a stranger's is left alone.  Nothing of it is taken back when a
    step fails: half unplugged is nearer to what was asked for, and again does the rest.
    """
    draft = Draft(topology, host, undoable=False)
    doomed = [
        [link.name, link.index]
        for resource in reversed(topology.resources)
        if isinstance(resource, Tap)
        and (link := host.link(resource.name)) is not None
        and is_ours(draft.mark, resource, link)
    ]
    if doomed:
        draft.add("delete_links", links=doomed)
    for resource in topology.resources:
        if isinstance(resource, ForwardRules):
            set_rules(draft, resource, ())
    return draft.plan


_PLUG: Mapping[type[Resource], Callable[[Draft, Any], None]] = {
    Tap: plug_tap,
    Bridge: plug_bridge,
    Vlan: plug_vlan,
    Uplink: plug_uplink,
    HostRoute: plug_route,
    ProxyNeighbour: plug_proxy,
    ForwardRules: plug_rules,
}
