# SPDX-License-Identifier: Apache-2.0
"""The sockets where guests and vhost-user back ends meet: whose they are, and who can use them.

None of this connects to a socket as its peer would. QEMU takes one peer and would take a mere
look for its back end; so a look asks for a datagram socket, which unix(7) refuses in one way if
somebody holds the other (a stream socket: EPROTOTYPE) and in another if nobody does
(ECONNREFUSED), and the holder does not learn of it. It works across network namespaces.

Sources: unix(7), connect(2), path_resolution(7), symlink(7), acl(5), net/unix/af_unix.c.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import errno
import grp
import os
import pwd
import re
import secrets
import socket
import stat
from collections.abc import Callable, Iterator

from os_vif.system import ways

_ACL = "system.posix_acl_access"


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
        with _hold(os.path.basename(path), folder) as held:
            if held is None:
                return place
            found = os.fstat(held)
            is_socket = stat.S_ISSOCK(found.st_mode)
            return dataclasses.replace(
                place,
                kind=_state(held) if is_socket else Kind.OTHER,
                what="" if is_socket else ways.what(found.st_mode),
                owner=found.st_uid,
                group=found.st_gid,
                mode=stat.S_IMODE(found.st_mode),
            )


def make_way(path: str) -> bool:
    """Remove a stale socket, and nothing else; return whether there was one.

    A socket that is stale stays so, as every bind(2) makes a new file. But its name may become
    another's in the last moment, so it is given a name of its own and looked at again.  Such names
    that a killed process left go too.

    :raises OSError: not allowed; or something else is in the way: EEXIST, a live socket:
        EADDRINUSE.
    """
    name = os.path.basename(path)
    with _folder_of(path) as folder:
        if folder is None:
            return False
        with _hold(name, folder) as held:
            if held is None:
                return False
            found = os.fstat(held)
            if not stat.S_ISSOCK(found.st_mode):
                raise OSError(errno.EEXIST, f"{path} is {ways.what(found.st_mode)}, not a socket")
            state = _state(held)
            if state is Kind.UNKNOWN:
                raise OSError(errno.EACCES, f"whether a process holds {path} cannot be told")
            if state is Kind.LIVE:
                raise OSError(errno.EADDRINUSE, f"a process holds {path}")
            aside = f"{_ASIDE}{secrets.token_hex(8)}"
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


def hand_over(path: str, owner: str, group: str, mode: int) -> None:
    """Give a socket to a user and a group.

    :param owner: a name or a number; '' leaves it
    :param group: the same
    :param mode: permission bits
    :raises OSError: there is none, it is not a socket, has a second name, or it is not allowed;
        EINVAL: there is no such user or group.
    """
    user, members = user_id(owner), group_id(group)
    with _folder_of(path) as folder, _hold(os.path.basename(path), folder) as held:
        if held is None:
            raise OSError(errno.ENOENT, f"there is no socket {path}")
        found = os.fstat(held)
        if not stat.S_ISSOCK(found.st_mode):
            raise OSError(errno.EEXIST, f"{path} is {ways.what(found.st_mode)}, not a socket")
        if found.st_nlink != 1:
            raise OSError(errno.EPERM, f"{path} has another name too, and may be another's")
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
    user, members = user_id(owner), group_id(group)
    return user in (-1, place.owner) and members in (-1, place.group) and place.mode == mode


def unsafe_folder(path: str) -> str | None:
    """Say why nobody should listen at a path: everybody could put a socket of theirs there.

    For those who do not know whom the privileged side trusts; see :func:`untrusted`.

    :returns: None if only the folders' owners and groups could
    """
    try:
        for folder, found in ways.walk(path):
            mode = found.st_mode
            if stat.S_ISDIR(mode) and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                return f"every user may replace what is in {folder} ({_rights(found)})"
    except OSError as error:
        return str(error.strerror)
    return None


def untrusted(path: str, owner: str) -> str | None:
    """Say why somebody else could swap what is at a path, or what is on the way to it.

    Only root, this process's own user and ``owner`` may be able to.  The sticky bit keeps others
    from what is there, not from being the first to put something there.

    :param owner: name or number of a user; '' for none
    :returns: None if nobody else could
    :raises OSError: EINVAL: there is no such user.
    """
    trusted = {0, os.geteuid(), user_id(owner)}
    try:
        for place, found in ways.walk(path):
            mode = found.st_mode
            is_link = stat.S_ISLNK(mode)
            others = ""
            if found.st_uid not in trusted:
                others = _user_name(found.st_uid)
            elif is_link or mode & stat.S_ISVTX:
                continue
            elif mode & stat.S_IWOTH:
                others = "every user"
            elif mode & stat.S_IWGRP:  # what an access control list grants shows here too, acl(5)
                others = f"group {_group_name(found.st_gid)}"
            if others:
                what = f"the link {place}" if is_link else f"what is in {place}"
                return f"{others} may replace {what} ({_rights(found)})"
    except OSError as error:
        return str(error.strerror)
    return None


def usable_by(path: str, user: str, *, listening: bool) -> str | None:
    """Say why a user cannot connect to a socket, or cannot make it, if so.

    Mode bits, owners and groups count. What cannot be told from them (access control lists,
    SELinux, AppArmor, folders that we may not look at) is taken for usable.

    :param user: name or number of the hypervisor's user
    :param listening: the user is to make the socket; else to connect to it, if it is there
    :raises OSError: EINVAL: there is no such user.
    """
    number = user_id(user)
    if number == 0:
        return None
    groups = _groups_of(number)
    try:
        for folder, found in ways.walk(path):
            if stat.S_ISLNK(found.st_mode):
                continue
            above = found
            if not _may(folder, found, number, groups, os.X_OK):
                return f"{user} may not enter {folder} ({_rights(found)})"
        with contextlib.suppress(FileNotFoundError):
            place = os.lstat(path)
            if not stat.S_ISSOCK(place.st_mode):
                return f"{path} is {ways.what(place.st_mode)}, not a socket"
            if not listening and not _may(path, place, number, groups, os.W_OK):
                return f"{user} may not connect to {path} ({_rights(place)})"
            sticky = above.st_mode & stat.S_ISVTX
            if listening and sticky and number not in (place.st_uid, above.st_uid):
                return f"{user} may not take the place of {path} ({_rights(place)})"
        if listening and not _may(folder, above, number, groups, os.W_OK):
            return f"{user} may not make a socket in {folder} ({_rights(above)})"
    except PermissionError:
        return None
    except OSError as error:
        return str(error.strerror)
    return None


# --- inside --------------------------------------------------------------------------------------

_ASIDE = ".os-vif-"
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
            if not re.fullmatch(rf"{re.escape(_ASIDE)}[0-9a-f]{{16}}", name):
                continue
            with _hold(name, folder) as held:
                if held is None:
                    continue
                found = os.fstat(held)
                is_ours = stat.S_ISSOCK(found.st_mode) and found.st_uid in owners
                if is_ours and _state(held) is Kind.STALE:
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
def _hold(name: str, folder: int | None) -> Iterator[int | None]:
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


def _state(held: int) -> Kind:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as probe:
        try:
            # Not connect_ex(): eventlet's sockets raise there, too.
            probe.connect(f"/proc/self/fd/{held}")
        except OSError as error:
            return _REFUSED.get(error.errno or 0, Kind.LIVE)
    return Kind.LIVE


def _may(path: str, found: os.stat_result, user: int, groups: set[int], wanted: int) -> bool:
    """Apply path_resolution(7), "Permissions": the first class that fits decides alone."""
    with contextlib.suppress(OSError):
        os.getxattr(path, _ACL, follow_symlinks=True)
        return True
    if user == found.st_uid:
        bits = found.st_mode >> 6
    elif found.st_gid in groups:
        bits = found.st_mode >> 3
    else:
        bits = found.st_mode
    return bool(bits & wanted)


def _rights(found: os.stat_result) -> str:
    owner, group = _user_name(found.st_uid), _group_name(found.st_gid)
    return f"{owner}:{group} {stat.filemode(found.st_mode)}"


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


_ID_MAX = 2**32 - 2
"""The greatest user or group; the number above it is chown(2)'s for no change."""


def user_id(user: str) -> int:
    """Return a user's number; -1, which chown(2) takes for no change, for ''.

    :raises OSError: EINVAL, and not ENOENT: this is no file that may come yet.
    """
    return _number(user, "user", lambda name: pwd.getpwnam(name).pw_uid)


def group_id(group: str) -> int:
    """Return a group's number, as :func:`user_id` a user's.

    :raises OSError: EINVAL: there is no such group.
    """
    return _number(group, "group", lambda name: grp.getgrnam(name).gr_gid)


def _number(name: str, what: str, look_up: Callable[[str], int]) -> int:
    if not name:
        return -1
    try:
        number = int(name) if name.isdecimal() else look_up(name)
    except (KeyError, ValueError):  # or a text that no name can be
        number = _ID_MAX + 1
    if number > _ID_MAX:
        raise OSError(errno.EINVAL, f"there is no {what} {name}")
    return number


def _groups_of(user: int) -> set[int]:
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return set()
    return set(os.getgrouplist(entry.pw_name, entry.pw_gid))
