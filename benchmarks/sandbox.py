# SPDX-License-Identifier: Apache-2.0
"""A private network namespace with the bridge and, beside it, any number of other links.

Namespaces are named after this process and deleted with everything in them, also when the run is
interrupted; those of a run that was killed are removed by the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.port import BRIDGE, MTU, Port

PREFIX = "osvif-bench"
OTHER_KINDS = ("dummy", "ifb", "veth")
"""Cheapest first; the first kind the kernel has is used."""

DAEMON_GRACE = 5.0
"""Seconds a privilege daemon gets to notice that its client is gone."""


def ip(*arguments: str, lines: str | None = None) -> str:
    """Run iproute2's command, and return what it printed.

    :param lines: its standard input
    :raises RuntimeError: it failed; with what it said
    """
    done = subprocess.run(
        ["ip", *arguments], input=lines, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()[:500]}")
    return done.stdout


def remove_leftovers() -> None:
    """Delete the namespaces of runs that were killed: no process of that number lives."""
    for entry in Path("/run/netns").glob(f"{PREFIX}-*"):
        owner = re.match(rf"{PREFIX}-(\d+)-", entry.name)
        if owner and not Path("/proc", owner[1]).exists():
            ip("netns", "delete", entry.name)


def delete_namespaces(*names: str) -> None:
    """Delete those that are there, once their processes have had time to end.

    :raises RuntimeError: some did not; they now run in a namespace without a name
    """
    outlived: list[str] = []
    for name in names:
        if not Path("/run/netns", name).exists():
            continue
        deadline = time.monotonic() + DAEMON_GRACE
        while (pids := ip("netns", "pids", name).split()) and time.monotonic() < deadline:
            time.sleep(0.05)
        outlived += pids
        ip("netns", "delete", name)
    if outlived:
        raise RuntimeError(f"processes {', '.join(outlived)} outlived the benchmark")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM for the second that taking something down takes."""
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class Sandbox:
    """Two namespaces: `host`, where all contenders work, and `guest` for the CNI plugin.

    :ivar others: how many links the host has beside the bridge and what is being plugged
    """

    def __init__(self, others: int) -> None:
        self.others = others
        self.other_kind = ""
        self.host = f"{PREFIX}-{os.getpid()}-{others}"
        self.guest = f"{PREFIX}-{os.getpid()}-{others}-guest"

    def _sysctl(self, key: str, value: str) -> None:
        path = f"/proc/sys/net/{key}"
        ip("netns", "exec", self.host, "sh", "-c", 'echo "$1" > "$0"', path, value)

    def _make(self) -> None:
        ip("netns", "add", self.host)
        ip("netns", "add", self.guest)
        ip("-n", self.host, "link", "set", "lo", "up")
        # The bridge is what a plug would make: nothing to repair for anyone.
        bridge = f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        ip("-n", self.host, *bridge.split())
        self._sysctl(f"ipv6/conf/{BRIDGE}/disable_ipv6", "1")
        self._sysctl(f"ipv4/conf/{BRIDGE}/arp_ignore", "1")
        self._sysctl(f"ipv4/conf/{BRIDGE}/arp_announce", "2")
        ip("-n", self.host, "link", "set", BRIDGE, "mtu", str(MTU), "up")
        if self.others:
            # Quiet links: no address detection running in the background while we measure.
            self._sysctl("ipv6/conf/default/disable_ipv6", "1")
            self._make_others()
            self._sysctl("ipv6/conf/default/disable_ipv6", "0")

    def _make_others(self) -> None:
        for kind in OTHER_KINDS:
            ends = 2 if kind == "veth" else 1
            try:
                ip("-n", self.host, "link", "add", "other0", "type", kind)
            except RuntimeError:
                continue
            names = range(1, self.others // ends)
            lines = [f"link add name other{n} up type {kind}" for n in names]
            ip("-n", self.host, "-batch", "-", lines="\n".join(lines) + "\n")
            self.other_kind = kind
            return
        raise RuntimeError(f"the kernel has none of {', '.join(OTHER_KINDS)}")

    @contextlib.contextmanager
    def open(self) -> Iterator[Sandbox]:
        """Make it, and delete it again whatever happens."""
        try:
            self._make()
            yield self
        finally:
            with uninterrupted():
                delete_namespaces(self.host, self.guest)

    def _links(self, *selection: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            ip("-n", self.host, "-json", "-details", "link", "show", *selection) or "[]"
        )
        return found

    def faults(self, port: Port, *, tap: bool, alias: bool) -> list[str]:
        """What is wrong with a plugged port, as `ip` sees it: a fast wrong answer is no answer.

        :param tap: expect the whole end state; else only some device on the bridge
        :param alias: expect the VIF's id to be found in the device's alias
        """
        ports = {link["ifname"]: link for link in self._links("master", BRIDGE)}
        if not tap:
            up = [link for link in ports.values() if "UP" in link["flags"] and link["mtu"] == MTU]
            return [] if len(up) == 1 else [f"{len(up)} ports on the bridge, not one"]
        link = ports.get(port.name)
        if link is None:
            return [f"{port.name} is not on {BRIDGE}"]
        disabled = ip(
            "netns", "exec", self.host, "cat", f"/proc/sys/net/ipv6/conf/{port.name}/disable_ipv6"
        ).strip()
        data = link["linkinfo"].get("info_data", {})
        wanted: dict[str, tuple[object, object]] = {
            "kind": (link["linkinfo"].get("info_kind"), "tun"),
            "type": (data.get("type"), "tap"),
            "persist": (data.get("persist"), True),
            "address": (link["address"], port.host_mac),
            "mtu": (link["mtu"], MTU),
            "up": ("UP" in link["flags"], True),
            "disable_ipv6": (disabled, "1"),
        }
        if alias:
            wanted["alias"] = (port.vif_id in link.get("ifalias", ""), True)
        return [
            f"{port.name}: {what} is {has}, not {want}"
            for what, (has, want) in wanted.items()
            if has != want
        ]

    def ports_left(self) -> int:
        """How many ports the bridge still has; 0 after every unplug."""
        return len(self._links("master", BRIDGE))
