# SPDX-License-Identifier: Apache-2.0
"""Devices of 6WIND's fast path, by its command ``fp-vdev``.

Source: how OpenStack's hosts use it (``fp-vdev add DEV --sockpath P --sockmode client|server``,
``fp-vdev del DEV``, ``fp-vdev get sockfolder|sockmode``); the program itself is not public.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator

from os_vif.host.links.questions import Link
from os_vif.host.links.system import devices as links
from os_vif.host.vhost_user import options as fast_path_options
from os_vif.host.vhost_user.system import vhost_sockets
from os_vif.system import locks

SECTION = f"[{fast_path_options.GROUP}]"

_KILL_S = 3.0
"""Seconds that a killed command may take to end."""
_WORDS = 1 << 16
"""Bytes of what a command said that are read: the last ones."""


def add(name: str, path: str, *, listens: bool) -> None:
    """Have a device made, with a vhost-user socket behind it.

    :param path: the socket
    :param listens: whether the fast path listens at it, or connects to a guest that does
    :raises OSError: there is such a device (EEXIST), or the command failed, in its own words, or
        made no device. Nothing of it is left then.
    """
    with _alone(name):
        if _device(name) is not None:
            raise OSError(errno.EEXIST, f"there is a device {name}")
        if listens:
            vhost_sockets.make_way(path)
        mode = "server" if listens else "client"
        try:
            _run("add", name, "--sockpath", path, "--sockmode", mode)
        except BaseException as error:
            left = _clean_up(name)
            if not isinstance(error, OSError):  # interrupted
                raise
            # Where it did not answer, or cannot be run, it would not say how it is set up either.
            hint = _hint(path, mode) if error.errno == errno.EIO else ""
            raise OSError(error.errno, f"{error.strerror}{hint}{left}") from error
        if _device(name) is None:
            raise OSError(errno.EIO, f"fp-vdev add said nothing, and there is no device {name}")


def _alone(name: str) -> contextlib.AbstractContextManager[None]:
    """Keep others from a device: what is left of a failed command is then the command's."""
    # It may have to be deleted again.
    return locks.held(name, 2 * (fast_path_options.here().back_end_timeout + _KILL_S))


def _device(name: str) -> Link | None:
    return links.look_up([name])[name]


def _clean_up(name: str) -> str:
    """Delete what a failed command made of a device; return in words what could not be."""
    try:
        _delete(name)
    except OSError as error:
        return f"; its device {name} is left ({error.strerror})"
    return ""


def delete(name: str) -> bool:
    """Have a device deleted.

    :returns: False if there was none
    :raises OSError: the command failed, in its own words, or left the device.
    """
    with _alone(name):
        return _delete(name)


def _delete(name: str) -> bool:
    if _device(name) is None:
        return False
    _run("del", name)
    if _device(name) is not None:
        raise OSError(errno.EIO, f"fp-vdev del said nothing, and the device {name} is still there")
    return True


def _hint(path: str, mode: str) -> str:
    """Return what the fast path was set up for, where that is something else."""
    said = []
    for what, wanted in (("sockmode", mode), ("sockfolder", path.rpartition("/")[0])):
        try:
            found = _run("get", what).strip()
        except OSError:
            break
        if found and found.rstrip("/") != wanted:
            said.append(f"fp-vdev get {what} says {found}, and the VIF needs {wanted}")
    return f" ({'; '.join(said)})" if said else ""


def _run(*words: str) -> str:
    options = fast_path_options.here()
    command = [options.fp_vdev_command, *words]
    with _memory() as out, _memory() as complaint:
        try:
            running = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=complaint,
                start_new_session=True,
            )
        except OSError as error:
            reason = f"cannot run {command[0]}: {error.strerror}; see {SECTION} fp_vdev_command"
            raise OSError(errno.ENOSYS, reason) from error
        try:
            status = running.wait(options.back_end_timeout)
        except BaseException as error:
            # What it started too, or that would make a device that nobody waits for.
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(running.pid, signal.SIGKILL)
                running.wait(_KILL_S)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            reason = f"{command[0]} {words[0]} did not end within {options.back_end_timeout} s"
            raise OSError(errno.ETIMEDOUT, reason) from error
        said = _read(out)
        if status:
            lines = (_read(complaint) or said).strip().splitlines()
            last = lines[-1] if lines else f"exit status {status}"
            raise OSError(errno.EIO, f"{command[0]} {words[0]}: {last}")
    return said


@contextlib.contextmanager
def _memory() -> Iterator[int]:
    """Provide a descriptor for what a command says.

    A pipe would be at its end only when all have closed it that the command started, too. When
    the command has ended, they find the memory full.
    """
    descriptor = os.memfd_create("words", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        yield descriptor
    finally:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
        os.close(descriptor)


def _read(descriptor: int) -> str:
    before = max(os.fstat(descriptor).st_size - _WORDS, 0)
    return os.pread(descriptor, _WORDS, before).decode(errors="replace")
