# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch's daemons restarted, killed, paused or away, before, while and after plugging."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.system import ovsdb
from tests import vifs, vifs_ovs
from tests.functional.calls import plug, steps_left, unplug

pytestmark = [pytest.mark.functional, pytest.mark.slow]

SERVER = {
    "restart": lambda switch: (switch.stop_server(), switch.start_server()),
    "kill": lambda switch: (switch.kill_server(), switch.start_server()),
}
ROUNDS = range(1, 4)
VSWITCHD = {
    "restart": lambda switch: (switch.stop_vswitchd(), switch.start_vswitchd()),
    "kill": lambda switch: (switch.kill_vswitchd(), switch.start_vswitchd()),
}
DAEMONS = {
    **{f"server {what}": act for what, act in SERVER.items()},
    **{f"vswitchd {what}": act for what, act in VSWITCHD.items()},
}


@pytest.fixture(autouse=True)
def _patient(switch: Any) -> Iterator[None]:
    with limited(60):
        yield


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    with vifs.configured("ovs", ovs_vsctl_timeout=seconds):
        yield


def later(delay: float, act: Callable[[], Any]) -> threading.Thread:
    timer = threading.Timer(delay, act)
    timer.start()
    return timer


def names(switch: Any) -> str:
    return str(switch.vsctl("--no-wait", "--columns=name", "list", "Interface"))


@pytest.mark.parametrize("daemon", DAEMONS)
@pytest.mark.parametrize("mode", [vifs_ovs.plain, vifs_ovs.hybrid], ids=["tap", "hybrid"])
def test_restarted_between_calls(switch: Any, inside: Any, mode: Any, daemon: str) -> None:
    """Idle connections are dead then, and every device of a bridge in userspace is another."""
    first, second = mode(1), mode(2)
    plug(first)
    DAEMONS[daemon](switch)
    plug(second)
    plug(first)
    assert steps_left(first) == steps_left(second) == []
    DAEMONS[daemon](switch)
    unplug(first)
    unplug(second)
    assert set(inside.links()) <= {"br-int", "ovs-netdev"}
    assert switch.vsctl("list-ports", "br-int") == ""


@pytest.mark.parametrize("number", ROUNDS)
@pytest.mark.parametrize("what", SERVER)
def test_server_that_goes_and_comes_while_plugging(
    switch: Any, inside: Any, what: str, number: int
) -> None:
    """After so many milliseconds. ovs-vswitchd is waited for, which itself tries again.

    After 1 s at first, then after 2, 4 and 8: so each round has a switch of its own.
    """
    plug(vifs_ovs.plain(99))
    timer = later(number / 1000, lambda: SERVER[what](switch))
    plug(vifs_ovs.plain(number))
    timer.join()
    assert steps_left(vifs_ovs.plain(number)) == []
    timer = later(number / 1000, lambda: SERVER[what](switch))
    unplug(vifs_ovs.plain(number))
    timer.join()
    assert switch.vsctl("list-ports", "br-int").split() == [vifs.tap_name(99)]
    assert set(inside.links()) == {"br-int", "ovs-netdev", vifs.tap_name(99)}


def test_server_that_goes_again_and_again(switch: Any, inside: Any) -> None:
    for number in ROUNDS:
        timer = later(number / 1000, lambda: SERVER["kill"](switch))
        plug(vifs_ovs.plain(number))
        timer.join()
        assert steps_left(vifs_ovs.plain(number)) == []
    there = {vifs.tap_name(number) for number in ROUNDS}
    assert set(switch.vsctl("list-ports", "br-int").split()) == there
    assert set(inside.links()) == {"br-int", "ovs-netdev"} | there


@pytest.mark.parametrize("what", VSWITCHD)
def test_vswitchd_that_goes_and_comes_while_plugging(switch: Any, inside: Any, what: str) -> None:
    plug(vifs_ovs.plain(99))
    for number in range(1, 7):
        timer = later(number / 1000, lambda: VSWITCHD[what](switch))
        plug(vifs_ovs.plain(number))
        timer.join()
        plug(vifs_ovs.plain(number))  # it may have been killed after it was asked
        assert steps_left(vifs_ovs.plain(number)) == []
    for number in range(1, 7):
        unplug(vifs_ovs.plain(number))
    assert switch.vsctl("list-ports", "br-int").split() == [vifs.tap_name(99)]


def test_server_away_and_back(switch: Any, inside: Any) -> None:
    """A server that comes back inside the time limit is used at once."""
    plug(vifs_ovs.plain(2))
    switch.stop_server()
    began = time.monotonic()
    timer = later(1, switch.start_server)
    plug(vifs_ovs.plain(1))
    took = time.monotonic() - began
    timer.join()
    assert 1 <= took < 45, "long before the time limit"
    assert steps_left(vifs_ovs.plain(1)) == []


