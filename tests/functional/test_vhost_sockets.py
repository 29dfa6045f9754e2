# SPDX-License-Identifier: Apache-2.0
"""What is said and done about sockets, by the kernel's rules."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from os_vif.host.vhost_user.system import rights, vhost_sockets
from os_vif.host.vhost_user.system.vhost_sockets import Kind
from tests.functional.socket_files import NOBODY, being, listener, stale

pytestmark = pytest.mark.functional

KINDS = [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM]


@pytest.fixture
def folder(sockets: str) -> Path:
    made = Path(sockets)
    made.chmod(0o755)
    return made


def hand_over(path: str, owner: str, group: str, mode: int) -> None:
    """Hand over what is at a path, whosever it is."""
    folder = rights.open_folder(path)
    there = {os.lstat(path).st_ino & 0xFFFFFFFF} if os.path.lexists(path) else set()
    try:
        vhost_sockets.hand_over(path, owner, group, mode, folder=folder, inodes=there)
    finally:
        os.close(folder)


# --- looking -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_live_and_stale(folder: Path, kind: int) -> None:
    path = folder / "s"
    assert vhost_sockets.look(str(path)).kind is Kind.NOTHING
    with listener(path, kind):
        assert vhost_sockets.look(str(path)).kind is Kind.LIVE
    assert vhost_sockets.look(str(path)).kind is Kind.STALE


def test_the_holder_does_not_notice(folder: Path) -> None:
    """QEMU waits for one peer and would take us for it."""
    with listener(folder / "s") as held:
        for _look in range(5):
            assert vhost_sockets.look(str(folder / "s")).kind is Kind.LIVE
        with pytest.raises(BlockingIOError):
            held.accept()
        # A queue that is full is no reason either.
        with contextlib.ExitStack() as stack:
            for _peer in range(2):
                peer = stack.enter_context(socket.socket(socket.AF_UNIX))
                peer.setblocking(False)
                peer.connect(str(folder / "s"))
            assert vhost_sockets.look(str(folder / "s")).kind is Kind.LIVE


def test_a_socket_that_is_not_listened_at_yet(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "s"))
        assert vhost_sockets.look(str(folder / "s")).kind is Kind.LIVE


def test_a_holder_in_another_network_namespace(folder: Path) -> None:
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()"
    argv = ["unshare", "--net", "python3", "-c", f"{code}; print('ready', flush=True); input()"]
    with subprocess.Popen(
        [*argv, str(folder / "s")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"ready\n"
        assert vhost_sockets.look(str(folder / "s")).kind is Kind.LIVE
        holder.communicate(b"\n")
    assert vhost_sockets.look(str(folder / "s")).kind is Kind.STALE


def test_a_socket_that_one_may_not_connect_to(folder: Path) -> None:
    with listener(folder / "s"):
        (folder / "s").chmod(0o600)
        with being(NOBODY):
            assert vhost_sockets.look(str(folder / "s")).kind is Kind.UNKNOWN
            with pytest.raises(PermissionError, match="cannot be told"):
                vhost_sockets.make_way(str(folder / "s"))


def test_where_sockets_are_another_librarys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under eventlet.monkey_patch(), as in nova-compute, this raises instead of returning."""

    class Green(socket.socket):
        def connect_ex(self, address: Any) -> int:
            self.connect(address)
            return 0

    monkeypatch.setattr(socket, "socket", Green)
    with listener(folder / "s"):
        assert vhost_sockets.look(str(folder / "s")).kind is Kind.LIVE
        (folder / "s").chmod(0o600)
        with being(NOBODY):
            assert vhost_sockets.look(str(folder / "s")).kind is Kind.UNKNOWN
    assert vhost_sockets.look(str(folder / "s")).kind is Kind.STALE
    assert vhost_sockets.make_way(str(folder / "s"))


def test_what_else_there_may_be(folder: Path) -> None:
    (folder / "file").write_text("precious")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    with listener(folder / "s"):
        (folder / "link").symlink_to("s")
        for name, what in (
            ("file", "a file"),
            ("folder", "a folder"),
            ("pipe", "a special file"),
            ("link", "a symbolic link"),
        ):
            path = str(folder / name)
            found = vhost_sockets.look(path)
            assert (found.kind, found.what) == (Kind.OTHER, what)
            with pytest.raises(FileExistsError, match=f"is {what}, not a socket"):
                vhost_sockets.make_way(path)
            with pytest.raises(FileExistsError, match=f"is {what}, not a socket"):
                hand_over(path, "nobody", "", 0o600)
            assert os.path.lexists(path)
            assert os.lstat(path).st_uid == 0
    assert vhost_sockets.look(f"{folder}/missing/s").kind is Kind.NO_FOLDER
    assert not vhost_sockets.make_way(f"{folder}/missing/s")
    with pytest.raises(NotADirectoryError, match=rf"{folder}/file: Not a directory$"):
        vhost_sockets.look(f"{folder}/file/s")


def test_whose_they_are(folder: Path) -> None:
    folder.chmod(0o1771)
    os.chown(folder, NOBODY.pw_uid, -1)
    with listener(folder / "s"):
        os.chown(folder / "s", 1, 2)
        (folder / "s").chmod(0o751)
        found = vhost_sockets.look(str(folder / "s"))
    assert (found.owner, found.group, found.mode) == (1, 2, 0o751)
    assert (found.folder_owner, found.folder_mode) == (NOBODY.pw_uid, 0o1771)


# --- making way ----------------------------------------------------------------------------------


