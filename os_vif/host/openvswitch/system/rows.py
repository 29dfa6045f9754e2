# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch's bridges and ports, looked up by name.

Source: ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from os_vif.host.openvswitch.questions import MARK_KEY, BridgeRow, PortRow
from os_vif.host.openvswitch.resources import Database
from os_vif.system import ovsdb
from os_vif.system import ovsdb_wire as wire
from os_vif.system.ovsdb import Connection
from os_vif.system.ovsdb_calls import Deadline

_BRIDGE_COLUMNS = ["_uuid", "name", "datapath_type", "external_ids"]
_SET_BY_OTHERS = ["controller", "mirrors", "netflow", "sflow", "ipfix"]
_HELD_COLUMNS = ["ports", "external_ids", *_SET_BY_OTHERS]
_PORT_COLUMNS = ["_uuid", "name", "interfaces", "tag", "trunks", "vlan_mode", "qos"]
_POLICING = ("ingress_policing_rate", "ingress_policing_burst")
_INTERFACE_COLUMNS = [
    *_POLICING,
    "_uuid",
    "type",
    "options",
    "external_ids",
    "mtu_request",
    "ofport",
    "error",
]


class Wanted(NamedTuple):
    """What is asked about.

    :ivar bridges: by name.
    :ivar ports: by name.
    :ivar ids: iface-ids.
    :ivar marks: texts of marks.
    """

    bridges: Sequence[str] = ()
    ports: Sequence[str] = ()
    ids: Sequence[str] = ()
    marks: Sequence[str] = ()


class Found(NamedTuple):
    """What there is.

    :ivar bridges: by name; None where there is none.
    :ivar ports: by name; None where there is none.
    :ivar ids: the names of ports, by iface-id.
    :ivar marked: the names of ports, by the text of their mark.
    """

    bridges: dict[str, BridgeRow | None]
    ports: dict[str, PortRow | None]
    ids: dict[str, tuple[str, ...]]
    marked: dict[str, tuple[str, ...]]


def look_up(database: Database, wanted: Wanted, *, patient: bool = True) -> Found:
    """Return bridges and ports by name, and those that have an iface-id or a mark.

    Three questions at the most, whatever else the switch holds.

    :param patient: wait for a server that is not there
    :raises OvsdbError: the server could not be asked.
    """
    return ovsdb.ask(
        database, lambda server, deadline: _look_up(server, wanted, deadline), patient=patient
    )


def ports(
    server: Connection, names: Sequence[str], deadline: Deadline
) -> dict[str, PortRow | None]:
    """Return ports by name; None where there is none."""
    return _look_up(server, Wanted(ports=names), deadline).ports


def with_iface_id(
    server: Connection, deadline: Deadline
) -> tuple[tuple[str, ...], tuple[tuple[str, str, int | None], ...]]:
    """Return the names of all bridges; and name, bridge and MTU of all ports with an iface-id."""
    asked = [
        wire.select("Bridge", [], ["name", "ports"]),
        wire.select("Port", [], ["_uuid", "interfaces"]),
        wire.select("Interface", [], ["_uuid", "name", "external_ids", "mtu"]),
    ]
    bridges, ports, interfaces = (it["rows"] for it in server.transact(asked, deadline))
    holders = {port[1]: row["name"] for row in bridges for port in wire.from_set(row["ports"])}
    ports_of = {it[1]: row["_uuid"][1] for row in ports for it in wire.from_set(row["interfaces"])}
    found = (
        (row["name"], holders.get(ports_of.get(row["_uuid"][1], ""), ""), wire.optional(row["mtu"]))
        for row in interfaces
        if wire.from_map(row["external_ids"]).get("iface-id")
    )
    return tuple(sorted(row["name"] for row in bridges)), tuple(sorted(found))


def _look_up(server: Connection, wanted: Wanted, deadline: Deadline) -> Found:
    bridges, ports, ids, marks = wanted
    keys = [("iface-id", iface_id) for iface_id in ids] + [(MARK_KEY, mark) for mark in marks]
    asked = [wire.select("Bridge", [["name", "==", name]], _BRIDGE_COLUMNS) for name in bridges]
    asked += [wire.select("Bridge", _with_id(MARK_KEY, it), _BRIDGE_COLUMNS) for it in marks]
    asked += [wire.select("Interface", _with_id(*which), ["name"]) for which in keys]
    asked += _about_ports(ports)
    if not asked:
        return Found({}, {}, {}, {})
    answers = iter([answer["rows"] for answer in server.transact(asked, deadline)])
    found_bridges: dict[str, BridgeRow | None] = {}
    for name in bridges:
        rows = next(answers)
        found_bridges[name] = _bridge_row(rows[0]) if rows else None
    for _mark in marks:
        found_bridges.update({row["name"]: _bridge_row(row) for row in next(answers)})
    named = [tuple(row["name"] for row in next(answers)) for _key in keys]
    of_ports = list(answers)
    more = sorted({name for names in named for name in names} - set(ports))
    if more:
        of_ports += [answer["rows"] for answer in server.transact(_about_ports(more), deadline)]
    found_ports: dict[str, PortRow | None] = dict.fromkeys([*ports, *more])
    found_ports.update(_port_rows(server, of_ports, deadline))
    by_id, by_mark = named[: len(ids)], named[len(ids) :]
    return Found(
        found_bridges,
        found_ports,
        dict(zip(ids, by_id, strict=True)),
        dict(zip(marks, by_mark, strict=True)),
    )


