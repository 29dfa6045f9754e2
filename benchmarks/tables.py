# SPDX-License-Identifier: Apache-2.0
"""Tables of text, targets and gains: what all the families of measurements are shown with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.table import Table

from benchmarks.statistics import Summary

NOTHING = "-"

Results = TypeVar("Results")


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text; the first column is left aligned, the others right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def times(value: float | None, digits: int = 2) -> str:
    """A ratio as text: ``1.23x``."""
    return NOTHING if value is None else f"{value:.{digits}f}x"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with as many digits as mean something."""
    value = seconds * 1000
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def median_p90(summary: Summary | None) -> tuple[str, str]:
    """Two cells, in milliseconds."""
    if summary is None:
        return NOTHING, NOTHING
    return milliseconds(summary.median), milliseconds(summary.p90)


@dataclass(frozen=True, slots=True)
class Target(Generic[Results]):
    """What was set out to be reached, as a rule as a ratio of two medians.

    :ivar limit: the number asked for
    :ivar at_least: True if more is better
    :ivar measured: computed from the results; None where a side did not take part
    :ivar unit: behind the number
    """

    text: str
    limit: float
    measured: Callable[[Results], float | None]
    at_least: bool = False
    unit: str = "x"


def met(target: Target[Results], measured: float) -> bool:
    """Whether what was measured is on the right side of the limit; on it counts."""
    return measured >= target.limit if target.at_least else measured <= target.limit


def outcomes(
    targets: Sequence[Target[Results]], results: Results
) -> list[tuple[str, str, str, str]]:
    """Rows of the targets that can be told of: a run of some contenders leaves out the others."""
    rows = []
    for target in targets:
        measured = target.measured(results)
        if measured is None:
            continue
        sign = "≥" if target.at_least else "≤"
        asked = f"{sign} {target.limit:g}{target.unit}"
        shown = f"{measured:.2f}{target.unit}"
        rows.append((target.text, asked, shown, "yes" if met(target, measured) else "no"))
    return rows


def target_grid(rows: Sequence[tuple[str, str, str, str]]) -> Grid:
    """What `outcomes` told of, as a table."""
    return Grid("Targets", ("ratio of medians", "asked", "measured", "met"), tuple(rows))


@dataclass(frozen=True, slots=True)
class Gain:
    """What somebody who comes from os-vif 5.3.0 wins.

    :ivar text: what is faster, beginning in lower case
    :ivar factor: how many times
    :ivar first: whether the page's first sentence has it; the chart has all
    """

    text: str
    factor: float
    first: bool = False


def gains(*found: tuple[str, float | None, bool]) -> list[Gain]:
    """Text, factor and whether it comes first, of those of which both sides were measured."""
    return [Gain(text, factor, first) for text, factor, first in found if factor is not None]


@dataclass(frozen=True, slots=True)
class Chapter:
    """What one family of measurements brings to the page.

    :ivar gains: the most telling ones, for the page's first lines
    :ivar ratios: tables that carry over to other machines
    :ivar durations: tables of this machine's times
    :ivar method: a section
    :ivar targets: rows of :func:`outcomes`
    :ivar facts: what was measured with, beside the contenders, as (what, value)
    """

    gains: Sequence[Gain]
    ratios: Sequence[Grid]
    durations: Sequence[Grid]
    method: str
    targets: Sequence[tuple[str, str, str, str]]
    facts: Sequence[tuple[str, str]] = ()


def told(grids: Sequence[Grid]) -> list[Grid]:
    """The tables there is something in."""
    return [grid for grid in grids if any(set(row[1:]) != {NOTHING} for row in grid.rows)]


def terminal(grid: Grid) -> Table:
    """The grid as rich draws it."""
    table = Table()
    for index, column in enumerate(grid.columns):
        table.add_column(column, justify="right" if index else "left")
    for row in grid.rows:
        table.add_row(*row)
    return table


def markdown(grid: Grid) -> str:
    """The grid as a Markdown section."""
    rule = [":--"] + ["--:"] * (len(grid.columns) - 1)
    lines = [grid.columns, tuple(rule), *grid.rows]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"## {grid.title}\n\n{body}\n"
