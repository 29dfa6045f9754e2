# SPDX-License-Identifier: Apache-2.0
"""Look at the host: the answers to a topology's questions, from the backends."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from os_vif.host.backends import (
    addresses,
    fast_path,
    iptables,
    links,
    port_profile,
    stacking,
    sysctl,
    sysfs,
    vdp,
    vfs,
)
from os_vif.host.checks import interface_name
from os_vif.host.fast_path import BackEndState
from os_vif.host.observed import DEFAULT_ROUTES, Function, Host, Questions

Functions = dict[str, Function | None]

Row = list[Any]


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
    for path, user, guest_listens in asked.sockets:
        state = fast_path.look_at_socket(path, user, guest_listens=guest_listens)
        if state is not None:
            host.sockets[path] = state
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


# --- what only the privileged side can see, as rows that cross the boundary -----------------------


def _vsis(asked: list[Any]) -> list[Row]:
    """Return the VSIs of devices: each with pairs of instance and response.

    Where lldpad cannot tell, nothing is associated; the step that associates says why it cannot.
    One that does not answer may have any, so of its devices nothing is said.
    """
    found: list[Row] = []
    for device in map(interface_name, asked):
        try:
            there = vdp.look(device)
        except vdp.Silent:
            continue
        except OSError:
            there = {}
        found.append([device, [[instance, response] for instance, response in there.items()]])
    return found


def _forwarding(asked: list[Any]) -> list[Row]:
    """Return our rules: comment, whether IPv6, and the rules or None for no such command."""
    found: list[Row] = []
    for comment, ipv6 in asked:
        rules = iptables.rules(comment, ipv6=ipv6)
        found.append([comment, ipv6, None if rules is None else [list(rule) for rule in rules]])
    return found


def _back_ends(asked: list[Any]) -> list[Row]:
    """Return the processes of taps, each with the fields of its state, or None for none.

    Of those that this process may not look at nothing is said: CAP_NET_ADMIN alone does not open
    root's folders.
    """
    found: list[Row] = []
    for device in map(interface_name, asked):
        with contextlib.suppress(PermissionError):
            state = fast_path.look(device)
            found.append([device, None if state is None else dataclasses.asdict(state)])
    return found


_LOOKS: Mapping[str, Callable[[list[Any]], list[Row]]] = {
    "forwarding": _forwarding,
    "vsis": _vsis,
    "back_ends": _back_ends,
}


def look(what: str, asked: list[Any]) -> list[Row]:
    """Answer questions of one kind; needs privilege.

    :param what: the field of :class:`Questions`
    :raises OSError: somebody refused to tell.
    """
    return _LOOKS[what](asked)


def take_up(host: Host, what: str, rows: list[Row]) -> None:
    """Write on ``host`` what :func:`look` answered."""
    for row in rows:
        match what, row:
            case "forwarding", [comment, ipv6, rules]:
                host.forwarding[comment, ipv6] = (
                    None if rules is None else tuple(tuple(rule) for rule in rules)
                )
            case "vsis", [device, there]:
                host.vsis[device] = dict(there)
            case "back_ends", [device, state]:
                host.back_ends[device] = None if state is None else BackEndState(**state)
