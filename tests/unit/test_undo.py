# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong after a step, the call leaves nothing, and says what it had to leave."""

from __future__ import annotations

import errno
import types
from collections.abc import Callable
from typing import Any

import pytest

from os_vif import exception
from os_vif.engine import converge as engine
from os_vif.engine import dispatch, examine, planner, runner
from tests import vifs
from tests.modelled import World
from tests.seen import asks
from tests.unit.test_engine import request

Fault = Callable[[str, dict[str, Any]], None]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(dispatch, "observe", made.seen)
    monkeypatch.setattr(runner, "handler_of", made.handlers().__getitem__)
    monkeypatch.setattr(dispatch, "is_privileged", lambda _section="": True)
    return made


@pytest.fixture
def looks(world: World, monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """Return what the looks are to raise, one after the other; the last one stays."""
    said: list[BaseException | None] = []

    def observe(asked: Any, *place: Any, **more: Any) -> Any:
        error = said.pop(0) if len(said) > 1 else said[0] if said else None
        if error is not None:
            raise error
        return world.seen(asked, *place, **more)

    monkeypatch.setattr(dispatch, "observe", observe)
    # So that it is looked at again, always.
    monkeypatch.setattr(engine, "_seen_well", lambda *_args: False)
    return said


def planned(one: Any) -> runner.Group:
    host = dispatch.observe(planner.questions(one.topology), one.place, with_daemon=False)
    todo = planner.plan_plug(one.topology, host)
    return list(zip(todo.steps, todo.undo, strict=True))


def no_descriptors() -> OSError:
    return OSError(errno.EMFILE, "Too many open files")


def test_who_cannot_look_again_takes_back_what_was_done(
    world: World, looks: list[BaseException | None]
) -> None:
    looks += [None, no_descriptors()]
    one = request()
    engine.plug([one])
    assert isinstance(one.error, OSError)
    assert "create_link" in world.log
    assert (world.links, one.done) == ({}, [])


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_who_is_interrupted_takes_back_what_was_done(
    world: World, looks: list[BaseException | None], interruption: type[BaseException]
) -> None:
    looks += [None, interruption()]
    with pytest.raises(interruption):
        engine.plug([request()])
    assert "create_link" in world.log
    assert world.links == {}


def test_all_or_nothing_leaves_nothing(world: World, looks: list[BaseException | None]) -> None:
    looks += [None, no_descriptors()]
    requests = [request(number) for number in (1, 2, 3)]
    engine.plug(requests, together=True)
    assert all(isinstance(one.error, OSError) for one in requests)
    assert world.log.count("create_link") >= 4
    assert world.links == {}


def test_a_mistake_of_ours_in_all_or_nothing_leaves_nothing(
    world: World, looks: list[BaseException | None]
) -> None:
    def fault(kind: str, args: dict[str, Any]) -> None:
        if kind == "create_link" and args["name"] == vifs.tap_name(3):
            raise KeyError("a mistake of ours")

    world.fault = fault
    requests = [request(number) for number in (1, 2, 3)]
    engine.plug(requests, together=True)
    assert all(isinstance(one.error, KeyError) for one in requests)
    assert world.links == {}


def test_each_of_many_by_itself(
    world: World, looks: list[BaseException | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cannot be looked at again: the others are as they should be, and of it nothing is."""
    world.add_link("br0", "bridge", up=True)

    def observe(asked: Any, *place: Any, **more: Any) -> Any:
        if world.log and vifs.tap_name(2) in asks(asked, "links"):
            raise no_descriptors()
        return world.seen(asked, *place, **more)

    monkeypatch.setattr(dispatch, "observe", observe)
    requests = [request(number) for number in (1, 2, 3)]
    engine.plug(requests)
    assert [one.error is None for one in requests] == [True, False, True]
    assert set(world.links) == {"br0", vifs.tap_name(1), vifs.tap_name(3)}


def test_unplugging_takes_nothing_back(world: World, looks: list[BaseException | None]) -> None:
    engine.plug([request()])
    looks += [None, no_descriptors()]
    gone = request()
    engine.unplug([gone])
    assert isinstance(gone.error, OSError)
    assert list(world.links) == ["br0"]


def no_such(path: str) -> OSError:
    return OSError(errno.ENOENT, "No such file or directory", path)


@pytest.mark.parametrize(
    "passing",
    [
        *(OSError(it, "passing") for it in (errno.ENODEV, errno.ENXIO, errno.ENOBUFS, errno.EINTR)),
        no_such("/sys/class/net/eth0/ifindex"),
        no_such("/proc/sys/net/ipv4/conf/eth0/forwarding"),
    ],
    ids=str,
)
def test_what_passes_is_looked_at_again(
    world: World, looks: list[BaseException | None], passing: OSError
) -> None:
    looks += [passing, passing, None, passing, None]
    one = request()
    engine.plug([one])
    assert one.error is None
    assert set(world.links) == {"br0", vifs.tap_name(1)}
    looks[:] = [passing, None]
    assert examine.plan(request()).steps == []


@pytest.mark.parametrize(
    "lasting", [no_such("/run/openvswitch/db.sock"), OSError(errno.ENOENT, "no iptables")], ids=str
)
def test_what_is_missing_is_not_waited_for(
    world: World, looks: list[BaseException | None], lasting: OSError
) -> None:
    looks += [lasting, None]
    one = request()
    engine.plug([one])
    assert one.error is lasting


def test_what_does_not_pass_is_told(world: World, looks: list[BaseException | None]) -> None:
    looks += [None, OSError(errno.ENOBUFS, "no room")]
    one = request()
    engine.plug([one])
    assert isinstance(one.error, OSError)
    assert one.error.errno == errno.ENOBUFS
    assert world.links == {}


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (no_descriptors(), exception.StepFailed),
        (exception.UnusableFamily(family="x", reason="broken"), exception.UnusableFamily),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_what_had_to_be_left_is_said(
    world: World,
    looks: list[BaseException | None],
    raised: Exception,
    kind: type[exception.ExceptionBase],
    together: bool,
) -> None:
    def fault(of: str, _args: dict[str, Any]) -> None:
        if of in ("delete_unused", "delete_links") and world.log:
            raise OSError(errno.EPERM, "it must stay")

    world.fault = fault
    looks += [None, raised]
    one = request()
    engine.plug([one], together=together)
    assert isinstance(one.error, kind)
    assert isinstance(one.error, exception.ExceptionBase)
    assert "delete br0, which nobody uses: it must stay" in one.error.kwargs["left"]
    assert "(and could not take back: " in str(one.error)
    assert str(raised.args[-1]) in str(one.error)
    assert "left" not in getattr(raised, "kwargs", {}), "others may have got the same"


def test_what_is_left_of_two_rounds_is_said_once() -> None:
    error = exception.StepFailed(step="x", reason="y", left="a")
    assert str(error) == "could not x: y (and could not take back: a)"
    error.add_left(["b", "c"])
    assert str(error) == "could not x: y (and could not take back: a; b; c)"
    assert error.kwargs["left"] == "a; b; c"
    assert str(exception.StepFailed(step="x", reason="y", left="")) == "could not x: y"


@pytest.mark.parametrize("spent", [1, 2])
def test_a_daemon_stops_when_its_time_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch, spent: int
) -> None:
    """And takes back what it did, as it is heard still."""
    now = iter([0.0] * spent + [11.0] * 9)
    monkeypatch.setattr(runner, "time", types.SimpleNamespace(monotonic=lambda: next(now)))
    group = planned(request())
    [report] = runner.run([group], together=False, end=10.0)
    assert report["error"]["errno"] == errno.ETIMEDOUT
    assert world.log[:spent] == ["create_link"] * spent
    assert world.links == {}


def test_a_daemon_that_was_given_up_leaves_it_to_who_did(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped: meanwhile all may be as it should be, by another's hands."""
    now = iter([0.0, 100.0, 100.0])
    monkeypatch.setattr(runner, "time", types.SimpleNamespace(monotonic=lambda: next(now)))
    [report] = runner.run([planned(request())], together=False, end=10.0)
    assert report["error"]["errno"] == errno.ETIMEDOUT
    assert world.log == ["create_link"]
    assert list(world.links) == ["br0"]


@pytest.mark.parametrize("number", [errno.ETIMEDOUT, errno.EPIPE])
@pytest.mark.parametrize("together", [False, True])
def test_steps_whose_answer_was_lost_count_as_done(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int, together: bool
) -> None:
    trips: list[int] = []

    class Daemon:
        @staticmethod
        def run(section: str, groups: Any, **options: Any) -> Any:
            trips.append(len(groups))
            reports = runner.run_plain(groups, section, together=options["together"])
            if len(trips) == 1:
                raise OSError(number, "no answer")
            return reports

    monkeypatch.setattr(dispatch, "is_privileged", lambda _section="": False)
    monkeypatch.setattr(dispatch, "observe", world.observe)
    monkeypatch.setattr(dispatch, "_daemon", lambda: Daemon)
    requests = [request(1), request(2)]
    engine.plug(requests, together=together)
    if number == errno.EPIPE:  # it is tried again
        assert [one.error for one in requests] == [None, None]
        assert set(world.links) == {"br0", vifs.tap_name(1), vifs.tap_name(2)}
        assert trips[0] == 2
        return
    assert all("no answer" in str(one.error) for one in requests[: 1 if together else 2])
    assert all(isinstance(one.error, exception.ExceptionBase) for one in requests)
    assert all(one.done == [] for one in requests)
    assert world.links == {}
