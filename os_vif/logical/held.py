# SPDX-License-Identifier: Apache-2.0
"""Networks and routers as OVN's Northbound database has them, from rows that were found there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from os_vif import exception
from os_vif.engine.topology import Mark, Topology
from os_vif.host.ovn.resources import (
    LABEL_KEY,
    NAME_KEY,
    OWNER_KEY,
    PARENTS,
    Ref,
    Row,
    Value,
)
from os_vif.logical.mapping import PLUGIN

_KINDS = {
    "Logical_Switch": "network",
    "Logical_Router": "router",
    "Logical_Switch_Port": "port",
    "Logical_Router_Port": "leg",
    "Logical_Router_Static_Route": "route to",
    "Gateway_Chassis": "gateway",
    "DHCP_Options": "DHCP of",
    "NAT": "NAT of",
}


_ROOTS = ("Logical_Switch", "Logical_Router")


class _Found(Protocol):
    """A row that was found: :class:`os_vif.network.Owned`."""

    @property
    def table(self) -> str: ...

    @property
    def uuid(self) -> str: ...

    @property
    def owner(self) -> str: ...

    @property
    def mark(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def parent(self) -> tuple[str, str, str] | None: ...

    @property
    def columns(self) -> Mapping[str, Any]: ...

    @property
    def up(self) -> bool | None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Port:
    """A VIF's port.

    :ivar name: by which chassis know it: the VIF's id, or its interface_id.
    :ivar shown: what people call it.
    :ivar addresses: MAC and IP addresses.
    :ivar up: whether a chassis has it.
    """

    name: str
    shown: str
    addresses: tuple[str, ...]
    up: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A network or a router.

    :ivar kind: ``network`` or ``router``.
    :ivar rows: how many rows are its own.
    """

    kind: str
    id: str
    label: str
    owner: str
    rows: int
    ports: tuple[Port, ...]


def held(found: Sequence[_Found]) -> list[Held]:
    """Return networks and routers, by owner and label."""
    things = [
        Held(
            _KINDS[root.table],
            root.mark.partition("=")[2].partition(" ")[0],
            label(root),
            root.owner,
            len(rows),
            tuple(_port(row) for row in rows if row.up is not None),
        )
        for root, rows in _by_root(found)
    ]
    return sorted(things, key=lambda it: (it.owner, it.kind, it.label, it.id))


def label(row: _Found) -> str:
    """Return what people call a row, without what it is."""
    ids: Mapping[str, str] = row.columns.get("external_ids", {})
    said = ids.get(LABEL_KEY) or ids.get(NAME_KEY)
    told = (
        str(it)
        for column in ("cidr", "external_ip", "ip_prefix", "chassis_name")
        for it in row.columns.get(column, ())
    )
    return said or next(told, row.name or row.uuid)


def called(row: _Found) -> str:
    """Return what people call a row."""
    return f"{_KINDS[row.table]} {label(row)}"


def drawable(found: Sequence[_Found]) -> list[Topology]:
    """Return networks and routers that were found as topologies, to be drawn."""
    drawn = []
    for root, rows in _by_root(found):
        kept = [row for row in map(_row, rows) if row is not None]
        if kept and kept[0].uuid == root.uuid:
            mark = Mark(root.mark.partition("=")[2].partition(" ")[0], PLUGIN, owner=root.owner)
            drawn.append(Topology(mark, tuple(kept)))
    return drawn


def _by_root(found: Sequence[_Found]) -> list[tuple[_Found, list[_Found]]]:
    """Return networks and routers, each with all its rows, itself first."""
    rows = {row.uuid: row for row in found}
    roots = {_whose(row): row.uuid for row in found if row.table in _ROOTS}
    # What a VIF has for itself and nobody holds (its DHCP) is where its port is.
    for row in found:
        if row.up is not None:
            roots.setdefault(_whose(row), _top(row, rows))
    of: dict[str, list[_Found]] = {
        uuid: [rows[uuid]] for uuid in dict.fromkeys(roots.values()) if rows[uuid].table in _ROOTS
    }
    for row in found:
        # A router's ports are in switches, and are the router's.
        mine = _whose(row)
        held = row.parent is not None and not mine.startswith("router=")
        root = _top(row, rows) if held else roots.get(mine, "")
        if root in of and root != row.uuid:
            of[root].append(row)
    return [(rows[uuid], its) for uuid, its in of.items()]


def _whose(row: _Found) -> str:
    return row.mark.partition(" ")[0]


def _top(row: _Found, rows: Mapping[str, _Found]) -> str:
    while row.parent is not None and row.parent[1] in rows:
        row = rows[row.parent[1]]
    return row.uuid


def _port(row: _Found) -> Port:
    words = [word for text in row.columns.get("addresses", ()) for word in str(text).split()]
    addresses = tuple(word for word in words if word != "unknown")
    return Port(row.name, label(row), addresses, bool(row.up))


def _row(found: _Found) -> Row | None:
    """Return a row as it is described; None for one that nobody could describe so."""
    columns: dict[str, Value] = {}
    keys: dict[str, dict[str, str | None]] = {}
    for name, value in found.columns.items():
        if isinstance(value, Mapping):
            keys[name] = dict(value)
        elif (found.table, name) not in PARENTS.values():
            items = [Ref(uuid=it["uuid"]) if isinstance(it, dict) else it for it in value]
            columns[name] = items[0] if len(items) == 1 else tuple(items)
    if found.name:
        columns["name"] = found.name
    keys.setdefault("external_ids", {}).setdefault(OWNER_KEY, found.owner)
    try:
        return Row(
            table=found.table,
            uuid=found.uuid,
            what=called(found),
            columns=columns,
            keys=keys,
            parent=found.parent,
        )
    except exception.InvalidField:
        return None
