# SPDX-License-Identifier: Apache-2.0
"""Processes that are nobody's child here: which one a number means, and whether it has ended.

A number is another's some time after its process has ended, so one that is kept is kept together
with the time when the process was started; and what is signalled is a descriptor.

Sources: proc(5), pidfd_open(2).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_PAUSE_S = 0.01
_STARTED = 19
"""Place of ``starttime`` in what :func:`state` returns."""


def ids() -> list[int]:
    """Return the numbers of all processes that this one can see."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def words(pid: int) -> list[bytes]:
    """Return the words of a process's command line, and an empty one behind them.

    One that is ending has only that.

    :raises OSError: there is no such process.
    """
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def state(pid: int) -> list[str] | None:
    """Return what /proc/pid/stat says from the state on (its third word); None for nothing."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name, in brackets, may hold anything


def age(its: list[str]) -> float:
    """Return how many seconds ago a process was started, from its :func:`state`."""
    started = int(its[_STARTED]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def started(pid: int) -> int:
    """Return when a process was started, in the kernel's ticks since it booted; 0 for no process.

    One that has ended and that nobody reaps is none.
    """
    its = state(pid)
    return 0 if its is None or _is_over(its) else int(its[_STARTED])


def _is_over(its: list[str]) -> bool:
    # Its first thread ends before others do.
    return its[0] in "ZX" and int(its[17]) <= 1


def has_ended(process: int) -> bool:
    """Tell whether a process closed its files: where nobody reaps it, nothing else goes.

    Its locks go while it still closes others, and poll(2) is not for all of us (detached.py).

    :param process: a descriptor, by which pidfd_open(2) shows its id
    """
    shown = Path(f"/proc/self/fdinfo/{process}").read_text()
    pid = next(int(line[4:]) for line in shown.splitlines() if line.startswith("Pid:"))
    if pid < 0:
        return True
    its = state(pid)
    return its is not None and _is_over(its)


@contextlib.contextmanager
def held(pid: int, is_still: Callable[[], bool]) -> Iterator[int | None]:
    """Provide a descriptor of the process with this number; None if it is another's by now.

    :param is_still: tells, once the descriptor is there, whether the number means the process
    :raises OSError: not allowed.
    """
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # Only now is it certain that the number still meant this process.
        yield process if is_still() else None
    finally:
        os.close(process)


def tell(process: int, number: signal.Signals) -> None:
    """Send a signal to a process, unless it has ended meanwhile; raises OSError: not allowed."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)


def until(what: Callable[[], bool], seconds: float) -> bool:
    """Wait until something is so; tell whether it came to be."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True


def called(pid: int) -> str:
    """Return the name and the id of a process, as in ``qemu-system-x86 (pid 4711)``."""
    try:
        with open(f"/proc/{pid}/comm", errors="replace") as file:
            return f"{file.read().rstrip()} (pid {pid})"
    except OSError:
        return f"pid {pid}"
