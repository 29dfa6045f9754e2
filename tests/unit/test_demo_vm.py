# SPDX-License-Identifier: Apache-2.0
"""``make demo-vm`` before there is a guest: what is said of what is fetched, and how it ends."""

from __future__ import annotations

import collections

import pytest

from tests import debian
from tests.lab import packages
from tests.lab.demo import __main__ as demo
from tests.lab.demo import machine
from tests.vm.qmp import Monitor


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted; what was fetched by half is gone"),
        (debian.PackagesError("this is no Debian"), 1, "this is no Debian"),
    ],
)
def test_what_is_fetched_is_said_before(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    heard: list[str] = []

    def prepare(_cache: object) -> None:
        heard.append(capsys.readouterr().out)
        raise error

    monkeypatch.setattr(packages, "there", lambda _cache: False)
    monkeypatch.setattr(packages, "prepare", prepare)
    assert demo.main() == code
    [before] = heard
    for word in ("130 MB", "a minute or two", ".cache/lab", "0.6 GB", "not installed"):
        assert word in before
    assert said in capsys.readouterr().err


def test_an_event_of_another_card_is_not_waited_for() -> None:
    told = [
        {"event": "DEVICE_DELETED", "data": {"device": "two"}},
        {"event": "RESET"},
        {"event": "DEVICE_DELETED", "data": {"device": "one", "path": "/machine/one"}},
    ]
    monitor = Monitor.__new__(Monitor)
    monitor.events = collections.deque(told)
    assert monitor.wait_for("DEVICE_DELETED", device="one") == told[:2]


def test_no_line_is_too_long_to_be_read() -> None:
    assert max(map(len, machine.LINES)) <= 80
