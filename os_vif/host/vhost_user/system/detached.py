# SPDX-License-Identifier: Apache-2.0
"""A process that goes on when its starter ends, and is nobody's child here.

Nothing here waits in poll(2), which a program that runs on eventlet does not have.

Sources: pipe(7), memfd_create(2), fcntl(2) "File Sealing", setsid(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

_WORDS = 1 << 16
_KILL_S = 3.0
_PAUSE_S = 0.01

# It starts the command, and ends all its group unless it is told a line in time.
_SHELL = '"$@" <&1 >&2 & exec >&-; read -r _ || kill -KILL 0'


class Detached:
    """A process in a session of its own, which goes with this object unless it is let go.

    So it does when its starter ends: one that is killed could not say what it had started.

    Its standard input is a pipe with both ends its own: never at its end and never with anything
    to read. We hold another end of that, which hangs up when the last holder ends.

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
            self._alive, far = _closing_both(ours, its, os.O_NONBLOCK)
            told, self._tell = _closing_both(its, ours, 0)
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

    def has_ended(self, seconds: float = 0) -> bool:
        """Say whether it has ended; wait for that for so long."""
        deadline = time.monotonic() + seconds
        while True:
            # Not read(2), in whose place eventlet waits for something to read.
            with contextlib.suppress(BlockingIOError):
                if not os.readv(self._alive, [bytearray(1)]):
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


def _closing_both(
    readers: contextlib.ExitStack, writers: contextlib.ExitStack, flags: int
) -> tuple[int, int]:
    """Return a new pipe's two ends."""
    reads, writes = os.pipe2(os.O_CLOEXEC | flags)
    return _closing(readers, reads), _closing(writers, writes)


def _memory() -> int:
    descriptor = os.memfd_create("words", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.truncate(descriptor, _WORDS)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
