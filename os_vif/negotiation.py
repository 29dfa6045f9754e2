# SPDX-License-Identifier: Apache-2.0
"""Which version of a VIF and of its port profile goes to a host, and whether the host takes it.

Two halves. The network manager holds a host's :class:`~os_vif.objects.host_info.HostInfo` and
asks :func:`negotiate` or, for what to put on the wire, :func:`primitive_for`. The host asks
:func:`check_supported` before it touches anything.
"""

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeAlias

from os_vif import exception

if TYPE_CHECKING:
    from os_vif.objects.host_info import (
        HostInfo,
        HostPluginInfo,
        HostPortProfileInfo,
        HostVIFInfo,
    )
    from os_vif.objects.vif import VIFBase, VIFPortProfileBase

    Described: TypeAlias = VIFBase | VIFPortProfileBase | type[VIFBase] | type[VIFPortProfileBase]

_OLDEST = "1.0"
_NEWEST_NETWORK = "1.1"


@dataclasses.dataclass(frozen=True, slots=True)
class Versions:
    """The versions to send. ``profile`` is None for a VIF without a port profile."""

    vif: str
    profile: str | None
    network: str


def negotiate(host_info: "HostInfo", vif: "VIFBase") -> Versions:
    """Find the newest versions that both this process and the host understand.

    A host that says nothing about port profiles is sent the oldest one. A host that describes
    VIFs by HostVIFInfo 1.0 (os-vif before 1.9) never does, and it may predate Network 1.1
    (os-vif 1.3), so it is sent the oldest network too; every other host knows the newest.

    :raises NoMatchingPlugin: the host does not have the VIF's plugin
    :raises NoMatchingVIFClass: the plugin does not take the VIF's class
    :raises NoSupportedVIFVersion: the plugin takes only versions newer than the VIF's
    :raises NoMatchingPortProfileClass: the plugin does not take the profile's class
    :raises NoSupportedPortProfileVersion: the plugin takes only versions newer than the profile's
    """
    vif_info = host_info.get_plugin(vif.plugin).get_vif(vif.obj_name())
    vif_version = _newest_common(vif, vif_info, exception.NoSupportedVIFVersion)
    profile = _profile_of(vif)
    network_version = _OLDEST if vif_info.VERSION == _OLDEST else _NEWEST_NETWORK
    if profile is None:
        return Versions(vif_version, None, network_version)
    if not vif_info.obj_attr_is_set("supported_port_profiles"):
        return Versions(vif_version, _OLDEST, network_version)
    profile_version = _newest_common(
        profile,
        _profile_info(vif_info, profile),
        exception.NoSupportedPortProfileVersion,
    )
    return Versions(vif_version, profile_version, network_version)


def primitive_for(host_info: "HostInfo", vif: "VIFBase") -> dict[str, Any]:
    """Serialise the VIF as the host can read it: VIF, profile and network each at its version.

    :raises ExceptionBase: as :func:`negotiate`
    """
    from oslo_versionedobjects import base as ovo_base

    versions = negotiate(host_info, vif)
    manifest = ovo_base.obj_tree_get_versions(vif.obj_name())
    manifest["Network"] = versions.network
    if versions.profile is not None:
        # oslo.versionedobjects looks a nested object up by the class the field declares, and
        # applies the version to whatever subclass it finds there.
        manifest["VIFPortProfileBase"] = versions.profile
    return vif.obj_to_primitive(target_version=versions.vif, version_manifest=manifest)


def check_supported(plugin_info: "HostPluginInfo", vif: "VIFBase") -> None:
    """Refuse a VIF that the plugin does not describe; a VIF without a profile passes.

    A class that is derived from a described one is taken for that.

    :param plugin_info: what the plugin's ``describe()`` returns
    :raises NoMatchingVIFClass: the plugin does not take the VIF's class
    :raises NoSupportedVIFVersion: the VIF's version is outside the plugin's range
    :raises NoMatchingPortProfileClass: the plugin does not take the profile's class
    :raises NoSupportedPortProfileVersion: the profile's version is outside the plugin's range
    """
    known = _described(vif, [info.vif_object_name for info in plugin_info.vif_info])
    vif_info = plugin_info.get_vif(known.obj_name())
    _check_range(known, vif_info, exception.NoSupportedVIFVersion)
    profile = _profile_of(vif)
    if profile is not None:
        supported: list[HostPortProfileInfo] = []
        if vif_info.obj_attr_is_set("supported_port_profiles"):
            supported = vif_info.supported_port_profiles
        known = _described(profile, [info.profile_object_name for info in supported])
        _check_range(
            known,
            _profile_info(vif_info, known),
            exception.NoSupportedPortProfileVersion,
        )


def _described(given: "VIFBase | VIFPortProfileBase", names: Collection[str]) -> "Described":
    """Return what was given or, where that is not described, the class it is derived from.

    Whoever derives a class of his own gives it more to say; what it is stays.
    """
    if given.obj_name() not in names:
        for base in type(given).__mro__:
            if hasattr(base, "obj_name") and base.obj_name() in names:
                return base
    return given


def _profile_of(vif: "VIFBase") -> "VIFPortProfileBase | None":
    return vif.port_profile if vif.obj_attr_is_set("port_profile") else None


def _profile_info(vif_info: "HostVIFInfo", profile: "Described") -> "HostPortProfileInfo":
    if vif_info.obj_attr_is_set("supported_port_profiles"):
        for info in vif_info.supported_port_profiles:
            if info.profile_object_name == profile.obj_name():
                return info
    raise exception.NoMatchingPortProfileClass(name=profile.obj_name())


def _newest_common(
    described: "VIFBase | VIFPortProfileBase",
    info: "HostVIFInfo | HostPortProfileInfo",
    unsupported: type[exception.ExceptionBase],
) -> str:
    """Take the newer end of the host's range, or our version where that is older.

    Every minor version between the ends exists: versions are only ever added.
    """
    version = min(described.VERSION, info.max_version, key=_as_numbers)
    if _as_numbers(version) < _as_numbers(info.min_version):
        raise _out_of_range(described, info, unsupported)
    return version


def _check_range(
    described: "Described",
    info: "HostVIFInfo | HostPortProfileInfo",
    unsupported: type[exception.ExceptionBase],
) -> None:
    version = _as_numbers(described.VERSION)
    if not _as_numbers(info.min_version) <= version <= _as_numbers(info.max_version):
        raise _out_of_range(described, info, unsupported)


def _out_of_range(
    described: "Described",
    info: "HostVIFInfo | HostPortProfileInfo",
    unsupported: type[exception.ExceptionBase],
) -> exception.ExceptionBase:
    return unsupported(
        name=described.obj_name(),
        got_versions=described.VERSION,
        min_version=info.min_version,
        max_version=info.max_version,
    )


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
