# SPDX-License-Identifier: Apache-2.0
"""A network that this host serves on a bridge: the gateway, DHCP and the way out, as options say.

The subnets and the guest's addresses stand in the VIF, as callers have always had them there.  That
the host serves them is said by options, so that whose network has a router and a DHCP server
elsewhere (Nova's, say) gets neither.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import TYPE_CHECKING, Any

from oslo_config import cfg, types

from os_vif import exception
from os_vif.engine.checks import mac_address
from os_vif.host.dnsmasq import resources as dnsmasq
from os_vif.host.gateways import resources as gateways
from os_vif.plugin import optional, required, tap_name
from os_vif.plugins import served_network

if TYPE_CHECKING:
    from os_vif.engine.topology import Resource
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase

OPTS = (
    cfg.Opt(
        "nat",
        type=types.Dict(types.Boolean(), bounds=False),
        default={},
        help="By the names of bridges, whether guests on those that are made here reach what the "
        "host reaches, by its address: br0:true. The bridge has the gateways of the network's "
        "subnets. In a file for the command: the field nat of network.",
    ),
    cfg.DictOpt(
        "dhcp_subnets",
        default={},
        help="By the names of bridges, the subnets of the network whose guests are served DHCP, "
        "DNS and router advertisements here: br0:10.42.0.0/24 fd42::/64. The bridge has their "
        "gateways. Takes dnsmasq. In a file for the command: the field dhcp of a subnet.",
    ),
)


def is_served(config: Any, bridge: str) -> bool:
    """Tell whether the host does more for a bridge than to switch what the guests send."""
    return bool(config.nat.get(bridge) or config.dhcp_subnets.get(bridge))


def on_bridge(
    config: Any,
    vif: VIFBase,
    instance_info: InstanceInfo | None,
    bridge: str,
    *,
    is_made: bool,
    uplink: str,
    mtu: int,
) -> list[Resource]:
    """Return what makes a bridge a network of this host's, if it is to be one.

    :param is_made: whether the bridge is made here
    :param uplink: that joins it; '' for none
    :raises InvalidField: something of it cannot be
    """
    if not is_served(config, bridge):
        return []
    found = _served(config, vif, bridge)
    found = dataclasses.replace(
        found,
        guest=_guest(instance_info),
        mac=mac_address(required(vif, "address"), f"{vif.obj_name()}.address"),
        mtu=mtu,
        uplink=uplink,
        is_made=is_made,
    )
    for wrong in served_network.wrongs(found):
        raise exception.InvalidField(**wrong._asdict())
    # In whichever order they are said, they are the same.
    found = dataclasses.replace(found, subnets=tuple(sorted(found.subnets, key=_place_of)))
    addresses = tuple(
        f"{it.gateway}/{ipaddress.ip_network(it.cidr).prefixlen}" for it in found.subnets
    )
    out = tuple(it.cidr for it in found.subnets) if found.nat else ()
    gateway = gateways.Gateway(bridge=bridge, addresses=addresses, nat=out)
    return [gateway, *_dhcp(found, vif, bridge, mtu)]


def _place_of(subnet: served_network.Subnet) -> tuple[int, int]:
    network = ipaddress.ip_network(subnet.cidr)
    return network.version, int(network.network_address)


def _dhcp(
    found: served_network.ServedNetwork, vif: VIFBase, bridge: str, mtu: int
) -> list[Resource]:
    """Return what serves a bridge's guests DHCP, and what is said there of this one."""
    if not found.has_dhcp:
        return []
    told = tuple(
        dnsmasq.ServedSubnet(
            cidr=it.cidr,
            gateway=it.gateway or "",
            dns=found.dns_of(it),
            dhcp=it.dhcp,
            routes=it.routes,
        )
        for it in found.subnets
    )
    own = tuple(address for it in found.subnets for address in it.addresses)
    name = served_network.host_name(found.guest, tap_name(vif))
    return [
        # Who gets outside looks for names there, too.
        dnsmasq.Dnsmasq(bridge=bridge, subnets=told, mtu=mtu, forwards=found.nat),
        dnsmasq.Reservation(bridge=bridge, mac=found.mac, addresses=own, name=name),
    ]


def remains(config: Any, vif: VIFBase, bridge: str) -> list[Resource]:
    """Return the same, to be taken away: what does not describe it any more left its word behind.

    The gateway and the server go with the last VIF that uses them.
    """
    if not is_served(config, bridge):
        return []
    gateway = gateways.Gateway(bridge=bridge)
    try:
        found = dataclasses.replace(
            _served(config, vif, bridge), mac=optional(vif, "address") or ""
        )
        return [gateway, *_dhcp(found, vif, bridge, config.network_device_mtu)]
    except (exception.InvalidField, ValueError):  # so it was never plugged
        return [gateway]


def _served(config: Any, vif: VIFBase, bridge: str) -> served_network.ServedNetwork:
    """Return the network of a VIF, and what options say of its bridge and of its port."""
    network = optional(vif, "network")
    subnets = optional(network, "subnets", []) if network is not None else []
    with_dhcp = _ranges(config.dhcp_subnets.get(bridge, ""))
    found = tuple(_subnet(it, with_dhcp) for it in subnets if optional(it, "cidr") is not None)
    named = {subnet.cidr for subnet in found}
    for cidr in with_dhcp:
        if cidr not in named:
            expected = f"subnets of the network: {', '.join(sorted(named)) or 'it has none'}"
            raise exception.InvalidField(field="dhcp_subnets", value=cidr, expected=expected)
    nat, vlan = bool(config.nat.get(bridge)), config.port_vlans.get(vif.id)
    return served_network.ServedNetwork(subnets=found, nat=nat, vlan=vlan)


def _guest(instance_info: InstanceInfo | None) -> str:
    name = optional(instance_info, "name") if instance_info is not None else None
    return str(name or "")


def _ranges(said: str) -> list[str]:
    try:
        return [str(ipaddress.ip_network(it)) for it in said.split()]
    except ValueError:
        raise exception.InvalidField(
            field="dhcp_subnets", value=said, expected="networks, as in 10.42.0.0/24 fd42::/64"
        ) from None


def _subnet(said: Any, with_dhcp: list[str]) -> served_network.Subnet:
    cidr = str(said.cidr)
    gateway, server = optional(said, "gateway"), optional(said, "dhcp_server")
    addresses = (optional(it, "address") for it in optional(said, "ips", []))
    ways = ((str(it.cidr), optional(it, "gateway")) for it in optional(said, "routes", []))
    return served_network.Subnet(
        cidr=cidr,
        gateway=None if gateway is None else str(gateway),
        dns=tuple(str(it) for it in optional(said, "dns", [])),
        dhcp=cidr in with_dhcp,
        dhcp_server=None if server is None else str(server),
        addresses=tuple(str(it) for it in addresses if it is not None),
        # One that is on link is not for DHCP to tell.
        routes=tuple((to, str(via)) for to, via in ways if via is not None),
    )
