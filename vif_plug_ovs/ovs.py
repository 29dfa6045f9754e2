# SPDX-License-Identifier: Apache-2.0
"""The plugin, where callers look for it."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Load the plugin for whoever wants it: the versioned objects come with it."""
    if name == "OvsPlugin":
        from os_vif.plugins.ovs import OvsPlugin

        return OvsPlugin
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
