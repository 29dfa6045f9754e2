# SPDX-License-Identifier: Apache-2.0
"""A process that outlives its starter: only if that says so."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from os_vif.system import processes
from os_vif.system.detached import Detached
from tests.waiting import until

pytestmark = [pytest.mark.functional, pytest.mark.usefixtures("settled")]

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
    until(made.said)
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


def test_one_whose_starter_ends_at_once(tmp_path: Path) -> None:
    """Before it was told what was started."""
    file = tmp_path / "pid"
    Detached(["sh", "-c", f"echo $$ > {file}; exec sleep 60"], ENVIRONMENT).close()
    # It may be too late for it to say anything.
    processes.until(lambda: file.exists() and file.read_text().strip(), 1)
    pid = int(file.read_text() or 0) if file.exists() else 0
    until(lambda: not processes.started(pid))


def test_one_that_drops_what_it_was_given_goes_on() -> None:
    script = "exec </dev/null >/dev/null; echo $$ >&2; exec sleep 60"
    with started(["sh", "-c", script]) as made:
        assert made.pid == int(made.said()[0])
        assert not made.has_ended(0.1)
        made.kill()
        assert made.has_ended()


FAILING: list[tuple[Any, str, int]] = [
    (os, "memfd_create", 0),
    (os, "truncate", 0),
    (fcntl, "fcntl", 0),
    (os, "pipe2", 0),
    (socket, "socketpair", 0),
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
