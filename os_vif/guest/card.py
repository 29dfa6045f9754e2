# SPDX-License-Identifier: Apache-2.0
"""What plugging a VIF makes known of its guest's card, and the ends that a guest can be given.

A plugin says which end (:meth:`os_vif.plugin.PluginBase.describe_guest_end`), so the pages of the
hypervisors know no plugin.  An end checks its own fields, as resources do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from os_vif import exception
from os_vif.engine.checks import (
    interface_name,
    mac_address,
    mtu_bytes,
    pci_address,
    socket_path,
    vlan_tag,
)
from os_vif.host.links import resources as links
from os_vif.plugin import optional, required

if TYPE_CHECKING:
    from os_vif.engine.topology import Topology
    from os_vif.objects.network import Network
    from os_vif.objects.vif import VIFBase, VIFPortProfileBase

LIBVIRT, QEMU, QMP = "libvirt", "qemu", "qmp"
CLOUD_HYPERVISOR, FIRECRACKER, KATA = "cloud-hypervisor", "firecracker", "kata"

NAMES: Mapping[str, str] = {
    LIBVIRT: "libvirt",
    QEMU: "QEMU",
    QMP: "QEMU by QMP",
    CLOUD_HYPERVISOR: "Cloud Hypervisor",
    FIRECRACKER: "Firecracker",
    KATA: "Kata Containers",
}
"""The hypervisors that are known here, and how people call them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What the guest's card is connected to.

    :ivar mtu: bytes of the way to the network; None where it is not known.
    :cvar what: for people, as in "a tap".
    :cvar taken_by: the hypervisors that can be given it, of :data:`NAMES`.
    :cvar hint: why others cannot, where that has one reason.
    :cvar descriptors: whether it can be opened (:func:`os_vif.open_guest_end`).
    :cvar has_mac: whether its guest has a MAC address that a hypervisor is told.
    """

    mtu: int | None = None

    what: ClassVar[str]
    taken_by: ClassVar[tuple[str, ...]] = ()
    hint: ClassVar[str] = ""
    descriptors: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.mtu is not None:
            mtu_bytes(self.mtu, "network.mtu")

    @property
    def has_mac(self) -> bool:
        """Whether the guest has a MAC address that a hypervisor is told."""
        return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tap(End):
    """A tap that is there when the hypervisor starts, which opens it or is given descriptors.

    :ivar device: its name.
    :ivar multi_queue: whether it is opened once per queue.
    """

    device: str
    multi_queue: bool = False

    what = "a tap"
    taken_by = tuple(NAMES)
    descriptors = True

    def __post_init__(self) -> None:
        End.__post_init__(self)
        interface_name(self.device, "vif_name")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HypervisorTap(End):
    """A tap that the hypervisor makes.

    :ivar device: the name it is to have.
    :ivar bridge: what it is to be put into; '' where whoever waits for the name takes it.
    :ivar interface_id: the logical port, where the bridge is Open vSwitch's; '' where it is Linux'.
    :ivar profile_id: Open vSwitch's ``port-profile``; '' for none.
    """

    device: str
    bridge: str = ""
    interface_id: str = ""
    profile_id: str = ""

    what = "a tap of the hypervisor's own"
    taken_by = (LIBVIRT,)
    hint = "its tap is the hypervisor's to make; with create_tap it is made when it is plugged"

    def __post_init__(self) -> None:
        End.__post_init__(self)
        interface_name(self.device, "vif_name")
        if self.bridge:
            interface_name(self.bridge, "bridge_name")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HypervisorMacvtap(End):
    """A macvtap that libvirt makes, in the place of one that is plugged.

    :ivar lower: the device to share; '' where only its PCI address is known.
    :ivar mode: ``vepa``, ``bridge`` or ``passthrough``.
    :ivar profile: parameters of ``<virtualport>`` by libvirt's names, and its ``type``; empty for
        none.
    """

    lower: str
    mode: str
    profile: Mapping[str, str] = dataclasses.field(default_factory=dict)

    what = "a macvtap of libvirt's own"
    taken_by = (LIBVIRT,)
    hint = "no other makes macvtaps"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Macvtap(End):
    """A macvtap that is there when the hypervisor starts; it takes any number of queues.

    :ivar device: its name.
    :ivar instead: what libvirt would make in its place; None where it cannot.
    """

    device: str
    instead: HypervisorMacvtap | None = None

    what = "a macvtap"
    taken_by = (LIBVIRT, QEMU, QMP, CLOUD_HYPERVISOR)
    hint = "a macvtap is had by its descriptor alone, and it takes none"
    descriptors = True

    def __post_init__(self) -> None:
        End.__post_init__(self)
        interface_name(self.device, "vif_name")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VhostUser(End):
    """A vhost-user socket.

    :ivar path: of the socket.
    :ivar mode: the guest's part, as the VIF names it: ``server`` listens, ``client`` connects.
    """

    path: str
    mode: str

    what = "a vhost-user socket"
    taken_by = (LIBVIRT, QEMU, QMP, CLOUD_HYPERVISOR, KATA)
    hint = "it has no vhost-user network card"

    def __post_init__(self) -> None:
        End.__post_init__(self)
        socket_path(self.path, "VIFVHostUser.path")
        if self.mode not in ("client", "server"):
            raise exception.InvalidField(
                field="VIFVHostUser.mode", value=self.mode, expected="client or server"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Function(End):
    """A PCI function that the guest gets whole.

    :ivar address: PCI address.
    :ivar managed: whether the hypervisor is to take it from its driver and give it back.
    :ivar ethernet: whether it is a network card with a MAC address; else any device.
    :ivar vlan: of a virtual function, 1 to 4094; None for none.  libvirt has to be told: it takes
        away the one that it finds (virNetDevSetNetConfig).
    """

    address: str
    managed: bool
    ethernet: bool
    vlan: int | None = None

    what = "a PCI function"
    taken_by = (LIBVIRT, QEMU, QMP, CLOUD_HYPERVISOR, KATA)
    hint = "it gives no PCI device to a guest"

    def __post_init__(self) -> None:
        End.__post_init__(self)
        pci_address(self.address)
        if self.vlan is not None:
            vlan_tag(self.vlan, "network.vlan")

    @property
    def has_mac(self) -> bool:
        """Whether it is a network card."""
        return self.ethernet


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Nested(End):
    """A device that is inside a guest already."""

    what = "a device inside a guest"
    hint = "it is for a container there, and no hypervisor has to do with it"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Another(End):
    """What a third party's plugin connects a guest to, and is not among the others.

    :ivar name: for people, as in "a vDPA device".
    :ivar told_by: by a hypervisor's name, what tells it: given the card, the options and the
        descriptors (none, but for ``qemu`` and ``cloud-hypervisor``), it returns what that
        hypervisor's page returns.
    """

    name: str
    told_by: Mapping[str, Callable[[Card, Any, Any], Any]] = dataclasses.field(default_factory=dict)

    what = "something of a third party's"
    hint = "its plugin has no words for it"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A guest's network card, as far as plugging the VIF makes it known.

    :ivar vif_id: the VIF's id.
    :ivar vif_class: the name of the VIF's class.
    :ivar mac: the guest's address, never the tap's; None where the VIF has none.
    :ivar end: what it is connected to.
    :ivar addresses: the guest's, with prefix length.
    :ivar routes: the guest's: destination ('' for all others) and gateway.
    """

    vif_id: str
    vif_class: str
    mac: str | None
    end: End
    addresses: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()

    @property
    def mtu(self) -> int | None:
        """Bytes that the guest can be told; None where they are not known."""
        return self.end.mtu


