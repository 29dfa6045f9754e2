# SPDX-License-Identifier: Apache-2.0
"""What a family says of what its things look like: in a picture, in a list, in JSON.

Each family's ``picture.py`` holds ``PICTURE``, an instance of :class:`Picture`.  It may import its
own resources and questions, those of lower families, and what is here; what it needs of the
drawing, it finds in the :class:`~os_vif.drawing.scene.Scene` that it is given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os_vif.drawing.scene import Fault, Scene
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.topology import Resource


def _nothing(*_arguments: Any) -> tuple[()]:
    return ()


def _no_mapping(_item: Plugged) -> Mapping[str, Any]:
    return {}


def _undrawn(_scene: Scene, _resource: Any) -> None:
    return None


@dataclasses.dataclass(frozen=True, slots=True)
class Drawn:
    """How one kind of resource is drawn.

    :ivar draw: puts its parts into the scene.
    :ivar keys: the keys of the parts that it is.  The guest stands on that of them which nothing
        else of the VIF stands on.  None for what is no place to stand on: a rule, a route.
    :ivar lines: what is said of the part that the guest stands on, if it is one of these.
    :ivar draw_all: draws all there are of the kind, of every VIF, once all else is drawn: for what
        can only be told then, such as how many there are.
    """

    draw: Callable[[Scene, Any], None] = _undrawn
    keys: Callable[[Any], Sequence[str]] = _nothing
    lines: Callable[[Any], Sequence[str]] = _nothing
    draw_all: Callable[[Scene, Sequence[Any]], None] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What is to be said of a VIF's state, other than whether it is up or down.

    :ivar words: as ``list`` says it; with ``_`` for blanks, the state in JSON.
    :ivar rank: of all that there is to say, the lowest is said.
    """

    words: str
    rank: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a family's things look like; each function gets what the host holds of one VIF.

    :ivar drawn: by type of resource.
    :ivar held: its share of what the host holds of a VIF, as resources to be drawn.
    :ivar faults: what is wrong with it, by the key of a part.
    :ivar json: its share of the VIF's JSON in ``list``: lists by name.  An entry whose ``name``
        a lower family has in the list of this name already adds to that one's.
    :ivar names: of its things, with where each is (None for nowhere).
    :ivar nameless: what it has that has no name, in words; said of a VIF that has nothing else.
    :ivar beside: what its things share with other VIFs': those of one are drawn side by side, as
        the highest family has it that says anything.
    :ivar states: what is to be said of the VIF's state.
    :ivar up: of each of its things that has a link, whether that is up.
    :ivar opened: of each of its things that is a guest's end and shows it, whether a program has it
        open.
    :ivar carriers: of each of its things that has a link, whether that has a carrier.
    :ivar columns: by title, columns of ``list`` that are shown to who wants to see all: what stands
        there of a VIF; '' for nothing.
    :ivar waiting: names of what waits for something that the hypervisor makes; None where nothing
        ever does.
    """

    drawn: Mapping[type, Drawn] = dataclasses.field(default_factory=dict)
    held: Callable[[Plugged], Iterable[Resource]] = _nothing
    faults: Callable[[Plugged], Mapping[str, Fault]] = _no_mapping
    json: Callable[[Plugged], Mapping[str, Sequence[Any]]] = _no_mapping
    names: Callable[[Plugged], Iterable[tuple[str, Any]]] = _nothing
    nameless: Callable[[Plugged], Iterable[str]] = _nothing
    beside: Callable[[Plugged], Sequence[str]] = _nothing
    states: Callable[[Plugged], Iterable[State]] = _nothing
    up: Callable[[Plugged], Iterable[bool]] = _nothing
    opened: Callable[[Plugged], Iterable[bool]] = _nothing
    carriers: Callable[[Plugged], Iterable[bool]] = _nothing
    columns: Mapping[str, Callable[[Plugged], str]] = dataclasses.field(default_factory=dict)
    waiting: Callable[[Plugged], Collection[str]] | None = None
