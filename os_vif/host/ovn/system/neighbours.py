# SPDX-License-Identifier: Apache-2.0
"""Ports of one network that have the same address, which OVN takes without a word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from os_vif.host.ovn.questions import PORT, Addressed, NbRow, addresses_in
from os_vif.host.ovn.system.rows import identity, read
from os_vif.system import ovsdb_wire as wire
from os_vif.system.ovsdb import Connection
from os_vif.system.ovsdb_calls import Deadline


def look_up(
    asked: Collection[Addressed], server: Connection, deadline: Deadline
) -> dict[str, tuple[tuple[str, NbRow], ...]]:
    """Return by port the other ones of its switch that have an address of its, with the address.

    All addresses there are get read, and all ports of a switch that may have such: it takes the
    longer, the more ports the database holds.
    """
    [answer] = server.transact([wire.select(PORT, [], ["_uuid", "addresses"])], deadline)
    among = {address for it in asked for address in it.addresses}
    held: dict[str, list[str]] = {}
    times: dict[str, int] = defaultdict(int)
    for row in answer["rows"]:
        for text in wire.from_set(row["addresses"]):
            for address in addresses_in(text, among):
                held.setdefault(row["_uuid"][1], []).append(address)
                times[address] += 1
    # The same in another network is usual, and no matter.
    doubtful = [it for it in asked if any(times[address] > 1 for address in it.addresses)]
    holders = _holders({it.switch for it in doubtful}, held, server, deadline)
    pairs = [
        (it.uuid, address, other)
        for it in doubtful
        for address in it.addresses
        for other in holders.get((it.switch, address), ())
        if other != it.uuid
    ]
    others = sorted({other for _port, _address, other in pairs})
    questions = [wire.select(PORT, wire.by_uuid(other), identity(PORT)) for other in others]
    answers = server.transact(questions, deadline) if questions else []
    rows = {row["_uuid"][1]: read(PORT, row) for answer in answers for row in answer["rows"]}
    found: dict[str, tuple[tuple[str, NbRow], ...]] = {}
    for uuid, address, other in pairs:
        if other in rows:
            found[uuid] = (*found.get(uuid, ()), (address, rows[other]))
    return found


def _holders(
    switches: Collection[str],
    held: dict[str, list[str]],
    server: Connection,
    deadline: Deadline,
) -> dict[tuple[str, str], list[str]]:
    """Return by switch and address the ports there that have it.

    :param held: by port its addresses
    """
    found: dict[tuple[str, str], list[str]] = {}
    asked = [
        wire.select("Logical_Switch", wire.by_uuid(switch), ["_uuid", "ports"])
        for switch in sorted(switches)
    ]
    for answer in server.transact(asked, deadline) if asked else ():
        for row in answer["rows"]:
            for _word, port in wire.from_set(row["ports"]):
                for address in held.get(port, ()):
                    found.setdefault((row["_uuid"][1], address), []).append(port)
    return found
