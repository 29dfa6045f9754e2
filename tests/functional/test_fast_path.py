# SPDX-License-Identifier: Apache-2.0
"""The plugin ``vhostuser_fp`` on dpdk-testpmd: vhost-user guests reach what their device joins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import os_vif
from tests import dpdk, fast_path, guest, vifs, vifs_ovs, witness
from tests.conftest import PrivateHost
from tests.fast_path import assert_nothing_left, guest_of
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.test_ovs_packets import assert_both_ways
from tests.openvswitch import Switch
from tests.switch_witness import assert_only_bridges, ids, interfaces, make_bridge
from tests.waiting import until

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("fast path")]

MTU = vifs_ovs.MTU
MODES = ["server", "client"]
V6 = "2001:db8:7::"


@pytest.fixture(autouse=True)
def back_end(fast_path_settings: Any) -> None:
    """Have the fast path be dpdk-testpmd."""


@pytest.fixture
def neighbour(inside: Any) -> Any:
    """Return the VIF of a guest with a tap on ``br0``."""
    vif = vifs.bridge_vif(2, network=vifs.network(mtu=MTU))
    with vifs.configured("linux_bridge", create_tap=True):
        plug(vif)
    return vif


# --- on a Linux bridge ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_on_a_bridge(inside: Any, neighbour: Any, sockets: str, mode: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode=mode, mtu=MTU)
    with guest_of(vif) as one, guest.guests((neighbour.vif_name, neighbour.address)) as [two]:
        plug(vif)
        device = inside.links()[vif.vif_name]
        assert device["master"] == "br0"
        assert device["mtu"] == MTU
        assert device["address"] == "fe:54:00:00:00:01", "the guest's own is behind it"
        assert "UP" in device["flags"]
        assert steps_left(vif) == [], "whether or not the guest is there"
        one.start()
        assert_both_ways(one, two)
        witness.ip("addr add 192.0.2.1/24 dev br0")
        assert one.arp_for("192.0.2.9", "192.0.2.1") == inside.links()["br0"]["address"]
        assert steps_left(vif) == []
        unplug(vif)
        with pytest.raises(ConnectionError):
            list(one.frames())
    assert_nothing_left(vif)
    assert set(inside.links()) == {"br0", neighbour.vif_name}, "the bridge is shared"
    unplug(vif)


def test_two_guests_on_a_bridge(inside: Any, sockets: str) -> None:
    """Of both roles, and both plugged in one call."""
    pair = [
        fast_path.on_bridge(number, f"{sockets}/{mode}", mode=mode, mtu=MTU)
        for number, mode in enumerate(MODES, 1)
    ]
    both = [(vif, vifs.instance()) for vif in pair]
    with guest_of(pair[0]) as one, guest_of(pair[1]) as two:
        assert [outcome.error for outcome in os_vif.plug_many(both)] == [None, None]
        assert [steps_left(vif) for vif in pair] == [[], []]
        one.start()
        two.start()
        assert_both_ways(one, two)
        assert all(not outcome.steps for outcome in os_vif.plug_many(both))
        assert [outcome.error for outcome in os_vif.unplug_many(both)] == [None, None]
    for vif in pair:
        assert_nothing_left(vif)


@pytest.mark.parametrize("mode", MODES)
def test_a_guest_with_dpdks_own_driver(inside: Any, sockets: str, mode: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode=mode, mtu=MTU)
    plug(vif)
    witness.ip("addr add 192.0.2.1/24 dev br0")
    far = PrivateHost()
    try:
        with dpdk.virtio_user(far, vif.path, vif.address, server=mode == "server") as device:
            far.run("ip", "addr", "add", "192.0.2.9/24", "dev", device)
            ping = ("ping", "-c", "1", "-W", "1", "192.0.2.1")
            until(lambda: far.run(*ping, check=False).returncode == 0)
            assert vif.address in inside.run("ip", "neigh", "show", "192.0.2.9").stdout
            assert steps_left(vif) == []
    finally:
        far.close()
    unplug(vif)
    assert_nothing_left(vif)


# --- on Open vSwitch -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hybrid", "mode"), [(False, "server"), (False, "client"), (True, "server")]
)
def test_on_a_switch(inside: Any, switch: Switch, sockets: str, hybrid: bool, mode: str) -> None:
    make_bridge(switch)
    vif = fast_path.on_switch(1, f"{sockets}/vhu", hybrid=hybrid, mode=mode, mtu=MTU)
    other = vifs_ovs.plain(2)
    plug(other)
    with guest_of(vif) as one, guest.guests((other.vif_name, other.address)) as [two]:
        plug(vif)
        port = vifs_ovs.name("qvo") if hybrid else vif.vif_name
        row = interfaces(switch)[port]
        assert row["attached"]
        assert row["bridge"] == vifs_ovs.BRIDGE
        assert ids(switch, port) == vifs_ovs.ids()
        links = inside.links()
        bridge = vifs_ovs.name("qbr")
        assert links[vif.vif_name].get("master") == (bridge if hybrid else None)
        assert (links.keys() & {bridge, vifs_ovs.name("qvb")} != set()) == hybrid
        assert steps_left(vif) == []
        one.start()
        assert_both_ways(one, two)
        plug(vif)
        assert_both_ways(one, two)
        unplug(vif)
    unplug(other)
    assert_nothing_left(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_killed_behind_a_switch(switch: Switch, sockets: str) -> None:
    """The tap stays, so the switch need not notice."""
    make_bridge(switch)
    vif, other = fast_path.on_switch(1, f"{sockets}/vhu", mtu=MTU), vifs_ovs.plain(2)
    plug(other)
    with guest_of(vif) as one, guest.guests((other.vif_name, other.address)) as [two]:
        plug(vif)
        one.start()
        assert_both_ways(one, two)
        before = interfaces(switch)[vif.vif_name]
        fast_path.kill(vif)
        with pytest.raises(ConnectionError):
            list(one.frames())
        assert "start_back_end" in [step.kind for step in steps_left(vif)]
        plug(vif)
        assert steps_left(vif) == []
        assert interfaces(switch)[vif.vif_name] == before
        one.start()
        assert_both_ways(one, two)


def test_a_device_that_went_behind_a_switch(switch: Switch, sockets: str) -> None:
    make_bridge(switch)
    vif, other = fast_path.on_switch(1, f"{sockets}/vhu", mtu=MTU), vifs_ovs.plain(2)
    plug(other)
    plug(vif)
    witness.ip(f"link del {vif.vif_name}")
    assert steps_left(vif) != []
    plug(vif)
    assert steps_left(vif) == []
    with guest_of(vif) as one, guest.guests((other.vif_name, other.address)) as [two]:
        one.start()
        assert_both_ways(one, two)


# --- routed --------------------------------------------------------------------------------------


def routed_network(number: int) -> list[Any]:
    return [
        vifs.subnet("10.65.0.0/16", [f"10.65.0.{number}"], gateway="10.65.255.1"),
        vifs.subnet(f"{V6}/64", [f"{V6}{number}"], gateway=f"{V6}ff"),
    ]


def test_routed(inside: Any, sockets: str) -> None:
    # Between interfaces IPv6 is forwarded only where the operator turned it on for the host.
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    vif = fast_path.by_itself(1, f"{sockets}/vhu", subnets=routed_network(1))
    network = vifs.network(subnets=routed_network(2), should_provide_bridge=False)
    other = vifs.tap_vif(2, network=network)
    with vifs.configured("vhostuser_fp", routed=True), vifs.configured("tap", routed=True):
        plug(vif)
        plug(other)
        assert witness.routes() == {
            ("10.65.0.1", "", vif.vif_name),
            ("10.65.0.2", "", other.vif_name),
        }
        with guest_of(vif) as a, guest.guests((other.vif_name, other.address)) as [b]:
            a.start()
            gateway = a.arp_for("10.65.0.1", "10.65.0.2")
            assert gateway == "fe:54:00:00:00:01", "the host answers for who is elsewhere"
            packet = guest.ipv4("10.65.0.1", "10.65.0.2", guest.udp(b"hello over there"))
            a.send(guest.ethernet(gateway, a.mac, guest.ETH_IPV4, packet))
            b.answer_arp("10.65.0.2", b.until(b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01")[-1])
            frame = b.until(b"hello over there")[-1]
            assert frame[6:12].hex(":") == "fe:54:00:00:00:02"
            assert frame[22] == 63, "one hop: it was routed, not bridged"
            assert a.solicit(f"{V6}1", f"{V6}ff") == gateway
        assert steps_left(vif) == []
        unplug(vif)
    assert witness.routes() == {("10.65.0.2", "", other.vif_name)}
    assert_nothing_left(vif)


def test_by_itself(inside: Any, sockets: str) -> None:
    """A network agent does the rest, and what it does is no drift."""
    mac = "52:54:00:77:00:01"
    vif = fast_path.by_itself(1, f"{sockets}/vhu", mac, mode="client", subnets=routed_network(1))
    plug(vif)
    assert inside.links()[vif.vif_name]["address"] == mac
    assert witness.routes() == set()
    witness.ip(
        f"addr add 169.254.1.1/32 dev {vif.vif_name}\nroute add 10.65.0.1 dev {vif.vif_name}"
    )
    assert steps_left(vif) == []
    with guest_of(vif) as one:
        one.start()
        assert one.arp_for("10.65.0.1", "169.254.1.1") == mac
    plug(vif)
    assert witness.routes() == {("10.65.0.1", "", vif.vif_name)}
    unplug(vif)
    assert_nothing_left(vif)
    assert inside.links() == {}
