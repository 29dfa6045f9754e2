# SPDX-License-Identifier: Apache-2.0
"""Subnets to rows of DHCP_Options: one a subnet, and one a VIF whose routes are others."""

from __future__ import annotations

from collections.abc import Sequence

from os_vif.host.ovn.resources import Row
from os_vif.logical import expression, names
from os_vif.logical.objects import DHCP, LogicalNetwork
from os_vif.logical.subnets import Route, Subnet, mtu_of


def row_of(
    logical: LogicalNetwork,
    subnet: Subnet,
    dhcp: DHCP,
    *,
    owner: str,
    at: str,
    routes: Sequence[Route],
    guest: tuple[str, str] = ("", ""),
) -> Row:
    """Return the row of a subnet.

    :param at: the subnet's field, for errors
    :param routes: those that are told, beside the one to the gateway
    :param guest: id and name of the VIF that it is for alone
    """
    network, cidr = str(logical.network.id), str(subnet.cidr)
    vif_id, name = guest
    kind, identity = ("vif", vif_id) if vif_id else ("network", network)
    if subnet.cidr.version == 4:
        made = _options_v4(network, mtu_of(logical), subnet, dhcp, routes)
    else:
        made = _options_v6(network, subnet, dhcp)
    return Row(
        table="DHCP_Options",
        uuid=names.dhcp_row_of(network, cidr, vif_id),
        what=f"DHCP of {cidr}" + (f" for {name}" if name else ""),
        columns={"cidr": cidr},
        keys={"options": made, "external_ids": names.marks(owner, kind, identity)},
        fields={
            "cidr": f"{at}.cidr",
            "options": at,
            "options:router": f"{at}.gateway",
            "options:dns_server": f"{at}.dns",
            "options:classless_static_route": f"{at}.routes",
            "options:lease_time": f"{at}.dhcp",
        },
    )


def _options_v4(
    network: str, mtu: int, subnet: Subnet, dhcp: DHCP, routes: Sequence[Route]
) -> dict[str, str | None]:
    told = list(routes)
    if told and subnet.gateway:
        # Whoever takes option 121 must ignore option 3 (RFC 3442, "DHCP Client Behavior").
        told.append((expression.EVERYWHERE[4], subnet.gateway))
    return {
        # Without one of these three ovn-northd leaves DHCP out, and says so in its log alone.
        "server_id": str(subnet.server),
        "server_mac": names.mac_of("dhcp", network, str(subnet.cidr)),
        "lease_time": str(dhcp.lease),
        "mtu": str(mtu),
        "router": str(subnet.gateway) if subnet.gateway else None,
        "dns_server": expression.addresses(subnet.dns) if subnet.dns else None,
        "domain_name": expression.name(dhcp.domain) if dhcp.domain else None,
        "classless_static_route": expression.routes(told) if told else None,
    }


def _options_v6(network: str, subnet: Subnet, dhcp: DHCP) -> dict[str, str | None]:
    return {
        "server_id": names.mac_of("dhcp", network, str(subnet.cidr)),
        "dns_server": expression.addresses(subnet.dns) if subnet.dns else None,
        "domain_search": expression.name(dhcp.domain) if dhcp.domain else None,
    }
