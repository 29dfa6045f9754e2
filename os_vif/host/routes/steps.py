# SPDX-License-Identifier: Apache-2.0
"""Steps on addresses, routes and neighbours."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from os_vif.engine import checks, fields
from os_vif.engine.observed import Host
from os_vif.engine.place import AS_ROOT, DEFAULT, LINUX_BRIDGE
from os_vif.engine.step import Args, Drift, Kind, Step
from os_vif.host.routes.questions import (
    ADDRESSES,
    ANEW,
    HOST_PART,
    HOW_IPV6,
    HOW_SETTINGS,
    PROXIES,
    ROUTES,
    ROUTES_TO,
    Address,
    Route,
    as_mapping,
    elsewhere,
)

_WITH_PREFIX = fields.ip(ipaddress.ip_interface)

ADDRESS: Mapping[str, fields.Predicate] = {
    "local": _WITH_PREFIX,
    "peer": lambda value: value == "" or _WITH_PREFIX(value),
    "broadcast": lambda value: value == "" or fields.IP(value),
    "scope": fields.number(0, 255),
    "flags": fields.U32,
    "label": lambda value: fields.is_text(value, checks.IFNAMSIZ - 1),
    "valid": lambda value: value is None or fields.U32(value),
    "preferred": lambda value: value is None or fields.U32(value),
    "metric": fields.U32,
    "proto": fields.number(0, 255),
}

ROUTE: Mapping[str, fields.Predicate] = {
    "destination": fields.ip(ipaddress.ip_network),
    "gateway": lambda value: value == "" or fields.IP(value),
    "source": lambda value: value == "" or fields.IP(value),
    "table": fields.U32,
    "priority": fields.U32,
    "protocol": fields.number(0, 255),
    "scope": fields.number(0, 255),
    "tos": fields.number(0, 255),
    "onlink": fields.FLAG,
    "mtu": fields.U32,
    "expires": lambda value: value is None or fields.U32(value),
}


def is_how(value: Any) -> bool:
    """Tell whether these are settings of IPv6, by name."""
    return isinstance(value, dict) and all(
        fields.ip(ipaddress.IPv6Address)(item)
        if name == HOST_PART
        else name in HOW_SETTINGS and fields.number(-(2**31), 2**31 - 1)(item)
        for name, item in value.items()
    )


def _add_address(host: Host, args: Args) -> None:
    there = host[ADDRESSES].get(args["device"], ())
    host[ADDRESSES][args["device"]] = (*there, Address(**args["address"]))


def _delete_address(host: Host, args: Args) -> None:
    there = host[ADDRESSES].get(args["device"], ())
    gone = Address(**args["address"]).key
    host[ADDRESSES][args["device"]] = tuple(item for item in there if item.key != gone)


def _add_route(host: Host, args: Args) -> None:
    route = Route(**args["route"])
    routes, ways = host[ROUTES], host[ROUTES_TO]
    routes[args["device"]] = (*routes.get(args["device"], ()), route)
    if route.destination in ways:
        ways[route.destination] = (args["device"], route.gateway)


def _delete_route(host: Host, args: Args) -> None:
    gone = Route(**args["route"])
    routes, ways = host[ROUTES], host[ROUTES_TO]
    there = routes.get(args["device"], ())
    routes[args["device"]] = tuple(item for item in there if item != gone)
    if ways.get(gone.destination) == (args["device"], gone.gateway):
        ways[gone.destination] = None


def _undelete_route(_host: Host, args: Args) -> Step:
    route = as_mapping(elsewhere(Route(**args["route"])))
    return Step("add_route", {"device": args["device"], "route": route})


def _how_now(host: Host, device: str) -> Mapping[str, int | str]:
    # A device that is only planned begins with what all begin with.
    return host[HOW_IPV6].get(device) or host[HOW_IPV6].get(ANEW, {})


def _set_how(host: Host, args: Args) -> None:
    there = _how_now(host, args["device"])
    host[HOW_IPV6][args["device"]] = {**there, **args["settings"]}


def _unset_how(host: Host, args: Args) -> Step:
    there = _how_now(host, args["device"])
    before = {name: there[name] for name in args["settings"] if name in there}
    return Step("set_ipv6", {"device": args["device"], "settings": before, "as_on": ""})


def _how(args: Args) -> str:
    values = ", ".join(f"{name} {value}" for name, value in sorted(args["settings"].items()))
    model = f"IPv6 as on {args['as_on']}" if args["as_on"] else "IPv6"
    return f"{model} ({values})" if values else model


def _add_proxy(host: Host, args: Args) -> None:
    there = host[PROXIES].get(args["device"], frozenset())
    host[PROXIES][args["device"]] = there | {args["address"]}


def _delete_proxy(host: Host, args: Args) -> None:
    there = host[PROXIES].get(args["device"], frozenset())
    host[PROXIES][args["device"]] = there - {args["address"]}


def _swap(kind: str) -> Callable[[Host, Args], Step]:
    return lambda _host, args: Step(kind, args)


def _by(args: Args) -> str:
    return f"{_to(args)} dev {args['device']}"


def _to(args: Args) -> str:
    route = args["route"]
    gateway = f" via {route['gateway']}" if route["gateway"] else ""
    return f"{route['destination']}{gateway}"


def _says(say: Callable[[Args], str]) -> Callable[[Args, Any], list[Drift]]:
    return lambda args, _steps: [Drift(args["device"], say(args))]


_ON_ADDRESS = {"device": fields.NAME, "address": fields.is_record(ADDRESS)}
_ON_ROUTE = {"device": fields.NAME, "route": fields.is_record(ROUTE)}
_ON_PROXY = {"device": fields.NAME, "address": fields.IP}

_ROUTED = (DEFAULT, AS_ROOT)
"""Of the plugins that have the host route to a guest."""

_ROUTING = (*_ROUTED, LINUX_BRIDGE)
"""And of the one that has a bridge take over the routes of its uplink."""

KINDS: Mapping[str, Kind] = {
    "add_address": Kind(
        _ON_ADDRESS,
        _add_address,
        _swap("delete_address"),
        lambda args: f"add address {args['address']['local']} to {args['device']}",
        drift=_says(lambda args: f"the address {args['address']['local']} is missing"),
        daemons=(LINUX_BRIDGE,),
    ),
    "delete_address": Kind(
        _ON_ADDRESS,
        _delete_address,
        _swap("add_address"),
        lambda args: f"delete address {args['address']['local']} from {args['device']}",
        drift=_says(lambda args: f"still has the address {args['address']['local']}"),
        daemons=(LINUX_BRIDGE,),
    ),
    "add_route": Kind(
        _ON_ROUTE,
        _add_route,
        _swap("delete_route"),
        lambda args: f"add route {_by(args)}",
        drift=_says(lambda args: f"the route to {_to(args)} is missing"),
        daemons=_ROUTING,
    ),
    "delete_route": Kind(
        _ON_ROUTE,
        _delete_route,
        _undelete_route,
        lambda args: f"delete route {_by(args)}",
        drift=_says(lambda args: f"still has the route to {args['route']['destination']}"),
        daemons=_ROUTING,
    ),
    "set_ipv6": Kind(
        {
            "device": fields.NAME,
            "settings": is_how,
            "as_on": lambda value: value == "" or fields.NAME(value),
        },
        _set_how,
        _unset_how,
        lambda args: f"set {args['device']}: {_how(args)}",
        drift=_says(lambda args: f"should have {_how(args)}"),
        partial=True,
        daemons=(LINUX_BRIDGE,),
    ),
    "add_proxy": Kind(
        _ON_PROXY,
        _add_proxy,
        _swap("delete_proxy"),
        lambda args: f"answer neighbour solicitations for {args['address']} on {args['device']}",
        drift=_says(lambda args: f"does not answer for {args['address']}"),
        daemons=_ROUTED,
    ),
    "delete_proxy": Kind(
        _ON_PROXY,
        _delete_proxy,
        _swap("add_proxy"),
        lambda args: f"stop answering for {args['address']} on {args['device']}",
        daemons=_ROUTED,
    ),
}
"""Every kind of step on addresses, routes and neighbours."""
