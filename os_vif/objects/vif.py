# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF012  (oslo.versionedobjects wants plain class attributes)
"""VIFs, one class for each way a guest's interface meets the host, and their port profiles.

Versions only grow, and only by new fields; each class's docstring tells which version brought
what. Field order, types, nullability and defaults are part of the wire format.
"""

from typing import TYPE_CHECKING, Any

from oslo_utils import versionutils

from os_vif.objects import base
from os_vif.objects import fields as osv_fields
from os_vif.objects.network import Network
from os_vif.objects.ovo import base as ovo_base
from os_vif.objects.ovo import fields


@ovo_base.VersionedObjectRegistry.register
class DatapathOffloadBase(base.VersionedObject, ovo_base.ComparableVersionedObject):
    """How the host's network card takes over a port's data path. Subclasses say by what means."""

    VERSION = "1.0"


@ovo_base.VersionedObjectRegistry.register
class DatapathOffloadRepresentor(DatapathOffloadBase):
    """Offload through the representor of a virtual function (switchdev).

    ``representor_name`` asks for the representor to be renamed; ``representor_address`` is the
    PCI address of the virtual function it stands for.
    """

    VERSION = "1.0"

    fields = {
        "representor_name": fields.StringField(nullable=True),
        "representor_address": fields.StringField(nullable=True),
    }

    representor_name: str | None = base.UNSET
    representor_address: str | None = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFPortProfileBase(base.VersionedObject, ovo_base.ComparableVersionedObject):
    """What the host's switch has to be told about a port.

    History: 1.1 brought ``datapath_offload``, in this class and in all that derive from it.
    """

    VERSION = "1.1"

    fields = {
        "datapath_offload": fields.ObjectField(
            "DatapathOffloadBase", nullable=True, subclasses=True
        ),
    }

    obj_relationships = {"datapath_offload": [("1.1", "1.0")]}

    datapath_offload: DatapathOffloadBase | None = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFPortProfileOpenVSwitch(VIFPortProfileBase):
    """A port of Open vSwitch.

    ``interface_id`` is the logical port (``external_ids:iface-id``), ``datapath_type`` is
    "system", "netdev" or None for the host's choice. ``create_port`` and ``create_tap`` ask for
    the port, and the tap behind it, to be made by us; ``multiqueue`` makes that tap multi-queue.

    History: 1.1 brought ``datapath_type``, 1.2 ``datapath_offload``, 1.3 ``create_port``,
    1.4 ``create_tap`` and ``multiqueue``.
    """

    VERSION = "1.4"

    fields = {
        "interface_id": fields.UUIDField(),
        "profile_id": fields.StringField(),
        "datapath_type": fields.StringField(nullable=True),
        "create_port": fields.BooleanField(default=False),
        "create_tap": fields.BooleanField(default=False),
        "multiqueue": fields.BooleanField(default=False),
    }

    interface_id: str = base.UNSET
    profile_id: str = base.UNSET
    datapath_type: str | None = base.UNSET
    create_port: bool = base.UNSET
    create_tap: bool = base.UNSET
    multiqueue: bool = base.UNSET

    def obj_make_compatible(self, primitive: dict[str, Any], target_version: str) -> None:
        """Leave out what ``target_version`` did not have."""
        # What the base class has had since its 1.1, this class has had since 1.2.
        target = versionutils.convert_version_to_tuple(target_version)
        super().obj_make_compatible(primitive, "1.1" if target >= (1, 2) else "1.0")
        base.drop_newer_fields(
            primitive,
            target_version,
            {
                "datapath_type": "1.1",
                "create_port": "1.3",
                "create_tap": "1.4",
                "multiqueue": "1.4",
            },
        )


