# SPDX-License-Identifier: Apache-2.0
"""What can be asked of OVN's Northbound database, and rows as they were read.

Columns are in the words of ovn-nb(5).  A value is a map of texts, or else a list: of one item for
a column that holds one, in any order for a set; a reference is ``{"uuid": ...}``.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from os_vif.engine.family import Caution
from os_vif.engine.observed import HOLDERS, LAST, Question
from os_vif.host.ovn.resources import LABEL_KEY, OWNER_KEY

PORT = "Logical_Switch_Port"
UP = "up"
"""Column of a port: whether a chassis has it."""

NAMED = (PORT, "Logical_Router_Port", "Gateway_Chassis")
"""The tables in which a name can be had only once."""


class Parent(NamedTuple):
    """A row that refers to another one.

    :ivar table: its table.
    :ivar uuid: its ``_uuid``.
    :ivar column: the column that refers.
    :ivar name: its name.
    :ivar ids: its external_ids, as pairs.
    """

    table: str
    uuid: str
    column: str
    name: str = ""
    ids: tuple[tuple[str, str], ...] = ()

    @property
    def owner(self) -> str:
        """Who may change it; '' for somebody who is not os-vif's."""
        return dict(self.ids).get(OWNER_KEY, "")


@dataclasses.dataclass(frozen=True, slots=True)
class NbRow:
    """A row as it was read, or as it will be.

    :ivar table: its table.
    :ivar uuid: its ``_uuid``.
    :ivar columns: those that were asked for; ``external_ids`` always are.
    :ivar parents: who refers to it, as far as that was asked.
    """

    table: str
    uuid: str
    columns: Mapping[str, Any]
    parents: tuple[Parent, ...] = ()

    def map(self, column: str) -> Mapping[str, str]:
        """Return what is in a column that is a map."""
        found = self.columns.get(column)
        return found if isinstance(found, dict) else {}

    def set(self, column: str) -> Sequence[Any]:
        """Return what is in a column that is none."""
        found = self.columns.get(column)
        return found if isinstance(found, list) else ()

    @property
    def ids(self) -> Mapping[str, str]:
        """Its external_ids."""
        return self.map("external_ids")

    @property
    def owner(self) -> str:
        """Who may change it; '' for somebody who is not os-vif's."""
        return self.ids.get(OWNER_KEY, "")

    @property
    def name(self) -> str:
        """Its name; its ``_uuid`` where it has none, or was not asked for it."""
        return str(next(iter(self.set("name")), self.uuid))

    @property
    def is_up(self) -> bool:
        """Whether it is a guest's port that a chassis has: of others OVN always says so."""
        return self.is_guests and self.columns.get(UP) == [True]

    @property
    def is_guests(self) -> bool:
        """Whether it is a port for a guest."""
        return self.table == PORT and self.columns.get("type") == [""]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self  # nothing in it changes


class Wanted(NamedTuple):
    """What is asked about a row.

    :ivar table: its table.
    :ivar uuid: its ``_uuid``.
    :ivar columns: to be read; those of the table that it is a child of are never among them.
    :ivar parent: table, ``_uuid`` and column that are to refer to it; None where that is not asked.
    :ivar name: that it is to have, in :data:`NAMED`; '' for none.
    :ivar whole: whether all that refer to it are asked for, and of a root what it holds.
    """

    table: str
    uuid: str
    columns: tuple[str, ...]
    parent: tuple[str, str, str] | None = None
    name: str = ""
    whole: bool = False


class Addressed(NamedTuple):
    """A port and its addresses.

    :ivar uuid: its ``_uuid``.
    :ivar switch: that of its switch.
    :ivar addresses: as :func:`addresses_in` returns them.
    """

    uuid: str
    switch: str
    addresses: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Central:
    """The row of NB_Global.

    :ivar version: of ovn-northd: year and month, as in ``(23, 3)``; None where it does not say.
    :ivar nb_cfg: what was asked for.
    :ivar sb_cfg: how far ovn-northd is.
    """

    version: tuple[int, int] | None
    nb_cfg: int
    sb_cfg: int


class Chassis(NamedTuple):
    """A chassis, as OVN's Southbound database has it (ovn-sb(5)).

    :ivar name: its system-id.
    :ivar hostname: what its host is called.
    :ivar mappings: the provider's networks that it is connected to.
    """

    name: str
    hostname: str
    mappings: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting(Caution):
    """What is as described, and waits for a host that plugs it."""


ROWS: Question[str, NbRow | None] = Question("ovn_rows", HOLDERS)
"""Of a :class:`Wanted`: the row, by its ``_uuid``; None where there is none.  So is its parent."""

NAMES: Question[tuple[str, str], NbRow | None] = Question("ovn_names", HOLDERS)
"""Of a table and a name that can be had only once: the row that has it; None for none."""

