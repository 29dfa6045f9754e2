# SPDX-License-Identifier: Apache-2.0
"""Networks over many hosts: rows of OVN's Northbound database, planned, applied and checked.

What is wanted is a list of topologies of :class:`~os_vif.host.ovn.resources.Row`, one for each
network and router.  All of a call are one transaction (of 1000 rows at most; more are several, in
the order in which they need each other): all of it is done, or nothing.  Again does what is left,
so a call that was killed, or whose answer was lost, is simply made again; two at once make each row
once.

Each row carries whose it is: ``external_ids:os-vif-owner``.  What another owner has, or another
system such as Neutron, is never changed nor removed; of our rows, only the columns and the keys
that are described.  A call looks first, and writes then; new ports of a network that this process
has looked at are written at once, if it still is as it was.  Nothing here touches a host, needs
privilege, or is part of plugging::

    from os_vif import network

    nb = network.northbound("ssl:192.0.2.1:6641,ssl:192.0.2.2:6641", ssl_key_file=..., ...)
    network.apply(topologies, nb, wait=True)

Every verb takes ``nb``, as :func:`northbound` returns it; None is what the configuration says.  All
raise OSError where no server answers before the time is over: ``errno`` and the words.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.host.ovn.resources import (
    MARK_KEY,
    ROWS_AT_ONCE,
    Absent,
    Northbound,
    Placement,
    Row,
)
from os_vif.network.outcomes import Applied, Findings, Owned
from os_vif.network.reaching import CONFIG_OPTS, GROUP, northbound, southbound

if TYPE_CHECKING:
    from os_vif.engine.converge import Request
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.place import Place
    from os_vif.engine.step import Step
    from os_vif.engine.topology import Topology
    from os_vif.host.openvswitch.resources import Database
    from os_vif.host.ovn.questions import NbRow

__all__ = [
    "CONFIG_OPTS",
    "GROUP",
    "ROWS_AT_ONCE",
    "Applied",
    "Findings",
    "Owned",
    "apply",
    "bindings",
    "check",
    "delete",
    "gc",
    "list_rows",
    "northbound",
    "place",
    "plan",
    "southbound",
    "transactions_of",
]

# --- what is wanted -------------------------------------------------------------------------------


def plan(
    topologies: Iterable[Topology],
    nb: Northbound | None = None,
    *,
    deleting: bool = False,
    force: bool = False,
) -> list[Findings]:
    """Return what :func:`apply` would do now, or :func:`delete`, and touch nothing.

    :param deleting: of delete, with this ``force``
    :returns: one for each topology, in their order; what would be refused has its ``error``
    """
    topologies = list(topologies)
    todo = [_without(it, force=force) for it in reversed(topologies)] if deleting else topologies
    found = _examine(todo, nb, watching=False)
    found = found[::-1] if deleting else found
    return [
        dataclasses.replace(it, topology=topology)
        for it, topology in zip(found, topologies, strict=True)
    ]


def check(
    topologies: Iterable[Topology],
    nb: Northbound | None = None,
    *,
    neighbours: bool = True,
    sb: Database | None = None,
) -> list[Findings]:
    """Return what is not as described, and what to be warned of beside it.

    A step that is left is a drift; its words are :func:`os_vif.cli.drift.drifts_of`'s.

    :param neighbours: look, too, at what is not described: ports of whoever's in these networks
        that have an address of a described one, which takes the longer the more ports the database
        holds; and what routers still hold of an earlier description
    :param sb: as :func:`southbound` returns it: warn, too, of chassis that OVN does not know, and
        of provider's networks that none is connected to
    :returns: one for each topology, in their order
    """
    found = _examine(list(topologies), nb, watching=neighbours)
    if sb is None:
        return found
    from os_vif.host.ovn.system import southbound as far
    from os_vif.logical import chassis

    known = far.chassis(sb)
    return [
        dataclasses.replace(it, warnings=(*it.warnings, *chassis.warnings(it.topology, known)))
        for it in found
    ]


def apply(
    topologies: Iterable[Topology],
    nb: Northbound | None = None,
    *,
    wait: bool = False,
    wait_up: bool = False,
) -> list[Applied]:
    """Make all rows be as described; what is so already is left alone.

    :param wait: until ovn-northd has followed
    :param wait_up: until a host has plugged each port of a guest's that is enabled
    :raises ResourceConflict: a row, or the name of one, is another's: it is named with its
        external_ids.  Nothing was written; so it is with all errors but the last.
    :raises UnusableDevice: what a row is to be in is not there.
    :raises StepFailed: the server refused: its words, with the field of the file.
    :raises NotConverged: others kept changing the same rows.
    :raises OSError: no server answered in time; ETIMEDOUT too where the rows are written, and what
        was waited for did not come.
    """
    topologies = list(topologies)
    ends = _Ends(nb)
    done = _run(topologies, ends.nb, counted=wait)
    if wait:
        ends.wait_for_northd()
    if wait_up:
        ends.wait_for_chassis(topologies)
    return done


def delete(
    topologies: Iterable[Topology],
    nb: Northbound | None = None,
    *,
    force: bool = False,
    wait: bool = False,
) -> list[Applied]:
    """Remove all rows that are described, if they are there; those of another owner stay.

    :param force: though ports are plugged on hosts, whose guests lose their network
    :param wait: until ovn-northd has followed
    :raises HeldByAnother: a port is plugged on a host, or a switch or router holds a row that is
        not described: it is named.  Nothing was removed.
    """
    topologies = list(topologies)
    ends = _Ends(nb)
    todo = [_without(it, force=force) for it in reversed(topologies)]
    done = _run(todo, ends.nb, counted=wait)[::-1]
    if wait:
        ends.wait_for_northd()
    pairs = zip(done, topologies, strict=True)
    return [dataclasses.replace(it, topology=topology) for it, topology in pairs]


def _without(topology: Topology, *, force: bool) -> Topology:
    """Return that nothing of a topology is to be there, children before their parents."""
    rows = [it for it in topology.resources if isinstance(it, Row)]
    absent = tuple(Absent.of(row, force=force) for row in reversed(rows))
    return dataclasses.replace(topology, resources=absent)


def _place(nb: Northbound | None) -> Place:
    from os_vif.engine.place import DEFAULT, Place

    return Place(DEFAULT, nb or northbound())


def _requests(topologies: Sequence[Topology], nb: Northbound | None) -> list[Request]:
    from os_vif.engine.converge import Request

    there = _place(nb)
    return [Request(topology, there) for topology in topologies]


def _examine(
    topologies: Sequence[Topology], nb: Northbound | None, *, watching: bool
) -> list[Findings]:
    from os_vif.engine import examine
    from os_vif.host.ovn.questions import Waiting

    if not topologies:
        return []
    every = examine.examine_together(_requests(topologies, nb), watching=watching)
    return [
        Findings(
            topology,
            tuple(seen.steps),
            tuple(it for it in seen.cautions if not isinstance(it, Waiting)),
            tuple(it.device for it in seen.cautions if isinstance(it, Waiting)),
            seen.error,
            changes=tuple(seen.changes),
        )
        for topology, seen in zip(topologies, every, strict=True)
    ]


def _run(topologies: Sequence[Topology], nb: Northbound | None, *, counted: bool) -> list[Applied]:
    """Make topologies true, all or none.

    :raises ExceptionBase: why not; the first there was.
    """
    from os_vif.engine import converge

    there = nb or northbound()
    if there.counted != counted:
        there = dataclasses.replace(there, counted=counted)
    requests = _requests(topologies, there)
    converge.plug(requests, together=True)
    errors = [request.error for request in requests if request.error is not None]
    for error in errors:
        if not isinstance(error, exception.NotAttempted):
            raise error
    return [Applied(it.topology, tuple(it.done)) for it in requests]


def _ask(nb: Northbound | None, *asked: Asked) -> Host:
    from os_vif.engine.steady import observe

    return observe(asked, _place(nb), with_daemon=False)


class _Ends:
    """When a call has to be over, beside what it has done by then."""

    def __init__(self, nb: Northbound | None) -> None:
        self.nb = nb or northbound()
        self._begun = time.monotonic()

    def _left(self) -> float:
        if not self.nb.timeout:
            return _NEVER_S
        return max(1.0, self.nb.timeout - (time.monotonic() - self._begun))

    def wait_for_northd(self) -> None:
        """Wait until ovn-northd has followed.

        :raises OSError: it has not, in time.
        """
        from os_vif.host.ovn.questions import FOLLOWED

        _ask(self.nb, FOLLOWED(self._left()))

    def wait_for_chassis(self, topologies: Iterable[Topology]) -> None:
        """Wait until a chassis has each port of a guest's.

        :raises OSError: not all have one, in time.
        """
        from os_vif.host.ovn.questions import BOUND

        ports = [
            (row.uuid, row.what)
            for topology in topologies
            for row in topology.resources
            if isinstance(row, Row) and row.is_guests
            if row.columns.get("enabled") is not False
        ]
        _ask(self.nb, BOUND((self._left(), tuple(ports))))


_NEVER_S = 10.0**6


def transactions_of(rows: int) -> int:
    """Return in how many transactions so many rows are written."""
    return -(-rows // ROWS_AT_ONCE)


# --- what is there --------------------------------------------------------------------------------


def list_rows(nb: Northbound | None = None, *, owner: str = "") -> list[Owned]:
    """Return what is there of an owner's, parents before their children.

    This is the one look that grows with the database.

    :param owner: whose; '' for every owner's
    """
    from os_vif.host.ovn.questions import OWNED

    return [_owned(row) for row in _ask(nb, OWNED(owner))[OWNED][owner]]


def _owned(row: NbRow) -> Owned:
    beside = {name: it for name, it in row.columns.items() if name not in ("name", "external_ids")}
    parent = row.parents[0][:3] if row.parents else None
    return Owned(
        table=row.table,
        uuid=row.uuid,
        owner=row.owner,
        mark=row.ids.get(MARK_KEY, ""),
        name=row.name if "name" in row.columns else "",
        parent=parent,
        columns={**beside, "external_ids": row.ids},
        up=row.is_up if row.is_guests else None,
    )


def bindings(ports: Sequence[str], sb: Database) -> dict[str, str]:
    """Return the name of the chassis that has a port, by the port's name; of those that one has.

    :param ports: by their names: of a VIF its id, or the profile's ``interface_id``
    :param sb: as :func:`southbound` returns it
    """
    from os_vif.host.ovn.system import southbound as far

    return far.bindings(sb, ports)


def gc(
    keep: Iterable[Topology],
    owner: str,
    nb: Northbound | None = None,
    *,
    dry_run: bool = False,
    force: bool = False,
    wait: bool = False,
) -> list[Owned]:
    """Remove an owner's rows that no topology describes, and return them, children first.

    Those of others are not even looked at.  A port that is plugged on a host stays, and with it
    what it is in; it is in the answer, with ``kept``.

    :param keep: what is wanted; nothing, to remove all that the owner has
    :param owner: whose rows may go: letters, digits, '-', '.' and '_', 24 at most
    :param dry_run: only tell
    :param force: remove ports that are plugged, too
    :param wait: until ovn-northd has followed
    :raises HeldByAnother: a switch or router that is to go holds a row of another's.
    """
    from os_vif.engine import checks
    from os_vif.engine.topology import Mark, Topology

    checks.owner(owner)
    ends = _Ends(nb)
    wanted = {it.uuid for kept in keep for it in kept.resources if isinstance(it, Row)}
    gone = [it for it in list_rows(ends.nb, owner=owner) if it.uuid not in wanted][::-1]
    if not force:
        gone = _kept(gone)
    removed = [it for it in gone if not it.kept]
    if removed and not dry_run:
        absent = (
            Absent(table=it.table, uuid=it.uuid, what=it.what, owner=owner, force=force)
            for it in removed
        )
        mark = Mark("gc", "ovn", owner=owner)
        _run([Topology(mark, tuple(absent), kind="owner")], ends.nb, counted=wait)
        if wait:
            ends.wait_for_northd()
    return gone


def _kept(rows: Sequence[Owned]) -> list[Owned]:
    """Return rows with those marked that stay: ports that are up, and what these need."""
    needed = {it.parent[1] for it in rows if it.up and it.parent is not None}
    needed |= {
        item["uuid"]
        for it in rows
        if it.up
        for items in it.columns.values()
        if isinstance(items, list)
        for item in items
        if isinstance(item, dict)
    }
    return [dataclasses.replace(it, kept=bool(it.up) or it.uuid in needed) for it in rows]


def place(
    vif_id: str,
    chassis: Sequence[str],
    nb: Northbound | None = None,
    *,
    activation: str = "",
) -> list[Step]:
    """Have OVN want a port on these hosts, and return what was changed.

    Nothing but ``options:requested-chassis`` and ``options:activation-strategy`` is written, and
    :func:`apply` of a file that does not say where a port is to be leaves both alone.

    :param vif_id: the VIF's id, which is the port's name
    :param chassis: names of chassis; two while a guest moves from the first to the second; none
        for any
    :param activation: with two: ``rarp``, by which the second hears nothing before the guest has
        announced itself there; or ''
    :raises InvalidField: such chassis cannot be.
    :raises UnusableDevice: OVN has no such port, or is too old to have it on two chassis.
    :raises ResourceConflict: the port is another system's.
    """
    from os_vif.engine.topology import Mark, Topology

    placement = Placement(port=vif_id, chassis=tuple(chassis), activation=activation)
    topology = Topology(Mark(vif_id, "ovn"), (placement,), kind="port")
    return list(_run([topology], nb, counted=False)[0].steps)
