# SPDX-License-Identifier: Apache-2.0
"""A fast path's port: the caller killed at any moment, and run again: converged, or clean.

A port on a bridge, at whose socket dpdk-testpmd listens, takes the most changes of the host.
"""

from __future__ import annotations

from typing import Any

import pytest

import os_vif
from os_vif.host.vhost_user.system import testpmd, vhost_sockets
from tests import fast_path, vifs_ovs, witness
from tests.fast_path import assert_nothing_left, guest_of
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.killing import killed
from tests.openvswitch import Switch
from tests.switch_witness import assert_only_bridges, make_bridge

# So that workers do not wait for each other.
pytestmark = [
    pytest.mark.functional,
    pytest.mark.slow,
    pytest.mark.xdist_group("fast path"),
]


@pytest.fixture
def vif(fast_path_settings: Any, sockets: str) -> Any:
    """Return a VIF on a host where it never was."""
    return fast_path.on_bridge(1, f"{sockets}/vhu", mode="client", mtu=1400)


def serves(vif: Any) -> bool:
    witness.ip("addr replace 192.0.2.1/24 dev br0")
    with guest_of(vif) as one:
        one.start()
        return bool(one.arp_for("192.0.2.9", "192.0.2.1"))


def test_plug_killed_and_plugged_again(inside: Any, vif: Any) -> None:
    number, was_killed = 0, True
    while was_killed:
        was_killed = killed(lambda: plug(vif), number)
        plug(vif)
        assert steps_left(vif) == [], number
        device = inside.links()[vif.vif_name]
        assert (device["master"], device["mtu"]) == ("br0", 1400), number
        unplug(vif)
        assert_nothing_left(vif)
        number += 1
    assert number >= 6, "that few changes?"
    plug(vif)
    assert serves(vif)


def test_plug_killed_and_unplugged(inside: Any, vif: Any) -> None:
    number, was_killed = 0, True
    while was_killed:
        was_killed = killed(lambda: plug(vif), number)
        unplug(vif)
        assert_nothing_left(vif)
        assert set(inside.links()) <= {"br0"}, number
        number += 1


def test_plug_killed_and_unplugged_on_a_switch(
    inside: Any, switch: Switch, fast_path_settings: Any, sockets: str
) -> None:
    """Behind a Linux bridge of its own, and where the guest listens."""
    make_bridge(switch)
    hybrid = fast_path.on_switch(1, f"{sockets}/vhu", hybrid=True, mtu=1400)
    number, was_killed = 0, True
    while was_killed:
        was_killed = killed(lambda: plug(hybrid), number)
        unplug(hybrid)
        assert_nothing_left(hybrid)
        assert_only_bridges(switch, vifs_ovs.BRIDGE)
        number += 1
    assert number >= 8, "that few changes?"


def test_unplug_killed_and_finished(inside: Any, vif: Any) -> None:
    number, was_killed = 0, True
    while was_killed:
        plug(vif)
        was_killed = killed(lambda: unplug(vif), number)
        if number % 2:
            plug(vif)
            assert steps_left(vif) == [], number
        unplug(vif)
        assert_nothing_left(vif)
        number += 1
    assert number >= 3, "that few changes?"


def test_killed_and_forgotten(inside: Any, vif: Any) -> None:
    """Nobody remembers the VIF: what a kill left is found by its marks, and by its folder."""
    number, was_killed = 0, True
    while was_killed:
        was_killed = killed(lambda: plug(vif), number)
        os_vif.gc([])
        assert testpmd.devices() == [], number
        assert set(inside.links()) <= {"br0"}, number
        assert os_vif.list_vifs() == []
        # What it listened at nobody knows any more; who listens there next removes it.
        left = vhost_sockets.look(vif.path).kind
        assert left in (vhost_sockets.Kind.NOTHING, vhost_sockets.Kind.STALE), number
        number += 1
