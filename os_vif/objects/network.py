# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF012  (oslo.versionedobjects wants plain class attributes)
"""The logical network a VIF belongs to."""

from typing import Any

from os_vif.objects import base
from os_vif.objects.ovo import base as ovo_base
from os_vif.objects.ovo import fields
from os_vif.objects.subnet import SubnetList


@ovo_base.VersionedObjectRegistry.register
class Network(base.VersionedObject):
    """A network, and what the host has to provide for it.

    ``vlan`` is the IEEE 802.1Q VLAN identifier, ``mtu`` is in bytes; both may be None.
    ``bridge_interface`` is the uplink's device name. A new network has no subnets, is not
    multi-host, asks for neither bridge nor VLAN, and has no MTU of its own.

    History: 1.1 brought ``mtu``.
    """

    VERSION = "1.1"

    fields = {
        "id": fields.UUIDField(),
        "bridge": fields.StringField(),
        "label": fields.StringField(),
        "subnets": fields.ObjectField("SubnetList"),
        "multi_host": fields.BooleanField(),
        "should_provide_bridge": fields.BooleanField(),
        "should_provide_vlan": fields.BooleanField(),
        "bridge_interface": fields.StringField(nullable=True),
        "vlan": fields.IntegerField(nullable=True),
        "mtu": fields.IntegerField(nullable=True),
    }

    id: str = base.UNSET
    bridge: str = base.UNSET
    label: str = base.UNSET
    subnets: SubnetList = base.UNSET
    multi_host: bool = base.UNSET
    should_provide_bridge: bool = base.UNSET
    should_provide_vlan: bool = base.UNSET
    bridge_interface: str | None = base.UNSET
    vlan: int | None = base.UNSET
    mtu: int | None = base.UNSET

    def __init__(self, **kwargs: Any) -> None:
        # Set here and not as field defaults: defaults are part of the wire fingerprint.
        kwargs.setdefault("subnets", SubnetList(objects=[]))
        kwargs.setdefault("multi_host", False)
        kwargs.setdefault("should_provide_bridge", False)
        kwargs.setdefault("should_provide_vlan", False)
        kwargs.setdefault("mtu", None)
        super().__init__(**kwargs)

    def obj_make_compatible(self, primitive: dict[str, Any], target_version: str) -> None:
        """Leave out what ``target_version`` did not have."""
        super().obj_make_compatible(primitive, target_version)
        base.drop_newer_fields(primitive, target_version, {"mtu": "1.1"})
