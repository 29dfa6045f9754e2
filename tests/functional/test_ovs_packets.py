# SPDX-License-Identifier: Apache-2.0
"""Frames between guests through a real Open vSwitch, in each mode."""

from __future__ import annotations

import contextlib
import fcntl
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from tests import guest, vifs, vifs_ovs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.guest import Guest
from tests.kernel_guest import KernelGuest, kernel_guest
from tests.openvswitch import Switch, no_offload
from tests.switch_witness import bridges
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.functional

ADDRESSES = {1: "10.9.0.1", 2: "10.9.0.2"}
SOON_S = 3
"""For what does not come at all."""
QUIET = 0.3
"""Seconds without the frame that are taken as: it will not come."""


def plug_as_hypervisor(switch: Switch, vif: Any) -> None:
    """Plug, and make what the hypervisor makes."""
    plug(vif)
    name = vif.vif_name
    if witness.link(name) is None:
        witness.ip(f"tuntap add {name} mode tap vnet_hdr\nlink set {name} mtu {vifs_ovs.MTU}")
    if vif.obj_name() == "VIFBridge":
        witness.ip(f"link set {name} master {vif.bridge_name}")
    else:
        # Open vSwitch reads and writes the flags of a device it opens: an "up" in between is lost.
        wait_for_port(switch, name)
    witness.ip(f"link set {name} up")


def wait_for_port(switch: Switch, name: str) -> None:
    """Wait until Open vSwitch has noticed a device."""
    until(
        lambda: "PROMISC" in witness.ask(f"link show dev {name}")[0]["flags"],
        instead=lambda: switch.vsctl("list", "Interface", name),
    )


@contextlib.contextmanager
def running(*plugged: Any) -> Iterator[list[Guest]]:
    with guest.guests(*((vif.vif_name, vif.address) for vif in plugged)) as guests:
        yield guests


def assert_both_ways(one: Guest, two: Guest) -> None:
    """Fail unless guests can talk: broadcast, unicast, and a frame of the network's MTU."""
    one.wait_for(two)
    two.wait_for(one)
    one.send(guest.ethernet(guest.BROADCAST, one.mac, guest.ETH_ARP, b"who is there" + b"\0" * 40))
    two.until(b"who is there")
    for number, (source, target) in enumerate(((one, two), (two, one)), 1):
        text = b"as long as it may be %d " % number
        text += b"." * (vifs_ovs.MTU - 28 - len(text))
        packet = guest.ipv4(ADDRESSES[number], ADDRESSES[3 - number], guest.udp(text))
        assert len(packet) == vifs_ovs.MTU
        source.send(guest.ethernet(target.mac, source.mac, guest.ETH_IPV4, packet))
        [arrived] = [frame for frame in target.until(text) if text in frame]
        assert arrived[14:] == packet, "whole, with nothing changed"


def passes(source: Guest, target: Guest, mark: bytes) -> bool:
    """Return whether a frame arrives within :data:`QUIET`."""
    source.send(guest.ethernet(target.mac, source.mac, guest.ETH_ARP, mark + b"\0" * 46))
    return any(mark in frame for frame in target.frames(QUIET))


def hypervisors_tap(number: int) -> Any:
    return vifs_ovs.plain(number, tap=False)


@pytest.mark.parametrize(
    "second", [vifs_ovs.plain, hypervisors_tap, vifs_ovs.hybrid], ids=["tap", "late-tap", "hybrid"]
)
@pytest.mark.parametrize(
    "first", [vifs_ovs.plain, hypervisors_tap, vifs_ovs.hybrid], ids=["tap", "late-tap", "hybrid"]
)
def test_between_two_modes(switch: Switch, first: Any, second: Any) -> None:
    pair = [first(1), second(2)]
    for vif in pair:
        plug_as_hypervisor(switch, vif)
    with running(*pair) as (one, two):
        assert_both_ways(one, two)
        assert [steps_left(vif) for vif in pair] == [[], []]
        plug(pair[0])
        assert passes(one, two, b"after another plug")


