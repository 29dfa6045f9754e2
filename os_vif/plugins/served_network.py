# SPDX-License-Identifier: Apache-2.0
"""A network that this host serves itself, with DHCP or a way out: what it must agree on. Pure.

The command asks for all that is wrong, with its place in a file; the plugin for the first.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

from os_vif import exception
from os_vif.host.dnsmasq import resources as dnsmasq
from os_vif.host.links import resources as links

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Range = ipaddress.IPv4Network | ipaddress.IPv6Network

_SLAAC = 64
"""Bits of a prefix in which guests make their own addresses (RFC 4291, 2.5.1; RFC 4862, 5.5.3)."""

_IPV6_MTU = 1280
"""Bytes that IPv6 needs at least (RFC 8200, 5)."""

_SHORTEST = {4: 8, 6: 16}
"""Bits of the shortest prefix, by the version of IP: what is wider is a slip."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    """One subnet, as it was said; addresses and networks are text, as :mod:`ipaddress` reads it.

    :ivar dhcp: whether guests are told their addresses, by DHCP or DHCPv6; of IPv6, where another
        subnet has it and this one has not, they make their own (SLAAC).
    :ivar routes: network and next hop of each.
    """

    cidr: str
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    dhcp: bool = False
    dhcp_server: str | None = None
    addresses: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServedNetwork:
    """The network of one VIF on a bridge, and what bears on it.

    :ivar nat: whether guests reach what the host reaches.
    :ivar guest: what the guest is called; '' for nothing.
    :ivar mac: its address.
    :ivar mtu: bytes; None for what the configuration says.
    :ivar uplink: a device that joins the bridge; '' for none.
    :ivar is_made: whether the bridge is made here.
    :ivar vlan: of the guest's port; None for none.
    """

    subnets: tuple[Subnet, ...]
    nat: bool = False
    guest: str = ""
    mac: str = ""
    mtu: int | None = None
    uplink: str = ""
    is_made: bool = True
    vlan: int | None = None

    @property
    def is_served(self) -> bool:
        """Whether the host does more than to switch what the guests send."""
        return self.nat or self.has_dhcp

    @property
    def asked(self) -> str:
        """In words, what makes the host serve it."""
        return "nat: true" if self.nat else "dhcp: true"

    @property
    def has_dhcp(self) -> bool:
        """Whether guests are told their addresses."""
        return any(subnet.dhcp for subnet in self.subnets)

    def makes(self, subnet: Subnet, own: Range) -> Address | None:
        """Return the address that the guest makes itself in a subnet; None for none, or unknown."""
        slaac = self.has_dhcp and own.version == 6 and not subnet.dhcp and own.prefixlen == _SLAAC
        return links.eui64(own, self.mac) if slaac and self.mac else None

    def dns_of(self, subnet: Subnet) -> tuple[str, ...]:
        """Return the name servers that guests are told in a subnet: of its version of IP.

        One may stand beside a subnet of the other version, as people write them.
        """
        version = _range(subnet.cidr).version
        said = [*subnet.dns, *(it for other in self.subnets for it in other.dns)]
        return tuple(it for it in dict.fromkeys(said) if _ip(it).version == version)


class Wrong(NamedTuple):
    """What cannot be.

    :ivar field: its path, as a file has it.
    :ivar value: what was said; None where something is missing.
    :ivar expected: what would be right.
    """

    field: str
    value: object
    expected: str


def host_name(guest: str, device: str) -> str:
    """Return the name by which others find a guest: its own, or else its device's; '' for none.

    What a device is called may be no name of a host.
    """
    return guest or ("" if _why_no_name(device) else device)


def _why_no_name(text: str) -> str:
    try:
        dnsmasq.host_name(text)
    except exception.InvalidField as error:
        return str(error.kwargs["expected"])
    return ""


def wrongs(network: ServedNetwork) -> Iterator[Wrong]:
    """Yield all that is wrong with a network that the host serves."""
    if not network.is_served:
        return
    yield from _of_bridge(network)
    if network.has_dhcp and network.guest and (why := _why_no_name(network.guest)):
        yield Wrong("instance.name", network.guest, why)
    if network.nat and not network.subnets:
        yield Wrong("network.subnets", None, "a subnet with its gateway, from which nat leads out")
    for number, subnet in enumerate(network.subnets):
        path = f"network.subnets[{number}]"
        try:
            own = _range(subnet.cidr)
        except ValueError:
            right = ipaddress.ip_network(subnet.cidr, strict=False)
            yield Wrong(f"{path}.cidr", subnet.cidr, f"the network's own address: {right}")
            continue
        yield from _of_range(network, number, own)
        yield from _of_gateway(network, subnet, own, path)
        yield from _of_addresses(network, subnet, own, path)
        if network.has_dhcp:
            yield from _of_dns(network, subnet, path)
            yield from _of_routes(subnet, own, path)


def _of_bridge(network: ServedNetwork) -> Iterator[Wrong]:
    asked = network.asked
    if not network.is_made:
        expected = f"true, as {asked} gives the bridge addresses: one that is made here"
        yield Wrong("create_bridge", False, expected)
    if network.uplink and network.is_made:
        why = (
            "the host leads guests out by its own routes, over whichever device"
            if network.nat
            else "who is behind it has a router and a DHCP server already"
        )
        expected = f"no uplink beside {asked}, or else neither nat nor dhcp: {why}"
        yield Wrong("network.uplink", network.uplink, expected)
    if network.vlan not in (None, 1):
        expected = f"none beside {asked}, or 1, in which the bridge itself is"
        yield Wrong("vlan", network.vlan, expected)
    has_ipv6 = any(":" in subnet.cidr for subnet in network.subnets)
    if has_ipv6 and network.mtu is not None and network.mtu < _IPV6_MTU:
        expected = f"{_IPV6_MTU} at least, as one of the subnets is of IPv6"
        yield Wrong("network.mtu", network.mtu, expected)


def _of_range(network: ServedNetwork, number: int, own: Range) -> Iterator[Wrong]:
    subnet, path = network.subnets[number], f"network.subnets[{number}].cidr"
    if own.is_multicast or own.is_loopback or own.is_link_local or own.is_unspecified:
        yield Wrong(path, subnet.cidr, "a network that guests can have, as in 10.42.0.0/24")
    elif own.prefixlen < _SHORTEST[own.version]:
        least = _SHORTEST[own.version]
        yield Wrong(path, subnet.cidr, f"a prefix of {least} bits at least, as in 10.42.0.0/24")
    elif own.prefixlen > own.max_prefixlen - 2:
        most = own.max_prefixlen - 2
        yield Wrong(path, subnet.cidr, f"a prefix of {most} bits at most: a gateway and a guest")
    elif own.version == 6 and network.has_dhcp and own.prefixlen < _SLAAC:
        yield Wrong(path, subnet.cidr, f"a prefix of {_SLAAC} bits: {own.network_address}/{_SLAAC}")
    elif own.version == 6 and network.has_dhcp and own.prefixlen > _SLAAC and not subnet.dhcp:
        expected = f"a prefix of {_SLAAC} bits, in which guests make their own addresses (SLAAC)"
        yield Wrong(path, subnet.cidr, f"{expected}, or dhcp: true")
    for before in network.subnets[:number]:
        other = _parsed(before.cidr)
        if other is not None and own.overlaps(other):
            yield Wrong(path, subnet.cidr, f"a network apart from {other}, which stands before it")
            return


def _of_gateway(network: ServedNetwork, subnet: Subnet, own: Range, path: str) -> Iterator[Wrong]:
    field = f"{path}.gateway"
    if subnet.gateway is None:
        expected = f"the bridge's address in {own}, as {network.asked} makes it the guests' gateway"
        yield Wrong(field, None, f"{expected}; {_first(own)}, say")
        return
    gateway = _ip(subnet.gateway)
    if gateway not in own:
        yield Wrong(field, subnet.gateway, f"an address in {own}")
    elif gateway in _reserved(own):
        yield Wrong(field, subnet.gateway, _a_hosts(own, gateway))
    if subnet.dhcp and subnet.dhcp_server not in (None, subnet.gateway):
        expected = f"{subnet.gateway} or nothing: with dhcp: true the bridge serves DHCP"
        yield Wrong(f"{path}.dhcp_server", subnet.dhcp_server, expected)


def _of_addresses(network: ServedNetwork, subnet: Subnet, own: Range, path: str) -> Iterator[Wrong]:
    makes = network.makes(subnet, own)
    for position, said in enumerate(subnet.addresses):
        field, address = f"{path}.addresses[{position}]", _ip(said)
        if address not in own:
            yield Wrong(field, said, f"an address in {own}")
        elif address in _reserved(own):
            yield Wrong(field, said, _a_hosts(own, address))
        elif subnet.gateway is not None and address == _ip(subnet.gateway):
            yield Wrong(field, said, "an address of the guest's own; this is the gateway's")
        elif position and network.has_dhcp:
            yield Wrong(field, said, f"one address of {own}: a guest gets no second by DHCP")
        elif makes not in (None, address):
            expected = f"{makes}, which the guest makes itself of its MAC address (SLAAC)"
            yield Wrong(field, said, f"{expected}, or dhcp: true")


def _of_dns(network: ServedNetwork, subnet: Subnet, path: str) -> Iterator[Wrong]:
    versions = {it.version for it in map(_parsed, (it.cidr for it in network.subnets)) if it}
    for position, said in enumerate(subnet.dns):
        server, field = _ip(said), f"{path}.dns[{position}]"
        if server.is_unspecified or server.is_multicast:
            yield Wrong(field, said, "the address of a name server")
        elif server.version not in versions:
            expected = f"a name server that guests reach: no subnet is of IPv{server.version}"
            yield Wrong(field, said, expected)


def _of_routes(subnet: Subnet, own: Range, path: str) -> Iterator[Wrong]:
    if own.version == 6 and subnet.routes:
        expected = "none of IPv6 where dhcp: true serves the network: nothing would tell the guests"
        yield Wrong(f"{path}.routes", subnet.routes[0][0], expected)
        return
    for position, (_to, via) in enumerate(subnet.routes):
        if _ip(via) not in own:
            yield Wrong(f"{path}.routes[{position}].via", via, f"an address in {own}")


def _reserved(own: Range) -> tuple[Address, ...]:
    """Return the addresses that are no host's: RFC 1122, 3.2.1.3; RFC 4291, 2.6.1; RFC 3021."""
    if own.prefixlen >= own.max_prefixlen - 1:
        return ()
    if own.version == 6:
        return (own.network_address,)
    return own.network_address, own.broadcast_address


def _a_hosts(own: Range, address: Address) -> str:
    which = "network's own" if address == own.network_address else "broadcast"
    return f"an address of a host, as in {_first(own)}; this is the {which} address of {own}"


def _first(own: Range) -> Address:
    return own.network_address + (own.prefixlen < own.max_prefixlen - 1)


def _ip(text: str) -> Address:
    return ipaddress.ip_address(text)


def _range(text: str) -> Range:
    return ipaddress.ip_network(text)


def _parsed(text: str) -> Range | None:
    try:
        return _range(text)
    except ValueError:
        return None
