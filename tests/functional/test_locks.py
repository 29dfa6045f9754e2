# SPDX-License-Identifier: Apache-2.0
"""The lock of a device: whom it keeps waiting, and that it never outlives its holder."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from os_vif.system import locks, run_folders
from tests.conftest import PrivateHost

pytestmark = [pytest.mark.functional, pytest.mark.usefixtures("settled")]


@pytest.fixture(autouse=True)
def folder(inside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run_folders, "RUN", tmp_path)
    return tmp_path / locks.FOLDER


def is_free(device: str = "dev0") -> bool:
    try:
        with locks.held(device, 0.05):
            return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False


def test_whom_it_keeps_waiting(inside: PrivateHost, folder: Path) -> None:
    with locks.held("dev0", 0):
        assert not is_free(), "in this thread"
        assert not inside.python(is_free), "in another thread"
        assert is_free("dev1")
        other = PrivateHost()
        try:
            assert other.python(is_free), "a device of another namespace"
        finally:
            other.close()
    assert is_free()
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(folder / "lock").st_mode) == 0o600


@contextlib.contextmanager
def child(*, holds: bool) -> Iterator[int]:
    """Have a copy of this process, which may take the lock first."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        with locks.held("dev0", 0) if holds else contextlib.nullcontext():
            os.write(writes, b"!")
            signal.pause()
    try:
        os.read(reads, 1)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reads)
        os.close(writes)


def test_a_holder_that_is_killed() -> None:
    with child(holds=True):
        assert not is_free()
    assert is_free()


def test_a_holder_that_forked() -> None:
    """Its child has the file open, and is no holder."""
    with contextlib.ExitStack() as stack:
        with locks.held("dev0", 0):
            stack.enter_context(child(holds=False))
        assert is_free()


def test_an_error_frees_it() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError), locks.held("dev0", 0):
        _ = 1 // 0
    assert is_free()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("what", ["another's folder", "a link", "a link for the file"])
def test_what_others_put_in_its_place(folder: Path, tmp_path: Path, what: str) -> None:
    precious = tmp_path / "precious"
    match what:
        case "another's folder":
            folder.mkdir()
            os.chown(folder, 65534, -1)
        case "a link":
            (tmp_path / "real").mkdir()
            folder.symlink_to("real")
        case _:
            folder.mkdir()
            (folder / "lock").symlink_to(precious)
    with pytest.raises(OSError, match=r"another user|Not a directory|symbolic links"):  # noqa: SIM117
        with locks.held("dev0", 0):
            pass
    assert not precious.exists()


def test_a_folder_that_another_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own that one would put something else in the place of ours."""
    monkeypatch.setattr(run_folders, "RUN", Path("/nowhere"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run_folders.path("ours") == tmp_path / "ours"
    os.chown(tmp_path, 65534, -1)
    assert run_folders.path("ours").parent == Path("/tmp")
    os.chown(tmp_path, 0, -1)
