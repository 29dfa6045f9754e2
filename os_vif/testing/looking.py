# SPDX-License-Identifier: Apache-2.0
"""What a host looks like, so that two looks can be compared."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

_OF_A_LINK = ("ifname", "mtu", "address", "master", "link", "ifalias", "group", "altnames")
_NUMBER = re.compile(r"(?<=,device=)[0-9]+\Z")
_MOVING = frozenset({"LOWER_UP", "NO-CARRIER", "RUNNING"})
_FOLLOWING = frozenset({"address", "mtu"})


def _ip(*words: str) -> list[dict[str, Any]]:
    command = ["ip", "-details", "-json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


def _link(link: dict[str, Any]) -> dict[str, Any]:
    info = link.get("linkinfo", {})
    # A bridge follows its ports in what nobody gave it, and counts the seconds of its timers.
    is_bridge = info.get("info_kind") == "bridge"
    shown = {
        key: link[key]
        for key in _OF_A_LINK
        if key in link and not (is_bridge and key in _FOLLOWING)
    }
    if "altnames" in shown:
        # Those of a VIF's devices are numbered, in no order.
        shown["altnames"] = sorted(_NUMBER.sub("", name) for name in shown["altnames"])
    return {
        **shown,
        "flags": sorted(set(link["flags"]) - _MOVING),
        "kind": info.get("info_kind"),
        "data": None if is_bridge else info.get("info_data"),
    }


def snapshot() -> dict[str, Any]:
    """Return the devices, addresses and routes of this network namespace, as ``ip`` shows them.

    Left out is what the kernel alone chooses, and what moves by itself: indices, carriers,
    IPv6 link-local addresses and the routes that come with addresses.

    :raises OSError: there is no ``ip``
    """
    return {
        "links": {link["ifname"]: _link(link) for link in _ip("link", "show")},
        "addresses": sorted(
            (link["ifname"], found["local"], found["prefixlen"])
            for link in _ip("address", "show")
            for found in link.get("addr_info", ())
            if found["scope"] != "link"
        ),
        "routes": sorted(
            (str(route["dst"]), str(route.get("dev")), str(route.get("gateway")))
            for family in ("-4", "-6")
            for route in _ip(family, "route", "show", "table", "main")
            if route.get("protocol") != "kernel"
        ),
    }
