# SPDX-License-Identifier: Apache-2.0
"""The plugin ``noop``: it does nothing, and looks at the socket only where it was told to."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import os_vif
from os_vif import exception
from os_vif.cli.drift import drifts_of
from tests import vifs, witness
from tests.functional import calls
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.test_privilege import FAST_PATH, OTHERS, as_nobody

pytestmark = pytest.mark.functional


def vif(path: Path | str | None = None, mode: str = "client", **fields: Any) -> Any:
    from os_vif.objects.vif import VIFVHostUser

    if path is not None:
        fields |= {"path": str(path), "mode": mode}
    return VIFVHostUser(id=vifs.vif_id(1), plugin="noop", **fields)


def listener(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


@pytest.fixture
def folder(sockets: str) -> Path:
    made = Path(sockets)
    made.chmod(0o755)
    return made


@pytest.fixture
def verified(inside: Any) -> Iterator[None]:
    with vifs.configured("noop", verify_sockets=True):
        yield


def whats_wrong(it: Any) -> str:
    """Return what `check` says of a VIF; '' if all is well."""
    return "; ".join(f"{drift.device} {drift.words}" for drift in drifts_of(steps_left(it)))


# --- by itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unplugging", [False, True])
def test_nothing_is_done_or_said(inside: Any, folder: Path, unplugging: bool) -> None:
    absent = vif(folder / "no" / "socket")
    before = witness.snapshot()
    plug(absent)
    assert os_vif.plan(absent, vifs.instance(), unplugging=unplugging) == []
    assert steps_left(absent) == []
    [outcome] = os_vif.plug_many([(absent, vifs.instance())])
    assert (outcome.steps, outcome.error) == ((), None)
    unplug(absent)
    assert witness.differences(before, witness.snapshot()) == []


def test_any_object_will_do(inside: Any) -> None:
    from os_vif.objects.vif import VIFBridge

    for anything in (vif(), VIFBridge(plugin="noop"), mock.Mock(plugin="noop")):
        os_vif.plug(anything, mock.sentinel.instance)
        os_vif.unplug(anything, mock.sentinel.instance)


@pytest.mark.filterwarnings("ignore:.* is an invalid UUID:FutureWarning")  # on purpose
def test_any_object_will_do_with_every_verb(inside: Any) -> None:
    from os_vif.objects.vif import VIFBridge, VIFVHostUser

    nameless = VIFVHostUser(plugin="noop")
    odd = VIFBridge(plugin="noop", id=vifs.vif_id(1))
    odd.id = "11111111-2222-3333-4444-555555555555" + 40 * "x"
    for anything in (nameless, odd, mock.Mock(plugin="noop")):
        for guest in (None, vifs.instance(), mock.sentinel.instance):
            for unplugging in (False, True):
                assert os_vif.plan(anything, guest, unplugging=unplugging) == []
            assert os_vif.check(anything, guest) == []
            for act in (os_vif.plug_many, os_vif.unplug_many):
                [outcome] = act([(anything, guest)])
                assert (outcome.steps, outcome.error) == ((), None)
        os_vif.plug(anything, mock.sentinel.instance)
        os_vif.unplug(anything, mock.sentinel.instance)


def test_a_socket_is_verified_whoevers_it_is(verified: None, folder: Path) -> None:
    from os_vif.objects.vif import VIFVHostUser

    nameless = VIFVHostUser(plugin="noop", path=str(folder / "socket"), mode="client")
    [step] = os_vif.check(nameless)
    assert step.args["why"] == "it is not there: the program behind it has not made it"
    with listener(folder / "socket"):
        assert os_vif.check(nameless) == []
        os_vif.plug(nameless, mock.sentinel.instance)


# --- with verify_sockets --------------------------------------------------------------------------


def test_a_socket_that_is_there(verified: None, folder: Path) -> None:
    it = vif(folder / "socket")
    with listener(folder / "socket"):
        plug(it)
        assert whats_wrong(it) == ""
        unplug(it)
    assert (folder / "socket").exists()


def test_a_socket_that_the_guest_makes(verified: None, folder: Path) -> None:
    it = vif(folder / "socket", "server")
    plug(it)
    assert whats_wrong(it) == ""
    listener(folder / "socket").close()
    plug(it)
    assert (folder / "socket").exists(), "whoever starts the guest removes it"


def nothing(folder: Path) -> Path:
    return folder / "socket"


def stale(folder: Path) -> Path:
    listener(folder / "socket").close()
    return folder / "socket"


def a_file(folder: Path) -> Path:
    (folder / "socket").write_text("mine")
    return folder / "socket"


def a_folder(folder: Path) -> Path:
    (folder / "socket").mkdir()
    return folder / "socket"


def a_link(folder: Path) -> Path:
    (folder / "socket").symlink_to("elsewhere")
    return folder / "socket"


def a_loop_for_a_folder(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop" / "socket"


def no_folder(folder: Path) -> Path:
    return folder / "no" / "socket"


def a_file_for_a_folder(folder: Path) -> Path:
    (folder / "no").write_text("mine")
    return folder / "no" / "socket"


WRONG: list[tuple[Callable[[Path], Path], str, str]] = [
    (nothing, "client", "it is not there: the program behind it has not made it"),
    (stale, "client", "no process holds it any more"),
    (a_file, "client", "a file is there"),
    (a_file, "server", "a file is there"),
    (a_folder, "client", "a folder is there"),
    (a_link, "client", "a symbolic link is there"),
    (no_folder, "client", "its folder does not exist"),
    (no_folder, "server", "its folder does not exist"),
    (a_file_for_a_folder, "client", "it cannot be looked at: {}/no: Not a directory"),
    (
        a_loop_for_a_folder,
        "server",
        "it cannot be looked at: {}/loop: Too many levels of symbolic links",
    ),
]


@pytest.mark.parametrize(("place", "mode", "words"), WRONG)
def test_what_is_wrong_is_said(
    verified: None, folder: Path, place: Callable[[Path], Path], mode: str, words: str
) -> None:
    path = place(folder)
    it = vif(path, mode)
    words = words.format(folder)
    assert whats_wrong(it) == f"{path} {words}"
    before = sorted(folder.iterdir())
    said = f"could not find the vhost-user socket {path} usable: {words}"
    with calls.refused(re.escape(said) + r"\Z"):
        plug(it)
    [outcome] = os_vif.plug_many([(it, vifs.instance())])
    assert str(outcome.error) == said
    assert sorted(folder.iterdir()) == before
    unplug(it)


def test_who_may_use_it(verified: None, folder: Path) -> None:
    path = folder / "socket"
    it = vif(path)
    with listener(path), vifs.configured("noop", hypervisor_user="nobody"):
        path.chmod(0o666)
        plug(it)
        assert whats_wrong(it) == ""
        path.chmod(0o600)
        assert f"nobody may not connect to {path} (root:root srw-------)" in whats_wrong(it)
        with calls.refused("nobody may not connect"):
            plug(it)
        path.chmod(0o666)
        folder.chmod(0o700)
        assert f"nobody may not enter {folder}" in whats_wrong(it)
    assert whats_wrong(it) != "", "nobody listens any more"


def test_who_may_make_it(verified: None, folder: Path) -> None:
    it = vif(folder / "socket", "server")
    with vifs.configured("noop", hypervisor_user="nobody"):
        assert f"nobody may not make a socket in {folder}" in whats_wrong(it)
        folder.chmod(0o777)
        assert whats_wrong(it) == ""
        plug(it)


def test_a_user_that_is_not_there(verified: None, folder: Path) -> None:
    it = vif(folder / "socket")
    words = (
        "[os_vif_noop] hypervisor_user: 'no-such-user' cannot be used: "
        "expected the name or number of a user of this host"
    )
    with listener(folder / "socket"), vifs.configured("noop", hypervisor_user="no-such-user"):
        assert whats_wrong(it) == f"{folder}/socket {words}"
        with calls.refused(re.escape(f"{folder}/socket usable: {words}") + r"\Z"):
            plug(it)


def test_no_privilege_is_needed_and_no_daemon_started(verified: None, folder: Path) -> None:
    it, there = vif(folder / "socket"), vif(folder / "there")
    words = "it is not there: the program behind it has not made it"

    def act() -> None:
        with calls.refused(f"{folder}/socket usable: {words}$"):
            plug(it)
        assert whats_wrong(it) == f"{folder}/socket {words}"
        outcomes = os_vif.plug_many([(it, vifs.instance()), (there, vifs.instance())])
        assert [str(outcome.error).endswith(words) for outcome in outcomes] == [True, False]
        together = os_vif.plug_many([(there, None), (it, None)], together=True)
        assert isinstance(together[0].error, exception.NotAttempted)
        assert str(together[1].error).endswith(words)
        plug(there)
        unplug(it)

    with listener(folder / "there"):
        (folder / "there").chmod(0o666)
        as_nobody(act, section=OTHERS, helper=None)


def test_a_daemon_tells_nothing_of_sockets(inside: Any, folder: Path) -> None:
    """It may look into folders that the caller may not."""
    folder.chmod(0o700)
    args = {"path": f"{folder}/socket", "listens": True, "user": "", "why": "why"}

    def act() -> None:
        from os_vif.engine import privilege

        for section in (OTHERS, FAST_PATH):
            with pytest.raises(exception.InvalidField, match=r"^step: 'expect_socket' cannot be"):
                privilege.run(section, [[["expect_socket", args, None, None]]], together=False)

    as_nobody(act, section=(OTHERS, FAST_PATH))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("socket", "an absolute path"),
        ("/run/a\0b", "an absolute path without control characters"),
        ("/run/vhost/", "the path of a socket, which does not end in /"),
        ("/" + 107 * "a", "at most 107 bytes (unix(7))"),
    ],
)
def test_a_path_that_no_socket_has(verified: None, path: str, words: str) -> None:
    said = f"VIFVHostUser.path: {path!r} cannot be used: expected {words}"
    it = vif(path=path, mode="client")
    with calls.refused(re.escape(said) + r"\Z"):
        plug(it)
    with pytest.raises(exception.InvalidField, match=re.escape(said)):
        os_vif.check(it)


def test_other_vifs_are_still_nothing_to_it(verified: None) -> None:
    from os_vif.objects.vif import VIFBridge

    os_vif.plug(VIFBridge(plugin="noop"), mock.sentinel.instance)
    os_vif.unplug(VIFBridge(plugin="noop"), mock.sentinel.instance)
    os_vif.unplug(vif(), mock.sentinel.instance)
