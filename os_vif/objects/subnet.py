# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF012  (oslo.versionedobjects wants plain class attributes)
"""The layer-3 side of a network: one subnet, and a list of them."""

import netaddr

from os_vif.objects import base
from os_vif.objects import fields as osv_fields
from os_vif.objects.fixed_ip import FixedIPList
from os_vif.objects.ovo import base as ovo_base
from os_vif.objects.ovo import fields
from os_vif.objects.route import RouteList


@ovo_base.VersionedObjectRegistry.register
class Subnet(base.VersionedObject):
    """One IP subnet: its range, services and routes, and the guest's addresses in it."""

    VERSION = "1.0"

    fields = {
        "cidr": fields.IPNetworkField(),
        "dns": osv_fields.ListOfIPAddressField(),
        "gateway": fields.IPAddressField(),
        "ips": fields.ObjectField("FixedIPList"),
        "routes": fields.ObjectField("RouteList"),
        "dhcp_server": fields.IPAddressField(),
    }

    cidr: netaddr.IPNetwork = base.UNSET
    dns: list[netaddr.IPAddress] = base.UNSET
    gateway: netaddr.IPAddress = base.UNSET
    ips: FixedIPList = base.UNSET
    routes: RouteList = base.UNSET
    dhcp_server: netaddr.IPAddress = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class SubnetList(base.VersionedObject, ovo_base.ObjectListBase[Subnet]):
    """A list of :class:`Subnet`."""

    VERSION = "1.0"

    fields = {"objects": fields.ListOfObjectsField("Subnet")}

    objects: list[Subnet] = base.UNSET
