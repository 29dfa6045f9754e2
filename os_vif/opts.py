# SPDX-License-Identifier: Apache-2.0
"""The plugins' options, for oslo.config's sample generator (entry point ``oslo.config.opts``)."""

import copy
from typing import TYPE_CHECKING

import os_vif

if TYPE_CHECKING:
    from oslo_config import cfg

    from os_vif.plugin import PluginBase

plugins_list: "list[tuple[str, PluginBase]]" = []
"""The loaded plugins with their names, by name; :func:`os_vif.initialize` fills it."""


def list_plugins_opts() -> "list[tuple[str, list[cfg.Opt]]]":
    """Return every loaded plugin's option group with copies of its options."""
    os_vif.initialize()
    return [(f"os_vif_{name}", copy.deepcopy(plugin.CONFIG_OPTS)) for name, plugin in plugins_list]
