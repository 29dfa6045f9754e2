# SPDX-License-Identifier: Apache-2.0
"""The plugin ``ovs`` on the kernel's Open vSwitch."""

from __future__ import annotations

import pytest

import os_vif
from tests import spoofed, switch_witness, vifs, vifs_ovs, witness
from tests.guest import guests
from tests.openvswitch import Switch

pytestmark = pytest.mark.lab

BRIDGE = vifs_ovs.BRIDGE


def test_guests_on_the_kernels_datapath_reach_each_other(switch: Switch) -> None:
    switch.vsctl("add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=system")
    before = switch_witness.snapshot(switch)
    plugged = [(vifs_ovs.plain(number, datapath="system"), vifs.instance()) for number in (1, 2)]
    for vif, instance in plugged:
        os_vif.plug(vif, instance)
        port = switch_witness.interface(switch, vif.vif_name)
        assert port is not None
        assert port["attached"]
        assert (port["bridge"], port["qos"], port["error"]) == (BRIDGE, "linux-noop", [])
        assert (port["mtu"], port["mac_in_use"]) == (vifs_ovs.MTU, vif.address)
        assert os_vif.check(vif, instance) == []
    with guests(*((vif.vif_name, vif.address) for vif, _instance in plugged)) as (one, other):
        one.wait_for(other)
        other.wait_for(one)
    assert plugged[0][0].vif_name in switch.appctl("dpctl/show", "system@ovs-system")
    for vif, instance in plugged:
        os_vif.unplug(vif, instance)
    assert witness.differences(before, switch_witness.snapshot(switch)) == []


def test_a_guest_on_the_kernels_datapath_is_kept_to_its_addresses(switch: Switch) -> None:
    switch.vsctl("add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=system")
    network = spoofed.network(BRIDGE, mtu=vifs_ovs.MTU)
    one, other = (vifs_ovs.plain(number, datapath="system", network=network) for number in (1, 2))
    with spoofed.kept("ovs", allowed=spoofed.ALLOWED):
        for vif in (one, other):
            os_vif.plug(vif, vifs.instance())
        assert os_vif.check(one, vifs.instance()) == []
        with guests((one.vif_name, one.address), (other.vif_name, other.address)) as both:
            passed = spoofed.through({**spoofed.GOOD, **spoofed.BAD}, *both)
        assert passed == spoofed.GOOD.keys()
        for vif in (one, other):
            os_vif.unplug(vif, vifs.instance())
    assert spoofed.tables() == []
