# SPDX-License-Identifier: Apache-2.0
"""The command ``fp-vdev`` as it is run: by several at once, and with what it leaves running."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from os_vif.host.vhost_user.system import fp_vdev as backend
from os_vif.system import locks
from tests import fp_vdev, vifs, witness
from tests.fp_vdev import FpVdev
from tests.functional.test_back_ends import at_once
from tests.lldpad import until

pytestmark = pytest.mark.functional

DEV = "vhu0"
PATH = "/run/vhu0"
ADDED = f"add {DEV} --sockpath {PATH} --sockmode client"


@pytest.fixture
def command(inside: Any, tmp_path: Path) -> Iterator[FpVdev]:
    with fp_vdev.on_fp_vdev(tmp_path) as made:
        yield made


def add(_which: int = 0) -> None:
    backend.add(DEV, PATH, listens=False)


@pytest.mark.parametrize("mood", ["slow", ""])
def test_two_at_once(inside: Any, command: FpVdev, mood: str) -> None:
    """The second one leaves the device of the first alone, marked or not."""
    command.be(mood)
    first, second = sorted(at_once(inside, 2, add), key=repr, reverse=True)
    assert first is None
    assert isinstance(second, FileExistsError)
    assert witness.link(DEV)
    assert command.calls() == [ADDED]


def test_after_one_that_failed(inside: Any, command: FpVdev) -> None:
    """What that made is gone before the second one looks."""
    command.be("half of it was made, then no memory")
    outcomes = at_once(inside, 2, add)
    assert all("then no memory" in str(error) for error in outcomes)
    assert [call for call in command.calls() if "get" not in call] == [ADDED, f"del {DEV}"] * 2
    assert witness.link(DEV) is None


def test_an_add_and_a_delete(inside: Any, command: FpVdev) -> None:
    command.be("slow")

    def act(which: int) -> bool | None:
        if which:
            until(command.was_asked)
        return backend.delete(DEV) if which else add()

    assert at_once(inside, 2, act) == [None, True]
    assert command.calls() == [ADDED, f"del {DEV}"]


def test_busy_for_too_long(inside: Any, command: FpVdev, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is told, and may try again."""
    monkeypatch.setattr(backend, "_KILL_S", 0)
    words = f"another process is busy with {DEV} for 2 s already"
    with (
        vifs.configured("vhostuser_fp", back_end_timeout=1),
        locks.held(DEV, 0),
        pytest.raises(OSError, match=words),
    ):
        add()
    assert command.calls() == []


def test_it_leaves_a_program_running(command: FpVdev) -> None:
    """It has ended all the same, although its output is still open."""
    command.be("helper")
    add()
    os.kill(command.helper(), signal.SIGKILL)  # it still runs
    assert witness.link(DEV)


@pytest.mark.usefixtures("settled")
def test_it_says_much(command: FpVdev) -> None:
    before = len(os.listdir("/proc/self/fd"))
    command.be("\n".join([*("many words" for _ in range(20000)), "the last ones"]))
    with pytest.raises(OSError, match=r"fp-vdev add: the last ones$"):
        add()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("there", ["", "no permission", "no program"])
def test_there_is_no_command(command: FpVdev, tmp_path: Path, there: str) -> None:
    absent = tmp_path / "other"
    if there:
        absent.write_text("")
        absent.chmod(0o755 if there == "no program" else 0o644)
    words = {"": "No such file", "no permission": "Permission denied", "no program": "Exec format"}
    with (
        vifs.configured("vhostuser_fp", fp_vdev_command=str(absent)),
        pytest.raises(OSError, match=rf"cannot run {absent}: {words[there]}.* fp_vdev_command"),
    ):
        add()
