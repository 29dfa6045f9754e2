# SPDX-License-Identifier: Apache-2.0
"""Look, plan, run, look again; all together; and who serves whom: on a modelled host."""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from os_vif import exception
from os_vif.engine import converge as engine
from os_vif.engine import dispatch, patience, planner, runner
from os_vif.engine.converge import Request
from os_vif.engine.place import Place
from os_vif.engine.topology import Mark, Resource, Topology
from os_vif.host.forwarding.resources import ForwardRules
from os_vif.host.links.resources import Bridge, Tap
from tests import vifs
from tests.modelled import World
from tests.seen import asks

SECTION = "vif_plug_linux_bridge_privileged"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(dispatch, "observe", made.seen)
    monkeypatch.setattr(runner, "handler_of", made.handlers().__getitem__)
    monkeypatch.setattr(dispatch, "is_privileged", lambda _section="": True)
    return made


class Clock:
    """Time that goes by with each round, and nowhere else."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + 0.01


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(patience, "time", made)
    return made


def request(number: int = 1, *more: Resource, **fields: Any) -> Request:
    fields = {"bridge": "br0", "mtu": 1500, "name": vifs.tap_name(number), **fields}
    tap = Tap(mac=f"fe:54:00:00:00:{number:02x}", **fields)
    bridge = Bridge(name=fields["bridge"])
    return Request(
        Topology(Mark(vifs.vif_id(number), "test"), (bridge, *more, tap)), Place(SECTION)
    )


def fail(kind: str, *errors: int, times: int = 1) -> Callable[[str, dict[str, Any]], None]:
    """Return a fault: the first steps of this kind fail."""
    left = [*errors] * times

    def fault(of: str, _args: dict[str, Any]) -> None:
        if of == kind and left:
            number = left.pop(0)
            raise OSError(number, f"error {errno.errorcode[number]}")

    return fault


def test_plug_and_unplug(world: World) -> None:
    one = request()
    engine.plug([one])
    assert one.error is None
    assert [step.kind for step in one.done] == ["create_link", "create_link"]
    assert world.links[vifs.tap_name(1)].attributes["master"] == "br0"
    again = request()
    engine.plug([again])
    assert (again.done, again.error) == ([], None)
    gone = request()
    engine.unplug([gone])
    assert [step.kind for step in gone.done] == ["delete_links"]
    assert list(world.links) == ["br0"]


def test_a_step_that_fails_takes_back_its_own_group_alone(world: World) -> None:
    world.add_link("br1", "bridge", up=True)
    good, bad, other = request(1, bridge="br1"), request(2, bridge="br2"), request(3, bridge="br1")

    def fault(kind: str, args: dict[str, Any]) -> None:
        if kind == "create_link" and args["name"] == vifs.tap_name(2):
            raise OSError(errno.EINVAL, "the kernel says no")

    world.fault = fault
    engine.plug([good, bad, other])
    assert (good.error, other.error) == (None, None)
    assert isinstance(bad.error, exception.StepFailed)
    assert str(bad.error).startswith(f"could not create tap {vifs.tap_name(2)}: ")
    assert str(bad.error).endswith("the kernel says no")
    assert bad.done == []
    assert set(world.links) == {"br1", vifs.tap_name(1), vifs.tap_name(3)}


def test_what_another_built_on_a_failed_one_is_built_again(world: World) -> None:
    """The first makes the bridge and fails: the second finds it gone, and makes it itself."""
    bad, good = request(1), request(2)

    def fault(kind: str, args: dict[str, Any]) -> None:
        if kind == "create_link" and args["name"] == vifs.tap_name(1):
            raise OSError(errno.EINVAL, "no")

    world.fault = fault
    engine.plug([bad, good])
    assert bad.error is not None
    assert good.error is None
    assert set(world.links) == {"br0", vifs.tap_name(2)}


@pytest.mark.parametrize("number", [errno.EEXIST, errno.EBUSY, errno.ENODEV, errno.EBADFD])
def test_overtaken_by_another_process(world: World, number: int) -> None:
    world.fault = fail("create_link", number, times=3)
    one = request()
    engine.plug([one])
    assert one.error is None
    assert set(world.links) == {"br0", vifs.tap_name(1)}


def test_overtaken_for_ever(world: World) -> None:
    world.fault = fail("create_link", errno.EEXIST, times=100)
    one = request()
    engine.plug([one])
    assert "EEXIST" in str(one.error)
    assert world.links == {}


def test_overtaken_many_times_by_faster_ones(world: World, clock: Clock) -> None:
    """Who is slow among fast ones has its turn in the end."""
    world.fault = fail("create_link", errno.ESTALE, times=60)
    one = request()
    engine.plug([one])
    assert one.error is None
    assert set(world.links) == {"br0", vifs.tap_name(1)}
    assert clock.now > 1


def test_overtaken_as_long_as_there_is_time(world: World, clock: Clock) -> None:
    world.fault = fail("create_link", errno.ESTALE, times=100_000)
    one = request()
    engine.plug([one])
    assert re.fullmatch(
        r"could not create bridge br0.*: error ESTALE, \d{3,} times in 20 s", str(one.error)
    )
    assert 20 < clock.now < 21
    assert world.links == {}


def test_overtaken_in_rounds_that_take_long(world: World, clock: Clock) -> None:
    """There are as many as of what is said less plainly."""
    tries = []

    def slow(kind: str, _args: dict[str, Any]) -> None:
        if kind == "create_link":
            clock.now += 30
            tries.append(kind)
            raise OSError(errno.ESTALE, "somebody else was faster")

    world.fault = slow
    one = request()
    engine.plug([one])
    assert str(one.error).endswith("somebody else was faster, 20 times in 600 s")
    assert len(tries) == 20


def test_a_host_that_changes_between_rounds_is_as_good_as_an_error_that_says_so(
    world: World, clock: Clock
) -> None:
    """Another makes its bridge and takes it away again, and the error alone tells nothing."""
    left = 60

    def beaten(kind: str, _args: dict[str, Any]) -> None:
        nonlocal left
        if kind != "create_link" or not left:
            return
        left -= 1
        if world.links.pop("br0", None) is None:
            world.add_link("br0", "bridge")
        raise OSError(errno.EEXIST, "File exists")

    world.fault = beaten
    one = request()
    engine.plug([one])
    assert one.error is None
    assert not left
    assert set(world.links) == {"br0", vifs.tap_name(1)}


def test_no_time_left_after_being_overtaken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says with what the time went by, not only that it did."""
    world.fault = fail("create_link", errno.ESTALE, times=3)
    looks = 0

    def seen(asked: Any, *found: Any, **more: Any) -> Any:
        nonlocal looks
        looks += bool(asked)
        if looks == 3:
            raise OSError(errno.ETIMEDOUT, "no answer within 5 s")
        return world.seen(asked)

    monkeypatch.setattr(dispatch, "observe", seen)
    one = request()
    engine.plug([one])
    assert isinstance(one.error, exception.StepFailed)
    assert str(one.error).endswith("error ESTALE; and no answer within 5 s")


