# SPDX-License-Identifier: Apache-2.0
"""Guests are kept to their own addresses by Debian's kernel, too, whose tables go with a device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import os_vif
from tests import spoofed, vifs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, steps_left, unplug

pytestmark = pytest.mark.lab

MAKE = spoofed.MAKE


@pytest.fixture
def inside(host: PrivateHost) -> Iterator[PrivateHost]:
    os_vif.initialize()
    with host.enter(), vifs.configured("linux_bridge", create_tap=True):
        spoofed.card()
        yield host


def test_what_passes_of_a_tap(inside: PrivateHost) -> None:
    with spoofed.kept("linux_bridge", allowed=spoofed.ALLOWED), spoofed.pair() as both:
        passed = spoofed.through({**spoofed.GOOD, **spoofed.BAD}, *both)
    assert passed == spoofed.GOOD.keys()


def test_what_passes_of_a_macvtap(inside: PrivateHost) -> None:
    with spoofed.kept("macvtap", allowed=spoofed.ALLOWED), spoofed.on_macvtap() as both:
        passed = spoofed.through({**spoofed.GOOD, **spoofed.BAD}, *both)
    assert passed == spoofed.GOOD.keys() - {"in a VLAN"}


@pytest.mark.parametrize("plugin", MAKE)
def test_a_device_that_is_made_anew(inside: PrivateHost, plugin: str) -> None:
    vif = MAKE[plugin]()
    with spoofed.kept(plugin):
        plug(vif)
        before = witness.run("nft", "list", "ruleset")
        witness.ip(f"link delete {spoofed.TAP}")
        assert steps_left(vif) != []
        plug(vif)
        assert (steps_left(vif), spoofed.tables()) == ([], [spoofed.TABLE])
        assert witness.run("nft", "list", "ruleset") == before
        unplug(vif)
    assert spoofed.tables() == []
