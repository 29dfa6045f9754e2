# SPDX-License-Identifier: Apache-2.0
"""Ports of Open vSwitch: a tap, a Linux bridge (hybrid), a vhost-user socket, a representor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from oslo_config import cfg

from os_vif import objects
from os_vif.engine.place import OVS
from os_vif.engine.topology import Mark, Topology
from os_vif.host.links import resources as links
from os_vif.host.openvswitch import resources as openvswitch
from os_vif.plugin import TopologyPlugin, optional, required
from os_vif.plugins import anti_spoofing, limits, ovs_names, ovs_port, ovs_vlans, tap_access
from os_vif.plugins.ovs_names import gen_port_name

if TYPE_CHECKING:
    from os_vif.engine.place import Place
    from os_vif.guest.card import End
    from os_vif.objects.host_info import HostPluginInfo
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase


class OvsPlugin(TopologyPlugin):
    """Makes bridges, ports, taps and veths for VIFs that Open vSwitch connects."""

    PRIVILEGED_SECTION = OVS

    CONFIG_OPTS: ClassVar[list[cfg.Opt]] = [
        cfg.IntOpt(
            "network_device_mtu",
            default=1500,
            deprecated_group="DEFAULT",
            help="MTU in bytes of the devices of networks that set none, 68 to 65535.",
        ),
        cfg.IntOpt(
            "ovs_vsctl_timeout",
            default=120,
            deprecated_group="DEFAULT",
            help="Seconds until a call to Open vSwitch gives up; 0 waits for ever.",
        ),
        cfg.StrOpt(
            "ovsdb_connection",
            default="tcp:127.0.0.1:6640",
            help="The OVSDB server: unix:FILE, tcp:IP:PORT or ssl:IP:PORT; several with commas.",
        ),
        cfg.StrOpt(
            "ovsdb_interface",
            default="native",
            choices=["vsctl", "native"],
            deprecated_for_removal=True,
            deprecated_reason="There is one way to talk to OVSDB; both values mean it.",
            help="Without effect.",
        ),
        cfg.BoolOpt(
            "isolate_vif",
            default=False,
            help="Put new ports into the dead VLAN until the network's agent gives them theirs.",
        ),
        cfg.BoolOpt(
            "per_port_bridge",
            default=False,
            help="Give each port a bridge of its own, patched to the integration bridge.",
        ),
        cfg.StrOpt(
            "default_qos_type",
            default="linux-noop",
            choices=[
                "linux-htb",
                "linux-hfsc",
                "linux-sfq",
                "linux-codel",
                "linux-fq_codel",
                "linux-noop",
            ],
            help="QoS type of new ports on the system datapath.",
        ),
        cfg.StrOpt("ssl_key_file", help="Private key for an ssl: connection."),
        cfg.StrOpt("ssl_cert_file", help="Certificate for an ssl: connection."),
        cfg.StrOpt("ssl_ca_cert_file", help="Certificate of the server's CA for ssl:."),
        cfg.StrOpt(
            "wait_for",
            default="attached",
            choices=["attached", "ovn"],
            help="What plugging waits for, within ovs_vsctl_timeout: that Open vSwitch has "
            "attached a port, or that OVN has bound it too and installed its flows. It does not "
            "wait for ports whose tap is the hypervisor's to make.",
        ),
        cfg.DictOpt(
            "waits_for",
            default={},
            help="The same as wait_for for single VIFs, by their ids: ID:ovn,ID:attached. In a "
            "file for the command: the field wait_for.",
        ),
        *tap_access.OPTS,
        *ovs_vlans.OPTS,
        *limits.OPTS,
        *anti_spoofing.OPTS,
    ]

    gen_port_name = staticmethod(gen_port_name)

    def describe(self) -> HostPluginInfo:
        """VIFOpenVSwitch, VIFBridge (hybrid), VIFVHostUser and VIFHostDevice (representor)."""
        profiles = [
            objects.host_info.HostPortProfileInfo(
                profile_object_name=profile.obj_name(),
                min_version="1.0",
                max_version=profile.VERSION,
            )
            for profile in (
                objects.vif.VIFPortProfileOpenVSwitch,
                objects.vif.VIFPortProfileOVSRepresentor,
            )
        ]
        return objects.host_info.HostPluginInfo(
            plugin_name=ovs_names.PLUGIN_NAME,
            vif_info=[
                objects.host_info.HostVIFInfo(
                    vif_object_name=vif.obj_name(),
                    min_version="1.0",
                    max_version=vif.VERSION,
                    supported_port_profiles=profiles,
                )
                for vif in (
                    objects.vif.VIFBridge,
                    objects.vif.VIFHostDevice,
                    objects.vif.VIFOpenVSwitch,
                    objects.vif.VIFVHostUser,
                )
            ],
        )

    def place(self) -> Place:
        """Return the daemon's section and the database."""
        from os_vif.engine.place import Place

        return Place(self.PRIVILEGED_SECTION, database_of(self.config))

    def describe_host(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return what the VIF's class, its profile and the configuration ask for."""
        port = ovs_port.Port(self.config, vif, instance_info)
        awaited: tuple[str, ...] = ()
        if isinstance(vif, objects.vif.VIFVHostUser):
            resources = port.vhost_user(vif)
        elif isinstance(vif, objects.vif.VIFHostDevice):
            resources = port.representor()
        elif isinstance(vif, objects.vif.VIFBridge):
            resources = port.hybrid(str(required(vif, "bridge_name")))
        else:
            resources = port.plain()
            # Tap and port may be the hypervisor's to make, whoever made those that are there.
            awaited = tuple(filter(None, [optional(vif, "vif_name")]))
        mark = Mark.of(vif, ovs_names.PLUGIN_NAME, instance_info)
        return Topology(mark, tuple(resources), awaited)

    def describe_guest_end(self, vif: VIFBase, topology: Topology | None) -> End:
        """Return our tap, or the one that the hypervisor makes, the socket or the function."""
        if topology is not None and any(isinstance(it, links.Tap) for it in topology.resources):
            return super().describe_guest_end(vif, topology)
        return ovs_port.Port(self.config, vif, None).guest_end()

    def describe_remains(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return everything that any mode could have made for the VIF."""
        port = ovs_port.Port(self.config, vif, instance_info, remains=True)
        resources = port.everything()
        return Topology(Mark.of(vif, ovs_names.PLUGIN_NAME, instance_info), tuple(resources))


def database_of(config: Any) -> openvswitch.Database:
    """Return the database that the options ``[os_vif_ovs]`` name."""
    return openvswitch.Database(
        config.ovsdb_connection,
        config.ovs_vsctl_timeout,
        config.ssl_key_file or "",
        config.ssl_cert_file or "",
        config.ssl_ca_cert_file or "",
    )
