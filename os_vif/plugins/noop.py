# SPDX-License-Identifier: Apache-2.0
"""The plugin for VIFs whose back end is another program's: it does nothing, but may look."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from oslo_config import cfg

from os_vif import objects
from os_vif.engine.checks import socket_path
from os_vif.engine.topology import Mark, Topology
from os_vif.host.vhost_user import resources as vhost_user
from os_vif.plugin import TopologyPlugin, optional, required

if TYPE_CHECKING:
    from os_vif.guest.card import End
    from os_vif.objects.host_info import HostPluginInfo
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase

PLUGIN_NAME = "noop"


class NoOpPlugin(TopologyPlugin):
    """Takes whatever it is sent and leaves the host as it is."""

    CONFIG_OPTS: ClassVar[list[cfg.Opt]] = [
        cfg.BoolOpt(
            "verify_sockets",
            default=False,
            help="See that the socket of a VIFVHostUser is there, and fail to plug if it is not.",
        ),
        cfg.StrOpt(
            "hypervisor_user",
            help="The user whom such a socket must be open to, as in libvirt-qemu.",
        ),
    ]

    def describe(self) -> HostPluginInfo:
        """VIFVHostUser, in every version. Other VIFs work too, but nobody should count on it."""
        return objects.host_info.HostPluginInfo(
            plugin_name=PLUGIN_NAME,
            vif_info=[
                objects.host_info.HostVIFInfo(
                    vif_object_name=objects.vif.VIFVHostUser.obj_name(),
                    min_version="1.0",
                    max_version=objects.vif.VIFVHostUser.VERSION,
                    supported_port_profiles=[],
                )
            ],
        )

    def describe_host(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return the socket, where one is to be looked at."""
        mark = _mark(vif, instance_info)
        if not isinstance(vif, objects.vif.VIFVHostUser) or not self.config.verify_sockets:
            return Topology(mark, ())
        socket = vhost_user.VhostSocket(
            path=socket_path(required(vif, "path"), "VIFVHostUser.path"),
            # The VIF names the guest's part.
            listens=required(vif, "mode") == "client",
            user=self.config.hypervisor_user or "",
        )
        return Topology(mark, (socket,))

    def describe_remains(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return nothing: nothing was made."""
        return Topology(_mark(vif, instance_info), ())

    def describe_guest_end(self, vif: VIFBase, topology: Topology | None) -> End:
        """Return what the VIF names: a socket, a function, what libvirt is to share."""
        from os_vif.guest import card

        network = optional(vif, "network")
        mtu = (optional(network, "mtu") or None) if network is not None else None
        match vif:
            case objects.vif.VIFVHostUser():
                mode = str(required(vif, "mode"))
                return card.VhostUser(path=required(vif, "path"), mode=mode, mtu=mtu)
            case objects.vif.VIFHostDevice():
                ethernet = required(vif, "dev_type") == "ethernet"
                vlan = optional(network, "vlan") if network is not None and ethernet else None
                address = required(vif, "dev_address")
                return card.Function(
                    address=address, managed=True, ethernet=ethernet, vlan=vlan or None
                )
            case objects.vif.VIFDirect():
                return card.hypervisor_macvtap(vif)
            case objects.vif.VIFNestedDPDK():
                return card.Nested()
        return super().describe_guest_end(vif, topology)

    def need_supported(self, vif: VIFBase) -> None:
        """Take every VIF, whatever its class and port profile."""

    def plug(self, vif: VIFBase, instance_info: InstanceInfo) -> None:
        """See that the socket is there, if that is wanted; else nothing."""
        if self.config.verify_sockets and isinstance(vif, objects.vif.VIFVHostUser):
            super().plug(vif, instance_info)

    def unplug(self, vif: VIFBase, instance_info: InstanceInfo) -> None:
        """Nothing to take away."""


def _mark(vif: VIFBase, instance_info: InstanceInfo | None) -> Mark:
    """Return the VIF's mark; of one that can have none, a mark that nothing carries."""
    try:
        return Mark.of(vif, PLUGIN_NAME, instance_info)
    except Exception:  # whatever comes is taken, and it may be no VIF of ours at all
        return Mark("nobody", PLUGIN_NAME)
