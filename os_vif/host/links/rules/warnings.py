# SPDX-License-Identifier: Apache-2.0
"""What keeps a guest from its network though its device is as described: firewalls, routing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from os_vif.engine.family import Caution
from os_vif.engine.step import HOST
from os_vif.host.forwarding.questions import FIREWALL, INSIDE
from os_vif.host.forwarding.questions.chains import Packet
from os_vif.host.forwarding.resources import lets_pass
from os_vif.host.links.questions import LINKS
from os_vif.host.links.questions.uplinks import MANAGERS
from os_vif.host.links.resources import Bridge, Tap, Uplink, Veth
from os_vif.host.routes.questions import DEFAULT_ROUTES, ROUTES, WAYS_OUT, no_way_out
from os_vif.host.routes.resources import HostRoute

if TYPE_CHECKING:
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Mark, Topology

_FAMILIES = {"ip": "IPv4", "ip6": "IPv6"}


def watch_bridge(bridge: Bridge, _mark: Mark) -> list[Asked]:
    """Ask for the firewall that a bridge's frames pass."""
    return [INSIDE(bridge.name)]


def warn_bridge(topology: Topology, host: Host, bridge: Bridge) -> Iterator[Caution]:
    """Warn of chains that drop what a guest sends to the bridge's other ports, or is sent."""
    port = _port_on(topology, bridge.name)
    found: dict[str, list[str]] = {}
    for family, name in _FAMILIES.items():
        dropping: list[str] = []
        if family in host[INSIDE].get(bridge.name, ()) and family in host[FIREWALL]:
            packet = Packet(family, bridge.name, bridge.name, bridged=True)
            ours = lets_pass(topology.resources, bridge.name, ipv6=family == "ip6")
            dropping += host[FIREWALL][family].dropping(packet, (family, "inet"), ours=ours)
        if "bridge" in host[FIREWALL]:
            for ends in ((port, ""), ("", port)):
                packet = Packet(family, *ends, bridged=True)
                dropping += host[FIREWALL]["bridge"].dropping(packet, ("bridge",), ours=True)
        for chain in dict.fromkeys(dropping):
            found.setdefault(chain, []).append(name)
    for chain, names in found.items():
        words = f"{chain} drops {' and '.join(names)} between its ports"
        if "ip6tables" in chain and lets_pass(topology.resources, bridge.name, ipv6=False):
            words += "; name an IPv6 subnet of the network, and rules let it pass"
        yield Caution(bridge.name, words)


def _port_on(topology: Topology, bridge: str) -> str:
    for resource in topology.resources:
        if isinstance(resource, Tap | Veth) and resource.bridge == bridge:
            return resource.name
    return ""


def watch_tap(tap: Tap, _mark: Mark) -> list[Asked]:
    """Ask, of a guest that the host routes to, how it goes on from here."""
    if not tap.conf.get("forwarding"):
        return []
    return [WAYS_OUT(False), WAYS_OUT(True), FIREWALL("ip"), FIREWALL("ip6")]


def warn_tap(topology: Topology, host: Host, tap: Tap) -> Iterator[Caution]:
    """Warn where the host does not forward what its guest sends to the world."""
    routes = [it for it in topology.resources if isinstance(it, HostRoute)]
    led = {":" in route.destination for route in routes if route.device == tap.name}
    for ipv6, way in host[WAYS_OUT].items():
        if ipv6 not in led:
            continue
        family = "ip6" if ipv6 else "ip"
        name = _FAMILIES[family]
        if way is None:
            yield Caution(HOST, no_way_out(name))
            continue
        device, forwards = way
        if not forwards:
            setting = "net.ipv6.conf.all.forwarding" if ipv6 else "net.ipv4.ip_forward"
            yield Caution(
                HOST,
                f"{name} is not forwarded from {device}, so guests get no answer from there: "
                f"sysctl -w {setting}=1",
            )
        if family in host[FIREWALL]:
            packet = Packet(family, tap.name, device)
            for chain in host[FIREWALL][family].dropping(packet, (family, "inet"), ours=False):
                yield Caution(tap.name, f"{chain} drops {name} from here to {device}")


_MANAGED = {
    "NetworkManager": "manages it, and may take it out of {bridge}: nmcli device set {name} "
    "managed no, or make it a port of {bridge} in a connection",
    "systemd-networkd": "manages it, and gives it its addresses again: Bridge={bridge} in its "
    ".network file, or Unmanaged=yes",
}
_LEASED = "renews an address that is {bridge}'s once it is plugged: let it run on {bridge} instead"


def warn_uplink(_topology: Topology, host: Host, uplink: Uplink) -> Iterator[Caution]:
    """Warn of what moves to the bridge with the uplink, and of who would move it back."""
    link = host[LINKS].get(uplink.name)
    if link is None:
        return
    for route in host[ROUTES].get(uplink.name, ()):
        if route.destination in DEFAULT_ROUTES and link.attributes.get("master") is None:
            by = f" by {route.gateway}" if route.gateway else ""
            name = _FAMILIES["ip6" if ":" in route.destination else "ip"]
            yield Caution(
                uplink.name, f"the host's default route for {name}{by} moves to {uplink.bridge}"
            )
    for manager in host[MANAGERS].get(uplink.name, ()):
        words = _MANAGED.get(manager, _LEASED).format(bridge=uplink.bridge, name=uplink.name)
        yield Caution(uplink.name, f"{manager} {words}")
