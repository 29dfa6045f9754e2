# SPDX-License-Identifier: Apache-2.0
"""A private network namespace with a network card: one end of a veth, its wire connected."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from benchmarks.port import CARD, MTU, Port
from benchmarks.sandbox import PREFIX, delete_namespaces, ip, uninterrupted


class CardSandbox:
    """The namespace where all contenders work."""

    def __init__(self) -> None:
        self.host = f"{PREFIX}-{os.getpid()}-card"

    @contextlib.contextmanager
    def open(self) -> Iterator[CardSandbox]:
        """Make it, and delete it again whatever happens."""
        try:
            ip("netns", "add", self.host)
            ip("-n", self.host, "link", "set", "lo", "up")
            ip("-n", self.host, *f"link add {CARD} type veth peer name wire".split())
            for name in (CARD, "wire"):
                ip("-n", self.host, "link", "set", name, "up")
            yield self
        finally:
            with uninterrupted():
                delete_namespaces(self.host)

    def macvtaps(self) -> list[dict[str, Any]]:
        """Those there are, as `ip` sees them; none after every unplug."""
        said = ip("-n", self.host, "-json", "-details", "link", "show", "type", "macvtap")
        found: list[dict[str, Any]] = json.loads(said or "[]")
        return found

    def faults(self, port: Port, *, marked: bool) -> list[str]:
        """What is wrong with a plugged port: a fast wrong answer is no answer.

        :param marked: expect the VIF's id in the device's alias, and IPv6 off
        """
        links = {link["ifname"]: link for link in self.macvtaps()}
        link = links.get(port.name)
        if link is None or len(links) != 1:
            return [f"the macvtaps are {', '.join(links) or 'none'}, not {port.name}"]
        wanted: dict[str, tuple[object, object]] = {
            "lower device": (link.get("link"), CARD),
            "mode": (link["linkinfo"]["info_data"].get("mode"), "bridge"),
            "address": (link["address"], port.mac),
            "mtu": (link["mtu"], MTU),
            "up": ("UP" in link["flags"], True),
        }
        if marked:
            sysctl = f"/proc/sys/net/ipv6/conf/{port.name}/disable_ipv6"
            disabled = ip("netns", "exec", self.host, "cat", sysctl).strip()
            wanted["disable_ipv6"] = (disabled, "1")
            wanted["alias"] = (port.vif_id in link.get("ifalias", ""), True)
        return [
            f"{port.name}: {what} is {has}, not {want}"
            for what, (has, want) in wanted.items()
            if has != want
        ]
