# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF012  (oslo.versionedobjects wants plain class attributes)
"""The addresses a VIF has on its subnet."""

import netaddr

from os_vif.objects import base
from os_vif.objects import fields as osv_fields
from os_vif.objects.ovo import base as ovo_base
from os_vif.objects.ovo import fields


@ovo_base.VersionedObjectRegistry.register
class FixedIP(base.VersionedObject):
    """One address of the guest, and the floating addresses that lead to it."""

    VERSION = "1.0"

    fields = {
        "address": fields.IPAddressField(),
        "floating_ips": osv_fields.ListOfIPAddressField(),
    }

    address: netaddr.IPAddress = base.UNSET
    floating_ips: list[netaddr.IPAddress] = base.UNSET


@ovo_base.VersionedObjectRegistry.register
class FixedIPList(base.VersionedObject, ovo_base.ObjectListBase[FixedIP]):
    """A list of :class:`FixedIP`."""

    VERSION = "1.0"

    fields = {"objects": fields.ListOfObjectsField("FixedIP")}

    objects: list[FixedIP] = base.UNSET