def card_of(vif: VIFBase, end: End) -> Card:
    """Return the card of a VIF that is connected so.

    :raises InvalidField: the VIF's address is none
    """
    vif_class = str(vif.obj_name())
    mac = optional(vif, "address")
    network = optional(vif, "network")
    addresses, routes = _layer_3(network) if network is not None else ((), ())
    return Card(
        vif_id=str(vif.id),
        vif_class=vif_class,
        mac=None if mac is None else mac_address(mac, f"{vif_class}.address"),
        end=end,
        addresses=addresses,
        routes=routes,
    )


def end_of(topology: Topology) -> End | None:
    """Return the end that a topology shows by itself, its tap or macvtap; None for none."""
    for resource in topology.resources:
        if isinstance(resource, links.Tap):
            return Tap(
                device=resource.name, mtu=resource.mtu, multi_queue=bool(resource.multi_queue)
            )
        if isinstance(resource, links.Macvtap):
            return Macvtap(device=resource.name, mtu=resource.mtu)
    return None


def hypervisor_macvtap(vif: VIFBase) -> HypervisorMacvtap:
    """Return the macvtap that libvirt would make for a VIFDirect.

    :raises InvalidField: a value of the VIF cannot be used
    """
    network = optional(vif, "network")
    lower = str(optional(network, "bridge_interface", "")) if network is not None else ""
    mode = str(required(vif, "mode"))
    if mode not in ("vepa", "bridge", "passthrough"):
        raise exception.InvalidField(
            field="VIFDirect.mode", value=mode, expected="vepa, bridge, passthrough"
        )
    return HypervisorMacvtap(
        lower=interface_name(lower, "network.bridge_interface") if lower else "",
        mode=mode,
        profile=_virtual_port(optional(vif, "port_profile")),
    )


def _virtual_port(profile: VIFPortProfileBase | None) -> dict[str, str]:
    """Return a profile by libvirt's names (formatdomain, "Direct attachment to physical")."""
    names = {
        "VIFPortProfile8021Qbg": (
            "802.1Qbg",
            {
                "managerid": "manager_id",
                "typeid": "type_id",
                "typeidversion": "type_id_version",
                "instanceid": "instance_id",
            },
        ),
        "VIFPortProfile8021Qbh": ("802.1Qbh", {"profileid": "profile_id"}),
    }
    found = names.get(str(profile.obj_name())) if profile is not None else None
    if profile is None or found is None:
        return {}
    kind, fields = found
    return {
        "type": kind,
        **{name: str(required(profile, field)) for name, field in fields.items()},
    }


def _layer_3(network: Network) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Return the guest's addresses and routes, as far as the network's subnets say."""
    addresses: list[str] = []
    routes: list[tuple[str, str]] = []
    for subnet in optional(network, "subnets", ()):
        cidr, gateway = optional(subnet, "cidr"), optional(subnet, "gateway")
        if cidr is not None:
            length = cidr.prefixlen
            addresses += [f"{it.address}/{length}" for it in optional(subnet, "ips", ())]
        if gateway is not None:
            routes.append(("", str(gateway)))
        routes += [(str(it.cidr), str(it.gateway)) for it in optional(subnet, "routes", ())]
    return tuple(addresses), tuple(routes)
