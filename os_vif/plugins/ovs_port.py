# SPDX-License-Identifier: Apache-2.0
"""What one VIF has on Open vSwitch, in each of the ways a guest can be connected.

A port alone is a few rows; where packets are filtered, or a port has a bridge of its own, more goes
with it.  A plugin says which way, and puts what it gets here into its description.
"""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING, Any

from os_vif import exception
from os_vif.engine.checks import mac_address, mtu_bytes, pci_address, socket_path
from os_vif.host.functions.resources import Representor
from os_vif.host.links.resources import Bridge, Tap, Veth, VethEnd, macs_of_guest
from os_vif.host.openvswitch.resources import OvsBridge, OvsPort
from os_vif.objects.vif import (
    DatapathOffloadRepresentor,
    VIFBridge,
    VIFHostDevice,
    VIFPortProfileOpenVSwitch,
    VIFPortProfileOVSRepresentor,
    VIFVHostUser,
)
from os_vif.plugin import optional, required
from os_vif.plugins import ovs_names, tap_access
from os_vif.plugins.ovs_names import PATCH_NAME_LENGTH, gen_port_name

if TYPE_CHECKING:
    from os_vif.engine.topology import Resource
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase


class Port:
    """One VIF's port: what its parts are called and what they carry.

    :param remains: it is to be taken away: what only plugging needs may be missing then
    """

    def __init__(
        self,
        config: Any,
        vif: VIFBase,
        instance_info: InstanceInfo | None,
        *,
        remains: bool = False,
    ) -> None:
        self.config = config
        self.vif = vif
        self._remains = remains
        profile = optional(vif, "port_profile")
        if not isinstance(profile, VIFPortProfileOpenVSwitch):
            raise exception.InvalidField(
                field=f"{vif.obj_name()}.port_profile",
                value=None if profile is None else profile.obj_name(),
                expected="a VIFPortProfileOpenVSwitch",
            )
        self.profile = profile
        self.network = required(vif, "network")
        self.bridge = str(required(self.network, "bridge"))
        # Networks have 0 where nobody set it.
        mtu = optional(self.network, "mtu") or config.network_device_mtu
        self.mtu = mtu_bytes(mtu, "network.mtu")
        self.datapath = optional(profile, "datapath_type", "")
        self.is_trunk = self.bridge.startswith(ovs_names.TRUNK_BRIDGE_PREFIX)
        self.instance = optional(instance_info, "uuid", "") if instance_info else ""

    @property
    def mac(self) -> str | None:
        """The guest's; None where it is not known and not needed."""
        find = optional if self._remains else required
        found = find(self.vif, "address")
        return None if found is None else mac_address(found, f"{self.vif.obj_name()}.address")

    @property
    def iface_id(self) -> str:
        """By which the network's agents know the port."""
        if self._remains:
            return str(optional(self.profile, "interface_id") or self.vif.id)
        found = str(required(self.profile, "interface_id"))
        try:
            uuid.UUID(found)
        except ValueError:
            raise exception.InvalidField(
                field="port_profile.interface_id", value=found, expected="a UUID"
            ) from None
        return found

    def _ids(self, iface_id: str) -> dict[str, str]:
        ids = {"iface-id": iface_id, "iface-status": "active"}
        mac = self.mac
        if mac is not None:
            ids["attached-mac"] = mac
        if self.instance:
            ids["vm-uuid"] = self.instance
        if self.is_trunk:
            ids["bridge_name"] = self.bridge
        return ids

    def _switch(self, datapath: str) -> OvsBridge:
        return OvsBridge(name=self.bridge, datapath_type=datapath, own=self.is_trunk)

    def _ovs_port(self, name: str, *, bridge: str = "", **fields: Any) -> OvsPort:
        if "external_ids" not in fields:
            fields["external_ids"] = self._ids(self.iface_id)
        fields.setdefault("isolate", bool(self.config.isolate_vif) and not self.is_trunk)
        if self.datapath != ovs_names.DATAPATH_NETDEV:
            fields.setdefault("qos_type", self.config.default_qos_type)
        return OvsPort(name=name, bridge=bridge or self.bridge, **fields)

    @property
    def _name(self) -> str:
        return str(required(self.vif, "vif_name"))

    @property
    def _vhost_user_name(self) -> str:
        derived = gen_port_name(ovs_names.VHOST_USER_PREFIX, self.vif.id)
        return str(optional(self.vif, "vif_name") or derived)

    @property
    def _function(self) -> str:
        return pci_address(required(self.vif, "dev_address"), "VIFHostDevice.dev_address")

    @property
    def _dpdk_name(self) -> str:
        return gen_port_name(ovs_names.DPDK_REPRESENTOR_PREFIX, self.vif.id)

    def _tap(self) -> Tap:
        mac = self.mac
        return Tap(
            name=self._name,
            mac=mac,
            mtu=self.mtu,
            multi_queue=bool(optional(self.profile, "multiqueue", False)),
            known_macs=macs_of_guest(mac),
            **tap_access.whose(self.config, self.vif),
        )

    def plain(self) -> list[Resource]:
        """Return the bridge and, as far as the profile asks for them, tap and port."""
        resources: list[Resource] = []
        # On a bridge of its own nobody else would make the port.
        own_bridge = bool(self.config.per_port_bridge)
        create_port = own_bridge or bool(optional(self.profile, "create_port", False))
        create_tap = create_port and bool(optional(self.profile, "create_tap", False))
        # Without create_tap the hypervisor makes it, now or later.
        device: dict[str, Any] = {"attached": create_tap}
        if create_tap:
            resources.append(self._tap())
        else:
            device["device_mtu"] = self.mtu
        resources.append(self._switch(self.datapath))
        if own_bridge:
            # The network's agents look at the patch port, so this one carries no ids.
            own = gen_port_name("pb", self.vif.id)
            device.update(external_ids={}, isolate=False, bridge=own)
            resources += [*self._own_bridge(), self._ovs_port(self._name, **device)]
        elif create_port:
            resources.append(self._ovs_port(self._name, **device))
        return resources

    def _own_bridge(self) -> list[Resource]:
        own = gen_port_name("pb", self.vif.id)
        outer = gen_port_name("ibp", self.vif.id, PATCH_NAME_LENGTH)
        inner = gen_port_name("pbp", self.vif.id, PATCH_NAME_LENGTH)
        return [
            OvsBridge(name=own, datapath_type=self.datapath, own=True),
            self._ovs_port(
                inner,
                bridge=own,
                type="patch",
                options={"peer": outer},
                external_ids={},
                isolate=False,
                qos_type=None,
            ),
            self._ovs_port(
                outer,
                type="patch",
                options={"peer": inner},
                external_ids=self._ids(self.vif.id),
                qos_type=None,
            ),
        ]

    def on_device(self, name: str) -> list[Resource]:
        """Return the port on a device that somebody else describes."""
        return [self._switch(self.datapath), self._ovs_port(name)]

    def hybrid(self, bridge_name: str) -> list[Resource]:
        """Return a Linux bridge, where packets are filtered, and a veth from it to the switch."""
        near = gen_port_name("qvb", self.vif.id)
        far = gen_port_name("qvo", self.vif.id)
        return [
            Bridge(name=bridge_name, own=True, ageing_time=0),
            Veth(name=near, peer=far, mtu=self.mtu, bridge=bridge_name),
            self._switch(self.datapath),
            self._ovs_port(far),
        ]

    def vhost_user(self, vif: VIFVHostUser) -> list[Resource]:
        """Return the port whose socket the guest's virtio device is behind."""
        mode = required(vif, "mode")
        options = {}
        kind = ovs_names.INTERFACE_VHOST_USER
        if mode == "server":
            kind = ovs_names.INTERFACE_VHOST_USER_CLIENT
            options = {"vhost-server-path": socket_path(required(vif, "path"))}
        self.datapath = self.datapath or ovs_names.DATAPATH_NETDEV
        return [
            self._switch(self.datapath),
            self._ovs_port(self._vhost_user_name, type=kind, options=options, mtu_request=self.mtu),
        ]

    def representor(self) -> list[Resource]:
        """Return the port that is a virtual function's other end, of the kernel's or of DPDK's."""
        address = self._function
        self.datapath = self.datapath or ovs_names.DATAPATH_SYSTEM
        if self.datapath == ovs_names.DATAPATH_NETDEV:
            name, kind, lent = self._dpdk_name, ovs_names.INTERFACE_DPDK, []
            mtu_request = self.mtu
        else:
            name, kind, mtu_request = self._representor_name(), "", None
            lent = [Representor(address=address, name=name, mtu=self.mtu)]
        port = self._ovs_port(name, behind=address, type=kind, mtu_request=mtu_request)
        return [*lent, self._switch(self.datapath), port]

    def _any_representor(self) -> list[Resource]:
        address, name = self._function, self._representor_name()
        return [
            Representor(address=address, name=name),
            self._ovs_port(name, behind=address),
            self._ovs_port(self._dpdk_name, type=ovs_names.INTERFACE_DPDK),
        ]

    def _representor_name(self) -> str:
        offload = optional(self.profile, "datapath_offload")
        for holder in (offload, self.profile):
            if isinstance(holder, DatapathOffloadRepresentor | VIFPortProfileOVSRepresentor):
                return str(optional(holder, "representor_name", ""))
        return ""

    def everything(self) -> list[Resource]:
        """Return all that any mode makes, so that unplug finds it whatever was configured."""
        hybrid_name = gen_port_name("qbr", self.vif.id)
        if isinstance(self.vif, VIFBridge):
            hybrid_name = optional(self.vif, "bridge_name", hybrid_name)
        resources = self.hybrid(hybrid_name)
        if isinstance(self.vif, VIFHostDevice):
            return [*resources, *self._any_representor()]
        if isinstance(self.vif, VIFVHostUser):
            # By the socket's place it is known, should its ids be gone.
            path = {"vhost-server-path": str(optional(self.vif, "path", ""))}
            return [*resources, self._ovs_port(self._vhost_user_name, options=path)]
        resources += self._own_bridge()
        if optional(self.vif, "vif_name"):
            tap = self._tap()
            if isinstance(self.vif, VIFBridge):
                tap = dataclasses.replace(tap, adopt=False)  # the hypervisor's, which may yet run
            resources.append(dataclasses.replace(tap, spared_in=hybrid_name))
            if not optional(self.profile, "create_tap", False):
                resources.append(VethEnd(name=self._name))
            resources.append(self._ovs_port(self._name))
        return resources
