# SPDX-License-Identifier: Apache-2.0
"""A program that runs below the command: started, told what the command is told, waited for.

It stays in the command's process group, so the terminal is its as much as ours: it reads what is
typed, and has Ctrl-C, Ctrl-Z and changes of the window's size from the kernel itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Self

PASSED_ON = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2),
)
"""What would end this process, and is the program's to answer."""

_TYPED = (signal.SIGINT, signal.SIGQUIT)
_SI_KERNEL = 0x80
"""``si_code`` of a signal that a terminal has sent to a whole process group (sigaction(2))."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Told(Exception):
    """A signal came before there was a program to pass it on to.

    :ivar number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Kept:
    """A context in which a signal does not end this process at once, but is kept in ``told``.

    The second is from an impatient finger: it ends the process as Ctrl-C does. What was ignored
    before (nohup(1)) stays so.

    :ivar told: the numbers of the signals that came.
    """

    def __init__(self) -> None:
        self.told: list[int] = []
        self._former: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in PASSED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._former[number] = signal.signal(number, self._keep)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)  # type: ignore[arg-type]  # as signal() returned it

    def _keep(self, number: int, _frame: FrameType | None) -> None:
        if self.told:
            raise KeyboardInterrupt
        self.told.append(number)


def exit_code_of(error: OSError) -> int:
    """Return what shells end with if a program cannot be started: 126, or 127 if there is none."""
    return 127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126


def find(program: str) -> None:
    """See that a program can be started, as far as its name tells.

    :raises OSError: it cannot be
    """
    if shutil.which(program):
        return
    there = program if os.path.dirname(program) else shutil.which(program, os.F_OK)
    if not there or not os.path.exists(there):
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    number = errno.EISDIR if os.path.isdir(there) else errno.EACCES
    raise OSError(number, os.strerror(number))


def run(
    words: Sequence[str],
    environment: Mapping[str, str],
    descriptors: Collection[int],
    kept: Kept,
    *,
    die_with_us: bool = False,
) -> int:
    """Run a program to its end; return its exit code, 128 + n if signal n ended it.

    :param descriptors: what it inherits beside its standard streams; closed here
    :param kept: the signals that have come
    :param die_with_us: the kernel sends it SIGTERM should this process end before it does
    :raises Told: one has, and nothing is started
    :raises OSError: it cannot be started
    """
    # Who started us may have had it ignored; then the kernel would keep no exit code.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    waited_for = {*PASSED_ON, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    try:
        with contextlib.ExitStack() as ours:
            for descriptor in descriptors:
                ours.callback(os.close, descriptor)
            if kept.told:
                raise Told(kept.told[0])
            child = subprocess.Popen(
                words,
                env=environment,
                pass_fds=tuple(descriptors),
                # What it does is safe between fork and exec: a few system calls.
                preexec_fn=_preparing(before, die_with_us=die_with_us),  # noqa: PLW1509
            )
        while child.poll() is None:
            told = signal.sigwaitinfo(waited_for)
            if told.si_signo != signal.SIGCHLD and not _has_it(child, told):
                child.send_signal(told.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _has_it(child: subprocess.Popen[bytes], told: signal.struct_siginfo) -> bool:
    """Tell whether the terminal has sent a signal to the program as well."""
    if told.si_signo not in _TYPED or told.si_code != _SI_KERNEL:
        return False
    return os.getpgid(child.pid) == os.getpgrp()


def _preparing(mask: Collection[int], *, die_with_us: bool) -> Callable[[], None]:
    """Return what the program's process does before it becomes the program."""
    parent = os.getpid()
    prctl = None
    if die_with_us:
        import ctypes

        prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        # What comes from now on is the program's; ours would swallow it.
        for number in PASSED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if prctl is not None and os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return prepare
