# SPDX-License-Identifier: Apache-2.0
"""Whether the machine had time for us: what is measured beside other work is not worth a page."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sandbox import PREFIX

LOAD = 0.5
"""Load average from which the machine is busy beforehand, per processor."""
OTHERS = 0.1
"""Share of the looks at which somebody else may be running."""
SPREAD = 1.5
"""90th percentile of the floor's plug, over its median: it makes the same few calls each time."""

PATIENCE = 180.0
"""Seconds to wait for the load average to fall: what was just installed is still in it."""
_BETWEEN = 2.0
"""Seconds between two looks: a look reads /proc, and takes some milliseconds of a processor."""

_KTHREADD = 2


@dataclass(slots=True)
class Watch:
    """How busy the machine was.

    :ivar load: load average of a minute, per processor, before anything was measured
    :ivar looks: how often was looked for others that run, meanwhile
    :ivar others: at how many of those looks somebody else ran
    """

    load: float = 0.0
    looks: int = 0
    others: int = 0


def reasons(watch: Watch, spread: float | None) -> list[str]:
    """What speaks against the figures; none if the machine was quiet.

    :param spread: of the floor: 90th percentile over median; None if it was not measured
    """
    found = []
    if watch.load > LOAD:
        found.append(
            f"the load average was {watch.load:.2f} per processor beforehand (up to {LOAD:g})"
        )
    if watch.others > OTHERS * watch.looks:
        found.append(
            f"something else was running at {watch.others} of {watch.looks} looks"
            f" (up to {OTHERS:.0%})"
        )
    if spread is not None and spread > SPREAD:
        found.append(
            f"the floor's slowest tenth took {spread:.2f} times its median (up to {SPREAD:g})"
        )
    return found


def load() -> float:
    """The load average of the last minute, per processor."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def rest(doing: Callable[[str], None]) -> float:
    """Wait until the load average is low, as long as `PATIENCE` allows; what it is then."""
    deadline = time.monotonic() + PATIENCE
    while (now := load()) > LOAD and time.monotonic() < deadline:
        doing(f"load average {now:.2f} per processor: waiting for it to fall")
        time.sleep(1)
    return now


@dataclass(frozen=True, slots=True)
class Process:
    """A process as /proc tells of it.

    :ivar state: R runs or wants to; see proc(5)
    :ivar namespace: the number of its network namespace; 0 if it cannot be seen
    """

    pid: int
    parent: int
    state: str
    namespace: int


def strangers(processes: list[Process], own: int, namespaces: set[int]) -> list[int]:
    """Who runs that is neither ours nor the kernel's.

    :param own: our process; all it started are ours
    :param namespaces: numbers of the network namespaces that are ours, with all in them: a daemon
        is nobody's child
    """
    parents = {each.pid: each.parent for each in processes}

    def ours(pid: int) -> bool:
        while pid not in (own, 0):
            pid = parents.get(pid, 0)
        return pid == own

    return [
        each.pid
        for each in processes
        if each.state == "R"
        and _KTHREADD not in (each.pid, each.parent)
        and each.namespace not in namespaces
        and not ours(each.pid)
    ]


def _processes() -> list[Process]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # One that has ended meanwhile is nobody's trouble.
        with contextlib.suppress(OSError):
            # Behind the name, which may hold anything.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            namespace = 0
            if fields[0] == "R":
                with contextlib.suppress(OSError):
                    namespace = (entry / "ns/net").stat().st_ino
            found.append(Process(int(entry.name), int(fields[1]), fields[0], namespace))
    return found


def _namespaces() -> set[int]:
    found = set()
    for entry in Path("/run/netns").glob(f"{PREFIX}-{os.getpid()}-*"):
        with contextlib.suppress(OSError):
            found.add(entry.stat().st_ino)
    return found


@contextlib.contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Look for others that run, every now and then, until the block ends."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_BETWEEN):
            watch.looks += 1
            watch.others += bool(strangers(_processes(), os.getpid(), _namespaces()))

    looker = threading.Thread(target=look, name="quiet", daemon=True)
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join()
