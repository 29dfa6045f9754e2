# SPDX-License-Identifier: Apache-2.0
"""The open fast path: one dpdk-testpmd(1) for each device, between a tap and a vhost-user socket.

Nothing about a process is kept on our side. Its runtime folder is named after the device and the
network namespace. DPDK locks a file there for as long as the process lives, so the kernel says
who it is; what it does is asked of its telemetry socket. Both are root's alone.

Whoever starts or stops one holds the device's lock (:mod:`os_vif.system.locks`): DPDK's
own tells of two at once only when one of them has taken the other's files.

Sources: DPDK's Programmer's Guide ("Environment Abstraction Layer", "Telemetry Library"), fcntl(2),
pidfd_open(2), proc(5).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from os_vif import exception
from os_vif.engine import checks
from os_vif.host.vhost_user.system import rights, rooms, testpmd_words, vhost_sockets
from os_vif.host.vhost_user.system.testpmd_words import Settings
from os_vif.system import locks, netlink, processes
from os_vif.system.detached import Detached

ROOT = Path("/run/dpdk")
"""Where DPDK keeps the runtime folders of root's processes."""

_STOP_S = 3.0
"""Seconds that a killed process may take to end."""
_ANSWER_S = 2.0
"""Seconds for the answers to all questions; a thread of its own gives each in a millisecond."""
_CLOSE_S = 0.5
_PAUSE_S = 0.01
_LARGEST_ANSWER = 1 << 14


@dataclass(frozen=True)
class Testpmd:
    """A running process.

    :ivar answers: it can be asked; if not (it is halted, or hangs), only what it was started with
        is known.
    :ivar whole: it has both sides; one that it could not open it goes without
    :ivar forwards: both were started. Whether the device is still the one that it holds, only the
        device's number of queues in use tells.
    :ivar path: the socket
    :ivar listens: it waits there for the guest; else it connects, again and again
    :ivar guest: a guest is connected and its driver runs
    :ivar bound: what it was told for the socket, and what the kernel shows of that
    """

    pid: int
    answers: bool = False
    whole: bool = False
    forwards: bool = False
    path: str = ""
    listens: bool = False
    guest: bool = False
    bound: str = field(default="", compare=False)


def look(device: str, *, start_s: float = 0) -> Testpmd | None:
    """Return the process of a device in this thread's network namespace; None for none.

    One that is just being started, by whomever, is given time for it.

    :param start_s: seconds that a start may take
    :raises OSError: not allowed to look.
    """
    folder = _folder(device)
    deadline = time.monotonic() + _ANSWER_S
    while (pid := _holder(folder)) is not None:
        found = _ask(folder, pid)
        if found.forwards or (found.answers and not found.whole):
            return found
        if time.monotonic() > deadline and not _is_starting(pid, start_s):
            return found
        time.sleep(_PAUSE_S)
    return None


def _is_starting(pid: int, seconds: float) -> bool:
    """Tell whether a process is younger than that, and not halted (proc(5), /proc/pid/stat)."""
    its = processes.state(pid)
    return its is not None and its[0] not in "tT" and processes.age(its) < seconds


