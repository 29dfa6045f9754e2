# SPDX-License-Identifier: Apache-2.0
"""Who unplugs has an answer when the device is gone, before the kernel is through with it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif.host.links.system import deleting
from os_vif.system import netlink, notices
from tests import vifs
from tests.waiting import PATIENCE_S, until

pytestmark = [pytest.mark.functional, pytest.mark.usefixtures("settled")]

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def taps() -> Iterator[None]:
    with vifs.configured("linux_bridge", create_tap=True):
        yield


def plugged(*numbers: int) -> list[Any]:
    pairs = [(vifs.bridge_vif(number), vifs.instance()) for number in numbers]
    assert all(outcome.error is None for outcome in os_vif.plug_many(pairs))
    return pairs


class Held(threading.Event):
    """An event that is not set before somebody has an answer."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = threading.Event()

    def set(self) -> None:
        self.answered.wait(PATIENCE_S)
        super().set()


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return, of each request, whether the kernel was through with it when there was an answer.

    That it is through is held back until then: it may be so before this process has its turn.
    """
    seen: list[bool] = []
    hear, begin = notices._hear, notices._Sender.__init__

    def begun(sender: Any, *options: Any) -> None:
        begin(sender, *options)
        sender.over = Held()

    def heard(channel: Any, sender: Any, number: int, told: notices.Told) -> Any:
        notices_of_it: list[bool] = []

        def is_told(kind: int, body: bytes) -> bool:
            notices_of_it.append(told(kind, body))
            return notices_of_it[-1]

        answer = hear(channel, sender, number, is_told)
        seen.append(sender.over.is_set() or not any(notices_of_it))
        sender.over.answered.set()
        return answer

    monkeypatch.setattr(notices._Sender, "__init__", begun)
    monkeypatch.setattr(notices, "_hear", heard)
    return seen


def until_settled() -> None:
    """Wait until the kernel is through with all."""
    until(lambda: not notices._sending)


@pytest.mark.parametrize("count", [1, 30])
def test_nobody_waits_for_the_kernels_readers(inside: Any, through: list[bool], count: int) -> None:
    pairs = plugged(*range(1, count + 1))
    assert all(outcome.error is None for outcome in os_vif.unplug_many(pairs))
    assert list(inside.links()) == ["br0"]
    assert through == [False]
    until_settled()


def test_the_name_is_free_at_once(inside: Any, through: list[bool]) -> None:
    [(vif, instance)] = plugged(1)
    for _round in range(20):
        os_vif.unplug(vif, instance)
        assert not inside.run("ls", "/sys/class/net").stdout.count(vif.vif_name)
        os_vif.plug(vif, instance)
        assert os_vif.check(vif, instance) == []
    assert len(through) == 20
    until_settled()


def test_a_macvtap_too(uplink: Any, through: list[bool]) -> None:
    vif = vifs.direct_vif(1)
    for _round in range(3):
        os_vif.plug(vif, vifs.instance())
        os_vif.unplug(vif, vifs.instance())
    assert set(uplink.links()) == {"eth0", "wire0"}
    assert through == [False] * 3


def test_what_is_refused_and_what_is_gone(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is an answer, and nothing to wait for in vain."""
    monkeypatch.setattr(notices, "_SENT_S", 2 * PATIENCE_S)
    begin = time.monotonic()
    with pytest.raises(netlink.NetlinkError) as caught:
        deleting.delete([("lo", 1)])
    assert caught.value.errno == errno.EOPNOTSUPP
    deleting.delete([("tap0", 4242)])
    assert time.monotonic() - begin < PATIENCE_S
    until_settled()


