# SPDX-License-Identifier: Apache-2.0
"""Folders of this user's own for what goes when the machine does.

Root has them below ``/run``.  Who is root in a user namespace of its own may not write there, and
has them where the session has its own, or below ``/tmp``.

Sources: file-hierarchy(7), user_namespaces(7), path_resolution(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

RUN = Path("/run")

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def path(name: str) -> Path:
    """Return where a folder of this user's with this name is, or would be."""
    if os.access(RUN, os.W_OK):
        return RUN / name
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    if session.startswith("/") and os.access(session, os.W_OK) and _is_own(session):
        return Path(session, name)
    return Path("/tmp", f"{name}-{_user_outside()}")  # noqa: S108  # looked at as it is opened


def _is_own(folder: str) -> bool:
    """Tell whether a folder is this user's: in another's, that one puts others in its place."""
    return os.stat(folder).st_uid == os.geteuid()


def _user_outside() -> int:
    """Return the number that this user has outside of its user namespace."""
    with open("/proc/self/uid_map") as lines:
        for line in lines:
            inside, outside, count = map(int, line.split())
            if inside <= os.geteuid() < inside + count:
                return outside + os.geteuid() - inside
    return os.geteuid()


@contextlib.contextmanager
def made(*names: str, mode: int = 0o700) -> Iterator[int]:
    """Provide a descriptor of such a folder, or of one within; made where it is missing.

    :param mode: of those that are made
    :raises OSError: one cannot be opened, or made; EPERM: another user could change what is in it.
    """
    folder = _walk(names, mode)
    try:
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def found(*names: str) -> Iterator[int | None]:
    """Provide the same of one that is there; None for none."""
    try:
        folder = _walk(names)
    except FileNotFoundError:
        yield None
        return
    try:
        yield folder
    finally:
        os.close(folder)


def _walk(names: Sequence[str], mode: int | None = None) -> int:
    where = path(names[0])
    at = os.open(where.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in (where.name, *names[1:]):
        try:
            further = within(at, name, mode)
        finally:
            os.close(at)
        at = further
    return at


def within(above: int, name: str, mode: int | None = None) -> int:
    """Open a folder within another; return a descriptor.

    :param above: a descriptor of the other
    :param mode: that it has, or gets; it is made where it is missing.  None for one that is there
    :raises OSError: as :func:`made` does; FileNotFoundError: it is not there.
    """
    if mode is not None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=above)
    folder = os.open(name, _FOLDER, dir_fd=above)
    try:
        seen = os.fstat(folder)
        if seen.st_uid != os.geteuid():
            raise OSError(errno.EPERM, f"{name}: it belongs to another user")
        if seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(errno.EPERM, f"{name}: others may write in it")
        if mode not in (None, stat.S_IMODE(seen.st_mode)):
            os.fchmod(folder, mode)
    except BaseException:
        os.close(folder)
        raise
    return folder
