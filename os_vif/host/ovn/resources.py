# SPDX-License-Identifier: Apache-2.0
"""Rows of OVN's Northbound database, and how to reach it.

Plain data in the words of ovn-nb(5), checking its fields when it is made.  A row is known by its
``_uuid`` alone, which follows from what it stands for: names of most tables have no index there,
and two who make one thing at once make one row of it (ovsdb-server(7), 5.2.1, "Insert").
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Mapping
from typing import ClassVar, NoReturn

from os_vif import exception
from os_vif.engine import checks, fields
from os_vif.host.openvswitch.resources import Database

MARK_KEY = "os-vif"
"""Key of ``external_ids`` that tells what a row belongs to: ``network=ID``, ``router=ID`` or
``vif=ID``, and words after it."""

OWNER_KEY = "os-vif-owner"
"""Key of ``external_ids`` that tells who may change and remove a row."""

LABEL_KEY = "os-vif-label"
"""Key of ``external_ids``: what people call a network or a router."""

NAME_KEY = "os-vif-name"
"""Key of ``external_ids``: what people call a port, the name of its tap."""

PARENTS: Mapping[str, tuple[str, str] | None] = {
    "Logical_Switch": None,
    "Logical_Switch_Port": ("Logical_Switch", "ports"),
    "DHCP_Options": None,
    "Logical_Router": None,
    "Logical_Router_Port": ("Logical_Router", "ports"),
    "Logical_Router_Static_Route": ("Logical_Router", "static_routes"),
    "NAT": ("Logical_Router", "nat"),
    "Gateway_Chassis": ("Logical_Router_Port", "gateway_chassis"),
}
"""The tables that rows can be of: table and column that refer to their rows, without which these
are gone; None for a root, whose rows stay by themselves."""

ROWS_AT_ONCE = 1000
"""Rows that are changed in one transaction, at most: ovsdb-server serves nobody else meanwhile."""

_SPACE = uuid.UUID("cbf86a7a-6fd4-4f4e-8d5b-3d1f45c2f0a1")
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_CHASSIS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}\Z")
_MOST_CHASSIS = 2
_LONGEST = 65536
"""Bytes of a text in a row."""


def derived_uuid(table: str, *words: str) -> str:
    """Return the ``_uuid`` of the row of a table that stands for something.

    :param words: that tell what it stands for: ids, never what may change.  No two lists of words
        have one, of whatever characters they are.
    """
    return str(uuid.uuid5(_SPACE, json.dumps([table, *words])))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Northbound(Database):
    """How to reach OVN's Northbound database; any member of a cluster will do.

    :ivar counted: whether ovn-northd is to say when it has followed what is changed: ``nb_cfg``.
    """

    name: str = "OVN_Northbound"
    counted: bool = dataclasses.field(default=False, compare=False)
    option: ClassVar[str] = "nb_connection"
    time_limit: ClassVar[str] = "timeout"
    least: ClassVar[str] = "OVN 20.03"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A reference to another row.

    :ivar uuid: that row's ``_uuid``.
    """

    uuid: str

    def __post_init__(self) -> None:
        row_uuid(self.uuid)


