# SPDX-License-Identifier: Apache-2.0
"""Macvtaps on virtual functions, by their PCI addresses."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception, verbs
from tests import guest, vifs
from tests.lab.devices.nics import GuestItself, Nic

pytestmark = pytest.mark.lab


class Opened(guest.Guest):
    """A guest on a descriptor that somebody else opened."""

    def __init__(self, vif: Any) -> None:
        self.mac = str(vif.address)
        [self.descriptor] = verbs.open_guest_end(vif)


def passed(number: int, nic: Nic) -> Any:
    return vifs.direct_vif(number, None, dev_address=nic.vfs[number], mode="passthrough")


def test_two_guests_that_have_a_function_each(nic: Nic, here: GuestItself) -> None:
    os_vif.initialize()
    here.run("ip", "link", "set", nic.netdev, "up")
    before = {number: here.links()[nic.vf_netdev(number)] for number in (1, 2)}
    one, other = passed(1, nic), passed(2, nic)
    for vif in (one, other):
        os_vif.plug(vif, vifs.instance())
        assert os_vif.check(vif, vifs.instance()) == []
    assert here.links()[nic.vf_netdev(1)]["address"] == one.address
    with contextlib.closing(Opened(one)) as a, contextlib.closing(Opened(other)) as b:
        # igb takes ten seconds to see its link.
        deadline = time.monotonic() + 60
        while True:
            a.send(guest.ethernet(b.mac, a.mac, 0x88B5, b"from one function" + b"\0" * 46))
            if any(b"from one function" in frame for frame in b.frames(0.5)):
                break
            assert time.monotonic() < deadline
    for vif in (one, other):
        os_vif.unplug(vif, vifs.instance())
    for number, link in before.items():
        now = here.links()[nic.vf_netdev(number)]
        assert now["address"] == link["address"]
        assert ("UP" in now["flags"]) == ("UP" in link["flags"])
    assert not [name for name in here.links() if name.startswith("tap")]


def test_a_function_that_no_netdev_is_behind(nic: Nic, here: GuestItself) -> None:
    os_vif.initialize()
    bridge = "0000:00:00.0"
    vif = vifs.direct_vif(1, None, dev_address=bridge, mode="bridge")
    with pytest.raises(exception.PlugException, match="no network device behind it"):
        os_vif.plug(vif, vifs.instance())


def vlan_of(here: GuestItself, nic: Nic, number: int) -> dict[str, Any]:
    shown = here.run("ip", "-details", "-json", "link", "show", nic.netdev).stdout
    (link,) = json.loads(shown)
    (vlan,) = link["vfinfo_list"][number]["vlan_list"]
    return dict(vlan)


def in_vlan(number: int, nic: Nic, vlan: int) -> Any:
    address = nic.vfs[number]
    return vifs.direct_vif(number, None, dev_address=address, mode="passthrough", vlan=vlan)


@pytest.fixture
def found_vlan(nic: Nic, here: GuestItself) -> Iterator[dict[str, Any]]:
    os_vif.initialize()
    here.run("ip", "link", "set", nic.netdev, "up")
    here.run(*f"ip link set {nic.netdev} vf 1 vlan 9 qos 3".split())
    yield vlan_of(here, nic, 1)
    for number in (1, 2, 3):
        here.run(*f"ip link set {nic.netdev} vf {number} vlan 0".split())


def test_the_card_keeps_guests_in_their_vlan(
    nic: Nic, here: GuestItself, found_vlan: dict[str, Any]
) -> None:
    one, other, stranger = in_vlan(1, nic, 7), in_vlan(2, nic, 7), in_vlan(3, nic, 8)
    for vif in (one, other, stranger):
        os_vif.plug(vif, vifs.instance())
    assert vlan_of(here, nic, 1) == {"vlan": 7}
    assert os_vif.check(one, vifs.instance()) == []
    here.run(*f"ip link set {nic.netdev} vf 1 vlan 5".split())
    [drift] = os_vif.check(one, vifs.instance())
    assert drift.kind == "set_vf"
    os_vif.plug(one, vifs.instance())
    with (
        contextlib.closing(Opened(one)) as a,
        contextlib.closing(Opened(other)) as b,
        contextlib.closing(Opened(stranger)) as c,
    ):
        frame = guest.ethernet("ff:ff:ff:ff:ff:ff", a.mac, 0x88B5, b"to the VLAN" + b"\0" * 46)
        deadline = time.monotonic() + 60
        while True:
            a.send(frame)
            if any(b"to the VLAN" in heard for heard in b.frames(0.5)):
                break
            assert time.monotonic() < deadline
        a.send(frame)
        assert not any(b"to the VLAN" in heard for heard in c.frames(1.0))
    for vif in (one, other, stranger):
        os_vif.unplug(vif, vifs.instance())
    assert vlan_of(here, nic, 1) == found_vlan
    assert vlan_of(here, nic, 2) == {}


def test_gc_puts_the_vlan_back(nic: Nic, here: GuestItself, found_vlan: dict[str, Any]) -> None:
    os_vif.plug(in_vlan(1, nic, 7), vifs.instance())
    assert [held.mark.vif_id for held in verbs.gc([])] == [vifs.vif_id(1)]
    assert vlan_of(here, nic, 1) == found_vlan
    assert not [name for name in here.links() if name.startswith("tap")]


def test_the_vlan_of_a_card_is_a_device(nic: Nic, here: GuestItself) -> None:
    os_vif.initialize()
    vif = vifs.direct_vif(1, None, dev_address=nic.pf, mode="passthrough", vlan=7)
    with pytest.raises(exception.PlugException, match=r"not a virtual function.*vlan_name"):
        os_vif.plug(vif, vifs.instance())
    assert not [name for name in here.links() if name.startswith("tap")]
