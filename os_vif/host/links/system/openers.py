# SPDX-License-Identifier: Apache-2.0
"""Which programs have a tap or macvtap open: a guest that runs has.

Sources: proc(5); drivers/net/tun.c, whose descriptors tell their device in fdinfo ("iff:").
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from os_vif.host.links.questions import Link
from os_vif.host.links.system import chardev
from os_vif.system import netlink, processes

_TUN = os.makedev(10, 200)
"""/dev/net/tun (Documentation/admin-guide/devices.txt)."""


def open_of(links: Sequence[Link]) -> Iterator[tuple[str, str]]:
    """Yield the names of those that are open, each with its process; '' for one not to be seen.

    The kernel tells who has a macvtap open only by the programs, and this user sees those that it
    may look into.
    """
    taps = {it.name for it in links if it.kind == "tap" and it.attributes.get("queues")}
    nodes: dict[int, str] = {}
    for link in links:
        if link.kind == "macvtap":
            with contextlib.suppress(OSError):  # it went away
                nodes[chardev.number_of(link)] = link.name
    if not taps and not nodes:
        return
    seen = set()
    for name, process in _holders(taps, nodes):
        seen.add(name)
        yield name, process
    for name in sorted(taps - seen):
        yield name, ""


def _holders(taps: set[str], nodes: dict[int, str]) -> Iterator[tuple[str, str]]:
    """Yield the device and the process, once for each two."""
    here = netlink.namespace()
    for pid in processes.ids():
        names: set[str] = set()
        # One that ends meanwhile has nothing open, and others may not be looked into.
        with contextlib.suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    names |= _opened(f"/proc/{pid}", number, taps, nodes)
            taken = names & taps
            # Elsewhere a tap of this name is another one.
            if taken and os.readlink(f"/proc/{pid}/ns/net") != here:
                names -= taken
        if names:
            process = processes.called(pid)
            yield from ((name, process) for name in sorted(names))


def _opened(folder: str, number: str, taps: set[str], nodes: dict[int, str]) -> set[str]:
    device = os.stat(f"{folder}/fd/{number}").st_rdev
    if device in nodes:
        return {nodes[device]}
    if device != _TUN or not taps:
        return set()
    with open(f"{folder}/fdinfo/{number}", errors="replace") as info:
        return {line[4:].strip() for line in info if line.startswith("iff:")} & taps
