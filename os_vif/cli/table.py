# SPDX-License-Identifier: Apache-2.0
"""Plain tables: one line a row, columns aligned, nothing cut off, easy for grep and awk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from os_vif.cli.session import Session


class Column(NamedTuple):
    """A column and the style of what is in it."""

    title: str
    style: str = ""


def print_table(session: Session, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Write a table to standard output."""
    widths = [
        max([len(column.title), *(len(row[position]) for row in rows)])
        for position, column in enumerate(columns)
    ]
    widths[-1] = 0
    session.say(*_line([(column.title, "title") for column in columns], widths))
    for row in rows:
        cells = [(text, column.style) for text, column in zip(row, columns, strict=True)]
        session.say(*_line(cells, widths))


def _line(cells: Sequence[tuple[str, str]], widths: Sequence[int]) -> list[tuple[str, str]]:
    return [
        (text.ljust(width) + ("  " if width else ""), style)
        for (text, style), width in zip(cells, widths, strict=True)
    ]
