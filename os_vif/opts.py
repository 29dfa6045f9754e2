# SPDX-License-Identifier: Apache-2.0
"""The library's options, for oslo.config's sample generator (entry points ``oslo.config.opts``)."""

import copy
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import os_vif

if TYPE_CHECKING:
    from oslo_config import cfg

    from os_vif.plugin import PluginBase

plugins_list: "list[tuple[str, PluginBase]]" = []
"""The loaded plugins with their names, by name; :func:`os_vif.initialize` fills it."""

BESIDE: Mapping[str, str] = {
    "os_vif_dnsmasq": "os_vif.host.dnsmasq.options:OPTS",
    "os_vif_ovn": "os_vif.network.reaching:CONFIG_OPTS",
}
"""Groups that are no plugin's: by name, the module and the name of its options there, with a colon
between."""


def group(name: str) -> "Sequence[cfg.Opt]":
    """Return the options of a group that is no plugin's, and have the configuration know them.

    :raises KeyError: there is none of this name
    """
    module, _colon, options = BESIDE[name].partition(":")
    found: Sequence[cfg.Opt] = getattr(importlib.import_module(module), options)
    from os_vif import plugin

    plugin.CONF.register_opts(found, name)
    return found


def names() -> list[str]:
    """Return the names of all groups."""
    return [*(f"os_vif_{name}" for name, _plugin in plugins_list), *BESIDE]


def options_of(name: str) -> "Sequence[cfg.Opt]":
    """Return the options of a group.

    :raises KeyError: there is none of this name
    """
    for plugin, loaded in plugins_list:
        if name == f"os_vif_{plugin}":
            return loaded.CONFIG_OPTS
    return group(name)


def list_plugins_opts() -> "list[tuple[str, list[cfg.Opt]]]":
    """Return every loaded plugin's option group with copies of its options."""
    os_vif.initialize()
    return [(f"os_vif_{name}", copy.deepcopy(plugin.CONFIG_OPTS)) for name, plugin in plugins_list]


def list_other_opts() -> "list[tuple[str, list[cfg.Opt]]]":
    """Return the groups that are no plugin's, with copies of their options."""
    return [(name, copy.deepcopy(list(group(name)))) for name in BESIDE]
