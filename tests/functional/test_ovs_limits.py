# SPDX-License-Identifier: Apache-2.0
"""Limits of a port of Open vSwitch: set, seen, taken back, and what gets through."""

from __future__ import annotations

from typing import Any

import pytest

from os_vif import exception
from os_vif.engine import steps
from tests import guest, rates, vifs, vifs_ovs
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.killing import killed
from tests.openvswitch import Switch
from tests.switch_witness import assert_only_bridges, interface, qos_rows, refused

pytestmark = pytest.mark.functional

TAP = vifs.tap_name(1)
KBIT = 4000


def to_guest(rate: Any = KBIT * 1000, number: int = 1) -> Any:
    return vifs.configured("ovs", rates_to_guest={vifs.vif_id(number): rate})


def from_guest(rate: Any = KBIT * 1000, **burst: Any) -> Any:
    options = {"bursts_from_guest": {vifs.vif_id(1): burst["burst"]}} if burst else {}
    return vifs.configured("ovs", rates_from_guest={vifs.vif_id(1): rate}, **options)


def max_rate(switch: Switch, name: str = TAP) -> str:
    return switch.get("QoS", switch.get("Port", name, "qos"), "other_config:max-rate")


def policing(switch: Switch, name: str = TAP) -> tuple[str, str]:
    rate, burst = ("ingress_policing_rate", "ingress_policing_burst")
    return switch.get("Interface", name, rate), switch.get("Interface", name, burst)


def test_what_the_guest_is_sent(switch: Switch) -> None:
    vif, other = vifs_ovs.plain(1), vifs_ovs.plain(2)
    plug(other)
    plug(vif)
    with guest.guests((vif.vif_name, vif.address), (other.vif_name, other.address)) as (one, two):
        two.wait_for(one)
        assert rates.rate(two, one, 4 * KBIT) > 2 * KBIT, "nothing else slows it down"
        with to_guest("4 Mbit"):
            plug(vif)
            assert steps_left(vif) == []
            rates.assert_about(rates.rate(two, one, KBIT), KBIT)
            assert rates.rate(one, two, 4 * KBIT) > 2 * KBIT, "the other way is free"
        with to_guest(2 * KBIT * 1000):
            plug(vif)
            rates.assert_about(rates.rate(two, one, 2 * KBIT), 2 * KBIT)
        assert [steps.describe(step) for step in steps_left(vif)] != []
        plug(vif)
        assert rates.rate(two, one, 4 * KBIT) > 2 * KBIT, "not described, not limited"
    assert qos_rows(switch) == []


@pytest.mark.parametrize("datapath", ["netdev", "system"])
def test_set_seen_and_taken_back(switch: Switch, datapath: str) -> None:
    vif = vifs_ovs.plain(tap=datapath == "netdev", datapath=datapath)
    before = [] if datapath == "netdev" else ["linux-noop"]
    plug(vif)
    assert qos_rows(switch) == before
    with to_guest():
        [said] = steps_left(vif)
        assert f"max_rate={KBIT * 1000}, qos=linux-htb" in steps.describe(said)
        plug(vif)
        assert (qos_rows(switch), max_rate(switch)) == (["linux-htb"], str(KBIT * 1000))
        assert steps_left(vif) == []
        row = switch.get("Port", TAP, "qos")
        switch.vsctl("set", "QoS", row, "other_config:max-rate=5")
        assert steps_left(vif) != []
        plug(vif)
        assert max_rate(switch) == str(KBIT * 1000)
        switch.vsctl("set", "QoS", row, "type=linux-sfq")
        plug(vif)
        assert qos_rows(switch) == ["linux-htb"]
        switch.vsctl("--", "clear", "Port", TAP, "qos", "--", "destroy", "QoS", row)
        plug(vif)
        assert (qos_rows(switch), max_rate(switch)) == (["linux-htb"], str(KBIT * 1000))
    plug(vif)
    assert qos_rows(switch) == before
    assert steps_left(vif) == []
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


