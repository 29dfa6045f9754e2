# SPDX-License-Identifier: Apache-2.0
"""A network that this host serves: fields of the type whose bridge can have a gateway and DHCP."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.plugins import served_network
from os_vif.plugins.types.unused import served_by
from os_vif.specs import BOOL, SUBNETS, Field, Reading, Told, Values, check_addresses
from os_vif.specs.problems import quoted

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held
    from os_vif.host.dnsmasq.resources import ServedSubnet

DHCP = Field(
    "dhcp",
    BOOL,
    "serve the guests DHCP, DNS and router advertisements here (dnsmasq does), with the bridge as "
    "their gateway",
    default="false: guests have their addresses from elsewhere",
)
NAT = Field(
    "nat",
    BOOL,
    "guests reach what the host reaches, by its address; the bridge has the subnets' gateways",
    default="false",
)


def is_served(values: Mapping[str, Any]) -> bool:
    """Tell whether the host serves a VIF's network."""
    said = values.get("network", {})
    return bool(said.get("nat") or any(it.get("dhcp") for it in said.get("subnets", ())))


def _has_dhcp(values: Mapping[str, Any]) -> bool:
    return any(it.get("dhcp") for it in values.get("network", {}).get("subnets", ()))


SUBNETS_WITH_DHCP = served_by(SUBNETS, DHCP, is_served=is_served, has_dhcp=_has_dhcp)
"""The subnets of a network that the host can serve."""


def network_said(values: Values) -> served_network.ServedNetwork:
    """Return a VIF's network, as far as it could be read."""
    said = values.get("network", {})
    return served_network.ServedNetwork(
        subnets=tuple(_subnet(it) for it in said.get("subnets", ())),
        nat=bool(said.get("nat")),
        guest=values.get("instance", {}).get("name", ""),
        mac=values.get("mac", ""),
        mtu=said.get("mtu"),
        uplink=said.get("uplink", ""),
        is_made=values.get("create_bridge", True),
        vlan=values.get("vlan"),
    )


def _subnet(said: Values) -> served_network.Subnet:
    return served_network.Subnet(
        cidr=said["cidr"],
        gateway=said.get("gateway"),
        dns=tuple(said.get("dns", ())),
        dhcp=bool(said.get("dhcp")),
        dhcp_server=said.get("dhcp_server"),
        addresses=tuple(said.get("addresses", ())),
        routes=tuple((it["to"], it["via"]) for it in said.get("routes", ()) if len(it) == 2),
    )


def check_network(values: Values, into: Reading) -> None:
    """Note addresses outside of their subnets, and what a network that is served disagrees on."""
    if not is_served(values):
        check_addresses(values, into)
        return
    if into.problems:
        return  # what could not be read is told, and may be what is missing
    for field, value, expected in served_network.wrongs(network_said(values)):
        if value is None:
            where = next((it for it in _above(field) if it in into.marks), "")
            into.problem(into.marks[where], field, f"missing; expected {expected}")
        else:
            message = f"{quoted(value)} cannot be used; expected {expected}"
            into.problem(into.marks[field], field, message)


def _above(path: str) -> list[str]:
    """Return the paths that a field is in, the nearest first."""
    names = path.split(".")
    return [".".join(names[:count]) for count in range(len(names) - 1, -1, -1)]


def check_together(said: Sequence[tuple[Values, Reading]]) -> None:
    """Note what VIFs of one call say against each other of the networks that the host serves."""
    first: dict[str, tuple[Values, Reading]] = {}
    taken: dict[tuple[str, str], Reading] = {}
    served = {values["bridge"] for values, _into in said if is_served(values)}
    for values, into in said:
        bridge = values["bridge"]
        if bridge not in served:
            continue
        before, there = first.setdefault(bridge, (values, into))
        if into is there:
            _check_apart(values, into, first)
        elif _shared_part(values) != _shared_part(before):
            where = next(it for it in ("network.subnets", "network", "") if it in into.marks)
            message = (
                f"this is not the network of the VIF at {there.marks['']}, and both are on bridge "
                f"{bridge}, which has one: say nat and each subnet's cidr, gateway, dhcp, dns and "
                "routes as there"
            )
            into.problem(into.marks[where], where, message)
        _check_taken(values, into, taken)


