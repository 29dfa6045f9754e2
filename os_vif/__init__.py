# SPDX-License-Identifier: Apache-2.0
"""Plug a guest's network interface into its host.

Call :func:`initialize` once per process, then :func:`plug` and :func:`unplug`; or, for many VIFs,
a dry run, a check or a clean-up, the functions of :mod:`os_vif.verbs`, which are here too.
"""

import functools
import importlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from os_vif import exception, objects, opts

if TYPE_CHECKING:
    import logging

    from oslo_log.log import KeywordArgumentAdapter
    from stevedore import extension

    from os_vif.objects.host_info import HostInfo
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase
    from os_vif.plugin import PluginBase
    from os_vif.verbs import (
        check,
        examine,
        gc,
        guest_card,
        list_vifs,
        open_guest_end,
        plan,
        plug_many,
        unplug_many,
        unused_bridges,
    )

    LOG: KeywordArgumentAdapter
    __version__: str

__all__ = [
    "check",
    "examine",
    "gc",
    "guest_card",
    "host_info",
    "initialize",
    "list_vifs",
    "open_guest_end",
    "plan",
    "plug",
    "plug_many",
    "unplug",
    "unplug_many",
    "unused_bridges",
]

_REFUSALS = (
    exception.NoMatchingVIFClass,
    exception.NoSupportedVIFVersion,
    exception.NoMatchingPortProfileClass,
    exception.NoSupportedPortProfileVersion,
)

# Callers' tests set this to None to start afresh: the name is part of the contract.
_EXT_MANAGER: "extension.ExtensionManager[Any] | None" = None

_told: set[str] = set()
"""What has been said of plugins that cannot be loaded: who loads anew need not hear it again."""

