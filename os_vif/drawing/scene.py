# SPDX-License-Identifier: Apache-2.0
"""What is in a picture: from topologies to parts, each on top of the one it is attached to.

What may live here: what a part is, and how the parts of many VIFs become one scene.  Which parts a
resource becomes, and what stands in them, says its family (:mod:`os_vif.engine.picture`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from os_vif.engine import families
from os_vif.engine.picture import Drawn
from os_vif.engine.topology import Topology

_VAGUE = frozenset({"nic", "port"})
"""Kinds of parts that say little: who knows better, says what the part is."""

_UNDRAWN = Drawn()


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a part.

    :ivar missing: it is not there at all.
    :ivar detached: it is not attached to what it should be.
    :ivar notes: in words, one line each.
    :ivar astray: it is there, and is no part of what was described; it gets a part of its own.
    """

    missing: bool = False
    detached: bool = False
    notes: tuple[str, ...] = ()
    astray: bool = False


@dataclasses.dataclass(slots=True)
class Part:
    """A box of the picture.

    :ivar key: what others refer to it by; the device's name.
    :ivar kind: ``guest``, ``tap``, ``veth``, ``bridge``, ``vlan``, ``nic``, ``host``, ``router``;
        of Open vSwitch ``switch`` (a bridge), ``port`` and ``socket`` (a vhost-user port).  The
        switch that the host is wired to is a ``switch`` too, and so is a network of OVN.
        ``socket`` is any vhost-user socket, ``process`` what moves packets between one and a
        device.
    :ivar below: the key of the part it is attached to; None at the bottom.
    :ivar carries: whether its own attachment is to the part above: an uplink joins its bridge.
    :ivar own: whether it is one VIF's alone, where such a thing may be many VIFs'.
    :ivar fault: None if it is as it should be, or if nobody looked.
    """

    key: str
    kind: str
    title: str
    lines: list[str] = dataclasses.field(default_factory=list)
    below: str | None = None
    carries: bool = False
    own: bool = False
    fault: Fault | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """The guest's end of a VIF: its name and what to say about it, a line each."""

    name: str
    lines: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True)
class Scene:
    """Everything in one picture.

    :ivar parts: by key, each VIF's guest before the rest of it.
    :ivar hangs: whether what carries is drawn above what it carries: a network hangs on its edge.
    """

    parts: dict[str, Part] = dataclasses.field(default_factory=dict)
    hangs: bool = False

    def part(self, key: str, kind: str, *lines: str) -> Part:
        """Return the part of this key, which is made if there is none yet.

        :param kind: as in :class:`Part`; of one that is there it counts if that one's says less
        :param lines: to stand in the part, each once
        """
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = Part(key, kind, key)
        elif part.kind in _VAGUE and kind != "nic":
            part.kind = kind
        part.lines += [line for line in dict.fromkeys(lines) if line not in part.lines]
        return part

    def nic(self, name: str, address: str = "") -> Part:
        """Return the part of a device of the host's, known by its name or by its PCI address."""
        lines = [] if name in self.parts else ["uplink" if name else "NIC"]
        return self.part(name or address, "nic", *lines)

    @property
    def title(self) -> str:
        """What the picture shows, in a few words."""
        guests = [part.title for part in self.parts.values() if part.kind == "guest"]
        named = ", ".join(guests[:3]) + (f" and {len(guests) - 3} more" if guests[3:] else "")
        if self.hangs:
            return f"The network of {named or 'no VIF yet'}"
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
    vifs: Sequence[tuple[Topology, Guest | None]],
    faults: Mapping[str, Fault] | None = None,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> Scene:
    """Return the scene of VIFs; those that share a bridge stand on the same one.

    :param vifs: each with its guest; None for what is no VIF, and hangs
    :param faults: by the key of a part, what checking them against the host found
    :param notes: by the key of a part, lines that somebody else has to say of it
    """
    scene = Scene(hangs=all(guest is None for _topology, guest in vifs) and bool(vifs))
    of_all: dict[type, list[Any]] = {}
    for topology, guest in vifs:
        # First, so that the guests of one bridge come in the order they were given in.
        part = None
        if guest is not None:
            key = f"guest {topology.mark.vif_id}"
            part = scene.parts[key] = Part(key, "guest", guest.name, list(guest.lines))
        drawn = [(_drawn(type(resource)), resource) for resource in topology.resources]
        for row, resource in drawn:
            row.draw(scene, resource)
            if row.draw_all is not None:
                of_all.setdefault(type(resource), []).append(resource)
        if part is None:
            continue
        part.below = top = _top(scene, drawn)
        for row, resource in drawn:
            if top is not None and top in row.keys(resource):
                scene.parts[top].lines += row.lines(resource)
    for kind, resources in of_all.items():
        draw_all = _drawn(kind).draw_all
        if draw_all is not None:
            draw_all(scene, resources)
    _say(scene, faults or {}, notes or {})
    return scene


def _say(scene: Scene, faults: Mapping[str, Fault], notes: Mapping[str, Sequence[str]]) -> None:
    """Put what others say of parts into a scene."""
    for name, lines in notes.items():
        if name in scene.parts:
            scene.parts[name].lines += lines
    for name, fault in faults.items():
        if fault.astray:
            scene.part(name, "nic")
        if name in scene.parts:
            scene.parts[name].fault = fault


def _drawn(kind: type) -> Drawn:
    # What the host tells of a resource may be less than that, and of a type of its own.
    for family in families.homes_of(kind):
        drawn: Drawn | None = family.picture.drawn.get(kind)
        if drawn is not None:
            return drawn
    families.of_resource(kind)  # tells of one that nobody has
    return _UNDRAWN


def _top(scene: Scene, drawn: Sequence[tuple[Drawn, Any]]) -> str | None:
    """Return what the guest stands on: the VIF's part that nothing else of the VIF stands on.

    Where the hypervisor makes the tap itself, that is the bridge it puts the tap on.
    """
    keys = [key for row, resource in drawn for key in row.keys(resource) if key in scene.parts]
    carrying = {scene.parts[key].below for key in keys}
    return next((key for key in keys if key not in carrying), None)
