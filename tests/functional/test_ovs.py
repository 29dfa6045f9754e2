# SPDX-License-Identifier: Apache-2.0
"""VIFs on a real Open vSwitch, each mode: what is there after plug, and what after unplug."""

from __future__ import annotations

import time
from typing import Any

import pytest

import os_vif
from os_vif.engine import families, steps
from tests import guest, vifs, vifs_ovs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.openvswitch import Switch
from tests.switch_witness import (
    assert_only_bridges,
    bridges,
    ids,
    interface,
    interfaces,
    make_bridge,
    refused,
)

pytestmark = pytest.mark.functional

TAP = vifs.tap_name(1)


def device(name: str) -> dict[str, Any]:
    found = witness.link(name)
    assert found is not None, f"no device {name}"
    return found


# --- a tap ---------------------------------------------------------------------------------------


def test_a_tap_and_its_port(switch: Switch) -> None:
    vif = vifs_ovs.plain()
    plug(vif)
    row = interface(switch, TAP)
    assert row is not None
    assert row["bridge"] == vifs_ovs.BRIDGE
    assert row["attached"]
    assert row["error"] == []
    assert row["type"] == "", "of type tap or internal it would be Open vSwitch's own"
    assert row["mtu"] == vifs_ovs.MTU
    assert row["mtu_request"] == []
    assert row["mac_in_use"] == vif.address
    assert (row["tag"], row["vlan_mode"], row["trunks"], row["qos"]) == ([], [], [], None)
    assert ids(switch, TAP) == vifs_ovs.ids()
    tap = device(TAP)
    assert (tap["address"], tap["mtu"]) == (vif.address, vifs_ovs.MTU)
    assert "UP" in tap["flags"]
    assert "master" not in tap
    assert not tap["linkinfo"]["info_data"].get("multi_queue")
    assert witness.sysctl(f"ipv6/conf/{TAP}/disable_ipv6") == "1"
    assert steps_left(vif) == []
    with guest.guests((TAP, vif.address)):
        assert steps_left(vif) == [], "a running guest is no drift"
    assert bridges(switch)[vifs_ovs.BRIDGE]["datapath_type"] == "netdev"
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_a_tap_of_several_queues(switch: Switch) -> None:
    vif = vifs_ovs.plain(multiqueue=True)
    plug(vif)
    queues = [guest.Guest(TAP, vif.address, multi_queue=True) for _ in range(2)]
    assert steps_left(vif) == []
    for queue in queues:
        queue.close()
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_the_default_mtu(switch: Switch) -> None:
    with vifs.configured("ovs", network_device_mtu=1300):
        plug(vifs_ovs.plain(network=vifs.network(vifs_ovs.BRIDGE)))
    assert device(TAP)["mtu"] == 1300


def test_without_an_instance(switch: Switch) -> None:
    vif = vifs_ovs.plain()
    os_vif.plug(vif, vifs.instance())
    os_vif.unplug(vif, None)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_the_hypervisor_makes_the_tap(switch: Switch) -> None:
    waiting = families.load("openvswitch").picture.waiting
    assert waiting is not None
    vif = vifs_ovs.plain(tap=False)
    plug(vif)
    row = interface(switch, TAP)
    assert row is not None
    assert not row["attached"]
    assert ids(switch, TAP) == vifs_ovs.ids()
    assert TAP not in [link["ifname"] for link in witness.ask("link show")]
    assert steps_left(vif) == [], "all that is ours to do is done"
    assert [waiting(item) for item in os_vif.list_vifs()] == [(TAP,)]
    plug(vif)
    witness.ip(f"tuntap add {TAP} mode tap vnet_hdr\nlink set {TAP} mtu {vifs_ovs.MTU}")
    deadline = time.monotonic() + 30
    while not (row := interface(switch, TAP)) or not row["attached"]:
        assert time.monotonic() < deadline, "Open vSwitch has not seen the tap"
    assert steps_left(vif) == []
    assert [waiting(item) for item in os_vif.list_vifs()] == [()]
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_the_hypervisor_makes_tap_and_port(switch: Switch) -> None:
    vif = vifs_ovs.plain(port=False, tap=False)
    plug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)
    assert steps_left(vif) == []
    witness.ip(f"tuntap add {TAP} mode tap vnet_hdr\nlink set {TAP} up")
    switch.vsctl(
        *("add-port", vifs_ovs.BRIDGE, TAP, "--", "set", "Interface", TAP),
        f"external_ids:iface-id={vif.id}",
    )
    assert steps_left(vif) == []
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_an_existing_bridge_stays_as_it_is(switch: Switch) -> None:
    make_bridge(switch)
    switch.vsctl("set", "Bridge", vifs_ovs.BRIDGE, "fail_mode=secure", "external_ids:a=b")
    before = bridges(switch)
    plug(vifs_ovs.plain())
    plug(vifs_ovs.plain(2, datapath=None))
    after = bridges(switch)
    assert {**after[vifs_ovs.BRIDGE], "ports": None} == {**before[vifs_ovs.BRIDGE], "ports": None}


