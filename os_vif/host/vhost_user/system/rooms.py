# SPDX-License-Identifier: Apache-2.0
"""Rooms in folders of other users, in which a process makes its socket while it starts.

The socket has its owner before it gets its path, and only then can anybody else reach it.

Sources: path_resolution(7), unix(7), flock(2), link(2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator

from os_vif.host.vhost_user.system import rights
from os_vif.host.vhost_user.system.vhost_sockets import ASIDE, Kind, give_itself, hold, state_of


@contextlib.contextmanager
def room(folder: int) -> Iterator[int]:
    """Provide a descriptor of a new folder in a folder, in which nobody but this user can write.

    What a process makes there is that process's own, whoever may write around it: he may move the
    room, or give its name to something else, but a descriptor means the room.  It goes in the end,
    with the sockets in it.

    :raises OSError: it cannot be made.
    """
    sweep(folder)
    name, made = _make_room(folder)
    try:
        yield made
    finally:
        _empty(made, only_stale=False)
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=folder)
        os.close(made)


def move_in(path: str, room: int, name: str, folder: int, give: tuple[str, str, int]) -> None:
    """Give a socket in a room to its user, group and with its mode, and then its path.

    :param name: of the socket in the room
    :param folder: a descriptor of the path's folder
    :raises OSError: there is no such socket, or it is not allowed; EADDRINUSE: something is at the
        path by now.
    """
    owner, group, mode = give
    with hold(name, room) as held:
        found = os.fstat(held) if held is not None else None
        if held is None or found is None or not stat.S_ISSOCK(found.st_mode):
            raise OSError(errno.ENOENT, f"the process has made no socket for {path}")
        give_itself(held, found, rights.user_id(owner), rights.group_id(group), mode)
    try:
        os.link(
            name,
            os.path.basename(path),
            src_dir_fd=room,
            dst_dir_fd=folder,
            follow_symlinks=False,
        )
    except FileExistsError:
        raise OSError(errno.EADDRINUSE, f"{path} was made anew meanwhile") from None
    os.unlink(name, dir_fd=room)


def _make_room(folder: int) -> tuple[str, int]:
    for _attempt in range(_ATTEMPTS):
        name = f"{ASIDE}{secrets.token_hex(8)}"
        os.mkdir(name, 0o700, dir_fd=folder)
        made = -1
        try:
            made = os.open(name, _ROOM, dir_fd=folder)
            # For as long as this is held, nobody sweeps it up.
            fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its name may have become another's in between.
            found = os.fstat(made)
            others = stat.S_IRWXG | stat.S_IRWXO
            own = found.st_uid == os.geteuid() and not found.st_mode & others
            if own and found.st_nlink and not os.listdir(made):
                kept, made = made, -1
                return name, kept
        except (FileNotFoundError, BlockingIOError, NotADirectoryError):
            pass  # another was sweeping up, or has put something else there
        finally:
            if made >= 0:
                os.close(made)
    raise OSError(errno.EPERM, "somebody takes away each folder in which the socket is to be made")


_ATTEMPTS = 16


def sweep(folder: int) -> None:
    """Remove the rooms of processes that were killed while they started one."""
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/self/fd/{folder}"):
            if re.fullmatch(rf"{re.escape(ASIDE)}[0-9a-f]{{16}}", name):
                with contextlib.suppress(OSError):
                    _sweep_room(name, folder)


def _sweep_room(name: str, folder: int) -> None:
    left = os.open(name, _ROOM, dir_fd=folder)
    try:
        fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(left).st_uid == os.geteuid():
            # One that was killed closes its files yet.  Another's, which somebody has given such a
            # name, goes on.
            deadline = time.monotonic() + _CLOSE_S
            while not _empty(left, only_stale=True) and time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
            os.rmdir(name, dir_fd=folder)
    finally:
        os.close(left)


def _empty(room: int, *, only_stale: bool) -> bool:
    """Remove the sockets in a room; tell whether none is left."""
    is_empty = True
    for name in os.listdir(room):
        with hold(name, room) as held:
            if held is None or not stat.S_ISSOCK(os.fstat(held).st_mode):
                continue
            if only_stale and state_of(held) is not Kind.STALE:
                is_empty = False
            else:
                os.unlink(name, dir_fd=room)
    return is_empty


_CLOSE_S = 0.5
_PAUSE_S = 0.01
_ROOM = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
