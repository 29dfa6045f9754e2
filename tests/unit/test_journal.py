# SPDX-License-Identifier: Apache-2.0
"""At DEBUG, the log says afterwards what was changed for which VIF, and what was taken back."""

from __future__ import annotations

import errno
import logging
from typing import Any

import pytest

from os_vif.engine import converge, dispatch, examine, journal, runner, steps
from os_vif.engine.place import Place
from os_vif.engine.step import Step
from tests import vifs
from tests.modelled import World
from tests.unit.test_engine import request

TAP = vifs.tap_name(1)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(dispatch, "observe", made.seen)
    monkeypatch.setattr(runner, "handler_of", made.handlers().__getitem__)
    monkeypatch.setattr(dispatch, "is_privileged", lambda _section="": True)
    return made


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Return a function that returns the lines since it was last called."""
    caplog.set_level(logging.DEBUG, logger=journal.__name__)

    def found() -> list[str]:
        said = [item.getMessage() for item in caplog.records if item.name == journal.__name__]
        caplog.clear()
        return said

    return found


def who(number: int) -> str:
    return f"VIF {request(number).topology.mark.vif_id}"


def test_a_line_for_each_step(world: World, lines: Any) -> None:
    planned = [steps.describe(step) for step in examine.plan(request()).steps]
    assert planned
    converge.plug([request()])
    assert lines() == [f"{who(1)}: {words}" for words in planned]
    converge.plug([request()])
    assert lines() == [], "nothing was changed"
    converge.unplug([request()])
    assert lines() == [f"{who(1)}: delete {TAP}"]


def test_of_many_each_has_its_own(world: World, lines: Any) -> None:
    converge.plug([request(number) for number in (1, 2, 3)])
    said = lines()
    for number in (1, 2, 3):
        [line] = [line for line in said if f"create tap {vifs.tap_name(number)}:" in line]
        assert line.startswith(f"{who(number)}: ")


def test_what_failed_and_what_was_taken_back(world: World, lines: Any) -> None:
    def fault(kind: str, args: dict[str, Any]) -> None:
        if kind == "create_link" and args["name"] == TAP:
            raise OSError(errno.ENOSPC, "no space")

    world.fault = fault
    one = request()
    converge.plug([one])
    assert one.error is not None
    made, *back = lines()
    assert made.startswith(f"{who(1)}: failed: create tap {TAP}: ")
    assert made.endswith(": no space")
    assert back == [f"{who(1)}: taken back: delete br0, which nobody uses"]


def test_all_or_nothing(world: World, lines: Any) -> None:
    def fault(kind: str, args: dict[str, Any]) -> None:
        if kind == "create_link" and args["name"] == vifs.tap_name(2):
            raise OSError(errno.ENOSPC, "no space")

    world.fault = fault
    converge.plug([request(1), request(2)], together=True)
    said = lines()
    assert f"{who(1)}: taken back: delete {TAP}" in said
    assert any(line.startswith(f"{who(2)}: failed: create tap") for line in said)
    assert world.links == {}


def test_what_could_not_be_taken_back(
    world: World, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(kind: str, _args: dict[str, Any]) -> None:
        if kind in ("delete_unused", "delete_links") and world.log:
            raise OSError(errno.EPERM, "it must stay")

    def observe(asked: Any, *place: Any, **more: Any) -> Any:
        if world.log:
            raise OSError(errno.EMFILE, "too many open files")
        return world.seen(asked, *place, **more)

    world.fault = fault
    monkeypatch.setattr(dispatch, "observe", observe)
    monkeypatch.setattr(converge, "_seen_well", lambda *_args: False)
    converge.plug([request()])
    said = lines()
    left = "delete br0, which nobody uses: it must stay"
    assert f"{who(1)}: could not be taken back: {left}" in said
    assert f"{who(1)}: taken back: delete br0, which nobody uses" not in said


def test_where_nobody_listens_nothing_is_put_into_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def is_enabled(level: int) -> bool:
        asked.append(level)
        return False

    def describe(_step: Any) -> str:
        raise AssertionError("nobody wants to know")

    monkeypatch.setattr(journal.LOG, "isEnabledFor", is_enabled)
    monkeypatch.setattr(steps, "describe", describe)
    converge.plug([request(number) for number in range(1, 9)])
    assert len(world.links) == 9
    assert len(asked) == 1, "once for all of them"


@pytest.mark.parametrize("stays", [False, True])
def test_what_a_switch_that_refuses_has_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    """The devices were there already, made by another than the switch, which says nothing of it."""
    one = request()
    group: runner.Group = [
        (step, step if step.kind == "create_link" else None) for step in examine.plan(one).steps
    ]
    port = Step("add_br", {"name": "br-int", "datapath_type": "", "mark": ""})
    refused = {"step": "add", "errno": errno.EIO, "reason": "no", "left": []}

    def run_part(_place: Any, target: Any, parts: Any, **_more: Any) -> list[runner.Report]:
        error = refused if target[1] == "openvswitch" else None
        return [{"error": error, "unchanged": [], "seen": {}} for _part in parts]

    made = [steps.describe(undo) for _step, undo in reversed(group) if undo]
    left = [f"{made[0]}: it must stay"] if stays else []
    monkeypatch.setattr(dispatch, "_run_part", run_part)
    monkeypatch.setattr(dispatch, "take_back", lambda _place, _undo: list(left))
    [report] = dispatch.run(Place("", "a database"), [[*group, (port, None)]], together=False)
    assert len(made) == 2
    assert report["error"]["undone"] == (made[1:] if stays else made)
    assert report["error"]["left"] == left