def test_server_away_for_good(switch: Any, inside: Any) -> None:
    plug(vifs_ovs.plain(2))
    before = set(inside.links())
    switch.stop_server()
    with limited(2):
        for act, error in (
            (lambda: plug(vifs_ovs.plain(1)), exception.PlugException),
            (lambda: plug(vifs_ovs.hybrid(1)), exception.PlugException),
            (lambda: unplug(vifs_ovs.plain(2)), exception.UnplugException),
        ):
            began = time.monotonic()
            with pytest.raises(error, match=r"db\.sock: (Connection refused|No such file)"):
                act()
            assert 1.5 < time.monotonic() - began < 45, "a time-out that means what it says"
            assert set(inside.links()) == before
    switch.start_server()
    unplug(vifs_ovs.plain(2))
    assert switch.vsctl("list-ports", "br-int") == ""


@pytest.mark.parametrize("mode", [vifs_ovs.plain, vifs_ovs.hybrid], ids=["tap", "hybrid"])
def test_server_goes_in_the_middle(switch: Any, inside: Any, monkeypatch: Any, mode: Any) -> None:
    """After the device was made, and before its port: the device does not stay."""
    plug(vifs_ovs.plain(2))
    before = set(inside.links())
    transact = ovsdb.Connection.transact

    def away(self: Any, operations: Any, deadline: Any) -> Any:
        if any(operation["op"] == "insert" for operation in operations):
            switch.kill_server()
        return transact(self, operations, deadline)

    monkeypatch.setattr(ovsdb.Connection, "transact", away)
    with limited(2), pytest.raises(exception.PlugException, match=r"db\.sock|connection"):
        plug(mode(1))
    assert set(inside.links()) == before
    switch.start_server()
    assert vifs.tap_name(1) not in names(switch)


def test_server_that_does_not_answer(switch: Any, inside: Any) -> None:
    plug(vifs_ovs.plain(2))
    before = set(inside.links())
    switch.pause("server")
    with limited(1), pytest.raises(exception.PlugException, match="no answer within 1 s"):
        plug(vifs_ovs.plain(1))
    switch.resume("server")
    assert set(inside.links()) == before
    plug(vifs_ovs.plain(1))
    assert steps_left(vifs_ovs.plain(1)) == []


@pytest.mark.parametrize("how", ["dead", "paused"])
@pytest.mark.parametrize("mode", [vifs_ovs.plain, vifs_ovs.hybrid], ids=["tap", "hybrid"])
def test_vswitchd_does_not_follow(switch: Any, inside: Any, mode: Any, how: str) -> None:
    """In the reference the row stays, and the call takes its whole time limit for nothing."""
    plug(vifs_ovs.plain(2))
    if how == "dead":
        switch.kill_vswitchd()
    else:
        switch.pause("vswitchd")
    devices, rows = set(inside.links()), names(switch)
    with limited(2):
        began = time.monotonic()
        with pytest.raises(
            exception.PlugException, match=r"ovs-vswitchd has not followed.*is it running"
        ):
            plug(mode(1))
        assert 1.9 < time.monotonic() - began < 45
    assert set(inside.links()) == devices
    assert sorted(names(switch).split()) == sorted(rows.split())
    if how == "dead":
        switch.start_vswitchd()
    else:
        switch.resume("vswitchd")
    plug(mode(1))
    assert steps_left(mode(1)) == []


def test_unplug_while_vswitchd_is_dead(switch: Any, inside: Any) -> None:
    """It says that it could not, and does the rest when it is asked again."""
    plug(vifs_ovs.plain(1))
    switch.kill_vswitchd()
    with (
        limited(2),
        pytest.raises(exception.UnplugException, match="ovs-vswitchd has not followed"),
    ):
        unplug(vifs_ovs.plain(1))
    unplug(vifs_ovs.plain(1))
    assert vifs.tap_name(1) not in inside.links()
    assert vifs.tap_name(1) not in names(switch)


def test_no_limit(switch: Any, inside: Any) -> None:
    switch.stop_server()
    timer = later(1.5, switch.start_server)
    with limited(0):
        plug(vifs_ovs.plain(1))
    timer.join()
    assert steps_left(vifs_ovs.plain(1)) == []


def test_listing_does_not_wait_for_a_server(switch: Any, inside: Any) -> None:
    with vifs.configured("tap"):
        plug(vifs.tap_vif(3))
    switch.stop_server()
    began = time.monotonic()
    assert [item.mark.vif_id for item in os_vif.list_vifs()] == [vifs.vif_id(3)]
    assert time.monotonic() - began < 45, "long before the time limit"