def _shared_part(values: Values) -> object:
    """Return what all VIFs of a bridge must say alike."""
    network = network_said(values)
    own = ((it.cidr, it.gateway, it.dhcp, it.routes, network.dns_of(it)) for it in network.subnets)
    return network.nat, sorted(own, key=str)


def _check_apart(values: Values, into: Reading, first: dict[str, tuple[Values, Reading]]) -> None:
    """Note a subnet that another bridge has, or a part of it."""
    others = [(it, there) for name, (it, there) in first.items() if name != values["bridge"]]
    for number, subnet in enumerate(network_said(values).subnets):
        own = ipaddress.ip_network(subnet.cidr)
        for other, there in others:
            ranges = (ipaddress.ip_network(it.cidr) for it in network_said(other).subnets)
            taken = next((it for it in ranges if it.overlaps(own)), None)
            if taken is not None:
                path = f"network.subnets[{number}].cidr"
                expected = f"a network apart from {taken} of bridge {other['bridge']}"
                message = f"{quoted(subnet.cidr)} cannot be used; expected {expected}"
                into.problem(into.marks[path], path, f"{message}, at {there.marks['']}")


def _check_taken(values: Values, into: Reading, taken: dict[tuple[str, str], Reading]) -> None:
    """Note an address, or a name, that another guest of the bridge has."""
    said = {
        f"network.subnets[{number}].addresses[{position}]": address
        for number, subnet in enumerate(network_said(values).subnets)
        for position, address in enumerate(subnet.addresses)
    }
    if _has_dhcp(values) and (name := values.get("instance", {}).get("name")):
        said["instance.name"] = name
    for path, text in said.items():
        there = taken.setdefault((values["bridge"], text.lower()), into)
        if there is not into:
            message = f"{quoted(text)} is taken by the VIF at {there.marks['']}"
            into.problem(into.marks[path], path, f"{message}, on the same bridge")


def options_of_network(values: Values) -> dict[str, tuple[str, str, Any]]:
    """Return what these fields say, as entries of the plugin's options."""
    said, bridge = values.get("network", {}), values["bridge"]
    options: dict[str, tuple[str, str, Any]] = {}
    if said.get("nat"):
        options["network.nat"] = ("nat", bridge, True)
    ranges = [it["cidr"] for it in said.get("subnets", ()) if it.get("dhcp")]
    if ranges:
        options["network.subnets"] = ("dhcp_subnets", bridge, " ".join(ranges))
    return options


def tell_network(held: Held, told: Told, bridge: str) -> None:
    """Write down what these fields say of what a bridge has."""
    gateways = [it.gateway for it in held["gateways"] if it.bridge == bridge]
    guests = [it for it in held["reservations"] if it.reservation.bridge == bridge]
    served = {it.cidr: it for guest in guests for it in guest.server.subnets}
    own = [address for guest in guests for address in guest.reservation.addresses]
    subnets = [
        _subnet_said(ipaddress.ip_interface(text), served, own)
        for gateway in gateways
        for text in gateway.addresses
    ]
    if subnets:
        nat = True if any(it.nat for it in gateways) else None
        told.network(nat=nat, subnets=subnets)
    elif any(" gateway=" in link.alias for link in held["links"]):
        told.doubts.append("nat and dhcp of the network: seen with privilege alone")


def _subnet_said(
    gateway: ipaddress.IPv4Interface | ipaddress.IPv6Interface,
    served: Mapping[str, ServedSubnet],
    own: Sequence[str],
) -> Values:
    """Return what a file says of the subnet of a gateway.

    :param served: by network, what is served on the bridge
    :param own: addresses of the guest's
    """
    said: Values = {"cidr": str(gateway.network), "gateway": str(gateway.ip)}
    known = served.get(said["cidr"])
    if known is not None:
        more = {
            "dhcp": known.dhcp,
            "dns": list(known.dns),
            "routes": [{"to": to, "via": via} for to, via in known.routes],
            "addresses": [it for it in own if ipaddress.ip_address(it) in gateway.network],
        }
        said |= {key: value for key, value in more.items() if value}
    return said
