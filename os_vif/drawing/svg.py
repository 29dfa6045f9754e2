# SPDX-License-Identifier: Apache-2.0
"""Draw as SVG: one file with all it needs, readable on light and on dark ground.

Text stands only inside boxes, dark on light, and lines between them are of a middle grey; so no
page's colours make it unreadable.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from os_vif.drawing.layout import Box, Metrics
from os_vif.drawing.rows import Comb, arrange_in_rows
from os_vif.drawing.scene import Scene

METRICS = Metrics(character=8, line=18, side=16, top=11, gap=24, drop=30)
MARGIN = 8
WIDTH = 1200
"""Pixels; what is wider goes into rows."""
RIM = 4

# Fill and stroke of each kind of part.
COLOURS = {
    "guest": ("#e8f0fe", "#3b6fd4"),
    "tap": ("#e3f5f1", "#178a74"),
    "bridge": ("#fdf3dc", "#b97f10"),
    "vlan": ("#f1eafb", "#7d52c4"),
    "veth": ("#e3f5f1", "#178a74"),
    "port": ("#e3f5f1", "#178a74"),
    "socket": ("#fbe9f3", "#b83280"),
    "process": ("#f1eafb", "#7d52c4"),
    "switch": ("#eaf5dd", "#4d8a17"),
    "router": ("#fdf3dc", "#b97f10"),
    "nic": ("#eceff3", "#5f6b7a"),
    "host": ("#eceff3", "#5f6b7a"),
}
FAULT = ("#fdeaea", "#c92a2a")

_STYLE = """
text { font: 13px ui-monospace, "SF Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace;
       text-anchor: middle; fill: #39424e; }
.title { font-weight: 600; fill: #16191d; }
.fault { fill: #a51111; }
rect { stroke-width: 1.5; }
line { stroke: #8a94a3; stroke-width: 2; stroke-linecap: round; }
.missing { stroke-dasharray: 5 4; }
line.fault { stroke: #c92a2a; stroke-dasharray: 2 6; }
"""


def draw(scene: Scene) -> str:
    """Return the picture as an SVG document."""
    rows = arrange_in_rows(scene, METRICS, WIDTH - 2 * MARGIN)
    picture = rows.picture
    combs = {comb.key: comb for comb in rows.combs}
    width, height = picture.width + 2 * MARGIN, picture.height + 2 * MARGIN
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title desc" '
        f'width="{width}" height="{height}" viewBox="{-MARGIN} {-MARGIN} {width} {height}">',
        f'<title id="title">{escape(scene.title)}</title>',
        f'<desc id="desc">{escape(scene.description)}</desc>',
        f"<style>{_STYLE}</style>",
    ]
    for edge in picture.edges:
        name = ' class="fault"' if edge.broken else ""
        body.append(f'<line{name} x1="{edge.x}" y1="{edge.top}" x2="{edge.x}" y2="{edge.bottom}"/>')
    for box in picture.boxes:
        body += _box(box, combs.get(box.part.key))
    return "\n".join([*body, "</svg>", ""])


def _box(box: Box, comb: Comb | None) -> list[str]:
    fault = box.part.fault
    fill, stroke = FAULT if fault else COLOURS.get(box.part.kind, COLOURS["nic"])
    name = ' class="missing"' if fault and fault.missing else ""
    look = f'fill="{fill}" stroke="{stroke}"'
    drawn = [
        f'<path{name} d="{_outline(box, comb)}" stroke-width="1.5" {look}/>'
        if comb
        else f'<rect{name} x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" '
        f'rx="8" {look}/>'
    ]
    if box.part.kind == "switch" and comb is None:
        # A second line inside the first, so that it is told from a Linux bridge without colours.
        drawn.append(
            f'<rect{name} x="{box.x + RIM}" y="{box.y + RIM}" width="{box.width - 2 * RIM}" '
            f'height="{box.height - 2 * RIM}" rx="5" fill="none" stroke="{stroke}"/>'
        )
    spare = box.height - 2 * METRICS.top - len(box.lines) * METRICS.line
    for number, line in enumerate(box.lines):
        y = box.y + METRICS.top + spare // 2 + number * METRICS.line + METRICS.line - 5
        style = "title" if number == 0 else "fault" if line.startswith("! ") else ""
        name = f' class="{style}"' if style else ""
        drawn.append(f'<text{name} x="{box.middle}" y="{y}">{escape(line)}</text>')
    return drawn


def _outline(box: Box, comb: Comb) -> str:
    """Return the path around a box, the spine at its left and the teeth under the upper rows."""
    left, inner = comb.spine
    # Of one that hangs all is the same, seen from the other side.
    near, far = (box.y + box.height, box.y) if comb.hangs else (box.y, box.y + box.height)
    points = []
    for number, (end, top, bottom) in enumerate(comb.teeth):
        first, last = (bottom, top) if comb.hangs else (top, bottom)
        points += [(inner if number else left, first), (end, first), (end, last), (inner, last)]
    right = box.x + box.width
    points += [(inner, near), (right, near), (right, far), (left, far)]
    return "M" + " L".join(f"{x} {y}" for x, y in points) + " Z"
