# SPDX-License-Identifier: Apache-2.0
"""Who owns the folders of sockets gets no more of root's than the socket that is made for him."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from os_vif.host.vhost_user.system import back_ends, rights, rooms, testpmd, vhost_sockets
from tests import dpdk
from tests.dpdk import DEVICE, Port
from tests.functional.socket_files import NOBODY, listener, stale

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("testpmd")]

WHAT = ["file", "live", "stale"]
"""What root has under the name of the socket, where the thief leads to."""


@pytest.fixture
def home(sockets: str) -> Path:
    """Return a user's folder with one for sockets in it, beside a folder of root's."""
    os.chmod(sockets, 0o711)  # noqa: S103
    for name in ("roots", "home", "home/vm"):
        Path(sockets, name).mkdir(mode=0o755)
    made = Path(sockets, "home")
    (made / "way").symlink_to("../roots")
    for place in (made, made / "vm", made / "way"):
        os.chown(place, NOBODY.pw_uid, -1, follow_symlinks=False)
    return made


@contextlib.contextmanager
def precious(home: Path, what: str) -> Iterator[None]:
    """Have root hold something in his folder, and see that it stays as it is."""
    path = home.parent / "roots" / "vhost"
    with contextlib.ExitStack() as stack:
        if what == "file":
            path.write_text("precious")
        elif what == "live":
            stack.enter_context(listener(path))
        else:
            stale(path)
        path.chmod(0o600)
        before = os.lstat(path)
        yield
        after = os.lstat(path)
        assert (after.st_ino, after.st_uid, after.st_mode, after.st_nlink) == (
            before.st_ino,
            0,
            before.st_mode,
            1,
        )
        assert os.listdir(path.parent) == ["vhost"], "nothing is made there either"


def swap(home: Path) -> None:
    """Put a link in the folder's place."""
    os.rename(home / "vm", home / "was")
    os.rename(home / "way", home / "vm")


def start(port: Port, home: Path) -> None:
    port.start(listen=True, path=f"{home}/vm/vhost", socket_owner="nobody", socket_mode=0o600)


def before(act: Callable[..., Any], home: Path) -> Callable[..., Any]:
    """Have the thief be there just before something is done."""

    def acted(*args: Any, **options: Any) -> Any:
        if (home / "way").is_symlink():
            swap(home)
        return act(*args, **options)

    return acted


STEPS = [
    (vhost_sockets, "make_way"),
    (rooms, "room"),
    (testpmd, "Detached"),
    (testpmd, "_until_it_forwards"),
    (rooms, "move_in"),
    (rooms, "give_itself"),
]
"""Between which the thief may come."""


@pytest.mark.parametrize("what", ["file", "live"])
@pytest.mark.parametrize("step", STEPS, ids=[name for _room, name in STEPS])
def test_a_folder_that_is_swapped_at_a_step(
    port: Port, home: Path, monkeypatch: pytest.MonkeyPatch, *, step: tuple[Any, str], what: str
) -> None:
    monkeypatch.setattr(*step, before(getattr(*step), home))
    with precious(home, what):
        start(port, home)
        monkeypatch.undo()
        made = os.lstat(home / "was" / "vhost")
        assert made.st_uid == NOBODY.pw_uid, "his own socket is where his folder is"
        assert os.listdir(home / "was") == ["vhost"]
        testpmd.stop(DEVICE, "nobody")


@pytest.mark.parametrize("what", WHAT)
def test_a_folder_that_was_swapped(port: Port, home: Path, what: str) -> None:
    swap(home)
    with precious(home, what):
        with pytest.raises(PermissionError, match="nobody may replace the link"):
            start(port, home)
        assert not testpmd.remove_stale(f"{home}/vm/vhost", "nobody")
        with pytest.raises(PermissionError, match="nobody may replace the link"):
            vhost_sockets.make_way(f"{home}/vm/vhost")


@pytest.mark.parametrize("what", WHAT)
def test_a_folder_that_is_swapped_before_it_stops(port: Port, home: Path, what: str) -> None:
    start(port, home)
    swap(home)
    with precious(home, what):
        testpmd.stop(DEVICE, "nobody")
    dpdk.assert_no_process()


_THIEF = """if True:
    import ctypes, os, sys
    uid, here, there = int(sys.argv[1]), *map(os.fsencode, sys.argv[2:])
    os.setgid(uid); os.setuid(uid)
    print("ready", flush=True)
    libc = ctypes.CDLL(None)
    while True:
        libc.renameat2(-100, here, -100, there, 2)  # RENAME_EXCHANGE
"""