@pytest.mark.parametrize("second", [vifs_ovs.plain, hypervisors_tap], ids=["tap", "late-tap"])
def test_with_bridges_of_their_own(switch: Switch, second: Any) -> None:
    pair = [vifs_ovs.plain(1), second(2)]
    with vifs.configured("ovs", per_port_bridge=True):
        for vif in pair:
            plug_as_hypervisor(switch, vif)
        with running(*pair) as (one, two):
            assert_both_ways(one, two)


@pytest.mark.parametrize("own_bridge", [False, True])
@pytest.mark.parametrize("make", [vifs_ovs.plain, vifs_ovs.hybrid])
def test_an_isolated_guest(switch: Switch, make: Any, own_bridge: bool) -> None:
    """Nothing comes in or out until the network's agent gives the port its VLAN."""
    vif, other = make(1), vifs_ovs.plain(2)
    plug_as_hypervisor(switch, other)
    with vifs.configured("ovs", isolate_vif=True, per_port_bridge=own_bridge):
        plug_as_hypervisor(switch, vif)
    if make is vifs_ovs.hybrid:
        port = vifs_ovs.name("qvo")
    else:
        port = vifs_ovs.name("ibp", length=64) if own_bridge else vif.vif_name
    with running(vif, other) as (one, two):
        assert not passes(one, two, b"out")
        assert not passes(two, one, b"in")
        switch.vsctl("clear", "Port", port, "tag", "vlan_mode", "trunks")
        assert_both_ways(one, two)


TUNSETOFFLOAD, TUN_F_CSUM = 0x400454D0, 0x1


@contextlib.contextmanager
def leaving_checksums(vif: Any, number: int) -> Iterator[KernelGuest]:
    """Run a guest that leaves checksums to its card, as virtio-net offers it."""
    outer = guest.Guest(vif.vif_name, vif.address).descriptor
    with kernel_guest(outer, vif.address, f"{ADDRESSES[number]}/24") as made:
        for descriptor in (outer, made._inner):
            fcntl.ioctl(descriptor, TUNSETOFFLOAD, TUN_F_CSUM)
        yield made


def tcp_passes(
    server: KernelGuest, client: KernelGuest, address: str, seconds: float = PATIENCE_S
) -> bool:
    """Tell whether a guest can send another one, whose address this is, something by TCP."""
    with contextlib.ExitStack() as stack:
        with server.host.enter():
            listening = stack.enter_context(socket.create_server(("", 5001)))
        with client.host.enter():
            channel = stack.enter_context(socket.socket())
        channel.settimeout(seconds)
        try:
            channel.connect((address, 5001))
        except TimeoutError:
            return False
        accepted = stack.enter_context(listening.accept()[0])
        channel.sendall(b"as much as one likes")
        return accepted.recv(100) == b"as much as one likes"


@pytest.mark.parametrize("make", [vifs_ovs.plain, hypervisors_tap, vifs_ovs.hybrid])
def test_checksums_are_the_guests_to_finish(switch: Switch, make: Any) -> None:
    """What check warns of is so, its cure is one, and what the host can do is none."""
    pair = [make(1), make(2)]
    for number, vif in enumerate(pair, 1):
        [before] = os_vif.examine([(vif, vifs.instance())])
        plug_as_hypervisor(switch, vif)
        [after] = os_vif.examine([(vif, vifs.instance())])
        assert before.warnings == after.warnings
        [warning] = after.warnings
        port = vifs_ovs.name("qvo", number) if make is vifs_ovs.hybrid else vif.vif_name
        assert warning.device == port
        assert "csum='off'" in warning.words
    with leaving_checksums(pair[0], 1) as one, leaving_checksums(pair[1], 2) as two:
        assert one.reaches(ADDRESSES[2])
        assert not tcp_passes(two, one, ADDRESSES[2], SOON_S)
        for vif in pair:
            no_offload(vif.vif_name)
        cured = tcp_passes(two, one, ADDRESSES[2], SOON_S)
        assert not cured, "the host's end is no place to cure it"
        for made in (one, two):
            with made.host.enter():
                no_offload("eth0")
        assert tcp_passes(two, one, ADDRESSES[2])


