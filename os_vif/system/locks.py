# SPDX-License-Identifier: Apache-2.0
"""One at a time: who changes what is behind a device, in which thread or process of the host.

A lock is a byte of one file that stays for ever: to remove it would need a lock. The kernel takes
it back when its holder ends, however that ends.

Sources: fcntl(2) "Open file description locks", which unlike the others are not the process's but
the opener's: threads exclude each other too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Iterator

from os_vif.system import run_folders

FOLDER = "os-vif"
"""Name of the folder where the file is, its user's alone (:mod:`os_vif.system.run_folders`)."""

_PAUSE_S = 0.01

FLOCK = struct.Struct("@hhqqi4x")
"""struct flock of fcntl(2) on 64-bit machines: type, whence, start, length, pid."""


def namespace() -> int:
    """Return the number of the network namespace: two of them may have devices of one name."""
    return os.stat("/proc/thread-self/ns/net").st_ino


@contextlib.contextmanager
def held(device: str, seconds: float) -> Iterator[None]:
    """Keep others from what is behind a device of this thread's network namespace.

    Who holds it must not ask for it again.

    :param seconds: to wait for those who were first
    :raises OSError: EBUSY: they take longer; or the file cannot be used.
    """
    byte = _byte(f"{namespace()}/{device}")
    deadline = time.monotonic() + seconds
    file = _open()
    try:
        while not _taken(file, byte):
            if time.monotonic() > deadline:
                raise OSError(
                    errno.EBUSY, f"another process is busy with {device} for {seconds:g} s already"
                )
            time.sleep(_PAUSE_S)
        try:
            yield
        finally:
            # A process that was forked meanwhile has it open too.
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, _lock(fcntl.F_UNLCK, byte))
    finally:
        os.close(file)


def _byte(name: str) -> int:
    """Return a name's own place in the file, one of 2**62: others share it by mishap only."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 2


def _open() -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with run_folders.made(FOLDER) as folder:
        return os.open("lock", flags, 0o600, dir_fd=folder)


def _lock(kind: int, byte: int) -> bytes:
    return FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0)


def _taken(file: int, byte: int) -> bool:
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK, byte))
    except (BlockingIOError, PermissionError):  # either may say that another has it
        return False
    return True
