# SPDX-License-Identifier: Apache-2.0
"""Bridges of Open vSwitch that were made here go with their last user, where that is asked for."""

from __future__ import annotations

from typing import Any

import pytest

import os_vif
from tests import vifs, vifs_ovs, witness
from tests.functional.calls import plug, unplug
from tests.openvswitch import Switch
from tests.switch_witness import assert_only_bridges, bridges, make_bridge

pytestmark = pytest.mark.functional

BRIDGE = vifs_ovs.BRIDGE


def back(*guests: Any) -> None:
    outcomes = os_vif.unplug_many([(vif, vifs.instance()) for vif in guests], with_bridge=True)
    assert [outcome.error for outcome in outcomes] == [None] * len(guests)


@pytest.mark.parametrize("make", [vifs_ovs.plain, vifs_ovs.hybrid], ids=["plain", "hybrid"])
def test_there_and_back(switch: Switch, make: Any) -> None:
    one, two = make(1), make(2)
    plug(one)
    plug(two)
    back(one)
    assert BRIDGE in bridges(switch)
    planned = os_vif.plan(two, vifs.instance(), unplugging=True, with_bridge=True)
    assert planned[-1].kind == "del_br"
    back(two)
    assert_only_bridges(switch)
    back(one, two)
    plug(one)
    back(one)
    assert_only_bridges(switch)


def test_gc(switch: Switch) -> None:
    plug(vifs_ovs.plain(1))
    plug(vifs_ovs.plain(2, "br-two"))
    live = [vifs.vif_id(2)]
    assert [item.name for item in os_vif.unused_bridges(live)] == [BRIDGE]
    os_vif.gc(live)
    assert set(bridges(switch)) == {BRIDGE, "br-two"}
    os_vif.gc(live, bridges=True)
    assert set(bridges(switch)) == {"br-two"}


@pytest.mark.parametrize(
    "others",
    [
        "add-port br-int other -- set Interface other type=internal",
        "set-controller br-int tcp:127.0.0.1:6653",
        "br-set-external-id br-int whose operator",
    ],
)
def test_a_bridge_that_others_use_stays(switch: Switch, others: str) -> None:
    vif = vifs_ovs.plain()
    plug(vif)
    switch.vsctl(*others.split())
    back(vif)
    os_vif.gc([], bridges=True)
    assert BRIDGE in bridges(switch)


def test_a_bridge_with_an_address_of_the_hosts_stays(switch: Switch) -> None:
    vif = vifs_ovs.plain()
    plug(vif)
    witness.ip(f"addr add 192.0.2.1/24 dev {BRIDGE}")
    back(vif)
    assert BRIDGE in bridges(switch)


def test_an_operators_bridge_stays(switch: Switch) -> None:
    make_bridge(switch)
    vif = vifs_ovs.plain()
    plug(vif)
    back(vif)
    os_vif.gc([], bridges=True)
    assert BRIDGE in bridges(switch)


def test_unplug_alone_leaves_it(switch: Switch) -> None:
    plug(vifs_ovs.plain())
    unplug(vifs_ovs.plain())
    assert_only_bridges(switch, BRIDGE)
