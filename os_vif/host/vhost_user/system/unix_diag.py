# SPDX-License-Identifier: Apache-2.0
"""Whether what listens at a path still is what has its name: sockets, asked of the kernel.

Sources: sock_diag(7), linux/unix_diag.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from os_vif.system import netlink, sock_diag

_LISTENING = 1 << 10  # TCP_LISTEN of linux/tcp_states.h
_SHOW_NAME, _SHOW_VFS = 0x1, 0x2
_NAME, _VFS = 0, 1

_ASKED = struct.Struct("=BBHIII8x")
_FOUND = struct.Struct("=BBBBI8x")
_FILE = struct.Struct("=II")


def is_taken(path: str, bound: str) -> bool:
    """Tell whether a socket that listens has lost its place to another file.

    Only sockets of this thread's network namespace are seen. Where nothing is there it is not
    taken.

    :param path: its place
    :param bound: the name it was bound to
    :raises OSError: the kernel cannot tell (ENOENT: it lacks unix_diag).
    """
    try:
        there = os.lstat(path).st_ino
    except OSError:
        return False
    return any(inode != there & 0xFFFFFFFF for inode in listening_at(bound))


def listening_at(bound: str) -> set[int]:
    """Return the files' inodes of the sockets that listen and were bound to a name.

    The kernel shows the lower 32 bits.  Only sockets of this thread's network namespace are seen.

    :raises OSError: the kernel cannot tell (ENOENT: it lacks unix_diag).
    """
    return {inode for name, inode in _listening() if name == os.fsencode(bound)}


def _listening() -> Iterator[tuple[bytes, int]]:
    """Yield the name and the file's inode of each listening socket that has one."""
    asked = _ASKED.pack(socket.AF_UNIX, 0, 0, _LISTENING, 0, _SHOW_NAME | _SHOW_VFS)
    for found in sock_diag.dump(asked):
        held = netlink.pick(found, (_NAME, _VFS), _FOUND.size)
        if _NAME in held and _VFS in held:
            yield held[_NAME].rstrip(b"\0"), _FILE.unpack_from(held[_VFS])[0]
