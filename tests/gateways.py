# SPDX-License-Identifier: Apache-2.0
"""Bridges with a gateway, described for the tests of what makes them, and an outside to reach."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

from os_vif.host.gateways.resources import Gateway
from os_vif.host.links.resources import Bridge
from os_vif.plugins.linux_bridge import LinuxBridgePlugin
from tests import witness
from tests.conftest import PrivateHost
from tests.waiting import PATIENCE_S, until

BR0 = Gateway(
    bridge="br0",
    addresses=("10.7.0.1/24", "fd00:7::1/64"),
    nat=("10.7.0.0/24", "fd00:7::/64"),
)
BR1 = Gateway(
    bridge="br1",
    addresses=("10.8.0.1/24", "fd00:8::1/64"),
    nat=("10.8.0.0/24", "fd00:8::/64"),
)

_DESCRIBE, _REMAINS = LinuxBridgePlugin.describe_host, LinuxBridgePlugin.describe_remains


@contextlib.contextmanager
def gateways(*wanted: Gateway) -> Iterator[None]:
    """Have VIFs on these bridges described with a gateway."""
    by_bridge = {it.bridge: it for it in wanted}

    def described(self: Any, vif: Any, instance: Any) -> Any:
        made = _DESCRIBE(self, vif, instance)
        resources = []
        for it in made.resources:
            resources.append(it)
            if isinstance(it, Bridge) and it.name in by_bridge:
                resources.append(by_bridge[it.name])
        return dataclasses.replace(made, resources=tuple(resources))

    def left(self: Any, vif: Any, instance: Any) -> Any:
        made = _REMAINS(self, vif, instance)
        found = [Gateway(bridge=it) for it in by_bridge if it == vif.network.bridge]
        return dataclasses.replace(made, resources=(*found, *made.resources))

    with (
        mock.patch.object(LinuxBridgePlugin, "describe_host", described),
        mock.patch.object(LinuxBridgePlugin, "describe_remains", left),
    ):
        yield


UPLINK = """
    link set eth0 up
    addr add 192.0.2.10/24 dev eth0
    addr add 2001:db8::a/64 dev eth0 nodad
    route add default via 192.0.2.1
    route add default via 2001:db8::1 dev eth0
"""
OUTSIDE = """
    link set wire0 up
    addr add 192.0.2.1/24 dev wire0
    addr add 2001:db8::1/64 dev wire0 nodad
"""


@contextlib.contextmanager
def outside(host: PrivateHost) -> Iterator[PrivateHost]:
    """Provide what the host that the caller is on goes out to: it knows no way back to guests."""
    other = PrivateHost()
    try:
        witness.ip(f"link add eth0 type veth peer name wire0 netns {other.pid}\n{UPLINK}")
        other.run("ip", "-batch", "-", input=OUTSIDE)
        # The kernel's own route to an IPv6 address comes a moment after the address.
        until(lambda: witness.ask("-6 route show table local root 2001:db8::/64"))
        yield other
    finally:
        other.close()


def advertise(router: PrivateHost) -> bool:
    """Have the outside say that it is a router (RFC 4861, 4.2), until the host has its route."""
    for _attempt in range(200):
        with router.enter():
            index = socket.if_nametoindex("wire0")
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as saying:
                saying.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
                told = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
                saying.sendto(told, ("ff02::1", 0, 0, index))
        if witness.ask("-6 route show default dev eth0 proto ra"):
            return True
        time.sleep(0.05)
    return False


def ruleset() -> str:
    return witness.run("nft", "list", "ruleset")


def changed(before: dict[str, Any], *but: str, but_of: str = "\0") -> list[str]:
    """Return what is not as it was: the kernel's own IPv6 routes come after the addresses.

    :param but: how the lines begin that do not count
    :param but_of: what those do not count that have it
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = witness.differences(before, whole())
        # That of a bridge is what its ports can take.
        found = [
            it
            for it in found
            if "/tso_max_" not in it and but_of not in it and not it.startswith(but)
        ]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def whole() -> dict[str, Any]:
    """Return all of a host that a gateway may change."""
    forced = witness.run("sysctl", "-a", "-r", "force_forwarding", check=False)
    return {**witness.snapshot(), "nft": ruleset(), "forced": forced}
