# SPDX-License-Identifier: Apache-2.0
"""The host as the gateway of a bridge's guests: plain data, checking its fields when it is made."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import itertools

from os_vif import exception
from os_vif.engine.checks import interface_name

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The host as the gateway of the guests on a Linux bridge; the VIFs on it share it.

    The first VIF brings it, and the last one takes it away: addresses, forwarding and NAT are then
    as they were before.

    :ivar bridge: the bridge.
    :ivar addresses: the bridge's own, as the kernel writes them, with the prefix length of their
        network: ``10.7.0.1/24``, ``fd00:7::1/64``; each in a network of its own.
    :ivar nat: those of these networks whose guests reach the outside: ``10.7.0.0/24``.  What leaves
        them has the host's address there, of IPv4 and IPv6 alike (masquerading); () for none.
    """

    bridge: str
    addresses: tuple[str, ...] = ()
    nat: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        interface_name(self.bridge, "bridge")
        found = [own_address(it).network for it in self.addresses]
        for one, other in itertools.combinations(found, 2):
            if one.version == other.version and one.overlaps(other):
                expected = f"addresses of networks that do not overlap, as {one} and {other} do"
                raise exception.InvalidField(
                    field="gateway", value=self.addresses, expected=expected
                )
        theirs = list(map(str, found))
        for network in self.nat:
            if network not in theirs:
                raise exception.InvalidField(
                    field="nat", value=network, expected=f"one of {', '.join(theirs) or 'none'}"
                )

    def versions(self) -> tuple[int, ...]:
        """Return which versions of IP it forwards, of 4 and 6."""
        return tuple(sorted({6 if ":" in it else 4 for it in self.nat}))


@functools.lru_cache(maxsize=1024)  # each look at a table tells the same ones
def own_address(value: object, field: str = "gateway") -> Interface:
    """Return an address that a bridge can have as its guests' gateway, with its network.

    :param value: with the network's prefix length, as the kernel writes it: ``10.7.0.1/24``
    :raises InvalidField: anything else.
    """
    try:
        found = ipaddress.ip_interface(value if isinstance(value, str) else "")
    except ValueError:
        found = None
    ip = found.ip if found is not None else None
    if found is None or ip is None or str(found) != value or "%" in str(value):
        expected = "an address with its prefix length, as in 10.7.0.1/24 or fd00:7::1/64"
    elif any((ip.is_multicast, ip.is_loopback, ip.is_unspecified, ip.is_link_local)):
        expected = "an address that guests can have a route by"
    elif not 8 <= found.network.prefixlen <= found.max_prefixlen - 2:
        expected = "one of a network with room for guests, and not half of the world"
    elif found.ip == found.network.network_address or (
        found.version == 4 and found.ip == found.network.broadcast_address
    ):
        expected = f"an address of one host in {found.network}"
    else:
        return found
    raise exception.InvalidField(field=field, value=value, expected=expected)
