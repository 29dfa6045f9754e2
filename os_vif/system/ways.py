# SPDX-License-Identifier: Apache-2.0
"""What is on the way to a file: who may change any of it may put another file there.

Sources: path_resolution(7), symlink(7).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

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
