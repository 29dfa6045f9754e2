# SPDX-License-Identifier: Apache-2.0
"""What can be described of the server on a bridge: plain data, checking its fields when it is made.

What passes becomes part of dnsmasq's configuration, in which a comma, a quote, a ``#`` or the end
of a line would mean something else: nothing here may hold one.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from os_vif import exception
from os_vif.engine.checks import interface_name, mac_address, mtu_bytes

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_Parsed = TypeVar("_Parsed")

DOMAIN = "guests.internal"
"""Behind the guests' names, beside the names alone: ICANN keeps ``internal`` for private use."""

_SUBNETS = "network.subnets"
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z")
_LEASE_TIME = re.compile(r"[0-9]+[smhdwSMHDW]?\Z|(?:infinite|ignore)\Z", re.IGNORECASE)
"""What dnsmasq takes for something else than a name (dnsmasq(8), ``dhcp-host``)."""
_SLAAC = 64
_IPV6_MTU = 1280
_OPTION_MOST = 255
"""Bytes of a DHCP option (RFC 2132)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServedSubnet:
    """A subnet of a bridge's guests.

    The bridge must have an address in it, or nobody is served.

    :ivar cidr: the network, as the kernel writes it: ``10.7.0.0/24``.
    :ivar gateway: the router that guests are told, within it; '' for none.  For IPv6 it is the
        bridge, and this says only whether there is one.
    :ivar dns: name servers that questions are passed on to, of the subnet's IP version.
    :ivar dhcp: whether guests get addresses by DHCP; by DHCPv6, of IPv6, and by themselves
        (SLAAC) where not: never both, so that a guest has the address that it was promised.
    :ivar routes: destinations (CIDR) and gateways that guests of IPv4 are told beside the router.
    """

    cidr: str
    gateway: str = ""
    dns: tuple[str, ...] = ()
    dhcp: bool = True
    routes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        network = self.network
        if self.gateway:
            _within(network, self.gateway, f"{_SUBNETS}.gateway")
        for server in self.dns:
            _address(server, f"{_SUBNETS}.dns", network.version)
        if network.version == 4:
            self._check_ipv4()
        else:
            self._check_ipv6(network)

    def _check_ipv4(self) -> None:
        size = 5 if self.gateway else 0
        for destination, via in self.routes:
            found = _network(destination, f"{_SUBNETS}.routes.cidr", 4)
            _within(self.network, via, f"{_SUBNETS}.routes.gateway")
            size += 5 + (found.prefixlen + 7) // 8
        if size > _OPTION_MOST:
            raise exception.InvalidField(
                field=f"{_SUBNETS}.routes",
                value=len(self.routes),
                expected=f"so few routes that DHCP can tell them: {_OPTION_MOST} bytes in all",
            )
        if self.dhcp and not any(True for _range in self.ranges()):
            raise exception.InvalidField(
                field=f"{_SUBNETS}.cidr",
                value=self.cidr,
                expected="a network with room for guests beside its gateway, /30 or larger, or "
                "dhcp: false",
            )

    def _check_ipv6(self, network: Network) -> None:
        if self.routes:
            raise exception.InvalidField(
                field=f"{_SUBNETS}.routes",
                value=self.routes[0][0],
                expected="no routes of an IPv6 subnet: dnsmasq's advertisements hold none",
            )
        if not self.dhcp and network.prefixlen != _SLAAC:
            raise exception.InvalidField(
                field=f"{_SUBNETS}.cidr",
                value=self.cidr,
                expected="a /64, in which guests make their own addresses (SLAAC), or dhcp: true",
            )
        if not _SLAAC <= network.prefixlen <= 126:
            raise exception.InvalidField(
                field=f"{_SUBNETS}.cidr", value=self.cidr, expected="an IPv6 network, /64 to /126"
            )

    @property
    def network(self) -> Network:
        """The network itself."""
        return _network(self.cidr, f"{_SUBNETS}.cidr")

    def ranges(self) -> Iterator[tuple[Address, Address]]:
        """Yield first and last address of each range that is given out.

        Addresses that the description names as somebody else's are left out.
        """
        network = self.network
        first, last = int(network.network_address) + 1, int(network.broadcast_address)
        if network.version == 4:
            last -= 1
        named = {self.gateway, *self.dns, *(via for _destination, via in self.routes)}
        others = {int(it) for it in map(ipaddress.ip_address, named - {""}) if it in network}
        make: Callable[[int], Address] = type(network.network_address)
        for taken in (*sorted(others), last + 1):
            if first < taken:
                yield make(first), make(taken - 1)
            first = max(first, taken + 1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dnsmasq:
    """The server on a bridge, of all VIFs there: one process.

    It goes with the last of them that has a :class:`Reservation`.

    :ivar bridge: name of the bridge.
    :ivar subnets: at least one; none of them overlap.
    :ivar mtu: bytes, as guests are told.
    :ivar forwards: whether questions about others than guests go on to the host's own name servers
        (/etc/resolv.conf), where no subnet names any; else nobody is asked.
    """

    bridge: str
    subnets: tuple[ServedSubnet, ...]
    mtu: int
    forwards: bool = False

    def __post_init__(self) -> None:
        interface_name(self.bridge, "bridge")
        networks = [subnet.network for subnet in self.subnets]
        if not networks:
            raise exception.InvalidField(field=_SUBNETS, value="none", expected="a subnet to serve")
        for at, network in enumerate(networks):
            for other in networks[:at]:
                if network.version == other.version and network.overlaps(other):
                    raise exception.InvalidField(
                        field=f"{_SUBNETS}.cidr",
                        value=str(network),
                        expected=f"a network that does not overlap {other}",
                    )
        least = _IPV6_MTU if any(it.version == 6 for it in networks) else 68
        if mtu_bytes(self.mtu, "network.mtu") < least:
            raise exception.InvalidField(
                field="network.mtu",
                value=self.mtu,
                expected=f"at least {least} bytes, which IPv6 needs (RFC 8200)",
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What a guest gets from the server on its bridge; every VIF that uses the server has one.

    :ivar bridge: name of the bridge.
    :ivar mac: the guest's.
    :ivar addresses: that it gets, and nobody else; () for any.
    :ivar name: host name, by which others find it; '' for what it calls itself.
    """

    bridge: str
    mac: str
    addresses: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        interface_name(self.bridge, "bridge")
        mac_address(self.mac)
        for address in self.addresses:
            _address(address, f"{_SUBNETS}.ips")
        if self.name:
            host_name(self.name)


