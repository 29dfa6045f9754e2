# SPDX-License-Identifier: Apache-2.0
"""Back ends as they are started, looked at and stopped with the options of a host."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from os_vif.host.vhost_user.questions import BackEndState
from os_vif.host.vhost_user.system import back_ends as fast_path
from os_vif.host.vhost_user.system import testpmd
from os_vif.host.vhost_user.system.back_ends import Done
from tests import dpdk, vifs, witness
from tests.dpdk import DEVICE, MAC, Port

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("testpmd")]

GROUP = "os_vif_vhostuser_fp"


@pytest.fixture(autouse=True)
def back_end(fast_path_settings: Any) -> Iterator[None]:
    """Have the fast path be dpdk-testpmd."""
    yield
    for option in ("socket_owner", "socket_group", "socket_mode"):
        cfg.CONF.clear_override(option, GROUP)


def start(path: str, *, listens: bool = True) -> Done:
    return fast_path.start(DEVICE, path, listens=listens, mac=MAC)


def stop(stale: str = "", *, abandoned: bool = False) -> bool:
    return fast_path.stop(DEVICE, stale, abandoned=abandoned)


def state() -> BackEndState:
    found = fast_path.look(DEVICE)
    assert found is not None
    return found


def pid() -> int:
    [found] = dpdk.testpmds()
    return found


# --- started, and started again ------------------------------------------------------------------


@pytest.mark.parametrize("listens", [True, False])
def test_whether_one_was_started(port: Port, listens: bool) -> None:
    assert start(port.path, listens=listens) is Done.STARTED
    assert state() == BackEndState(port.path, listens)
    first = pid()
    assert start(port.path, listens=listens) is Done.NOTHING
    assert pid() == first
    assert stop()
    assert not stop()
    assert fast_path.look(DEVICE) is None
    dpdk.assert_no_process()


def test_one_that_ran_before_is_only_handed_over(port: Port) -> None:
    start(port.path)
    first = pid()
    os.chmod(port.path, 0o600)
    assert state() == BackEndState(port.path, True, handed=False)
    assert start(port.path) is Done.HANDED_OVER
    assert os.stat(port.path).st_mode & 0o777 == 0o660
    assert pid() == first


def test_not_handed_over_where_others_could_swap_it(port: Port) -> None:
    start(port.path)
    os.chmod(port.path, 0o600)
    os.chmod(os.path.dirname(port.path), 0o777)  # noqa: S103
    with pytest.raises(PermissionError, match="every user may replace"):
        start(port.path)
    assert os.stat(port.path).st_mode & 0o777 == 0o600
    pid()


def _remove(path: str) -> None:
    os.unlink(path)


def _remove_folder(path: str) -> None:
    shutil.rmtree(os.path.dirname(path))


def _leave_a_dead_one(path: str) -> None:
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)


def _put_a_file(path: str) -> None:
    os.unlink(path)
    Path(path).write_text("precious")


def _put_a_file_for_its_folder(path: str) -> None:
    _remove_folder(path)
    Path(os.path.dirname(path)).write_text("precious")


@pytest.mark.parametrize(
    "disturb",
    [_remove, _leave_a_dead_one, _put_a_file, _remove_folder, _put_a_file_for_its_folder],
)
def test_its_socket_is_gone(port: Port, disturb: Callable[[str], None]) -> None:
    """Nobody reaches it any more; once there is a place for the socket, it is made anew."""
    start(port.path)
    first = pid()
    folder = os.path.dirname(port.path)
    disturb(port.path)
    assert not state().forwards
    if "file" in disturb.__name__:
        with pytest.raises(OSError, match=r"a file|Not a directory"):
            start(port.path)
        os.unlink(port.path if os.path.isdir(folder) else folder)
    os.makedirs(folder, exist_ok=True)
    assert start(port.path) is Done.STARTED
    assert pid() != first
    assert state() == BackEndState(port.path, True)


# --- another socket ------------------------------------------------------------------------------


def _folder_missing(path: str) -> str:
    return f"{path}-missing/vhost"


def _file(path: str) -> str:
    Path(f"{path}-file").write_text("precious")
    return f"{path}-file"


def _in_an_open_folder(path: str) -> str:
    os.mkdir(f"{path}-open")
    os.chmod(f"{path}-open", 0o777)  # noqa: S103
    return f"{path}-open/vhost"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (_folder_missing, "No such file"),
        (_file, "a file, not a socket"),
        (_in_an_open_folder, "every user may replace"),
    ],
)
def test_to_a_place_that_cannot_be(port: Port, place: Callable[[str], str], words: str) -> None:
    """The one that ran goes on."""
    start(port.path)
    first = pid()
    with pytest.raises(OSError, match=words):
        start(place(port.path))
    assert pid() == first
    assert state() == BackEndState(port.path, True)


@pytest.mark.parametrize("same", [False, True])
def test_to_a_place_that_is_taken(port: Port, same: bool) -> None:
    """By another program; or by the guest that it connects to."""
    start(port.path, listens=False)
    first = pid()
    path = port.path if same else f"{port.path}-other"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with pytest.raises(OSError, match=f"a process holds {path}"):
            start(path)
    assert pid() == first


def test_to_one_that_does_not_come_up(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """The former one is started again."""
    start(port.path)
    really, asked = testpmd.start, itertools.count()

    def once_not(*args: Any, **options: Any) -> Any:
        if next(asked) == 0:
            raise OSError(errno.EIO, "it does not come up")
        return really(*args, **options)

    monkeypatch.setattr(testpmd, "start", once_not)
    with pytest.raises(OSError, match="it does not come up"):
        start(f"{port.path}-other", listens=False)
    assert state() == BackEndState(port.path, True)


# --- options -------------------------------------------------------------------------------------


@contextlib.contextmanager
def changed(option: str, value: str) -> Iterator[None]:
    """Have an option be another for a while, of those that the tests set anyway too."""
    before = cfg.CONF[GROUP][option]
    cfg.CONF.set_override(option, value, GROUP)
    try:
        yield
    finally:
        cfg.CONF.set_override(option, before, GROUP)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what is started from now on."""
    really, found = testpmd.Detached, []

    def counted(*args: Any) -> Any:
        found.append(args)
        return really(*args)

    monkeypatch.setattr(testpmd, "Detached", counted)
    return found


