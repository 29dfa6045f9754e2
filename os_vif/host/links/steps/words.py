# SPDX-License-Identifier: Apache-2.0
"""How people say what a device is like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from os_vif.engine import families
from os_vif.engine.step import from_to
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


def _said(key: str, value: Any) -> str:
    return _WORDS[key](value) if key in _WORDS else f"{key} {value}"


def values_of(attributes: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """Return attributes of a device as people say them.

    :param before: what they are now, those that are known
    """
    said = (
        from_to("" if before.get(key) is None else _said(key, before[key]), _said(key, value))
        for key, value in attributes.items()
    )
    return ", ".join(words for words in said if words)


def wrong(key: str, value: Any, before: Any) -> str:
    """Return what is wrong with an attribute of a device, in words.

    :param value: what it should be
    :param before: what it is; None where that is not known
    """
    match key:
        case "up":
            return "is down" if value else "should be down"
        case "master":
            known = isinstance(before, str) and before
            former = f"is a port of {before}, " if known else ""
            return f"{former}should be a port of {value or 'nothing'}"
        case "alias":
            told = families.told_by(value)
            return f"lacks the mark of its owner{f', {told}' if told else ''}"
        case "owner" | "owner_group":
            who = "user" if key == "owner" else "group"
            former = "" if before is None else f"is {who} {before}'s, "
            return f"{former}should be {who} {value}'s"
        case "mtu" | "mac":
            name = key.upper()
        case _:
            name = key
    former = "" if before is None else f"is {_switched(before)}, "
    return f"{name} {former}should be {_switched(value)}"


def _switched(value: Any) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
