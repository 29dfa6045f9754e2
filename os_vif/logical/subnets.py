# SPDX-License-Identifier: Apache-2.0
"""Subnets of versioned objects as plain data: read once, compared often."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
from typing import TYPE_CHECKING, Any

from os_vif.logical.expression import Address, Range
from os_vif.logical.objects import DHCP, LogicalNetwork
from os_vif.logical.versioned import said
from os_vif.specs.networks import MTU_OVERLAY, MTU_PHYSICAL

if TYPE_CHECKING:
    from os_vif.objects.network import Network

Route = tuple[Range, Address]


@dataclasses.dataclass(frozen=True, slots=True)
class Fixed:
    """An address of a guest, and the floating ones that lead to it."""

    address: Address
    floating: tuple[Address, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet, as one network or one VIF has it.

    :ivar said: its range as it was said, which may be no network's own address.
    :ivar ips: the VIF's addresses in it.
    """

    said: str
    cidr: Range
    gateway: Address | None
    dhcp_server: Address | None
    dns: tuple[Address, ...]
    routes: tuple[Route, ...]
    ips: tuple[Fixed, ...]

    @property
    def server(self) -> Address | None:
        """Who serves DHCP, or says so."""
        return self.dhcp_server or self.gateway


@functools.lru_cache(maxsize=4096)
def address_of(text: str) -> Address:
    """Return an address."""
    return ipaddress.ip_address(text)


@functools.lru_cache(maxsize=4096)
def range_of(text: str) -> Range:
    """Return a range, host bits or not."""
    return ipaddress.ip_network(text, strict=False)


def names_range(text: str, cidr: Range) -> bool:
    """Tell whether a text is this range, however it is written."""
    try:
        return range_of(text) == cidr
    except ValueError:
        return False


def subnets_of(network: Network | None) -> tuple[Subnet, ...]:
    """Return the subnets of a network; those without a range are left out."""
    return tuple(
        _subnet(item) for item in said(network, "subnets", ()) if item.obj_attr_is_set("cidr")
    )


def _subnet(item: Any) -> Subnet:
    text = str(item.cidr)
    return Subnet(
        said=text,
        cidr=range_of(text),
        gateway=_address(item, "gateway"),
        dhcp_server=_address(item, "dhcp_server"),
        dns=tuple(address_of(str(it)) for it in said(item, "dns", ())),
        routes=tuple(
            (range_of(str(it.cidr)), address_of(str(it.gateway)))
            for it in said(item, "routes", ())
            if it.obj_attr_is_set("cidr") and it.obj_attr_is_set("gateway")
        ),
        ips=tuple(
            Fixed(
                address_of(str(it.address)),
                tuple(address_of(str(each)) for each in said(it, "floating_ips", ())),
            )
            for it in said(item, "ips", ())
            if it.obj_attr_is_set("address")
        ),
    )


def _address(item: Any, field: str) -> Address | None:
    value = said(item, field)
    return None if value is None else address_of(str(value))


def mtu_of(logical: LogicalNetwork) -> int:
    """Return a network's MTU in bytes, its own or the one where nothing is said."""
    return int(said(logical.network, "mtu", MTU_PHYSICAL if logical.physical else MTU_OVERLAY))


def dhcp_of(logical: LogicalNetwork, subnet: Subnet) -> DHCP | None:
    """Return how DHCP is served in a subnet; None for not at all."""
    for cidr, dhcp in logical.dhcp.items():
        if names_range(cidr, subnet.cidr):
            return dhcp
    return DHCP() if subnet.server else None
