# SPDX-License-Identifier: Apache-2.0
"""A process that outlives its starter: only if that says so."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import signal
import subprocess
import time
from typing import Any

import pytest

from os_vif.host.vhost_user.system.detached import Detached

pytestmark = pytest.mark.functional

ENVIRONMENT = {"PATH": os.defpath}


def is_open(reads: int, patience: float = 30) -> bool:
    """Tell whether a process has the other end of a pipe open, and keeps it so long."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            return bool(os.read(reads, 1))
        except BlockingIOError:
            time.sleep(0.01)
    return True


@pytest.fixture
def sleeper() -> Any:
    """Return a command that sleeps, and an end of a pipe whose other end it holds."""
    reads, writes = os.pipe2(os.O_NONBLOCK)
    script = f"exec 9>/proc/{os.getpid()}/fd/{writes}; echo $$; exec sleep 60"
    made = ["sh", "-c", script], reads
    yield made, writes
    os.close(reads)


def started(argv: list[str]) -> Detached:
    made = Detached(argv, ENVIRONMENT)
    deadline = time.monotonic() + 30
    while not made.said():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return made


@pytest.mark.parametrize("let_go", [False, True])
def test_whether_it_is_let_go(sleeper: Any, let_go: bool) -> None:
    (argv, reads), writes = sleeper
    with started(argv) as made:
        os.close(writes)
        assert not made.has_ended(0.05)
        pid = int(made.said()[0])
        if let_go:
            made.let_go()
    assert is_open(reads, 0.5 if let_go else 30) == let_go
    if let_go:
        os.kill(pid, signal.SIGKILL)
        assert not is_open(reads)


def test_it_has_ended() -> None:
    with Detached(["true"], ENVIRONMENT) as made:
        assert made.has_ended(30)
        assert made.said() == []


FAILING: list[tuple[Any, str, int]] = [
    (os, "memfd_create", 0),
    (os, "truncate", 0),
    (fcntl, "fcntl", 0),
    (os, "pipe2", 0),
    (os, "pipe2", 1),
    (os, "open", 0),
    (subprocess, "Popen", 0),
]


@pytest.mark.parametrize(("module", "name", "number"), FAILING)
def test_it_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, number: int
) -> None:
    """Not a single descriptor is lost."""
    really, asked = getattr(module, name), itertools.count()

    def fail(*args: Any, **options: Any) -> Any:
        if next(asked) == number:
            raise OSError(errno.EMFILE, "too many open files")
        return really(*args, **options)

    before = sorted(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(module, name, fail)
    with pytest.raises(OSError, match="too many open files"):
        Detached(["true"], ENVIRONMENT)
    monkeypatch.undo()
    assert sorted(os.listdir("/proc/self/fd")) == before
