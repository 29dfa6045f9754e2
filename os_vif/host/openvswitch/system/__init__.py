# SPDX-License-Identifier: Apache-2.0
"""Ask the database of Open vSwitch, and change it.

Here its rooms are only loaded when there is something to do: a host without a switch needs no
``ovs`` package.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from os_vif.engine.family import Phase, Search, Shared, System, Transactions
from os_vif.engine.plugged import Part, Plugged
from os_vif.engine.topology import parse_mark, read_guest
from os_vif.host.links.questions import FUNCTIONS, is_shared
from os_vif.host.links.system import devices
from os_vif.host.openvswitch.questions import (
    BINDINGS,
    BRIDGES,
    GUEST_KEY,
    HELD,
    IDS,
    MARK_KEY,
    MARKED,
    PORTS,
    REPRESENTED,
    BridgeRow,
    PortRow,
)
from os_vif.host.openvswitch.resources import DATAPATHS, OvsBridge
from os_vif.host.openvswitch.steps import del_br, del_port

if TYPE_CHECKING:
    from os_vif.engine.family import Diagnosis
    from os_vif.engine.observed import Asked, Host, Question
    from os_vif.engine.place import Place
    from os_vif.engine.runner import Group, Report
    from os_vif.engine.step import Step
    from os_vif.host.openvswitch.resources import Database

LOG = logging.getLogger(__name__)

_OWN_ADDRESS = re.compile(r"(tcp|ssl):(127\.|\[::1\]|localhost\b)")


def _look(
    asked: Mapping[Question[Any, Any], set[Any]], host: Host, place: Place
) -> Iterable[Asked]:
    """Answer all that is asked, in one trip to the database."""
    if place.database is None:
        return ()  # a VIF that is no business of a switch's: of it, only its mark is asked about
    from os_vif.host.openvswitch.system import rows

    behind = (host[FUNCTIONS].get(address) for address in asked.get(REPRESENTED, ()))
    representors = {found.representor for found in behind if found} - {""}
    wanted = rows.Wanted(
        sorted(asked.get(BRIDGES, ())),
        sorted(asked.get(PORTS, set()) | representors),
        sorted(asked.get(IDS, ())),
        sorted(asked.get(MARKED, ())),
    )
    # Who only looks for what may be left there does not wait for a switch.
    patient = not asked.keys() <= {IDS, MARKED}
    try:
        found = rows.look_up(place.database, wanted, patient=patient)
    except OSError as error:
        if patient or not _is_closed(error):
            raise
        LOG.info("Open vSwitch is not asked for what a VIF may have there: %s", error.strerror)
        return ()
    host[BRIDGES].update(found.bridges)
    host[PORTS].update(found.ports)
    host[IDS].update(found.ids)
    host[MARKED].update(found.marked)
    if BINDINGS in asked:
        from os_vif.host.openvswitch.system import binding

        host[BINDINGS].update(binding.look_up(place.database, sorted(asked[BINDINGS])))
    if HELD in asked:
        host[HELD].update(rows.held(place.database, sorted(asked[HELD])))
    return ()


def _is_absent(error: OSError) -> bool:
    return error.errno in (errno.ENOENT, errno.ECONNREFUSED)


def _is_closed(error: OSError) -> bool:
    # Another plugin's caller may have no business with the switch.
    return _is_absent(error) or error.errno in (errno.EACCES, errno.EPERM)


def _run(place: Place, groups: Sequence[Group]) -> list[Report]:
    from os_vif.host.openvswitch.system import transactions

    return transactions.run(place.database, groups)


def _take_back(place: Place, back: Sequence[Step]) -> list[str]:
    from os_vif.host.openvswitch.system import transactions

    return transactions.take_back(place.database, back)


def _one_call() -> AbstractContextManager[None]:
    from os_vif.system import ovsdb_calls

    return ovsdb_calls.one_call()


def _find(search: Search) -> Iterator[Part]:
    for database in search.databases:
        ports, bridges = _marked(database)
        for port in ports:
            if mark := parse_mark(port.external_ids.get(MARK_KEY)):
                guest = read_guest(port.external_ids.get(GUEST_KEY, ""))
                mark = dataclasses.replace(mark, guest=guest)
                yield Part(mark.vif_id, "ports", port, mark)
        for bridge in bridges:
            if mark := parse_mark(bridge.mark):
                yield Part(mark.vif_id, "bridges", bridge, mark)


def _shared(search: Search) -> Iterator[Shared]:
    for database in search.databases:
        for row in _marked(database)[1]:
            if is_shared(row.mark):
                datapath = row.datapath_type if row.datapath_type in DATAPATHS else ""
                bridge = OvsBridge(name=row.name, datapath_type=datapath)
                yield Shared(row.name, (bridge,), database=database)


def _is_missing(remote: str) -> bool:
    """Tell whether a server's socket is not there, without loading what talks to one."""
    kind, _colon, path = remote.partition(":")
    return kind == "unix" and not os.path.lexists(path)


def _marked(database: Database) -> tuple[list[PortRow], list[BridgeRow]]:
    from os_vif.host.openvswitch.system import rows

    if all(map(_OWN_ADDRESS.match, database.remotes)) and not devices.is_up("lo"):
        LOG.info("no Open vSwitch is asked: %s cannot be reached, lo is down", database.remote)
        return [], []
    if all(map(_is_missing, database.remotes)):
        LOG.info("no Open vSwitch is asked: %s: %s", database.remote, os.strerror(errno.ENOENT))
        return [], []
    try:
        return rows.marked(database)
    except OSError as error:
        if not _is_absent(error):
            raise
        LOG.info("no Open vSwitch is asked: %s", error.strerror)
        return [], []


def _remove(plugged: Plugged, phase: Phase) -> list[Step]:
    if phase is Phase.LET_GO:
        return [del_port(port) for port in plugged["ports"]]
    if phase is Phase.CLOSE:
        return [del_br(bridge) for bridge in plugged["bridges"]]
    return []


def _examine_chassis(databases: Collection[Database]) -> Iterator[Diagnosis]:
    from os_vif.host.openvswitch.rules import doctor
    from os_vif.host.openvswitch.system import binding

    for database in databases:
        yield from doctor.examine(binding.chassis(database))


SYSTEM = System(
    look=_look,
    transactions=Transactions(run=_run, take_back=_take_back, one_call=_one_call),
    find=_find,
    shared=_shared,
    remove=_remove,
    doctor={"ovn": _examine_chassis},
)
