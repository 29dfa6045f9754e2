# SPDX-License-Identifier: Apache-2.0
"""How far OVN is with ports: waited for, and looked up where it is told and where it keeps it.

Sources: ovn-controller(8), ovn-sb(5).
"""

from __future__ import annotations

import dataclasses
import errno
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from os_vif import exception
from os_vif.engine.step import Step
from os_vif.host.links.system import devices
from os_vif.host.openvswitch.questions import Binding, Chassis, Logical, PortRow
from os_vif.host.openvswitch.resources import Database
from os_vif.host.openvswitch.rules.binding import elsewhere, why_not
from os_vif.host.openvswitch.system import rows
from os_vif.host.routes.system import addresses
from os_vif.system import ovsdb
from os_vif.system import ovsdb_wire as wire
from os_vif.system.ovsdb import Connection
from os_vif.system.ovsdb_calls import Deadline, Lost, OvsdbError

LOG = logging.getLogger(__name__)

_SOUTHBOUND = "OVN_Southbound"

_PATIENCE_S = 3
"""Seconds for each database to tell why OVN has not bound a port."""
_GLANCE_S = 1
"""Seconds for the Southbound database where only a warning depends on it."""


def condition(steps: Sequence[Step]) -> list[list[str]]:
    """Return what holds for the interfaces of the ports that are waited for."""
    return [["name", "==", step.args["name"]] for step in steps]


def warn_of_others(
    database: Database, server: Connection, binding: Sequence[Step], deadline: Deadline
) -> None:
    """Log which ports that are made here another chassis has, and would fight for.

    Asked before they are there: once both have one, it is by turns of either.  Where the Southbound
    database does not answer, nothing is said.

    :param server: the host's own database
    """
    made = [step.args for step in binding if "external_ids" in step.args]
    names = {args["external_ids"].get("iface-id", ""): args["name"] for args in made}
    if not any(names):
        return
    told = _told(server, deadline)
    said = _southbound(database, told, sorted(filter(None, names)), _GLANCE_S)
    for iface_id, logical in said.logical.items():
        # One that is wanted elsewhere is not bound here, which is an error.
        if logical and not logical.requested and (words := elsewhere(logical, told)):
            LOG.warning("%s: %s", names[iface_id], words)


def wait(server: Connection, binding: Sequence[Step], deadline: Deadline) -> list[Step]:
    """Wait until OVN has bound ports, whose interfaces are watched.

    :returns: the steps whose ports it has not, when the time is over.
    """
    left = list(binding)
    while True:
        asked = [
            wire.select("Interface", [it], ["external_ids", "ofport"]) for it in condition(left)
        ]
        answers = server.transact(asked, deadline.at_least(_PATIENCE_S))
        found = zip(left, answers, strict=True)
        left = [step for step, answer in found if not any(map(_is_bound, answer["rows"]))]
        if not left:
            return []
        try:
            server.wait_for_change(deadline)
        except Lost:
            raise
        except OvsdbError:
            return left


def _is_bound(row: wire.Row) -> bool:
    ids = wire.from_map(row["external_ids"])
    return PortRow("", "", external_ids=ids, ofport=wire.optional(row["ofport"])).bound


def unbound(database: Database, left: Sequence[Step]) -> list[tuple[Step, int, str]]:
    """Return steps whose ports OVN has not bound in time, each with errno and the reason."""
    try:
        found = look_up(database, [step.args["name"] for step in left])
        reasons = {name: why_not(binding) for name, binding in found.items()}
    except OSError as error:
        reasons = dict.fromkeys((step.args["name"] for step in left), f"{error.strerror}")
    words = f"OVN has not bound it within {database.timeout} s: "
    return [(step, errno.ETIMEDOUT, words + reasons[step.args["name"]]) for step in left]


def look_up(database: Database, names: Sequence[str]) -> dict[str, Binding]:
    """Return how far OVN is with ports, by name.

    :raises OvsdbError: the host's own database could not be asked.
    """
    deadline = Deadline(_PATIENCE_S)
    with ovsdb.connection(database, deadline, patient=False) as server:
        ports = rows.ports(server, names, deadline)
        told = _told(server, deadline)
    ids = {
        name: port.external_ids.get("iface-id", "") if port else "" for name, port in ports.items()
    }
    said = _southbound(database, told, sorted(set(ids.values())))
    tunnels = _tunnels(told)
    return {
        name: Binding(
            ports[name], told, said.silent, said.logical.get(ids[name]), said.known, tunnels
        )
        for name in names
    }


