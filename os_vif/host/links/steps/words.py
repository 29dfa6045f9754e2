# SPDX-License-Identifier: Apache-2.0
"""How people say what a device is like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from os_vif.host.links.questions import is_mark


def said_mode(mode: Any) -> str:
    """Return a macvtap's mode as people say it."""
    return {"passthru": "passthrough"}.get(mode, str(mode))


_WORDS: Mapping[str, Callable[[Any], str]] = {
    "mtu": lambda value: f"MTU {value}",
    "mac": lambda value: f"MAC {value}",
    "up": lambda value: "up" if value else "down",
    "master": lambda value: f"port of {value or 'no bridge'}",
    "link": lambda value: f"on {value}",
    "vlan_id": lambda value: f"VLAN {value}",
    "mode": lambda value: f"{said_mode(value)} mode",
    "multi_queue": lambda value: "multi-queue" if value else "",
    "allmulticast": lambda value: "all multicast" if value else "no multicast unasked for",
    "owner": lambda value: "" if value is None else f"of user {value}",
    "owner_group": lambda value: "" if value is None else f"of group {value}",
    "disable_ipv6": lambda value: "IPv6 off" if value else "IPv6 on",
    "alias": lambda value: "the VIF's mark" if is_mark(value) else f'alias "{value}"',
    "group": lambda value: f"group {value}" if value else "",
}
"""How people say an attribute; those not here are said as ip-link(8) and sysctl name them."""


def values_of(attributes: Mapping[str, Any]) -> str:
    """Return attributes of a device as people say them."""
    said = (
        _WORDS[key](value) if key in _WORDS else f"{key} {value}"
        for key, value in attributes.items()
    )
    return ", ".join(words for words in said if words)
