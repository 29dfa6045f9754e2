# SPDX-License-Identifier: Apache-2.0
"""What can be described of a bridge's port: plain data, checking its fields when it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from os_vif import exception
from os_vif.engine.checks import any_interface_name, interface_name, spelled_vlans, vlan_tag

FLAGS = (
    *("isolated", "learning", "hairpin", "neigh_suppress"),
    *("flood", "mcast_flood", "bcast_flood"),
)
"""Settings of a port that are on or off, as bridge(8) calls them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VlanFiltering:
    """A Linux bridge that filters VLANs (ip-link(8)); only one of ours is made to.

    :ivar name: of the bridge.
    """

    name: str

    def __post_init__(self) -> None:
        interface_name(self.name, "bridge")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BridgePort:
    """How a bridge treats one of its ports; what is not said here is left as it is.

    :ivar name: of the device.
    :ivar bridge: that it is a port of.
    :ivar flags: of :data:`FLAGS`, those that are on or off.
    :ivar vlan: the VLAN of frames without a tag, both ways (``pvid untagged``); None for no such.
    :ivar trunks: the VLANs of frames with their tags.  With neither, the port's VLANs are left as
        they are; with one of them, it is in no other VLAN.
    """

    name: str
    bridge: str
    flags: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    vlan: int | None = None
    trunks: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        interface_name(self.name, "vif_name")
        interface_name(self.bridge, "bridge")
        for key in self.flags.keys() - set(FLAGS):
            raise exception.InvalidField(
                field="port_settings", value=key, expected=", ".join(FLAGS)
            )
        if self.vlan is not None:
            vlan_tag(self.vlan, "port_vlan")

    @property
    def vlans(self) -> frozenset[int]:
        """All that it is in, as far as that is described."""
        return self.trunks if self.vlan is None else self.trunks | {self.vlan}

    def attributes(self) -> dict[str, bool | int | str]:
        """Return what the port must look like, by attribute name."""
        wanted: dict[str, bool | int | str] = dict(self.flags)
        if self.vlans:
            own = {self.vlan} - {None}
            wanted["pvid"] = self.vlan or 0
            wanted["untagged"] = str(self.vlan or "")
            wanted["tagged"] = spelled_vlans(self.trunks - own)
        return wanted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """An uplink that carries VLANs with their tags; those that it has beside are left as they are.

    :ivar name: of the device.
    :ivar bridge: that it is a port of; on one that is not ours its operator says what it carries.
    :ivar vlans: each 1 to 4094.
    """

    name: str
    bridge: str
    vlans: frozenset[int]

    def __post_init__(self) -> None:
        any_interface_name(self.name, "bridge_interface")
        interface_name(self.bridge, "bridge")