def start(device: str, path: str, *, listen: bool, mac: str | None, settings: Settings) -> Testpmd:
    """Join a device, a tap with several queues, and a socket; packets pass when this returns.

    The process is nobody's child, in a session of its own, and outlives its starter. The device
    is up afterwards, with an MTU of 1500 bytes. That can be made less then, but not more: DPDK's
    driver of taps drops frames that are longer.

    :param listen: wait for the guest at the socket, in the place of a stale one; else connect to
        it, as often as it takes
    :param mac: what the device keeps; None has DPDK choose one
    :raises InvalidField: no socket can have this path, or DPDK cannot be told it.
    :raises OSError: it did not come up, and nothing of it is left; ``strerror`` has its own words.
        EPERM: others could swap the socket.
    """
    path = checks.back_end_path(path)
    netlink.index_of(device)  # without it DPDK would make one of its own, which would go with it
    with contextlib.ExitStack() as stack:
        place = None
        if listen:
            place = stack.enter_context(rights.trusted_folder(path, settings.socket_owner))
        folder = _folder(device)
        if (pid := _holder(folder)) is not None:
            raise OSError(errno.EEXIST, f"dpdk-testpmd ({pid}) runs for {device} already")
        _remove(folder)
        room = None
        if place is not None:
            vhost_sockets.make_way(path, place)
            # DPDK removes whatever it finds at its path, and goes there by names, which are not
            # root's alone.  So it makes its socket where nothing is, and is told a name only.
            room = stack.enter_context(rooms.room(place))
            _note(folder, path)
        words = testpmd_words.arguments(
            device,
            device if listen else path,
            listen=listen,
            mac=mac,
            prefix=folder.name,
            settings=settings,
        )
        # Not our environment: a service manager's may lead DPDK to another runtime folder.
        environment = {
            "LC_ALL": "C",
            "PATH": os.environ.get("PATH", os.defpath),
            "RUNTIME_DIRECTORY": str(ROOT.parent),
        }
        with Detached([*settings.command, *words], environment, room) as started:
            try:
                found = _until_it_forwards(started, folder, settings.seconds)
                if place is not None and room is not None:
                    give = (settings.socket_owner, settings.socket_group, settings.socket_mode)
                    rooms.move_in(path, room, device, place, give)
                started.let_go()
            except BaseException:
                started.kill()
                _remove(folder)
                if place is not None:
                    _remove_socket(path, place)
                raise
    return found


def _remove_socket(path: str, place: int) -> None:
    """Remove the socket of a process that is ending: its files are closed one after another."""

    def is_removed() -> bool:
        try:
            vhost_sockets.make_way(path, place)
        except OSError as error:
            return error.errno != errno.EADDRINUSE
        return True

    processes.until(is_removed, _CLOSE_S)


def stop(device: str, owner: str = "") -> None:
    """End the process of a device, if there is one, and remove what it leaves.

    It is killed: asked to end, DPDK would remove what is at its path by then, whosever that is.

    :param owner: who may own its socket's folder, besides root
    :raises OSError: it does not end, or it is not ours to end.
    """
    folder = _folder(device)
    # One that ended tells nothing, but for where its socket was.
    path = _noted(folder)
    listens = bool(path)
    with _held(folder) as (pid, process):
        if process is not None:
            path, listens, bound = _told(folder, _command_line(pid))
            if not bound:  # /proc does not show it to everybody
                found = _ask(folder, pid)
                path, listens = found.path, found.listens
            processes.tell(process, signal.SIGKILL)
            if not processes.until(lambda: processes.has_ended(process), _STOP_S):
                raise OSError(errno.ETIMEDOUT, f"dpdk-testpmd ({pid}) does not end")
    _remove(folder)
    if path and listens:
        remove_stale(path, owner)


def remove_stale(path: str, owner: str) -> bool:
    """Remove the socket of a process that ended, unless somebody else has the place by now.

    :param owner: who may own the socket's folder, besides root
    :returns: whether there was one
    :raises OSError: it cannot be removed.
    """
    with contextlib.ExitStack() as stack:
        rights.user_id(owner)
        try:
            place = stack.enter_context(rights.trusted_folder(path, owner))
        except OSError:
            return False
        rooms.sweep(place)
        try:
            return vhost_sockets.make_way(path, place)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EEXIST):
                raise
            return False


def devices() -> list[str]:
    """Return the devices of this network namespace that have a process, or left-overs of one."""
    try:
        names = os.listdir(ROOT)
    except FileNotFoundError:
        return []
    begin, end = _PREFIX, f"-{locks.namespace()}"
    return sorted(
        name[len(begin) : -len(end)]
        for name in names
        if name.startswith(begin) and name.endswith(end)
    )


# --- finding one ---------------------------------------------------------------------------------

_PREFIX = "os-vif-"


def _folder(device: str) -> Path:
    return ROOT / f"{_PREFIX}{checks.interface_name(device)}-{locks.namespace()}"