def chassis(database: Database) -> Chassis:
    """Return what there is of this host as a chassis of OVN.

    :raises OvsdbError: the host's own database could not be asked.
    """
    deadline = Deadline(_PATIENCE_S)
    with ovsdb.connection(database, deadline, patient=False) as server:
        told = _told(server, deadline)
        bridges, ports = rows.with_iface_id(server, deadline)
    said = _southbound(database, told, [])
    return Chassis(told, bridges, ports, said.silent, said.known, _tunnels(told))


def _told(server: Connection, deadline: Deadline) -> dict[str, str]:
    """Return what the host was told: external_ids of its switch."""
    [answer] = server.transact([wire.select("Open_vSwitch", [], ["external_ids"])], deadline)
    return wire.from_map(answer["rows"][0]["external_ids"]) if answer["rows"] else {}


class _Southbound(NamedTuple):
    """What the Southbound database says.

    :ivar silent: why it says nothing, in words; '' if it was asked.
    :ivar known: whether it knows this chassis.
    :ivar logical: its ports, by name; None where there is none.
    """

    silent: str = ""
    known: bool = False
    logical: Mapping[str, Logical | None] = MappingProxyType({})


def _southbound(
    near: Database, told: Mapping[str, str], ids: Sequence[str], seconds: int = _PATIENCE_S
) -> _Southbound:
    if not told.get("ovn-remote") or not told.get("system-id"):
        return _Southbound()
    remote = told["ovn-remote"]
    try:
        database = dataclasses.replace(near, remote=remote, name=_SOUTHBOUND)
        return _ask_southbound(database, told["system-id"], ids, Deadline(seconds))
    except exception.InvalidField:
        return _Southbound(f"{remote!r} is no database's address")
    except OSError as error:
        return _Southbound(error.strerror or str(error))


def _ask_southbound(
    database: Database, here: str, ids: Sequence[str], deadline: Deadline
) -> _Southbound:
    with ovsdb.connection(database, deadline, patient=False) as server:
        asked = [wire.select("Chassis", [["name", "==", here]], ["name"])]
        asked += [
            wire.select("Port_Binding", [["logical_port", "==", it]], ["chassis", "options"])
            for it in ids
        ]
        known, *ports = (answer["rows"] for answer in server.transact(asked, deadline))
        held = [wire.optional(row["chassis"]) for rows_ in ports for row in rows_]
        names = _names(server, [uuid for uuid in held if uuid], deadline)
    logical = {it: _logical(rows_, names) for it, rows_ in zip(ids, ports, strict=True)}
    return _Southbound("", bool(known), logical)


def _names(
    server: Connection, chassis: Sequence[Sequence[str]], deadline: Deadline
) -> dict[str, str]:
    """Return the names of chassis by uuid."""
    asked = [wire.select("Chassis", [["_uuid", "==", uuid]], ["name"]) for uuid in chassis]
    answers = server.transact(asked, deadline) if asked else []
    return {
        uuid[1]: row["name"]
        for uuid, answer in zip(chassis, answers, strict=True)
        for row in answer["rows"]
    }


def _logical(found: Sequence[wire.Row], names: Mapping[str, str]) -> Logical | None:
    for row in found:
        options = wire.from_map(row["options"])
        chassis = wire.optional(row["chassis"])
        return Logical(
            chassis=names.get(chassis[1], "") if chassis else "",
            requested=options.get("requested-chassis", ""),
            iface_id_ver=options.get("iface-id-ver", ""),
        )
    return None


def _tunnels(told: Mapping[str, str]) -> tuple[str, int] | None:
    """Return the device that OVN's tunnels go over, with its MTU."""
    try:
        # Of several, which OVN takes since 24.03, the first.
        device = addresses.device_of(told.get("ovn-encap-ip", "").partition(",")[0])
        link = devices.look_up([device])[device] if device else None
    except (OSError, ValueError) as error:
        LOG.debug("the device of OVN's tunnels is not found: %s", error)
        return None
    return (device, int(link.attributes["mtu"] or 0)) if link else None
