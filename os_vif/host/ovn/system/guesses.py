# SPDX-License-Identifier: Apache-2.0
"""What a call may try without a look: to make rows that are new, in what is as it was last seen.

The transaction itself asserts what was guessed: rows that are there are not made again, and those
that others go into are waited for as they were.  So a wrong guess is refused whole, and costs a
trip; the call looks then.  What is kept is no replica: nobody is told of it, and nothing depends
on it but whether a look comes first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from os_vif.engine.step import Step
from os_vif.host.ovn.questions import NbRow, Wanted
from os_vif.host.ovn.resources import PARENTS, ROWS_AT_ONCE, Northbound

_MOST = 100_000
"""Rows that are remembered; with more, all are forgotten."""

Rows = Mapping[str, NbRow | None]
"""By ``_uuid``; None for one that is not there."""


@dataclasses.dataclass(slots=True)
class _Seen:
    """What this process knows of a database.

    :ivar roots: rows that others go into, by ``_uuid``.
    :ivar children: the ``_uuid`` of the others.
    """

    roots: dict[str, NbRow] = dataclasses.field(default_factory=dict)
    children: set[str] = dataclasses.field(default_factory=set)

    def forget(self, uuid: str) -> None:
        self.roots.pop(uuid, None)
        self.children.discard(uuid)


_seen: dict[Northbound, _Seen] = {}


def guess(database: Northbound, wanted: Sequence[Wanted]) -> Rows | None:
    """Return what a look would show if all that this process has not seen were not there.

    :returns: None where it is better to look: where nothing would have to be made, or not all.
    """
    seen = _seen.get(database)
    if seen is None or len(wanted) > ROWS_AT_ONCE:
        return None
    found: dict[str, NbRow | None] = {}
    for it in wanted:
        row = seen.roots.get(it.uuid)
        if it.whole or it.uuid in seen.children:
            return None
        if PARENTS[it.table] is None and not (row and row.columns.keys() >= {*it.columns}):
            return None
        found[it.uuid] = row
    if all(found.values()):
        return None
    for parent in {it.parent[1] for it in wanted if it.parent is not None} - found.keys():
        if parent not in seen.roots:
            return None
        found[parent] = seen.roots[parent]
    return found


def look_back(database: Northbound, found: Rows) -> None:
    """Remember what a look has shown."""
    seen = _seen.setdefault(database, _Seen())
    if len(seen.roots) + len(seen.children) > _MOST:
        seen = _seen[database] = _Seen()
    for uuid, row in found.items():
        if row is None:
            seen.forget(uuid)
        elif PARENTS[row.table] is None:
            seen.roots[uuid] = row
        else:
            seen.children.add(uuid)


def done(database: Northbound, steps: Iterable[Step]) -> None:
    """Remember what steps have made, and nothing of what they have changed."""
    seen = _seen.setdefault(database, _Seen())
    for step in steps:
        seen.forget(step.args["uuid"])
        if step.kind == "set_row" and PARENTS[step.args["table"]] is not None:
            seen.children.add(step.args["uuid"])


def refused(database: Northbound, guessed: Rows) -> None:
    """Forget what a guess was made of."""
    seen = _seen.setdefault(database, _Seen())
    for uuid in guessed:
        seen.forget(uuid)
