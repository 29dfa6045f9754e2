# SPDX-License-Identifier: Apache-2.0
"""What can be asked about addresses and routes, and the shape of the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from os_vif import exception
from os_vif.engine.observed import AROUND, LAST, Host, Question
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour

DEFAULT_ROUTES = ("0.0.0.0/0", "::/0")
"""The destinations of default routes, in CIDR form."""

RT_SCOPE_LINK = 253
RT_TABLE_MAIN = 254
RTPROT_STATIC, RTPROT_RA = 4, 9

HOW_SETTINGS = frozenset(
    {
        *("accept_dad", "accept_ra", "accept_ra_defrtr", "accept_ra_from_local"),
        *("accept_ra_min_hop_limit", "accept_ra_min_lft", "accept_ra_mtu", "accept_ra_pinfo"),
        *("accept_ra_rt_info_max_plen", "accept_ra_rt_info_min_plen", "accept_ra_rtr_pref"),
        *("accept_redirects", "accept_untracked_na", "addr_gen_mode", "autoconf", "dad_transmits"),
        *("drop_unsolicited_na", "enhanced_dad", "force_tllao", "forwarding"),
        *("keep_addr_on_down", "max_addresses", "max_desync_factor", "ndisc_notify"),
        *("ndisc_tclass", "optimistic_dad", "ra_defrtr_metric", "ra_honor_pio_life"),
        *("ra_honor_pio_pflag", "regen_max_retry", "regen_min_advance", "router_probe_interval"),
        *("router_solicitation_delay", "router_solicitation_interval"),
        *("router_solicitation_max_interval", "router_solicitations", "suppress_frag_ndisc"),
        *("temp_prefered_lft", "temp_valid_lft", "use_oif_addrs_only", "use_optimistic"),
        *("use_tempaddr",),
    }
)
"""Settings of how a host takes part in IPv6 by a device (Documentation/networking/ip-sysctl.rst,
net.ipv6.conf), each a number."""

HOST_PART = "token"
"""Among the settings of IPv6, the host's part of addresses that it learns the network's part of
(IFLA_INET6_TOKEN, ip-token(8)), as an IPv6 address; ``::`` for none."""

ANEW = "default"
"""In the place of a device: what one that is made now begins with."""

TEMPORARY = "use_tempaddr"
"""The setting that has the kernel make temporary addresses (RFC 8981)."""

STABLE_PRIVACY = 2
"""``addr_gen_mode`` where addresses are derived from a secret (RFC 7217)."""

_NO_ADDRESSES = 1
"""``addr_gen_mode`` where the kernel makes none."""

_UNTIL_LEARNED_S = 1800
"""Seconds: the longest that a router may let pass between two advertisements (RFC 4861, 6.2.1)."""


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
    :ivar proto: IFA_PROTO, who gave it: 2 for a router advertisement; 0 where nobody says.
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
    proto: int = 0

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
    :ivar expires: seconds it stays; None for ever.  It is the same route all the while.
    """

    destination: str
    gateway: str = ""
    source: str = ""
    table: int = RT_TABLE_MAIN
    priority: int = 0
    protocol: int = 4
    scope: int = 0
    tos: int = 0
    onlink: bool = False
    mtu: int = 0
    expires: int | None = dataclasses.field(default=None, compare=False)

    @property
    def learned(self) -> tuple[str, str, int] | None:
        """What a router advertised, whatever the metric; None for no such route."""
        if self.protocol != RTPROT_RA or not self.gateway:
            return None
        return self.destination, self.gateway, self.table


def foremost(routes: Iterable[Route]) -> list[Route]:
    """Return routes without those that only stand in for others of them; see :func:`elsewhere`."""
    found = sorted(routes, key=lambda route: route.priority)
    best: dict[tuple[str, str, int] | None, int] = {}
    for route in found:
        best.setdefault(route.learned, route.priority)
    return [it for it in found if it.learned is None or it.priority == best[it.learned]]


def elsewhere(route: Route) -> Route:
    """Return what stands in for a route on another device.

    A route from a router advertisement is the kernel's: it would take no advertisement on a
    device that has the same one from somebody else.  So it gets one that counts less and does until
    the device has learned its own, or as long as the router promised.
    """
    if route.learned is None:
        return route
    expires = _UNTIL_LEARNED_S if route.expires is None else route.expires
    return dataclasses.replace(route, priority=route.priority + 1, expires=expires)


def speaks_ipv6(host: Host, device: str) -> bool:
    """Tell whether the host has an IPv6 address or route on a device, but for link-local ones."""
    texts = [address.local for address in host[ADDRESSES].get(device, ())]
    for route in host[ROUTES].get(device, ()):
        texts += [route.destination, route.gateway]
    return any(":" in text for text in texts)


def taken_over(host: Host, source: str, target: str) -> dict[str, int | str]:
    """Return those settings of IPv6 on a device that another one must have to be in its place."""
    wanted = host[HOW_IPV6].get(source, {})
    have = {HOST_PART: "::", **(host[HOW_IPV6].get(target) or host[HOW_IPV6].get(ANEW, {}))}
    settings = {name: value for name, value in wanted.items() if have.get(name) != value}
    if settings.get("addr_gen_mode") == _NO_ADDRESSES:
        # Some program gives them to that device, link-local ones too; it does not know the other.
        del settings["addr_gen_mode"]
    listens = wanted.get("accept_ra") == 2 or (
        wanted.get("accept_ra") == 1 and not wanted.get("forwarding")
    )
    if not listens or wanted.get("router_solicitations") == 0:
        # A token is of no use then, and the kernel takes none.
        settings.pop(HOST_PART, None)
    return settings


def ipv6_gone(host: Host, device: str) -> None:
    """Write on the model that what is left of IPv6 on a device goes as that is turned off."""
    addresses, routes = host[ADDRESSES], host[ROUTES]
    if device in addresses:
        addresses[device] = tuple(item for item in addresses[device] if ":" not in item.local)
    if device in routes:
        routes[device] = tuple(item for item in routes[device] if ":" not in item.destination)


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


def no_way_out(name: str) -> str:
    """Return what to warn of where :data:`WAYS_OUT` tells of none.

    :param name: ``IPv4`` or ``IPv6``
    """
    return (
        f"there is no default route for {name}: guests reach what this host has a route to, and "
        "nobody else"
    )


HOW_IPV6: Question[str, Mapping[str, int | str]] = Question("how_ipv6", LAST, gone=_forget)
"""Of a device, by name, or of :data:`ANEW`: how the host takes part in IPv6 by it, by the settings'
names."""

QUESTIONS = (ADDRESSES, ROUTES, IMMOVABLE, ROUTES_TO, PROXIES, WAYS_OUT, HOW_IPV6)
"""All that can be asked."""
