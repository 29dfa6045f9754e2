# SPDX-License-Identifier: Apache-2.0
"""The fast path's back end on a real dpdk-testpmd, with a guest that speaks vhost-user."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from os_vif.host.links.system import taps
from os_vif.host.vhost_user.system import testpmd
from tests import dpdk, guest, witness
from tests.dpdk import DEVICE, MAC, Port, kill, queues, seen
from tests.functional.test_ovs_packets import assert_both_ways
from tests.guest import Wire

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("testpmd")]

ROLES = [pytest.param(True, id="listens"), pytest.param(False, id="connects")]
# --- a port and its guest ------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ROLES)
def test_packets_both_ways(port: Port, listen: bool) -> None:
    assert testpmd.look(DEVICE) is None
    started = port.start(listen=listen)
    assert started == testpmd.Testpmd(
        started.pid,
        answers=True,
        whole=True,
        forwards=True,
        path=port.path,
        listens=listen,
        guest=False,
    )
    assert testpmd.look(DEVICE) == started
    assert testpmd.devices() == [DEVICE]
    assert Path(port.path).exists() == listen
    link = witness.link(DEVICE)
    assert link is not None
    assert link["address"] == MAC
    assert "UP" in link["flags"]
    assert queues() == 1
    with contextlib.closing(Wire(DEVICE)) as wire:
        for _boot in range(2):
            with port.guest(listens=not listen) as one:
                one.start()
                seen(guest=True)
                assert_both_ways(one, wire)
            seen(guest=False, pid=started.pid)
    testpmd.stop(DEVICE)
    port.assert_nothing_left()
    testpmd.stop(DEVICE)


def test_a_guest_that_is_there_first(port: Port) -> None:
    with port.guest(listens=True) as one, contextlib.closing(Wire(DEVICE)) as wire:
        port.start(listen=False)
        one.start()
        assert_both_ways(one, wire)
        testpmd.stop(DEVICE)
        assert Path(port.path).exists(), "the socket is the guest's"


def test_a_smaller_mtu(port: Port) -> None:
    port.start(listen=True)
    witness.ip(f"link set {DEVICE} mtu 1450")
    with port.guest(listens=False) as one, contextlib.closing(Wire(DEVICE)) as wire:
        one.start()
        wire.wait_for(one)
        assert witness.link(DEVICE)["mtu"] == 1450  # type: ignore[index]


def test_frames_that_are_too_long(port: Port) -> None:
    """DPDK's driver drops them whatever the tap's MTU is; should it not, we can allow more."""
    port.start(listen=True)
    witness.ip(f"link set {DEVICE} mtu 9000")
    with port.guest(listens=False) as one, contextlib.closing(Wire(DEVICE)) as wire:
        one.start()
        one.wait_for(wire)
        for length, arrives in ((1500, True), (3000, False)):
            for source, target in ((one, wire), (wire, one)):
                mark = b"%d bytes" % length
                frame = guest.ethernet(target.mac, source.mac, guest.ETH_ARP, mark.ljust(length))
                source.send(frame)
                assert any(mark in got for got in target.frames(0.3)) == arrives


def test_two_queues(port: Port) -> None:
    """A guest that uses one of two gets half of what is sent, as the tap spreads the flows."""
    port.start(listen=True, queues=2)
    assert queues() == 2
    with port.guest(listens=False) as one, contextlib.closing(Wire(DEVICE)) as wire:
        one.start()
        one.wait_for(wire)
        wire.wait_for(one)
    testpmd.stop(DEVICE)
    port.assert_nothing_left()


def test_whose_the_socket_is(port: Port) -> None:
    owner, group = pwd.getpwnam("nobody"), grp.getgrnam("daemon")
    port.start(
        listen=True, socket_owner=owner.pw_name, socket_group=str(group.gr_gid), socket_mode=0o620
    )
    found = os.stat(port.path)
    assert (found.st_uid, found.st_gid) == (owner.pw_uid, group.gr_gid)
    assert stat.S_IMODE(found.st_mode) == 0o620


# --- its life ------------------------------------------------------------------------------------


def test_another_process_starts_it(port: Port, inside: Any) -> None:
    """It is found when its starter is no more, and from elsewhere, by its device alone."""
    root = str(Path(__file__).parents[2])
    code = f"""if True:
        import sys
        sys.path.insert(0, {root!r})
        from os_vif.host.vhost_user.system import testpmd
        from os_vif.host.vhost_user.system.testpmd_words import Settings
        print(testpmd.start({DEVICE!r}, {port.path!r}, listen=True, mac=None,
                            settings={port.settings!r}).pid)
    """
    pid = int(inside.run(sys.executable, "-c", code).stdout)
    found = testpmd.look(DEVICE)
    assert found is not None
    assert (found.pid, found.path, found.listens) == (pid, port.path, True)
    testpmd.stop(DEVICE)
    port.assert_nothing_left()


def test_nothing_of_the_starter_stays(port: Port) -> None:
    """Neither as its child, nor with its files, its folder or its terminal."""
    with tempfile.TemporaryFile() as file:
        os.set_inheritable(file.fileno(), True)
        own = os.fstat(file.fileno()).st_ino
        pid = port.start(listen=True).pid
        held = set()
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # it closes some by itself
                held.add(os.stat(f"/proc/{pid}/fd/{name}").st_ino)
        assert held
        assert own not in held
    assert os.readlink(f"/proc/{pid}/cwd").endswith(" (deleted)"), "its room is gone"
    assert os.getsid(pid) != os.getsid(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    commands = [Path(f"/proc/{child}/comm").read_text() for child in children]
    assert "sh\n" not in commands, "no zombie"


def test_a_command_that_takes_its_place(port: Port) -> None:
    started = port.start(listen=True, command=dpdk.settings(prefix=("nice", "-n5")).command)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, started.pid) == own + 5


@pytest.mark.parametrize("listen", ROLES)
def test_killed(port: Port, listen: bool) -> None:
    first = port.start(listen=listen)
    kill(first.pid)
    assert testpmd.look(DEVICE) is None
    assert testpmd.devices() == [DEVICE], "its folder stays"
    assert Path(port.path).exists() == listen
    second = port.start(listen=listen)
    assert second.pid != first.pid
    with (
        port.guest(listens=not listen) as one,
        contextlib.closing(Wire(DEVICE)) as wire,
    ):
        one.start()
        assert_both_ways(one, wire)
    kill(second.pid)
    testpmd.stop(DEVICE)
    assert testpmd.devices() == []


def test_halted(port: Port) -> None:
    """It is told from one that works, and can be stopped all the same."""
    pid = port.start(listen=True).pid
    os.kill(pid, signal.SIGSTOP)
    assert testpmd.look(DEVICE) == testpmd.Testpmd(pid, path=port.path, listens=True)
    testpmd.stop(DEVICE)
    port.assert_nothing_left()


def test_slow_answers(port: Port, tmp_path: Path) -> None:
    """All together have the time of one: these would all come, if each had it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as telemetry:
        telemetry.bind(str(tmp_path / "dpdk_telemetry.v2"))
        telemetry.listen()

        def answer() -> None:
            peer, _ = telemetry.accept()
            with peer, contextlib.suppress(OSError):
                while True:
                    time.sleep(0.9)
                    peer.send(b"{}")

        thread = threading.Thread(target=answer)
        thread.start()
        found = testpmd._ask(tmp_path, os.getpid())
        assert not found.answers
        thread.join()


