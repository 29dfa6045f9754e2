# SPDX-License-Identifier: Apache-2.0
"""Demos that are played, and what they may leave: nothing."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pexpect

from tests import witness
from tests.conftest import PrivateHost

CHECKOUT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def nothing_left(host: PrivateHost, folder: Path) -> Iterator[dict[str, str]]:
    """See that devices, files and processes are as before.

    :param folder: where it has its files; in the environment that this yields
    """
    with host.enter():
        before = witness.snapshot()
    yield {**os.environ, "TMPDIR": str(folder)}
    with host.enter():
        assert witness.snapshot() == before
    assert list(folder.iterdir()) == []
    deadline = time.monotonic() + 30
    while found := _running_in(folder):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def _running_in(folder: Path) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            inside = os.readlink(f"/proc/{pid}/cwd").startswith(f"{folder}/")
            words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            if inside or f"{folder}/" in words:
                found.append(words)
    return found


def interrupted(host: PrivateHost, folder: Path, demo: Sequence[str], act: str) -> str:
    """Play a demo up to some words, and press Ctrl-C; return what it said after them."""
    with nothing_left(host, folder) as environment:
        [program, *arguments] = host.argv(*demo)
        child = pexpect.spawn(
            program,
            arguments,
            cwd=str(CHECKOUT),
            env=environment,
            encoding="utf-8",
            timeout=120,
        )
        child.expect_exact(act)
        child.sendintr()
        child.expect(pexpect.EOF)
        child.wait()
    assert child.exitstatus == 130
    assert "Traceback" not in child.before
    return str(child.before)
