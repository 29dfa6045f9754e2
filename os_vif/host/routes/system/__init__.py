# SPDX-License-Identifier: Apache-2.0
"""Addresses, routes and neighbours on the real host."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from os_vif import exception
from os_vif.engine.family import System
from os_vif.engine.observed import Asked, Host, Question
from os_vif.engine.place import Place
from os_vif.engine.plugged import Part, Plugged
from os_vif.engine.step import Args
from os_vif.host.routes.questions import (
    ADDRESSES,
    HOW_IPV6,
    IMMOVABLE,
    PROXIES,
    ROUTES,
    ROUTES_TO,
    RT_TABLE_MAIN,
    RTPROT_STATIC,
    WAYS_OUT,
)
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour
from os_vif.host.routes.system import addresses, participation, proxies
from os_vif.system import sysctl


def _look(
    asked: Mapping[Question[Any, Any], set[Any]], host: Host, _place: Place
) -> Iterable[Asked]:
    for device in asked.get(ADDRESSES, ()):
        try:
            host[ADDRESSES][device] = addresses.of_device(device)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            host.device_gone(device)
    for device in asked.get(ROUTES, ()):
        try:
            host[ROUTES][device] = addresses.routes_of(device)
        except exception.ResourceConflict as error:
            # Whether anything is to move is not known yet.
            host[ROUTES][device], host[IMMOVABLE][device] = (), error
    for destination in asked.get(ROUTES_TO, ()):
        host[ROUTES_TO][destination] = addresses.route_to(destination)
    for ipv6 in asked.get(WAYS_OUT, ()):
        host[WAYS_OUT][ipv6] = _way_out(ipv6=ipv6)
    for device in asked.get(HOW_IPV6, ()):
        host[HOW_IPV6][device] = participation.of_device(device)
    answered = host[PROXIES]
    for device, address in asked.get(PROXIES, ()):
        if proxies.is_there(device, address):
            answered[device] = answered.get(device, frozenset()) | {address}
    return ()


def _way_out(*, ipv6: bool) -> tuple[str, bool] | None:
    device = addresses.way_out(ipv6=ipv6)
    if device is None:
        return None
    # The kernel asks IPv4's of the device that a packet came by, IPv6's of the host.
    setting = "ipv6/conf/all/forwarding" if ipv6 else f"ipv4/conf/{device}/forwarding"
    return device, sysctl.read_at(setting) == 1


def _tell(item: Plugged) -> Iterator[Part]:
    for link in item["links"]:
        # A host that routes to a guest answers its device, too.
        if not {"proxy_arp", "proxy_ndp"} & {key for key, on in link.attributes.items() if on}:
            continue
        try:
            routes = addresses.routes_of(link.name)
            for_others = list(proxies.of_device(link.name))
        except exception.ResourceConflict:
            continue  # somebody has led one elsewhere, too
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            continue  # it went meanwhile
        for route in routes:
            if route.protocol == RTPROT_STATIC and route.table == RT_TABLE_MAIN:
                to = HostRoute(
                    device=link.name, destination=route.destination, gateway=route.gateway or None
                )
                yield Part(item.mark.vif_id, "routes", to, item.mark)
        for address in for_others:
            proxy = ProxyNeighbour(device=link.name, address=address)
            yield Part(item.mark.vif_id, "proxies", proxy, item.mark)


def _refuses_delete(args: Args, _section: str) -> str:
    """Say why an address is not taken away for another process: the host would lose it."""
    device, local = args["device"], args["address"]["local"]
    try:
        there = any(it.local == local for it in addresses.of_device(device))
        is_lost = there and not addresses.is_kept(device, local)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return ""
    return f"no other device than {device} has the address {local}" if is_lost else ""


def _refuses_settings(args: Args, _section: str) -> str:
    """Say why another process may not set how IPv6 is on a device: only a bridge takes it over."""
    device = args["device"]
    return "" if participation.is_bridge(device) else f"{device} is no bridge"


SYSTEM = System(
    look=_look,
    run={
        "add_address": lambda args: addresses.add(args["device"], args["address"]),
        "delete_address": lambda args: addresses.delete(args["device"], args["address"]),
        "add_route": lambda args: addresses.add_route(args["device"], args["route"]),
        "delete_route": lambda args: addresses.delete_route(args["device"], args["route"]),
        "set_ipv6": lambda args: participation.set_on(
            args["device"], args["settings"], args["as_on"]
        ),
        "add_proxy": lambda args: proxies.add(args["device"], args["address"]),
        "delete_proxy": lambda args: proxies.delete(args["device"], args["address"]),
    },
    tell=_tell,
    refuses={"delete_address": _refuses_delete, "set_ipv6": _refuses_settings},
)
