# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF012  (oslo.versionedobjects wants plain class attributes)
"""The guest a VIF belongs to."""

from os_vif.objects import base
from os_vif.objects.ovo import base as ovo_base
from os_vif.objects.ovo import fields


@ovo_base.VersionedObjectRegistry.register
class InstanceInfo(base.VersionedObject):
    """Which guest this is: its UUID, its name on the hypervisor, the project that owns it."""

    VERSION = "1.0"

    fields = {
        "uuid": fields.UUIDField(),
        "name": fields.StringField(),
        "project_id": fields.StringField(),
    }

    uuid: str = base.UNSET
    name: str = base.UNSET
    project_id: str = base.UNSET
