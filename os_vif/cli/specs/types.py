# SPDX-License-Identifier: Apache-2.0
"""The table of VIF types, as the plugins bring them: ours, and those of whoever else is installed.

A new type is one more row beside its plugin (entry-point group ``os_vif.types``); parsing,
``os-vif types``, ``os-vif schema``, completion and "did you mean" follow from the row.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stevedore import named

from os_vif.engine import checks
from os_vif.specs import INSTANCE, Group, Schema, VIFType

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

LOG = logging.getLogger(__name__)

GROUP = "os_vif.types"
"""The entry-point group: a plugin's name, and ``module:TYPES``, a tuple of rows."""

_OURS = "os_vif."


@dataclasses.dataclass(frozen=True, slots=True)
class _Table:
    """What all packages bring: types by name, and what is said of those that are left out."""

    rows: Mapping[str, VIFType]
    left_out: Sequence[str]


def all_types() -> Mapping[str, VIFType]:
    """Return every type by name: ours, then all others."""
    return _table().rows


def left_out() -> Sequence[str]:
    """Tell which types are not taken, and why: a line each; none before the table was needed."""
    return _table().left_out if _table.cache_info().currsize else ()


@functools.cache
def _table() -> _Table:
    found: dict[str, tuple[VIFType, EntryPoint]] = {}
    complaints = []
    for point in _entry_points():
        try:
            rows = _rows_of(point)
        except Exception as error:  # whatever other people's code raises
            LOG.debug("The types of %s", point.value, exc_info=True)
            why = str(error) if isinstance(error, _Unusable) else repr(error)
            complaints.append(f"the types of {point.value} are left out: {why}")
            continue
        for row in rows:
            _row, first = found.setdefault(row.name, (row, point))
            if _row is not row:
                complaints.append(
                    f"the type {row.name!r} of {point.value} is left out: {first.value} has one of "
                    "this name"
                )
    ordered = sorted(found.values(), key=lambda pair: (not _is_ours(pair[1]), pair[0].rank))
    return _Table({row.name: row for row, _point in ordered}, complaints)


def _entry_points() -> list[EntryPoint]:
    """Return the entry points, ours first: nobody takes the name of a type of ours."""
    manager: named.NamedExtensionManager[Any] = named.NamedExtensionManager(GROUP, names=[])
    points = set(manager.list_entry_points())
    return sorted(points, key=lambda point: (not _is_ours(point), point.value, point.name))


def _is_ours(point: EntryPoint) -> bool:
    return point.value.startswith(_OURS)


class _Unusable(Exception):
    """Something was loaded, but it holds no types."""


def _rows_of(point: EntryPoint) -> list[VIFType]:
    """Load a package's rows.

    :raises Exception: they cannot be loaded, or would be in the way of all others
    """
    loaded = point.load()
    if not isinstance(loaded, Iterable):
        raise _Unusable("it is no tuple of VIFType")
    rows = list(loaded)
    for row in rows:
        if not isinstance(row, VIFType):
            raise _Unusable(f"it holds {row!r}, which is no VIFType")
        checks.word(row.name, "VIFType.name")
        if not _is_ours(point):
            json.dumps(row.schema)  # of all types together somebody's editor is told
    return rows


def schema_of(names: list[str] | None = None) -> Schema:
    """Return the JSON Schema of specification files, with all types or only those named.

    It is told by what is there (the wire form's name, ``vif``, ``vifs``) and by ``type`` which part
    is meant, so that a validator names the field that is wrong, and not every part it is not.
    """
    from os_vif.specs import networks as words

    table = all_types()
    rows = [table[name] for name in names or table]
    beside = (words.NETWORKS, words.ROUTERS)
    others = [field.name for field in beside]
    options: Schema = {
        "description": "configuration options for the whole call, by plugin",
        "type": "object",
        "additionalProperties": {"type": "object"},
    }
    many: Schema = {
        "title": "several VIFs",
        "properties": {
            "vifs": {"type": "array", "items": {"$ref": "#/$defs/vif"}},
            "options": options,
            **{field.name: field.schema for field in beside},
            "owner": {
                "description": "who takes away what the files no longer name (plug --prune), and "
                "who may change the networks and routers of these files",
                "type": "string",
                "pattern": "^[0-9A-Za-z][0-9A-Za-z._-]{0,23}$",
            },
        },
        "if": {"not": {"anyOf": [{"required": [key]} for key in ("owner", *others)]}},
        "then": {"properties": {"vifs": {"minItems": 1}}},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "VIFs for os-vif",
        "type": ["object", "array"],
        "minItems": 1,
        "items": {"$ref": "#/$defs/vif"},
        "if": {"type": "object"},
        "then": _where(
            {"anyOf": [{"required": [key]} for key in ("vifs", *others)]},
            many,
            _vif(rows, {"options": options}),
        ),
        "$defs": {
            **{row.name: _type(row, words.NAMED, words.NETWORK) for row in rows},
            "vif": {"type": "object", **_vif(rows, {})},
            "wire": _wire(),
        },
    }


def _where(condition: Schema, then: Schema, otherwise: Schema) -> Schema:
    return {"if": condition, "then": then, "else": otherwise}


def _vif(rows: Sequence[VIFType], beside: Schema) -> Schema:
    """Return what a VIF is in any form; ``beside`` are properties it has as a whole document."""
    from os_vif.cli.specs import wire
    from os_vif.specs.networks import NAMED, NETWORK

    reference: Schema = {"$ref": "#/$defs/wire"}
    pair: Schema = {
        "title": "a VIF in the wire form with its guest",
        "properties": {
            "vif": reference,
            "instance": _where({"required": [wire.NAME]}, reference, INSTANCE.kind.schema),
            **beside,
        },
        "additionalProperties": False,
    }
    typed: Schema = {
        "properties": {"type": {"enum": [row.name for row in rows]}},
        "required": ["type"],
        "allOf": [
            {
                "if": {"properties": {"type": {"const": row.name}}, "required": ["type"]},
                "then": {**schema, "properties": {**schema["properties"], **beside}},
            }
            for row in rows
            for schema in [_type(row, NAMED, NETWORK)]
        ],
    }
    return _where({"required": [wire.NAME]}, reference, _where({"required": ["vif"]}, pair, typed))


def _type(row: VIFType, named: Group, whole: Group) -> Schema:
    """Return a type's schema, whose network may be one of the files, by its label."""
    schema = row.schema
    network = schema["properties"].get("network")
    if network is None:
        return schema
    only = [field.name for field in named.fields if field.name not in network["properties"]]
    said = {field.name for field in whole.fields}
    own = {key: kind for key, kind in network["properties"].items() if key not in said}
    by_label = {**named.schema, "properties": {**own, **named.schema["properties"]}}
    either = _where({"anyOf": [{"required": [key]} for key in only]}, by_label, network)
    return {**schema, "properties": {**schema["properties"], "network": either}}


def _wire() -> Schema:
    """Return what all versioned objects have in common; of fields the objects know themselves."""
    from os_vif.cli.specs import wire

    return {
        "title": "the wire form: a versioned-object primitive",
        "type": "object",
        "properties": {
            wire.NAME: {"type": "string"},
            wire.NAMESPACE: {"const": wire.OUR_NAMESPACE},
            wire.VERSION: {"type": "string", "pattern": r"^[0-9]+\.[0-9]+$"},
            wire.DATA: {"type": "object"},
            wire.CHANGES: {"type": "array", "items": {"type": "string"}},
        },
        "required": [wire.NAME, wire.NAMESPACE, wire.VERSION, wire.DATA],
    }