@ovo_base.VersionedObjectRegistry.register
class VIFPortProfileFPOpenVSwitch(VIFPortProfileOpenVSwitch):
    """A fast-path vhost-user port of Open vSwitch.

    ``hybrid_plug`` puts Linux bridge ``bridge_name`` between guest and switch, for filtering.

    History: as :class:`VIFPortProfileOpenVSwitch`.
    """

    VERSION = "1.4"

    fields = {
        "bridge_name": fields.StringField(),
        "hybrid_plug": fields.BooleanField(default=False),
    }

    bridge_name: str = base.UNSET
    hybrid_plug: bool = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFPortProfileOVSRepresentor(VIFPortProfileOpenVSwitch):
    """A virtual function's representor as a port of Open vSwitch.

    Superseded by a :class:`DatapathOffloadRepresentor` in ``datapath_offload``.

    History: as :class:`VIFPortProfileOpenVSwitch`.
    """

    VERSION = "1.4"

    fields = {
        "representor_name": fields.StringField(nullable=True),
        "representor_address": fields.PCIAddressField(nullable=True),
    }

    representor_name: str | None = base.UNSET
    representor_address: str | None = base.UNSET

    if not TYPE_CHECKING:  # type checkers know the fields by name

        def __init__(self, context: Any = None, **kwargs: Any) -> None:
            import debtcollector  # brings the metadata of all that is installed, and asyncio

            debtcollector.deprecate(
                "Using class 'VIFPortProfileOVSRepresentor' (either directly or via inheritance) "
                "is deprecated",
                message="use VIFPortProfileOpenVSwitch with a DatapathOffloadRepresentor",
                category=PendingDeprecationWarning,
                stacklevel=4,
            )
            super().__init__(context, **kwargs)


