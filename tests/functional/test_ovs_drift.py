# SPDX-License-Identifier: Apache-2.0
"""A plugged VIF whose switch or devices are changed by others: check names it, plug cures it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from os_vif.engine import steps
from tests import vifs, vifs_ovs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.openvswitch import Switch
from tests.switch_witness import (
    assert_only_bridges,
    interface,
    interfaces,
    make_bridge,
    snapshot,
)

pytestmark = pytest.mark.functional

TAP = vifs.tap_name(1)
QBR, QVB, QVO = (vifs_ovs.name(prefix) for prefix in ("qbr", "qvb", "qvo"))
OWN, INNER, OUTER = vifs_ovs.name("pb"), vifs_ovs.name("pbp", 1, 64), vifs_ovs.name("ibp", 1, 64)
OTHER = "br-other"


def damage(switch: Switch, what: str) -> None:
    """Run a line: ``ip ...``, or a command of ovs-vsctl."""
    program, _, rest = what.partition(" ")
    if program == "ip":
        witness.ip(rest.replace("; ", "\n"))
    else:
        switch.vsctl(*what.split())


def check_and_cure(switch: Switch, vif: Any, what: str, named: str) -> None:
    make_bridge(switch, OTHER)
    plug(vif)
    healthy = snapshot(switch)
    damage(switch, what)
    switch.vsctl("set", "Open_vSwitch", ".", "external_ids:looked=again")
    said = [steps.describe(step) for step in steps_left(vif)]
    assert any(named in line for line in said), f"{named} is not in {said}"
    plug(vif)
    deadline = time.monotonic() + 30
    # A patch port's own error goes when ovs-vswitchd next looks at its peer: for any change.
    while witness.differences(healthy, snapshot(switch)) and time.monotonic() < deadline:
        time.sleep(0.2)
        for word in ("once", "again"):
            switch.vsctl("set", "Open_vSwitch", ".", f"external_ids:looked={word}")
    assert witness.differences(healthy, snapshot(switch)) == []
    assert all(row["attached"] for row in interfaces(switch).values())
    assert steps_left(vif) == []
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE, OTHER)


def of_port(name: str) -> list[tuple[str, str]]:
    """Return what can happen to any port with ids, and a word of what check says of it."""
    move = f"-- del-port {name} -- add-port {OTHER} {name} -- set Interface {name}"
    return [
        (f"del-port {name}", name),
        (f"{move} external_ids:iface-id={vifs.vif_id(1)}", OTHER),
        (f"del-br {vifs_ovs.BRIDGE}", vifs_ovs.BRIDGE),
    ]


@pytest.mark.parametrize(
    ("make", "name", "own_bridge"),
    [
        pytest.param(vifs_ovs.plain, TAP, False, id="plain"),
        pytest.param(vifs_ovs.hybrid, QVO, False, id="hybrid"),
        pytest.param(vifs_ovs.plain, OUTER, True, id="own-bridge"),
    ],
)
def test_ids(switch: Switch, make: Any, name: str, own_bridge: bool) -> None:
    vif = make()
    with vifs.configured("ovs", per_port_bridge=own_bridge):
        plug(vif)
        healthy = interfaces(switch)
        for what, named in (
            (f"set Interface {name} external_ids:iface-id={vifs.vif_id(2)}", "iface-id"),
            (f"set Interface {name} external_ids:attached-mac=52:54:00:00:00:99", "attached-mac"),
            (f"set Interface {name} external_ids:iface-status=inactive", "iface-status"),
            (f"remove Interface {name} external_ids vm-uuid", "vm-uuid"),
            (f"remove Interface {name} external_ids os-vif", "os-vif"),
            (f"remove Interface {name} external_ids iface-id", "iface-id"),
        ):
            damage(switch, what)
            [said] = [steps.describe(step) for step in steps_left(vif)]
            assert name in said
            assert named in said
            plug(vif)
            assert interfaces(switch) == healthy, "corrected, not made anew"
            assert steps_left(vif) == []


@pytest.mark.parametrize(
    ("what", "named"),
    [
        *of_port(TAP),
        (f"ip link set {TAP} mtu 1400", TAP),
        (f"ip link set {TAP} address 52:54:00:00:00:99", TAP),
        (f"ip link set {TAP} down", TAP),
        (f"set Interface {TAP} mtu_request=1300", TAP),
        (f"ip link del {TAP}", TAP),
        (f"ip link del {TAP}; tuntap add {TAP} mode tap vnet_hdr", TAP),
    ],
)
def test_plain(switch: Switch, what: str, named: str) -> None:
    check_and_cure(switch, vifs_ovs.plain(), what, named)


@pytest.mark.parametrize(
    ("what", "named"),
    [
        *of_port(QVO),
        (f"ip link set {QVB} nomaster", QVB),
        (f"ip link set {QVB} down", QVB),
        (f"ip link set {QVO} down", QVO),
        (f"ip link set {QVB} mtu 1400", QVB),
        (f"ip link set {QVO} mtu 1400", QVO),
        (f"ip link set {QBR} down", QBR),
        (f"ip link set {QBR} type bridge ageing_time 30000", QBR),
        (f"ip link del {QBR}", QBR),
        (f"ip link del {QVB}", QVB),
        (f"ip link del {QVB}; link add {QVB} type veth peer name {QVO}", QVO),
    ],
)
def test_hybrid(switch: Switch, what: str, named: str) -> None:
    check_and_cure(switch, vifs_ovs.hybrid(), what, named)


@pytest.mark.parametrize(
    ("what", "named"),
    [
        *of_port(OUTER),
        (f"set Interface {OUTER} options:peer=nobody", "peer"),
        (f"set Interface {INNER} options:peer=nobody", "peer"),
        (f"del-port {INNER}", INNER),
        (f"del-port {TAP}", TAP),
        (f"del-br {OWN}", OWN),
        (f"ip link set {TAP} mtu 1400", TAP),
        (f"ip link del {TAP}; tuntap add {TAP} mode tap vnet_hdr", TAP),
    ],
)
def test_a_bridge_of_its_own(switch: Switch, what: str, named: str) -> None:
    with vifs.configured("ovs", per_port_bridge=True):
        check_and_cure(switch, vifs_ovs.plain(), what, named)


def test_what_others_add_stays(switch: Switch) -> None:
    """Agents write ids and settings of their own beside ours."""
    plug(vifs_ovs.plain())
    switch.vsctl(
        *("set", "Interface", TAP, "external_ids:ovn-installed=true", "ingress_policing_rate=1"),
        *("--", "set", "Port", TAP, "tag=3", "external_ids:a=b"),
    )
    before = snapshot(switch)
    assert steps_left(vifs_ovs.plain()) == []
    switch.vsctl("set", "Interface", TAP, "external_ids:iface-status=inactive")
    plug(vifs_ovs.plain())
    assert witness.differences(before, snapshot(switch)) == []
    assert switch.get("Interface", TAP, "ingress_policing_rate") == "1"
    assert switch.get("Port", TAP, "external_ids:a") == "b"


def test_the_vlan_outlives_a_port_made_anew(switch: Switch) -> None:
    """A port in the dead VLAN that is moved back must not come to life by that."""
    make_bridge(switch, OTHER)
    with vifs.configured("ovs", isolate_vif=True):
        plug(vifs_ovs.plain())
        damage(switch, f"-- del-port {TAP} -- add-port {OTHER} {TAP} tag=4095")
        switch.vsctl("set", "Interface", TAP, f"external_ids:iface-id={vifs.vif_id(1)}")
        plug(vifs_ovs.plain())
    row = interface(switch, TAP)
    assert row is not None
    assert (row["bridge"], row["tag"]) == (vifs_ovs.BRIDGE, 4095)
