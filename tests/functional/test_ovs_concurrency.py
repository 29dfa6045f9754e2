# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch: many threads of many processes at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.system import ovsdb
from tests import vifs, vifs_ovs
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.test_concurrency import (
    PROCESSES,
    THREADS,
    churn,
    in_processes,
    in_threads,
)

pytestmark = [pytest.mark.functional, pytest.mark.slow]

MODES = [vifs_ovs.plain, vifs_ovs.hybrid]
IDS = ["tap", "hybrid"]


@pytest.fixture(autouse=True)
def patient(switch: Any) -> Any:
    with vifs.configured("ovs", ovs_vsctl_timeout=60):
        yield


def test_distinct_vifs(switch: Any, inside: Any) -> None:
    def vif_of(number: int) -> Any:
        return MODES[number % 4 == 0](number)

    def act(process: int) -> None:
        def one(number: int) -> Callable[[], None]:
            def job() -> None:
                vif = vif_of(number)
                plug(vif)
                assert steps_left(vif) == []
                unplug(vif)
                plug(vif)

            return job

        jobs = [one(1 + process * THREADS + thread) for thread in range(THREADS)]
        errors = in_threads(inside, jobs)
        assert errors == [], errors

    in_processes(PROCESSES, act)
    everyone = range(1, PROCESSES * THREADS + 1)
    for number in everyone:
        assert steps_left(vif_of(number)) == []
    assert len(os_vif.list_vifs()) == PROCESSES * THREADS
    outcomes = os_vif.unplug_many([(vif_of(number), vifs.instance()) for number in everyone])
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    assert set(inside.links()) <= {"br-int", "ovs-netdev"}
    assert switch.vsctl("list-ports", "br-int") == ""


@pytest.mark.parametrize("mode", MODES, ids=IDS)
@pytest.mark.parametrize("last", ["plug", "unplug"])
def test_the_same_vif_by_all(switch: Any, inside: Any, mode: Any, last: str) -> None:
    vif = mode(1)

    churn(inside, vif, rounds=3, threads=THREADS)
    {"plug": plug, "unplug": unplug}[last](vif)
    if last == "plug":
        assert steps_left(vif) == []
    else:
        assert set(inside.links()) <= {"br-int", "ovs-netdev"}
        assert switch.vsctl("list-ports", "br-int") == ""


@pytest.mark.parametrize("mode", MODES, ids=IDS)
def test_from_both_ends(switch: Any, inside: Any, mode: Any) -> None:
    """Plugged by one and unplugged by another: one state or the other, never in between."""
    vif = mode(1)
    for number in range(12):
        if number % 2:
            plug(vif)

        def act(process: int) -> None:
            try:
                (plug if process else unplug)(vif)
            except exception.PlugException as error:
                if "in the way" in str(error):
                    raise

        in_processes(2, act)
        there = bool(switch.vsctl("list-ports", "br-int"))
        if there:
            assert steps_left(vif) == [], number
        else:
            assert set(inside.links()) <= {"br-int", "ovs-netdev"}, number


@pytest.mark.parametrize("mode", MODES, ids=IDS)
def test_the_same_vif_plugged_by_all_at_once(switch: Any, inside: Any, mode: Any) -> None:
    """In the reference half of such calls raise."""
    vif = mode(1)
    for _round in range(3):
        in_processes(PROCESSES, lambda _process: plug(vif))
        assert steps_left(vif) == []
        in_processes(PROCESSES, lambda _process: unplug(vif))
        assert set(inside.links()) <= {"br-int", "ovs-netdev"}


def counted(monkeypatch: Any) -> list[int]:
    """Return a list that grows by one with each transaction that changes something."""
    sent: list[int] = []
    transact = ovsdb.Connection.transact

    def count(self: Any, operations: Any, deadline: Any) -> Any:
        if any(operation["op"] not in ("select", "wait") for operation in operations):
            sent.append(len(operations))
        return transact(self, operations, deadline)

    monkeypatch.setattr(ovsdb.Connection, "transact", count)
    return sent


def test_many_are_one_transaction(switch: Any, inside: Any, monkeypatch: Any) -> None:
    sent = counted(monkeypatch)
    pairs = [(vifs_ovs.plain(number), vifs.instance()) for number in range(1, 31)]
    assert [outcome.error for outcome in os_vif.plug_many(pairs)] == [None] * 30
    assert len(sent) == 1
    for vif, _instance in pairs:
        assert steps_left(vif) == []
    assert [outcome.error for outcome in os_vif.unplug_many(pairs)] == [None] * 30
    assert len(sent) == 2


