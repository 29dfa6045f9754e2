# SPDX-License-Identifier: Apache-2.0
"""Which chassis there are, and which of them has which port: OVN's Southbound database, only read.

Source: ovn-sb(5).
"""

from __future__ import annotations

from collections.abc import Sequence

from os_vif.host.openvswitch.resources import Database
from os_vif.host.ovn.questions import Chassis
from os_vif.system import ovsdb
from os_vif.system import ovsdb_wire as wire
from os_vif.system.ovsdb import Connection
from os_vif.system.ovsdb_calls import Deadline

_MAPPINGS = "ovn-bridge-mappings"


def chassis(database: Database) -> list[Chassis]:
    """Return all chassis, by name.

    :raises OvsdbError: the database could not be asked.
    """
    return ovsdb.ask(database, _chassis)


def _chassis(server: Connection, deadline: Deadline) -> list[Chassis]:
    columns = ["name", "hostname", "external_ids", "other_config"]
    [answer] = server.transact([wire.select("Chassis", [], columns)], deadline)
    found = []
    for row in answer["rows"]:
        # Before OVN 20.06 they stood in external_ids.
        told = {**wire.from_map(row["external_ids"]), **wire.from_map(row["other_config"])}
        mappings = [it.partition(":")[0] for it in told.get(_MAPPINGS, "").split(",")]
        found.append(Chassis(row["name"], row["hostname"], tuple(filter(None, mappings))))
    return sorted(found)


def bindings(database: Database, ports: Sequence[str]) -> dict[str, str]:
    """Return the name of the chassis that has a port, by the port's name; of those that one has.

    :raises OvsdbError: the database could not be asked.
    """

    def look(server: Connection, deadline: Deadline) -> dict[str, str]:
        asked = [wire.select("Chassis", [], ["_uuid", "name"])]
        asked += [
            wire.select("Port_Binding", [["logical_port", "==", it]], ["chassis"]) for it in ports
        ]
        known, *answers = (it["rows"] for it in server.transact(asked, deadline))
        names = {row["_uuid"][1]: str(row["name"]) for row in known}
        held = {
            port: wire.optional(row["chassis"])
            for port, rows in zip(ports, answers, strict=True)
            for row in rows
        }
        return {port: names[it[1]] for port, it in held.items() if it and it[1] in names}

    return ovsdb.ask(database, look) if ports else {}
