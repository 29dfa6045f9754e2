# SPDX-License-Identifier: Apache-2.0
"""What is on the way to a file: who may change any of it may put another file there.

Sources: path_resolution(7), symlink(7).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator

_LINKS_MAX = 40
"""Symbolic links that the kernel follows on one way (path_resolution(7))."""


def walk(path: str, *, to_file: bool = False) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the folders and symbolic links on the way to a path, as the kernel goes it.

    The last folder is where the path's last name is looked up.

    :param to_file: go on to what has that name
    :raises OSError: the way ends too early; the words name where.
    """
    left = _parts(path if to_file else os.path.dirname(path))
    at, links = "/", 0
    yield at, os.stat(at)
    while left:
        part = left.pop()
        here = os.path.dirname(at) if part == ".." else os.path.join(at, part)
        try:
            found = os.lstat(here)
            target = os.readlink(here) if stat.S_ISLNK(found.st_mode) else ""
        except OSError as error:
            raise OSError(error.errno, f"{here}: {error.strerror}") from error
        if target:
            yield here, found
            links += 1
            if links > _LINKS_MAX:
                raise OSError(errno.ELOOP, f"{path}: {os.strerror(errno.ELOOP)}")
            left += _parts(target)
            if not target.startswith("/"):
                continue
            here, found = "/", os.stat("/")
        elif not stat.S_ISDIR(found.st_mode) and (left or not to_file):
            raise OSError(errno.ENOTDIR, f"{here} is {what(found.st_mode)}, not a folder")
        at = here
        yield at, found


def open_folder(path: str, judge: Callable[[str, os.stat_result, bool], None]) -> int:
    """Open the folder where a path's last name is looked up; return a descriptor (O_PATH).

    Each folder on the way is opened by its name in the one before, and judged then: so what was
    judged is what is gone through, whoever swaps names meanwhile.

    :param judge: gets each folder and symbolic link on the way, and whether that leads elsewhere
        than down: a link, before it is followed, or ``..``.  Raises OSError to go no further.
    :raises OSError: the way ends too early; the words name where.
    """
    left, at, links = _parts(os.path.dirname(path)), "/", 0
    folder = os.open(at, _FOLDER)
    try:
        judge(at, os.fstat(folder), False)
        while left:
            part = left.pop()
            here = os.path.dirname(at) if part == ".." else os.path.join(at, part)
            try:
                further = os.open(part, _ITSELF, dir_fd=folder)
            except OSError as error:
                raise OSError(error.errno, f"{here}: {error.strerror}") from error
            try:
                found = os.fstat(further)
                if stat.S_ISLNK(found.st_mode):
                    judge(here, found, True)
                    links += 1
                    if links > _LINKS_MAX:
                        raise OSError(errno.ELOOP, f"{path}: {os.strerror(errno.ELOOP)}")
                    target = os.readlink("", dir_fd=further)
                    left += _parts(target)
                    if not target.startswith("/"):
                        continue
                    os.close(further)
                    further, here = os.open("/", _FOLDER), "/"
                    found = os.fstat(further)
                elif not stat.S_ISDIR(found.st_mode):
                    raise OSError(errno.ENOTDIR, f"{here} is {what(found.st_mode)}, not a folder")
                judge(here, found, part == "..")
                folder, further, at = further, folder, here
            finally:
                os.close(further)
    except BaseException:
        os.close(folder)
        raise
    return folder


_ITSELF = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = _ITSELF | os.O_DIRECTORY


def what(mode: int) -> str:
    """Return in words what a file is that is neither a socket nor as wanted."""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a file" if stat.S_ISREG(mode) else "a special file"


def _parts(path: str) -> list[str]:
    """Return the names in a path, the last one first, as they are taken off."""
    return [part for part in path.split("/") if part not in ("", ".")][::-1]