@contextlib.contextmanager
def taken_by(what: str, path: str) -> Iterator[None]:
    """Have somebody else use a path, and see that it stays as it is."""
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        if what == "file":
            Path(path).write_text("precious")
        else:
            listener.bind(path)
            listener.listen()
        before = os.lstat(path)
        yield
        assert os.lstat(path) == before
        if what != "file":
            client.connect(path)


@pytest.mark.parametrize("halted", [False, True])
@pytest.mark.parametrize("what", ["file", "socket"])
def test_what_is_in_its_place_stays(port: Port, what: str, halted: bool) -> None:
    """DPDK itself removes whatever is there, when it is asked to end."""
    pid = port.start(listen=True).pid
    if halted:
        os.kill(pid, signal.SIGSTOP)
    with taken_by(what, port.path):
        testpmd.stop(DEVICE)
        assert testpmd.devices() == []
    dpdk.assert_no_process()


def test_another_folder_in_its_place(port: Port) -> None:
    folder = os.path.dirname(port.path)
    port.start(listen=True)
    os.rename(folder, f"{folder}-former")
    os.mkdir(folder)
    try:
        Path(port.path).write_text("precious")
        testpmd.stop(DEVICE)
        assert Path(port.path).read_text() == "precious"
    finally:
        shutil.rmtree(f"{folder}-former")


def test_a_second_start(port: Port) -> None:
    pid = port.start(listen=True).pid
    with pytest.raises(FileExistsError, match=rf"\({pid}\) runs for fp0 already"):
        port.start(listen=True)
    assert seen(forwards=True).pid == pid
    assert Path(port.path).is_socket()


def test_the_device_goes(port: Port) -> None:
    """The process cannot tell; that nobody holds the new device's queues does."""
    port.start(listen=True)
    witness.ip(f"link del {DEVICE}")
    taps.create(DEVICE, {"multi_queue": True, "up": True})
    assert queues() == 0
    testpmd.stop(DEVICE)
    port.start(listen=True)
    assert queues() == 1


def test_two_hosts_with_the_same_name(port: Port) -> None:
    """The runtime folder is the machine's, but network namespaces do not share devices."""
    pid = port.start(listen=True).pid
    look = f"from os_vif.host.vhost_user.system import testpmd; print(testpmd.look({DEVICE!r}))"
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", look],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "None"
    assert seen(forwards=True).pid == pid