def host_name(value: object, field: str = "hostname") -> str:
    """Return ``value`` if it is a label of RFC 1123 that dnsmasq takes for a name.

    :raises InvalidField: anything else.
    """
    if not isinstance(value, str) or not _LABEL.match(value) or _LEASE_TIME.match(value):
        raise exception.InvalidField(
            field=field,
            value=value,
            expected="a host name without a domain: letters, digits and '-' within, at most 63 "
            "(RFC 1123), and not a number, a time such as 1h, infinite or ignore, which dnsmasq "
            "reads otherwise",
        )
    return value


# --- what a text may be ---------------------------------------------------------------------------


def _parsed(parse: Callable[[str], _Parsed], value: object, field: str, expected: str) -> _Parsed:
    try:
        # ipaddress takes numbers and bytes, too, and zones and spellings that others do not.
        if isinstance(value, str) and str(found := parse(value)) == value and "%" not in value:
            return found
    except ValueError:
        pass
    raise exception.InvalidField(field=field, value=value, expected=expected)


def _network(value: object, field: str, version: int = 0) -> Network:
    def parse(text: str) -> Network:
        found = ipaddress.ip_network(text)
        if version not in (0, found.version):
            raise ValueError
        return found

    which = f"an IPv{version}" if version else "a"
    return _parsed(parse, value, field, f"{which} network without host bits, as in 10.7.0.0/24")


def _address(value: object, field: str, version: int = 0) -> Address:
    def parse(text: str) -> Address:
        found = ipaddress.ip_address(text)
        if version not in (0, found.version) or found.is_unspecified or found.is_multicast:
            raise ValueError
        return found

    which = f"an IPv{version} address" if version else "an IP address"
    return _parsed(parse, value, field, f"{which} of one host, as the kernel writes it")


def _within(network: Any, value: object, field: str) -> None:
    found = _address(value, field, network.version)
    ends = (network.network_address, network.broadcast_address)
    small = network.version == 6 or network.prefixlen > 30
    if found not in network or (found in ends and not small):
        raise exception.InvalidField(
            field=field, value=value, expected=f"an address of a host in {network}"
        )
