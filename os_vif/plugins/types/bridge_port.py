# SPDX-License-Identifier: Apache-2.0
"""How a Linux bridge treats the port of a VIF's tap: fields of the types that make one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from os_vif.engine.checks import VLAN_MAX, VLAN_MIN, spelled_vlans, vlan_ids
from os_vif.specs import BOOL, VLAN, Field, Kind, ListOf, Values, identity_of

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held

_LEFT = "left as it is; of a new port, {}"


def _flag(name: str, help_: str, default: str) -> Field:
    return Field(name, BOOL, help_, default=_LEFT.format(default))


_FLAGS = (
    _flag("isolated", "the port reaches no other isolated one, only the others", "off"),
    _flag("learning", "the bridge learns from the port's frames where who is", "on"),
    _flag("hairpin", "frames may leave by the port that they came in by", "off"),
    _flag(
        "neigh_suppress",
        "the bridge answers ARP and neighbour solicitations itself, where it knows the answer",
        "off",
    ),
    _flag("flood", "frames to who knows where go to the port, too", "on"),
    _flag("mcast_flood", "so do multicasts that nobody there has asked for", "on"),
    _flag("bcast_flood", "so do broadcasts", "on"),
)

_IDS = Kind(
    "a VLAN id or a range of them",
    lambda text: spelled_vlans(vlan_ids(text)),
    {
        "anyOf": [
            {"type": "integer", "minimum": VLAN_MIN, "maximum": VLAN_MAX},
            {"type": "string", "pattern": "^[0-9]{1,4}(-[0-9]{1,4})?$"},
        ]
    },
)

_NEW = {
    field.name: field.name in ("learning", "flood", "mcast_flood", "bcast_flood")
    for field in _FLAGS
}
"""What the kernel gives new ports."""

FIELDS = (
    *_FLAGS,
    Field(
        "vlan",
        VLAN,
        "VLAN id of the guest's frames, which have no tag at the guest, 1 to 4094",
        default="with trunks, none; else left as it is; of a new port, 1",
        known_as=("tag", "pvid"),
    ),
    Field(
        "trunks",
        ListOf(_IDS),
        "VLAN ids that the guest sees with their tags, as in [10, 20-29]",
        default="with vlan, none; else left as they are",
    ),
)
"""What can be said of the port."""

FILTERING = Field(
    "vlan_filtering",
    BOOL,
    "have the bridge filter VLANs, as vlan and trunks need; one that somebody else made must do so",
    default="false, which leaves it as it is",
)


def told_of_port(held: Held) -> Values:
    """Return what these fields say of a port as it is, where that is not what new ones have."""
    found: Values = {}
    for port in held["bridge_ports"]:
        found |= {key: value for key, value in port.flags.items() if value is not _NEW[key]}
        if port.vlan is not None:
            found["vlan"] = port.vlan
        if port.trunks:
            found["trunks"] = spelled_vlans(port.trunks).split()
    if held["vlan_filtering"]:
        found["vlan_filtering"] = True
    return found


def port_options_of(values: Values) -> dict[str, tuple[str, str, Any]]:
    """Return what these fields say, as entries of the plugin's options."""
    vif_id = identity_of(values)["id"]
    found: dict[str, tuple[str, str, Any]] = {
        field.name: ("port_settings", f"{vif_id}/{field.name}", values[field.name])
        for field in _FLAGS
        if field.name in values
    }
    if "vlan" in values:
        found["vlan"] = ("port_vlans", vif_id, values["vlan"])
    if "trunks" in values:
        found["trunks"] = ("port_trunks", vif_id, " ".join(values["trunks"]))
    if values.get("vlan_filtering"):
        found["vlan_filtering"] = ("vlan_filtering", values["bridge"], True)
    return found
