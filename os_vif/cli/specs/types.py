# SPDX-License-Identifier: Apache-2.0
"""The table of VIF types, as the plugins bring them: ours, and those of whoever else is installed.

A new type is one more row beside its plugin (entry-point group ``os_vif.types``); parsing,
``os-vif types``, ``os-vif schema``, completion and "did you mean" follow from the row.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from oslo_log import log as logging
from stevedore import named

from os_vif.engine import checks
from os_vif.specs import Schema, VIFType

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
    """Return the JSON Schema of specification files, with all types or only those named."""
    table = all_types()
    rows = [table[name] for name in names or table]
    definitions = {row.name: row.schema for row in rows}
    vif: Schema = {"oneOf": [{"$ref": f"#/$defs/{row.name}"} for row in rows]}
    options: Schema = {
        "description": "configuration options for the whole call, by plugin",
        "type": "object",
        "additionalProperties": {"type": "object"},
    }
    single = {
        name: {**schema, "properties": {**schema["properties"], "options": options}}
        for name, schema in definitions.items()
    }
    many: Schema = {
        "title": "several VIFs",
        "type": "object",
        "properties": {"vifs": {"type": "array", "items": vif, "minItems": 1}, "options": options},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "VIFs for os-vif",
        "oneOf": [
            *({**schema, "title": schema["title"]} for schema in single.values()),
            many,
            {"title": "a list of VIFs", "type": "array", "items": vif, "minItems": 1},
        ],
        "$defs": definitions,
    }
