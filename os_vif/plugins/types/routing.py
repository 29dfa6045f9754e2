# SPDX-License-Identifier: Apache-2.0
"""Guests that the host routes to: from its routes back to the addresses of the guest."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from os_vif.specs import NotTold, Told, Values

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held

_RANGES = "gateways of IPv4, and the ranges of the subnets: for each stands an address of the guest"


def tell_routes(held: Held, told: Told, device: Any) -> None:
    """Write down whether the host routes to a guest, and by which addresses.

    :raises NotTold: it does, and has no route to it
    """
    is_routed = bool(device.attributes.get("proxy_arp") or device.attributes.get("proxy_ndp"))
    told.options["routed"] = is_routed
    if not is_routed:
        return
    subnets: dict[str, Values] = {}
    for route in held["routes"]:
        network = ipaddress.ip_network(route.destination)
        if route.gateway is None and network.prefixlen == network.max_prefixlen:
            address = str(network.network_address)
            subnets[address] = {"cidr": str(network), "addresses": [address]}
    if not subnets:
        raise NotTold(
            f"the host answers for others on {device.name}, and has no route to its guest"
        )
    for route in held["routes"]:
        if route.gateway in subnets:
            to = {"to": route.destination, "via": route.gateway}
            subnets[route.gateway].setdefault("routes", []).append(to)
    gateways = sorted(ipaddress.IPv6Address(it.address) for it in held["proxies"])
    own = [ipaddress.IPv6Address(it) for it in subnets if ":" in it]
    while gateways:
        # Each is the gateway of the address that it is nearest to, or else of none of them.
        pairs = [(int(gateway) ^ int(it), gateway, it) for gateway in gateways for it in own]
        _bits, gateway, nearest = min(pairs, default=(0, gateways[0], None))
        subnet = subnets[str(nearest)] if nearest else {"cidr": f"{gateway}/128"}
        subnets.setdefault(str(nearest or gateway), subnet)["gateway"] = str(gateway)
        gateways.remove(gateway)
        own = [it for it in own if it != nearest]
    told.network(subnets=list(subnets.values()))
    told.doubts.append(_RANGES)
