# SPDX-License-Identifier: Apache-2.0
"""From which addresses a guest may send: plain data, checking its fields when it is made."""

from __future__ import annotations

import dataclasses
import ipaddress

from os_vif import exception
from os_vif.engine.checks import interface_name, mac_address
from os_vif.host.links.resources import eui64

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LINK_LOCAL = ipaddress.IPv6Network("fe80::/64")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AntiSpoofing:
    """What a guest behind a device may send from; what else it sends is dropped.

    :ivar device: its interface name.
    :ivar macs: the guest's MAC addresses, its own first: as source of Ethernet frames, as sender in
        ARP, and where neighbour discovery tells one.
    :ivar addresses: IP addresses and networks, as text, that the guest has and may answer for;
        beside those, what a guest needs to come by them, and each MAC's link-local address.  None
        leaves IP alone.
    :ivar guest_inside: the device is the guest's own end, as a macvtap is: what the guest sends
        goes out of it.
    :ivar switch: the bridge of Open vSwitch that the device is a port of; '' for none.
    """

    device: str
    macs: tuple[str, ...]
    addresses: tuple[str, ...] | None = None
    guest_inside: bool = False
    switch: str = ""

    def __post_init__(self) -> None:
        interface_name(self.device, "vif_name")
        if not self.macs or [mac_address(mac) for mac in self.macs] != list(self.macs):
            expected = "the guest's MAC address"
            raise exception.InvalidField(field="mac", value=self.macs, expected=expected)
        for address in self.addresses or ():
            if allowed(address) != address or is_mac(address):
                expected = "an IP address or a network, as the kernel writes it"
                raise exception.InvalidField(field="addresses", value=address, expected=expected)

    @property
    def mode(self) -> str:
        """What it is called: ``mac`` or ``ip``."""
        return "mac" if self.addresses is None else "ip"

    def networks(self, version: int) -> list[Network]:
        """Return the addresses of one version of IP, those that follow from the MACs too."""
        found = [ipaddress.ip_network(address) for address in self.addresses or ()]
        if version == 6:
            found += [ipaddress.ip_network(link_local(mac)) for mac in self.macs]
        return [it for it in dict.fromkeys(found) if it.version == version]


def is_mac(text: str) -> bool:
    """Tell whether text can only be meant as a MAC address."""
    return text.count("-") == 5 or (text.count(":") == 5 and "::" not in text)


def allowed(value: object, field: str = "allowed_addresses") -> str:
    """Return what a guest may send from: an IP address, a network or a MAC address.

    :raises InvalidField: it is none of these, or all IP addresses there are.
    """
    text = value if isinstance(value, str) else ""
    if is_mac(text):
        return mac_address(text, field)
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        expected = "an IP address, a network as in 192.0.2.0/24, or a MAC address"
        raise exception.InvalidField(field=field, value=value, expected=expected) from None
    if not found.prefixlen:
        expected = "less than all addresses; with anti_spoofing: mac no IP address is looked at"
    elif "%" in text or found.is_multicast or found.network_address.is_unspecified:
        expected = "an address that a guest can send from"
    else:
        return str(found if "/" in text else found.network_address)
    raise exception.InvalidField(field=field, value=value, expected=expected)


def link_local(mac: str) -> str:
    """Return the link-local address that follows from a MAC address (RFC 4291, appendix A)."""
    return str(eui64(_LINK_LOCAL, mac))
