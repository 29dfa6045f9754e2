# SPDX-License-Identifier: Apache-2.0
"""``os-vif guest --check`` at a socket: who answers there may be anybody, or nobody."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from os_vif.cli.monitor import Monitor
from os_vif.cli.session import Exit, Failure
from os_vif.guest.asked import Refused
from tests.cli.conftest import TAP, OsVif
from tests.conftest import PrivateHost

pytestmark = pytest.mark.functional

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'
DONE = b'{"return": {}}\r\n'
HELLO = GREETING + DONE


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        held = os.open(path.parent, os.O_PATH)
        try:
            made.bind(f"/proc/self/fd/{held}/{path.name}")
        finally:
            os.close(held)
        made.listen()
        yield made


@contextlib.contextmanager
def answering(path: Path, talk: Callable[[socket.socket], None]) -> Iterator[None]:
    """Have somebody who answers one caller as he likes."""

    def serve(server: socket.socket) -> None:
        caller, _address = server.accept()
        with caller, contextlib.suppress(OSError):
            talk(caller)
            while caller.recv(65536):
                pass

    with listening(path) as server:
        thread = threading.Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join(30)
    assert not thread.is_alive()


def saying(path: Path, *said: bytes) -> contextlib.AbstractContextManager[None]:
    return answering(path, lambda caller: [caller.sendall(it) for it in said] and None)


def refusal(path: Path, **limits: float) -> str:
    """Return why it cannot be asked for one thing."""
    with pytest.raises(Failure) as caught, Monitor(str(path), **limits) as monitor:  # type: ignore[arg-type]
        monitor.ask("query-status")
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_events_and_a_refusal(tmp_path: Path) -> None:
    event = b'{"event": "RESUME", "timestamp": {}}\r\n'
    refused = b'{"error": {"class": "GenericError", "desc": "no such thing"}}\r\n'
    answers = (HELLO, event, event, b'{"return": [1]}\r\n', refused)
    with saying(tmp_path / "m", *answers), Monitor(str(tmp_path / "m")) as monitor:
        assert monitor.ask("query-mice", number=1) == [1]
        with pytest.raises(Refused, match="no such thing"):
            monitor.ask("query-nothing")


def test_a_path_longer_than_a_sockets_address(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 90) / ("b" * 90)
    path.parent.mkdir()
    with saying(path, HELLO), Monitor(str(path)):
        pass


@pytest.mark.parametrize(
    "said",
    [
        b"QEMU 10.0.2 monitor - type 'help' for more information\r\n(qemu) \r\n",
        b"{}\n",
        b"[]\n",
        b"\xff\xfe\n",
        b"null\n",
        GREETING + b"{}\n",
        GREETING + b'{"error": {}}\n',
        GREETING + b'{"error": "no"}\n',
        GREETING + b"[" * 100000 + b"\n",
        GREETING + b'{"return": ' + b"1" * 5000 + b"}\n",
    ],
)
def test_who_does_not_speak_as_qemu_does(tmp_path: Path, said: bytes) -> None:
    with saying(tmp_path / "m", said):
        assert "does not speak QMP" in refusal(tmp_path / "m")


@pytest.mark.parametrize("said", [b"", GREETING[:10], GREETING, HELLO])
def test_who_says_nothing_or_stops(tmp_path: Path, said: bytes) -> None:
    with saying(tmp_path / "m", said):
        why = refusal(tmp_path / "m", silence=0.2)
    expected = "does not answer in time" if GREETING in said else "another may be on it"
    assert expected in why


def test_who_drips(tmp_path: Path) -> None:
    """However little comes in time, it ends."""

    def drip(caller: socket.socket) -> None:
        caller.sendall(GREETING)
        while True:
            caller.sendall(b" ")
            time.sleep(0.05)

    with answering(tmp_path / "m", drip):
        assert "does not answer in time" in refusal(tmp_path / "m", silence=0.5)


def test_who_talks_for_ever(tmp_path: Path) -> None:
    def events(caller: socket.socket) -> None:
        caller.sendall(HELLO)
        while True:
            caller.sendall(b'{"event": "STOP"}\n' * 100)

    with answering(tmp_path / "m", events):
        assert "more than QEMU has to say" in refusal(tmp_path / "m", most=100_000)
    (tmp_path / "m").unlink()

    def slowly(caller: socket.socket) -> None:
        caller.sendall(HELLO)
        while True:
            caller.sendall(b'{"event": "STOP"}\n')
            time.sleep(0.05)

    with answering(tmp_path / "m", slowly):
        assert "does not answer in time" in refusal(tmp_path / "m", silence=60, patience=1)


def test_who_hangs_up(tmp_path: Path) -> None:
    for said in (b"", GREETING, HELLO):
        (tmp_path / "m").unlink(missing_ok=True)
        with answering(tmp_path / "m", lambda caller, it=said: hang_up(caller, it)):  # type: ignore[misc]
            assert "QEMU has ended the talk" in refusal(tmp_path / "m")


def hang_up(caller: socket.socket, said: bytes) -> None:
    caller.sendall(said)
    if said == HELLO:
        caller.recv(65536)
    caller.shutdown(socket.SHUT_RDWR)


def test_nobody_there(tmp_path: Path) -> None:
    path = tmp_path / "m"
    assert "No such file" in refusal(path)
    with listening(path):
        pass
    assert "nobody listens there" in refusal(path)
    (tmp_path / "file").touch()
    assert "this is no socket" in refusal(tmp_path / "file")
    with pytest.raises(Failure, match="null") as caught:
        Monitor("a\0b")
    assert caught.value.code == Exit.BAD_INPUT


# --- what it has open -----------------------------------------------------------------------------

HOLDER = """
import fcntl, os, socket, struct, sys
names = []
for name, flags in (("tapa", 0x5002), ("tapm", 0x5102), ("tapm", 0x5102)):
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(descriptor, 0x400454CA, struct.pack("=16sH22x", name.encode(), flags))
    names.append([descriptor, name])