def test_other_devices_do_not_count(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others' deletions are told, too, and that a bridge has lost a port."""
    for name in ("tap1", "tap2"):
        inside.run("ip", "tuntap", "add", name, "mode", "tap")
    inside.run("ip", "link", "add", "br0", "type", "bridge")
    inside.run("ip", "link", "set", "tap1", "master", "br0")
    start, go = notices._start, threading.Event()

    def after_others(*options: Any) -> Any:
        begun = start(*options)
        inside.run("ip", "link", "delete", "tap2")
        inside.run("ip", "link", "set", "tap1", "nomaster")
        go.set()
        return begun

    monkeypatch.setattr(notices, "_start", after_others)
    send = notices._Sender.run

    def later(sender: Any) -> None:
        go.wait(PATIENCE_S)
        send(sender)

    monkeypatch.setattr(notices._Sender, "run", later)
    deleting.delete([("tap1", netlink.index_of("tap1"))])
    assert list(inside.links()) == ["br0"]


def test_more_is_told_than_can_be_kept(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = plugged(*range(1, 31))
    opened = netlink.open_socket
    lost: list[Any] = []

    def small() -> socket.socket:
        channel = opened()
        if sys._getframe(1).f_code is notices._start.__code__:
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        return channel

    def hear(*options: Any) -> Any:
        options[1].over.wait()
        lost.append(heard(*options))
        return lost[-1]

    heard = notices._hear
    monkeypatch.setattr(notices, "_hear", hear)
    monkeypatch.setattr(netlink, "open_socket", small)
    assert all(outcome.error is None for outcome in os_vif.unplug_many(pairs))
    assert list(inside.links()) == ["br0"]
    assert [error.errno for error in lost] == [errno.ENOBUFS]


def test_an_answer_that_is_lost_and_nothing_done(
    inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.run("ip", "tuntap", "add", "tap1", "mode", "tap")
    unknown = netlink.NetlinkError(errno.ENOBUFS, "lost")
    monkeypatch.setattr(notices, "request", lambda *_options: unknown)
    with pytest.raises(netlink.NetlinkError, match="lost"):
        deleting.delete([("tap1", netlink.index_of("tap1"))])


def test_what_cannot_be_sent(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_SENT_S", 0.05)
    start = notices._start

    def closed(*options: Any) -> Any:
        begun = start(*options)
        assert begun
        begun[1]._data = b"x" * (1 << 22)  # more than the socket may send
        go.set()
        return begun

    go = threading.Event()
    run = notices._Sender.run

    def waiting(sender: Any) -> None:
        go.wait()
        run(sender)

    monkeypatch.setattr(notices._Sender, "run", waiting)
    monkeypatch.setattr(notices, "_start", closed)
    with pytest.raises(OSError, match="Message too long"):
        deleting.delete([("tap1", 4242)])
    until_settled()


def _no_more(_thread: Any) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("what", ["threads", "senders", "descriptors"])
def test_where_nobody_can_wait_one_waits_oneself(
    inside: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    [(vif, instance)] = plugged(1)
    before = len(os.listdir("/proc/self/fd"))
    if what == "threads":
        monkeypatch.setattr(notices._Sender, "start", _no_more)
    elif what == "senders":
        monkeypatch.setattr(notices, "_MOST_SENDERS", 0)
    else:
        opened = netlink.open_socket

        def none_left() -> socket.socket:
            if sys._getframe(1).f_code is notices._start.__code__:
                raise OSError(errno.EMFILE, "Too many open files")
            return opened()

        monkeypatch.setattr(netlink, "open_socket", none_left)
    monkeypatch.setattr(notices, "_hear", lambda *_options: pytest.fail("there is nobody"))
    os_vif.unplug(vif, instance)
    assert list(inside.links()) == ["br0"]
    assert len(os.listdir("/proc/self/fd")) == before
    assert not notices._sending


def in_a_child(act: Any) -> int:
    """Run ``act`` in a forked child; return how that ended."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(3)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def test_a_child_that_is_born_meanwhile(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    wait = threading.Event.wait

    def held(event: threading.Event, timeout: float | None = None) -> bool:
        if isinstance(threading.current_thread(), notices._Sender):
            wait(go)
        return wait(event, timeout)

    pairs = plugged(1, 2)
    monkeypatch.setattr(threading.Event, "wait", held)
    os_vif.unplug(*pairs[0])
    [channel] = notices._sending
    number = channel.fileno()

    def act() -> None:
        monkeypatch.undo()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
        assert not notices._sending
        with vifs.configured("linux_bridge", create_tap=True):
            os_vif.plug(*pairs[0])
            os_vif.unplug(*pairs[1])

    assert in_a_child(act) == 0
    go.set()
    until_settled()
    assert set(inside.links()) == {"br0", pairs[0][0].vif_name}


def test_killed_right_after_the_answer(inside: Any) -> None:
    pairs = plugged(1, 2)

    def act() -> None:
        os_vif.unplug(*pairs[0])
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_child(act) == signal.SIGKILL
    assert set(inside.links()) == {"br0", pairs[1][0].vif_name}


_SERVICE = """\
import sys
green = sys.argv[1] == "green"
if green:
    import eventlet
    eventlet.monkey_patch(**({"socket": False} if sys.argv[2] == "threads" else {}))

from oslo_config import cfg

import os_vif
from tests import vifs

cfg.CONF([], project="os-vif-tests", default_config_files=[])
os_vif.initialize()
cfg.CONF.set_override("create_tap", True, "os_vif_linux_bridge")


def both(number):
    for _round in range(3):
        os_vif.plug(vifs.bridge_vif(number), vifs.instance())
        os_vif.unplug(vifs.bridge_vif(number), vifs.instance())
    return number


if green:
    print(*sorted(eventlet.GreenPool().imap(both, range(1, 6))))
else:
    print(both(1))
"""


@pytest.mark.parametrize(
    ("service", "said"),
    [(("plain",), "1"), (("green", "all"), "1 2 3 4 5"), (("green", "threads"), "1 2 3 4 5")],
    ids="-".join,
)
def test_a_process_that_ends_at_once(inside: Any, service: tuple[str, ...], said: str) -> None:
    """Also one that runs on eventlet, where one thread is all there is."""
    done = subprocess.run(
        inside.argv(sys.executable, "-Wignore", "-c", _SERVICE, *service),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, said, "")
    assert list(inside.links()) == ["br0"]
