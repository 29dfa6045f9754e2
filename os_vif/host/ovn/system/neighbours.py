# SPDX-License-Identifier: Apache-2.0
"""Ports of one network that have the same address, which OVN takes without a word."""

from __future__ import annotations

from collections.abc import Collection

from os_vif.host.ovn.questions import PORT, Addressed, NbRow, addresses_in
from os_vif.host.ovn.system.rows import by_uuid, identity, read
from os_vif.system import ovsdb_wire as wire
from os_vif.system.ovsdb import Connection
from os_vif.system.ovsdb_calls import Deadline


def look_up(
    asked: Collection[Addressed], server: Connection, deadline: Deadline
) -> dict[str, tuple[tuple[str, NbRow], ...]]:
    """Return by port the other ones of its switch that have an address of its, with the address.

    All addresses there are get read: it takes the longer, the more ports the database holds.
    """
    [answer] = server.transact([wire.select(PORT, [], ["_uuid", "addresses"])], deadline)
    holders: dict[str, list[str]] = {address: [] for it in asked for address in it.addresses}
    for row in answer["rows"]:
        for text in wire.from_set(row["addresses"]):
            for address in addresses_in(text, holders):
                holders[address].append(row["_uuid"][1])
    pairs = [
        (it, address, other)
        for it in asked
        for address in it.addresses
        for other in holders[address]
        if other != it.uuid
    ]
    questions = []
    for it, _address, other in pairs:
        inside = [*by_uuid(it.switch), ["ports", "includes", ["uuid", other]]]
        questions.append(wire.select("Logical_Switch", inside, ["_uuid"]))
        questions.append(wire.select(PORT, by_uuid(other), identity(PORT)))
    answers = [it["rows"] for it in server.transact(questions, deadline)] if questions else []
    found: dict[str, tuple[tuple[str, NbRow], ...]] = {}
    for at, (it, address, _other) in enumerate(pairs):
        inside, there = answers[2 * at : 2 * at + 2]
        if inside and there:
            found[it.uuid] = (*found.get(it.uuid, ()), (address, read(PORT, there[0])))
    return found
