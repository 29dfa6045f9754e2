# SPDX-License-Identifier: Apache-2.0
"""Where each part of a picture goes: a forest, guests on top, each part under what it carries.

A part that carries several (a bridge) reaches under all of them.  The units are those of the
metrics: character cells for text, pixels for SVG.
"""

from __future__ import annotations

import dataclasses

from os_vif.drawing.scene import Part, Scene


@dataclasses.dataclass(frozen=True, slots=True)
class Metrics:
    """Sizes in the units of a renderer.

    :ivar character: width of a character.
    :ivar line: height of a line of text.
    :ivar side: from a box's edge to its text, left and right.
    :ivar top: from a box's edge to its text, above and below.
    :ivar gap: between two boxes side by side.
    :ivar drop: between a box and the one it is attached to.
    """

    character: int
    line: int
    side: int
    top: int
    gap: int
    drop: int


@dataclasses.dataclass(slots=True)
class Box:
    """A part in its place; ``x`` and ``y`` are its top left corner."""

    part: Part
    lines: list[str]
    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0

    @property
    def middle(self) -> int:
        """Where edges to and from it run."""
        return self.x + self.width // 2


@dataclasses.dataclass(frozen=True, slots=True)
class Edge:
    """A vertical line between two boxes; ``broken`` where one is missing or not attached."""

    x: int
    top: int
    bottom: int
    broken: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """A scene with its places."""

    scene: Scene
    boxes: list[Box]
    edges: list[Edge]
    width: int
    height: int


def arrange(scene: Scene, metrics: Metrics) -> Picture:
    """Return the scene with every part in its place."""
    boxes = {part.key: Box(part, _lines(part)) for part in scene.parts.values()}
    carried: dict[str, list[str]] = {key: [] for key in boxes}
    roots = []
    for part in scene.parts.values():
        if part.below in carried and part.below is not None:
            carried[part.below].append(part.key)
        else:
            roots.append(part.key)
    left = 0
    for root in roots:
        left += _place(root, left, boxes, carried, metrics) + metrics.gap
    bottom = _rows(roots, boxes, carried, metrics)
    edges = []
    for key, box in boxes.items():
        below = boxes.get(box.part.below or "")
        if below is not None and key != box.part.below:
            edges.append(Edge(box.middle, box.y + box.height, below.y, _is_cut(box, below)))
    picture = Picture(scene, list(boxes.values()), edges, max(0, left - metrics.gap), bottom)
    return turned_over(picture) if scene.hangs else picture


def turned_over(picture: Picture) -> Picture:
    """Return a picture with its top at the bottom; its boxes are moved."""
    for box in picture.boxes:
        box.y = picture.height - box.y - box.height
    edges = [
        dataclasses.replace(it, top=picture.height - it.bottom, bottom=picture.height - it.top)
        for it in picture.edges
    ]
    return dataclasses.replace(picture, edges=edges)


def _is_cut(above: Box, below: Box) -> bool:
    """Tell whether one of two boxes is missing, or the one that joins the other has not."""
    upper, lower = above.part, below.part
    return bool(
        (upper.fault and (upper.fault.missing or (upper.fault.detached and not upper.carries)))
        or (lower.fault and (lower.fault.missing or (lower.fault.detached and lower.carries)))
    )


def _lines(part: Part) -> list[str]:
    notes = [f"! {note}" for note in part.fault.notes] if part.fault else []
    # Names come from whoever wrote the VIF: nothing in them may move a terminal's cursor.
    return [
        "".join(character if character.isprintable() else "?" for character in line)
        for line in (part.title, *part.lines, *notes)
    ]


def _place(
    key: str, left: int, boxes: dict[str, Box], carried: dict[str, list[str]], metrics: Metrics
) -> int:
    """Place a part and all it carries from ``left`` on; return the width they take."""
    box = boxes[key]
    own = max(len(line) for line in box.lines) * metrics.character + 2 * metrics.side
    x = left
    for child in carried[key]:
        x += _place(child, x, boxes, carried, metrics) + metrics.gap
    taken = x - left - metrics.gap if carried[key] else 0
    box.width = own
    if len(carried[key]) > 1:
        box.width = max(own, taken)
    elif carried[key] and len(carried[carried[key][0]]) < 2:
        # In a plain stack, boxes of one width look tidier.
        box.width = max(own, boxes[carried[key][0]].width)
    width = max(taken, box.width)
    box.x = left + (width - box.width) // 2
    if carried[key] and taken < width:
        for child in carried[key]:
            _shift(child, (width - taken) // 2, boxes, carried)
    only = boxes[carried[key][0]] if len(carried[key]) == 1 else None
    if only is not None:
        if only.width < box.width and len(carried[only.part.key]) < 2:
            _widen(only.part.key, box, boxes, carried)
        box.x += only.middle - box.middle
    return width


def _shift(key: str, by: int, boxes: dict[str, Box], carried: dict[str, list[str]]) -> None:
    boxes[key].x += by
    for child in carried[key]:
        _shift(child, by, boxes, carried)


def _widen(key: str, like: Box, boxes: dict[str, Box], carried: dict[str, list[str]]) -> None:
    """Give a stack of single parts the width of the box below it."""
    boxes[key].x, boxes[key].width = like.x, like.width
    if len(carried[key]) == 1 and len(carried[carried[key][0]]) < 2:
        _widen(carried[key][0], like, boxes, carried)


def _rows(
    roots: list[str], boxes: dict[str, Box], carried: dict[str, list[str]], metrics: Metrics
) -> int:
    """Give the boxes their heights and rows, guests on top; return the height of all."""
    levels: dict[str, int] = {}

    def level(key: str) -> int:
        levels[key] = 1 + max((level(child) for child in carried[key]), default=-1)
        return levels[key]

    for root in roots:
        level(root)
    y = 0
    for row in range(max(levels.values(), default=-1) + 1):
        members = [boxes[key] for key in boxes if levels.get(key) == row]
        height = max(len(box.lines) for box in members) * metrics.line + 2 * metrics.top
        for box in members:
            box.y, box.height = y, height
        y += height + metrics.drop
    return max(0, y - metrics.drop)
