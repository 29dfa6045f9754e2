# SPDX-License-Identifier: Apache-2.0
"""Draw with characters, with the box-drawing ones or with ASCII alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from os_vif.drawing.layout import Box, Metrics, Picture, arrange
from os_vif.drawing.scene import Fault, Guest, Scene, scene_of
from os_vif.engine.topology import Topology

METRICS = Metrics(character=1, line=1, side=2, top=1, gap=3, drop=1)

Run = tuple[str, str]
"""Some text and its style: a part's kind, ``title``, ``fault``, ``edge`` or ''."""

# Horizontal, vertical, corners from the top left clockwise, joins above and below.
_LINES = "─│┌┐┘└┴┬"
_BROKEN = "╌╎┌┐┘└┴┬"
_SWITCH = "═║╔╗╝╚╧╤"
_ASCII = "-|++++++"
_ASCII_BROKEN = "~:++++++"
_ASCII_SWITCH = "=|++++++"


def draw(scene: Scene, *, ascii_only: bool = False) -> list[list[Run]]:
    """Return the lines of a picture, each as runs of one style.

    :param ascii_only: for terminals that have nothing else
    """
    picture = arrange(scene, METRICS)
    canvas = _Canvas(picture, ascii_only=ascii_only)
    for box in picture.boxes:
        canvas.box(box)
    for edge in picture.edges:
        canvas.edge(edge.x, edge.top, edge.bottom, broken=edge.broken)
    return canvas.runs()


def plain(lines: list[list[Run]]) -> str:
    """Return drawn lines as text, without styles."""
    return "\n".join("".join(text for text, _style in line) for line in lines)


def fitting(
    vifs: Sequence[tuple[Topology, Guest | None]],
    faults: Mapping[str, Fault],
    width: int,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> list[Scene]:
    """Return scenes of all VIFs, each no wider than ``width`` characters if that can be.

    What is shared is drawn in each.

    :param notes: as :func:`scene_of` has them
    """
    scenes: list[Scene] = []
    pending: list[tuple[Topology, Guest | None]] = []
    for vif in vifs:
        if pending and arrange(scene_of([*pending, vif], faults, notes), METRICS).width > width:
            scenes.append(scene_of(pending, faults, notes))
            pending = []
        pending.append(vif)
    return [*scenes, scene_of(pending, faults, notes)] if pending else scenes


class _Canvas:
    def __init__(self, picture: Picture, *, ascii_only: bool) -> None:
        self.ascii = ascii_only
        self.cells = [[(" ", "")] * picture.width for _line in range(picture.height)]

    def put(self, x: int, y: int, text: str, style: str) -> None:
        if self.ascii:
            text = text.encode("ascii", "replace").decode()
        for offset, character in enumerate(text):
            self.cells[y][x + offset] = (character, style)

    def shapes(self, *, broken: bool, kind: str = "") -> str:
        if broken:
            return _ASCII_BROKEN if self.ascii else _BROKEN
        if kind == "switch":
            return _ASCII_SWITCH if self.ascii else _SWITCH
        return _ASCII if self.ascii else _LINES

    def box(self, box: Box) -> None:
        fault = box.part.fault
        style = "fault" if fault else box.part.kind
        shapes = self.shapes(broken=bool(fault and fault.missing), kind=box.part.kind)
        across, down, corners = shapes[0], shapes[1], shapes[2:6]
        right, bottom = box.x + box.width - 1, box.y + box.height - 1
        self.put(box.x, box.y, corners[0] + across * (box.width - 2) + corners[1], style)
        self.put(box.x, bottom, corners[3] + across * (box.width - 2) + corners[2], style)
        for y in range(box.y + 1, bottom):
            self.put(box.x, y, down, style)
            self.put(right, y, down, style)
        for number, line in enumerate(box.lines):
            x = box.x + (box.width - len(line)) // 2
            inside = "title" if number == 0 else "fault" if line.startswith("! ") else ""
            self.put(x, box.y + 1 + number, line, inside)

    def edge(self, x: int, top: int, bottom: int, *, broken: bool) -> None:
        shapes = self.shapes(broken=broken)
        for y in range(top, bottom):
            self.put(x, y, shapes[1], "fault" if broken else "edge")
        for y, side in ((top - 1, 7), (bottom, 6)):
            wall, style = self.cells[y][x]
            kind = "switch" if wall == _SWITCH[0] else ""
            self.put(x, y, self.shapes(broken=False, kind=kind)[side], style)

    def runs(self) -> list[list[Run]]:
        lines = []
        for cells in self.cells:
            line: list[Run] = []
            for character, style in cells:
                if line and line[-1][1] == style:
                    line[-1] = (line[-1][0] + character, style)
                else:
                    line.append((character, style))
            if line and not line[-1][0].strip():
                line.pop()
            lines.append(line)
        return lines
