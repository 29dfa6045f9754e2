# SPDX-License-Identifier: Apache-2.0
"""Guests that boot in QEMU with what ``os_vif.guest`` says, and answer from the network.

Each has several cards, as booting takes longer than asking; each card has a network of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from os_vif import exception
from os_vif.guest.asked import Found
from os_vif.guest.card import Tap
from tests import fast_path, vifs, vifs_ovs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.lab.packages import Parts
from tests.openvswitch import Switch
from tests.switch_witness import make_bridge, snapshot
from tests.vm.machine import ROOT_PORTS, Machine, oldest
from tests.vm.told import Told, guest_with
from tests.vm.wire import Neighbour, wired

pytestmark = [
    pytest.mark.functional,
    pytest.mark.qemu,
    pytest.mark.timeout(600),  # the guest's kernel may have to be fetched
]


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Return what ends with the test."""
    with contextlib.ExitStack() as made:
        yield made


@dataclasses.dataclass(frozen=True)
class Network:
    """A VIF that can be plugged, and who is on its network.

    :ivar options: what its guest is to have
    """

    vif: Any
    neighbour: Neighbour
    options: dict[str, Any]

    def told(self) -> Told:
        """Return what QEMU is told."""
        return Told.of(self.vif, **self.options)

    def assert_well(self, machine: Machine) -> None:
        """Fail unless the guest has the card that was asked for, and it answers and asks."""
        card = machine.card(self.vif.address)
        assert card.mtu == self.neighbour.mtu
        assert card.queues == self.options.get("queues", 1)
        self.neighbour.assert_answers()
        for group in self.neighbour.groups:
            machine.has_reached(card.name, group)
        assert steps_left(self.vif) == []


def on_bridge(stack: contextlib.ExitStack, number: int, mtu: int, **options: Any) -> Network:
    """Return a VIFBridge whose bridge is there, with a neighbour on it."""
    neighbour = stack.enter_context(wired(number, mtu))
    witness.ip(f"link add br{number} type bridge\nlink set wire{number} master br{number}")
    witness.ip(f"link set br{number} up")
    network = vifs.network(f"br{number}", mtu=mtu)
    return Network(vifs.bridge_vif(number, f"br{number}", network=network), neighbour, options)


def on_macvtap(
    stack: contextlib.ExitStack, number: int, mtu: int, mode: str, **options: Any
) -> Network:
    """Return a VIFDirect with a neighbour at the other end of the device's wire."""
    neighbour = stack.enter_context(wired(number, mtu))
    vif = vifs.direct_vif(number, f"wire{number}", mode=mode, mtu=mtu)
    return Network(vif, neighbour, options)


def by_itself(stack: contextlib.ExitStack, number: int, mtu: int, **options: Any) -> Network:
    """Return a VIFGeneric, which somebody else has to join to its neighbour's bridge."""
    there = on_bridge(stack, number, mtu, **options)
    network = vifs.network(should_provide_bridge=False, mtu=mtu)
    return dataclasses.replace(there, vif=vifs.tap_vif(number, network=network))


def on_switch(
    stack: contextlib.ExitStack, switch: Switch, number: int, mtu: int, make: Any, **options: Any
) -> Network:
    """Return a VIF of Open vSwitch's whose bridge is there, with a neighbour on it."""
    neighbour = stack.enter_context(wired(number, mtu))
    make_bridge(switch, f"br{number}")
    switch.vsctl("add-port", f"br{number}", f"wire{number}")
    vif = make(number, f"br{number}", network=vifs.network(f"br{number}", mtu=mtu))
    return Network(vif, neighbour, options)


