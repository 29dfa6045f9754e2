# SPDX-License-Identifier: Apache-2.0
"""The library's options, for oslo.config's sample generator (entry points ``oslo.config.opts``)."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import os_vif

if TYPE_CHECKING:
    from oslo_config import cfg

    from os_vif.plugin import PluginBase

plugins_list: "list[tuple[str, PluginBase]]" = []
"""The loaded plugins with their names, by name; :func:`os_vif.initialize` fills it."""


def _of_families() -> "Mapping[str, Sequence[cfg.Opt]]":
    """Return the groups that are no plugin's: those of families, whoever describes with them."""
    from os_vif.engine import families

    taken = {f"os_vif_{name}" for name, _plugin in plugins_list}
    found: dict[str, Sequence[cfg.Opt]] = {}
    for family in families.all_families():
        for group, options in families.ask(family, lambda it: it.options.items()):
            if group not in taken:
                found.setdefault(group, options)
    return found


def names() -> list[str]:
    """Return the names of all groups."""
    return [*(f"os_vif_{name}" for name, _plugin in plugins_list), *_of_families()]


def options_of(name: str) -> "Sequence[cfg.Opt]":
    """Return the options of a group, which the configuration knows then.

    :raises KeyError: there is none of this name
    """
    for plugin, loaded in plugins_list:
        if name == f"os_vif_{plugin}":
            return loaded.CONFIG_OPTS
    from os_vif import plugin as room

    found = _of_families()[name]
    room.CONF.register_opts(found, name)
    return found


def list_plugins_opts() -> "list[tuple[str, list[cfg.Opt]]]":
    """Return every loaded plugin's option group with copies of its options."""
    os_vif.initialize()
    return [(f"os_vif_{name}", copy.deepcopy(plugin.CONFIG_OPTS)) for name, plugin in plugins_list]


def list_other_opts() -> "list[tuple[str, list[cfg.Opt]]]":
    """Return the groups that are no plugin's, with copies of their options."""
    os_vif.initialize()
    return [(name, copy.deepcopy(list(options))) for name, options in _of_families().items()]
