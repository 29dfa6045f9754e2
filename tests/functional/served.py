# SPDX-License-Identifier: Apache-2.0
"""Guests on a bridge that dnsmasq serves, and a look at it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from os_vif.cli.drift import drifts_of
from os_vif.engine import converge, examine
from os_vif.engine.place import LINUX_BRIDGE, Place
from os_vif.engine.topology import Mark, Topology
from os_vif.host.dnsmasq.resources import Dnsmasq, Reservation, ServedSubnet
from os_vif.host.dnsmasq.system import folders
from os_vif.host.gateways.resources import Gateway
from os_vif.host.links.resources import Bridge, Tap, host_side_mac
from tests import dhcp, guest, vifs
from tests.kernel_guest import KernelGuest, kernel_guest

BRIDGE, GATEWAY, GATEWAY6 = "br0", "10.7.0.1", "fd00:7::1"
IPV4 = ServedSubnet(cidr="10.7.0.0/24", gateway=GATEWAY)
IPV6 = ServedSubnet(cidr="fd00:7::/64", gateway=GATEWAY6)
MTU = 1400


def topology(
    number: int = 1,
    addresses: tuple[str, ...] = (),
    name: str = "",
    *,
    subnets: Sequence[ServedSubnet] = (IPV4,),
    mtu: int = MTU,
    bridge: str = BRIDGE,
) -> Topology:
    """Return a guest with a tap on a bridge that the host is the gateway of, and serves."""
    mac = vifs.guest_mac(number)
    gateways = tuple(f"{it.gateway}/{it.network.prefixlen}" for it in subnets)
    resources = (
        Bridge(name=bridge, mtu=mtu),
        Tap(
            name=vifs.tap_name(number),
            mac=host_side_mac(mac),
            mtu=mtu,
            bridge=bridge,
            known_macs=frozenset({mac}),
        ),
        Gateway(bridge=bridge, addresses=gateways, nat=()),
        Dnsmasq(bridge=bridge, subnets=tuple(subnets), mtu=mtu),
        Reservation(bridge=bridge, mac=mac, addresses=addresses, name=name),
    )
    return Topology(Mark(vifs.vif_id(number), "linux_bridge"), resources)


def without_gateway(described: Topology) -> Topology:
    """Return the same where somebody else sees to the bridge's address."""
    resources = tuple(it for it in described.resources if not isinstance(it, Gateway))
    return Topology(described.mark, resources)


def unserved(number: int = 9) -> Topology:
    """Return a guest on the same bridge that nobody serves."""
    whole = topology(number)
    return Topology(whole.mark, whole.resources[:2])


def _done(act: Callable[..., None], topologies: Sequence[Topology]) -> list[str]:
    requests = [converge.Request(it, Place(LINUX_BRIDGE)) for it in topologies]
    act(requests)
    for request in requests:
        if request.error is not None:
            raise request.error
    return [step.kind for request in requests for step in request.done]


def plug(*topologies: Topology) -> list[str]:
    """Plug guests; return the kinds of steps that it took."""
    return _done(converge.plug, topologies)


def unplug(*topologies: Topology) -> list[str]:
    """Unplug guests; return the kinds of steps that it took."""
    return _done(converge.unplug, topologies)


def wrong(described: Topology) -> list[str]:
    """Return in words what is not as described."""
    [seen] = examine.examine([converge.Request(described, Place(LINUX_BRIDGE))])
    assert seen.error is None, seen.error
    return [f"{it.device}: {it.words}" for it in drifts_of(seen.steps)]


def warnings(described: Topology) -> list[str]:
    """Return in words what is to be warned of."""
    [seen] = examine.examine([converge.Request(described, Place(LINUX_BRIDGE))])
    assert seen.error is None, seen.error
    return [f"{it.device}: {it.words}" for it in seen.cautions]


@contextmanager
def client(number: int = 1, name: str = "") -> Iterator[dhcp.Client]:
    """Provide the DHCP client of a guest that has its tap open."""
    with guest.guests((vifs.tap_name(number), vifs.guest_mac(number))) as [one]:
        yield dhcp.Client(one, name=name)


@contextmanager
def inside_of(number: int = 1, *addresses: str) -> Iterator[KernelGuest]:
    """Provide a guest with a real kernel."""
    mac = vifs.guest_mac(number)
    opened = guest.Guest(vifs.tap_name(number), mac)
    with kernel_guest(opened.descriptor, mac, *addresses, hasty=True) as made:
        yield made


def left() -> dict[str, Any]:
    """Return what there is of servers on this host, by the names of bridges."""
    return {bridge: sorted(os.listdir(folders.path(bridge))) for bridge in folders.bridges()}
