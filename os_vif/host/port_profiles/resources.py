# SPDX-License-Identifier: Apache-2.0
"""What a switch is told of a VIF's port: the resources of IEEE 802.1Qbg and 802.1Qbh.

Plain data in the words of linux/if_link.h (IFLA_PORT_*).
"""

from __future__ import annotations

import dataclasses
import uuid

from os_vif import exception
from os_vif.engine.checks import any_interface_name, mac_address, pci_address

VSI_NUMBERS = {"manager": 255, "type": 2**24 - 1, "version": 255}
"""The largest manager, type and version of a VSI (IEEE 802.1Qbg-2012, 41.2; the least is 0)."""

PROFILE_BYTES = 39
"""Bytes a profile's name may have, without the closing NUL (linux/if_link.h, PORT_PROFILE_MAX)."""

SECONDS = 600
"""The longest a switch may take for an answer."""

ANY_VLAN = 0
"""The VLAN of a VSI for which the switch is to choose one (IEEE 802.1Qbg-2012, 41.2.9.1)."""


def canonical_uuid(value: object, field: str) -> str:
    """Return a UUID as lower-case text with dashes.

    :raises InvalidField: it is none, or the nil UUID, which stands for none.
    """
    try:
        found = uuid.UUID(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None or not found.int:
        raise exception.InvalidField(field=field, value=value, expected="a UUID that is not nil")
    return str(found)


def vsi_number(value: object, field: str, largest: int) -> int:
    """Return a number of a VSI.

    :raises InvalidField: it is no whole number from 0 to ``largest``.
    """
    if type(value) is not int or not 0 <= value <= largest:
        raise exception.InvalidField(
            field=field, value=value, expected=f"a number from 0 to {largest}"
        )
    return value


def vsi_vlan(value: object, field: str = "vlan") -> int:
    """Return the VLAN of a VSI: 2 to 4094, or 0 for the switch's choice.

    VLAN 1 is what a port has untagged by default, and lldpad takes no VSI with it.

    :raises InvalidField: anything else.
    """
    if type(value) is not int or not (value == ANY_VLAN or 2 <= value <= 4094):
        raise exception.InvalidField(
            field=field, value=value, expected="a VLAN id from 2 to 4094; lldpad refuses VLAN 1"
        )
    return value


def profile_name(value: object, field: str = "profile_id") -> str:
    """Return the name of a port profile: printable text of 1 to 39 bytes.

    :raises InvalidField: anything else.
    """
    if not isinstance(value, str) or not value or not value.isprintable():
        raise exception.InvalidField(field=field, value=value, expected="the name of a profile")
    if len(value.encode("utf-8", "surrogatepass")) > PROFILE_BYTES:
        raise exception.InvalidField(
            field=field, value=value, expected=f"at most {PROFILE_BYTES} bytes"
        )
    return value


def patience(value: object, field: str = "timeout") -> int:
    """Return a time limit in seconds.

    :raises InvalidField: it is no whole number from 1 to 600.
    """
    if type(value) is not int or not 1 <= value <= SECONDS:
        raise exception.InvalidField(
            field=field, value=value, expected=f"a number of seconds from 1 to {SECONDS}"
        )
    return value


def _check_place(link: str, behind: str) -> None:
    if behind:
        pci_address(behind)
    else:
        any_interface_name(link, "port profile's device")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vsi:
    """A virtual station interface (IEEE 802.1Qbg-2012, clause 41).

    :ivar manager: of the VSI type, 0 to 255.
    :ivar type: 0 to 16777215.
    :ivar version: of the type, 0 to 255.
    :ivar instance: UUID of the VSI.
    :ivar mac: the guest's.
    :ivar vlan: 2 to 4094; 0 leaves the choice to the switch.
    """

    manager: int
    type: int
    version: int
    instance: str
    mac: str
    vlan: int

    def __post_init__(self) -> None:
        for field, largest in VSI_NUMBERS.items():
            vsi_number(getattr(self, field), field, largest)
        canonical_uuid(self.instance, "instance_id")
        mac_address(self.mac)
        vsi_vlan(self.vlan)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PortProfileQbg:
    """A VSI that lldpad associates with the switch (IEEE 802.1Qbg).

    :ivar vsi: the VSI.
    :ivar link: the device whose lldpad talks to the switch: the NIC, by any of its names, never a
        VLAN device on it.
    :ivar behind: PCI address of that device, in the place of ``link``.
    :ivar timeout: seconds the switch may take for its answer, 1 to 600.
    """

    vsi: Vsi
    timeout: int
    link: str = ""
    behind: str = ""

    def __post_init__(self) -> None:
        _check_place(self.link, self.behind)
        patience(self.timeout)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PortProfileQbh:
    """A port profile of the switch's (IEEE 802.1Qbh), which the NIC's firmware asks it for.

    :ivar link: the NIC, or the netdev of a virtual function, which is set through its physical one,
        by any of its names.
    :ivar behind: PCI address of that device, in the place of ``link``.
    :ivar profile: the profile's name on the switch, 1 to 39 bytes.
    :ivar instance: UUID of the guest; '' where the caller named none.
    :ivar timeout: seconds the switch may take for its answer, 1 to 600.
    """

    profile: str
    instance: str
    timeout: int
    link: str = ""
    behind: str = ""

    def __post_init__(self) -> None:
        _check_place(self.link, self.behind)
        profile_name(self.profile)
        if self.instance:
            canonical_uuid(self.instance, "instance uuid")
        patience(self.timeout)
