# SPDX-License-Identifier: Apache-2.0
"""What dpdk-testpmd is told on its command line, and what it says when it fails.

Sources: DPDK's "EAL parameters" and its "Testpmd Application User Guide"; its guides to the drivers
net_tap and net_vhost.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

SOCKET = {"net_vhost0": True, "net_vhost1": False}
"""DPDK's name of the side of the socket, its first port: it says whether that listens.

What telemetry repeats of a word ends after 127 bytes. So the path, of 107 at most, comes next, and
the rest is not needed.
"""
TAP = "net_tap0"
"""The other side, its second port."""

_BUFFERS = 2048
"""Packet buffers for each queue; a tap's queue holds 512 of them."""
_MEMORY, _QUEUE_MEMORY = 32, 8
"""Megabytes that DPDK needs, and for each pair of queues; it was seen to start with 16 and 8."""

_FORBIDDEN = ("--in-memory", "--no-shconf", "--no-telemetry", "--file-prefix")
_NO_HUGE, _HUGE_UNLINK = "--no-huge", "--huge-unlink"

_COMPLAINT = re.compile(
    r"fail|error|cannot|can't|could not|unable|invalid|denied|no such|not found|not permitted"
    r"|another primary|refused|frame size|in use|must |killed|unavailable|unrecognized|unknown",
    re.IGNORECASE,
)
# What net_tap says on every host that lacks sch_multiq, and what is said of each exit.
_NOISE = re.compile(r"qdisc|rte flow|exiting with code|cleanup|Unregistering|reconnect")
_USAGE = re.compile(r"Usage:|EAL .*options|--|\s+(?!\s|Cause:|EAL:)")
"""Lines of the pages on its options, with which it answers a wrong one."""


@dataclass(frozen=True)
class Settings:
    """How processes are run, of the configuration that the privileged side has loaded itself."""

    command: tuple[str, ...]
    """May begin with a command that runs another in its place: ``systemd-run --scope --``."""
    memory: int
    """Megabytes for DPDK, at least; it gets more where it has many queues."""
    cores: str
    """The processors to run on, as in ``2-3,8``; '' for those of the starting process."""
    queues: int
    """Pairs of queues; the guest has to use all."""
    eal: tuple[str, ...]
    """Further words for DPDK's Environment Abstraction Layer."""
    socket_owner: str
    """User (name or number) that is to own a socket it listens at; '' leaves root."""
    socket_group: str
    socket_mode: int
    seconds: float
    """How long a start may take; half a second is usual."""


def arguments(
    device: str, path: str, *, listen: bool, mac: str | None, prefix: str, settings: Settings
) -> list[str]:
    """Return its arguments.

    :param prefix: names its runtime folder
    """
    side = next(name for name in SOCKET if SOCKET[name] == listen)
    role = "" if listen else ",client=1"
    keep = f",mac={mac}" if mac else ""
    cores = settings.cores or ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0)))
    return [
        *settings.eal,
        # It is killed in the end, and would leave its pages to nobody. Without any it refuses this.
        *([] if _has(settings.eal, _NO_HUGE, _HUGE_UNLINK) else [_HUGE_UNLINK]),
        f"--file-prefix={prefix}",
        f"-m{max(settings.memory, _MEMORY + _QUEUE_MEMORY * settings.queues)}",
        # A main thread, which sleeps, and one that polls; which processor, the kernel says.
        f"--lcores=(0,1)@({cores})",
        "--vdev",
        f"{side},iface={path},queues={settings.queues}{role}",
        f"--vdev={TAP},iface={device}{keep}",
        "--",
        "--auto-start",
        "--disable-link-check",
        # Every page it maps would stay in memory, whether it needs it or not.
        "--no-mlockall",
        "--forward-mode=io",
        f"--rxq={settings.queues}",
        f"--txq={settings.queues}",
        f"--total-num-mbufs={_BUFFERS * settings.queues}",
    ]


def forbidden(eal: Sequence[str]) -> str:
    """Return the first of some words with which a process could not be found again; '' for none."""
    return next((word for word in eal if _has([word], *_FORBIDDEN)), "")


def _has(eal: Sequence[str], *options: str) -> bool:
    # getopt_long(3) knows them cut short, too.
    given = [word.partition("=")[0] for word in eal]
    return any(
        option.startswith(word)
        for word in given
        for option in options
        if word.startswith("--") and len(word) > 2
    )


def told(words: Sequence[str]) -> tuple[str, bool]:
    """Return the path that a process was told, and whether to listen there; '' for no such word."""
    for word in words:
        name, _, rest = word.partition(",iface=")
        if name in SOCKET:
            return rest.partition(",")[0], SOCKET[name]
    return "", False


def last_words(said: Sequence[str]) -> str:
    """Return the last complaints in some lines, or else the last lines."""
    if any(line.startswith("Usage:") for line in said):
        said = [line for line in said if not _USAGE.match(line)]
    # DPDK says twice what is fatal.
    lines = [" ".join(line.replace("FATAL: ", "").split()) for line in said]
    lines = [line for line in dict.fromkeys(lines) if line and not _NOISE.search(line)]
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    return "; ".join((complaints or lines)[-4:]) or "it said nothing"
