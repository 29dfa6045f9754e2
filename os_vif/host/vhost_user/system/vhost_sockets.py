# SPDX-License-Identifier: Apache-2.0
"""The sockets where guests and vhost-user back ends meet: whose they are, and who can use them.

None of this connects to a socket as its peer would. QEMU takes one peer and would take a mere
look for its back end; so a look asks for a datagram socket, which unix(7) refuses in one way if
somebody holds the other (a stream socket: EPROTOTYPE) and in another if nobody does
(ECONNREFUSED), and the holder does not learn of it. It works across network namespaces.

Sources: unix(7), connect(2), net/unix/af_unix.c.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import os
import re
import secrets
import socket
import stat
from collections.abc import Collection, Iterator

from os_vif.host.vhost_user.system import rights
from os_vif.system import ways


class Kind(enum.Enum):
    """What is at a path."""

    NO_FOLDER = "no folder"
    NOTHING = "nothing"
    LIVE = "a socket that a process holds"
    STALE = "a socket that no process holds"
    UNKNOWN = "a socket that this user may not connect to"
    OTHER = "no socket"


@dataclasses.dataclass(frozen=True)
class Place:
    """A path as it was found.

    :ivar what: of OTHER, in words: ``a file``
    :ivar owner: user id; -1 where there is nothing
    :ivar group: group id
    :ivar mode: permission bits
    :ivar folder_owner: user id; -1 where there is no folder
    :ivar folder_mode: permission bits
    """

    kind: Kind
    what: str = ""
    owner: int = -1
    group: int = -1
    mode: int = 0
    folder_owner: int = -1
    folder_mode: int = 0


def look(path: str) -> Place:
    """Say what is at a path. A symbolic link there is no socket; one in its folders is followed.

    :raises OSError: not allowed to look, or a folder's name is that of a file.
    """
    with _folder_of(path) as folder:
        if folder is None:
            return Place(Kind.NO_FOLDER)
        above = os.fstat(folder)
        place = Place(
            Kind.NOTHING, folder_owner=above.st_uid, folder_mode=stat.S_IMODE(above.st_mode)
        )
        with hold(os.path.basename(path), folder) as held:
            if held is None:
                return place
            found = os.fstat(held)
            is_socket = stat.S_ISSOCK(found.st_mode)
            return dataclasses.replace(
                place,
                kind=state_of(held) if is_socket else Kind.OTHER,
                what="" if is_socket else ways.what(found.st_mode),
                owner=found.st_uid,
                group=found.st_gid,
                mode=stat.S_IMODE(found.st_mode),
            )


def make_way(path: str, folder: int | None = None) -> bool:
    """Remove a stale socket, and nothing else; return whether there was one.

    A socket that is stale stays so, as every bind(2) makes a new file. But its name may become
    another's in the last moment, so it is given a name of its own and looked at again.  Such names
    that a killed process left go too.

    :param folder: a descriptor of the path's folder; None opens it, and follows no link that
        another user could have put there
    :raises OSError: not allowed; or something else is in the way: EEXIST, a live socket:
        EADDRINUSE.
    """
    if folder is None:
        try:
            folder = rights.open_folder(path)
        except FileNotFoundError:
            return False
        try:
            return make_way(path, folder)
        finally:
            os.close(folder)
    name = os.path.basename(path)
    with hold(name, folder) as held:
        if held is None:
            return False
        found = os.fstat(held)
        if not stat.S_ISSOCK(found.st_mode):
            raise OSError(errno.EEXIST, f"{path} is {ways.what(found.st_mode)}, not a socket")
        state = state_of(held)
        if state is Kind.UNKNOWN:
            raise OSError(errno.EACCES, f"whether a process holds {path} cannot be told")
        if state is Kind.LIVE:
            raise OSError(errno.EADDRINUSE, f"a process holds {path}")
        aside = f"{ASIDE}{secrets.token_hex(8)}"
        try:
            os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
        except FileNotFoundError:
            return False
        with contextlib.suppress(FileNotFoundError):  # another may be sweeping up
            moved = os.stat(aside, dir_fd=folder, follow_symlinks=False)
            if not os.path.samestat(moved, found):
                _put_back(aside, name, folder)
                raise OSError(errno.EADDRINUSE, f"{path} was made anew meanwhile")
            os.unlink(aside, dir_fd=folder)
        _sweep(folder, {os.geteuid(), found.st_uid})
    return True


def hand_over(
    path: str, owner: str, group: str, mode: int, *, folder: int, inodes: Collection[int]
) -> None:
    """Give a socket to a user and a group.

    :param owner: a name or a number; '' leaves it
    :param group: the same
    :param mode: permission bits
    :param folder: a descriptor of the path's folder
    :param inodes: of the sockets that it may be, as unix_diag shows them
    :raises OSError: there is none, it is not a socket, another's, has a second name, or it is not
        allowed; EINVAL: there is no such user or group.
    """
    user, members = rights.user_id(owner), rights.group_id(group)
    with hold(os.path.basename(path), folder) as held:
        if held is None:
            raise OSError(errno.ENOENT, f"there is no socket {path}")
        found = os.fstat(held)
        if not stat.S_ISSOCK(found.st_mode):
            raise OSError(errno.EEXIST, f"{path} is {ways.what(found.st_mode)}, not a socket")
        if found.st_nlink != 1:
            raise OSError(errno.EPERM, f"{path} has another name too, and may be another's")
        if found.st_ino & 0xFFFFFFFF not in inodes:
            raise OSError(errno.EPERM, f"{path} is not the socket of the process that was started")
        give_itself(held, found, user, members, mode)


def give_itself(held: int, found: os.stat_result, user: int, members: int, mode: int) -> None:
    """Give a file that is held to a user and a group, -1 for no change; raises OSError."""
    # The file itself, whatever its name means by now; fchmod(2) takes no O_PATH descriptor.
    itself = f"/proc/self/fd/{held}"
    if (user not in (-1, found.st_uid)) or (members not in (-1, found.st_gid)):
        os.chown(itself, user, members)
    if stat.S_IMODE(found.st_mode) != mode:
        os.chmod(itself, mode)


def is_handed_over(place: Place, owner: str, group: str, mode: int) -> bool:
    """Say whether :func:`hand_over` has nothing left to do.

    :raises OSError: EINVAL: there is no such user or group.
    """
    user, members = rights.user_id(owner), rights.group_id(group)
    return user in (-1, place.owner) and members in (-1, place.group) and place.mode == mode


# --- inside --------------------------------------------------------------------------------------

ASIDE = ".os-vif-"
"""How the names begin that sockets have while they go, before 16 hexadecimal digits."""


def _put_back(aside: str, name: str, folder: int) -> None:
    """Give a file its name again, unless the name has become a third one's."""
    try:
        os.link(aside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        words = f"{name} was made anew meanwhile, and is called {aside} now: {error.strerror}"
        raise OSError(errno.EADDRINUSE, words) from error
    os.unlink(aside, dir_fd=folder)


def _sweep(folder: int, owners: set[int]) -> None:
    """Remove the stale sockets that a process set aside and was killed over, as far as we may."""
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/self/fd/{folder}"):
            if not re.fullmatch(rf"{re.escape(ASIDE)}[0-9a-f]{{16}}", name):
                continue
            with hold(name, folder) as held:
                if held is None:
                    continue
                found = os.fstat(held)
                is_ours = stat.S_ISSOCK(found.st_mode) and found.st_uid in owners
                if is_ours and state_of(held) is Kind.STALE:
                    os.unlink(name, dir_fd=folder)


@contextlib.contextmanager
def _folder_of(path: str) -> Iterator[int | None]:
    """Provide a descriptor of the folder; None if it is missing."""
    name = os.path.dirname(path)
    try:
        folder = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise OSError(error.errno, f"{name}: {error.strerror}") from error
    try:
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def hold(name: str, folder: int | None) -> Iterator[int | None]:
    """Provide a descriptor that means a file whatever its name will mean; None for no file."""
    if folder is None:
        yield None
        return
    try:
        held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        yield None
        return
    try:
        yield held
    finally:
        os.close(held)


_REFUSED = {errno.EACCES: Kind.UNKNOWN, errno.ECONNREFUSED: Kind.STALE}


def state_of(held: int) -> Kind:
    """Say whether a process holds a socket, of which this is a descriptor (O_PATH)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as probe:
        try:
            # Not connect_ex(): eventlet's sockets raise there, too.
            probe.connect(f"/proc/self/fd/{held}")
        except OSError as error:
            return _REFUSED.get(error.errno or 0, Kind.LIVE)
    return Kind.LIVE
