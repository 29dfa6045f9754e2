# SPDX-License-Identifier: Apache-2.0
"""A picture of many: in rows that fit a page, and equal guests folded into one.

What is shared by guests of several rows is one part all the same: it reaches up beside the rows and
under each of them, like a comb.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import groupby

from os_vif.drawing.layout import Box, Edge, Metrics, Picture, arrange, turned_over
from os_vif.drawing.scene import Part, Scene

_MANY = 12
"""So many equal guests are drawn one by one; of more, the first few."""
_FIRST = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Comb:
    """What a part has beside its box to reach under several rows.

    :ivar key: the part's.
    :ivar spine: from which to which x it goes up, at the left of all rows.
    :ivar teeth: under each row but the last, from the top: x of its right end, top and bottom.
    :ivar hangs: all is turned over: from the bottom, above each row but the first.
    """

    key: str
    spine: tuple[int, int]
    teeth: tuple[tuple[int, int, int], ...]
    hangs: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """A picture, and the parts of it that reach under several rows."""

    picture: Picture
    combs: tuple[Comb, ...]


def arrange_in_rows(scene: Scene, metrics: Metrics, width: int) -> Rows:
    """Return a scene with every part in its place, no wider than ``width`` where that can be."""
    scene = folded(scene)
    boxes: list[Box] = []
    edges: list[Edge] = []
    combs: list[Comb] = []
    x = y = right = bottom = 0
    for tree in _trees(scene):
        rows = _tree_in_rows(tree, metrics, width)
        picture = rows.picture
        if x and x + picture.width > width:
            x, y = 0, bottom + metrics.drop
        _move(picture.boxes, x, y)
        boxes += picture.boxes
        edges += [_moved(edge, x, y) for edge in picture.edges]
        combs += [
            Comb(
                comb.key,
                (comb.spine[0] + x, comb.spine[1] + x),
                tuple((end + x, top + y, low + y) for end, top, low in comb.teeth),
            )
            for comb in rows.combs
        ]
        x += picture.width + metrics.gap
        right, bottom = max(right, x - metrics.gap), max(bottom, y + picture.height)
    picture = Picture(scene, boxes, edges, right, bottom)
    if not scene.hangs:
        return Rows(picture, tuple(combs))
    return Rows(turned_over(picture), tuple(_turned_over(comb, bottom) for comb in combs))


def _turned_over(comb: Comb, height: int) -> Comb:
    teeth = tuple((end, height - low, height - top) for end, top, low in comb.teeth)
    return dataclasses.replace(comb, teeth=teeth, hangs=True)


# --- equal ones ---------------------------------------------------------------------------------


def folded(scene: Scene) -> Scene:
    """Return a scene in which the most of many equal guests on one part are a single one."""
    carried = _carried(scene)
    gone: dict[str, Part] = {}
    for below, keys in carried.items():
        for _alike, group in groupby(keys, lambda key: _look(scene, carried, key)):
            members = list(group)
            if len(members) <= _MANY:
                continue
            rest = members[_FIRST:]
            guests = [_top_of(scene, carried, key).title for key in (rest[0], rest[-1])]
            title, lines = f"and {len(rest)} more", [f"{guests[0]} … {guests[1]}"]
            fold = Part(f"more {rest[0]}", "guest", title, lines, below)
            gone[rest[0]] = fold
            parts = [part for key in rest for part in _stack(carried, key)]
            gone.update(dict.fromkeys(parts, fold))
    kept: dict[str, Part] = {}
    for key, part in scene.parts.items():
        shown = gone.get(key, part)
        kept[shown.key] = shown
    return Scene(kept, scene.hangs)


def _look(scene: Scene, carried: dict[str, list[str]], key: str) -> object:
    """Return what two stacks that are drawn alike have in common; itself where it is one alone."""
    parts = [scene.parts[each] for each in _stack(carried, key)]
    if any(part.fault for part in parts) or any(len(carried[part.key]) > 1 for part in parts):
        return key
    # Of guests the addresses differ.
    return [(part.kind, len(part.lines) if part.kind == "guest" else part.lines) for part in parts]


def _stack(carried: dict[str, list[str]], key: str) -> list[str]:
    return [key, *(each for child in carried[key] for each in _stack(carried, child))]


def _top_of(scene: Scene, carried: dict[str, list[str]], key: str) -> Part:
    return scene.parts[_stack(carried, key)[-1]]


def _carried(scene: Scene) -> dict[str, list[str]]:
    carried: dict[str, list[str]] = {key: [] for key in scene.parts}
    for part in scene.parts.values():
        if part.below in carried and part.below is not None:
            carried[part.below].append(part.key)
    return carried


# --- rows ---------------------------------------------------------------------------------------


def _trees(scene: Scene) -> list[Scene]:
    """Return what stands on one part at the bottom as a scene of its own, for each of these."""
    carried = _carried(scene)
    roots = [key for key, part in scene.parts.items() if part.below not in scene.parts]
    return [_only(scene, _stack(carried, root)) for root in roots]


def _only(scene: Scene, keys: Iterable[str]) -> Scene:
    wanted = set(keys)
    return Scene({key: part for key, part in scene.parts.items() if key in wanted})


def _tree_in_rows(tree: Scene, metrics: Metrics, width: int) -> Rows:
    whole = arrange(tree, metrics)
    carried = _carried(tree)
    shared = max(carried, key=lambda key: len(carried[key]))
    if whole.width <= width or len(carried[shared]) < 2:
        return Rows(whole, ())
    spine = 2 * metrics.side
    stacks = [_stack(carried, key) for key in carried[shared]]
    above = {key for stack in stacks for key in stack}
    beside = [key for key in tree.parts if key not in above]
    scenes: list[Scene] = []
    pending: list[str] = []
    for stack in stacks:
        wider = _only(tree, [*pending, *stack, shared])
        if pending and arrange(wider, metrics).width > width - spine:
            scenes.append(_only(tree, [*pending, shared]))
            pending = []
        pending += stack
    return _stacked([*scenes, _only(tree, [*pending, *beside])], shared, spine, metrics)


def _stacked(scenes: Sequence[Scene], shared: str, spine: int, metrics: Metrics) -> Rows:
    """Put rows below each other; ``shared`` is in each, and keeps its box in the last."""
    boxes: list[Box] = []
    edges: list[Edge] = []
    teeth: list[tuple[int, int, int]] = []
    y = right = 0
    for number, scene in enumerate(scenes):
        picture = arrange(scene, metrics)
        _move(picture.boxes, spine, y)
        edges += [_moved(edge, spine, y) for edge in picture.edges]
        [base] = [box for box in picture.boxes if box.part.key == shared]
        right = max(right, picture.width + spine)
        if number + 1 < len(scenes):
            boxes += [box for box in picture.boxes if box is not base]
            teeth.append((base.x + base.width, base.y, base.y + metrics.line))
            y = base.y + metrics.line + metrics.drop
        else:
            base.width += base.x
            base.x = 0
            boxes += picture.boxes
            y += picture.height
    ends = [end for end, _top, _low in teeth]
    right = max(right, *ends)
    comb = Comb(shared, (0, spine - metrics.side), tuple(teeth))
    return Rows(Picture(Scene(), boxes, edges, right, y), (comb,))


def _move(boxes: Iterable[Box], x: int, y: int) -> None:
    for box in boxes:
        box.x += x
        box.y += y


def _moved(edge: Edge, x: int, y: int) -> Edge:
    return Edge(edge.x + x, edge.top + y, edge.bottom + y, edge.broken)
