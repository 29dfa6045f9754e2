# SPDX-License-Identifier: Apache-2.0
"""VIFBridge: a guest's tap on a Linux bridge, with an uplink if the network asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from oslo_config import cfg, types

from os_vif import exception, objects
from os_vif.engine.checks import mac_address, mtu_bytes, vlan_tag
from os_vif.engine.place import LINUX_BRIDGE
from os_vif.engine.topology import Mark, Resource, Topology
from os_vif.host.forwarding import resources as forwarding
from os_vif.host.links import resources as links
from os_vif.plugin import TopologyPlugin, optional, required, tap_name
from os_vif.plugins import anti_spoofing, bridge_port, host_network, limits, tap_access

if TYPE_CHECKING:
    from os_vif.guest.card import End
    from os_vif.objects.host_info import HostPluginInfo
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.network import Network
    from os_vif.objects.vif import VIFBase

PLUGIN_NAME = "linux_bridge"


class LinuxBridgePlugin(TopologyPlugin):
    """Makes the bridge, its uplink, the rules for its traffic and, on request, the tap."""

    PRIVILEGED_SECTION = LINUX_BRIDGE

    CONFIG_OPTS: ClassVar[list[cfg.Opt]] = [
        cfg.BoolOpt(
            "use_ipv6",
            default=False,
            deprecated_group="DEFAULT",
            help="Set forwarding rules for IPv6 too, even where a network has no IPv6 subnet.",
        ),
        cfg.StrOpt(
            "iptables_top_regex",
            default="",
            deprecated_group="DEFAULT",
            help="Rules of the FORWARD chain that match this regular expression stay above ours.",
        ),
        cfg.StrOpt(
            "iptables_bottom_regex",
            default="",
            deprecated_group="DEFAULT",
            help="Rules of the FORWARD chain that match this regular expression stay below ours.",
        ),
        cfg.StrOpt(
            "iptables_drop_action",
            default="DROP",
            deprecated_group="DEFAULT",
            help="The iptables target for traffic that forward_bridge_interface does not let pass.",
        ),
        cfg.MultiStrOpt(
            "forward_bridge_interface",
            default=["all"],
            deprecated_group="DEFAULT",
            help="An interface that bridges may forward to and from; 'all' for every one.",
        ),
        cfg.StrOpt(
            "vlan_interface",
            deprecated_group="DEFAULT",
            help="The uplink of VLAN networks, in place of what the network names.",
        ),
        cfg.StrOpt(
            "flat_interface",
            deprecated_group="DEFAULT",
            help="The uplink of flat networks, in place of what the network names.",
        ),
        cfg.IntOpt(
            "network_device_mtu",
            default=1500,
            deprecated_group="DEFAULT",
            help="MTU in bytes of the devices of networks that set none, 68 to 65535.",
        ),
        cfg.Opt(
            "uplink_mtu",
            type=types.Dict(types.Integer(min=68, max=65535), bounds=False),
            default={},
            help="By the name of an uplink, the MTU in bytes that it is raised to where it has "
            "less, as in eth0:9000. An uplink is never lowered; others keep the MTU they have.",
        ),
        cfg.BoolOpt(
            "create_tap",
            default=False,
            help="Make the tap and put it into the bridge, for hypervisors that do neither. "
            "libvirt does both itself.",
        ),
        *tap_access.OPTS,
        *tap_access.QUEUES,
        *bridge_port.OPTS,
        *limits.OPTS,
        *anti_spoofing.OPTS,
        *host_network.OPTS,
    ]

    def describe(self) -> HostPluginInfo:
        """VIFBridge, without a port profile."""
        return objects.host_info.HostPluginInfo(
            plugin_name=PLUGIN_NAME,
            vif_info=[
                objects.host_info.HostVIFInfo(
                    vif_object_name=objects.vif.VIFBridge.obj_name(),
                    min_version="1.0",
                    max_version=objects.vif.VIFBridge.VERSION,
                    supported_port_profiles=[],
                )
            ],
        )

    def describe_host(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return bridge, uplink, rules and tap, as network and configuration ask for them."""
        network = optional(vif, "network")
        bridge = _bridge_of(vif, network)
        mtu = optional(network, "mtu") if network is not None else None
        # Networks have 0 where nobody set it.
        mtu = mtu_bytes(mtu or self.config.network_device_mtu, "network.mtu")
        create_tap = self.config.create_tap
        resources: list[Resource] = []
        if _provides_bridge(network):
            resources += self._provided(vif, network, bridge, mtu)
        elif create_tap:
            resources.append(links.Bridge(name=bridge, create=False))
        resources += bridge_port.filtering(self.config, bridge)
        resources += host_network.on_bridge(
            self.config,
            vif,
            instance_info,
            bridge,
            is_made=_provides_bridge(network),
            uplink=next((it.name for it in resources if isinstance(it, links.Uplink)), ""),
            mtu=mtu,
        )
        if create_tap:
            resources.append(self._tap(vif, bridge, mtu))
            resources += limits.on_device(self.config, vif, tap_name(vif))
            resources += anti_spoofing.on_device(self.config, vif, tap_name(vif))
        elif limits.on_device(self.config, vif, tap_name(vif)):
            raise exception.InvalidField(
                field="rate_to_guest or rate_from_guest",
                value=vif.id,
                expected="option create_tap: only a tap that is made here is limited",
            )
        else:
            expected = "none, or option create_tap: it is seen to at a tap that is made here"
            anti_spoofing.need_none(self.config, vif, expected)
        resources += self._port(vif, bridge, resources)
        mark = Mark.of(vif, PLUGIN_NAME, instance_info)
        # Made by the hypervisor, or by us when we were told to.
        awaited = () if create_tap else (tap_name(vif),)
        return Topology(mark, tuple(resources), awaited)

    def describe_remains(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return the tap and the rules; the bridge serves others and stays."""
        network = optional(vif, "network")
        bridge = _bridge_of(vif, network)
        resources: list[Resource] = []
        if _needs_rules(vif, network):
            resources += [
                forwarding.ForwardRules(bridge=bridge, ipv6=ipv6, rules=())
                for ipv6 in (False, True)
            ]
        resources.append(
            links.Tap(
                name=tap_name(vif),
                known_macs=links.macs_of_guest(optional(vif, "address")),
                # Where a hypervisor makes the taps, an unmarked one is the hypervisor's.
                adopt=self.config.create_tap,
            )
        )
        resources += anti_spoofing.remains(self.config, vif, tap_name(vif))
        resources += host_network.remains(self.config, vif, bridge)
        return Topology(Mark.of(vif, PLUGIN_NAME, instance_info), tuple(resources))

    def describe_guest_end(self, vif: VIFBase, topology: Topology | None) -> End:
        """Return our tap, or the one that the hypervisor puts into the bridge."""
        if self.config.create_tap:
            return super().describe_guest_end(vif, topology)
        from os_vif.guest.card import HypervisorTap

        network = optional(vif, "network")
        mtu = optional(network, "mtu") if network is not None else None
        return HypervisorTap(
            device=tap_name(vif),
            bridge=_bridge_of(vif, network),
            mtu=mtu or self.config.network_device_mtu,
        )

    def _provided(self, vif: VIFBase, network: Network, bridge: str, mtu: int) -> list[Resource]:
        named = optional(network, "bridge_interface")
        if optional(network, "should_provide_vlan", False):
            lower = self.config.vlan_interface or named
            if not lower:
                raise exception.InvalidField(
                    field="network.bridge_interface",
                    value=lower,
                    expected="the uplink of the VLAN, here or as [os_vif_linux_bridge] "
                    "vlan_interface",
                )
            tag = vlan_tag(optional(network, "vlan"), "network.vlan")
            device = f"vlan{tag}"
            least = self._uplink_mtu(lower, named)
            return [
                links.Vlan(name=device, link=lower, vlan_id=tag, mtu=least),
                links.Bridge(name=bridge, mtu=mtu),
                links.Uplink(name=device, bridge=bridge, mtu=least),
            ]
        uplink = self.config.flat_interface or named
        resources: list[Resource] = [links.Bridge(name=bridge, mtu=mtu)]
        if uplink:
            least = self._uplink_mtu(uplink, named)
            resources.append(links.Uplink(name=uplink, bridge=bridge, mtu=least))
        if _needs_rules(vif, network):
            resources += self._rules(network, bridge)
        return resources

    def _uplink_mtu(self, uplink: str, named: str | None) -> int | None:
        # A file knows the uplink as the network does, whatever the configuration puts in its place.
        said: dict[str, int] = self.config.uplink_mtu
        mtu = said.get(uplink, said.get(named or ""))
        return None if mtu is None else mtu_bytes(mtu, "network.uplink_mtu")

    def _rules(self, network: Network, bridge: str) -> list[Resource]:
        """Return what lets the bridge's traffic through a FORWARD chain that drops by default."""
        allowed = [name for name in self.config.forward_bridge_interface if name]
        rules: list[tuple[str, ...]] = []
        if "all" in allowed:
            rules += [("-i", bridge, "-j", "ACCEPT"), ("-o", bridge, "-j", "ACCEPT")]
        else:
            drop = self.config.iptables_drop_action
            for name in allowed:
                rules.append(("-i", bridge, "-o", name, "-j", "ACCEPT"))
                rules.append(("-i", name, "-o", bridge, "-j", "ACCEPT"))
            rules.append(("-i", bridge, "-o", bridge, "-j", "ACCEPT"))
            rules.append(("-i", bridge, "-j", drop))
            rules.append(("-o", bridge, "-j", drop))
        subnets = optional(network, "subnets", [])
        versions = {it.cidr.version for it in subnets if it.obj_attr_is_set("cidr")}
        ipv6 = self.config.use_ipv6 or 6 in versions
        # Of a network without subnets nobody knows what its guests speak, so IPv6 is let pass
        # where IPv4 is and it would not.  One that names IPv4 alone is taken at its word.
        return [
            forwarding.ForwardRules(
                bridge=bridge,
                ipv6=family,
                rules=tuple(rules),
                top_regex=self.config.iptables_top_regex,
                bottom_regex=self.config.iptables_bottom_regex,
                where_dropped=family and not ipv6,
            )
            for family in ((False, True) if ipv6 or not versions else (False,))
        ]

    def _port(self, vif: VIFBase, bridge: str, made: list[Resource]) -> list[Resource]:
        """Return what is said of the tap's port; who isolates a guest must not do so in vain."""
        uplinks = [it.name for it in made if isinstance(it, links.Uplink)]
        found = bridge_port.port(self.config, vif.id, tap_name(vif), bridge, uplinks)
        if found and not self.config.create_tap:
            raise exception.InvalidField(
                field="port_settings, port_vlans or port_trunks",
                value=vif.id,
                expected="option create_tap: only of a tap that is made here the port is set",
            )
        return found

    def _tap(self, vif: VIFBase, bridge: str, mtu: int) -> links.Tap:
        guest = mac_address(required(vif, "address"), "VIFBridge.address")
        return links.Tap(
            name=tap_name(vif),
            mac=links.host_side_mac(guest),
            mtu=mtu,
            multi_queue=tap_access.queues(self.config, vif),
            bridge=bridge,
            known_macs=links.macs_of_guest(guest),
            **tap_access.whose(self.config, vif),
        )


def _bridge_of(vif: VIFBase, network: Network | None) -> str:
    name = optional(vif, "bridge_name")
    if name is None and network is not None:
        name = optional(network, "bridge")
    return str(name) if name is not None else str(required(vif, "bridge_name"))


def _provides_bridge(network: Network | None) -> bool:
    return (
        network is not None
        and not optional(network, "multi_host", False)
        and bool(optional(network, "should_provide_bridge", False))
    )


def _needs_rules(vif: VIFBase, network: Network | None) -> bool:
    return (
        not optional(vif, "has_traffic_filtering", False)
        and _provides_bridge(network)
        and not optional(network, "should_provide_vlan", False)  # type: ignore[arg-type]
    )
