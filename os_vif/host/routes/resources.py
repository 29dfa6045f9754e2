# SPDX-License-Identifier: Apache-2.0
"""Routes and neighbours of the host's own: plain data, each checking its fields when it is made."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable

from os_vif import exception
from os_vif.engine.checks import interface_name


def _parsed(parse: Callable[[str], object], value: object, field: str, expected: str) -> None:
    try:
        if isinstance(value, str):  # ipaddress would take a number too
            parse(value)
            return
    except ValueError:
        pass
    raise exception.InvalidField(field=field, value=value, expected=expected)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostRoute:
    """A route to one of the guest's addresses, or to a network behind it, by the VIF's device.

    :ivar device: the VIF's device.
    :ivar destination: network in CIDR form; /32 or /128 for the guest itself.
    :ivar gateway: the guest's address for a network behind it; None for the guest itself.
    """

    device: str
    destination: str
    gateway: str | None = None

    def __post_init__(self) -> None:
        interface_name(self.device)
        _parsed(ipaddress.ip_network, self.destination, "route", "a network, as in 10.0.0.0/24")
        if self.gateway is not None:
            _parsed(ipaddress.ip_address, self.gateway, "route.gateway", "an IP address")

    @property
    def target(self) -> tuple[str, str]:
        """Where it leads: the device and, '' for none, the gateway."""
        return self.device, self.gateway or ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProxyNeighbour:
    """An IPv6 address the host answers neighbour solicitations for on the VIF's device (NDP proxy).

    :ivar device: the VIF's device.
    :ivar address: an IPv6 address.
    """

    device: str
    address: str

    def __post_init__(self) -> None:
        interface_name(self.device)
        _parsed(ipaddress.IPv6Address, self.address, "proxy neighbour", "an IPv6 address")