def test_filters_on_the_hybrid_bridge(switch: Switch) -> None:
    """What the mode is for: the kernel's filter sees the guest's frames on its way."""
    pair = [vifs_ovs.hybrid(1), vifs_ovs.hybrid(2)]
    for vif in pair:
        plug_as_hypervisor(switch, vif)
    tap = pair[0].vif_name
    with running(*pair) as (one, two):
        assert_both_ways(one, two)
        witness.run(
            *("nft", "-f", "-"),
            input=f"""
                table bridge filter {{
                    chain forward {{
                        type filter hook forward priority 0; policy accept;
                        iifname "{tap}" ether type arp counter drop
                    }}
                }}
            """,
        )
        assert not passes(one, two, b"out")
        assert passes(two, one, b"in"), "the rule is for one direction"
        assert "packets 1 " in witness.run("nft", "list", "table", "bridge", "filter")
        assert [steps_left(vif) for vif in pair] == [[], []], "filters are the agent's"
        witness.run("nft", "flush", "table", "bridge", "filter")
        assert_both_ways(one, two)


def test_a_trunk(switch: Switch) -> None:
    """The network's agent patches a trunk's bridge to the integration bridge."""
    trunk = "tbr-11111111-1"
    pair = [vifs_ovs.plain(1, trunk), vifs_ovs.plain(2)]
    for vif in pair:
        plug(vif)
    with running(*pair) as (one, two):
        assert not passes(one, two, b"from the trunk")
        for bridge, name, peer in ((trunk, "tpt", "tpi"), (vifs_ovs.BRIDGE, "tpi", "tpt")):
            patch = (
                f"add-port {bridge} {name} -- set Interface {name} type=patch options:peer={peer}"
            )
            switch.vsctl(*patch.split())
        assert_both_ways(one, two)
        assert [steps_left(vif) for vif in pair] == [[], []]
    unplug(pair[0])
    assert bridges(switch).keys() == {vifs_ovs.BRIDGE}


@pytest.mark.parametrize("own_bridge", [False, True])
@pytest.mark.parametrize("anew", [False, True])
def test_a_replaced_tap_is_alive(switch: Switch, anew: bool, own_bridge: bool) -> None:
    """Open vSwitch goes on reading from the former one, and writes to the new one."""
    vif, other = vifs_ovs.plain(1), vifs_ovs.plain(2)
    with vifs.configured("ovs", per_port_bridge=own_bridge):
        plug(vif)
        plug(other)
        witness.ip(f"link del {vif.vif_name}")
        if anew:
            witness.ip(f"tuntap add {vif.vif_name} mode tap vnet_hdr")
            witness.ip(f"link set {vif.vif_name} up address {vif.address} mtu {vifs_ovs.MTU}")
        assert steps_left(vif) != []
        plug(vif)
        assert steps_left(vif) == []
    with running(vif, other) as (one, two):
        assert_both_ways(one, two)


@pytest.mark.parametrize("anew", [False, True])
def test_a_replaced_veth_is_alive(switch: Switch, anew: bool) -> None:
    vif, other = vifs_ovs.hybrid(1), vifs_ovs.plain(2)
    plug_as_hypervisor(switch, vif)
    plug(other)
    near, far = vifs_ovs.name("qvb"), vifs_ovs.name("qvo")
    witness.ip(f"link del {near}")
    if anew:
        witness.ip(f"link add {near} mtu {vifs_ovs.MTU} type veth peer name {far}")
    plug(vif)
    assert steps_left(vif) == []
    with running(vif, other) as (one, two):
        assert_both_ways(one, two)


def test_a_tap_that_the_hypervisor_replaced_is_alive(switch: Switch) -> None:
    """A guest that is rebooted hard: its tap goes, and comes again before the next plug."""
    vif, other = hypervisors_tap(1), vifs_ovs.plain(2)
    plug_as_hypervisor(switch, vif)
    plug(other)
    witness.ip(f"link del {vif.vif_name}")
    plug_as_hypervisor(switch, vif)
    assert steps_left(vif) == []
    with running(vif, other) as (one, two):
        assert_both_ways(one, two)
