# SPDX-License-Identifier: Apache-2.0
"""The plugin ``ovs`` on the kernel's Open vSwitch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import os_vif
from tests import guest, rates, spoofed, switch_witness, vifs, vifs_ovs, witness
from tests.guest import Guest, guests
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


KBIT = 800
MDNS = ("2001:db8::1", "ff02::fb", "33:33:00:00:00:fb")


def from_guest(kilobits: int) -> Any:
    return vifs.configured("ovs", rates_from_guest={vifs.vif_id(1): kilobits * 1000})


def to_a_group(source: Guest) -> Callable[[bytes], bytes]:
    """Return what makes frames to an IPv6 multicast group."""
    address, group, mac = MDNS

    def framed(text: bytes) -> bytes:
        packet = guest.ipv6(address, group, guest.udp(text), 17, hops=1)
        return guest.ethernet(mac, source.mac, guest.ETH_IPV6, packet)

    return framed


def test_what_a_guest_sends_is_limited(switch: Switch) -> None:
    """Of ``ingress_policing_rate`` the kernel's datapath makes a policer, which drops the rest."""
    switch.vsctl("add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=system")
    before = switch_witness.snapshot(switch)
    one, other = (vifs_ovs.plain(number, datapath="system") for number in (1, 2))
    os_vif.plug(other, vifs.instance())
    with from_guest(KBIT):
        os_vif.plug(one, vifs.instance())
        assert os_vif.check(one, vifs.instance()) == []
    with guests((one.vif_name, one.address), (other.vif_name, other.address)) as (a, b):
        a.wait_for(b)
        b.wait_for(a)
        # What may come at once is more than a second's: it must be over.
        rates.rate(a, b, KBIT, 3)
        rates.assert_about(rates.rate(a, b, KBIT, 4), KBIT)
        rates.assert_about(rates.rate(a, b, KBIT, 4, framed=to_a_group(a)), KBIT)
        assert rates.rate(b, a, 2 * KBIT, 4) > 1.5 * KBIT, "the other way is free"
        with from_guest(2 * KBIT):
            os_vif.plug(one, vifs.instance())
        rates.rate(a, b, 2 * KBIT, 3)
        rates.assert_about(rates.rate(a, b, 2 * KBIT, 4), 2 * KBIT)
        os_vif.plug(one, vifs.instance())
        assert rates.rate(a, b, 3 * KBIT, 4) > 2.5 * KBIT, "not described, not limited"
    for vif in (one, other):
        os_vif.unplug(vif, vifs.instance())
    assert witness.differences(before, switch_witness.snapshot(switch)) == []
