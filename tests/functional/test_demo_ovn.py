# SPDX-License-Identifier: Apache-2.0
"""``make demo-ovn``: two hosts, a guest that moves between them, and nothing is left of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.conftest import PrivateHost
from tests.functional.staged import CHECKOUT, interrupted, nothing_left

pytestmark = [pytest.mark.functional, pytest.mark.hosts]

DEMO = (sys.executable, "-m", "tests.demo_ovn")
ACTS = 8
NO_ROOT = ("setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all")
"""All that is left is what a user has who may map its own id."""


@pytest.mark.parametrize("before", [(), NO_ROOT], ids=["root", "no root"])
def test_it_plays_and_leaves_nothing(
    host: PrivateHost, tmp_path: Path, before: tuple[str, ...]
) -> None:
    with nothing_left(host, tmp_path) as environment:
        said = host.run(*before, *DEMO, cwd=CHECKOUT, env=environment).stdout
    for number in range(1, ACTS + 1):
        assert f"\n{number}. " in said
    assert ("without root: as root of a user namespace" in said) == bool(before)
    assert "anna: 10.5.0.11/24 for 43200 s, router 10.5.0.1, DNS 192.0.2.53, MTU 1442" in said
    assert "3 packets transmitted, 3 received" in said
    assert "shut on h1 until the guest's RARP comes" in said
    [(sent, lost)] = re.findall(r"of (\d+) pings, one every 5 ms, (\d+) were lost", said)
    assert int(lost) <= 12 < int(sent)
    assert "no VIF is plugged on this host" in said
    assert "the private network is gone" in said


@pytest.mark.parametrize("act", ["1. Two hosts", "4. The guests", "7. Ben moves"])
def test_ctrl_c(host: PrivateHost, tmp_path: Path, act: str) -> None:
    said = interrupted(host, tmp_path, DEMO, act)
    assert "interrupted; hosts, guests and private network are gone, and nothing is left" in said
