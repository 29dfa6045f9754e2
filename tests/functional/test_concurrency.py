# SPDX-License-Identifier: Apache-2.0
"""Many at once: threads of one process are merged, several processes do no harm to each other."""

from __future__ import annotations

import errno
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import runner
from os_vif.host.links.system import devices as links
from os_vif.system import notices, sysctl
from tests import vifs, witness

pytestmark = pytest.mark.functional

PROCESSES, THREADS = 4, 8


@pytest.fixture(autouse=True)
def taps() -> Iterator[None]:
    with vifs.configured("linux_bridge", create_tap=True):
        yield


def overtaken(error: exception.ExceptionBase) -> bool:
    """Tell whether others undid it faster than it could be done, and no trace of it is left."""
    cause = error.__cause__
    if isinstance(cause, exception.StepFailed):
        return not cause.kwargs["left"]
    return isinstance(cause, exception.NotConverged | exception.ResourceConflict)


def in_threads(host: Any, jobs: Sequence[Callable[[], Any]]) -> list[BaseException]:
    """Run each job in a thread of its own, all starting at once; return what went wrong."""
    errors: list[BaseException] = []
    gate = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> None:
        with host.enter():
            gate.wait()
            try:
                job()
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def in_processes(count: int, act: Callable[[int], None]) -> None:
    """Run ``act`` in forked children, all starting at once; fail with what they say."""
    reading, writing = os.pipe()
    gate_out, gate_in = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            try:
                os.close(gate_in)
                os.read(gate_out, 1)
                act(number)
            except BaseException as error:
                os.write(writing, f"{number}: {error!r}\n".encode())
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(writing)
    os.close(gate_in)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    with open(reading) as said:
        words = said.read()
    os.close(gate_out)
    assert statuses == [0] * count, words


def test_distinct_vifs_on_one_bridge(inside: Any) -> None:
    def act(process: int) -> None:
        def one(number: int) -> Callable[[], None]:
            def job() -> None:
                vif = vifs.bridge_vif(number, has_traffic_filtering=number % 8 != 0)
                for _round in range(3):
                    os_vif.plug(vif, vifs.instance())
                    assert os_vif.check(vif, vifs.instance()) == []
                    os_vif.unplug(vif, vifs.instance())
                os_vif.plug(vif, vifs.instance())

            return job

        jobs = [one(1 + process * THREADS + thread) for thread in range(THREADS)]
        errors = in_threads(inside, jobs)
        assert errors == [], errors

    in_processes(PROCESSES, act)
    everyone = range(1, PROCESSES * THREADS + 1)
    assert set(inside.links()) == {"br0", *map(vifs.tap_name, everyone)}
    for number in everyone:
        vif = vifs.bridge_vif(number, has_traffic_filtering=number % 8 != 0)
        assert os_vif.check(vif, vifs.instance()) == []
    os_vif.gc([])
    assert list(inside.links()) == ["br0"]
    assert witness.rules() == []


def churn(host: Any, vif: Any, *, rounds: int, threads: int) -> None:
    """Plug and unplug one VIF at random, from several threads of several processes at once."""

    def act(process: int) -> None:
        chance = random.Random(process)

        def job() -> None:
            for _round in range(rounds):
                verb = chance.choice([os_vif.plug, os_vif.unplug])
                try:
                    verb(vif, vifs.instance())
                except (exception.PlugException, exception.UnplugException) as error:
                    if not overtaken(error):
                        raise

        errors = in_threads(host, [job] * threads)
        assert errors == [], errors

    in_processes(PROCESSES, act)


@pytest.mark.parametrize("name", [vifs.tap_name(1), "vnet0"], ids=["derived name", "other name"])
@pytest.mark.parametrize("last", ["plug", "unplug"])
def test_the_same_vif_by_all(inside: Any, last: str, name: str) -> None:
    vif = vifs.bridge_vif(1, vif_name=name)

    churn(inside, vif, rounds=6, threads=4)
    # Whatever they left is consistent: whole, or repairable by one call.
    getattr(os_vif, last)(vif, vifs.instance())
    if last == "plug":
        assert os_vif.check(vif, vifs.instance()) == []
        assert set(inside.links()) == {"br0", name}
    else:
        assert set(inside.links()) <= {"br0"}


