# SPDX-License-Identifier: Apache-2.0
"""Who can use a socket, and who could put another in its place, by the kernel's rules."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from os_vif.host.vhost_user.system import rights
from tests.functional.socket_files import NOBODY, being, listener, stale

pytestmark = pytest.mark.functional


@pytest.fixture
def folder(sockets: str) -> Path:
    made = Path(sockets)
    made.chmod(0o755)
    return made


# --- who can use it ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder_mode", "mode", "can_connect", "can_listen"),
    [
        (0o755, 0o666, True, False),
        (0o755, 0o660, False, False),
        (0o754, 0o666, False, False),
        (0o777, 0o600, False, True),
        (0o1777, 0o666, True, False),
    ],
)
def test_usable_as_the_kernel_says(
    folder: Path, folder_mode: int, mode: int, can_connect: bool, can_listen: bool
) -> None:
    """Our answer is that of the kernel, which the user asks here."""
    path = folder / "s"
    with listener(path):
        path.chmod(mode)
        folder.chmod(folder_mode)
        connects = rights.usable_by(str(path), "nobody", listening=False)
        listens = rights.usable_by(str(path), "nobody", listening=True)
        assert (connects is None, listens is None) == (can_connect, can_listen)
        for words in (connects, listens):
            assert words is None or words.startswith("nobody may not ")
        assert rights.usable_by(str(path), "root", listening=False) is None
        with being(NOBODY), socket.socket(socket.AF_UNIX) as peer:
            assert (peer.connect_ex(str(path)) == 0) == can_connect
    with being(NOBODY):
        try:
            path.unlink()
        except PermissionError:
            assert not can_listen
        else:
            assert can_listen
            stale(path)


def test_usable_by_group(folder: Path) -> None:
    user = pwd.getpwnam("nobody")
    with listener(folder / "s"):
        path = str(folder / "s")
        os.chown(path, 0, user.pw_gid)
        os.chmod(path, 0o620)
        assert rights.usable_by(path, "nobody", listening=False) is None
        os.chmod(path, 0o602)  # noqa: S103
        words = rights.usable_by(path, str(user.pw_uid), listening=False)
        assert words is not None, "the group's bits count, not the others'"
        assert f"may not connect to {path} (root:" in words
        assert "srw-----w-" in words


def test_usable_with_an_access_control_list(folder: Path) -> None:
    """What it grants is not worked out."""
    folder.chmod(0o700)
    path = str(folder / "s")
    assert rights.usable_by(path, "nobody", listening=True) is not None
    # acl(5) as the kernel keeps it: version, and for each entry tag, bits and id.
    entries = [(1, 7, -1), (2, 7, NOBODY.pw_uid), (4, 0, -1), (16, 7, -1), (32, 0, -1)]
    text = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little")
        + bits.to_bytes(2, "little")
        + who.to_bytes(4, "little", signed=True)
        for tag, bits, who in entries
    )
    try:
        os.setxattr(folder, "system.posix_acl_access", text)
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"this file system keeps no access control lists: {error}")
    assert rights.usable_by(path, "nobody", listening=True) is None


def test_usable_on_the_way(folder: Path) -> None:
    deep = folder / "deep"
    deep.mkdir(mode=0o777)
    deep.chmod(0o777)
    assert rights.usable_by(f"{deep}/s", "nobody", listening=True) is None
    folder.chmod(0o700)
    words = rights.usable_by(f"{deep}/s", "nobody", listening=True)
    assert words == f"nobody may not enter {folder} (root:root drwx------)"
    with being(NOBODY):
        assert rights.usable_by(f"{deep}/s", "daemon", listening=True) == words.replace(
            "nobody", "daemon"
        ), "it can be seen from outside"
    folder.chmod(0o755)
    (folder / "file").touch()
    assert rights.usable_by(f"{folder}/file/s", "nobody", listening=True) == (
        f"{folder}/file is a file, not a folder"
    )
    assert rights.usable_by(f"{folder}/none/s", "nobody", listening=True) == (
        f"{folder}/none: No such file or directory"
    )
    assert rights.usable_by(f"{folder}/file", "nobody", listening=False) == (
        f"{folder}/file is a file, not a socket"
    )


# --- who could put another in its place -----------------------------------------------------------


def test_unsafe_folders(folder: Path) -> None:
    path = str(folder / "s")
    assert rights.unsafe_folder(path) is None
    folder.chmod(0o1777)
    assert rights.unsafe_folder(path) is None
    folder.chmod(0o777)
    words = f"every user may replace what is in {folder} (root:root drwxrwxrwx)"
    assert rights.unsafe_folder(path) == words
    # The folder that a link leads to counts, and the ones above.
    deep = folder / "deep"
    deep.mkdir()
    assert rights.unsafe_folder(f"{deep}/s") == words
    with tempfile.TemporaryDirectory() as other:
        link = Path(other, "link")
        link.symlink_to(deep)
        assert rights.unsafe_folder(f"{link}/s") == words
    assert rights.unsafe_folder(f"{folder}/none/s") is not None


@pytest.mark.parametrize(
    ("mode", "owner", "who"),
    [
        (0o755, "root", None),
        (0o755, "nobody", "nobody"),
        (0o1777, "nobody", "nobody"),
        (0o775, "root", "group root"),
        (0o777, "root", "every user"),
        (0o1775, "root", None),
        (0o1777, "root", None),
    ],
)
def test_whom_folders_are_trusted_to(folder: Path, mode: int, owner: str, who: str | None) -> None:
    shutil.chown(folder, owner)
    folder.chmod(mode)
    shown = f"{owner}:root {stat.filemode(stat.S_IFDIR | mode)}"
    words = f"{who} may replace what is in {folder} ({shown})" if who else None
    for path in (f"{folder}/s", f"{folder}/deep/s"):
        (folder / "deep").mkdir(exist_ok=True)
        assert rights.untrusted(path, "") == words
        if who == "nobody":
            for trusted in ("nobody", str(NOBODY.pw_uid)):
                assert rights.untrusted(path, trusted) is None
            with being(NOBODY):
                assert rights.untrusted(path, "") is None
        else:
            assert rights.untrusted(path, "nobody") == words


def test_whom_links_are_trusted_to(folder: Path) -> None:
    """Each folder and link that the kernel goes by counts, not only where it ends."""
    here, there, common = (folder / name for name in ("here", "there", "common"))
    for made in (here, there, common):
        made.mkdir()
    common.chmod(0o1777)
    (here / "link").symlink_to("../common/link")
    (common / "link").symlink_to(there)
    path = str(here / "link" / "s")
    assert rights.untrusted(path, "") is None
    os.chown(common / "link", NOBODY.pw_uid, -1, follow_symlinks=False)
    words = f"nobody may replace the link {common}/link (nobody:root lrwxrwxrwx)"
    assert rights.untrusted(path, "") == words
    assert rights.untrusted(path, "daemon") == words
    assert rights.untrusted(path, "nobody") == words, "it may lead to what is not nobody's"
    os.chown(common / "link", 0, -1, follow_symlinks=False)
    there.chmod(0o777)
    words = f"every user may replace what is in {there} (root:root drwxrwxrwx)"
    assert rights.untrusted(path, "nobody") == words
    assert rights.unsafe_folder(path) == words


def test_no_link_in_a_trusted_users_hands(folder: Path) -> None:
    """Where somebody may put links, root's own may be in another's place, and .. leads anywhere."""
    (folder / "his" / "deep").mkdir(parents=True)
    (folder / "roots").mkdir()
    (folder / "his" / "link").symlink_to("../roots")
    (folder / "to-his").symlink_to("his/deep")
    os.chown(folder / "his", NOBODY.pw_uid, -1)
    assert rights.untrusted(f"{folder}/his/s", "nobody") is None
    assert rights.untrusted(f"{folder}/to-his/s", "nobody") is None, "root's, where root alone is"
    assert rights.untrusted(f"{folder}/roots/../roots/s", "nobody") is None
    for way, what in (
        ("his/link", f"the link {folder}/his/link (root:root lrwxrwxrwx)"),
        ("his/../roots", f"what is in {folder} (root:root drwxr-xr-x)"),
    ):
        path = f"{folder}/{way}/s"
        assert rights.untrusted(path, "nobody") == f"nobody may replace {what}"
        with pytest.raises(PermissionError, match="nobody may replace"):
            rights.open_folder(path)


def test_no_way_is_not_trusted(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "loop").symlink_to("loop")
    closed = folder / "closed"
    (closed / "deep").mkdir(parents=True)
    closed.chmod(0o700)
    for name, words in (
        ("none", f"{folder}/none: No such file or directory"),
        ("file", f"{folder}/file is a file, not a folder"),
        ("loop", f"{folder}/loop/s: Too many levels of symbolic links"),
    ):
        assert rights.untrusted(f"{folder}/{name}/s", "") == words
    with being(NOBODY):
        words = f"{closed}/deep: Permission denied"
        assert rights.untrusted(f"{closed}/deep/s", "") == words
