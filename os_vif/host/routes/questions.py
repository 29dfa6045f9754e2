# SPDX-License-Identifier: Apache-2.0
"""What can be asked about addresses and routes, and the shape of the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from os_vif import exception
from os_vif.engine.observed import AROUND, LAST, Host, Question
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour

DEFAULT_ROUTES = ("0.0.0.0/0", "::/0")
"""The destinations of default routes, in CIDR form."""

RT_SCOPE_LINK = 253
RTPROT_STATIC = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """An address of a device, as much of it as a move must keep (rtnetlink(7), ifaddrmsg).

    :ivar local: the address, in CIDR form with its prefix length.
    :ivar peer: the other end of a point-to-point address; '' for none.
    :ivar broadcast: '' for none.
    :ivar scope: rtnetlink scope number.
    :ivar flags: IFA_F_* bits worth keeping.
    :ivar label: IPv4 label; '' for none.
    :ivar valid: seconds it stays valid; None for ever.
    :ivar preferred: seconds it stays preferred; None for ever.
    :ivar metric: IFA_RT_PRIORITY of the prefix route; 0 for the kernel's choice.
    """

    local: str
    peer: str = ""
    broadcast: str = ""
    scope: int = 0
    flags: int = 0
    label: str = ""
    valid: int | None = None
    preferred: int | None = None
    metric: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What tells one address of a device from another; the rest may change while it stays."""
        return self.local, self.peer


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A route by one device (rtnetlink(7), rtmsg).

    :ivar destination: network in CIDR form.
    :ivar gateway: '' for on-link.
    :ivar source: RTA_PREFSRC; '' for none.
    :ivar table: routing table number.
    :ivar priority: metric; 0 for the kernel's choice.
    :ivar protocol: RTPROT_* number.
    :ivar scope: rtnetlink scope number.
    :ivar tos: type of service.
    :ivar onlink: RTNH_F_ONLINK.
    :ivar mtu: RTAX_MTU; 0 for none.
    """

    destination: str
    gateway: str = ""
    source: str = ""
    table: int = 254
    priority: int = 0
    protocol: int = 4
    scope: int = 0
    tos: int = 0
    onlink: bool = False
    mtu: int = 0


def as_mapping(value: Address | Route) -> Mapping[str, Any]:
    """Return an address or route as the plain data that steps carry."""
    return dataclasses.asdict(value)


def row_of(wanted: HostRoute) -> Mapping[str, Any]:
    """Return a route that is wanted as the fields of a step."""
    on_link_ipv4 = wanted.gateway is None and ":" not in wanted.destination
    return as_mapping(
        Route(
            wanted.destination,
            gateway=wanted.gateway or "",
            protocol=RTPROT_STATIC,
            scope=RT_SCOPE_LINK if on_link_ipv4 else 0,
        )
    )


def is_proxied(host: Host, wanted: ProxyNeighbour) -> bool:
    """Tell whether the host answers for the address already."""
    return wanted.address in host[PROXIES].get(wanted.device, frozenset())


def _forget(answers: dict[str, Any], device: str) -> None:
    answers.pop(device, None)


def _forget_ways(answers: dict[str, tuple[str, str] | None], device: str) -> None:
    for destination, found in answers.items():
        if found and found[0] == device:
            answers[destination] = None


ADDRESSES: Question[str, tuple[Address, ...]] = Question("addresses", AROUND, gone=_forget)
"""Of a device, by name: its addresses in the kernel's order, without IPv6 link-local ones."""

ROUTES: Question[str, tuple[Route, ...]] = Question("routes", LAST, gone=_forget)
"""Of a device, by name: the routes by it, in the kernel's order."""

IMMOVABLE: Question[str, exception.ResourceConflict] = Question("immovable", LAST, gone=_forget)
"""Of a device, by name: why not all of its routes can move to another; answered with
:data:`ROUTES`, which then hold none."""

ROUTES_TO: Question[str, tuple[str, str] | None] = Question("routes_to", AROUND, gone=_forget_ways)
"""Of a destination in CIDR form: device and gateway ('' for none) of the route to just this
destination; None for none."""

PROXIES: Question[str, frozenset[str]] = Question("proxies", AROUND, gone=_forget)
"""Asked of a device and an address; by device, those of the addresses that the host answers
neighbour solicitations for on it."""

WAYS_OUT: Question[bool, tuple[str, bool] | None] = Question("ways_out", AROUND)
"""Of IPv6, or of IPv4: the device by which this host reaches whom it does not know, and whether it
forwards what comes from there; None where it reaches nobody."""

QUESTIONS = (ADDRESSES, ROUTES, IMMOVABLE, ROUTES_TO, PROXIES, WAYS_OUT)
"""All that can be asked."""
