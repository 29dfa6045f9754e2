# SPDX-License-Identifier: Apache-2.0
"""The plugin: from a VIF to its tap, on a bridge of its own, from which a tunnel leads away."""

from oslo_config import cfg

from os_vif.engine.topology import Mark, Topology
from os_vif.host.links.resources import Bridge, Tap, host_side_mac, macs_of_guest
from os_vif.objects.host_info import HostPluginInfo, HostVIFInfo
from os_vif.objects.vif import VIFBridge
from os_vif.plugin import TopologyPlugin, required, tap_name
from os_vif_vxlan.resources import Vxlan

OVERHEAD = 50
"""Bytes of Ethernet, IPv4, UDP and VXLAN headers around a frame."""


class VxlanPlugin(TopologyPlugin):
    """Takes VIFBridge; network.vlan is the VXLAN Network Identifier."""

    CONFIG_OPTS = [
        cfg.StrOpt("remote", default="192.0.2.2", help="Address of the host at the other end.")
    ]

    def describe(self):
        """VIFBridge, without a port profile."""
        taken = HostVIFInfo(
            vif_object_name=VIFBridge.obj_name(),
            min_version="1.0",
            max_version=VIFBridge.VERSION,
            supported_port_profiles=[],
        )
        return HostPluginInfo(plugin_name="vxlan", vif_info=[taken])

    def describe_host(self, vif, instance_info):
        """Return bridge, tunnel and tap."""
        part = required(vif, "id")[:11]
        bridge, guest = f"br-{part}", required(vif, "address")
        tunnel = Vxlan(
            name=f"vx-{part}",
            mac=f"f2{guest[2:]}",
            bridge=bridge,
            vni=required(vif.network, "vlan"),
            remote=self.config.remote,
        )
        tap = Tap(
            name=tap_name(vif),
            mac=host_side_mac(guest),
            mtu=1500 - OVERHEAD,
            bridge=bridge,
            known_macs=macs_of_guest(guest),
        )
        mark = Mark.of(vif, "vxlan", instance_info)
        return Topology(mark, (Bridge(name=bridge, own=True), tunnel, tap))

    def describe_remains(self, vif, instance_info):
        """Return the same: there is but one mode."""
        return self.describe_host(vif, instance_info)
