# SPDX-License-Identifier: Apache-2.0
"""VIFVHostUser on a fast path: a program moves packets between a vhost-user socket and a device.

The port profile says what the device joins: a port of Open vSwitch (by itself, or behind a Linux
bridge), a Linux bridge, or nothing, where the host routes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from oslo_config import cfg

from os_vif import exception, objects
from os_vif.engine.checks import interface_name, mac_address, mtu_bytes, socket_path
from os_vif.engine.place import AS_ROOT
from os_vif.engine.topology import Mark, Resource, Topology
from os_vif.host.links import resources as links
from os_vif.host.vhost_user import options as fast_path_options
from os_vif.host.vhost_user import questions
from os_vif.host.vhost_user import resources as vhost_user
from os_vif.plugin import TopologyPlugin, optional, required
from os_vif.plugins import ovs, ovs_names, ovs_port, routing

if TYPE_CHECKING:
    from os_vif.engine.converge import Request
    from os_vif.guest.card import End
    from os_vif.objects.host_info import HostPluginInfo
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import (
        VIFBase,
        VIFPortProfileBase,
        VIFPortProfileFPBridge,
        VIFPortProfileFPOpenVSwitch,
        VIFPortProfileFPTap,
    )

PLUGIN_NAME = vhost_user.FAST_PATH


class FastPathPlugin(TopologyPlugin):
    """Has the fast path's device made, and puts it where the profile says."""

    PRIVILEGED_SECTION = AS_ROOT

    CONFIG_OPTS: ClassVar[list[cfg.Opt]] = [
        cfg.StrOpt(
            "back_end",
            default=vhost_user.SIX_WIND,
            choices=[
                (vhost_user.SIX_WIND, "6WIND's fast path, by its command fp-vdev"),
                (
                    vhost_user.TESTPMD,
                    "a dpdk-testpmd process for each port, which keeps a processor busy",
                ),
            ],
            help="The program behind the sockets.",
        ),
        cfg.IntOpt(
            "network_device_mtu",
            default=1500,
            help="MTU in bytes of the devices of networks that set none, 68 to 65535.",
        ),
        cfg.BoolOpt(
            "routed",
            default=False,
            help="With a VIFPortProfileFPTap, route to the guests' addresses and answer ARP and "
            "NDP for the others; else a network agent does.",
        ),
        *fast_path_options.OPTS,
    ]

    def describe(self) -> HostPluginInfo:
        """VIFVHostUser with one of the fast path's port profiles."""
        profiles = [
            objects.host_info.HostPortProfileInfo(
                profile_object_name=profile.obj_name(),
                min_version="1.0",
                max_version=profile.VERSION,
            )
            for profile in _profiles()
        ]
        return objects.host_info.HostPluginInfo(
            plugin_name=PLUGIN_NAME,
            vif_info=[
                objects.host_info.HostVIFInfo(
                    vif_object_name=objects.vif.VIFVHostUser.obj_name(),
                    min_version="1.0",
                    max_version=objects.vif.VIFVHostUser.VERSION,
                    supported_port_profiles=profiles,
                )
            ],
        )

    def request(
        self, vif: VIFBase, instance_info: InstanceInfo | None, *, unplugging: bool = False
    ) -> Request:
        """Return what the engine is to do; of Open vSwitch only where the profile is for it."""
        request = super().request(vif, instance_info, unplugging=unplugging)
        if isinstance(optional(vif, "port_profile"), objects.vif.VIFPortProfileFPOpenVSwitch):
            database = ovs.database_of(_switch_options())
            request.place = dataclasses.replace(request.place, database=database)
        return request

    def describe_host(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return the device, its back end, and what the profile has it join."""
        profile = optional(vif, "port_profile")
        device = _Device(self.config, vif)
        match profile:
            case objects.vif.VIFPortProfileFPOpenVSwitch():
                resources = self._on_switch(vif, instance_info, device, profile)
            case objects.vif.VIFPortProfileFPBridge():
                bridge = _bridge_of(profile)
                resources = [
                    links.Bridge(name=bridge, mtu=device.mtu),
                    *device.resources(bridge=bridge),
                ]
            case objects.vif.VIFPortProfileFPTap():
                resources = self._routed(vif, device, profile)
            case _:
                raise _no_profile(vif)
        return Topology(Mark.of(vif, PLUGIN_NAME, instance_info), tuple(resources))

    def describe_remains(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return everything that any back end and any mode of the profile could have made."""
        profile = optional(vif, "port_profile")
        resources = _Device(self.config, vif).everything()
        if isinstance(profile, objects.vif.VIFPortProfileFPOpenVSwitch):
            port = ovs_port.Port(_switch_options(), vif, instance_info, remains=True)
            hybrid = optional(profile, "bridge_name", "") if _is_hybrid(profile) else ""
            name = hybrid or ovs_names.gen_port_name("qbr", vif.id)
            resources = [*port.hybrid(name), *resources, *port.on_device(_name(vif))]
        return Topology(Mark.of(vif, PLUGIN_NAME, instance_info), tuple(resources))

    def describe_guest_end(self, vif: VIFBase, topology: Topology | None) -> End:
        """Return the socket."""
        from os_vif.guest.card import VhostUser

        device = _Device(self.config, vif)
        return VhostUser(path=device.path, mode=str(required(vif, "mode")), mtu=device.mtu)

    def _on_switch(
        self,
        vif: VIFBase,
        instance_info: InstanceInfo | None,
        device: _Device,
        profile: VIFPortProfileFPOpenVSwitch,
    ) -> list[Resource]:
        bridge = _bridge_of(profile)
        port = ovs_port.Port(_switch_options(), vif, instance_info)
        if not _is_hybrid(profile):
            port.bridge = bridge
            return [*device.resources(), *port.on_device(device.name)]
        linux_bridge, *rest = port.hybrid(bridge)
        return [linux_bridge, *device.resources(bridge=bridge), *rest]

    def _routed(
        self, vif: VIFBase, device: _Device, profile: VIFPortProfileFPTap
    ) -> list[Resource]:
        network = optional(vif, "network")
        mac = optional(profile, "mac_address")
        if mac:
            device.mac = mac_address(mac, "VIFPortProfileFPTap.mac_address")
        if not self.config.routed:
            return device.resources()
        settings = routing.settings(network)
        ipv6 = routing.has_ipv6(network)
        return [
            *device.resources(conf=settings, disable_ipv6=not ipv6),
            *routing.routes(device.name, network),
        ]


class _Device:
    """One VIF's device and socket."""

    def __init__(self, config: cfg.ConfigOpts.GroupAttr, vif: VIFBase) -> None:
        self.back_end = config.back_end
        self.name = _name(vif)
        self.path = socket_path(required(vif, "path"), "VIFVHostUser.path")
        # The VIF names the guest's part.
        self.listens = required(vif, "mode") == "client"
        self.guest = mac_address(required(vif, "address"), "VIFVHostUser.address")
        # A bridge keeps the address of its port for itself, so it must not be the guest's.
        self.mac = links.host_side_mac(self.guest)
        network = optional(vif, "network")
        mtu = optional(network, "mtu") if network is not None else None
        self.mtu = mtu_bytes(config.network_device_mtu if mtu is None else mtu, "network.mtu")

    def resources(
        self,
        *,
        bridge: str | None = None,
        conf: dict[str, int] | None = None,
        disable_ipv6: bool = True,
    ) -> list[Resource]:
        """Return the device as the chosen back end has it."""
        if self.back_end == vhost_user.SIX_WIND:
            return [
                vhost_user.FastPathDevice(
                    name=self.name,
                    path=self.path,
                    listens=self.listens,
                    mac=self.mac,
                    mtu=self.mtu,
                    bridge=bridge,
                    disable_ipv6=disable_ipv6,
                    conf=conf or {},
                )
            ]
        return [self._tap(bridge, conf or {}, disable_ipv6), self._process(self.mtu)]

    def everything(self) -> list[Resource]:
        """Return the device as any back end could have it."""
        made = vhost_user.FastPathDevice(
            name=self.name, path=self.path, listens=self.listens, mac=self.mac, mtu=self.mtu
        )
        resources: list[Resource] = [made, self._tap(None, {}, True)]
        with contextlib.suppress(exception.InvalidField):  # dpdk-testpmd cannot be told each path
            process = self._process(min(self.mtu, vhost_user.TESTPMD_MTU))
            resources.append(process)
        return resources

    def _tap(self, bridge: str | None, conf: dict[str, int], disable_ipv6: bool) -> links.Tap:
        return links.Tap(
            name=self.name,
            mac=self.mac,
            mtu=self.mtu,
            multi_queue=True,  # or DPDK cannot open it
            bridge=bridge,
            known_macs=links.macs_of_guest(self.guest),
            disable_ipv6=disable_ipv6,
            conf=conf,
            note=questions.socket_note(self.path, listens=self.listens),
        )

    def _process(self, mtu: int) -> vhost_user.BackEnd:
        return vhost_user.BackEnd(
            name=self.name, path=self.path, listens=self.listens, mac=self.mac, mtu=mtu
        )


def _switch_options() -> cfg.ConfigOpts.GroupAttr:
    """Return the options ``[os_vif_ovs]``: a host has one Open vSwitch."""
    cfg.CONF.register_opts(ovs.OvsPlugin.CONFIG_OPTS, group="os_vif_ovs")
    options: cfg.ConfigOpts.GroupAttr = cfg.CONF.os_vif_ovs
    return options


def _name(vif: VIFBase) -> str:
    derived = ovs_names.gen_port_name(ovs_names.VHOST_USER_PREFIX, str(required(vif, "id")))
    return interface_name(optional(vif, "vif_name") or derived, "vif_name")


def _profiles() -> Sequence[type[VIFPortProfileBase]]:
    vif = objects.vif
    return (vif.VIFPortProfileFPBridge, vif.VIFPortProfileFPOpenVSwitch, vif.VIFPortProfileFPTap)


def _is_hybrid(profile: VIFPortProfileFPOpenVSwitch) -> bool:
    return bool(optional(profile, "hybrid_plug", False))


def _bridge_of(profile: VIFPortProfileFPBridge | VIFPortProfileFPOpenVSwitch) -> str:
    return interface_name(required(profile, "bridge_name"), f"{profile.obj_name()}.bridge_name")


def _no_profile(vif: VIFBase) -> exception.InvalidField:
    return exception.InvalidField(
        field=f"{vif.obj_name()}.port_profile",
        value=None,
        expected=" or ".join(profile.obj_name() for profile in _profiles()),
    )
