# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: RUF012  (oslo.versionedobjects wants plain class attributes)
"""What a host can plug: its plugins, their VIF classes and port profiles, and the versions."""

from collections.abc import Collection
from typing import Any

from oslo_utils import versionutils

from os_vif import exception
from os_vif.objects import base
from os_vif.objects.ovo import base as ovo_base
from os_vif.objects.ovo import fields


def _registered_version(
    name: str,
    min_version: str,
    max_version: str,
    unknown: type[exception.ExceptionBase],
    unsupported: type[exception.ExceptionBase],
) -> str:
    """Return the version object ``name`` has in this process, if it lies in the given range."""
    classes = ovo_base.VersionedObjectRegistry.obj_classes().get(name)
    if not classes:
        raise unknown(name=name)
    as_tuple = versionutils.convert_version_to_tuple
    versions = [cls.VERSION for cls in classes]
    for version in versions:
        if as_tuple(min_version) <= as_tuple(version) <= as_tuple(max_version):
            return version
    raise unsupported(
        name=name,
        got_versions=",".join(versions),
        min_version=min_version,
        max_version=max_version,
    )


@ovo_base.VersionedObjectRegistry.register
class HostPortProfileInfo(
    base.VersionedObject,
    ovo_base.ComparableVersionedObject,
    base.VersionedObjectPrintableMixin,
):
    """A port profile class and the versions of it, from min to max inclusive, a plugin takes."""

    VERSION = "1.0"

    fields = {
        "profile_object_name": fields.StringField(),
        "min_version": fields.StringField(),
        "max_version": fields.StringField(),
    }

    profile_object_name: str = base.UNSET
    min_version: str = base.UNSET
    max_version: str = base.UNSET

    def get_common_version(self) -> str:
        """Return the version this process has of the profile, which the host takes as it is.

        :raises NoMatchingPortProfileClass: this process does not know the class
        :raises NoSupportedPortProfileVersion: the host's range does not include our version
        """
        return _registered_version(
            self.profile_object_name,
            self.min_version,
            self.max_version,
            exception.NoMatchingPortProfileClass,
            exception.NoSupportedPortProfileVersion,
        )


@ovo_base.VersionedObjectRegistry.register
class HostVIFInfo(
    base.VersionedObject,
    ovo_base.ComparableVersionedObject,
    base.VersionedObjectPrintableMixin,
):
    """A VIF class, the versions of it, from min to max inclusive, and its port profiles.

    History: 1.1 brought ``supported_port_profiles``.
    """

    VERSION = "1.1"

    fields = {
        "vif_object_name": fields.StringField(),
        "min_version": fields.StringField(),
        "max_version": fields.StringField(),
        "supported_port_profiles": fields.ListOfObjectsField("HostPortProfileInfo"),
    }

    vif_object_name: str = base.UNSET
    min_version: str = base.UNSET
    max_version: str = base.UNSET
    supported_port_profiles: list[HostPortProfileInfo] = base.UNSET

    def obj_make_compatible(self, primitive: dict[str, Any], target_version: str) -> None:
        """Leave out what ``target_version`` did not have."""
        super().obj_make_compatible(primitive, target_version)
        base.drop_newer_fields(primitive, target_version, {"supported_port_profiles": "1.1"})

    def get_common_version(self) -> str:
        """Return the version this process has of the VIF class, which the host takes as it is.

        :raises NoMatchingVIFClass: this process does not know the class
        :raises NoSupportedVIFVersion: the host's range does not include our version
        """
        return _registered_version(
            self.vif_object_name,
            self.min_version,
            self.max_version,
            exception.NoMatchingVIFClass,
            exception.NoSupportedVIFVersion,
        )


@ovo_base.VersionedObjectRegistry.register
class HostPluginInfo(
    base.VersionedObject,
    ovo_base.ComparableVersionedObject,
    base.VersionedObjectPrintableMixin,
):
    """A plugin and the VIF classes it takes."""

    VERSION = "1.0"

    fields = {
        "plugin_name": fields.StringField(),
        "vif_info": fields.ListOfObjectsField("HostVIFInfo"),
    }

    plugin_name: str = base.UNSET
    vif_info: list[HostVIFInfo] = base.UNSET

    def has_vif(self, name: str) -> bool:
        """Whether the plugin takes VIFs of class ``name``."""
        return any(vif.vif_object_name == name for vif in self.vif_info)

    def get_vif(self, name: str) -> HostVIFInfo:
        """Return the description of VIF class ``name``.

        :raises NoMatchingVIFClass: the plugin does not take it
        """
        for vif in self.vif_info:
            if vif.vif_object_name == name:
                return vif
        raise exception.NoMatchingVIFClass(name=name)

    def filter_vif_types(self, permitted_vif_type_names: Collection[str]) -> None:
        """Keep only the VIF classes that are named."""
        self.vif_info = [
            vif for vif in self.vif_info if vif.vif_object_name in permitted_vif_type_names
        ]


@ovo_base.VersionedObjectRegistry.register
class HostInfo(
    base.VersionedObject,
    ovo_base.ComparableVersionedObject,
    base.VersionedObjectPrintableMixin,
):
    """All plugins of a host."""

    VERSION = "1.0"

    fields = {"plugin_info": fields.ListOfObjectsField("HostPluginInfo")}

    plugin_info: list[HostPluginInfo] = base.UNSET

    def has_plugin(self, name: str) -> bool:
        """Whether the host has a plugin of this name."""
        return any(plugin.plugin_name == name for plugin in self.plugin_info)

    def get_plugin(self, name: str) -> HostPluginInfo:
        """Return the description of plugin ``name``.

        :raises NoMatchingPlugin: the host does not have it
        """
        for plugin in self.plugin_info:
            if plugin.plugin_name == name:
                return plugin
        raise exception.NoMatchingPlugin(plugin_name=name)

    def filter_vif_types(self, permitted_vif_type_names: Collection[str]) -> None:
        """Keep only the VIF classes that are named, and the plugins that still have one."""
        for plugin in self.plugin_info:
            plugin.filter_vif_types(permitted_vif_type_names)
        self.plugin_info = [plugin for plugin in self.plugin_info if plugin.vif_info]
