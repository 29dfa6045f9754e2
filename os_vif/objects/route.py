# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF012  (oslo.versionedobjects wants plain class attributes)
"""The routes a subnet gives its guests."""

import netaddr

from os_vif.objects import base
from os_vif.objects.ovo import base as ovo_base
from os_vif.objects.ovo import fields


@ovo_base.VersionedObjectRegistry.register
class Route(base.VersionedObject):
    """One route: where to, by which gateway, out of which interface."""

    VERSION = "1.0"

    fields = {
        "cidr": fields.IPNetworkField(),
        "gateway": fields.IPAddressField(),
        "interface": fields.StringField(),
    }

    cidr: netaddr.IPNetwork = base.UNSET
    gateway: netaddr.IPAddress = base.UNSET
    interface: str = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class RouteList(base.VersionedObject, ovo_base.ObjectListBase[Route]):
    """A list of :class:`Route`."""

    VERSION = "1.0"

    fields = {"objects": fields.ListOfObjectsField("Route")}

    objects: list[Route] = base.UNSET