if not TYPE_CHECKING:  # there, any name at all would be taken for one of ours

    def __getattr__(name: str) -> Any:
        """Return what is loaded when it is asked for: the command must answer at once."""
        if name == "LOG":
            from oslo_log import log

            return log.getLogger(__name__)
        if name == "__version__":
            from os_vif import installed

            return installed.version()
        if name in ("plugin", "verbs"):
            return importlib.import_module(f"os_vif.{name}")
        if name in __all__:
            return getattr(importlib.import_module("os_vif.verbs"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _log() -> "logging.Logger":
    """Return our logger; operators filter by its name and by the words of its lines."""
    import logging  # not for ``os-vif --help``

    return logging.getLogger(__name__)


def initialize(reset: bool = False) -> None:
    """Register the versioned objects and load every plugin of entry-point group ``os_vif``.

    A plugin that cannot be loaded is logged, once a process, and left out. Of several plugins with
    one name a third party's is taken before ours, because it was installed on purpose; of several
    third parties' the first in the alphabetical order of their ``module:class``. Options of loaded
    plugins are then registered under ``[os_vif_<plugin name>]``.

    :param reset: load the plugins anew, even if they have been loaded before
    """
    if _EXT_MANAGER is not None and not reset:
        return
    objects.register_all()
    _load_plugins()


def _has_others() -> bool:
    """Tell whether a third party's plugin is installed, which may need versioned objects early."""
    from stevedore import named

    manager: named.NamedExtensionManager[Any] = named.NamedExtensionManager("os_vif", names=[])
    return any(not point.value.startswith("os_vif.") for point in manager.list_entry_points())


def _load_plugins() -> None:
    """Load every plugin; ours need no versioned object until there is a VIF."""
    global _EXT_MANAGER  # noqa: PLW0603
    import logging

    from stevedore import extension

    # What cannot be imported, stevedore tells.
    stevedore = logging.getLogger("stevedore.extension")
    stevedore.addFilter(_is_news)
    try:
        manager: extension.ExtensionManager[Any] = extension.ExtensionManager(
            namespace="os_vif", invoke_on_load=False
        )
    finally:
        stevedore.removeFilter(_is_news)
    manager.extensions[:] = _one_per_name(manager.extensions)
    names = []
    for name in manager.names():
        loaded = manager[name]
        try:
            loaded.obj = loaded.plugin.load(name)
        except Exception as error:
            if _first_time(f"{name} {loaded.plugin} {error!r}"):
                _log().exception("Could not load VIF plugin %s (%s)", name, loaded.plugin)
        else:
            _log().debug("Loaded VIF plugin class '%s' with name '%s'", loaded.plugin, name)
            names.append(name)
    _EXT_MANAGER = manager
    _log().info("Loaded VIF plugins: %s", ", ".join(sorted(names)))
    opts.plugins_list[:] = _loaded_plugins()


def plug(vif: "VIFBase", instance_info: "InstanceInfo") -> None:
    """Make the host ready for a guest's interface. Plugging again repairs what has drifted.

    :param vif: what to plug, and by which plugin
    :param instance_info: the guest it belongs to
    :raises LibraryNotInitialized: :func:`initialize` has not been called
    :raises NoMatchingPlugin: no plugin named ``vif.plugin`` is loaded
    :raises NoMatchingVIFClass: the plugin does not take such VIFs; nothing was touched. The same
        goes for NoSupportedVIFVersion, NoMatchingPortProfileClass, NoSupportedPortProfileVersion
    :raises PlugException: the plugin failed; its own error is the cause
    """
    plugin = _plugin_of(vif)
    try:
        _log().debug("Plugging vif %s", vif)
        plugin.plug(vif, instance_info)
    except Exception as err:
        _log().error("Failed to plug vif %(vif)s", {"vif": vif}, exc_info=True)
        if isinstance(err, _REFUSALS):
            raise
        raise exception.PlugException(vif=vif, err=err) from err
    _log().info("Successfully plugged vif %s", vif)


def unplug(vif: "VIFBase", instance_info: "InstanceInfo") -> None:
    """Take away what :func:`plug` made. Nothing left to take away is no error.

    :param vif: what to unplug, and by which plugin
    :param instance_info: the guest it belongs to
    :raises LibraryNotInitialized: :func:`initialize` has not been called
    :raises NoMatchingPlugin: no plugin named ``vif.plugin`` is loaded
    :raises NoMatchingVIFClass: as for :func:`plug`
    :raises UnplugException: the plugin failed; its own error is the cause
    """
    plugin = _plugin_of(vif)
    try:
        _log().debug("Unplugging vif %s", vif)
        plugin.unplug(vif, instance_info)
    except Exception as err:
        _log().error("Failed to unplug vif %(vif)s", {"vif": vif}, exc_info=True)
        if isinstance(err, _REFUSALS):
            raise
        raise exception.UnplugException(vif=vif, err=err) from err
    _log().info("Successfully unplugged vif %s", vif)


def host_info(permitted_vif_type_names: Collection[str] | None = None) -> "HostInfo":
    """Describe the loaded plugins, by name, for the network manager to choose from.

    :param permitted_vif_type_names: VIF class names to keep, None for all; a plugin without any
        of them is left out
    :raises LibraryNotInitialized: :func:`initialize` has not been called
    """
    from os_vif.objects.host_info import HostInfo

    info = HostInfo(plugin_info=[plugin.describe() for _, plugin in _loaded_plugins()])
    if permitted_vif_type_names is not None:
        info.filter_vif_types(permitted_vif_type_names)
    return info


def _loaded_plugins() -> "list[tuple[str, PluginBase]]":
    """Return the loaded plugins with their names, sorted by name."""
    if _EXT_MANAGER is None:
        raise exception.LibraryNotInitialized
    pairs = ((name, _EXT_MANAGER[name].obj) for name in _EXT_MANAGER.names())
    return sorted(((name, obj) for name, obj in pairs if obj is not None), key=lambda pair: pair[0])


def _plugin_of(vif: "VIFBase") -> "PluginBase":
    if _EXT_MANAGER is None:  # said before the VIF is looked at: it may be anything
        raise exception.LibraryNotInitialized
    name = vif.plugin
    try:
        plugin: PluginBase | None = _EXT_MANAGER[name].obj
    except KeyError:
        plugin = None
    if plugin is None:
        raise exception.NoMatchingPlugin(plugin_name=name)
    return plugin


def _is_news(record: Any) -> bool:
    return record.levelname == "DEBUG" or _first_time(record.getMessage())


def _first_time(words: str) -> bool:
    if words in _told:
        return False
    _told.add(words)
    return True


def _one_per_name(
    extensions: "list[extension.Extension[Any]]",
) -> "list[extension.Extension[Any]]":
    chosen: dict[str, extension.Extension[Any]] = {}
    for candidate in sorted(extensions, key=_precedence):
        first = chosen.setdefault(candidate.name, candidate)
        if first.plugin is not candidate.plugin:
            _log().warning(
                "VIF plugin name %s is taken by %s: %s is not loaded",
                candidate.name,
                first.plugin,
                candidate.plugin,
            )
    return list(chosen.values())


def _precedence(candidate: "extension.Extension[Any]") -> tuple[bool, str]:
    plugin = candidate.plugin
    target = f"{plugin.__module__}:{plugin.__qualname__}"
    return target.startswith("os_vif."), target
