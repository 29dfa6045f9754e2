# SPDX-License-Identifier: Apache-2.0
"""Rows of OVN's Northbound database, looked up by ``_uuid``: ovn-nb(5).

``ports`` of a switch is never read for a port: to ask whether it holds one costs the same however
many there are, to read it does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from os_vif.host.ovn.questions import PORT, UP, Central, NbRow, Parent, Wanted
from os_vif.host.ovn.resources import OWNER_KEY, PARENTS
from os_vif.system import ovsdb_wire as wire
from os_vif.system.ovsdb import Connection
from os_vif.system.ovsdb_calls import Deadline

_IDS = "external_ids"
_MANY_NAMES = 16
"""From so many on, all names of a table are read instead of each being looked for."""


class Found(NamedTuple):
    """What there is.

    :ivar rows: by ``_uuid``; None where there is none.
    :ivar names: by table and name.
    :ivar children: of roots that are not to be there, by ``_uuid``.
    """

    rows: dict[str, NbRow | None]
    names: dict[tuple[str, str], NbRow | None]
    children: dict[str, tuple[NbRow, ...]]


@dataclasses.dataclass(slots=True)
class Doubts:
    """What a call that changes something has learned.

    :ivar names: tables and names of which a transaction was refused: to look for them costs more
        the more the database holds, as it does for the next.
    :ivar roots: the roots that held more than was to go with them.
    :ivar guessed: what was not looked at, by ``_uuid``: see :mod:`.guesses`.
    :ivar looked: whether anything was looked at, or guessed.
    """

    names: set[tuple[str, str]] = dataclasses.field(default_factory=set)
    roots: set[str] = dataclasses.field(default_factory=set)
    guessed: Mapping[str, NbRow | None] = dataclasses.field(default_factory=dict)
    looked: bool = False


def look_up(
    server: Connection,
    wanted: Collection[Wanted],
    names: Collection[tuple[str, str]],
    doubts: Doubts | None,
    deadline: Deadline,
) -> Found:
    """Return rows, and who has names, in one trip where all is as described.

    :param names: beside those of ``wanted``
    :param doubts: what to look for that is dear; None for all of it
    """
    by_parent: dict[tuple[str, str, str], list[str]] = {}
    for it in wanted:
        if it.parent is not None:
            by_parent.setdefault(it.parent, []).append(it.uuid)
    alone = {it[:2] for it in by_parent} - {it[:2] for it in wanted}
    parents = [Wanted(table, uuid, ()) for table, uuid in sorted(alone)]
    every = [*wanted, *parents]
    asked = [
        wire.select(it.table, wire.by_uuid(it.uuid), sorted({*it.columns, *identity(it.table)}))
        for it in every
    ]
    asked += [_membership(parent, children) for parent, children in by_parent.items()]
    answers = iter([answer["rows"] for answer in _transact(server, asked, deadline)])
    rows: dict[str, NbRow | None] = {}
    for it in every:
        found = next(answers)
        rows[it.uuid] = read(it.table, found[0]) if found else None
    apart: dict[str, tuple[str, str]] = {}
    left = {
        parent: its
        for parent, its in by_parent.items()
        if not _joined(rows, its, parent, next(answers))
    }
    # Where some were not there, the others may well be where they belong.
    there = {parent: [it for it in its if rows[it] is not None] for parent, its in left.items()}
    some = {parent: its for parent, its in there.items() if its}
    asked = [_membership(parent, children) for parent, children in some.items()]
    for (parent, its), answer in zip(some.items(), _transact(server, asked, deadline), strict=True):
        if not _joined(rows, its, parent, answer["rows"]):
            apart |= dict.fromkeys(its, (parent[0], parent[2]))
    for it in wanted:
        refers = PARENTS[it.table]
        if it.whole and refers is not None and rows[it.uuid] is not None:
            apart[it.uuid] = refers
    for uuid, found_parents in _parents_of(server, apart, deadline).items():
        _join(rows, [uuid], *found_parents)
    missing = {(it.table, it.name) for it in wanted if it.name and rows[it.uuid] is None}
    dear = missing if doubts is None else doubts.names
    roots = [
        (it.table, it.uuid)
        for it in wanted
        if it.whole and PARENTS[it.table] is None and (doubts is None or it.uuid in doubts.roots)
    ]
    return Found(
        rows,
        _named(server, {*names, *dear}, deadline),
        children(roots, server, deadline),
    )


def _membership(parent: tuple[str, str, str], children: Sequence[str]) -> wire.Operation:
    """Return an operation with an answer if all are children of one."""
    table, uuid, column = parent
    members = wire.to_set([["uuid", it] for it in children])
    return wire.select(table, [*wire.by_uuid(uuid), [column, "includes", members]], ["_uuid"])


def _joined(
    rows: dict[str, NbRow | None],
    children: Sequence[str],
    parent: tuple[str, str, str],
    answer: Sequence[Any],
) -> bool:
    """Note that rows are children of one, if so :func:`_membership` was answered."""
    if answer:
        _join(rows, children, Parent(*parent))
    return bool(answer)


def _join(rows: dict[str, NbRow | None], children: Iterable[str], *parents: Parent) -> None:
    for uuid in children:
        row = rows[uuid]
        if row is not None:
            rows[uuid] = NbRow(row.table, row.uuid, row.columns, parents)


def _parents_of(
    server: Connection, children: Mapping[str, tuple[str, str]], deadline: Deadline
) -> dict[str, tuple[Parent, ...]]:
    """Return who refers to rows, of which table and column that can be is known."""
    asked = [
        wire.select(table, [[column, "includes", ["uuid", uuid]]], ["_uuid", "name", _IDS])
        for uuid, (table, column) in children.items()
    ]
    answers = _transact(server, asked, deadline)
    return {
        uuid: tuple(_parent(table, column, row) for row in answer["rows"])
        for (uuid, (table, column)), answer in zip(children.items(), answers, strict=True)
    }


def _parent(table: str, column: str, row: wire.Row) -> Parent:
    ids = tuple(sorted(wire.from_map(row[_IDS]).items()))
    return Parent(table, row["_uuid"][1], column, row["name"], ids)


def _named(
    server: Connection, names: Collection[tuple[str, str]], deadline: Deadline
) -> dict[tuple[str, str], NbRow | None]:
    """Return who has names, with those who refer to him."""
    asked = []
    for table in sorted({table for table, _name in names}):
        columns = ["_uuid", "name", _IDS, *(("options",) if table == PORT else ())]
        mine = [name for its, name in names if its == table]
        some = mine if len(mine) < _MANY_NAMES else [None]
        asked += [
            (table, wire.select(table, [["name", "==", name]] if name else [], columns))
            for name in some
        ]
    found: dict[tuple[str, str], NbRow | None] = dict.fromkeys(names)
    answers = _transact(server, [operation for _table, operation in asked], deadline)
    for (table, _operation), answer in zip(asked, answers, strict=True):
        for row in answer["rows"]:
            if (table, row["name"]) in found:
                found[table, row["name"]] = read(table, row)
    rows = {row.uuid: row for row in found.values() if row is not None}
    refers = {uuid: PARENTS[row.table] or ("", "") for uuid, row in rows.items()}
    parents = _parents_of(server, refers, deadline)
    return {
        key: row and NbRow(row.table, row.uuid, row.columns, parents[row.uuid])
        for key, row in found.items()
    }


def children(
    roots: Collection[tuple[str, str]], server: Connection, deadline: Deadline
) -> dict[str, tuple[NbRow, ...]]:
    """Return what rows hold, by their ``_uuid``.

    :param roots: table and ``_uuid`` of each
    """
    holding = [(table, uuid) for table, uuid in roots if _holding(table)]
    asked = [wire.select(table, wire.by_uuid(uuid), _holding(table)) for table, uuid in holding]
    answers = _transact(server, asked, deadline)
    held = [
        (uuid, child, it[1])
        for (table, uuid), answer in zip(holding, answers, strict=True)
        for row in answer["rows"]
        for child, column in _children_of(table)
        for it in wire.from_set(row[column])
    ]
    asked = [
        wire.select(child, wire.by_uuid(it), [*identity(child), *_TOLD[child]])
        for _uuid, child, it in held
    ]
    found: dict[str, tuple[NbRow, ...]] = {uuid: () for _table, uuid in roots}
    for (uuid, child, _it), answer in zip(held, _transact(server, asked, deadline), strict=True):
        found[uuid] = (*found[uuid], *(read(child, row) for row in answer["rows"]))
    return found


def _children_of(table: str) -> Iterator[tuple[str, str]]:
    """Return the tables whose rows those of a table refer to, each with the column that does."""
    for child, refers in PARENTS.items():
        if refers is not None and refers[0] == table:
            yield child, refers[1]


def identity(table: str) -> list[str]:
    """Return the columns that tell which row one is, and whose."""
    return ["_uuid", _IDS, *(() if table in _NAMELESS else ("name",))]


_NAMELESS = ("DHCP_Options", "Logical_Router_Static_Route", "NAT")


# --- what an owner has ----------------------------------------------------------------------------

_TOLD = {
    "Logical_Switch": ("other_config",),
    PORT: (
        *("type", UP, "addresses", "options", "enabled", "tag"),
        *("dhcpv4_options", "dhcpv6_options"),
    ),
    "DHCP_Options": ("cidr", "options"),
    "Logical_Router": ("options",),
    "Logical_Router_Port": ("networks", "mac", "options"),
    "Logical_Router_Static_Route": ("ip_prefix", "nexthop"),
    "NAT": ("type", "external_ip", "logical_ip", "logical_port"),
    "Gateway_Chassis": ("chassis_name", "priority"),
}
"""What is read of an owner's rows beside what they are called."""


