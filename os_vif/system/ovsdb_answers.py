# SPDX-License-Identifier: Apache-2.0
"""What a server of OVSDB may answer: results, rows and columns, by their shapes.

Who reads them after that need not doubt them.  Sources: RFC 7047, 5.1 and 5.2;
ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) is int


def _is_uuid(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] == "uuid" and _is_text(value[1])


def _is_map(value: Any) -> bool:
    """Tell whether this is a map of texts."""
    if not (isinstance(value, list) and len(value) == 2 and value[0] == "map"):
        return False
    pairs = value[1]
    if not isinstance(pairs, list):
        return False
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2):
            return False
        if not (isinstance(pair[0], str) and isinstance(pair[1], str)):
            return False
    return True


def _is_atom(value: Any) -> bool:
    return isinstance(value, (str, int, float)) or _is_uuid(value)


def _set_of(is_one: Callable[[Any], bool], least: int, most: int) -> Callable[[Any], bool]:
    def is_set(value: Any) -> bool:
        if isinstance(value, list) and len(value) == 2 and value[0] == "set":
            members = value[1]
            return (
                isinstance(members, list)
                and least <= len(members) <= most
                and all(map(is_one, members))
            )
        return least <= 1 and is_one(value)

    return is_set


_MANY = 1 << 20
_is_set_of_any = _set_of(_is_atom, 0, _MANY)


def _is_value(value: Any) -> bool:
    """Tell whether this is a value of any kind (RFC 7047, 5.1)."""
    if isinstance(value, list):
        return _is_map(value) or _is_set_of_any(value)
    return _is_atom(value)


_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    "_uuid": _is_uuid,
    "name": _is_text,
    "type": _is_text,
    "datapath_type": _is_text,
    "external_ids": _is_map,
    "options": _is_map,
    "chassis": _set_of(_is_uuid, 0, 1),
    "interfaces": _set_of(_is_uuid, 1, _MANY),
    "tag": _set_of(_is_number, 0, 1),
    "trunks": _set_of(_is_number, 0, _MANY),
    "vlan_mode": _set_of(_is_text, 0, 1),
    "qos": _set_of(_is_uuid, 0, 1),
    "mtu": _set_of(_is_number, 0, 1),
    "mtu_request": _set_of(_is_number, 0, 1),
    "ports": _set_of(_is_uuid, 0, _MANY),
    "ingress_policing_rate": _is_number,
    "ingress_policing_burst": _is_number,
    "other_config": _is_map,
    "ofport": _set_of(_is_number, 0, 1),
    "error": _set_of(_is_text, 0, 1),
    "next_cfg": _is_number,
    "cur_cfg": _is_number,
    "nat": _set_of(_is_uuid, 0, _MANY),
    "static_routes": _set_of(_is_uuid, 0, _MANY),
    "gateway_chassis": _set_of(_is_uuid, 0, _MANY),
    "addresses": _set_of(_is_text, 0, _MANY),
    "nb_cfg": _is_number,
    "sb_cfg": _is_number,
}
"""What columns hold, by name, of whatever table: ovs-vswitchd.conf.db(5), ovn-nb(5), ovn-sb(5)."""


def fault(operations: Sequence[Mapping[str, Any]], results: Any) -> str:
    """Return what is wrong with the results of operations, in words; '' for nothing."""
    if not isinstance(results, list):
        return f"the results are {_short(results)}"
    if len(results) != len(operations):
        return f"it holds {len(results)} results of {len(operations)} operations"
    pairs = zip(operations, results, strict=True)
    return next(filter(None, (_fault(operation, result) for operation, result in pairs)), "")


def _fault(operation: Mapping[str, Any], result: Any) -> str:
    kind = operation["op"]
    if not isinstance(result, dict) or (kind == "insert" and not _is_uuid(result.get("uuid"))):
        return f"the result of {kind} is {_short(result)}"
    if kind != "select":
        return ""
    rows = result.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return f"the rows of {operation['table']} are {_short(rows)}"
    shapes = [(column, _SHAPES.get(column, _is_value)) for column in operation["columns"]]
    for row in rows:
        for column, is_well in shapes:
            if column not in row:
                return f"a row of {operation['table']} has no {column}"
            if not is_well(row[column]):
                return f"{column} of a row of {operation['table']} is {_short(row[column])}"
    return ""


def _short(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= _WORDS else f"{words[:_WORDS]}..."


_WORDS = 60
"""Characters of a value that are told."""
