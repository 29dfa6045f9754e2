# SPDX-License-Identifier: Apache-2.0
"""When a PCI function is as a VIF needs it, and what makes it so; by type of resource."""

from __future__ import annotations

from collections.abc import Mapping

from os_vif.engine.family import Notes, Phase, Rule
from os_vif.host.functions.resources import (
    FunctionVlan,
    PciDevice,
    Representor,
    VirtualFunction,
)
from os_vif.host.functions.rules import devices, representors, vlans
from os_vif.host.functions.rules.strays import STRAYS

__all__ = ["NOTES", "RULES", "STRAYS"]

RULES: Mapping[type, Rule] = {
    Representor: Rule(
        asks=representors.asks_representor,
        plug=representors.plug_representor,
        unplug={Phase.GIVE_BACK: representors.unplug_representor},
    ),
    PciDevice: Rule(
        asks=devices.asks_device,
        plug=devices.plug_device,
        unplug={Phase.GIVE_BACK: devices.unplug_device},
        own=lambda device: [("mark_function", device.address)],
    ),
    VirtualFunction: Rule(
        asks=devices.asks_vf,
        plug=devices.plug_vf,
        unplug={Phase.GIVE_BACK: devices.unplug_vf},
    ),
    FunctionVlan: Rule(
        asks=vlans.asks_function_vlan,
        plug=vlans.plug_function_vlan,
        unplug={Phase.AHEAD: vlans.unplug_function_vlan},
        note=vlans.vlan_note,
    ),
}

NOTES = Notes(prefixes=(vlans.VLAN_NOTE,), release=vlans.release_vlan, anew=vlans.give_back_vlan)
"""What it writes into the mark of a macvtap."""