WRONG: list[tuple[str, str, int, str]] = [
    ("testpmd_command", "no-such -x", errno.ENOSYS, "command of this host: .*no command no-such"),
    ("testpmd_command", "", errno.EINVAL, "words, quoted as in a shell"),
    ("testpmd_command", "sh -c 'exec", errno.EINVAL, "words, quoted as in a shell"),
    ("testpmd_eal", "--no-huge '", errno.EINVAL, "words, quoted as in a shell"),
    ("testpmd_eal", "--no-huge --in-memory", errno.EINVAL, "without --in-memory"),
    ("testpmd_eal", "--no-huge --file-prefix=x", errno.EINVAL, "without --file-prefix=x"),
    ("testpmd_eal", "--no-huge --file-pre x", errno.EINVAL, "without --file-pre"),
    ("testpmd_eal", "--no-huge --no-shconf", errno.EINVAL, "without --no-shconf"),
    ("testpmd_eal", "--no-huge --no-telemetry", errno.EINVAL, "without --no-telemetry"),
    ("socket_owner", "nobody-at-all", errno.EINVAL, "a user of this host"),
    ("socket_owner", "99999999999", errno.EINVAL, "a user of this host"),
    ("socket_group", "nobody-at-all", errno.EINVAL, "a group of this host"),
    ("socket_mode", "rw-rw----", errno.EINVAL, "octal, from 0000 to 0777"),
    ("socket_mode", "1777", errno.EINVAL, "octal, from 0000 to 0777"),
]


