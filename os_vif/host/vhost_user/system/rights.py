# SPDX-License-Identifier: Apache-2.0
"""Who can use a socket, and who could put another in its place, by the kernel's rules.

Sources: path_resolution(7), symlink(7), acl(5).
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator

from os_vif.system import ways

_ACL = "system.posix_acl_access"


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

    :param owner: name or number of a user; '' for none
    :returns: None if nobody else could; what keeps :func:`trusted_folder` from going there
    :raises OSError: EINVAL: there is no such user.
    """
    judge = _Judge(owner)
    try:
        os.close(ways.open_folder(path, judge))
    except OSError as error:
        return str(error.strerror)
    return None


def open_folder(path: str) -> int:
    """Open a path's folder, whosever that is, without following a link that may be another user's.

    :returns: a descriptor (O_PATH), which stays what it means whoever swaps names
    :raises OSError: EPERM: such a link is on the way; or there is no such folder.
    """
    return ways.open_folder(path, _Judge(None))


@contextlib.contextmanager
def trusted_folder(path: str, owner: str) -> Iterator[int]:
    """Provide a descriptor of a path's folder, which stays what it means whoever swaps names.

    Only root, this process's own user and ``owner`` may be able to change what is on the way. The
    sticky bit keeps others from what is there, not from being the first to put something there.
    Where ``owner`` could have put a link it is not followed: it may lead to what is not his.

    :param owner: name or number of a user; '' for none
    :raises OSError: EPERM: somebody else could swap something; or there is no such folder.
        EINVAL: there is no such user.
    """
    judge = _Judge(owner)
    try:
        folder = ways.open_folder(path, judge)
    except OSError as error:
        raise OSError(errno.EPERM, f"{path}: {error.strerror}") from error
    try:
        yield folder
    finally:
        os.close(folder)


class _Judge:
    """Refuses what others than the trusted may change, and any link that is not root's."""

    def __init__(self, owner: str | None) -> None:
        """Take the user who is trusted besides root and ourselves; None trusts all with folders.

        :raises OSError: EINVAL: there is no such user.
        """
        self._sure = {0, os.geteuid()}
        self._trusted = None if owner is None else {*self._sure, user_id(owner)}
        self._hands = ""
        """Who may change what is on the way from here on, besides root; '' for nobody."""

    def __call__(self, place: str, found: os.stat_result, leads: bool) -> None:
        mode = found.st_mode
        is_link = stat.S_ISLNK(mode)
        owner = "" if found.st_uid in self._sure else _user_name(found.st_uid)
        others = ""
        if not is_link and not mode & stat.S_ISVTX:
            if mode & stat.S_IWOTH:
                others = "every user"
            elif mode & stat.S_IWGRP:  # what an access control list grants shows here too, acl(5)
                others = f"group {_group_name(found.st_gid)}"
        who = ""
        if self._trusted is not None:
            who = others if found.st_uid in self._trusted else owner
        if leads and not who:
            who = self._hands or (owner if is_link else "")
        if who:
            what = f"the link {place}" if is_link else f"what is in {place}"
            raise OSError(errno.EPERM, f"{who} may replace {what} ({_rights(found)})")
        self._hands = self._hands or owner or others


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
