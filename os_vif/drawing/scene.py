# SPDX-License-Identifier: Apache-2.0
"""What is in a picture: from topologies to parts, each on top of the one it is attached to.

What may live here: which parts a resource becomes, and what stands in them.  A new kind of
resource is one more row of :data:`_DRAW`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from os_vif.host.fast_path import BackEnd, FastPathDevice, VhostSocket
from os_vif.host.passthrough import FunctionVlan, PciDevice, VirtualFunction
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
from os_vif.host.switch import DEAD_VLAN, OvsBridge, OvsPort
from os_vif.host.topology import Resource, Topology

HOST = "the host's routing"
"""Id and title of the part that stands for the host as a router."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a part.

    :ivar missing: it is not there at all.
    :ivar detached: it is not attached to what it should be.
    :ivar notes: in words, one line each.
    """

    missing: bool = False
    detached: bool = False
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True)
class Part:
    """A box of the picture.

    :ivar key: what others refer to it by; the device's name.
    :ivar kind: ``guest``, ``tap``, ``veth``, ``bridge``, ``vlan``, ``nic``, ``host``; of Open
        vSwitch ``switch`` (a bridge), ``port`` and ``socket`` (a vhost-user port).  The switch that
        the host is wired to is a ``switch`` too.  ``socket`` is any vhost-user socket, ``process``
        what moves packets between one and a device.
    :ivar below: the key of the part it is attached to; None at the bottom.
    :ivar carries: whether its own attachment is to the part above: an uplink joins its bridge.
    :ivar fault: None if it is as it should be, or if nobody looked.
    """

    key: str
    kind: str
    title: str
    lines: list[str] = dataclasses.field(default_factory=list)
    below: str | None = None
    carries: bool = False
    fault: Fault | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """The guest's end of a VIF: its name and what to say about it, a line each."""

    name: str
    lines: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True)
class Scene:
    """Everything in one picture.

    :ivar parts: by key, guests first.
    :ivar own: names of Open vSwitch bridges that are one VIF's alone.
    :ivar rules: how many FORWARD rules a bridge has of these VIFs, by bridge and command.
    """

    parts: dict[str, Part] = dataclasses.field(default_factory=dict)
    own: set[str] = dataclasses.field(default_factory=set)
    rules: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)

    @property
    def title(self) -> str:
        """What the picture shows, in a few words."""
        guests = [part.title for part in self.parts.values() if part.kind == "guest"]
        named = ", ".join(guests[:3]) + (f" and {len(guests) - 3} more" if guests[3:] else "")
        return f"Where {named or 'a VIF'} sits on the host"

    @property
    def description(self) -> str:
        """What the picture shows, for who cannot see it."""
        sentences = []
        for part in self.parts.values():
            words = f"{part.kind} {part.title}"
            if part.lines:
                words += f" ({'; '.join(part.lines)})"
            if part.below in self.parts:
                words += f" is attached to {self.parts[part.below].title}"
            if part.fault:
                words += " and is missing" if part.fault.missing else " and is not as it should be"
                words += f": {'; '.join(part.fault.notes)}" if part.fault.notes else ""
            sentences.append(words)
        return ". ".join(sentences) + "."


def scene_of(
    vifs: Sequence[tuple[Topology, Guest]], faults: Mapping[str, Fault] | None = None
) -> Scene:
    """Return the scene of VIFs; those that share a bridge stand on the same one.

    :param faults: by device name, what checking them against the host found
    """
    scene = Scene()
    for topology, guest in vifs:
        # First, so that the guests of one bridge come in the order they were given in.
        key = f"guest {topology.mark.vif_id}"
        part = Part(key, "guest", guest.name, list(guest.lines))
        scene.parts[key] = part
        for resource in topology.resources:
            _DRAW[type(resource)](scene, resource)
        part.below = top = _top(scene, topology)
        own = {it.name for it in topology.resources if isinstance(it, Bridge) and it.own}
        if top in own:
            scene.parts[top].lines.append("the hypervisor's tap joins it")
    for (bridge, command), count in scene.rules.items():
        rules = "1 FORWARD rule" if count == 1 else f"{count} FORWARD rules"
        _part(scene, bridge, "bridge", f"{rules} ({command})")
    for name, fault in (faults or {}).items():
        if name in scene.parts:
            scene.parts[name].fault = fault
    return scene


def _top(scene: Scene, topology: Topology) -> str | None:
    """Return what the guest stands on: the VIF's part that nothing else of the VIF stands on.

    Where the hypervisor makes the tap itself, that is the bridge it puts the tap on.
    """
    keys = [
        key
        for resource in topology.resources
        if not isinstance(resource, ForwardRules | HostRoute | ProxyNeighbour)
        for key in _keys(resource)
        if key in scene.parts
    ]
    carrying = {scene.parts[key].below for key in keys}
    return next((key for key in keys if key not in carrying), None)


def process_of(device: str) -> str:
    """Return the key of the process behind a device."""
    return f"back end of {device}"


