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

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from os_vif import exception
from os_vif.host import steps
from os_vif.host.draft import Draft, Plan
from os_vif.host.function_rules import plug_representor, unplug_representor
from os_vif.host.link_rules import (
    is_ours,
    plug_bridge,
    plug_tap,
    plug_uplink,
    plug_veth,
    plug_vlan,
)
from os_vif.host.observed import Host, Questions
from os_vif.host.resources import (
    Bridge,
    ForwardRules,
    HostRoute,
    ProxyNeighbour,
    Representor,
    Tap,
    Uplink,
    Veth,
    Vlan,
)
from os_vif.host.route_rules import plug_proxy, plug_route, plug_rules, set_rules
from os_vif.host.switch import OvsBridge, OvsPort
from os_vif.host.switch_rules import (
    detach_port,
    plug_port,
    plug_switch_bridge,
    unplug_port,
    unplug_switch_bridge,
)
from os_vif.host.topology import Mark, Resource, Topology, rules_comment


def questions(topology: Topology) -> Questions:
    """Return what must be looked up on the host to plan ``topology``, either way."""
    asked: dict[str, set[Any]] = {field.name: set() for field in dataclasses.fields(Questions)}
    for resource in topology.resources:
        for about, what in _ASKS[type(resource)](resource, topology.mark):
            asked[about].add(what)
    return Questions(**{about: frozenset(items) for about, items in asked.items()})


def plan_plug(topology: Topology, host: Host) -> Plan:
    """Return the steps that make the host look like ``topology``; ``host`` becomes the result.

    :raises ResourceConflict: something that is not ours stands in the way.
    :raises NetworkInterfaceNotFound: a device that must be there is not.
    """
    draft = Draft(topology, host, undoable=True)
    try:
        for resource in topology.resources:
            if isinstance(resource, OvsPort):
                detach_port(draft, resource)
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
    backwards = topology.resources[::-1]
    # The switch lets go of a device before it is deleted.
    for resource in backwards:
        if isinstance(resource, OvsPort):
            unplug_port(draft, resource)
    for resource in backwards:
        if isinstance(resource, OvsBridge):
            unplug_switch_bridge(draft, resource)
    doomed = [
        [link.name, link.index]
        for resource in backwards
        if isinstance(resource, Tap | Veth | Bridge)
        and (link := host.link(resource.name)) is not None
        and is_ours(draft.mark, resource, link)
        # What another's port stands on is that port's, whatever it is called.
        and host.ovs_ports.get(resource.name) is None
    ]
    if doomed:
        draft.add("delete_links", links=doomed)
    for resource in backwards:
        if isinstance(resource, Representor):
            unplug_representor(draft, resource)
    for resource in topology.resources:
        if isinstance(resource, ForwardRules):
            set_rules(draft, resource, ())
    return draft.plan


def _asks_tap(tap: Tap, _mark: Mark) -> list[tuple[str, Any]]:
    delay = [("proxying", tap.name)] if "proxy_delay" in tap.conf else []
    return [("links", tap.name), *delay]


def _asks_port(port: OvsPort, _mark: Mark) -> list[tuple[str, Any]]:
    asked: list[tuple[str, Any]] = []
    if port.behind:
        # Its name may have changed since, and with it the port's.
        asked += [("functions", port.behind), ("ovs_ids", port.external_ids["iface-id"])]
    if port.name:
        asked.append(("ovs_ports", port.name))
        if not port.type:
            asked.append(("links", port.name))
    return asked


def _asks_representor(representor: Representor, _mark: Mark) -> list[tuple[str, Any]]:
    named = [("links", representor.name)] if representor.name else []
    return [("functions", representor.address), *named]


_ASKS: Mapping[type[Resource], Callable[[Any, Mark], list[tuple[str, Any]]]] = {
    Tap: _asks_tap,
    Veth: lambda veth, _mark: [("links", veth.name), ("links", veth.peer)],
    Bridge: lambda bridge, _mark: [("links", bridge.name), ("bridges", bridge.name)],
    Vlan: lambda vlan, _mark: [("links", vlan.name), ("links", vlan.link)],
    Uplink: lambda uplink, _mark: [
        ("links", uplink.name),
        ("moves", (uplink.name, uplink.bridge)),
    ],
    HostRoute: lambda route, _mark: [("routes_to", route.destination)],
    ProxyNeighbour: lambda proxy, _mark: [("proxies", (proxy.device, proxy.address))],
    ForwardRules: lambda rules, mark: [
        ("forwarding", (rules_comment(mark, rules.bridge), rules.ipv6))
    ],
    Representor: _asks_representor,
    OvsBridge: lambda bridge, _mark: [("ovs_bridges", bridge.name)],
    OvsPort: _asks_port,
}

_PLUG: Mapping[type[Resource], Callable[[Draft, Any], None]] = {
    Tap: plug_tap,
    Veth: plug_veth,
    Bridge: plug_bridge,
    Vlan: plug_vlan,
    Uplink: plug_uplink,
    HostRoute: plug_route,
    ProxyNeighbour: plug_proxy,
    ForwardRules: plug_rules,
    Representor: plug_representor,
    OvsBridge: plug_switch_bridge,
    OvsPort: plug_port,
}
