# SPDX-License-Identifier: Apache-2.0
"""What settings of the plugin and of the switch make of a port: trunk, VLAN, QoS, datapath."""

from __future__ import annotations

from typing import Any

import pytest

from tests import vifs, vifs_ovs
from tests.functional.calls import plug, steps_left, unplug
from tests.openvswitch import Switch
from tests.switch_witness import (
    assert_only_bridges,
    ids,
    interface,
    interfaces,
    make_bridge,
    qos_rows,
    refused,
)

pytestmark = pytest.mark.functional

TAP = vifs.tap_name(1)
TRUNK = "tbr-0a1b2c3d-4"
MODES = [
    pytest.param(vifs_ovs.plain, TAP, id="plain"),
    pytest.param(vifs_ovs.hybrid, vifs_ovs.name("qvo"), id="hybrid"),
]


@pytest.mark.parametrize(("make", "name"), MODES)
def test_a_trunk_bridge_goes_with_its_port(switch: Switch, make: Any, name: str) -> None:
    make_bridge(switch)
    vif = make(bridge=TRUNK)
    with vifs.configured("ovs", isolate_vif=True):
        plug(vif)
        assert ids(switch, name) == vifs_ovs.ids(bridge_name=TRUNK)
        row = interface(switch, name)
        assert row is not None
        assert (row["bridge"], row["tag"], row["attached"]) == (TRUNK, [], True)
        assert steps_left(vif) == []
        unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_a_trunk_bridge_that_is_there_already(switch: Switch) -> None:
    """Neutron's agent may make it first, and adds ports of its own."""
    make_bridge(switch, TRUNK)
    vif = vifs_ovs.plain(bridge=TRUNK)
    plug(vif)
    assert steps_left(vif) == []
    unplug(vif)
    assert_only_bridges(switch)


@pytest.mark.parametrize(("make", "name"), MODES)
def test_isolated_until_the_agent_says_otherwise(switch: Switch, make: Any, name: str) -> None:
    vif = make()
    with vifs.configured("ovs", isolate_vif=True):
        plug(vif)
        row = interface(switch, name)
        assert row is not None
        assert (row["tag"], row["vlan_mode"], row["trunks"]) == (4095, "trunk", 4095)
        assert steps_left(vif) == []
        switch.vsctl(*("clear", "Port", name, "vlan_mode", "trunks"))
        switch.vsctl("set", "Port", name, "tag=7")
        assert steps_left(vif) == []
        plug(vif)
        row = interface(switch, name)
        assert row is not None
        assert (row["tag"], row["vlan_mode"], row["trunks"]) == (7, [], [])


def test_a_port_that_was_there_is_not_isolated(switch: Switch) -> None:
    plug(vifs_ovs.plain())
    with vifs.configured("ovs", isolate_vif=True):
        plug(vifs_ovs.plain())
        assert steps_left(vifs_ovs.plain()) == []
    row = interface(switch, TAP)
    assert row is not None
    assert row["tag"] == []


def test_only_the_patch_to_the_switch_is_isolated(switch: Switch) -> None:
    with vifs.configured("ovs", isolate_vif=True, per_port_bridge=True):
        plug(vifs_ovs.plain())
    tags = {name: row["tag"] for name, row in interfaces(switch).items()}
    assert tags.pop(vifs_ovs.name("ibp", length=64)) == 4095
    assert list(tags.values()) == [[], []]


@pytest.mark.parametrize("make", [vifs_ovs.plain, vifs_ovs.hybrid])
def test_the_systems_datapath_without_its_module(switch: Switch, make: Any) -> None:
    vif = make()
    vif.port_profile.datapath_type = "system"
    with refused(switch, "openvswitch"):
        plug(vif)


@pytest.mark.parametrize("datapath", ["system", None])
def test_qos(switch: Switch, datapath: str | None) -> None:
    """A port on the kernel's datapath has a row. A late tap's needs no such datapath yet."""
    vif = vifs_ovs.plain(tap=False, datapath=datapath)
    with vifs.configured("ovs", default_qos_type="linux-sfq"):
        plug(vif)
    row = interface(switch, TAP)
    assert row is not None
    assert row["qos"] == "linux-sfq"
    plug(vif)
    row = interface(switch, TAP)
    assert row is not None
    assert qos_rows(switch) == [row["qos"]], "a row that is no longer used is gone"
    with vifs.configured("ovs", default_qos_type="linux-htb"):
        unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_no_qos_in_userspace(switch: Switch) -> None:
    make_bridge(switch)
    plug(vifs_ovs.plain(datapath=None))
    assert qos_rows(switch) == []


def test_qos_of_two_ports(switch: Switch) -> None:
    """A row that somebody gave to two ports stays for the other."""
    first, second = (vifs_ovs.plain(number, tap=False, datapath="system") for number in (1, 2))
    plug(first)
    plug(second)
    [shared, _other] = [switch.get("Port", vif.vif_name, "qos") for vif in (first, second)]
    switch.vsctl("set", "Port", second.vif_name, f"qos={shared}")
    unplug(first)
    assert switch.get("Port", second.vif_name, "qos") == shared


def test_qos_of_the_agent(switch: Switch) -> None:
    """Neutron's agent puts its own limits on a port: they stay until the port goes."""
    vif = vifs_ovs.plain(tap=False, datapath="system")
    plug(vif)
    switch.vsctl(
        *("--id=@q", "create", "QoS", "type=linux-htb", "other_config:by=agent"),
        *("--", "set", "Port", TAP, "qos=@q"),
    )
    plug(vif)
    assert switch.get("QoS", switch.get("Port", TAP, "qos"), "other_config:by") == "agent"


@pytest.mark.parametrize("make", [vifs_ovs.plain, vifs_ovs.hybrid])
@pytest.mark.parametrize(
    ("plugged", "unplugged"),
    [
        ({"per_port_bridge": True}, {"per_port_bridge": False}),
        ({"per_port_bridge": False}, {"per_port_bridge": True}),
        ({"isolate_vif": True}, {"isolate_vif": False}),
        ({"network_device_mtu": 1400}, {"network_device_mtu": 1600}),
    ],
)
def test_configured_otherwise_meanwhile(
    switch: Switch, make: Any, plugged: dict[str, Any], unplugged: dict[str, Any]
) -> None:
    vif = make()
    with vifs.configured("ovs", **plugged):
        plug(vif)
    with vifs.configured("ovs", **unplugged):
        unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


@pytest.mark.parametrize("first", [True, False])
def test_a_bridge_for_each_port_switched_on_or_off(switch: Switch, first: bool) -> None:
    """Plugging again moves the port, and leaves nothing where it was."""
    vif = vifs_ovs.plain()
    with vifs.configured("ovs", per_port_bridge=first):
        plug(vif)
    with vifs.configured("ovs", per_port_bridge=not first):
        plug(vif)
        assert steps_left(vif) == []
        expected = vifs_ovs.BRIDGE if first else vifs_ovs.name("pb")
        row = interface(switch, TAP)
        assert row is not None
        assert (row["bridge"], row["attached"]) == (expected, True)
        unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)
