# SPDX-License-Identifier: Apache-2.0
"""Operations and values as an OVSDB server takes them (RFC 7047, 5.1 and 5.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Operation = dict[str, Any]
Row = dict[str, Any]

# --- operations ---------------------------------------------------------------------------------


def select(table: str, where: list[Any], columns: list[str]) -> Operation:
    """Return an operation that reads columns of rows."""
    return {"op": "select", "table": table, "where": where, "columns": columns}


def insert(table: str, row_id: str, row: Row) -> Operation:
    """Return an operation that makes a row, known in the same transaction as ``row_id``."""
    return {"op": "insert", "table": table, "uuid-name": row_id, "row": row}


def insert_as(table: str, uuid: str, row: Row) -> Operation:
    """Return an operation that makes a row with this ``_uuid``; refused where there is one.

    Source: ovsdb-server(7), 5.2.1, "Insert", of Open vSwitch 2.13 and later.
    """
    return {"op": "insert", "table": table, "uuid": uuid, "row": row}


def mutate(table: str, where: list[Any], mutations: list[Any]) -> Operation:
    """Return an operation that changes sets, maps or numbers in place."""
    return {"op": "mutate", "table": table, "where": where, "mutations": mutations}


def update(table: str, where: list[Any], row: Row) -> Operation:
    """Return an operation that sets columns of rows."""
    return {"op": "update", "table": table, "where": where, "row": row}


def delete(table: str, where: list[Any]) -> Operation:
    """Return an operation that deletes rows."""
    return {"op": "delete", "table": table, "where": where}


def wait(
    table: str,
    where: list[Any],
    columns: list[str],
    *,
    until: str,
    rows: list[Row],
    timeout: int = 0,
) -> Operation:
    """Return an operation that lets the transaction fail unless rows are so, or become so in time.

    :param until: ``==`` or ``!=``
    :param timeout: milliseconds
    """
    return {
        "op": "wait",
        "table": table,
        "timeout": timeout,
        "where": where,
        "columns": columns,
        "until": until,
        "rows": rows,
    }


def by_uuid(uuid: str) -> list[Any]:
    """Return the condition that holds for one row."""
    return [["_uuid", "==", ["uuid", uuid]]]


def set_keys(column: str, keys: Mapping[str, str | None]) -> list[Any]:
    """Return the mutations that set keys of a map, or take away those of None; others stay."""
    kept = {key: text for key, text in keys.items() if text is not None}
    gone = [column, "delete", to_set(list(keys))]
    return [gone, [column, "insert", to_map(kept)]] if kept else [gone]


# --- values -------------------------------------------------------------------------------------


def from_map(value: Any) -> dict[str, Any]:
    """Return an OVSDB map."""
    return dict(value[1])


def to_map(value: Mapping[str, str]) -> list[Any]:
    """Return the wire form of a map."""
    return ["map", [*map(list, value.items())]]


def from_set(value: Any) -> list[Any]:
    """Return the members of an OVSDB set; one of one member comes bare."""
    if isinstance(value, list) and value and value[0] == "set":
        return list(value[1])
    return [value]


def optional(value: Any) -> Any:
    """Return the value of a column of at most one, or None."""
    members = from_set(value)
    return members[0] if members else None


def to_set(members: Sequence[Any]) -> list[Any]:
    """Return the wire form of a set."""
    return ["set", list(members)]
