# SPDX-License-Identifier: Apache-2.0
"""A guest that the host routes to, as its next hop for everything: what its device needs for that.

The host has a route to each of the guest's addresses, and answers ARP and neighbour solicitations
for all others (as Calico does it).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour
from os_vif.plugin import optional

if TYPE_CHECKING:
    from os_vif.engine.topology import Resource
    from os_vif.objects.network import Network
    from os_vif.objects.subnet import Subnet

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def has_ipv6(network: Network | None) -> bool:
    """Tell whether the guest has an IPv6 address."""
    return any(address.version == 6 for address in _addresses(network))


def settings(network: Network | None) -> dict[str, int]:
    """Return the IPv4 and IPv6 settings of the guest's device."""
    # The host is the only one to answer, so it need not wait for somebody better.
    conf = {"forwarding": 1, "proxy_arp": 1, "rp_filter": 1, "proxy_delay": 0}
    if has_ipv6(network):
        conf |= {"forwarding6": 1, "proxy_ndp": 1, "accept_ra": 0, "proxy_delay6": 0}
    return conf


def _subnets(network: Network | None) -> list[Subnet]:
    return list(optional(network, "subnets", [])) if network is not None else []


def _addresses(network: Network | None) -> Iterator[Address]:
    for subnet in _subnets(network):
        for fixed in optional(subnet, "ips", []):
            if fixed.obj_attr_is_set("address"):
                yield ipaddress.ip_address(str(fixed.address))


def _behind(subnet: Subnet, own: Collection[Address]) -> Iterator[tuple[str, str]]:
    """Yield the networks that a guest with these addresses is the way to, each with its address."""
    for route in optional(subnet, "routes", []):
        # A route by another gateway is the guest's business; one by the guest is ours.
        gateway = optional(route, "gateway")
        if gateway is not None and ipaddress.ip_address(str(gateway)) in own:
            yield str(route.cidr.cidr), str(gateway)


def own_addresses(network: Network | None) -> list[str]:
    """Return the guest's addresses, and the networks that it is the way to."""
    own = list(_addresses(network))
    behind = [to for subnet in _subnets(network) for to, _via in _behind(subnet, own)]
    return [*map(str, own), *behind]


def routes(device: str, network: Network | None) -> Iterator[Resource]:
    """Yield the host's routes to the guest, and the NDP proxies for its gateways.

    :raises InvalidField: no address of the guest is known.
    """
    own = list(_addresses(network))
    if not own:
        raise exception.InvalidField(
            field="network.subnets",
            value=None,
            expected="at least one subnet with an address of the guest, which routed mode leads to",
        )
    for address in own:
        yield HostRoute(device=device, destination=f"{address}/{address.max_prefixlen}")
    for subnet in _subnets(network):
        for destination, via in _behind(subnet, own):
            yield HostRoute(device=device, destination=destination, gateway=via)
        gateway = optional(subnet, "gateway")
        if gateway is not None and gateway.version == 6 and str(gateway) not in map(str, own):
            yield ProxyNeighbour(device=device, address=str(gateway))