@pytest.mark.parametrize("name", [vifs.tap_name(1), "vnet0"], ids=["derived name", "other name"])
def test_the_same_vif_plugged_by_all_at_once(inside: Any, name: str) -> None:
    """In the reference half of such calls raise."""
    vif = vifs.bridge_vif(1, vif_name=name)
    for _round in range(5):
        in_processes(PROCESSES, lambda _process: os_vif.plug(vif, vifs.instance()))
        assert os_vif.check(vif, vifs.instance()) == []
        in_processes(PROCESSES, lambda _process: os_vif.unplug(vif, vifs.instance()))
        assert set(inside.links()) == {"br0"}


def test_a_failure_of_one_does_not_take_the_bridge_from_another(inside: Any) -> None:
    """One makes the bridge and fails; in between another has come to use it."""
    good = vifs.bridge_vif(2)

    def fail(args: Any) -> Any:
        if args["kind"] == "tap":
            # At this moment another process, of which this one knows nothing:
            in_processes(1, plug_good)
            raise OSError(22, "not this one")
        return create(args)

    handler_of = runner.handler_of
    create = handler_of("create_link")

    def plug_good(_process: int) -> None:
        runner.handler_of = handler_of
        os_vif.plug(good, vifs.instance())

    def act(_process: int) -> None:
        runner.handler_of = lambda kind: fail if kind == "create_link" else handler_of(kind)
        with pytest.raises(exception.PlugException, match="not this one"):
            os_vif.plug(vifs.bridge_vif(1), vifs.instance())

    in_processes(1, act)
    assert os_vif.check(good, vifs.instance()) == []
    assert set(inside.links()) == {"br0", good.vif_name}


def test_an_uplink_by_all_at_once(uplink: Any) -> None:
    many = [
        vifs.bridge_vif(number, network=vifs.network(bridge_interface="eth0"))
        for number in range(1, 5)
    ]
    in_processes(4, lambda process: os_vif.plug(many[process], vifs.instance()))
    for vif in many:
        assert os_vif.check(vif, vifs.instance()) == []
    assert witness.addresses("eth0") == []
    assert len(witness.addresses("br0")) == 4
    assert len(witness.ask("-4 route show default")) == 1
    assert len(witness.ask("-6 route show default")) == 1


def deletions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one with each RTM_DELLINK."""
    sent: list[int] = []
    request = notices.request

    def counted(message: Any, *options: Any) -> Any:
        sent.append(message.type)
        return request(message, *options)

    monkeypatch.setattr(notices, "request", counted)
    return sent


def test_group_commit(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [vifs.bridge_vif(number) for number in range(1, 51)]
    os_vif.plug_many([(vif, vifs.instance()) for vif in many])
    sent = deletions(monkeypatch)
    errors = in_threads(
        inside, [lambda vif=vif: os_vif.unplug(vif, vifs.instance()) for vif in many]
    )
    assert errors == []
    assert list(inside.links()) == ["br0"]
    assert 0 < len(sent) < 25, "the kernel waits 16 ms in each"


@pytest.mark.usefixtures("kernel_refuses")
def test_a_bad_request_does_not_spoil_those_merged_with_it(inside: Any) -> None:
    jobs: list[Callable[[], None]] = []
    failed: list[str] = []
    for number in range(1, 25):
        fields = {"network": vifs.network(mtu=65535)} if number % 3 == 0 else {}
        vif = vifs.bridge_vif(number, **fields)

        def job(vif: Any = vif) -> None:
            try:
                os_vif.plug(vif, vifs.instance())
            except exception.PlugException:
                failed.append(vif.id)

        jobs.append(job)
    assert in_threads(inside, jobs) == []
    assert sorted(failed) == [vifs.vif_id(number) for number in range(3, 25, 3)]
    for number in range(1, 25):
        if number % 3:
            assert os_vif.check(vifs.bridge_vif(number), vifs.instance()) == []
        else:
            assert vifs.tap_name(number) not in inside.links()


def test_an_interrupted_server_leaves_nobody_without_an_answer(
    inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, or eventlet's Timeout, in the thread that serves the others too."""
    from os_vif.engine import converge as engine

    settle = engine._settle
    held, interrupt = threading.Event(), threading.Event()
    first = threading.Lock()

    def interrupted(plan: Any, requests: Any, **options: Any) -> None:
        if first.acquire(blocking=False):
            held.set()
            interrupt.wait(30)
            settle(plan, requests, **options)
            return
        if monkey["armed"] and len(requests) > 1:
            monkey["armed"] = False
            raise KeyboardInterrupt
        settle(plan, requests, **options)

    monkey = {"armed": True}
    monkeypatch.setattr(engine, "_settle", interrupted)
    many = [vifs.bridge_vif(number) for number in range(1, 8)]
    outcome: dict[int, BaseException | None] = {}

    def job(number: int) -> Callable[[], None]:
        def run() -> None:
            try:
                os_vif.plug(many[number], vifs.instance())
            except BaseException as error:
                outcome[number] = error
            else:
                outcome[number] = None

        return run

    with_first = threading.Thread(target=lambda: in_threads(inside, [job(0)]))
    with_first.start()
    assert held.wait(30)
    others = threading.Thread(
        target=lambda: in_threads(inside, [job(number) for number in range(1, 7)])
    )
    others.start()
    [turn] = [turn for turn in engine._turns.values() if turn.leader]
    deadline = time.monotonic() + 30
    while len(turn.waiting) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    interrupt.set()
    with_first.join()
    others.join()
    assert not monkey["armed"]
    assert sum(isinstance(error, KeyboardInterrupt) for error in outcome.values()) == 1
    for number, error in outcome.items():
        if error is None:
            assert os_vif.check(many[number], vifs.instance()) == [], "it was told that all is well"


