# SPDX-License-Identifier: Apache-2.0
"""What one VIF has on Open vSwitch, in each of the ways a guest can be connected.

A port alone is a few rows; where packets are filtered, or a port has a bridge of its own, more goes
with it.  A plugin says which way, and puts what it gets here into its description.
"""

from __future__ import annotations

import dataclasses
import functools
import uuid
from typing import TYPE_CHECKING, Any

from os_vif import exception, objects
from os_vif.engine.checks import mac_address, mtu_bytes, pci_address, socket_path
from os_vif.host.functions.resources import Representor
from os_vif.host.links.resources import Bridge, Tap, Veth, VethEnd, macs_of_guest
from os_vif.host.openvswitch.resources import OvsBridge, OvsPort
from os_vif.plugin import optional, required
from os_vif.plugins import anti_spoofing, limits, ovs_names, ovs_vlans, tap_access
from os_vif.plugins.ovs_names import PATCH_NAME_LENGTH, gen_port_name

if TYPE_CHECKING:
    from os_vif.engine.topology import Resource
    from os_vif.guest.card import End
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase, VIFVHostUser


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
        if not isinstance(profile, objects.vif.VIFPortProfileOpenVSwitch):
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

    @functools.cached_property
    def _is_ovns(self) -> bool:
        """Whether OVN is to have bound the port."""
        if self._remains:
            return False
        said = self.config.waits_for.get(self.vif.id, self.config.wait_for)
        if said not in ("attached", "ovn"):
            raise exception.InvalidField(field="waits_for", value=said, expected="attached or ovn")
        return bool(said == "ovn")

    @functools.cached_property
    def _vlans(self) -> dict[str, Any]:
        return {} if self._remains else ovs_vlans.settings_of(self.config, self.vif)

    @functools.cached_property
    def _limits(self) -> dict[str, Any]:
        """What a port of the guest's own is limited to, in the switch's columns and units."""
        if self._remains:
            return {}
        said = limits.limits_of(self.config, self.vif)
        if said.burst_to_guest is not None:
            raise exception.InvalidField(
                field="burst_to_guest",
                value=said.burst_to_guest,
                expected="none: Open vSwitch works it out for itself",
            )
        found: dict[str, Any] = {}
        if said.rate_to_guest is not None:
            found["max_rate"] = said.rate_to_guest
        if said.rate_from_guest is not None:
            burst = said.burst_from_guest or limits.policing_burst(said.rate_from_guest)
            found["ingress_policing_rate"] = said.rate_from_guest // 1000
            found["ingress_policing_burst"] = burst * 8 // 1000
        return found

    def _switch(self, datapath: str) -> OvsBridge:
        return OvsBridge(name=self.bridge, datapath_type=datapath, own=self.is_trunk)

    def _ovs_port(self, name: str, *, bridge: str = "", **fields: Any) -> OvsPort:
        if "external_ids" not in fields:
            fields["external_ids"] = self._ids(self.iface_id)
        fields.setdefault("bound", self._is_ovns and "iface-id" in fields["external_ids"])
        fields.setdefault("settings", self._vlans)
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
            multi_queue=optional(self.profile, "multiqueue"),
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
        resources += self._kept(self._name if create_tap else "")
        if own_bridge:
            # The network's agents look at the patch port, so this one carries no ids.
            own = gen_port_name("pb", self.vif.id)
            # Nor is it in a VLAN: what joins it to the shared bridge is.
            device.update(external_ids={}, settings=self._limits, isolate=False, bridge=own)
            resources += [*self._own_bridge(), self._ovs_port(self._name, **device)]
        elif create_port:
            settings = {**self._vlans, **self._limits}
            resources.append(self._ovs_port(self._name, settings=settings, **device))
        return resources

    def guest_end(self) -> End:
        """Return what the guest is connected to, where no tap is made for it."""
        from os_vif.guest.card import Function, HypervisorTap, VhostUser

        vif = self.vif
        if isinstance(vif, objects.vif.VIFVHostUser):
            return VhostUser(
                path=required(vif, "path"), mode=str(required(vif, "mode")), mtu=self.mtu
            )
        if isinstance(vif, objects.vif.VIFHostDevice):
            return Function(
                address=self._function,
                managed=True,
                ethernet=optional(vif, "dev_type", "ethernet") == "ethernet",
            )
        if isinstance(vif, objects.vif.VIFBridge):
            bridge = str(required(vif, "bridge_name"))
            return HypervisorTap(device=self._name, bridge=bridge, mtu=self.mtu)
        if self.config.per_port_bridge or optional(self.profile, "create_port", False):
            # The port is there by this name, and waits for the tap.
            return HypervisorTap(device=self._name, mtu=self.mtu)
        return HypervisorTap(
            device=self._name,
            bridge=self.bridge,
            interface_id=self.iface_id,
            profile_id=str(optional(self.profile, "profile_id", "")),
            mtu=self.mtu,
        )

    def _kept(self, tap: str = "") -> list[Resource]:
        """Return what keeps the guest to its addresses, at a tap that is made here."""
        if tap:
            return anti_spoofing.on_device(self.config, self.vif, tap, switch=self.bridge)
        expected = "none, but for a tap that is made here (create_tap): only there it is seen to"
        if not self._remains:
            anti_spoofing.need_none(self.config, self.vif, expected)
        return []

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
                settings={},
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
            *self._kept(),
            Bridge(name=bridge_name, own=True, ageing_time=0),
            Veth(name=near, peer=far, mtu=self.mtu, bridge=bridge_name),
            self._switch(self.datapath),
            self._ovs_port(far, settings={**self._vlans, **self._limits}),
        ]

    def vhost_user(self, vif: VIFVHostUser) -> list[Resource]:
        """Return the port whose socket the guest's virtio device is behind."""
        mode = required(vif, "mode")
        self._kept()
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
        self._kept()
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
            if isinstance(
                holder,
                objects.vif.DatapathOffloadRepresentor | objects.vif.VIFPortProfileOVSRepresentor,
            ):
                return str(optional(holder, "representor_name", ""))
        return ""

    def everything(self) -> list[Resource]:
        """Return all that any mode makes, so that unplug finds it whatever was configured."""
        hybrid_name = gen_port_name("qbr", self.vif.id)
        if isinstance(self.vif, objects.vif.VIFBridge):
            hybrid_name = optional(self.vif, "bridge_name", hybrid_name)
        resources = self.hybrid(hybrid_name)
        if isinstance(self.vif, objects.vif.VIFHostDevice):
            return [*resources, *self._any_representor()]
        if isinstance(self.vif, objects.vif.VIFVHostUser):
            # By the socket's place it is known, should its ids be gone.
            path = {"vhost-server-path": str(optional(self.vif, "path", ""))}
            return [*resources, self._ovs_port(self._vhost_user_name, options=path)]
        resources += self._own_bridge()
        if optional(self.vif, "vif_name"):
            tap = self._tap()
            if isinstance(self.vif, objects.vif.VIFBridge):
                tap = dataclasses.replace(tap, adopt=False)  # the hypervisor's, which may yet run
            resources.append(dataclasses.replace(tap, spared_in=hybrid_name))
            resources += anti_spoofing.remains(self.config, self.vif, self._name)
            if not optional(self.profile, "create_tap", False):
                resources.append(VethEnd(name=self._name))
            resources.append(self._ovs_port(self._name))
        return resources