def owned(owner: str, server: Connection, deadline: Deadline) -> tuple[NbRow, ...]:
    """Return the rows of an owner, children after their parents; of '', of all there are."""
    where = [[_IDS, "includes", wire.to_map({OWNER_KEY: owner})]] if owner else []
    asked = [
        wire.select(table, where, [*identity(table), *_TOLD[table], *_holding(table)])
        for table in PARENTS
    ]
    answers = _transact(server, asked, deadline)
    found: dict[str, NbRow] = {}
    parents: dict[str, list[Parent]] = {}
    for table, answer in zip(PARENTS, answers, strict=True):
        for row in answer["rows"]:
            if OWNER_KEY not in wire.from_map(row[_IDS]):
                continue
            for column in _holding(table):
                for child in wire.from_set(row.pop(column)):
                    parents.setdefault(child[1], []).append(_parent(table, column, row))
            found[row["_uuid"][1]] = read(table, row)
    return tuple(
        NbRow(row.table, row.uuid, row.columns, tuple(parents.get(row.uuid, ())))
        for row in found.values()
    )


def _holding(table: str) -> list[str]:
    return [column for _child, column in _children_of(table)]


# --- ovn-northd -----------------------------------------------------------------------------------


def central(server: Connection, deadline: Deadline) -> Central:
    """Return the row of NB_Global."""
    columns = ["nb_cfg", "sb_cfg", "options"]
    [answer] = server.transact([wire.select("NB_Global", [], columns)], deadline)
    row = next(iter(answer["rows"]), None)
    if row is None:
        return Central(None, 0, 0)  # nobody has made it yet
    version = wire.from_map(row["options"]).get("northd_internal_version", "")
    year, _dot, rest = version.partition(".")
    month = rest.partition(".")[0]
    known = all(it.isascii() and it.isdigit() and len(it) < 5 for it in (year, month))
    return Central((int(year), int(month)) if known else None, row["nb_cfg"], row["sb_cfg"])


# --- values ---------------------------------------------------------------------------------------


def read(table: str, row: wire.Row) -> NbRow:
    """Return a row as :mod:`os_vif.host.ovn.questions` has it."""
    columns = {name: _value(value) for name, value in row.items() if name != "_uuid"}
    return NbRow(table, row["_uuid"][1], columns)


def _value(value: Any) -> Any:
    if not isinstance(value, list):
        return [value]
    if value[0] == "map":
        return wire.from_map(value)
    members = wire.from_set(value)
    return [{"uuid": item[1]} if isinstance(item, list) else item for item in members]


def _transact(server: Connection, asked: list[wire.Operation], deadline: Deadline) -> list[Any]:
    return server.transact(asked, deadline) if asked else []
