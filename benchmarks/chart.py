# SPDX-License-Identifier: Apache-2.0
"""The picture at the head of the page: how many times as fast as os-vif 5.3.0.

Drawn to be read at the width of a telephone, each name above its bar, and on light and dark
ground: it brings its own, because a page may be dark where the reader's system is light.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.tables import Gain

WIDTH = 400
_MARGIN, _TOP, _ROW, _BAR = 16, 62, 44, 14
_VALUE = 52
"""Left free behind the longest bar."""

_STYLE = """\
  text { font: 14px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 16px }
  .ground { fill: #ffffff; stroke: #d1d9e0 }
  .bar { fill: #0969da }
  .one { stroke: #1f2328; stroke-width: 2 }
  .small { fill: #59636e; font-size: 13px }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .ground { fill: #0d1117; stroke: #3d444d }
    .bar { fill: #4493f8 }
    .one { stroke: #f0f6fc }
    .small { fill: #9198a1 }
  }
"""


def factor(value: float) -> str:
    """A factor as text, with as many digits as mean something."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def capital(text: str) -> str:
    """The text as the beginning of a line."""
    return text[:1].upper() + text[1:]


def words(gains: Sequence[Gain]) -> str:
    """What the picture shows, for who cannot see it."""
    said = "; ".join(f"{gain.text} {factor(gain.factor)}" for gain in gains)
    return f"Bars: how many times as fast as os-vif 5.3.0. {capital(said)}."


def svg(gains: Sequence[Gain]) -> str:
    """A bar a gain, from none; the upright mark is where os-vif 5.3.0 is.

    :raises ValueError: no gains
    """
    if not gains:
        raise ValueError("no gains to draw")
    height = _TOP + _ROW * len(gains) + 8
    scale = (WIDTH - 2 * _MARGIN - _VALUE) / max(1.0, *(gain.factor for gain in gains))
    one = _MARGIN + scale
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title words">',
        '<title id="title">os-vif 6: times as fast as os-vif 5.3.0</title>',
        f'<desc id="words">{escape(words(gains))}</desc>',
        f"<style>\n{_STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        f'<text class="title" x="{_MARGIN}" y="28">Times as fast as os-vif 5.3.0</text>',
        f'<text class="small" x="{_MARGIN}" y="48">The upright mark is os-vif 5.3.0 itself</text>',
    ]
    for place, gain in enumerate(gains):
        top = _TOP + _ROW * place
        length = scale * gain.factor
        lines += [
            f'<text x="{_MARGIN}" y="{top + 14}">{escape(capital(gain.text))}</text>',
            f'<rect class="bar" x="{_MARGIN}" y="{top + 21}" width="{length:.1f}" height="{_BAR}"'
            ' rx="2"/>',
            f'<text x="{_MARGIN + length + 6:.1f}" y="{top + 33}">{factor(gain.factor)}×</text>',  # noqa: RUF001 - the sign is meant
        ]
    lines += [
        f'<line class="one" x1="{one:.1f}" x2="{one:.1f}" y1="{_TOP + 18 + _ROW * place}"'
        f' y2="{_TOP + 38 + _ROW * place}"/>'
        for place in range(len(gains))
    ]
    return "\n".join([*lines, "</svg>\n"])