def _keys(resource: Resource) -> list[str]:
    """Return the keys of the parts that a resource became."""
    match resource:
        case FastPathDevice():
            return [resource.name, resource.path]
        case BackEnd():
            return [process_of(resource.name), resource.path]
        case VhostSocket():
            return [resource.path]
        case _:
            return [_key(resource)]


def _key(resource: Resource) -> str:
    if isinstance(resource, PciDevice | VirtualFunction):
        return resource.address
    # What a representor is called is seen on the host, unless it gets a name.
    behind = getattr(resource, "behind", "") or getattr(resource, "address", "")
    return str(getattr(resource, "name", "")) or f"representor of {behind}"


def _part(scene: Scene, key: str, kind: str, *lines: str) -> Part:
    part = scene.parts.get(key)
    if part is None:
        part = scene.parts[key] = Part(key, kind, key)
    elif part.kind in ("nic", "port") and kind != "nic":
        part.kind = kind
    for line in lines:
        if line not in part.lines:
            part.lines.append(line)
    return part


def _tap(scene: Scene, tap: Tap) -> None:
    lines = ["tap, multi-queue" if tap.multi_queue else "tap"]
    if tap.mtu is not None:
        lines.append(f"MTU {tap.mtu}")
    part = _part(scene, tap.name, "tap", *lines)
    part.below = tap.bridge
    if tap.bridge is not None:
        _part(scene, tap.bridge, "bridge")


def _bridge(scene: Scene, bridge: Bridge) -> None:
    _part(scene, bridge.name, "bridge", "bridge" if bridge.create else "bridge of the host")


def _vlan(scene: Scene, vlan: Vlan) -> None:
    part = _part(scene, vlan.name, "vlan", f"VLAN {vlan.vlan_id}")
    part.below = _nic(scene, vlan.link, vlan.behind)


def _nic(scene: Scene, name: str, address: str) -> str:
    """Return the key of the host's device of this name, or of the one behind a PCI address."""
    lines = [] if name in scene.parts else ["uplink" if name else "NIC"]
    return _part(scene, name or address, "nic", *lines).key


def _macvtap(scene: Scene, macvtap: Macvtap) -> None:
    mode = "passthrough" if macvtap.mode == "passthru" else macvtap.mode
    lines = [f"macvtap, mode {mode}"]
    if macvtap.mtu is not None:
        lines.append(f"MTU {macvtap.mtu}")
    part = _part(scene, macvtap.name, "tap", *lines)
    if macvtap.link or macvtap.behind:
        part.below = _nic(scene, macvtap.link, macvtap.behind)


def _uplink(scene: Scene, uplink: Uplink) -> None:
    if uplink.name not in scene.parts:
        _part(scene, uplink.name, "nic", "uplink")
    _part(scene, uplink.name, "nic", f"MTU {uplink.mtu}").carries = True
    _part(scene, uplink.bridge, "bridge").below = uplink.name


def _veth(scene: Scene, veth: Veth) -> None:
    near = _part(scene, veth.name, "veth", "veth", f"MTU {veth.mtu}")
    near.carries = True
    near.below = veth.peer
    _part(scene, veth.peer, "veth", "veth", f"MTU {veth.mtu}")
    _part(scene, veth.bridge, "bridge").below = veth.name


def _representor(scene: Scene, representor: Representor) -> None:
    lines = [f"representor of {representor.address}"] if representor.name else []
    if representor.mtu is not None:
        lines.append(f"MTU {representor.mtu}")
    _part(scene, _key(representor), "port", *lines)


def _device(scene: Scene, device: PciDevice) -> None:
    lines = [f"given to {device.driver}"] if device.driver else []
    _part(scene, device.address, "nic", *(lines or ["given to the guest whole"]))


_VF_LINES: Mapping[str, Callable[[VirtualFunction], str]] = {
    "mac": lambda vf: f"MAC {vf.mac}",
    "vlan": lambda vf: f"VLAN {vf.vlan}",
    "trust": lambda _vf: "trusted",
    "spoofchk": lambda _vf: "spoof check",
    "max_tx_rate": lambda vf: f"at most {vf.max_tx_rate} Mbit/s",
    "min_tx_rate": lambda vf: f"at least {vf.min_tx_rate} Mbit/s",
}


def _virtual_function(scene: Scene, vf: VirtualFunction) -> None:
    lines = [words(vf) for name, words in _VF_LINES.items() if getattr(vf, name)]
    lines += [f"link {vf.link_state}"] if vf.link_state else []
    part = _part(scene, vf.address, "nic", "virtual function", *lines)
    part.below = f"the card of {vf.address}"
    _part(scene, part.below, "nic", "its physical function", "switches by MAC and VLAN")


def _function_vlan(scene: Scene, vlan: FunctionVlan) -> None:
    _part(scene, _nic(scene, "", vlan.address), "nic", f"virtual function in VLAN {vlan.vlan}")


def _ovs_bridge(scene: Scene, bridge: OvsBridge) -> None:
    lines = ["Open vSwitch bridge"]
    if bridge.datapath_type:
        lines.append(f"datapath {bridge.datapath_type}")
    if bridge.own:
        scene.own.add(bridge.name)
        lines.append("this VIF's alone")
    _part(scene, bridge.name, "switch", *lines)


