# SPDX-License-Identifier: Apache-2.0
"""The VLANs of a port of Open vSwitch: fields of the types that make one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from os_vif.engine.checks import VLAN_MAX, vlan_ids
from os_vif.host.openvswitch.resources import VLAN_MODES
from os_vif.specs import VLAN, Field, Kind, ListOf, one_of


def without_port(said: Mapping[str, Any]) -> str:
    """Return why a field of the port reaches nothing, in words; '' if it does."""
    return "" if said.get("create_port", True) else "no port is made that could have it"


_VLAN_RANGE = Kind(
    "a VLAN id or a range of them",
    functools.partial(vlan_ids, least=0),
    {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": VLAN_MAX},
            {"type": "string", "pattern": "^[0-9]+(-[0-9]+)?$"},
        ]
    },
)
VLANS = (
    Field(
        "vlan",
        VLAN,
        "VLAN id of the guest's frames, which have no tag at the guest (Port.tag), 1 to 4094",
        default="what others set, Neutron's agent for one",
        known_as=("tag",),
        unused=without_port,
    ),
    Field(
        "trunks",
        ListOf(_VLAN_RANGE),
        "VLAN ids that the guest sees with their tags, as in [10, 20-29] (Port.trunks); 0 is "
        "frames without one",
        default="what others set",
        known_as=("trunks",),
        unused=without_port,
    ),
    Field(
        "vlan_mode",
        one_of(*VLAN_MODES),
        "how vlan and trunks go together (Port.vlan_mode); native-tagged and native-untagged are a "
        "trunk whose frames without a tag are in that VLAN",
        default="access with vlan, trunk with trunks",
        known_as=("vlan_mode",),
        unused=without_port,
    ),
)
"""What can be said of them."""
