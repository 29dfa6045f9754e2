# SPDX-License-Identifier: Apache-2.0
"""A QEMU that runs is asked by QMP what it has, and what is otherwise than it was told is seen.

The guests are not started: what is asked is there before their first instruction.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from os_vif.guest import qemu
from os_vif.guest.asked import Found
from os_vif.guest.card import Tap
from tests import vifs, witness
from tests.functional.calls import plug
from tests.lab.packages import Parts
from tests.vm.machine import ROOT_PORTS, Machine, booted, oldest
from tests.vm.told import Told, guest_with

pytestmark = [
    pytest.mark.functional,
    pytest.mark.qemu,
    pytest.mark.timeout(600),  # QEMU may have to be fetched
]

HALTED = ("-S",)


def plugged(number: int = 1, mtu: int = 1400, *, several: bool = False) -> Any:
    vif = vifs.tap_vif(number, network=vifs.network(should_provide_bridge=False, mtu=mtu))
    with vifs.configured("tap", multi_queue=several):
        plug(vif)
    return vif


def told_of(vif: Any, *, several: bool = False, **options: Any) -> Told:
    with vifs.configured("tap", multi_queue=several):
        return Told.of(vif, **options)


def drifts(told: Told, machine: Machine) -> tuple[str, ...]:
    found = told.unlike(machine)
    assert found.notes == ()
    return found.drifts


def test_what_it_has_is_what_it_was_told(inside: Any, parts: Parts) -> None:
    one, several = plugged(1), plugged(2, several=True)
    witness.ip("link add eth0 type veth peer name wire0\nlink set wire0 up")
    macvtap = vifs.direct_vif(3, mtu=1400)
    plug(macvtap)
    cards = [
        told_of(one, rx_queue_size=512),
        told_of(several, several=True, queues=2),
        told_of(plugged(4), model="e1000e"),
        told_of(plugged(5), by_name=True),
        Told.of(macvtap, queues=2),
    ]
    with guest_with(*cards, parts=parts, words=HALTED) as machine:
        assert [card.unlike(machine) for card in cards] == [Found()] * len(cards)


def test_what_was_told_otherwise_is_seen(inside: Any, parts: Parts) -> None:
    first, second, several = plugged(1), plugged(2), plugged(3, several=True)
    crossed = dataclasses.replace(
        told_of(first).card, end=Tap(device=second.vif_name, mtu=1500, multi_queue=False)
    )
    has = [
        dataclasses.replace(told_of(second, model="e1000e"), card=crossed),
        told_of(several, several=True, queues=2, tx_queue_size=256),
    ]
    with guest_with(*has, parts=parts, words=HALTED) as machine:
        assert drifts(told_of(first), machine) == (
            "driver is e1000e, and should be virtio-net-pci",
            "host_mtu is not said, and should be 1400",
            f"device is {second.vif_name}, and should be {first.vif_name}",
        )
        three = told_of(several, several=True, queues=3, rx_queue_size=1024)
        assert drifts(three, machine) == (
            "rx_queue_size is 256, and should be 1024",
            "queues is 2, and should be 3",
        )
        nobody = told_of(second)
        assert drifts(nobody, machine) == (
            f"the guest has no card with the address {second.address}",
        )


@pytest.mark.parametrize("by_name", [False, True])
def test_whose_back_end_was_taken_away_is_cut_off(inside: Any, parts: Parts, by_name: bool) -> None:
    """QEMU names it still, and 10 keeps it open besides: it tells nobody of it."""
    told = told_of(plugged(), bus=ROOT_PORTS[0], by_name=by_name)
    with booted(HALTED, (), parts) as machine:
        with machine.monitor() as monitor:
            told.put_in(monitor)
        assert told.unlike(machine) == Found()
        with machine.monitor() as monitor:
            monitor.execute("netdev_del", {"id": qemu.netdev_id(told.card, told.options)})
        lost = ("what is behind it has been closed: the guest is cut off",)
        assert drifts(told, machine) == (lost if parts == oldest() else ())


def test_who_may_not_look_into_qemu_is_told_so(
    inside: Any, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = told_of(plugged())
    monkeypatch.setattr("os_vif.cli.monitor.Monitor.devices", lambda _monitor: None)
    with guest_with(told, parts=parts, words=HALTED) as machine:
        assert told.unlike(machine) == Found(
            notes=(
                f"which device it is connected to cannot be seen: it should be {told.vif.vif_name}",
            )
        )