_PORT_LINES: Mapping[str, str] = {
    "patch": "patch port",
    "dpdk": "DPDK port",
    "dpdkvhostuser": "vhost-user: the switch listens",
    "dpdkvhostuserclient": "vhost-user: the guest listens at",
}
"""What a port is, by its interface's type."""


def _ovs_port(scene: Scene, port: OvsPort) -> None:
    kind = "socket" if port.type.startswith("dpdkvhostuser") else "port"
    lines = [_PORT_LINES[port.type]] if port.type in _PORT_LINES else []
    lines += [port.options[key] for key in ("vhost-server-path",) if key in port.options]
    if port.behind and port.type:
        lines.append(f"representor of {port.behind}")
    if not port.type and not port.attached:
        lines.append("the hypervisor's device")
    if port.mtu_request is not None:
        lines.append(f"MTU {port.mtu_request}")
    if "iface-id" in port.external_ids:
        # As much of it as tells it from others: the whole would make every box wide.
        lines.append(f"iface-id {port.external_ids['iface-id'][:8]}...")
    if port.isolate:
        lines.append(f"VLAN {DEAD_VLAN} until its agent comes")
    key = _key(port)
    part = _part(scene, key, kind, *lines)
    part.below = port.bridge
    if port.type == "patch" and port.bridge in scene.own:
        # The way out of a bridge of the VIF's own: the other end is on the shared one.
        _part(scene, port.bridge, "switch").below = key
        part.below = port.options["peer"]
        part.carries = True
        _part(scene, part.below, "port")
    else:
        _part(scene, port.bridge, "switch")


def _socket(scene: Scene, path: str, below: str | None, *, listens: bool) -> None:
    """Draw where guest and back end meet.

    :param listens: the back end does; else the guest
    """
    part = _part(scene, path, "socket", "vhost-user socket")
    part.lines += ["the guest connects" if listens else "the guest listens"]
    part.below = below


def _fast_path_device(scene: Scene, device: FastPathDevice) -> None:
    lines = ("device of 6WIND's fast path", f"MTU {device.mtu}")
    _part(scene, device.name, "tap", *lines).below = device.bridge
    if device.bridge is not None:
        _part(scene, device.bridge, "bridge")
    if device.path:
        _socket(scene, device.path, device.name, listens=device.listens)


def _back_end(scene: Scene, process: BackEnd) -> None:
    key = process_of(process.name)
    part = _part(scene, key, "process", "keeps a processor busy")
    part.title = "dpdk-testpmd"
    part.below = process.name
    _socket(scene, process.path, key, listens=process.listens)


def _foreign_socket(scene: Scene, socket: VhostSocket) -> None:
    key = f"another program at {socket.path}"
    _part(scene, key, "process", "makes the rest itself").title = "another program"
    _socket(scene, socket.path, key, listens=socket.listens)


def _forward_rules(scene: Scene, rules: ForwardRules) -> None:
    # Each VIF has rules of its own, so how many there are is known when all VIFs are drawn.
    if rules.rules:
        command = "ip6tables" if rules.ipv6 else "iptables"
        scene.rules[rules.bridge, command] += len(rules.rules)


def _route(scene: Scene, route: HostRoute) -> None:
    gateway = f" via {route.gateway}" if route.gateway else ""
    _part(scene, HOST, "host", f"{route.destination}{gateway} dev {route.device}")
    _part(scene, route.device, "tap").below = HOST


def _proxy(scene: Scene, proxy: ProxyNeighbour) -> None:
    _part(scene, HOST, "host", f"answers for {proxy.address} on {proxy.device}")


def _vsi(scene: Scene, profile: PortProfileQbg) -> None:
    vsi = profile.vsi
    words = f"{vsi.mac}: VSI type {vsi.type} version {vsi.version}"
    _outside(scene, profile, "802.1Qbg", words)


def _port_profile(scene: Scene, profile: PortProfileQbh) -> None:
    _outside(scene, profile, "802.1Qbh", f'port profile "{profile.profile}"')


def _outside(scene: Scene, profile: PortProfileQbg | PortProfileQbh, *lines: str) -> None:
    """Draw the switch that the host is wired to, with what it is told."""
    nic = _nic(scene, profile.link, profile.behind)
    key = f"the switch of {nic}"
    _part(scene, nic, "nic").below = key
    _part(scene, key, "switch", *lines)


_DRAW: Mapping[type[Resource], Callable[[Scene, Any], None]] = {
    Tap: _tap,
    Bridge: _bridge,
    Vlan: _vlan,
    Macvtap: _macvtap,
    Uplink: _uplink,
    ForwardRules: _forward_rules,
    HostRoute: _route,
    ProxyNeighbour: _proxy,
    Veth: _veth,
    Representor: _representor,
    PortProfileQbg: _vsi,
    PortProfileQbh: _port_profile,
    PciDevice: _device,
    VirtualFunction: _virtual_function,
    FunctionVlan: _function_vlan,
    OvsBridge: _ovs_bridge,
    OvsPort: _ovs_port,
    FastPathDevice: _fast_path_device,
    BackEnd: _back_end,
    VhostSocket: _foreign_socket,
}
