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
from os_vif.host.draft import Draft, Plan
from os_vif.host.fast_path import BackEnd, FastPathDevice, VhostSocket
from os_vif.host.fast_path_rules import (
    need_tap,
    plug_back_end,
    plug_fp_device,
    plug_socket,
    unplug_back_end,
    unplug_fp_device,
)
from os_vif.host.function_marks import LOOPBACK
from os_vif.host.function_rules import plug_representor, unplug_representor
from os_vif.host.function_vlan_rules import plug_function_vlan, unplug_function_vlan
from os_vif.host.link_rules import (
    is_ours,
    plug_bridge,
    plug_tap,
    plug_uplink,
    plug_veth,
    plug_vlan,
    unplug_vlan,
)
from os_vif.host.macvtap_rules import plug_macvtap, unplug_macvtap
from os_vif.host.observed import Host, Questions
from os_vif.host.passthrough import FunctionVlan, PciDevice, VirtualFunction
from os_vif.host.profile_rules import (
    asks_port_profile,
    asks_vsi,
    plug_port_profile,
    plug_vsi,
    unplug_port_profile,
    unplug_vsi,
)
from os_vif.host.profiles import PortProfileQbg, PortProfileQbh
from os_vif.host.resources import (
    Bridge,
    ForwardRules,
    HostRoute,
    Macvtap,
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
from os_vif.host.vf_rules import plug_device, plug_vf, unplug_device, unplug_vf


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
            if isinstance(resource, BackEnd):
                need_tap(draft, resource)
        for resource in topology.resources:
            _PLUG[type(resource)](draft, resource)
    except exception.ExceptionBase:
        draft.abandon()  # the next VIF must not be planned on it
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
    for resource in backwards:
        ahead = _AHEAD.get(type(resource))
        if ahead is not None:
            ahead(draft, resource)
    doomed = [
        [link.name, link.index]
        for resource in backwards
        if isinstance(resource, Tap | Veth | Bridge | Macvtap)
        and (link := host.link(resource.name)) is not None
        and is_ours(draft.mark, resource, link)
        # What another's port stands on is that port's, whatever it is called.
        and host.ovs_ports.get(resource.name) is None
    ]
    if doomed:
        draft.add("delete_links", links=doomed)
    for resource in backwards:
        give_back = _GIVE_BACK.get(type(resource))
        if give_back is not None:
            give_back(draft, resource)
    for resource in topology.resources:
        if isinstance(resource, ForwardRules):
            set_rules(draft, resource, ())
    return draft.plan


def _asks_tap(tap: Tap | FastPathDevice, _mark: Mark) -> list[tuple[str, Any]]:
    delay = [("proxying", tap.name)] if "proxy_delay" in tap.conf else []
    return [("links", tap.name), *delay]


def _asks_vlan(vlan: Vlan, _mark: Mark) -> list[tuple[str, Any]]:
    below = ("functions", vlan.behind) if vlan.behind else ("links", vlan.link)
    return [("links", vlan.name), below, *([] if vlan.stays else [("users", vlan.name)])]


def _asks_macvtap(macvtap: Macvtap, _mark: Mark) -> list[tuple[str, Any]]:
    asked: list[tuple[str, Any]] = [("links", macvtap.name)]
    if macvtap.behind:
        asked.append(("functions", macvtap.behind))
    elif macvtap.link:
        asked.append(("links", macvtap.link))
    if macvtap.mode == "passthru":
        asked.append(("users", macvtap.behind or macvtap.link))
    return asked


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


def _asks_device(device: PciDevice, _mark: Mark) -> list[tuple[str, Any]]:
    about = ("functions", "handed", "vfs")
    asked = [("links", LOOPBACK), *((question, device.address) for question in about)]
    return [*asked, ("pci_drivers", device.driver)] if device.driver else asked


def _asks_place(wanted: FastPathDevice | BackEnd) -> tuple[str, Any]:
    return "sockets", (wanted.path, "", not wanted.listens)


_ASKS: Mapping[type[Resource], Callable[[Any, Mark], list[tuple[str, Any]]]] = {
    Tap: _asks_tap,
    Veth: lambda veth, _mark: [("links", veth.name), ("links", veth.peer)],
    Bridge: lambda bridge, _mark: [("links", bridge.name), ("bridges", bridge.name)],
    Vlan: _asks_vlan,
    Macvtap: _asks_macvtap,
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
    PciDevice: _asks_device,
    VirtualFunction: lambda vf, _mark: [("functions", vf.address), ("vfs", vf.address)],
    FunctionVlan: lambda vlan, _mark: [("functions", vlan.address), ("vfs", vlan.address)],
    PortProfileQbg: asks_vsi,
    PortProfileQbh: asks_port_profile,
    FastPathDevice: lambda device, mark: [
        *_asks_tap(device, mark),
        ("back_ends", device.name),
        _asks_place(device),
    ],
    BackEnd: lambda process, _mark: [
        ("links", process.name),
        ("back_ends", process.name),
        _asks_place(process),
    ],
    VhostSocket: lambda socket, _mark: [
        ("sockets", (socket.path, socket.user, not socket.listens))
    ],
    OvsBridge: lambda bridge, _mark: [("ovs_bridges", bridge.name)],
    OvsPort: _asks_port,
}

_PLUG: Mapping[type[Resource], Callable[[Draft, Any], None]] = {
    Tap: plug_tap,
    Veth: plug_veth,
    Bridge: plug_bridge,
    Vlan: plug_vlan,
    Macvtap: plug_macvtap,
    Uplink: plug_uplink,
    HostRoute: plug_route,
    ProxyNeighbour: plug_proxy,
    ForwardRules: plug_rules,
    Representor: plug_representor,
    PciDevice: plug_device,
    VirtualFunction: plug_vf,
    FunctionVlan: plug_function_vlan,
    PortProfileQbg: plug_vsi,
    PortProfileQbh: plug_port_profile,
    FastPathDevice: plug_fp_device,
    BackEnd: plug_back_end,
    VhostSocket: plug_socket,
    OvsBridge: plug_switch_bridge,
    OvsPort: plug_port,
}

_AHEAD: Mapping[type[Resource], Callable[[Draft, Any], None]] = {
    PortProfileQbg: unplug_vsi,
    PortProfileQbh: unplug_port_profile,
    FunctionVlan: unplug_function_vlan,
    Macvtap: unplug_macvtap,
    FastPathDevice: unplug_fp_device,
    BackEnd: unplug_back_end,
}
"""What is to be done while the devices are still there."""

_GIVE_BACK: Mapping[type[Resource], Callable[[Draft, Any], None]] = {
    Representor: unplug_representor,
    Vlan: unplug_vlan,
    VirtualFunction: unplug_vf,
    PciDevice: unplug_device,
}
"""What is to be done, once the devices are gone, for what is not the VIF's own."""
