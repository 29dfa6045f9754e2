# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch: the caller killed at any moment, and run again: converged, or clean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import os_vif
from tests import switch_witness, vifs, vifs_ovs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.killing import killed

pytestmark = [pytest.mark.functional, pytest.mark.slow]

MODES: dict[str, Callable[[], Any]] = {
    "tap": vifs_ovs.plain,
    "tap of the hypervisor's": lambda: vifs_ovs.plain(tap=False),
    "trunk": lambda: vifs_ovs.plain(bridge="tbr-1a2b3c4d-5"),
    "hybrid": vifs_ovs.hybrid,
    "own bridge": vifs_ovs.plain,
}


@pytest.fixture(params=MODES)
def vif(request: Any, switch: Any) -> Any:
    """Return a VIF of each mode, on a host where it never was."""
    with vifs.configured("ovs", per_port_bridge=request.param == "own bridge"):
        yield MODES[request.param]()


def ports(switch: Any) -> set[str]:
    bridges = set(switch.vsctl("list-br").split())
    held = {port for bridge in bridges for port in switch.vsctl("list-ports", bridge).split()}
    return held | bridges - {vifs_ovs.BRIDGE}


def nothing_of_ours(switch: Any, host: Any) -> None:
    assert ports(switch) == set()
    assert switch.vsctl("list", "QoS") == ""
    assert set(host.links()) <= {vifs_ovs.BRIDGE, "ovs-netdev"}
    assert os_vif.list_vifs() == []


def test_plug_killed_and_plugged_again(switch: Any, inside: Any, vif: Any) -> None:
    plug(vif)
    healthy = (ports(switch), set(inside.links()))
    unplug(vif)
    number, was_killed = 0, True
    while was_killed:
        was_killed = killed(lambda: plug(vif), number)
        plug(vif)
        assert steps_left(vif) == [], number
        assert (ports(switch), set(inside.links())) == healthy, number
        unplug(vif)
        nothing_of_ours(switch, inside)
        number += 1
    assert number >= 2, "that few changes?"


def test_plug_killed_and_unplugged(switch: Any, inside: Any, vif: Any) -> None:
    number, was_killed = 0, True
    while was_killed:
        was_killed = killed(lambda: plug(vif), number)
        unplug(vif)
        nothing_of_ours(switch, inside)
        unplug(vif)
        number += 1


def test_unplug_killed_and_finished(switch: Any, inside: Any, vif: Any) -> None:
    number, was_killed = 0, True
    while was_killed:
        plug(vif)
        was_killed = killed(lambda: unplug(vif), number)
        if number % 2:
            plug(vif)
            assert steps_left(vif) == [], number
        unplug(vif)
        nothing_of_ours(switch, inside)
        number += 1


def test_killed_and_forgotten(switch: Any, inside: Any, vif: Any) -> None:
    """Nobody remembers the VIF: what a kill left is found by its marks."""
    number, was_killed = 0, True
    while was_killed:
        was_killed = killed(lambda: plug(vif), number)
        os_vif.gc([])
        nothing_of_ours(switch, inside)
        number += 1
    assert switch_witness.MARK_KEY not in switch.vsctl("list", "Interface")


@pytest.mark.parametrize("before", ["hybrid", "own bridge", "linux bridge"])
def test_what_is_elsewhere_when_killed(switch: Any, inside: Any, before: str) -> None:
    """Killed on the way from one place to another: plugged again it is in the one, or in none."""
    make = vifs.bridge_vif if before == "linux bridge" else MODES[before]
    after = vifs_ovs.plain()
    switch_witness.make_bridge(switch)
    with vifs.configured("linux_bridge", create_tap=True):
        number, was_killed = 0, True
        while was_killed:
            with vifs.configured("ovs", per_port_bridge=before == "own bridge"):
                plug(make())
            was_killed = killed(lambda: plug(after), number)
            if number % 2:
                plug(after)
                assert steps_left(after) == [], number
                assert ports(switch) == {after.vif_name}, number
                assert "master" not in (witness.link(after.vif_name) or {}), number
            unplug(after)
            assert ports(switch) == set(), number
            left = set(inside.links()) - {vifs_ovs.BRIDGE, "ovs-netdev", "br0"}
            assert left == set(), number
            number += 1
    assert number >= 3, "that few changes?"
