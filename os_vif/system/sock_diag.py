# SPDX-License-Identifier: Apache-2.0
"""Sockets of this thread's network namespace, asked of the kernel.

Sources: sock_diag(7), linux/netlink.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3

_HEADER = struct.Struct("=IHHII")
_ROOM = 1 << 16
_ANSWER_S = 2.0


def dump(asked: bytes) -> Iterator[bytes]:
    """Yield what the kernel says of each socket of a kind.

    :param asked: which, in the kind's own message
    :raises OSError: the kernel cannot tell (ENOENT: it lacks the module).
    """
    header = _HEADER.pack(
        _HEADER.size + len(asked), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0
    )
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
                yield body
