# SPDX-License-Identifier: Apache-2.0
"""What became of networks and routers, what a look at them found, and what an owner has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os_vif.engine.family import Caution
    from os_vif.engine.step import Change, Step
    from os_vif.engine.topology import Topology


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """What a look at one network or router found.

    :ivar topology: the network or router.
    :ivar steps: what is left to do, one a row that is not as described.
    :ivar warnings: what no step puts right.
    :ivar waiting: ports that no host has plugged, as ``Row.what`` calls them: no drift.
    :ivar error: why it cannot be applied; None if it can.
    :ivar assumed: none: all could be seen.
    :ivar changes: of each step, in their order, what it changes.
    """

    topology: Topology
    steps: tuple[Step, ...] = ()
    warnings: tuple[Caution, ...] = ()
    waiting: tuple[str, ...] = ()
    error: Exception | None = None
    assumed: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Applied:
    """What was done for one network or router.

    :ivar topology: the network or router.
    :ivar steps: in order, one a row; empty if all was as described already.
    """

    topology: Topology
    steps: tuple[Step, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A row of an owner's.

    :ivar table: its table.
    :ivar uuid: its ``_uuid``.
    :ivar owner: whose it is.
    :ivar mark: what it belongs to: ``network=ID``, ``router=ID`` or ``vif=ID``, and more words.
    :ivar name: ``name``; '' where the table has none.
    :ivar parent: the table and ``_uuid`` of the row that holds it, and in which column; None for a
        root.
    :ivar columns: what was read of it beside that, by name: maps of texts, and lists (of one item,
        where a column holds one; a reference is ``{"uuid": ...}``).
    :ivar up: of a guest's port, whether a chassis has it; None for what is none.
    :ivar kept: whether gc leaves it, as it is plugged on a host.
    """

    table: str
    uuid: str
    owner: str
    mark: str
    name: str = ""
    parent: tuple[str, str, str] | None = None
    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    up: bool | None = None
    kept: bool = False

    @property
    def what(self) -> str:
        """What people call it, as far as it tells: its kind and its name or mark."""
        return f"{self.table} {self.name or self.mark}"