def _with_id(key: str, value: str) -> list[Any]:
    return [["external_ids", "includes", wire.to_map({key: value})]]


def _about_ports(names: Sequence[str]) -> list[wire.Operation]:
    """Return two questions a port: about itself, and about the interface of its name."""
    return [
        wire.select(table, [["name", "==", name]], columns)
        for name in names
        for table, columns in (("Port", _PORT_COLUMNS), ("Interface", _INTERFACE_COLUMNS))
    ]


def _bridge_row(row: wire.Row) -> BridgeRow:
    ids = wire.from_map(row["external_ids"])
    mark = ids.get(MARK_KEY, "")
    return BridgeRow(row["name"], row["datapath_type"], row["_uuid"][1], mark)


def _port_rows(
    server: Connection, answers: Sequence[list[wire.Row]], deadline: Deadline
) -> dict[str, PortRow]:
    """Return ports by name, with what stands in other tables: their bridge and QoS."""
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    found = [(ports[0], interfaces) for ports, interfaces in pairs if ports]
    if not found:
        return {}
    asked: list[wire.Operation] = []
    for port, _interfaces in found:
        asked.append(wire.select("Bridge", [["ports", "includes", port["_uuid"]]], ["name"]))
        # A row that does not exist gives no answer, which is what a port without QoS has.
        qos = wire.optional(port["qos"]) or port["_uuid"]
        asked.append(wire.select("QoS", [["_uuid", "==", qos]], ["_uuid", "type", "other_config"]))
        asked.append(wire.select("Port", [["qos", "==", qos]], ["_uuid"]))
    more = [answer["rows"] for answer in server.transact(asked, deadline)]
    return {
        port["name"]: _port_row(port, interfaces, *more[3 * at : 3 * at + 3])
        for at, (port, interfaces) in enumerate(found)
    }


def _port_row(
    port: wire.Row,
    interfaces: list[wire.Row],
    bridges: list[wire.Row],
    qos: list[wire.Row],
    sharers: list[wire.Row],
) -> PortRow:
    row = PortRow(
        name=port["name"],
        bridge=bridges[0]["name"] if bridges else "",
        uuid=port["_uuid"][1],
        settings={
            "tag": wire.optional(port["tag"]),
            "trunks": sorted(wire.from_set(port["trunks"])),
            "vlan_mode": wire.optional(port["vlan_mode"]),
        },
    )
    if qos:
        row.qos = qos[0]["type"]
        row.qos_uuid = qos[0]["_uuid"][1]
        row.qos_shared = len(sharers) > 1
        if row.qos == "linux-htb":
            row.settings["max_rate"] = _number(wire.from_map(qos[0]["other_config"]))
    # The interfaces of a bond have other names than their port; such a port is a stranger's.
    if interfaces and wire.from_set(port["interfaces"]) == [interfaces[0]["_uuid"]]:
        [interface] = interfaces
        row.interface = interface["_uuid"][1]
        row.type = interface["type"]
        row.options = wire.from_map(interface["options"])
        row.external_ids = wire.from_map(interface["external_ids"])
        row.mtu_request = wire.optional(interface["mtu_request"])
        row.settings |= {key: interface[key] for key in _POLICING}
        row.ofport = wire.optional(interface["ofport"])
        row.error = wire.optional(interface["error"]) or ""
    row.settings = {key: value for key, value in row.settings.items() if value}
    return row


def _number(config: dict[str, str]) -> int | None:
    text = config.get("max-rate", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def held(database: Database, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what others have on bridges, by name, as :data:`.questions.HELD` has it.

    :raises OvsdbError: the server could not be asked.
    """
    return ovsdb.ask(database, lambda server, deadline: _held(server, names, deadline))


def _held(
    server: Connection, names: Sequence[str], deadline: Deadline
) -> dict[str, tuple[str, ...]]:
    asked = [wire.select("Bridge", [["name", "==", name]], _HELD_COLUMNS) for name in names]
    found: dict[str, tuple[str, ...]] = {}
    for name, answer in zip(names, server.transact(asked, deadline), strict=True):
        for row in answer["rows"]:
            ids = wire.from_map(row["external_ids"])
            words = [f"external_ids:{key}" for key in ids if key != MARK_KEY]
            words += [column for column in _SET_BY_OTHERS if wire.from_set(row[column])]
            ports = [
                wire.select("Port", [["_uuid", "==", uuid]], ["name"])
                for uuid in wire.from_set(row["ports"])
            ]
            others = [
                port["name"]
                for part in server.transact(ports, deadline)
                for port in part["rows"]
                if port["name"] != name
            ]
            found[name] = (*others, *words)
    return found


def marked(database: Database) -> tuple[list[PortRow], list[BridgeRow]]:
    """Return every port and bridge with a mark of ours (the one look that grows with the switch).

    :raises OvsdbError: the server could not be asked; at once where none listens.
    """
    return ovsdb.ask(database, _marked, patient=False)


def _marked(server: Connection, deadline: Deadline) -> tuple[list[PortRow], list[BridgeRow]]:
    asked = [
        wire.select("Interface", [], ["name", "external_ids"]),
        wire.select("Bridge", [], _BRIDGE_COLUMNS),
    ]
    interfaces, bridges = (answer["rows"] for answer in server.transact(asked, deadline))
    names = [row["name"] for row in interfaces if MARK_KEY in wire.from_map(row["external_ids"])]
    found = ports(server, names, deadline)
    own = [row for row in map(_bridge_row, bridges) if row.mark]
    return [row for row in found.values() if row is not None], own