def test_together_and_overtaken_for_ever(world: World) -> None:
    def fault(kind: str, args: dict[str, Any]) -> None:
        if kind == "create_link" and args["name"] == vifs.tap_name(2):
            raise OSError(errno.EEXIST, "no")

    world.fault = fault
    requests = [request(1), request(2), request(3)]
    engine.plug(requests, together=True)
    kinds = [exception.NotAttempted, exception.StepFailed, exception.NotAttempted]
    assert [type(one.error) for one in requests] == kinds
    assert world.links == {}


def test_somebody_keeps_changing_it(world: World) -> None:
    def spoil(now: World) -> None:
        for name, link in now.links.items():
            if name.startswith("tap"):
                link.attributes["mtu"] = 1280

    world.watch = spoil
    one = request()
    engine.plug([one])
    assert isinstance(one.error, exception.NotConverged)
    assert f"set {vifs.tap_name(1)}: MTU 1500" in str(one.error)
    assert world.links == {}, "what was done is taken back"


def test_what_is_in_the_way_may_be_in_the_making(world: World) -> None:
    """Another process makes the same tap, and has not marked it yet."""
    one = request(1, name="vnet0")
    half = world.add_link("vnet0", "tap")
    looks = 0
    observe = world.seen

    def finished_later(asked: Any, *found: Any, **more: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 3:
            half.alias = str(one.topology.mark)
        return observe(asked)

    dispatch.observe = finished_later
    try:
        engine.plug([one])
    finally:
        dispatch.observe = observe
    assert one.error is None
    assert half.attributes["master"] == "br0"


def test_what_stays_in_the_way_is_an_error(world: World) -> None:
    world.add_link("vnet0", "tap")
    bad, good = request(1, name="vnet0"), request(2)
    engine.plug([bad, good])
    assert isinstance(bad.error, exception.ResourceConflict)
    assert good.error is None


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EEXIST])
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_together_all_or_nothing(world: World, bad: int, number: int) -> None:
    world.add_link(vifs.tap_name(1), "tap", str(Mark(vifs.vif_id(1), "test")), mtu=1280)
    before = world.picture()
    requests = [request(n) for n in (1, 2, 3)]
    name = vifs.tap_name(bad + 1)

    def fault(kind: str, args: dict[str, Any]) -> None:
        if kind in ("create_link", "set_link") and args["name"] == name:
            if kind == "set_link" and args["attributes"].get("mtu") == 1280:
                return  # taking it back
            raise OSError(number, "no")

    world.fault = fault
    engine.plug(requests, together=True)
    for position, one in enumerate(requests):
        expected = exception.StepFailed if position == bad else exception.NotAttempted
        assert isinstance(one.error, expected), position
        assert one.done == []
    assert world.picture() == before


