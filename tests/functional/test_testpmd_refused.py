# SPDX-License-Identifier: Apache-2.0
"""A dpdk-testpmd that does not come up: why, and that nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from os_vif import exception
from os_vif.host.links.system import taps
from os_vif.host.vhost_user.system import testpmd
from tests import dpdk
from tests.dpdk import GUEST_MAC, Port
from tests.functional.test_testpmd import ROLES
from tests.vhost_user import FrontEnd

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("testpmd")]


def _occupy_with_a_file(path: str) -> None:
    Path(path).write_text("precious")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"eal": ("-n", "many")}, r"ended: EAL: invalid channel number; EAL: Invalid 'command"),
        ({"eal": ("--no-such-word",)}, r"unrecognized option '--no-such-word'"),
        ({"queues": 8}, "Cannot send more than 8 FDs"),
        (
            {"command": ("prlimit", "--as=100000000", "--")},
            r"ended: .*Cannot init memory.*Cannot allocate memory",
        ),
        ({"command": ("no-such-command",)}, "ended: .*no-such-command: not found"),
        ({"command": ("false",)}, "ended: it said nothing"),
        ({"command": ("sh", "-c", "echo Oh; sleep 60"), "seconds": 5}, "after 5 s: Oh"),
        ({"cores": "999"}, "ended: EAL: core 999 unavailable; EAL: invalid parameter for --lcores"),
        ({"device": "fp9"}, "there is no device fp9"),
        ({"path": "/nowhere/vhost"}, "/nowhere/vhost: /nowhere: No such file"),
        ({"socket_owner": "nobody-at-all"}, "there is no user nobody-at-all"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_no_start(port: Port, fields: dict[str, Any], words: str) -> None:
    command = fields.get("command", ())
    if command and command[0] == "prlimit":
        fields = {**fields, "command": (*command, *dpdk.settings(prefix=()).command)}
    with pytest.raises(OSError, match=words) as failed:
        port.start(**{"listen": True, **fields})
    assert failed.value.errno
    port.assert_nothing_left()
    dpdk.assert_no_process()


def test_a_memory_that_is_too_small(port: Port) -> None:
    """As much as the queues need is had anyway."""
    port.start(listen=True, memory=1, queues=4)


@pytest.mark.parametrize("how", ["open to all", "of another user", "through another's link"])
def test_a_place_that_others_could_swap(port: Port, how: str) -> None:
    folder, nobody = os.path.dirname(port.path), 65534
    path = port.path
    match how:
        case "open to all":
            os.chmod(folder, 0o777)  # noqa: S103
        case "of another user":
            os.chown(folder, nobody, -1)
        case "through another's link":
            os.mkdir(f"{folder}/far")
            os.symlink("far", f"{folder}/way")
            os.chown(f"{folder}/way", nobody, -1, follow_symlinks=False)
            path = f"{folder}/way/vhost"
    with pytest.raises(PermissionError, match=f"{path}: .* may replace"):
        port.start(listen=True, path=path)
    port.assert_nothing_left()
    if how == "of another user":
        port.start(listen=True, path=path, socket_owner="nobody")
    else:  # a link of his may lead to what is root's
        with pytest.raises(PermissionError, match=f"{path}: .* may replace"):
            port.start(listen=True, path=path, socket_owner="nobody")


def test_what_fails_after_its_start(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes, even where it could not be killed at once."""
    monkeypatch.setattr(testpmd.Detached, "kill", lambda _self: None)
    with pytest.raises(OSError, match="there is no group nobody-at-all"):
        port.start(listen=True, socket_group="nobody-at-all")
    dpdk.assert_no_process()


def test_a_path_that_no_socket_can_have(port: Port) -> None:
    with pytest.raises(exception.InvalidField, match="at most 107 bytes"):
        port.start(listen=True, path="/tmp/".ljust(108, "s"))
    with pytest.raises(exception.InvalidField, match="DPDK's limits"):
        port.start(listen=True, path="/tmp/a,client=1")
    port.assert_nothing_left()


@pytest.mark.parametrize("listen", ROLES)
def test_the_longest_path(port: Port, listen: bool) -> None:
    path = f"{os.path.dirname(port.path)}/".ljust(107, "s")
    started = port.start(listen=listen, path=path)
    assert (started.path, started.listens) == (path, listen)
    with contextlib.closing(FrontEnd(path, GUEST_MAC, server=not listen)) as one:
        one.start()


def test_a_tap_of_one_queue(port: Port) -> None:
    """DPDK cannot open it, says so, and goes on without."""
    taps.create("fp1", {})
    with pytest.raises(OSError, match=r"goes without a side: .*net_tap0"):
        port.start(listen=True, device="fp1")
    port.assert_nothing_left()


@pytest.mark.parametrize("occupy", [_occupy_with_a_file, None], ids=["file", "live"])
def test_a_place_that_is_taken(port: Port, occupy: Callable[[str], None] | None) -> None:
    """DPDK would fail and remove what is there."""
    with contextlib.ExitStack() as stack:
        if occupy:
            occupy(port.path)
        else:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(port.path)
            listener.listen()
        before = os.stat(port.path)
        with pytest.raises(OSError, match=r"a file, not a socket|a process holds"):
            port.start(listen=True)
        assert os.stat(port.path).st_ino == before.st_ino
    assert testpmd.devices() == []