@pytest.mark.parametrize("burst", [None, "256 KiB"])
def test_what_the_guest_sends(switch: Switch, burst: str | None) -> None:
    """The columns alone: to obey them takes the kernel's datapath, which the lab's guest has."""
    vif = vifs_ovs.plain(tap=False, datapath="system")
    said = {} if burst is None else {"burst": burst}
    expected = str((128 if burst is None else 256) * 1024 * 8 // 1000)
    with from_guest(**said):
        plug(vif)
        assert policing(switch) == (str(KBIT), expected)
        assert steps_left(vif) == []
        switch.vsctl("set", "Interface", TAP, "ingress_policing_rate=7")
        assert steps_left(vif) != []
        plug(vif)
        assert policing(switch) == (str(KBIT), expected)
    plug(vif)
    assert policing(switch) == ("0", "0")
    assert steps_left(vif) == []


def test_user_space_cannot_limit_what_a_tap_sends(switch: Switch) -> None:
    for make in (vifs_ovs.plain, vifs_ovs.hybrid):
        with from_guest(), refused(switch, "rate_from_guest.*datapath netdev"):
            plug(make())


def test_of_others_and_shared(switch: Switch) -> None:
    """An agent's limits stay where nothing is described; a row of two ports is not changed."""
    plug(vifs_ovs.plain())
    limit = "other_config:max-rate=5"
    switch.vsctl(
        *("--id=@q", "create", "QoS", "type=linux-htb", limit, "--", "set", "Port", TAP, "qos=@q"),
        *("--", "set", "Interface", TAP, "ingress_policing_rate=6"),
    )
    assert steps_left(vifs_ovs.plain()) == []
    second = vifs_ovs.plain(2)
    plug(second)
    switch.vsctl("set", "Port", second.vif_name, f"qos={switch.get('Port', TAP, 'qos')}")
    with to_guest(), refused(switch, "other ports have it too"):
        plug(vifs_ovs.plain())
    switch.vsctl("clear", "Port", second.vif_name, "qos")
    with to_guest():
        plug(vifs_ovs.plain())
        assert max_rate(switch) == str(KBIT * 1000)
    unplug(vifs_ovs.plain())
    assert qos_rows(switch) == []


@pytest.mark.parametrize("own_bridge", [False, True])
@pytest.mark.parametrize("make", [vifs_ovs.plain, vifs_ovs.hybrid])
def test_which_port_has_them(switch: Switch, make: Any, own_bridge: bool) -> None:
    with to_guest(), vifs.configured("ovs", per_port_bridge=own_bridge):
        plug(make())
        name = TAP if make is vifs_ovs.plain else vifs_ovs.name("qvo")
        assert max_rate(switch, name) == str(KBIT * 1000)
        assert steps_left(make()) == []
        row = interface(switch, name)
        assert row is not None
        assert row["attached"]
        unplug(make())
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_killed(switch: Switch) -> None:
    vif, number, was_killed = vifs_ovs.plain(), 0, True
    with to_guest():
        while was_killed:
            was_killed = killed(lambda: plug(vif), number)
            plug(vif)
            assert (qos_rows(switch), steps_left(vif)) == (["linux-htb"], []), number
            unplug(vif)
            assert_only_bridges(switch, vifs_ovs.BRIDGE)
            number += 1


def not_followed() -> Any:
    return pytest.raises(exception.PlugException, match="has not followed")


def test_undone(switch: Switch) -> None:
    """The switch stops before it follows: the limit, and its row, are gone again."""
    vif = vifs_ovs.plain()
    plug(vif)
    switch.pause()
    try:
        with to_guest(), vifs.configured("ovs", ovs_vsctl_timeout=2), not_followed():
            plug(vif)
        assert switch.vsctl("--no-wait", "list", "QoS") == ""
    finally:
        switch.resume()
    assert steps_left(vif) == []