@contextlib.contextmanager
def thief(home: Path) -> Iterator[None]:
    """Have the user swap the folder and a link without a pause."""
    argv = [sys.executable, "-c", _THIEF, str(NOBODY.pw_uid), f"{home}/vm", f"{home}/way"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as made:
        assert made.stdout
        assert made.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            made.kill()


@pytest.mark.parametrize("what", WHAT)
def test_a_thief_who_swaps_all_the_time(port: Port, home: Path, what: str) -> None:
    done = 0
    with precious(home, what), thief(home):
        began = time.monotonic()
        # The thief takes a processor, of which there may be few: one start may take long.
        while time.monotonic() - began < (60 if done else 100):
            with contextlib.suppress(OSError):
                start(port, home)
                done += 1
            with contextlib.suppress(OSError):
                testpmd.stop(DEVICE, "nobody")
            if done >= 4:
                break
    assert done, "some starts get through"


def test_another_socket_of_roots_in_its_place(port: Port, home: Path) -> None:
    """One that is the process's no more: another program of root's made it in that folder."""
    start(port, home)
    path = home / "vm" / "vhost"
    path.unlink()
    own = dataclasses.replace(port.settings, socket_owner="nobody")
    with listener(path):
        path.chmod(0o600)
        with pytest.raises(PermissionError, match="is not the socket of the process"):
            back_ends._hand_over(DEVICE, str(path), own)
        assert os.lstat(path).st_uid == 0


@pytest.mark.parametrize("again", [False, True])
def test_killed_before_the_socket_has_its_path(
    port: Port, home: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    # What was killed closes its files when it gets a processor.
    monkeypatch.setattr(rooms, "_CLOSE_S", 30.0)
    child = os.fork()
    if not child:
        rooms.move_in = lambda *_args: os.kill(os.getpid(), signal.SIGKILL)
        with contextlib.suppress(BaseException):
            start(port, home)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    dpdk.assert_no_process()
    [room] = os.listdir(home / "vm")
    assert os.lstat(home / "vm" / room).st_uid == 0
    if again:
        start(port, home)
        assert os.listdir(home / "vm") == ["vhost"]
    testpmd.stop(DEVICE, "nobody")
    assert os.listdir(home / "vm") == []


def test_one_that_ends_shows_no_command_line(
    port: Port, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has dropped its memory, and holds its lock and its socket yet."""
    start(port, home)
    [pid] = dpdk.testpmds()
    os.kill(pid, signal.SIGSTOP)  # nor does it answer
    monkeypatch.setattr(testpmd, "_command_line", lambda _pid: [""])
    assert (looked := testpmd.look(DEVICE))
    assert (looked.path, looked.listens) == (f"{home}/vm/vhost", True)
    testpmd.stop(DEVICE, "nobody")
    assert os.listdir(home / "vm") == []


def test_a_room_of_who_starts_one_is_not_swept(home: Path) -> None:
    with rights.trusted_folder(f"{home}/vm/vhost", "nobody") as folder, rooms.room(folder) as room:
        rooms.sweep(folder)
        assert os.fstat(room).st_nlink
    assert os.listdir(home / "vm") == []


def test_a_folder_of_roots_that_is_called_like_a_room(home: Path) -> None:
    """Who owns the folder above it may rename it."""
    path = home / "vm" / f".os-vif-{0:016x}"
    path.mkdir(mode=0o700)
    with listener(path / "own"), rights.trusted_folder(f"{home}/vm/vhost", "nobody") as folder:
        (path / "file").touch()
        rooms.sweep(folder)
        assert sorted(os.listdir(path)) == ["file", "own"]


def _take_away(room: Path) -> None:
    room.rmdir()


def _put_his_own(room: Path) -> None:
    room.rmdir()
    room.mkdir()
    os.chown(room, NOBODY.pw_uid, -1)
    _HELD.append(os.open(room, os.O_RDONLY | os.O_CLOEXEC))
    fcntl.flock(_HELD[-1], fcntl.LOCK_EX)


def _put_a_link(room: Path) -> None:
    room.rmdir()
    room.symlink_to("../../roots")


_HELD: list[int] = []


@pytest.mark.parametrize("act", [_take_away, _put_his_own, _put_a_link])
def test_a_room_that_is_swapped_at_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], None]
) -> None:
    """Whatever its folder's owner does, the start fails and does not wait for him."""
    really = os.mkdir

    def mkdir(name: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        really(name, mode, dir_fd=dir_fd)
        if dir_fd is not None:
            act(home / "vm" / name)

    with rights.trusted_folder(f"{home}/vm/vhost", "nobody") as folder:
        monkeypatch.setattr(rooms.os, "mkdir", mkdir)
        with pytest.raises(PermissionError, match="takes away each"), rooms.room(folder):
            pass
        monkeypatch.undo()
    while _HELD:
        os.close(_HELD.pop())
    assert os.listdir(home.parent / "roots") == []
