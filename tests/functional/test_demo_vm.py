# SPDX-License-Identifier: Apache-2.0
"""``make demo-vm``: a guest boots, answers by both cards, and nothing is left of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import PrivateHost
from tests.functional.staged import CHECKOUT, interrupted, nothing_left

pytestmark = [pytest.mark.functional, pytest.mark.qemu, pytest.mark.timeout(300)]

DEMO = (sys.executable, "-m", "tests.lab.demo")
ACTS = 8


def test_it_plays_and_leaves_nothing(host: PrivateHost, tmp_path: Path) -> None:
    with nothing_left(host, tmp_path) as environment:
        said = host.run(*DEMO, cwd=CHECKOUT, env=environment).stdout
    for number in range(1, ACTS + 1):
        assert f"\n{number}. " in said
    assert "the guest: eth0 is there, 52:54:00:00:00:01, MTU 1400" in said
    assert "the guest: eth1 is there, 52:54:00:00:00:02, MTU 1500" in said
    assert said.count("3 packets received") == 2
    assert "the guest: eth1 is gone" in said
    assert "os-vif run has ended with 0" in said
    assert "no VIF is plugged on this host" in said
    assert "the private network is gone" in said


@pytest.mark.parametrize("act", ["1. Plug, and boot", "3. Plug a second card", "os-vif show"])
def test_ctrl_c(host: PrivateHost, tmp_path: Path, act: str) -> None:
    said = interrupted(host, tmp_path, DEMO, act)
    assert "interrupted; guest and private network are gone, and nothing is left" in said