@pytest.mark.parametrize(("option", "value", "code", "words"), WRONG)
def test_wrong_options(
    port: Port, started: list[Any], *, option: str, value: str, code: int, words: str
) -> None:
    """Nothing is started with them; what runs is seen, and stopped, all the same."""
    with changed(option, value):
        with pytest.raises(OSError, match=words) as failed:
            start(port.path)
        assert failed.value.errno == code
        assert f"[{GROUP}] {option} is {value!r}" in str(failed.value)
    assert started == []
    start(port.path)
    with changed(option, value):
        with pytest.raises(OSError, match=words):
            start(f"{port.path}-other")
        assert state() == BackEndState(port.path, True, handed=not option.startswith("socket_"))
        assert stop()
    assert len(started) == 1
    assert not os.path.exists(port.path)


def test_what_fails_is_started_once(port: Port, started: list[Any]) -> None:
    with (
        vifs.configured("vhostuser_fp", testpmd_cores="999"),
        pytest.raises(OSError, match="core 999 unavailable"),
    ):
        start(port.path)
    assert len(started) == 1


# --- stopped -------------------------------------------------------------------------------------


def dead_socket(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    return path


def test_a_stale_socket(port: Port) -> None:
    assert stop(dead_socket(port.path))
    assert not os.path.exists(port.path)


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_stale_socket_that_may_be_another_s(port: Port, mode: int) -> None:
    dead_socket(port.path)
    os.chmod(os.path.dirname(port.path), mode)
    assert not stop(port.path)
    assert os.path.exists(port.path)


def test_a_stale_socket_in_the_owner_s_folder(port: Port) -> None:
    os.chown(os.path.dirname(port.path), 65534, -1)
    dead_socket(port.path)
    assert not stop(port.path)
    with vifs.configured("vhostuser_fp", socket_owner="nobody"):
        assert stop(port.path)


def test_what_is_no_stale_socket(port: Port) -> None:
    Path(port.path).write_text("precious")
    assert not stop(port.path)
    assert Path(port.path).read_text() == "precious"


def test_abandoned(port: Port) -> None:
    """Who looked for those without a tap may have been slow: now it has one."""
    start(port.path)
    assert not stop(abandoned=True)
    pid()
    witness.ip(f"link del {DEVICE}")
    assert stop(abandoned=True)
    dpdk.assert_no_process()


def test_a_halted_one(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs the time of one question."""
    start(port.path)
    os.kill(pid(), signal.SIGSTOP)
    asked, ask = [], testpmd._ask

    def counted(*args: Any) -> testpmd.Testpmd:
        asked.append(args)
        return ask(*args)

    monkeypatch.setattr(testpmd, "_ask", counted)
    assert not state().forwards
    assert len(asked) == 1
    assert stop()
    assert len(asked) == 1, "what it was told can be read without asking it"


# --- several at once -----------------------------------------------------------------------------


def at_once(host: Any, number: int, act: Callable[[int], Any]) -> list[Any]:
    """Act in threads; return what each returned, or its OSError."""
    outcomes: list[Any] = [None] * number

    def one(which: int) -> None:
        with host.enter():
            try:
                outcomes[which] = act(which)
            except OSError as error:
                outcomes[which] = error

    threads = [threading.Thread(target=one, args=(which,)) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


@pytest.mark.parametrize("late_s", [0, 0.05, 0.1])
def test_two_starts(
    inside: Any, port: Port, monkeypatch: pytest.MonkeyPatch, late_s: float
) -> None:
    """One process runs then, which is found; its files are not taken from under it."""
    late = threading.local()

    def remove(folder: Path) -> None:
        if testpmd._holder(folder) is None:
            time.sleep(getattr(late, "seconds", 0))
            shutil.rmtree(folder, ignore_errors=True)

    def act(which: int) -> Done:
        late.seconds = which * late_s
        return start(port.path, listens=False)

    monkeypatch.setattr(testpmd, "_remove", remove)
    assert set(at_once(inside, 2, act)) == {Done.NOTHING, Done.STARTED}
    first = pid()
    found = testpmd.look(DEVICE)
    assert found is not None
    assert found.pid == first
    assert stop()
    dpdk.assert_no_process()


def test_a_stop_and_a_start(inside: Any, port: Port) -> None:
    start(port.path)
    for _ in range(3):
        at_once(inside, 3, lambda which: stop() if which else start(port.path))
        start(port.path)
        assert state() == BackEndState(port.path, True)
        pid()
