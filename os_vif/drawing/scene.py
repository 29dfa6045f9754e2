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
from os_vif.host.topology import Topology

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
    :ivar kind: ``guest``, ``tap``, ``bridge``, ``vlan``, ``nic`` or ``host``.
    :ivar below: the key of the part it is attached to; None at the bottom.
    :ivar fault: None if it is as it should be, or if nobody looked.
    """

    key: str
    kind: str
    title: str
    lines: list[str] = dataclasses.field(default_factory=list)
    below: str | None = None
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
    :ivar rules: how many FORWARD rules a bridge has of these VIFs, by bridge and command.
    """

    parts: dict[str, Part] = dataclasses.field(default_factory=dict)
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
        devices = [item.name for item in topology.resources if isinstance(item, Tap)]
        bridges = [item.name for item in topology.resources if isinstance(item, Bridge)]
        part.below = next(iter(devices + bridges), None)
    for (bridge, command), count in scene.rules.items():
        rules = "1 FORWARD rule" if count == 1 else f"{count} FORWARD rules"
        _part(scene, bridge, "bridge", f"{rules} ({command})")
    for name, fault in (faults or {}).items():
        if name in scene.parts:
            scene.parts[name].fault = fault
    return scene


def _part(scene: Scene, key: str, kind: str, *lines: str) -> Part:
    part = scene.parts.get(key)
    if part is None:
        part = scene.parts[key] = Part(key, kind, key)
    elif part.kind == "nic" and kind != "nic":
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
    part.below = vlan.link
    _part(scene, vlan.link, "nic", "uplink")


def _uplink(scene: Scene, uplink: Uplink) -> None:
    if uplink.name not in scene.parts:
        _part(scene, uplink.name, "nic", "uplink")
    _part(scene, uplink.name, "nic", f"MTU {uplink.mtu}")
    _part(scene, uplink.bridge, "bridge").below = uplink.name


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


_DRAW: Mapping[type[Resource], Callable[[Scene, Any], None]] = {
    Tap: _tap,
    Bridge: _bridge,
    Vlan: _vlan,
    Uplink: _uplink,
    ForwardRules: _forward_rules,
    HostRoute: _route,
    ProxyNeighbour: _proxy,
}
