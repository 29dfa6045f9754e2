# SPDX-License-Identifier: Apache-2.0
"""VIFGeneric: a tap that belongs to no switch, or one whose guest the host routes to.

In routed mode the host is the guest's next hop for everything: it has a route to each of the
guest's addresses, and answers ARP and neighbour solicitations for the rest (as Calico does it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from oslo_config import cfg

from os_vif import objects
from os_vif.engine.checks import mac_address, mtu_bytes
from os_vif.engine.topology import Mark, Resource, Topology
from os_vif.host.links import resources as links
from os_vif.plugin import TopologyPlugin, optional, required, tap_name
from os_vif.plugins import anti_spoofing, limits, routing, tap_access

if TYPE_CHECKING:
    from os_vif.objects.host_info import HostPluginInfo
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.network import Network
    from os_vif.objects.vif import VIFBase

PLUGIN_NAME = "tap"


class TapPlugin(TopologyPlugin):
    """Makes the tap and, in routed mode, the host's way to the guest."""

    CONFIG_OPTS: ClassVar[list[cfg.Opt]] = [
        cfg.IntOpt(
            "network_device_mtu",
            default=1500,
            help="MTU in bytes of taps whose network sets none, 68 to 65535.",
        ),
        cfg.BoolOpt(
            "routed",
            default=False,
            help="Route to the guests' addresses and answer ARP and NDP for the others.",
        ),
        *tap_access.OPTS,
        *limits.OPTS,
        *anti_spoofing.OPTS,
        *tap_access.QUEUES,
    ]

    def describe(self) -> HostPluginInfo:
        """VIFGeneric, without a port profile."""
        return objects.host_info.HostPluginInfo(
            plugin_name=PLUGIN_NAME,
            vif_info=[
                objects.host_info.HostVIFInfo(
                    vif_object_name=objects.vif.VIFGeneric.obj_name(),
                    min_version="1.0",
                    max_version=objects.vif.VIFGeneric.VERSION,
                    supported_port_profiles=[],
                )
            ],
        )

    def describe_host(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return the tap and, in routed mode, routes and NDP proxies."""
        network = optional(vif, "network")
        tap = self._tap(vif, network)
        resources: list[Resource] = [
            tap,
            *limits.on_device(self.config, vif, tap.name),
            *anti_spoofing.on_device(self.config, vif, tap.name),
        ]
        if self.config.routed:
            resources += routing.routes(tap.name, network)
        return Topology(Mark.of(vif, PLUGIN_NAME, instance_info), tuple(resources))

    def describe_remains(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return the tap: routes and proxies go with it."""
        mark = Mark.of(vif, PLUGIN_NAME, instance_info)
        tap = links.Tap(
            name=tap_name(vif), known_macs=links.macs_of_guest(optional(vif, "address"))
        )
        return Topology(mark, (tap, *anti_spoofing.remains(self.config, vif, tap.name)))

    def _tap(self, vif: VIFBase, network: Network | None) -> links.Tap:
        guest = mac_address(required(vif, "address"), "VIFGeneric.address")
        mtu = optional(network, "mtu") if network is not None else None
        routed = bool(self.config.routed)
        ipv6 = routed and routing.has_ipv6(network)
        return links.Tap(
            name=tap_name(vif),
            # Whoever connects it, a bridge or this host as a router, must not have the guest's.
            mac=links.host_side_mac(guest),
            mtu=mtu_bytes(self.config.network_device_mtu if mtu is None else mtu, "network.mtu"),
            multi_queue=tap_access.queues(self.config, vif),
            known_macs=links.macs_of_guest(guest),
            disable_ipv6=not ipv6,
            conf=routing.settings(network) if routed else {},
            **tap_access.whose(self.config, vif),
        )