@ovo_base.VersionedObjectRegistry.register
class VIFPortProfileFPBridge(VIFPortProfileBase):
    """A fast-path vhost-user port of Linux bridge ``bridge_name``."""

    VERSION = "1.1"

    fields = {"bridge_name": fields.StringField()}

    bridge_name: str = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFPortProfileFPTap(VIFPortProfileBase):
    """A fast-path vhost-user port that is routed, not switched (Calico)."""

    VERSION = "1.1"

    fields = {"mac_address": fields.MACAddressField(nullable=True)}

    mac_address: str | None = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFPortProfile8021Qbg(VIFPortProfileBase):
    """A virtual station interface of IEEE 802.1Qbg (IEEE 802.1Q-2014, clause 41).

    The three numbers and ``instance_id`` are the VSI's manager, type, type version and instance.
    """

    VERSION = "1.1"

    fields = {
        "manager_id": fields.IntegerField(),
        "type_id": fields.IntegerField(),
        "type_id_version": fields.IntegerField(),
        "instance_id": fields.UUIDField(),
    }

    manager_id: int = base.UNSET
    type_id: int = base.UNSET
    type_id_version: int = base.UNSET
    instance_id: str = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFPortProfile8021Qbh(VIFPortProfileBase):
    """A port of an IEEE 802.1Qbh (later 802.1BR) bridge, by the name of the switch's profile."""

    VERSION = "1.1"

    fields = {"profile_id": fields.StringField()}

    profile_id: str = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFPortProfileK8sDPDK(VIFPortProfileBase):
    """A Kubernetes pod's DPDK port.

    ``l3_setup`` says whether addresses and routes are to be configured; ``selflink`` and
    ``resourceversion`` are the pod's own.
    """

    VERSION = "1.1"

    fields = {
        "l3_setup": fields.BooleanField(),
        "selflink": fields.StringField(),
        "resourceversion": fields.StringField(),
    }

    l3_setup: bool
    selflink: str = base.UNSET
    resourceversion: str = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFBase(base.VersionedObject, ovo_base.ComparableVersionedObject):
    """What every VIF has. Callers subclass it for kinds of their own.

    ``address`` is the guest's MAC address; ``plugin`` names the plugin that plugs it.
    ``preserve_on_delete`` tells the hypervisor whether the port outlives the guest;
    ``has_traffic_filtering`` that somebody else already filters its traffic.
    """

    VERSION = "1.0"

    fields = {
        "id": fields.UUIDField(),
        "address": fields.MACAddressField(nullable=True),
        "network": fields.ObjectField("Network", nullable=True),
        "plugin": fields.StringField(),
        "active": fields.BooleanField(default=True),
        "preserve_on_delete": fields.BooleanField(default=False),
        "has_traffic_filtering": fields.BooleanField(default=False),
        "port_profile": fields.ObjectField("VIFPortProfileBase", subclasses=True),
    }

    id: str = base.UNSET
    address: str | None = base.UNSET
    network: Network | None = base.UNSET
    plugin: str = base.UNSET
    active: bool = base.UNSET
    preserve_on_delete: bool = base.UNSET
    has_traffic_filtering: bool = base.UNSET
    port_profile: VIFPortProfileBase = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFGeneric(VIFBase):
    """A tap device named ``vif_name``; how it reaches the network is the plugin's business."""

    VERSION = "1.0"

    fields = {"vif_name": fields.StringField()}

    vif_name: str = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFBridge(VIFBase):
    """A tap device named ``vif_name`` on the Linux bridge ``bridge_name``."""

    VERSION = "1.0"

    fields = {
        "vif_name": fields.StringField(),
        "bridge_name": fields.StringField(),
    }

    vif_name: str = base.UNSET
    bridge_name: str = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFOpenVSwitch(VIFBase):
    """A port named ``vif_name`` of the Open vSwitch bridge ``bridge_name``."""

    VERSION = "1.0"

    fields = {
        "vif_name": fields.StringField(),
        "bridge_name": fields.StringField(),
    }

    vif_name: str = base.UNSET
    bridge_name: str = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFDirect(VIFBase):
    """A share of the physical device at PCI address ``dev_address``: a macvtap, or all of it.

    ``mode`` is one of :class:`~os_vif.objects.fields.VIFDirectMode`; ``vlan_name`` is the VLAN
    device on top of the physical one.
    """

    VERSION = "1.0"

    fields = {
        "vif_name": fields.StringField(),
        "dev_address": fields.PCIAddressField(),
        "mode": osv_fields.VIFDirectModeField(),
        "vlan_name": fields.StringField(),
    }

    vif_name: str = base.UNSET
    dev_address: str = base.UNSET
    mode: str = base.UNSET
    vlan_name: str = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFVHostUser(VIFBase):
    """A vhost-user socket at ``path``, shared with a user-space switch.

    ``mode`` is one of :class:`~os_vif.objects.fields.VIFVHostUserMode`.

    History: 1.1 brought ``vif_name``.
    """

    VERSION = "1.1"

    fields = {
        "vif_name": fields.StringField(),
        "path": fields.StringField(),
        "mode": osv_fields.VIFVHostUserModeField(),
    }

    vif_name: str = base.UNSET
    path: str = base.UNSET
    mode: str = base.UNSET

    def obj_make_compatible(self, primitive: dict[str, Any], target_version: str) -> None:
        """Leave out what ``target_version`` did not have."""
        super().obj_make_compatible(primitive, target_version)
        base.drop_newer_fields(primitive, target_version, {"vif_name": "1.1"})


@ovo_base.VersionedObjectRegistry.register
class VIFHostDevice(VIFBase):
    """The device at PCI address ``dev_address``, passed to the guest whole.

    ``dev_type`` is one of :class:`~os_vif.objects.fields.VIFHostDeviceDevType`.
    """

    VERSION = "1.0"

    fields = {
        "dev_type": osv_fields.VIFHostDeviceDevTypeField(),
        "dev_address": fields.PCIAddressField(),
    }

    dev_type: str = base.UNSET
    dev_address: str = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class VIFNestedDPDK(VIFBase):
    """A DPDK device inside a guest, for a container there: its PCI address and its driver."""

    VERSION = "1.0"

    fields = {
        "pci_address": fields.StringField(),
        "dev_driver": fields.StringField(),
    }

    pci_address: str = base.UNSET
    dev_driver: str = base.UNSET
