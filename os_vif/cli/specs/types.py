# SPDX-License-Identifier: Apache-2.0
"""The table of VIF types: what a person may write, and the versioned object it becomes.

A new type is one more row of its family and the function that builds its object; parsing,
``os-vif types``, ``os-vif schema``, completion and "did you mean" follow from the row.
"""

from __future__ import annotations

from os_vif.cli.specs.family import VIFType
from os_vif.cli.specs.kinds import Schema
from os_vif.cli.specs.linux import LINUX_TYPES
from os_vif.cli.specs.macvtap import MACVTAP_TYPES
from os_vif.cli.specs.openvswitch import OPENVSWITCH_TYPES
from os_vif.cli.specs.sriov import SRIOV_TYPES
from os_vif.cli.specs.vhostuser import VHOST_USER_TYPES

_FAMILIES = (LINUX_TYPES, OPENVSWITCH_TYPES, MACVTAP_TYPES, SRIOV_TYPES, VHOST_USER_TYPES)

TYPES: dict[str, VIFType] = {row.name: row for family in _FAMILIES for row in family}
"""Every type, by name."""


def schema_of(names: list[str] | None = None) -> Schema:
    """Return the JSON Schema of specification files, with all types or only those named."""
    rows = [TYPES[name] for name in names or TYPES]
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