os.open("/dev/net/tun", os.O_RDWR)
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print(names, flush=True)
caller, _ = server.accept()
caller.sendall(sys.argv[2].encode())
while caller.recv(65536): pass
"""


def test_what_it_has_open(host: PrivateHost, tmp_path: Path) -> None:
    command = host.argv(sys.executable, "-c", HOLDER, str(tmp_path / "m"), HELLO.decode())
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        expected = dict(json.loads(holder.stdout.readline().decode().replace("'", '"')))
        with Monitor(str(tmp_path / "m")) as monitor:
            found = monitor.devices()
        holder.wait(30)
    assert found is not None
    assert {number: name for number, name in found.items() if name} == expected
    assert list(found.values()).count("") == 1, "one is of no device yet"


def test_who_has_ended_has_nothing_to_show(tmp_path: Path) -> None:
    """The socket outlives whoever made it, where another has inherited it."""
    with listening(tmp_path / "m") as server:
        pid = os.fork()
        if pid == 0:
            server.listen()
            os._exit(0)
        os.waitpid(pid, 0)

        def serve() -> None:
            caller, _address = server.accept()
            with caller:
                caller.sendall(HELLO)
                while caller.recv(65536):
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with Monitor(str(tmp_path / "m")) as monitor:
            made_by = struct.unpack(
                "=iII", monitor._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            )[0]
            assert made_by == pid
            assert monitor.devices() is None
        thread.join(30)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_says_it_in_a_sentence(osvif: OsVif) -> None:
    file = osvif.file(TAP)
    check = ("guest", file, "--format", "qmp", "--check")
    done = osvif(*check, "none", code=2)
    assert done.stderr == "error: none: No such file or directory\n"
    done = osvif(*check, file, code=2)
    assert "this is no socket; QEMU makes one with -qmp unix:PATH" in done.stderr
    path = osvif.folder / "m"
    with listening(path):
        pass
    assert "nobody listens there: does the guest run?" in osvif(*check, "m", code=1).stderr
    path.unlink()
    wild = json.dumps({"error": {"desc": "\x1b[2J" + "a" * 10}}).encode() + b"\n"
    with saying(path, HELLO, wild):
        done = osvif(*check, "m", code=1)
    assert "QEMU refuses: " in done.stderr
    assert "\x1b" not in done.stderr
    path.unlink()
    empty = b'{"return": []}\n'
    with saying(path, HELLO, empty, empty):
        found = osvif.json(*check, "m", code=3)
    assert (found["format"], found["vifs"][0]["devices"]) == ("qmp", ["tap1"])
    assert found["vifs"][0]["drifts"] == [
        "the guest has no card with the address 52:54:00:12:34:57"
    ]
