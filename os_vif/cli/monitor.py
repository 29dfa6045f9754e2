# SPDX-License-Identifier: Apache-2.0
"""QEMU's monitor: asks a guest that runs, by QMP, and trusts nothing that comes back.

Whoever owns the socket may say what he likes, as much and as slowly as he likes; so all of it has
bounds.

Sources: docs/interop/qmp-spec; unix(7) for SO_PEERCRED; pidfd_getfd(2); drivers/net/tun.c.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
import socket
import stat
import struct
import time
from collections.abc import Iterator
from typing import Any

from os_vif.cli.session import Exit, Failure
from os_vif.guest.asked import Refused

SILENCE = 10.0
"""Seconds for one answer."""
PATIENCE = 30.0
"""Seconds for all of them."""
MOST = 16 << 20
"""Bytes that all answers may have: one of query-rx-filter has 40 KiB."""

_TUN = os.makedev(10, 200)  # Documentation/admin-guide/devices.txt
_TUNGETIFF = 0x800454D2  # linux/if_tun.h
_SYS_PIDFD_GETFD = 438  # asm-generic/unistd.h, the same on every architecture
_libc = ctypes.CDLL(None, use_errno=True)


class Monitor:
    """A talk with one QEMU, from greeting to end; see :class:`os_vif.guest.asked.Running`."""

    def __init__(
        self, path: str, *, silence: float = SILENCE, patience: float = PATIENCE, most: int = MOST
    ) -> None:
        """Begin it.

        :param path: of the socket
        :param silence: seconds for one answer
        :param patience: seconds for all of them
        :param most: bytes of all of them
        :raises Failure: nobody answers there as QEMU does
        """
        self._path = path
        self._silence = silence
        self._until = time.monotonic() + patience
        self._left = most
        self._said = bytearray()
        self._searched = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connect()
            if "QMP" not in self._next(greeting=True):
                raise self._nonsense()
            self.ask("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _connect(self) -> None:
        self._socket.settimeout(self._silence)
        try:
            # Held, and named by its descriptor: a path may be longer than a socket's address.
            held = os.open(self._path, os.O_PATH | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise self._failure(getattr(error, "strerror", error), Exit.BAD_INPUT) from None
        try:
            if not stat.S_ISSOCK(os.fstat(held).st_mode):
                raise self._failure(
                    "this is no socket; QEMU makes one with -qmp unix:PATH,server=on,wait=off",
                    Exit.BAD_INPUT,
                )
            self._socket.connect(f"/proc/self/fd/{held}")
        except ConnectionRefusedError:
            raise self._failure("nobody listens there: does the guest run?") from None
        except TimeoutError:
            raise self._silent(greeting=True) from None
        except OSError as error:
            raise self._failure(error.strerror or str(error)) from None
        finally:
            os.close(held)

    # --- asking -----------------------------------------------------------------------------------

    def ask(self, execute: str, /, **arguments: Any) -> Any:
        """Have QEMU do something and return its answer.

        :raises Refused: it does not
        :raises Failure: what comes back is no answer, comes too late or is too much
        """
        message = json.dumps({"execute": execute, "arguments": arguments})
        try:
            self._socket.settimeout(self._seconds())
            self._socket.sendall(f"{message}\n".encode())
        except TimeoutError:
            raise self._silent() from None
        except OSError as error:
            raise self._failure(f"QEMU has ended the talk ({error.strerror})") from None
        while "event" in (said := self._next()):
            pass
        if "return" in said:
            return said["return"]
        refused = said.get("error")
        if not isinstance(refused, dict) or not isinstance(refused.get("desc"), str):
            raise self._nonsense()
        raise Refused(refused["desc"])

    def _next(self, *, greeting: bool = False) -> dict[str, Any]:
        by = min(time.monotonic() + self._silence, self._until)
        while (end := self._said.find(b"\n", self._searched)) < 0:
            self._searched = len(self._said)
            self._receive(by, greeting=greeting)
        line, self._said, self._searched = bytes(self._said[:end]), self._said[end + 1 :], 0
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise self._nonsense() from None
        if not isinstance(found, dict):
            raise self._nonsense()
        return found

    def _receive(self, by: float, *, greeting: bool) -> None:
        try:
            self._socket.settimeout(max(by - time.monotonic(), 0.001))
            more = self._socket.recv(65536)
        except TimeoutError:
            raise self._silent(greeting=greeting) from None
        except OSError as error:
            raise self._failure(f"QEMU has ended the talk ({error.strerror})") from None
        if not more:
            raise self._failure("QEMU has ended the talk")
        self._left -= len(more)
        if self._left < 0:
            raise self._failure("what comes from there is more than QEMU has to say")
        self._said += more

    def _seconds(self) -> float:
        return max(min(self._silence, self._until - time.monotonic()), 0.001)

    # --- what it has open -------------------------------------------------------------------------

    def devices(self) -> dict[int, str] | None:
        """Return the taps and macvtaps QEMU has open, by descriptor; None if that is not seen.

        It is asked of the kernel, for the process that has made the socket.
        """
        length = struct.calcsize("=iII")
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, length)
        process = struct.unpack("=iII", credentials)[0]
        found: dict[int, str] = {}
        try:
            with _held(os.pidfd_open(process)) as pidfd:
                for number in _taps(process):
                    with _held(_taken(pidfd, number)) as copy:
                        found[number] = _name(copy)
        except OSError:
            return None
        return found

    # --- what is wrong ----------------------------------------------------------------------------

    def _failure(self, said: object, code: Exit = Exit.FAILED) -> Failure:
        return Failure(f"{self._path}: {said}", code)

    def _nonsense(self) -> Failure:
        return self._failure(
            "what answers there does not speak QMP, as QEMU does with -qmp unix:PATH,server=on,"
            "wait=off"
        )

    def _silent(self, *, greeting: bool = False) -> Failure:
        if greeting:
            return self._failure(
                f"QEMU says nothing for {self._silence:g} s: a monitor speaks with one at a time, "
                "and another may be on it"
            )
        return self._failure("QEMU does not answer in time")


@contextlib.contextmanager
def _held(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taps(process: int) -> Iterator[int]:
    """Yield the descriptors that may be of taps or macvtaps."""
    with open("/proc/devices") as file:
        macvtap = {int(it[1]) for it in re.finditer(r"(?m)^ *([0-9]+) macvtap$", file.read())}
    for number in os.listdir(f"/proc/{process}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            seen = os.stat(f"/proc/{process}/fd/{number}")
            device = seen.st_rdev if stat.S_ISCHR(seen.st_mode) else 0
            if device == _TUN or os.major(device) in macvtap:
                yield int(number)


def _name(descriptor: int) -> str:
    """Return the device that a descriptor is of; '' where it is of none yet."""
    try:
        answer = fcntl.ioctl(descriptor, _TUNGETIFF, bytes(40))
    except OSError:
        return ""
    return answer[:16].rstrip(b"\0").decode(errors="replace")


def _taken(pidfd: int, number: int) -> int:
    """Return a copy of another process' descriptor, closed on exec.

    :raises OSError: the kernel refuses
    """
    copy = int(_libc.syscall(ctypes.c_long(_SYS_PIDFD_GETFD), pidfd, number, 0))
    if copy < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return copy
