# SPDX-License-Identifier: Apache-2.0
"""A process that goes on when its starter ends, and is nobody's child here.

Nothing here waits in poll(2), which a program that runs on eventlet does not have.

Sources: pipe(7), memfd_create(2), fcntl(2) "File Sealing", setsid(2), socketpair(2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from os_vif.system import processes

_WORDS = 1 << 16
_KILL_S = 3.0
_PAUSE_S = 0.01

# It starts the command, says its number, and ends all its group unless it is told a line in time.
# Nobody may listen any more, which must not end it before that.
_SHELL = '"$@" <&1 >&2 & trap "" PIPE; echo $! >&0; exec >&-; read -r _ || kill -KILL 0'


class Detached:
    """A process in a session of its own, which goes with this object unless it is let go.

    So it does when its starter ends: one that is killed could not say what it had started.

    Its standard input is a pipe with both ends its own: never at its end and never with anything
    to read. We hold another end of that, which hangs up when the last holder ends, or has put
    something else in its place, as one does that drops what a terminal has given it.

    Its output goes to 64 KiB of memory that go with it; what does not fit is dropped, and no
    file grows.
    """

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], folder: int | None = None
    ) -> None:
        """Start it; what it makes is its user's alone (umask 077).

        :param folder: a descriptor of where it starts; None for the root folder
        :raises OSError: no process can be started.
        """
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as its:
            self._words = _closing(ours, _memory())
            ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self._alive, far = _closing(ours, ends[0]), _closing(its, ends[1])
            pair = socket.socketpair()
            self._tell, told = _closing(ours, pair[0].detach()), _closing(its, pair[1].detach())
            os.set_blocking(self._tell, False)
            os.set_blocking(told, True)  # eventlet's are not
            # Opened once more it blocks, as standard input should.
            both = _closing(its, os.open(f"/proc/self/fd/{far}", os.O_RDWR | os.O_CLOEXEC))
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SHELL, "sh", *argv],
                stdin=told,
                stdout=both,
                stderr=self._words,
                cwd="/" if folder is None else f"/proc/self/fd/{folder}",
                env=dict(environment),
                start_new_session=True,
                umask=0o077,
            )
            self._files = ours.pop_all()

    def __enter__(self) -> Detached:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @functools.cached_property
    def pid(self) -> int:
        """Its number, or that of the program that its command's first word is; 0 for none.

        :raises OSError: ETIMEDOUT: nobody says.
        """
        said = bytearray(32)
        deadline = time.monotonic() + _KILL_S
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                return int(said[: os.readv(self._tell, [said])] or 0)
            time.sleep(_PAUSE_S)
        raise OSError(errno.ETIMEDOUT, "the shell does not start it")

    def has_ended(self, seconds: float = 0) -> bool:
        """Say whether it has ended, with all that it started; wait for that for so long."""
        deadline = time.monotonic() + seconds
        while True:
            # Not read(2), in whose place eventlet waits for something to read.
            with contextlib.suppress(BlockingIOError):
                if not os.readv(self._alive, [bytearray(1)]) and not processes.started(self.pid):
                    return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, _PAUSE_S))

    def kill(self) -> None:
        """End it and what it started."""
        deadline = time.monotonic() + _KILL_S
        # The group's number cannot become another's while one of them lives.
        while not self.has_ended() and time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._shell.pid, signal.SIGKILL)
            self.has_ended(_PAUSE_S)

    def said(self) -> list[str]:
        """Return the lines that it has said so far."""
        text = os.pread(self._words, _WORDS, 0).rstrip(b"\0").decode(errors="replace")
        return text.splitlines()

    def let_go(self) -> None:
        """Let it go on alone: it is then the child of init."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._tell, b"\n")

    def close(self) -> None:
        """Watch it no more; unless it was let go, it ends."""
        self._files.close()
        self._shell.wait()


def _closing(stack: contextlib.ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _memory() -> int:
    descriptor = os.memfd_create("words", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.truncate(descriptor, _WORDS)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