def test_only_a_stale_socket_goes(folder: Path) -> None:
    path = folder / "s"
    assert not vhost_sockets.make_way(str(path))
    with listener(path) as held:
        with pytest.raises(OSError, match="a process holds"):
            vhost_sockets.make_way(str(path))
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            held.accept()[0].close()
    assert vhost_sockets.make_way(str(path))
    assert list(folder.iterdir()) == []


def test_a_new_socket_in_the_last_moment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner has removed the stale one itself, between our look and our act."""
    path = stale(folder / "s")
    with contextlib.ExitStack() as stack:
        look = vhost_sockets.state_of

        def late(held: int) -> Kind:
            seen = look(held)
            path.unlink()
            stack.enter_context(listener(path))
            return seen

        monkeypatch.setattr(vhost_sockets, "state_of", late)
        with pytest.raises(OSError, match="made anew meanwhile"):
            vhost_sockets.make_way(str(path))
        monkeypatch.undo()
        assert vhost_sockets.look(str(path)).kind is Kind.LIVE
        assert os.listdir(folder) == ["s"]


def test_a_third_one_in_the_very_last_moment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that came in between cannot have its name back: there is a third by now."""
    path = stale(folder / "s")
    with contextlib.ExitStack() as stack:
        state, rename = vhost_sockets.state_of, os.rename
        third = []

        def late(held: int) -> Kind:
            seen = state(held)
            path.unlink()
            stack.enter_context(listener(path))
            return seen

        def later(*args: Any, **options: Any) -> None:
            rename(*args, **options)
            if not third:
                stack.enter_context(listener(path))
                third.append(path.stat().st_ino)

        monkeypatch.setattr(vhost_sockets, "state_of", late)
        monkeypatch.setattr(os, "rename", later)
        with pytest.raises(OSError, match=r"s was made anew meanwhile, and is called .*: File ex"):
            vhost_sockets.make_way(str(path))
        monkeypatch.undo()
        assert path.stat().st_ino == third[0]
        [aside] = set(os.listdir(folder)) - {"s"}
        assert vhost_sockets.look(str(folder / aside)).kind is Kind.LIVE


def test_what_a_killed_process_left_goes_too(folder: Path) -> None:
    names = [f".os-vif-{number:016x}" for number in range(6)]
    left, live, file, strangers, handed, near = [*names[:5], ".os-vif-0"]
    for name in (left, strangers, handed, near):
        stale(folder / name)
    (folder / file).touch()
    os.chown(folder / strangers, 1, -1)
    with listener(folder / live):
        assert not vhost_sockets.make_way(str(folder / "s"))
        assert (folder / left).exists(), "only who removes something looks for more"
        # A socket that was handed over belongs to whom the removed one belonged.
        for name in ("s", handed):
            os.chown((folder / name) if name == handed else stale(folder / name), NOBODY.pw_uid, -1)
        assert vhost_sockets.make_way(str(folder / "s"))
        assert set(os.listdir(folder)) == {live, file, strangers, near}


# --- handing over --------------------------------------------------------------------------------


def test_handed_over(folder: Path) -> None:
    with listener(folder / "s"):
        path = str(folder / "s")
        wanted = ("nobody", "daemon", 0o620)
        assert not vhost_sockets.is_handed_over(vhost_sockets.look(path), *wanted)
        hand_over(path, *wanted)
        assert vhost_sockets.is_handed_over(vhost_sockets.look(path), *wanted)
        found = os.stat(path)
        assert found.st_uid == NOBODY.pw_uid
        assert stat.S_IMODE(found.st_mode) == 0o620
        hand_over(path, "", "", 0o660)
        assert os.stat(path).st_uid == NOBODY.pw_uid
    with pytest.raises(FileNotFoundError, match="there is no socket"):
        hand_over(str(folder / "none"), "", "", 0o660)


@pytest.mark.parametrize("nobody", ["who-is-that", "4294967295", "9" * 5000, "a\0b", "\ud800"])
def test_a_user_or_group_that_cannot_be(folder: Path, nobody: str) -> None:
    """Of no kind that is worth another try."""
    path = str(folder / "s")
    with listener(folder / "s"):
        found = vhost_sockets.look(path)
        for act, what in (
            (lambda: hand_over(path, nobody, "", 0o660), "user"),
            (lambda: hand_over(path, "", nobody, 0o660), "group"),
            (lambda: vhost_sockets.is_handed_over(found, "", nobody, 0o660), "group"),
            (lambda: rights.usable_by(path, nobody, listening=True), "user"),
            (lambda: rights.untrusted(path, nobody), "user"),
        ):
            with pytest.raises(OSError, match=f"there is no {what} ") as caught:
                act()
            assert (caught.value.errno, caught.value.strerror) == (
                errno.EINVAL,
                f"there is no {what} {nobody}",
            )
        hand_over(path, "4294967294", "4294967294", 0o660)
        assert os.stat(path).st_uid == 2**32 - 2


def test_a_socket_with_another_name_is_not_handed_over(folder: Path) -> None:
    """Who may write in the folder could have made ours another name of the host's own."""
    with listener(folder / "precious"):
        os.link(folder / "precious", folder / "s")
        with pytest.raises(PermissionError, match="has another name too"):
            hand_over(str(folder / "s"), "nobody", "", 0o666)
        assert os.stat(folder / "precious").st_uid == 0


def test_what_the_process_does_not_hold_is_not_handed_over(folder: Path) -> None:
    with listener(folder / "s"), rights.trusted_folder(str(folder / "s"), "") as opened:
        with pytest.raises(PermissionError, match="is not the socket of the process"):
            vhost_sockets.hand_over(
                str(folder / "s"), "nobody", "", 0o666, folder=opened, inodes=()
            )
        assert os.stat(folder / "s").st_uid == 0
