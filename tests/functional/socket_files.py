# SPDX-License-Identifier: Apache-2.0
"""Sockets as files, and being somebody else who meets them."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
from collections.abc import Iterator
from pathlib import Path

NOBODY = pwd.getpwnam("nobody")


@contextlib.contextmanager
def listener(path: Path, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """Hold a socket; its file stays when this ends."""
    with socket.socket(socket.AF_UNIX, kind) as made:
        made.bind(str(path))
        if kind != socket.SOCK_DGRAM:
            made.listen(1)
            made.setblocking(False)
        yield made


def stale(path: Path) -> Path:
    with listener(path):
        pass
    return path


@contextlib.contextmanager
def being(user: pwd.struct_passwd) -> Iterator[None]:
    """Be another user for a while, as far as files are concerned."""
    groups, group = os.getgroups(), os.getegid()
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
