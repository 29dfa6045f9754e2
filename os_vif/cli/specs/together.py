# SPDX-License-Identifier: Apache-2.0
"""What VIFs of one call say against each other: each type knows that of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from os_vif.specs import Problem, Reading

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Entry


def problems_of(entries: Sequence[Entry]) -> list[Problem]:
    """Return what is wrong with VIFs beside each other, where each by itself can be used."""
    found: list[Problem] = []
    for row in {entry.row.name: entry.row for entry in entries if entry.row}.values():
        said = [
            (entry.values, Reading(entry.root, marks=entry.marks))
            for entry in entries
            if entry.row is row
        ]
        row.together(said)
        found += [problem for _values, into in said for problem in into.problems]
    return found
