# SPDX-License-Identifier: Apache-2.0
"""The resources of a guest that is given a PCI function: plain data in the kernel's own words."""

from __future__ import annotations

import dataclasses

from os_vif import exception
from os_vif.engine.checks import (
    interface_name,
    mac_address,
    mtu_bytes,
    pci_address,
    pci_driver,
    vlan_tag,
)

ETH_P_8021Q = 0x8100
"""Protocol of a VLAN tag (linux/if_ether.h); of an outer one it is IEEE 802.1ad's, 0x88A8."""

NO_MAC = "00:00:00:00:00:00"
"""The address of a virtual function that nobody gave one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PciDevice:
    """A PCI function that a guest gets: marked (marks.py), and given to a driver.

    It must not be in use by the host itself.

    :ivar address: PCI address.
    :ivar driver: such as ``vfio-pci``; '' leaves it the one it has.
    :ivar mac: the guest's, of a virtual function that is set for it: should the mark be lost, it
        is the VIF's as long as it carries this address; '' of any other device.
    """

    address: str
    driver: str = ""
    mac: str = ""

    def __post_init__(self) -> None:
        pci_address(self.address)
        if self.driver:
            pci_driver(self.driver)
        if self.mac:
            mac_address(self.mac)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VirtualFunction:
    """What a virtual function may do, as its physical function enforces it (ip-link(8), vf NUM).

    Whose it is, says the mark of its :class:`PciDevice`.

    :ivar address: PCI address.
    :ivar mac: the guest's; '' where all is only to be taken back and nobody knows it.
    :ivar vlan: put on frames by the card (IEEE 802.1Q), 1 to 4094; 0 for none.
    :ivar spoofchk: drop what the guest sends from another MAC; None leaves it as it is.
    :ivar trust: let the guest have promiscuous mode and other addresses; None leaves it as it is.
    :ivar min_tx_rate: guaranteed, Mbit/s, 0 for none; None leaves it as it is.
    :ivar max_tx_rate: limit, Mbit/s, 0 for none; None leaves it as it is.
    :ivar link_state: ``auto`` as the port's, ``enable`` or ``disable``; None leaves it as it is.
    """

    address: str
    mac: str
    vlan: int = 0
    spoofchk: bool | None = None
    trust: bool | None = None
    min_tx_rate: int | None = None
    max_tx_rate: int | None = None
    link_state: str | None = None

    def __post_init__(self) -> None:
        pci_address(self.address)
        if self.mac:
            mac_address(self.mac)
        if self.vlan:
            vlan_tag(self.vlan, "network.vlan")
        low, high = self.min_tx_rate or 0, self.max_tx_rate or 0
        if high and low > high:
            raise exception.InvalidField(
                field="min_tx_rate", value=low, expected=f"at most max_tx_rate, {high} Mbit/s"
            )

    def settings(self) -> dict[str, str | int | bool]:
        """Return what the function must be set to, by the names of its settings."""
        wanted: dict[str, str | int | bool | None] = {
            "mac": self.mac,
            "vlan": self.vlan,
            "qos": 0,
            "vlan_proto": ETH_P_8021Q,
            "spoofchk": self.spoofchk,
            "trust": self.trust,
            "min_tx_rate": self.min_tx_rate,
            "max_tx_rate": self.max_tx_rate,
            "link_state": self.link_state,
        }
        return {name: value for name, value in wanted.items() if value is not None}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FunctionVlan:
    """The VLAN of a virtual function that a guest has by a macvtap in passthrough.

    The card puts it on and takes it off; the function gets back the one it had.

    :ivar address: PCI address of the function.
    :ivar vlan: 1 to 4094.
    """

    address: str
    vlan: int

    def __post_init__(self) -> None:
        pci_address(self.address)
        vlan_tag(self.vlan, "network.vlan")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Representor:
    """The host's end of a virtual function (Documentation/networking/representors.rst).

    It is the driver's and stays; plugging lends it to the VIF, with another name on request.

    :ivar address: PCI address of the virtual function.
    :ivar name: interface name it gets for the time being; '' leaves it its own.
    :ivar mtu: bytes; None leaves it as it is.
    """

    address: str
    name: str = ""
    mtu: int | None = None

    def __post_init__(self) -> None:
        pci_address(self.address)
        if self.name:
            interface_name(self.name, "representor_name")
        if self.mtu is not None:
            mtu_bytes(self.mtu)
