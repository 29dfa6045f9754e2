# SPDX-License-Identifier: Apache-2.0
"""Whose a PCI function is, on a network card: killed, handed over, lost, listed and given back."""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path

import pytest

import os_vif
from os_vif import exception
from tests import vifs, vifs_sriov
from tests.functional.killing import killed
from tests.lab.devices.functions import assert_no_guest, assert_nothing, driver, marks, seen
from tests.lab.devices.nics import PCI, GuestItself, Nic

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("verb", ["plug", "unplug"])
@pytest.mark.parametrize("finish", ["plug", "unplug", "gc"])
@pytest.mark.usefixtures("vfio")
def test_killed_anywhere_and_finished_any_way(
    card: Nic, here: GuestItself, verb: str, finish: str
) -> None:
    address = card.vfs[5]
    vif, instance = vifs_sriov.device(1, address, vlan=5), vifs.instance()
    for change in range(20):
        if verb == "unplug":
            os_vif.plug(vif, instance)
        act = os_vif.plug if verb == "plug" else os_vif.unplug
        died = killed(functools.partial(act, vif, instance), change)
        assert not died or change == 0 or marks(here, card.netdev), "what is begun can be found"
        if finish == "plug":
            os_vif.plug(vif, instance)
            assert driver(address) == "vfio-pci"
            assert os_vif.check(vif, instance) == []
            os_vif.unplug(vif, instance)
        elif finish == "unplug":
            os_vif.unplug(vif, instance)
        else:
            os_vif.gc([])
        assert driver(address) == "igbvf"
        assert (PCI / address / "driver_override").read_text().strip() == "(null)"
        assert_no_guest(here, card, 5)
        assert marks(here, card.netdev) == []
        if not died:
            assert change > 3
            return
    pytest.fail("it made more changes than it may")


def test_what_guests_have_is_listed_and_given_back(
    card: Nic, here: GuestItself, vfio: None
) -> None:
    pairs = [
        (vifs_sriov.device(1, card.vfs[0], vlan=5), vifs.instance(1)),
        (vifs_sriov.device(2, card.vfs[1], kind="generic"), None),
        (vifs_sriov.device(3, card.vfs[2], vlan=6), vifs.instance(3)),
    ]
    assert [outcome.error for outcome in os_vif.plug_many(pairs)] == [None] * 3
    command = str(Path(sys.executable).parent / "os-vif")
    listed = json.loads(here.run(command, "list", "--json").stdout)["vifs"]
    assert [vif["state"] for vif in listed] == ["up"] * 3
    first, whole, _last = [function for vif in listed for function in vif["functions"]]
    assert first == {
        "address": card.vfs[0],
        "card": card.netdev,
        "vf": 0,
        "driver": "vfio-pci",
        "mac": vifs.guest_mac(1),
        "vlan": 5,
    }
    assert (whole["address"], whole["card"], whole["mac"]) == (card.vfs[1], None, None)
    table = here.run(command, "list").stdout
    assert f"{card.vfs[0]} on {card.netdev}" in table
    picture = here.run(command, "show", card.vfs[0]).stdout
    for words in (card.vfs[0], f"MAC {vifs.guest_mac(1)}", "VLAN 5", "given to vfio-pci"):
        assert words in picture
    # A guest with trust has taken another address; and another has its device open.
    here.run(*f"ip link set {card.netdev} vf 0 mac 52:54:00:99:99:99 trust on".split())
    group = Path("/dev/vfio", (PCI / card.vfs[1] / "iommu_group").resolve().name)
    held = os.open(group, os.O_RDWR)
    try:
        with pytest.raises(exception.StepFailed, match="stop the guest first"):
            os_vif.gc([vifs.vif_id(3)])
    finally:
        os.close(held)
    assert (driver(card.vfs[0]), driver(card.vfs[1])) == ("igbvf", "vfio-pci")
    assert_no_guest(here, card, 0)
    [gone] = os_vif.gc([vifs.vif_id(3)])
    assert gone.mark.vif_id == vifs.vif_id(2)
    assert driver(card.vfs[1]) == "igbvf"
    assert marks(here, "lo") == []
    assert os_vif.check(*pairs[2]) == [], "the one to keep"
    os_vif.gc([])
    assert driver(card.vfs[2]) == "igbvf"
    assert_no_guest(here, card, 2)
    assert os_vif.list_vifs() == []


def test_a_guest_that_took_another_address_does_not_escape(card: Nic, here: GuestItself) -> None:
    vif, instance = vifs_sriov.device(1, card.vfs[0], vlan=5), vifs.instance()
    with vifs.configured("sriov", trust=True):
        os_vif.plug(vif, instance)
    here.run(*f"ip link set {card.netdev} vf 0 mac 52:54:00:99:99:99".split())
    os_vif.unplug(vif, instance)
    assert_nothing(here, card, 0)


def test_a_lost_mark(card: Nic, here: GuestItself, vfio: None) -> None:
    vif, instance = vifs_sriov.device(1, card.vfs[0], vlan=5), vifs.instance()
    os_vif.plug(vif, instance)
    [mark] = marks(here, card.netdev)
    lose = ("ip", "link", "property", "del", "dev", card.netdev, "altname", mark)
    here.run(*lose)
    assert [step.kind for step in os_vif.check(vif, instance)] == ["mark_function"]
    os_vif.plug(vif, instance)
    assert marks(here, card.netdev) == [mark]
    here.run(*lose)
    os_vif.unplug(vif, instance)
    assert driver(card.vfs[0]) == "igbvf"
    assert_no_guest(here, card, 0)


@pytest.mark.parametrize("kinds", [("ethernet", "generic"), ("generic", "ethernet")])
def test_handed_from_one_kind_to_the_other(
    card: Nic, here: GuestItself, vfio: None, kinds: tuple[str, str]
) -> None:
    old, new = (
        vifs_sriov.device(number, card.vfs[2], kind=kind, vlan=number)
        for number, kind in enumerate(kinds, 1)
    )
    os_vif.plug(old, vifs.instance())
    os_vif.plug(new, vifs.instance())
    found = seen(here, card.netdev, 2), marks(here, card.netdev), marks(here, "lo")
    assert found[0]["vlan_list"] == ([{"vlan": 2}] if kinds[1] == "ethernet" else [{}])
    os_vif.unplug(old, vifs.instance())
    assert found == (seen(here, card.netdev, 2), marks(here, card.netdev), marks(here, "lo"))
    assert driver(card.vfs[2]) == "vfio-pci"
    os_vif.unplug(new, vifs.instance())
    assert driver(card.vfs[2]) == "igbvf"
    assert (marks(here, card.netdev), marks(here, "lo")) == ([], [])