def taps_of(machine: Machine) -> list[str]:
    """Return the taps and macvtaps that QEMU has open."""
    opened = []
    for descriptor in Path(f"/proc/{machine.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            opened.append(os.readlink(descriptor))
    return sorted(it for it in opened if it == "/dev/net/tun" or "tap" in it)


def as_libvirt_makes_it(one: Network) -> Told:
    """Make the tap of a hybrid VIF, and say what QEMU is told by someone who knows of it."""
    name, mtu = one.vif.vif_name, one.neighbour.mtu
    with pytest.raises(exception.NotForHypervisor, match="create_tap"):
        one.told().arguments(())
    # src/util/virnetdevtap.c, virNetDevTapCreateInBridgePort
    witness.ip(
        f"""
        tuntap add {name} mode tap vnet_hdr
        link set {name} address fe{one.vif.address[2:]} mtu {mtu}
        link set {name} master {one.vif.bridge_name}
        link set {name} up
        """
    )
    told = Told.of(one.vif, by_name=True)
    return dataclasses.replace(
        told, card=dataclasses.replace(told.card, end=Tap(device=name, mtu=mtu))
    )


def test_taps_and_macvtaps(
    inside: Any, switch: Switch, parts: Parts, stack: contextlib.ExitStack
) -> None:
    """At the start by descriptor and by name, and while the guest runs by QMP."""
    several = {vifs.vif_id(number): True for number in (2, 4, 10)}
    stack.enter_context(vifs.configured("linux_bridge", create_tap=True, multi_queues=several))
    at_start = [
        on_bridge(stack, 1, 1500),
        on_bridge(stack, 2, 9000, queues=2),
        on_bridge(stack, 3, 1400, by_name=True),
        on_bridge(stack, 4, 1500, queues=2, by_name=True),
        on_switch(stack, switch, 5, 9000, vifs_ovs.plain),
        on_macvtap(stack, 7, 1500, "bridge"),
        on_macvtap(stack, 8, 1400, "passthrough", queues=2),
        by_itself(stack, 9, 1450),
    ]
    hybrid = on_switch(stack, switch, 6, 1450, vifs_ovs.hybrid)
    later = [
        on_bridge(stack, 10, 9000, queues=2, bus=ROOT_PORTS[0]),
        on_macvtap(stack, 11, 1450, "bridge", bus=ROOT_PORTS[1]),
    ]
    everything = [*at_start, hybrid, *later]
    before = snapshot(switch)
    for one in everything:
        plug(one.vif)
    plugged = snapshot(switch)
    libvirts = as_libvirt_makes_it(hybrid)
    witness.ip(f"link set {at_start[-1].vif.vif_name} master br9")
    with guest_with(*(one.told() for one in at_start), libvirts, parts=parts) as machine:
        for one in (*at_start, hybrid):
            one.assert_well(machine)
        opened = taps_of(machine)
        with machine.monitor() as monitor:
            for one in later:
                one.told().put_in(monitor)
        for one in later:
            one.assert_well(machine)
        assert len(taps_of(machine)) == len(opened) + 3
        for told in (*(one.told() for one in (*at_start, *later)), libvirts):
            assert told.unlike(machine) == Found()
        with machine.monitor() as monitor:
            for one in later:
                one.told().take_out(monitor)
        assert taps_of(machine) == opened
        machine.until(lambda: not {one.vif.address for one in later} & machine.cards().keys())
        for one in (*at_start, hybrid):
            one.assert_well(machine)
    witness.ip(f"link del {hybrid.vif.vif_name}\nlink set {at_start[-1].vif.vif_name} nomaster")
    assert witness.differences(plugged, snapshot(switch)) == [], "QEMU has left them as they were"
    for one in everything:
        unplug(one.vif)
    assert witness.differences(before, snapshot(switch)) == []


def vhost_user(
    stack: contextlib.ExitStack, switch: Switch, number: int, mtu: int, mode: str, **options: Any
) -> Network:
    """Return a VIFVHostUser of Open vSwitch's with a neighbour on its bridge."""
    folder = switch.folder / "guests" if mode == "server" else switch.folder
    path = f"{folder}/{vifs_ovs.name('vhu', number)}"
    make = functools.partial(vifs_ovs.vhost_user, mode=mode, path=path)
    return on_switch(stack, switch, number, mtu, make, **options)


@pytest.mark.xdist_group("dpdk")  # so that workers do not wait for each other
def test_vhost_user(
    inside: Any, dpdk_switch: Switch, parts: Parts, stack: contextlib.ExitStack
) -> None:
    """Each side listens, at the start and by QMP; the guest outlives the switch."""
    (dpdk_switch.folder / "guests").mkdir()
    is_old = parts == oldest()
    at_start = [
        vhost_user(stack, dpdk_switch, 1, 9000, "client"),
        vhost_user(stack, dpdk_switch, 2, 1450, "server", queues=1 if is_old else 2),
    ]
    later = [
        vhost_user(stack, dpdk_switch, 3, 1500, "client", bus=ROOT_PORTS[0]),
        vhost_user(stack, dpdk_switch, 4, 1450, "server", bus=ROOT_PORTS[1]),
    ]
    before = snapshot(dpdk_switch)
    for one in (*at_start, *later):
        plug(one.vif)
    # Where it emulates the processor, QEMU 7.2 crashes when such a card has MSI-X.
    words = ("-global", "virtio-net-pci.vectors=0") if is_old else ()
    with guest_with(*(one.told() for one in at_start), parts=parts, words=words) as machine:
        for one in at_start:
            one.assert_well(machine)
        with machine.monitor() as monitor:
            sockets = monitor.execute("query-chardev")
            for one in later:
                one.told().put_in(monitor)
        for one in later:
            one.assert_well(machine)
        for one in (*at_start, *later):
            assert one.told().unlike(machine) == as_told(one, told_in_full=not is_old)
        with machine.monitor() as monitor:
            for one in later:
                one.told().take_out(monitor)
            assert names(monitor.execute("query-chardev")) == names(sockets)
        machine.until(lambda: not {one.vif.address for one in later} & machine.cards().keys())
        for one in later:
            unplug(one.vif)
        dpdk_switch.stop_vswitchd()
        dpdk_switch.start_vswitchd()
        for one in at_start:
            one.assert_well(machine)
        # Where it listens itself it would find its own socket in the way, and then (3.1) closes
        # what other ports have open.
        unplug(at_start[0].vif)
        dpdk_switch.kill_vswitchd()
        dpdk_switch.start_vswitchd()
        at_start[1].assert_well(machine)
        lost = Found(("nobody is at the other end of its socket",))
        assert [one.told().unlike(machine) for one in at_start] == [lost, Found()]
        unplug(at_start[1].vif)
        machine.assert_running()
    assert witness.differences(before, snapshot(dpdk_switch)) == []


def as_told(one: Network, *, told_in_full: bool) -> Found:
    """Return what is found of a card that is as it was told; QEMU 7.2 forgets a client's path."""
    if told_in_full or one.vif.mode == "server":
        return Found()
    note = f"QEMU does not tell which socket it has: it should be {one.vif.path}"
    return Found(notes=(note,))


def names(sockets: list[dict[str, Any]]) -> set[str]:
    """Return what QEMU calls its character devices."""
    return {it["label"] for it in sockets}


def on_fast_path(
    stack: contextlib.ExitStack, folder: str, number: int, mtu: int, mode: str
) -> Network:
    """Return a VIFVHostUser whose back end's device is to be on its neighbour's bridge."""
    there = on_bridge(stack, number, mtu)
    path = f"{folder}/vhu{number}"
    vif = fast_path.on_bridge(number, path, f"br{number}", mode=mode, mtu=mtu)
    return dataclasses.replace(there, vif=vif)


@pytest.mark.xdist_group("dpdk")
def test_fast_path(
    inside: Any, fast_path_settings: Any, sockets: str, stack: contextlib.ExitStack
) -> None:
    """Each side listens; the guest goes on with another back end."""
    both = [
        on_fast_path(stack, sockets, 1, 1450, "server"),
        on_fast_path(stack, sockets, 2, 1450, "client"),
    ]
    before = witness.snapshot()
    for one in both:
        plug(one.vif)
    with guest_with(*(one.told() for one in both)) as machine:
        for one in both:
            one.assert_well(machine)
        for one in both:
            fast_path.kill(one.vif)
            plug(one.vif)
        for one in both:
            one.assert_well(machine)
        for one in both:
            unplug(one.vif)
        machine.assert_running()
    assert witness.differences(before, witness.snapshot()) == []