Scalar = str | int | bool
Value = Scalar | Ref | tuple[Scalar | Ref, ...]
"""What a column is to hold: a tuple is a set, () the empty one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row that is to be there.

    :ivar table: one of :data:`PARENTS`.
    :ivar uuid: its ``_uuid``: see :func:`derived_uuid`.
    :ivar what: what people call it: ``network blue``, ``port tap-anna``, ``router edge``.
    :ivar columns: by name what each is to hold, whole.
    :ivar keys: by the name of a column that is a map (``options``, ``external_ids``), those of its
        keys that are ours: the value, or None for one that must not be there.  Other keys are
        left alone.  ``external_ids`` has :data:`MARK_KEY` and :data:`OWNER_KEY`.
    :ivar parent: table, ``_uuid`` and column that refer to it; None for a root.
    :ivar fields: by column, or ``column:key``, the field of a file that it comes from, for errors.
    """

    table: str
    uuid: str
    what: str
    columns: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    keys: Mapping[str, Mapping[str, str | None]] = dataclasses.field(default_factory=dict)
    parent: tuple[str, str, str] | None = None
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.table not in PARENTS:
            _refuse("table", self.table, " or ".join(PARENTS))
        row_uuid(self.uuid)
        if not fields.is_text(self.what, 1000) or not self.what.isprintable():
            _refuse("what", self.what, "words for people")
        refers = PARENTS[self.table]
        if (self.parent and (self.parent[0], self.parent[2])) != refers:
            _refuse("parent", self.parent, " and ".join(refers) if refers else "none, of a root")
        if self.parent:
            row_uuid(self.parent[1], "parent")
        for column, value in self.columns.items():
            self._check_column(column)
            for item in value if isinstance(value, tuple) else (value,):
                self._check_value(column, item)
        for column, keys in self.keys.items():
            self._check_column(column)
            if column in self.columns:
                _refuse("keys", column, "a column that is not among columns")
            for key, text in keys.items():
                self._check_value(f"{column}:{key}", key)
                if not isinstance(text, str | None):
                    _refuse(self.field(column, key), text, "text, or None for no such key")
                self._check_value(f"{column}:{key}", text or "")
        ids = self.keys.get("external_ids", {})
        if not ids.get(MARK_KEY):
            _refuse(f"external_ids:{MARK_KEY}", ids.get(MARK_KEY), "what the row belongs to")
        checks.owner(ids.get(OWNER_KEY))

    @property
    def owner(self) -> str:
        """Who may change and remove it."""
        return str(self.keys["external_ids"][OWNER_KEY])

    @property
    def is_guests(self) -> bool:
        """Whether it is a port for a guest."""
        return self.table == "Logical_Switch_Port" and not self.columns.get("type")

    def field(self, column: str, key: str = "") -> str:
        """Return what people call a column of it, or a key of one: the field of their file."""
        name = f"{column}:{key}" if key else column
        return self.fields.get(name) or self.fields.get(column) or f"{self.what}: {name}"

    def _check_column(self, column: str) -> None:
        if not _COLUMN.match(column):
            _refuse("columns", column, "the name of a column, as ovn-nb(5) has it")
        if (self.table, column) in PARENTS.values():
            _refuse("columns", column, "no column that refers to rows of others: see parent")

    def _check_value(self, name: str, value: object) -> None:
        if isinstance(value, str):
            if not fields.is_text(value, _LONGEST):
                _refuse(self.field(name), value, f"text of at most {_LONGEST} bytes, without NUL")
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                _refuse(self.field(name), value, "a number of 64 bits")
        elif not isinstance(value, Ref):
            _refuse(self.field(name), value, "text, a number, a truth value or a reference")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A row that is not to be there, whatever it holds; with a switch or a router, all it has goes.

    What others have in it stays, and so it does.

    :ivar table: one of :data:`PARENTS`.
    :ivar uuid: its ``_uuid``.
    :ivar what: what people call it.
    :ivar owner: who may remove it; that of another is left alone.
    :ivar force: whether a port goes that is plugged somewhere.
    """

    table: str
    uuid: str
    what: str
    owner: str
    force: bool = False

    def __post_init__(self) -> None:
        if self.table not in PARENTS:
            _refuse("table", self.table, " or ".join(PARENTS))
        row_uuid(self.uuid)
        checks.owner(self.owner)

    @classmethod
    def of(cls, row: Row, *, force: bool = False) -> Absent:
        """Return that a row is not to be there."""
        return cls(table=row.table, uuid=row.uuid, what=row.what, owner=row.owner, force=force)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """On which hosts OVN is to have a port (``options:requested-chassis``).

    :ivar port: ``Logical_Switch_Port.name``.
    :ivar chassis: their names; with two, the guest may be on either: it moves from the first to
        the second.  () for any host.
    :ivar activation: ``options:activation-strategy``: '' or ``rarp``, with which the second hears
        nothing before the guest has announced itself there.
    """

    port: str
    chassis: tuple[str, ...] = ()
    activation: str = ""

    def __post_init__(self) -> None:
        checks.vif_id(self.port, "port")
        for name in self.chassis:
            if not isinstance(name, str) or not _CHASSIS.match(name):
                expected = "the name of a chassis, without commas and blanks"
                _refuse("chassis", name, expected)
        if len(self.chassis) > _MOST_CHASSIS or len(set(self.chassis)) < len(self.chassis):
            _refuse("chassis", self.chassis, "one chassis, or two that differ")
        if self.activation not in ("", "rarp"):
            _refuse("activation_strategy", self.activation, "rarp, or nothing")
        if self.activation and len(self.chassis) < _MOST_CHASSIS:
            _refuse("activation_strategy", self.activation, "nothing, for less than two chassis")


def row_uuid(value: object, field: str = "uuid") -> str:
    """Return ``value`` if it is a ``_uuid`` as the server writes it.

    :raises InvalidField: anything else.
    """
    if not isinstance(value, str) or not _UUID.match(value):
        _refuse(field, value, "a UUID in lower case")
    return value


def _refuse(field: str, value: object, expected: str) -> NoReturn:
    raise exception.InvalidField(field=field, value=value, expected=expected)
