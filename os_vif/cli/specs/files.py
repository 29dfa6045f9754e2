# SPDX-License-Identifier: Apache-2.0
"""What FILE of the command names: a file, standard input, or a folder of files; and their text."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from pathlib import Path

from os_vif.cli.specs import bounds
from os_vif.cli.specs.refused import BadInput
from os_vif.specs import Mark, Problem

SUFFIXES = (".yaml", ".yml", ".json")
"""So end the names of the files that are read in a folder."""

_PATIENCE_MS = 5000
"""So long somebody may take to begin to write to a pipe that has a name."""


def source_of(name: str) -> str:
    """Return how a file is called in messages."""
    return "<stdin>" if name == "-" else name


def files_in(name: str) -> list[str] | None:
    """Return the files of a folder, in the order of their names; None if it is no folder.

    Those in folders of it, and hidden ones, are none of them.

    :raises BadInput: it may not be read
    """
    if name == "-" or not os.path.isdir(name):
        return None
    try:
        with os.scandir(name) as entries:
            found = [
                entry.name
                for entry in entries
                if entry.name.endswith(SUFFIXES)
                and not entry.name.startswith(".")
                and not os.path.isdir(entry)
            ]
    except OSError as error:
        raise _refused(name, error.strerror or str(error)) from None
    return [str(Path(name, each)) for each in sorted(found)]


def text_of(name: str, *, listed: bool = False) -> str:
    """Return the text of a file; ``-`` is standard input.

    :param listed: it was found in a folder, where nobody waits for what a pipe or a device says
    :raises BadInput: it cannot be had
    """
    source = source_of(name)
    if not name:  # of a script's variable that is not set
        raise _refused("''", "this is no name of a file")
    try:
        data = _standard_input() if name == "-" else _contents(name, listed=listed)
    except OSError as error:
        raise _refused(source, error.strerror or str(error)) from None
    if len(data) > bounds.MAX_BYTES:
        raise _refused(source, bounds.TOO_LARGE)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = f"not UTF-8 text (byte 0x{data[error.start]:02x})"
        raise BadInput([Problem(Mark(source, line, column), "", message)]) from None


def _refused(source: str, message: str) -> BadInput:
    return BadInput([Problem(Mark(source, 0, 0), "", message)])


def _standard_input() -> bytes:
    return sys.stdin.buffer.read(bounds.MAX_BYTES + 1)


def _contents(name: str, *, listed: bool) -> bytes:
    # To open a pipe that nobody writes to would wait for ever.
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if listed and not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "this is no file, but a pipe or a device")
        begun = _begun(descriptor) if stat.S_ISFIFO(mode) else b""
        os.set_blocking(descriptor, True)
        return begun + file.read(bounds.MAX_BYTES + 1)


def _begun(descriptor: int) -> bytes:
    """Wait until a pipe has, or had, a writer; return what had to be read to learn it.

    :raises OSError: nobody came
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if poll.poll(_PATIENCE_MS):
        return b""
    try:
        begun = os.read(descriptor, 1)
    except BlockingIOError:  # there is one, who takes time
        return b""
    if not begun:
        raise OSError(errno.EPIPE, "this is a pipe, and nobody writes to it")
    return begun
