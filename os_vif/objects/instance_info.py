# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF012  (oslo.versionedobjects wants plain class attributes)
"""The guest a VIF belongs to."""

from oslo_versionedobjects import base as ovo_base
from oslo_versionedobjects import fields

from os_vif.objects import base


@ovo_base.VersionedObjectRegistry.register
class InstanceInfo(base.VersionedObject):
    """Which guest this is: its UUID, its name on the hypervisor, the project that owns it."""

    VERSION = "1.0"

    fields = {
        "uuid": fields.UUIDField(),
        "name": fields.StringField(),
        "project_id": fields.StringField(),
    }

    uuid: str
    name: str
    project_id: str
