# SPDX-License-Identifier: Apache-2.0
"""What all versioned objects of this project share: the namespace and the way back in time."""

from collections.abc import Mapping
from typing import Any, dataclass_transform

from oslo_utils import versionutils

from os_vif.objects.ovo import base as ovo_base

UNSET: Any = None
"""What type checkers take for a field's default: none has to be given, and then it is unset.

Registering a class puts a property in its place.
"""

OLDEST_VERSION = "1.0"
"""The first version of every object; any release of the library on any host understands it."""


@dataclass_transform(kw_only_default=True, eq_default=False)
class VersionedObject(ovo_base.VersionedObject):
    """A versioned object in the ``os_vif`` namespace; type checkers know its constructor."""

    OBJ_PROJECT_NAMESPACE = "os_vif"

    def _obj_relationship_for(
        self, field: str, target_version: str
    ) -> list[tuple[str, str]] | None:
        # A sender that asks for an old version and gives no manifest has not said which versions
        # of the nested objects the receiver knows, and oslo.versionedobjects then refuses unless
        # the class holds a rule for the field. The oldest is the one every receiver knows.
        manifest = getattr(self, "_obj_version_manifest", None)
        if manifest is None and field not in self.obj_relationships:
            return [(OLDEST_VERSION, OLDEST_VERSION)]
        return super()._obj_relationship_for(field, target_version)


class VersionedObjectPrintableMixin:
    """``str()`` gives the whole object as its primitive, nested objects included."""

    def __str__(self: Any) -> str:
        return str(self.obj_to_primitive())


def drop_newer_fields(
    primitive: dict[str, Any], target_version: str, added_in: Mapping[str, str]
) -> None:
    """Remove from ``primitive`` the fields that came after ``target_version``.

    :param primitive: an object's field values as a primitive, changed in place
    :param target_version: the version the receiver understands, as in ``"1.2"``
    :param added_in: field name to the version of the object that brought the field
    """
    target = versionutils.convert_version_to_tuple(target_version)
    for field, version in added_in.items():
        if target < versionutils.convert_version_to_tuple(version):
            primitive.pop(field, None)