def test_threads_share_transactions(switch: Any, inside: Any, monkeypatch: Any) -> None:
    plug(vifs_ovs.plain(99))
    sent = counted(monkeypatch)
    jobs = [lambda number=number: plug(vifs_ovs.plain(number)) for number in range(1, 25)]
    assert in_threads(inside, jobs) == []
    assert len(sent) < 12


def asked(switch: Any, name: str, *, there: bool = True) -> None:
    """Wait until the database has a port, whatever ovs-vswitchd does."""
    deadline = time.monotonic() + 30
    while (name in switch.vsctl("--no-wait", "--columns=name", "list", "Port")) != there:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def one_behind_the_other(
    switch: Any, inside: Any, jobs: Sequence[Callable[[], Any]], made: Sequence[Callable[[], Any]]
) -> None:
    """Start two jobs while ovs-vswitchd is halted, each once what goes before it is asked for."""
    begun = threading.Event()

    def second() -> None:
        assert begun.wait(60)
        jobs[1]()

    def watch() -> None:
        try:
            made[0]()
            begun.set()
            made[1]()
        finally:
            switch.resume()

    switch.pause()
    assert in_threads(inside, [jobs[0], second, watch]) == []


@pytest.mark.parametrize("first", [plug, unplug])
def test_the_next_is_asked_for_while_the_switch_is_at_work(
    switch: Any, inside: Any, first: Callable[[Any], None]
) -> None:
    """Neither a plug nor an unplug that waits for ovs-vswitchd keeps another VIF waiting."""
    one, other = vifs_ovs.plain(1), vifs_ovs.hybrid(2)
    if first is unplug:
        plug(one)
    one_behind_the_other(
        switch,
        inside,
        [lambda: first(one), lambda: plug(other)],
        [
            lambda: asked(switch, vifs.tap_name(1), there=first is plug),
            lambda: asked(switch, "qvo"),
        ],
    )
    assert steps_left(other) == []
    assert bool(steps_left(one)) == (first is unplug)


def test_a_bridge_that_one_made_and_takes_back_stays_for_others(switch: Any, inside: Any) -> None:
    bad, good = vifs_ovs.vhost_user(3, mode="server", path="/run/nowhere/x"), vifs_ovs.plain(1)

    def fails() -> None:
        with pytest.raises(exception.PlugException, match="dpdkvhostuserclient"):
            plug(bad)

    one_behind_the_other(
        switch,
        inside,
        [fails, lambda: plug(good)],
        [lambda: asked(switch, "vhu"), lambda: asked(switch, vifs.tap_name(1))],
    )
    assert steps_left(good) == []
    assert "vhu" not in switch.vsctl("show")


def test_a_bridge_that_nobody_else_uses_is_taken_back(switch: Any, inside: Any) -> None:
    with pytest.raises(exception.PlugException, match="dpdkvhostuserclient"):
        plug(vifs_ovs.vhost_user(3, mode="server", path="/run/nowhere/x"))
    assert switch.vsctl("list-br") == ""


def test_a_bad_one_does_not_spoil_the_others(switch: Any, inside: Any) -> None:
    switch.vsctl("add-br", "br-other", "--", "set", "Bridge", "br-other", "datapath_type=netdev")
    switch.vsctl("add-port", "br-other", vifs.tap_name(2), check=False)
    unknown = vifs_ovs.vhost_user(3, mode="server", path="/run/nowhere/x")
    pairs = [
        (vif, vifs.instance())
        for vif in (vifs_ovs.plain(1), unknown, vifs_ovs.hybrid(4), vifs_ovs.plain(5))
    ]
    errors = [outcome.error for outcome in os_vif.plug_many(pairs)]
    assert [bool(error) for error in errors] == [False, True, False, False], errors
    assert "dpdkvhostuserclient" in str(errors[1])
    for number in (0, 2, 3):
        assert steps_left(pairs[number][0]) == []
    assert "vhu" not in switch.vsctl("show")


def test_all_or_nothing(switch: Any, inside: Any) -> None:
    unknown = vifs_ovs.vhost_user(3, mode="server", path="/run/nowhere/x")
    pairs = [(vif, vifs.instance()) for vif in (vifs_ovs.plain(1), vifs_ovs.hybrid(2), unknown)]
    outcomes = os_vif.plug_many(pairs, together=True)
    assert all(outcome.error for outcome in outcomes)
    assert set(inside.links()) <= {"br-int", "ovs-netdev"}
    assert os_vif.list_vifs() == []
