# SPDX-License-Identifier: Apache-2.0
"""A file with networks, routers and VIFs: applied to OVN, and its VIFs plugged on hosts.

By the library, as the command does: what a file says is read by the command's own reader.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import os_vif
from os_vif import logical, network, verbs
from os_vif.cli.specs import wanted
from tests import ovn_hosts, vifs
from tests.kernel_guest import KernelGuest
from tests.ovn_hosts import Host, Hosts

TEXT = """\
owner: lab
networks:
  - label: blue
    subnets:
      - cidr: 10.5.0.0/24
        gateway: 10.5.0.1
        dns: [192.0.2.53, 192.0.2.54]
        dhcp: {lease: 1h}
        routes: [{to: 198.51.100.0/24, via: 10.5.0.11}]
      - {cidr: 10.6.0.0/24, gateway: 10.6.0.1}
      - {cidr: "fd00:5::/64", gateway: "fd00:5::1"}
  - label: outside
    physical: physnet1
    subnets: [{cidr: 203.0.113.0/24, gateway: 203.0.113.1, dhcp: false}]
routers:
  - label: edge
    networks: [blue]
    external: {network: outside, address: 203.0.113.10, chassis: [h1, h2, h3], snat: true}
vifs:
  - {type: openvswitch, bridge: br-int, datapath: netdev, name: tap-anna, mac: "52:54:00:00:00:01",
     network: {label: blue, addresses: [10.5.0.11, "fd00:5::5054:ff:fe00:1"]}}
  - {type: openvswitch, bridge: br-int, datapath: netdev, name: tap-ben, mac: "52:54:00:00:00:02",
     instance: {name: ben},
     network: {label: blue, addresses: [10.5.0.12, "fd00:5::5054:ff:fe00:2"],
               floating: {10.5.0.12: [203.0.113.20]}}}
  - {type: openvswitch, bridge: br-int, datapath: netdev, name: tap-cleo, mac: "52:54:00:00:00:03",
     network: {label: blue, addresses: [10.6.0.13]}}
"""
PLACES = (("tap-anna", "h1"), ("tap-ben", "h2"), ("tap-cleo", "h2"))
"""Who is where."""
FLOATING = "203.0.113.20"

Guests = dict[str, KernelGuest]


class File:
    """What a file says, on some hosts.

    :ivar topologies: what it makes of networks and routers.
    """

    def __init__(self, hosts: Hosts, folder: Path, text: str = TEXT) -> None:
        path = folder / "networks.yaml"
        path.write_text(text)
        said = wanted.read([str(path)])
        self._hosts = hosts
        self.topologies = logical.topologies(said.wanted)
        self.nb = network.northbound(hosts.centre.northbound, timeout=int(ovn_hosts.PATIENCE))
        self._entries = {entry.vif.vif_name: entry for entry in said.batch.entries}

    def vif(self, name: str) -> Any:
        return self._entries[name].vif

    def apply(self) -> list[network.Applied]:
        """Apply it, and let ovn-northd follow."""
        return network.apply(self.topologies, self.nb, wait=True)

    def delete(self) -> None:
        """Take it away again."""
        network.delete(self.topologies, self.nb, wait=True)

    def place(self, name: str, *chassis: str, activation: str = "") -> None:
        """Have OVN want a VIF on these hosts."""
        network.place(self.vif(name).id, chassis, self.nb, activation=activation)

    def plug(self, name: str, host: str, **options: Any) -> None:
        """Plug a VIF on a host."""
        with self._hosts[host].enter(**options):
            os_vif.plug(self.vif(name), self._instance(name))

    def unplug(self, name: str, host: str) -> None:
        with self._hosts[host].enter():
            os_vif.unplug(self.vif(name), self._instance(name))

    def check(self, name: str, host: str) -> tuple[list[Any], list[str]]:
        """Return the steps that are left, and the warnings in words."""
        with self._hosts[host].enter():
            [found] = verbs.examine([(self.vif(name), self._instance(name))])
        return list(found.steps), [str(it.words) for it in found.warnings]

    def _instance(self, name: str) -> Any:
        return self._entries[name].instance or vifs.instance()

    @contextlib.contextmanager
    def running(self, names: Sequence[tuple[str, str]]) -> Iterator[Guests]:
        """Plug VIFs, each on a host, and run a guest on each, with the addresses it has."""
        with contextlib.ExitStack() as stack:
            guests: Guests = {}
            for name, host in names:
                self.plug(name, host)
                stack.callback(self.unplug, name, host)
            for name, host in names:
                guests[name] = self.guest(name, self._hosts[host])
                stack.callback(guests[name].close)
            yield guests

    def guest(self, name: str, host: Host) -> KernelGuest:
        """Run a guest on a VIF that is plugged on a host, with addresses and routes."""
        vif = self.vif(name)
        addresses, routes = [], []
        for subnet in vif.network.subnets:
            for fixed in subnet.ips:
                addresses.append(f"{fixed.address}/{subnet.cidr.prefixlen}")
                if "gateway" in subnet and subnet.gateway:
                    routes.append(str(subnet.gateway))
        made = ovn_hosts.running(host, vif, *addresses)
        made.host.run("ip", "link", "set", "eth0", "mtu", str(ovn_hosts.MTU))
        for gateway in routes:
            made.host.run("ip", "route", "add", "default", "via", gateway, "dev", "eth0")
        return made