def test_together_refused_before_anything_is_done(world: World) -> None:
    world.add_link("br7", "tap")
    requests = [request(1), request(2, bridge="br7")]
    engine.plug(requests, together=True)
    assert isinstance(requests[0].error, exception.NotAttempted)
    assert isinstance(requests[1].error, exception.ResourceConflict)
    assert world.operations == 0


def test_together_and_overtaken_once(world: World) -> None:
    world.fault = fail("create_link", errno.EEXIST)
    requests = [request(1), request(2)]
    engine.plug(requests, together=True)
    assert [one.error for one in requests] == [None, None]
    assert set(world.links) == {"br0", vifs.tap_name(1), vifs.tap_name(2)}


def test_what_could_not_be_taken_back_is_said(world: World) -> None:
    def fault(kind: str, args: dict[str, Any]) -> None:
        if kind == "create_link" and args["kind"] == "tap":
            raise OSError(errno.EINVAL, "no tap today")
        if kind == "delete_unused":
            raise OSError(errno.EPERM, "nor may it go")

    world.fault = fault
    one = request()
    engine.plug([one])
    assert "no tap today" in str(one.error)
    assert "could not take back: delete br0, which nobody uses: nor may it go" in str(one.error)


def test_a_fault_in_the_code_is_nobodys_success(world: World) -> None:
    def fault(_kind: str, _args: dict[str, Any]) -> None:
        raise ZeroDivisionError("a mistake of ours")

    world.fault = fault
    requests = [request(1), request(2)]
    engine.plug(requests)
    assert all(isinstance(one.error, ZeroDivisionError) for one in requests)
    assert world.links == {}


def test_a_fault_in_the_code_takes_back_what_was_done(world: World) -> None:
    def fault(kind: str, args: dict[str, Any]) -> None:
        if kind == "create_link" and args["kind"] == "tap":
            raise KeyError("a mistake of ours")

    world.fault = fault
    one = request(1)
    engine.plug([one])
    assert isinstance(one.error, KeyError)
    assert world.links == {}


def test_what_only_one_cannot_be_looked_at_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe = world.seen

    def refuse(asked: Any, *found: Any, **more: Any) -> Any:
        if vifs.tap_name(2) in asks(asked, "links"):
            raise OSError(errno.EOPNOTSUPP, "no way to tell")
        return observe(asked)

    monkeypatch.setattr(dispatch, "observe", refuse)
    requests = [request(1), request(2), request(3)]
    engine.plug(requests)
    assert [one.error is None for one in requests] == [True, False, True]
    assert "no way to tell" in str(requests[1].error)


def test_many_deletions_in_one_step(world: World) -> None:
    engine.plug([request(number) for number in range(1, 11)])
    world.log.clear()
    requests = [request(number) for number in range(1, 11)]
    engine.unplug(requests)
    assert world.log.count("delete_links") == 1
    assert all(one.error is None and len(one.done) == 1 for one in requests)
    assert list(world.links) == ["br0"]


