# SPDX-License-Identifier: Apache-2.0
"""What QEMU itself makes of what ``os_vif.guest`` refuses, warns of, or waits for.

The guests are not started.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from os_vif import exception
from os_vif.guest import qemu, qmp
from os_vif.guest.card import Tap
from tests import vifs, vifs_ovs, witness
from tests.functional.calls import plug
from tests.lab.packages import Parts
from tests.vm.machine import ROOT_PORTS, booted
from tests.vm.qmp import Refused
from tests.vm.told import Told, guest_with

pytestmark = [
    pytest.mark.functional,
    pytest.mark.qemu,
    pytest.mark.timeout(600),  # QEMU may have to be fetched
]

HALTED = ("-S",)
WITHOUT_VHOST = """
mount -t tmpfs dev /dev && mkdir /dev/net && mknod /dev/net/tun c 10 200 &&
mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && exec "$@"
"""


def tap(*, multi_queue: bool) -> Any:
    """Return a VIF that is plugged, with a tap of its own."""
    vif = vifs.tap_vif()
    with vifs.configured("tap", multi_queue=multi_queue):
        plug(vif)
    return vif


def with_end(told: Told, end: Any) -> Told:
    """Return the same for a card that is connected to something else."""
    return dataclasses.replace(told, card=dataclasses.replace(told.card, end=end))


@pytest.mark.parametrize("queues", [1, 2])
def test_queues_that_the_tap_has_not(inside: Any, parts: Parts, queues: int) -> None:
    vif = tap(multi_queue=queues == 1)
    with vifs.configured("tap", multi_queue=queues == 1):
        told = Told.of(vif, queues=queues, by_name=True)
    with pytest.raises(exception.InvalidField, match=f"queues: {queues} .*multi_queue"):
        told.arguments(())
    unseen = with_end(told, Tap(device=vif.vif_name, multi_queue=queues > 1))
    with guest_with(unseen, parts=parts, words=HALTED) as machine:
        assert machine.ended() == 1
        assert f"could not configure /dev/net/tun ({vif.vif_name}): Invalid argument" in (
            machine.said()
        )


def test_vhost_where_there_is_none(inside: Any, parts: Parts) -> None:
    """Why the option is said only where /dev/vhost-net can be opened."""
    vif = tap(multi_queue=True)
    with vifs.configured("tap", multi_queue=True):
        told = Told.of(vif, queues=2, vhost="on")
    hidden = ("unshare", "--mount", "--propagation=private", "sh", "-c", WITHOUT_VHOST, "sh")
    descriptors = told.opened()
    words = [*HALTED, *qemu.together([told.arguments(descriptors)])]
    with booted(words, descriptors, parts, within=hidden) as machine:
        # 7.2 aborts: "Assertion `nc' failed".
        assert machine.ended() != 0
        assert "open vhost char device failed: No such file or directory" in machine.said()


def test_a_tap_that_is_not_there(inside: Any, parts: Parts) -> None:
    """Why descriptors are the default, and names have a note."""
    vif = vifs.tap_vif()
    told = Told.of(vif, by_name=True)
    assert any("makes tap" in note for note in told.arguments(()).notes)
    with guest_with(told, parts=parts, words=HALTED) as machine, machine.monitor() as monitor:
        assert monitor.execute("query-status")["status"] == "prelaunch"
        made = witness.link(vif.vif_name)
        assert made is not None
        assert "UP" not in made["flags"]
        assert "ifalias" not in made


def test_a_card_and_its_back_end(inside: Any, parts: Parts) -> None:
    """Why the order matters in which a guest is given a card, and loses it."""
    vif = tap(multi_queue=False)
    told = Told.of(vif, bus=ROOT_PORTS[0])
    no_port = Told.of(vif)
    with booted(HALTED, (), parts) as machine, machine.monitor() as monitor:
        assert any("root port" in it for it in qmp.dialogue(no_port.card, no_port.options).notes)
        with pytest.raises(Refused, match=r"'pcie\.0' does not support hotplugging"):
            no_port.put_in(monitor)
        # Under the same ids: what was refused has left nothing.
        told.put_in(monitor)
        # The guest would keep its card, and be cut off.
        monitor.execute("netdev_del", {"id": qemu.netdev_id(told.card, told.options)})
        devices = monitor.execute("qom-list", {"path": "/machine/peripheral"})
        assert qemu.device(told.card, told.options)["id"] in {it["name"] for it in devices}


def test_a_back_end_that_is_not_there(inside: Any, parts: Parts, sockets: str) -> None:
    """Why it is waited for between the socket and the rest: else nobody is answered any more."""
    vif = vifs_ovs.vhost_user(mode="client", path=f"{sockets}/nobody")
    told = Told.of(vif, bus=ROOT_PORTS[0])
    first, second, *_ = qmp.dialogue(told.card, told.options).plug
    assert (first.execute, second.execute) == ("chardev-add", "netdev_add")
    assert first.wait is not None
    with booted(HALTED, (), parts) as machine, machine.monitor() as monitor:
        monitor.execute(first.execute, first.arguments)
        [found] = [
            it for it in monitor.execute(first.wait.query) if first.wait.data.items() <= it.items()
        ]
        assert found["filename"].startswith("disconnected:")
        with pytest.raises(TimeoutError):
            monitor.execute(second.execute, second.arguments, seconds=2)
