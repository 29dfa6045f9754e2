# SPDX-License-Identifier: Apache-2.0
"""Look at the host: the answers to a topology's questions, from the backends."""

from __future__ import annotations

import errno

from os_vif.host.backends import addresses, iptables, links, sysctl, sysfs
from os_vif.host.observed import Function, Host, Questions

Forwarding = dict[tuple[str, bool], tuple[tuple[str, ...], ...] | None]


Functions = dict[str, Function | None]


def functions(asked: Questions) -> Functions:
    """Look at PCI functions, which may bring names to look up."""
    return {address: sysfs.function(address) for address in asked.functions}


def observe(asked: Questions, functions: Functions) -> Host:
    """Answer what needs no privilege.

    :param functions: the answers to the questions about PCI functions
    :raises OSError: the kernel refused to tell.
    """
    representors = {found.representor for found in functions.values() if found} - {""}
    host = Host(links=links.look_up(asked.links | representors), functions=functions)
    for uplink, bridge in asked.moves:
        _observe_move(host, uplink, bridge)
    for bridge in asked.bridges - host.addresses.keys():
        link = host.links[bridge]
        if link is not None and link.attributes.get("disable_ipv6") is False:
            try:
                host.addresses[bridge] = addresses.of_device(bridge)
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise
                host.links[bridge] = None  # gone in between
    for device in asked.proxying:
        link = host.links[device]
        if link is not None:
            for setting in ("proxy_delay", "proxy_delay6"):
                delay = sysctl.read(device, setting)
                if delay is not None:
                    link.attributes[setting] = delay
    for destination in asked.routes_to:
        host.routes_to[destination] = addresses.route_to(destination)
    for device, address in asked.proxies:
        if addresses.has_proxy(device, address):
            host.proxies[device] = host.proxies.get(device, frozenset()) | {address}
    return host


def _observe_move(host: Host, uplink: str, bridge: str) -> None:
    link = host.links[uplink]
    if link is None:
        return
    host.addresses[uplink] = addresses.of_device(uplink)
    if host.links[bridge] is not None:
        host.addresses[bridge] = addresses.of_device(bridge)
    # Once it has joined and lost its addresses it has no routes either, and needs no search.
    if host.addresses[uplink] or link.attributes["master"] is None:
        host.routes[uplink] = addresses.routes_of(uplink)
        if host.routes[uplink] and host.links[bridge] is not None:
            host.routes[bridge] = addresses.routes_of(bridge)


def forwarding(asked: list[tuple[str, bool]]) -> Forwarding:
    """Return our rules by comment and family; needs CAP_NET_ADMIN.

    :raises OSError: iptables failed.
    """
    return {(comment, ipv6): iptables.rules(comment, ipv6=ipv6) for comment, ipv6 in asked}