@pytest.mark.usefixtures("settled")
def test_nothing_leaks(inside: Any) -> None:
    def everything() -> None:
        jobs = []
        for number in range(1, 17):
            vif = vifs.bridge_vif(number)

            def job(vif: Any = vif) -> None:
                os_vif.plug(vif, vifs.instance())
                os_vif.unplug(vif, vifs.instance())

            jobs.append(job)
        assert in_threads(inside, jobs) == []
        # Some wait for what the kernel has left to do with a device that is gone.
        deadline = time.monotonic() + 30
        while threading.active_count() > threads:
            assert time.monotonic() < deadline, threading.enumerate()
            time.sleep(0.005)

    threads = threading.active_count()
    everything()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _round in range(3):
        everything()
    # One socket per thread that was at work at the same time may stay for the next.
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 2


def test_no_socket_is_left_to_the_collector(inside: Any) -> None:
    """Neither at the end of a process nor in a child."""
    source = """
import os, threading
from os_vif.system import netlink
both = threading.Barrier(2)
def use():
    with netlink.session():
        both.wait()
threads = [threading.Thread(target=use) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
if not os.fork():
    with netlink.session():
        pass
    raise SystemExit
os.wait()
kept = netlink._idle[-1][1]
"""
    done = inside.run(sys.executable, "-W", "always::ResourceWarning", "-c", source)
    assert done.stderr == ""


def test_each_thread_acts_in_its_own_namespace(inside: Any) -> None:
    from tests.conftest import PrivateHost

    other = PrivateHost()
    try:
        errors = []
        for host, numbers in ((inside, (1, 2)), (other, (3, 4))):
            errors += in_threads(
                host,
                [
                    lambda number=number: os_vif.plug(vifs.bridge_vif(number), vifs.instance())
                    for number in numbers
                ],
            )
        assert errors == []
        assert set(inside.links()) == {"br0", vifs.tap_name(1), vifs.tap_name(2)}
        assert set(other.links()) == {"br0", vifs.tap_name(3), vifs.tap_name(4)}
    finally:
        other.close()


def test_a_bridge_replaced_in_the_very_moment(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index of the bridge was asked for, and then another process took it back and made it."""
    index, stale = links._index, [4242]
    monkeypatch.setattr(links, "_index", lambda name: stale.pop() if stale else index(name))
    os_vif.plug(vifs.bridge_vif(1), vifs.instance())
    assert not stale
    assert os_vif.check(vifs.bridge_vif(1), vifs.instance()) == []


def test_a_setting_of_a_device_that_goes_away(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says ENOENT to whoever has the setting open, which is to look at it again."""
    inside.run("ip", "tuntap", "add", "tap0", "mode", "tap")
    write = os.write

    def deleted_first(descriptor: int, data: bytes) -> int:
        inside.run("ip", "link", "delete", "tap0")
        return write(descriptor, data)

    monkeypatch.setattr(sysctl.os, "write", deleted_first)
    with pytest.raises(OSError, match=r"tap0.*went away") as caught:
        sysctl.write("tap0", "disable_ipv6", 1)
    assert caught.value.errno == errno.ENODEV