@pytest.mark.parametrize("make", [vifs_ovs.plain, vifs_ovs.hybrid])
def test_again_and_again(switch: Switch, make: Any) -> None:
    vif = make()
    plug(vif)
    before = interfaces(switch)
    plug(vif)
    assert interfaces(switch) == before, "nothing is made anew"
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)
    plug(vif)
    assert interfaces(switch).keys() == before.keys()


def test_unplug_of_what_was_never_plugged(switch: Switch) -> None:
    for vif in (vifs_ovs.plain(), vifs_ovs.hybrid(), vifs_ovs.vhost_user(mode="server")):
        unplug(vif)
    assert_only_bridges(switch)


def test_others_stay(switch: Switch) -> None:
    for vif in (vifs_ovs.plain(1), vifs_ovs.plain(2), vifs_ovs.hybrid(3)):
        plug(vif)
    before = interfaces(switch)
    unplug(vifs_ovs.plain(1))
    assert interfaces(switch) == {key: row for key, row in before.items() if key != TAP}
    assert steps_left(vifs_ovs.plain(2)) == []
    assert steps_left(vifs_ovs.hybrid(3)) == []


# --- a bridge for each port ----------------------------------------------------------------------


def test_a_bridge_of_its_own(switch: Switch) -> None:
    own = vifs_ovs.name("pb")
    inner, outer = (vifs_ovs.name(prefix, length=64) for prefix in ("pbp", "ibp"))
    vif = vifs_ovs.plain(
        port_profile=vifs_ovs.profile(
            interface_id=vifs.vif_id(9), create_port=True, create_tap=True
        )
    )
    with vifs.configured("ovs", per_port_bridge=True):
        plug(vif)
        assert steps_left(vif) == []
        found = interfaces(switch)
        assert {name: row["bridge"] for name, row in found.items()} == {
            TAP: own,
            inner: own,
            outer: vifs_ovs.BRIDGE,
        }
        assert all(row["attached"] for row in found.values())
        assert (found[inner]["type"], found[outer]["type"]) == ("patch", "patch")
        assert found[inner]["options"] == {"peer": outer}
        assert found[outer]["options"] == {"peer": inner}
        assert ids(switch, outer) == vifs_ovs.ids(), "a patch port's iface-id is the VIF's id"
        assert ids(switch, inner) == {}
        assert bridges(switch)[own]["datapath_type"] == "netdev"
        assert (device(TAP)["mtu"], device(TAP)["address"]) == (vifs_ovs.MTU, vif.address)
        unplug(vif)
        assert_only_bridges(switch, vifs_ovs.BRIDGE)
        unplug(vif)


def test_a_bridge_of_its_own_has_the_port_without_being_asked(switch: Switch) -> None:
    """Nobody else would make it there."""
    own = vifs_ovs.name("pb")
    with vifs.configured("ovs", per_port_bridge=True):
        for vif in (vifs_ovs.plain(port=False, tap=False), vifs_ovs.plain(port=False)):
            plug(vif)
            row = interface(switch, TAP)
            assert row is not None
            assert (row["bridge"], row["attached"]) == (own, vif.port_profile.create_tap)
            assert steps_left(vif) == []
        unplug(vif)
        assert_only_bridges(switch, vifs_ovs.BRIDGE)


# --- hybrid --------------------------------------------------------------------------------------


def test_hybrid(switch: Switch) -> None:
    vif = vifs_ovs.hybrid()
    qbr, qvb, qvo = (vifs_ovs.name(prefix) for prefix in ("qbr", "qvb", "qvo"))
    plug(vif)
    row = interface(switch, qvo)
    assert row is not None
    assert (row["bridge"], row["type"], row["mtu"]) == (vifs_ovs.BRIDGE, "", vifs_ovs.MTU)
    assert row["attached"]
    assert ids(switch, qvo) == vifs_ovs.ids()
    assert interfaces(switch).keys() == {qvo}
    bridge = device(qbr)
    assert "UP" in bridge["flags"]
    assert bridge["linkinfo"]["info_data"]["ageing_time"] == 0
    assert bridge["linkinfo"]["info_data"]["stp_state"] == 0
    assert witness.sysctl(f"ipv6/conf/{qbr}/disable_ipv6") == "1"
    assert witness.sysctl(f"ipv4/conf/{qbr}/arp_ignore") == "1"
    assert witness.sysctl(f"ipv4/conf/{qbr}/arp_announce") == "2"
    for name in (qvb, qvo):
        assert device(name)["mtu"] == vifs_ovs.MTU
        assert "UP" in device(name)["flags"]
    assert device(qvb)["master"] == qbr
    assert "master" not in device(qvo)
    assert steps_left(vif) == []
    witness.ip(f"tuntap add {TAP} mode tap\nlink set {TAP} master {qbr} up")
    assert steps_left(vif) == [], "the guest's tap is the hypervisor's"
    witness.ip(f"link del {TAP}")
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_unplug_of_a_plain_vif_finds_what_hybrid_left(switch: Switch) -> None:
    """A network's agent may have changed its mind about filters meanwhile."""
    plug(vifs_ovs.hybrid())
    unplug(vifs_ovs.plain())
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


