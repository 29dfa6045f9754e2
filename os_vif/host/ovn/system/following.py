# SPDX-License-Identifier: Apache-2.0
"""Wait for what OVN makes of rows: ``NB_Global`` and ``Logical_Switch_Port.up`` in ovn-nb(5).

The server itself waits, in an operation of a transaction; nobody asks again and again.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from os_vif.host.ovn.questions import PORT, UP
from os_vif.host.ovn.resources import Northbound
from os_vif.host.ovn.system.rows import central
from os_vif.system import ovsdb
from os_vif.system import ovsdb_wire as wire
from os_vif.system.ovsdb import Connection
from os_vif.system.ovsdb_calls import Deadline, OvsdbError, Refused

_MOST_MS = 10**9
"""Of a wait without an end: eleven days."""

_ANSWER_S = 5
"""Seconds for a server to answer that was asked to wait until the time was over."""


def wait_for_northd(database: Northbound, seconds: float) -> None:
    """Wait until ovn-northd has followed all that was asked for.

    :raises OvsdbError: it has not, in this time.
    """
    wanted = ovsdb.ask(database, central).nb_cfg
    until = wire.wait("NB_Global", [["sb_cfg", ">=", wanted]], ["sb_cfg"], until="!=", rows=[])
    if not _wait(database, seconds, [until]):
        got = ovsdb.ask(database, central, least_s=_ANSWER_S).sb_cfg
        words = (
            f"ovn-northd has not followed within {seconds:.0f} s (sb_cfg is {got}, nb_cfg was "
            f"{wanted}); does it run? The rows are there"
        )
        raise OvsdbError(errno.ETIMEDOUT, words)


def wait_for_chassis(
    database: Northbound, seconds: float, ports: Sequence[tuple[str, str]]
) -> None:
    """Wait until a chassis has each port.

    :param ports: each with its ``_uuid`` and what people call it
    :raises OvsdbError: not all have one, in this time.
    """

    def left(server: Connection, deadline: Deadline) -> list[str]:
        asked = [wire.select(PORT, _up(uuid), ["_uuid"]) for uuid, _what in ports]
        answers = server.transact(asked, deadline)
        pairs = zip(ports, answers, strict=True)
        return [what for (_uuid, what), answer in pairs if not answer["rows"]]

    until = [wire.wait(PORT, _up(uuid), ["_uuid"], until="!=", rows=[]) for uuid, _what in ports]
    if not _wait(database, seconds, until):
        missing = ovsdb.ask(database, left, least_s=_ANSWER_S)
        words = (
            f"plugged on no host within {seconds:.0f} s: {', '.join(missing)}; the rows are there"
        )
        raise OvsdbError(errno.ETIMEDOUT, words)


def _up(uuid: str) -> list[object]:
    return [*wire.by_uuid(uuid), [UP, "==", True]]


def _wait(database: Northbound, seconds: float, until: Sequence[wire.Operation]) -> bool:
    """Tell whether all came to be so, in time."""
    ends = Deadline(max(1, round(seconds)))

    def ask(server: Connection, _deadline: Deadline) -> bool:
        left = ends.left_ms(_MOST_MS)
        waits = [{**operation, "timeout": left} for operation in until]
        server.transact(waits, ends.at_least(left // 1000 + _ANSWER_S))
        return True

    try:
        return not until or ovsdb.ask(database, ask)
    except Refused as error:
        if error.kind != "timed out":
            raise
    except OvsdbError as error:
        if error.errno != errno.ETIMEDOUT:
            raise
    return False