CHILDREN: Question[str, tuple[NbRow, ...]] = Question("ovn_children", HOLDERS)
"""Of a table and a ``_uuid``: the rows that the row holds, by its ``_uuid``.  A look at a root that
is not to be there tells, too, where that may be in doubt."""

NEIGHBOURS: Question[str, tuple[tuple[str, NbRow], ...]] = Question("ovn_neighbours", HOLDERS)
"""Of an :class:`Addressed`: the other ports of its switch that have an address of its, each with
the address, by the port's ``_uuid``.  It grows with the database."""

CENTRAL: Question[str, Central] = Question("ovn_central", HOLDERS)
"""Of '': the row of NB_Global."""

OWNED: Question[str, tuple[NbRow, ...]] = Question("ovn_owned", HOLDERS)
"""Of an owner: the rows that are his, children after their parents; of '', those of all owners.
The one question that grows with the database."""

FOLLOWED: Question[float, None] = Question("ovn_followed", LAST)
"""Of a number of seconds: waits so long until ovn-northd has followed."""

BOUND: Question[tuple[float, tuple[tuple[str, str], ...]], None] = Question("ovn_bound", LAST)
"""Of a number of seconds, and of ports, each with its ``_uuid`` and what people call it: waits so
long until a chassis has each of them."""

QUESTIONS = (ROWS, NAMES, CHILDREN, NEIGHBOURS, CENTRAL, OWNED, FOLLOWED, BOUND)
"""All that can be asked."""

_BY_PREFIX = (
    ("neutron:", "Neutron"),
    ("incus_", "Incus"),
    ("lxd_", "LXD"),
    ("k8s.ovn.org/", "ovn-kubernetes"),
)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_MOST_IDS, _MOST_TEXT = 3, 60


def addresses_in(text: str, among: Container[str] | None = None) -> Iterator[str]:
    """Yield the MAC and IP addresses in one of ``Logical_Switch_Port.addresses``, each spelled so.

    There are none in ``unknown``, ``router`` and ``dynamic``.

    :param among: these alone
    """
    for word in text.lower().split():
        address = word
        if not _MAC.match(word) and (
            among is None or ":" in word
        ):  # else it is spelled so, or none
            try:
                address = str(ipaddress.ip_address(word))
            except ValueError:
                continue
        if among is None or address in among:
            yield address


def whose(ids: Mapping[str, str]) -> str:
    """Return in words whose a row with these external_ids is."""
    if OWNER_KEY in ids:
        keeper = f"os-vif's, of owner {shown(ids[OWNER_KEY])}"
    else:
        keeper = f"{who}'s" if (who := _other_system(ids)) else "not os-vif's"
    told = [f"{shown(key)}={shown(ids[key])}" for key in sorted(ids, key=_rank)[:_MOST_IDS]]
    more = ", ..." if len(ids) > _MOST_IDS else ""
    return f"{keeper} (external_ids: {', '.join(told) or 'none'}{more})"


def is_others(ids: Mapping[str, str]) -> bool:
    """Tell whether external_ids show that a row is kept by another system than os-vif."""
    return OWNER_KEY not in ids and bool(_other_system(ids))


def _other_system(ids: Mapping[str, str]) -> str:
    """Return what else keeps rows with such external_ids; '' for nothing that is known."""
    if ids.get("vendor") == "kube-ovn":
        return "kube-ovn"
    named = (name for start, name in _BY_PREFIX if any(key.startswith(start) for key in ids))
    return next(named, "")


def _rank(key: str) -> tuple[bool, str]:
    telling = key == "vendor" or key.startswith(tuple(start for start, _name in _BY_PREFIX))
    return not (telling or key == OWNER_KEY), key


_KINDS = {"Logical_Switch": "network", "Logical_Router": "router"}


def titled(table: str, name: str, ids: Mapping[str, str]) -> str:
    """Return what people call a row that holds others: by its label, or else by its name."""
    label = ids.get(LABEL_KEY)
    return f"{_KINDS[table]} {shown(label)}" if label and table in _KINDS else shown(name)


def shown(text: str) -> str:
    """Return text that anybody may have written as it may be told."""
    words = text if text.isprintable() else repr(text)
    return words if len(words) <= _MOST_TEXT else f"{words[:_MOST_TEXT]}..."


_TELLING = {
    "NAT": ("type", "external_ip", "logical_ip"),
    "Logical_Router_Static_Route": ("ip_prefix", "nexthop"),
    "Gateway_Chassis": ("chassis_name",),
}
"""By table, what people know a row by that has no name, or none that says much."""


def known_by(row: NbRow) -> str:
    """Return what a row is, in words, without whose."""
    told = [str(it) for name in _TELLING.get(row.table, ()) for it in row.set(name)]
    return f"{row.table} {shown(' '.join(told) or row.name)}"


def called(row: NbRow) -> str:
    """Return what a row is and whose, in words."""
    return f"{row.table} {shown(row.name)} is {whose(row.ids)}"