@pytest.mark.parametrize("unplugged", [vifs_ovs.hybrid, vifs_ovs.plain])
def test_the_hypervisors_tap_outlives_unplug(switch: Switch, unplugged: Any) -> None:
    """The guest may still run: a detached interface, a migration that is given up."""
    vif = vifs_ovs.hybrid()
    plug(vif)
    witness.ip(f"tuntap add {TAP} mode tap vnet_hdr\nlink set {TAP} address {vif.address}")
    witness.ip(f"link set {TAP} master {vifs_ovs.name('qbr')} up")
    with guest.guests((TAP, vif.address)):
        unplug(unplugged())
        assert device(TAP)["address"] == vif.address
        assert "master" not in device(TAP)
    witness.ip(f"link del {TAP}")
    assert_only_bridges(switch, vifs_ovs.BRIDGE)
    unplug(vif)


# --- what somebody else has made under the port --------------------------------------------------


def veth(name: str) -> None:
    witness.ip(f"link add {name} type veth peer name inside")
    witness.ip(f"link set {name} up")


@pytest.mark.parametrize("gone", [False, True], ids=["port", "no port"])
def test_a_containers_veth_goes_with_its_port(switch: Switch, gone: bool) -> None:
    """The runtime makes veth and port, and may take out the port itself."""
    vif = vifs_ovs.plain(port=False, tap=False)
    plug(vif)
    veth(TAP)
    switch.vsctl("add-port", vifs_ovs.BRIDGE, TAP, *named(vif))
    if gone:
        switch.vsctl("del-port", TAP)
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def named(vif: Any) -> tuple[str, ...]:
    return ("--", "set", "Interface", vif.vif_name, f"external_ids:iface-id={vif.id}")


@pytest.mark.parametrize("kind", ["veth", "tap"])
def test_what_is_under_the_vifs_port_is_the_vifs(switch: Switch, kind: str) -> None:
    vif = vifs_ovs.plain(port=False, tap=False, vif_name="web0")
    plug(vif)
    if kind == "veth":
        veth("web0")
    else:
        witness.ip("tuntap add web0 mode tap")
    switch.vsctl("add-port", vifs_ovs.BRIDGE, "web0", *named(vif))
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


@pytest.mark.parametrize("port", ["none", "another's", "unnamed"])
def test_a_strangers_veth_stays(switch: Switch, port: str) -> None:
    vif = vifs_ovs.plain(port=False, tap=False, vif_name="web0")
    plug(vif)
    veth("web0")
    if port != "none":
        switch.vsctl("add-port", vifs_ovs.BRIDGE, "web0")
    if port == "another's":
        another = vifs_ovs.plain(2, vif_name="web0")
        switch.vsctl(*named(another)[1:])
    unplug(vif)
    assert device("web0")
    assert (interface(switch, "web0") is None) == (port == "none")


# --- vhost-user ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["client", "server"])
def test_vhost_user_without_dpdk(switch: Switch, mode: str) -> None:
    make_bridge(switch)
    name = vifs_ovs.name("vhu")
    kind = "dpdkvhostuserclient" if mode == "server" else "dpdkvhostuser"
    with refused(switch, f"could not .* {name} .*: .*{kind}"):
        plug(vifs_ovs.vhost_user(mode=mode))


# --- before and after ----------------------------------------------------------------------------


def test_a_dry_run_says_what_it_would_do(switch: Switch) -> None:
    vif = vifs_ovs.plain()
    said = [steps.describe(step) for step in os_vif.plan(vif, vifs.instance())]
    assert any(TAP in line and vifs_ovs.BRIDGE in line for line in said), said
    assert_only_bridges(switch)
    plug(vif)
    said = [steps.describe(step) for step in os_vif.plan(vif, unplugging=True)]
    assert any(TAP in line for line in said), said
    assert steps_left(vif) == []
