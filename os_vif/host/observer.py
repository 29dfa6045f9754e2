# SPDX-License-Identifier: Apache-2.0
"""Look at the host: the answers to a topology's questions, from the backends."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Iterator

from os_vif.host.backends import (
    addresses,
    iptables,
    links,
    port_profile,
    stacking,
    sysctl,
    sysfs,
    vdp,
    vfs,
)
from os_vif.host.observed import DEFAULT_ROUTES, Function, Host, Questions

Forwarding = dict[tuple[str, bool], tuple[tuple[str, ...], ...] | None]


Functions = dict[str, Function | None]

Vsis = dict[str, dict[str, int | None]]


def functions(asked: Questions) -> Functions:
    """Look at PCI functions, which may bring names to look up."""
    return {address: sysfs.function(address) for address in asked.functions}


def observe(asked: Questions, functions: Functions) -> Host:
    """Answer what needs no privilege.

    :param functions: the answers to the questions about PCI functions
    :raises OSError: the kernel refused to tell.
    """
    behind = {name for found in functions.values() if found for name in _devices_of(found)}
    physical = {found.physical_netdev for found in _those(asked.vfs, functions)} - {""}
    host = Host(links=links.look_up(asked.links | behind | physical), functions=functions)
    host.vfs = vfs.look_up(physical)
    host.pci_drivers = {name: sysfs.has_driver(name) for name in asked.pci_drivers}
    _observe_users(host, _those(asked.handed, functions))
    for name in asked.users:
        function = functions.get(name)
        for device in function.netdevs if function else [name]:
            _observe_stacked(host, device)
    _observe_port_profiles(host, devices(asked.port_profiles, functions))
    for uplink, bridge in asked.moves:
        _observe_move(host, uplink, bridge)
    for bridge in asked.bridges - host.addresses.keys():
        link = host.links[bridge]
        if link is not None and link.attributes.get("disable_ipv6") is False:
            _observe_addresses(host, bridge)
    for device in asked.proxying:
        _observe_delays(host, device)
    for destination in asked.routes_to:
        host.routes_to[destination] = addresses.route_to(destination)
    for device, address in asked.proxies:
        if addresses.has_proxy(device, address):
            host.proxies[device] = host.proxies.get(device, frozenset()) | {address}
    return host


def _those(asked: Iterable[str], functions: Functions) -> list[Function]:
    return [found for address in asked if (found := functions.get(address))]


def _observe_users(host: Host, handed: list[Function]) -> None:
    """Look at what the host itself does with the netdevs of functions to be given away."""
    netdevs = {netdev for found in handed for netdev in found.netdevs}
    for netdev in netdevs:
        _observe_addresses(host, netdev)
    if netdevs:
        for destination in DEFAULT_ROUTES:
            host.routes_to[destination] = addresses.route_to(destination)


def _devices_of(function: Function) -> set[str]:
    return {*function.netdevs, function.representor} - {""}


def _observe_port_profiles(host: Host, named: list[str]) -> None:
    for device in named:
        if host.links[device] is not None:
            with _perhaps_gone(host, device):
                host.port_profiles[device] = port_profile.look(device)


def _observe_stacked(host: Host, device: str) -> None:
    """Look at who uses a device: others that stand on it, and the host with its addresses."""
    link = host.links[device]
    if link is not None:
        host.users[device] = stacking.users_of(link)
        _observe_addresses(host, device)


def _observe_addresses(host: Host, device: str) -> None:
    with _perhaps_gone(host, device):
        host.addresses[device] = addresses.of_device(device)


@contextlib.contextmanager
def _perhaps_gone(host: Host, device: str) -> Iterator[None]:
    """Take a device that goes meanwhile for one that is not there."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        host.links[device] = None


def _observe_delays(host: Host, device: str) -> None:
    link = host.links[device]
    if link is not None:
        for setting in ("proxy_delay", "proxy_delay6"):
            delay = sysctl.read(device, setting)
            if delay is not None:
                link.attributes[setting] = delay


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


def devices(asked: Iterable[str], functions: Functions) -> list[str]:
    """Return the names of devices that are asked about by name or by PCI address."""
    found: list[str] = []
    for place in asked:
        function = functions.get(place)
        if function is not None:
            found += function.netdevs[:1]
        elif place not in functions:
            found.append(place)
    return sorted(found)


def vsis(asked: list[str]) -> Vsis:
    """Return the VSIs of devices; needs CAP_NET_ADMIN, as lldpad is asked.

    Where lldpad cannot tell, nothing is associated; the step that associates says why it cannot.
    One that does not answer may have any, so of its devices nothing is said.
    """
    found: Vsis = {}
    for device in asked:
        try:
            found[device] = vdp.look(device)
        except vdp.Silent:
            continue
        except OSError:
            found[device] = {}
    return found


def forwarding(asked: list[tuple[str, bool]]) -> Forwarding:
    """Return our rules by comment and family; needs CAP_NET_ADMIN.

    :raises OSError: iptables failed.
    """
    return {(comment, ipv6): iptables.rules(comment, ipv6=ipv6) for comment, ipv6 in asked}
