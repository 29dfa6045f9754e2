# SPDX-License-Identifier: Apache-2.0
"""Whether what listens at a path still is what has its name: sockets, asked of the kernel.

Sources: sock_diag(7), linux/unix_diag.h, linux/netlink.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from os_vif.system import netlink

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_LISTENING = 1 << 10  # TCP_LISTEN of linux/tcp_states.h
_SHOW_NAME, _SHOW_VFS = 0x1, 0x2
_NAME, _VFS = 0, 1

_HEADER = struct.Struct("=IHHII")
_ASKED = struct.Struct("=BBHIII8x")
_FOUND = struct.Struct("=BBBBI8x")
_FILE = struct.Struct("=II")
_ROOM = 1 << 16
_ANSWER_S = 2.0


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
    size = _HEADER.size + len(asked)
    header = _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as channel:
        channel.settimeout(_ANSWER_S)
        channel.send(header + asked)
        while True:
            answer = memoryview(channel.recv(_ROOM))
            while len(answer) >= _HEADER.size:
                size, kind, _flags, _number, _port = _HEADER.unpack_from(answer)
                body, answer = bytes(answer[_HEADER.size : size]), answer[(size + 3) & ~3 :]
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    raise OSError(code, os.strerror(code))
                held = netlink.pick(body, (_NAME, _VFS), _FOUND.size)
                if _NAME in held and _VFS in held:
                    yield held[_NAME].rstrip(b"\0"), _FILE.unpack_from(held[_VFS])[0]