def _holder(folder: Path) -> int | None:
    """Return who holds DPDK's lock, which the kernel takes from a process when it ends."""
    try:
        descriptor = os.open(folder / "config", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise OSError(errno.EPERM, f"{folder}: it belongs to another user")
        asked = locks.FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = locks.FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else pid


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[tuple[int, int | None]]:
    """Provide the process that holds the lock as its id and a descriptor; None for none."""
    pid = _holder(folder)
    if pid is None:
        yield 0, None
        return
    if pid <= 0:
        raise OSError(errno.ESRCH, f"{folder}: its process is in another PID namespace")
    with processes.held(pid, lambda: _holder(folder) == pid) as process:
        yield (pid if process is not None else 0), process


def _remove(folder: Path) -> None:
    """Remove a runtime folder, unless a process holds it."""
    if _holder(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)


def _ask(folder: Path, pid: int) -> Testpmd:
    deadline = time.monotonic() + _ANSWER_S
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as telemetry:
            telemetry.settimeout(_ANSWER_S)
            telemetry.connect(str(folder / "dpdk_telemetry.v2"))
            telemetry.recv(_LARGEST_ANSWER)  # it introduces itself
            words = _answer(telemetry, deadline, "/eal/params")
            ports = [dict(_answer(telemetry, deadline, "/ethdev/info", port)) for port in (0, 1)]
            link = dict(_answer(telemetry, deadline, "/ethdev/link_status", 0))
    except (OSError, ValueError):
        path, listens, bound = _told(folder, _command_line(pid))
        return Testpmd(pid, path=path, listens=listens, bound=bound)
    path, listens, bound = _told(folder, [str(word) for word in words])
    names = [port.get("name") for port in ports]
    whole = names[0] in testpmd_words.SOCKET and names[1] == testpmd_words.TAP
    return Testpmd(
        pid,
        answers=True,
        whole=whole,
        forwards=whole and all(port.get("dev_started") for port in ports),
        path=path,
        listens=listens,
        guest=link.get("status") == "UP",
        bound=bound,
    )


_SOCKET = "os-vif-socket"
"""In a runtime folder, a link to the socket of a process that was told no more than a name."""


def _note(folder: Path, path: str) -> None:
    for made in (ROOT, folder):
        made.mkdir(mode=0o700, exist_ok=True)
    os.symlink(path, folder / _SOCKET)


def _noted(folder: Path) -> str:
    try:
        return checks.back_end_path(os.readlink(folder / _SOCKET))
    except (OSError, exception.InvalidField):
        return ""


def _told(folder: Path, words: list[str]) -> tuple[str, bool, str]:
    """Return the path of a process's socket, whether it listens there, and what it was told.

    :param words: its command line; nothing where it is not shown, or of one that just ends
    """
    bound, listens = testpmd_words.told(words)
    # Those that an earlier release started were told all of it.
    if bound.startswith("/"):
        return bound, listens, bound
    noted = _noted(folder)
    return noted, listens or bool(noted), bound


def _command_line(pid: int) -> list[str]:
    """Return the words of a process that does not answer, if we are allowed to see them."""
    try:
        return [it.decode(errors="replace") for it in processes.words(pid)]
    except OSError:
        return []


def _answer(
    telemetry: socket.socket, deadline: float, command: str, port: int | None = None
) -> Any:
    """Return the answer to one command; nothing in it where it has none (no such port)."""
    telemetry.settimeout(max(deadline - time.monotonic(), _PAUSE_S))
    telemetry.send((command if port is None else f"{command},{port}").encode())
    answer = json.loads(telemetry.recv(_LARGEST_ANSWER))
    return answer.get(command) or {}


# --- starting one --------------------------------------------------------------------------------


def _until_it_forwards(started: Detached, folder: Path, seconds: float) -> Testpmd:
    deadline = time.monotonic() + seconds
    while not started.has_ended(_PAUSE_S):
        pid = _holder(folder)
        found = Testpmd(0) if pid is None else _ask(folder, pid)
        if found.forwards:
            return found
        # Either it could not open one, or it is closing both.
        if found.answers and not found.whole and not started.has_ended(_CLOSE_S):
            raise _failed(errno.EIO, "goes without a side", started)
        if time.monotonic() > deadline:
            raise _failed(errno.ETIMEDOUT, f"does not forward after {seconds:g} s", started)
    raise _failed(errno.EIO, "ended", started)


def _failed(code: int, how: str, started: Detached) -> OSError:
    return OSError(code, f"dpdk-testpmd {how}: {testpmd_words.last_words(started.said())}")