def test_a_deletion_that_fails_for_all_is_tried_for_each(world: World) -> None:
    engine.plug([request(number) for number in range(1, 4)])

    def fault(kind: str, args: dict[str, Any]) -> None:
        if kind == "delete_links" and [vifs.tap_name(2)] in [[name] for name, _ in args["links"]]:
            raise OSError(errno.EPERM, "not this one")

    world.fault = fault
    requests = [request(number) for number in range(1, 4)]
    engine.unplug(requests)
    assert [one.error is None for one in requests] == [True, False, True]
    assert set(world.links) == {"br0", vifs.tap_name(2)}


def test_those_who_wait_are_served_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.plug([request(number) for number in range(1, 31)])
    served: list[int] = []
    settle = engine._settle
    first_in, go = threading.Event(), threading.Event()

    def watched(plan: Any, requests: Any, **options: Any) -> None:
        served.append(len(requests))
        if len(served) == 1:
            first_in.set()
            assert go.wait(30)
        settle(plan, requests, **options)

    monkeypatch.setattr(engine, "_settle", watched)
    requests = [request(number) for number in range(1, 31)]
    threads = [threading.Thread(target=engine.unplug, args=([one],)) for one in requests]
    threads[0].start()
    assert first_in.wait(30)
    [turn] = [turn for turn in engine._turns.values() if turn.leader]
    for position, thread in enumerate(threads[1:], 1):
        thread.start()
        while len(turn.waiting) < position:
            pass
    go.set()
    for thread in threads:
        thread.join()
    assert served == [1, 29]
    assert all(one.error is None for one in requests)
    assert list(world.links) == ["br0"]


def test_plugs_and_unplugs_of_a_vif_are_served_in_their_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[Any, int]] = []
    settle = engine._settle
    first_in, go = threading.Event(), threading.Event()

    def watched(plan: Any, requests: Any, **options: Any) -> None:
        served.append((plan, len(requests)))
        if len(served) == 1:
            first_in.set()
            assert go.wait(30)
        settle(plan, requests, **options)

    monkeypatch.setattr(engine, "_settle", watched)
    order = [
        (engine.plug, request(1)),
        (engine.unplug, request(1)),
        (engine.plug, request(2)),
        (engine.unplug, request(3)),
        (engine.plug, request(3)),
    ]
    threads = [threading.Thread(target=act, args=([one],)) for act, one in order]
    threads[0].start()
    assert first_in.wait(30)
    [turn] = [turn for turn in engine._turns.values() if turn.leader]
    for position, thread in enumerate(threads[1:], 1):
        thread.start()
        while len(turn.waiting) < position:
            pass
    go.set()
    for thread in threads:
        thread.join()
    assert all(one.error is None for _act, one in order)
    # Of different VIFs, those of a verb go together; of one, what came first goes first.
    assert served == [(planner.plan_plug, 1), (planner.plan_unplug, 2), (planner.plan_plug, 2)]
    assert set(world.links) == {"br0", vifs.tap_name(2), vifs.tap_name(3)}
    assert (turn.waiting, turn.leader) == ([], None)


def test_rules_seen_and_unseen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without privilege nobody can look at rules beforehand, and they are set in any case, once."""
    rules = ForwardRules(bridge="br0", ipv6=False, rules=(("-i", "br0", "-j", "ACCEPT"),))
    engine.plug([request(1, rules)])
    world.log.clear()
    again = request(1, rules)
    engine.plug([again])
    assert (world.log, again.done) == ([], [])
    trips: list[int] = []

    class Daemon:
        @staticmethod
        def run(section: str, groups: Any, *, together: bool, patience: float) -> Any:
            trips.append(len(groups))
            return runner.run_plain(groups, section, together=together)

    monkeypatch.setattr(dispatch, "is_privileged", lambda _section="": False)
    monkeypatch.setattr(dispatch, "observe", world.observe)
    monkeypatch.setattr(dispatch, "_daemon", lambda: Daemon)
    monkeypatch.setattr(runner, "_run_if_allowed", lambda _section, step: runner._run_now(step))
    engine.plug([again])
    assert trips == [1], "one round trip"
    assert again.done == [], "it found all done"
    gone = request(1, rules)
    engine.unplug([gone])
    assert trips == [1, 1]
    assert [step.kind for step in gone.done] == ["delete_links", "set_forwarding"]
