# SPDX-License-Identifier: Apache-2.0
"""The plugin ``sriov`` on a network card with virtual functions and an IOMMU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception, verbs
from os_vif.engine import dispatch, planner, runner
from os_vif.engine.place import Place
from os_vif.host.functions.system import vfs
from tests import vifs, vifs_sriov
from tests.lab.devices.functions import (
    NO_MAC,
    assert_no_guest,
    assert_nothing,
    driver,
    marks,
    seen,
    start_anew,
)
from tests.lab.devices.nics import PCI, VFS, EndIn, GuestItself, Nic, Simulated, reaches

pytestmark = pytest.mark.lab

PLACE = Place("os_vif_privileged")


def _others(here: GuestItself, card: Nic) -> list[dict[str, Any]]:
    """Return the settings of all functions but the third; their driver may choose addresses."""
    found = [seen(here, card.netdev, number) for number in range(VFS) if number != 3]
    return [{**settings, "address": ""} for settings in found]


def test_settings_are_made_seen_repaired_and_taken_back(card: Nic, here: GuestItself) -> None:
    vif, instance = vifs_sriov.device(1, card.vfs[3], vlan=7), vifs.instance()
    others = _others(here, card)
    with vifs.configured("sriov", spoof_check=False, trust=True):
        marking, setting = os_vif.plan(vif, instance)
        assert (marking.kind, marking.args["device"]) == ("mark_function", card.netdev)
        assert (setting.kind, setting.args["vf"]) == ("set_vf", 3)
        assert_no_guest(here, card, 3)
        os_vif.plug(vif, instance)
        found = seen(here, card.netdev, 3)
        assert (found["address"], found["vlan_list"]) == (vif.address, [{"vlan": 7}])
        assert (found["spoofchk"], found["trust"]) == (False, True)
        assert os_vif.check(vif, instance) == []
        here.run(*f"ip link set {card.netdev} vf 3 vlan 9 qos 3 trust off".split())
        [drift] = os_vif.check(vif, instance)
        wrong = {"vlan": 7, "qos": 0, "vlan_proto": 0x8100, "trust": True}
        assert drift.args["settings"] == wrong
        os_vif.plug(vif, instance)
        assert seen(here, card.netdev, 3) == found
        os_vif.unplug(vif, instance)
    assert_no_guest(here, card, 3)
    assert others == _others(here, card)
    assert os_vif.plan(vif, instance, unplugging=True) == []
    os_vif.unplug(vif, instance)


def test_guests_of_one_vlan_reach_each_other(card: Nic, end_in: EndIn) -> None:
    vlans = (5, 5, 6)
    pairs = [
        (vifs_sriov.device(number, card.vfs[number], vlan=vlan), vifs.instance())
        for number, vlan in enumerate(vlans, 1)
    ]
    with vifs.configured("sriov", spoof_check=True):
        assert [outcome.error for outcome in os_vif.plug_many(pairs)] == [None] * 3
        for vif, _instance in pairs:
            start_anew(vif.dev_address)
        netdevs = [card.vf_netdev(number) for number in (1, 2, 3)]
        one, _, stranger = (
            end_in(netdev, f"10.5.0.{number}/24") for number, netdev in enumerate(netdevs, 1)
        )
        assert vifs.guest_mac(1) in one.run("ip", "link", "show", netdevs[0]).stdout
        assert reaches(one, "10.5.0.2")
        assert not reaches(stranger, "10.5.0.2", seconds=3)
        pairs[2][0].network.vlan = 5
        os_vif.plug(*pairs[2])
        assert reaches(stranger, "10.5.0.2")
        # Nor can the guest take another address.
        other = f"ip link set {netdevs[0]} address 52:54:00:99:99:99"
        assert one.run(*other.split(), check=False).returncode
        assert [outcome.error for outcome in os_vif.unplug_many(pairs)] == [None] * 3


def test_the_hosts_driver_does_not_keep_the_guests_address(card: Nic, here: GuestItself) -> None:
    """libvirt gives a function back to the host's driver before it is unplugged."""
    vif, instance = vifs_sriov.device(1, card.vfs[0]), vifs.instance()
    os_vif.plug(vif, instance)
    start_anew(vif.dev_address)
    netdev = card.vf_netdev(0)
    assert here.links()[netdev]["address"] == vif.address
    os_vif.unplug(vif, instance)
    assert here.links()[netdev]["address"].startswith("02:")
    # Up, the driver asks the card for its address.
    here.run("ip", "link", "set", netdev, "up")
    here.run("ip", "link", "set", netdev, "down")
    assert seen(here, card.netdev, 0)["address"] == here.links()[netdev]["address"]
    assert os_vif.plan(vif, instance, unplugging=True) == []


def test_many_are_plugged_and_unplugged_at_once(card: Nic, here: GuestItself) -> None:
    pairs = [
        (vifs_sriov.device(number, address, vlan=number), vifs.instance())
        for number, address in enumerate(card.vfs, 1)
    ]
    outcomes = os_vif.plug_many(pairs)
    assert [(len(outcome.steps), outcome.error) for outcome in outcomes] == [(2, None)] * VFS
    for number in range(VFS):
        found = seen(here, card.netdev, number)
        assert found["address"] == vifs.guest_mac(number + 1)
        assert found["vlan_list"] == [{"vlan": number + 1}]
    assert all(os_vif.check(*pair) == [] for pair in pairs)
    assert len(marks(here, card.netdev)) == VFS
    os_vif.unplug_many(pairs)
    for number in range(VFS):
        assert_nothing(here, card, number)
    assert marks(here, card.netdev) == []


def test_a_function_that_another_vif_has_meanwhile_is_left_alone(
    card: Nic, here: GuestItself
) -> None:
    old = vifs_sriov.device(1, card.vfs[2], vlan=5)
    new = vifs_sriov.device(2, card.vfs[2], vlan=6)
    os_vif.plug(old, vifs.instance())
    os_vif.plug(new, vifs.instance())
    found = seen(here, card.netdev, 2)
    assert (found["address"], found["vlan_list"]) == (new.address, [{"vlan": 6}])
    os_vif.unplug(old, vifs.instance())
    assert seen(here, card.netdev, 2) == found
    os_vif.unplug(new, vifs.instance())
    assert_nothing(here, card, 2)


def test_a_function_goes_to_vfio_and_back(card: Nic, here: GuestItself, vfio: None) -> None:
    address = card.vfs[6]
    vif, instance = vifs_sriov.device(1, address, vlan=5), vifs.instance()
    group = Path("/dev/vfio", (PCI / address / "iommu_group").resolve().name)
    os_vif.plug(vif, instance)
    assert driver(address) == "vfio-pci"
    assert seen(here, card.netdev, 6)["address"] == vif.address
    assert os_vif.check(vif, instance) == []
    # A guest has it: the kernel would wait for it in there, for ever.
    held = os.open(group, os.O_RDWR)
    try:
        with pytest.raises(exception.UnplugException, match=f"{group} open; stop the guest first"):
            os_vif.unplug(vif, instance)
    finally:
        os.close(held)
    assert driver(address) == "vfio-pci"
    assert_nothing(here, card, 6)
    os_vif.unplug(vif, instance)
    assert driver(address) == "igbvf"
    assert (PCI / address / "driver_override").read_text().strip() == "(null)"
    netdev = card.vf_netdev(6)
    assert vif.address not in here.run("ip", "link", "show", netdev).stdout


def test_steps_may_run_twice_and_are_taken_back(card: Nic, here: GuestItself, vfio: None) -> None:
    address = card.vfs[5]
    vif = vifs_sriov.device(1, address, vlan=5)
    here.run(*f"ip link set {card.netdev} vf 5 mac 52:54:00:99:99:99 vlan 9 trust on".split())
    before = seen(here, card.netdev, 5), driver(address)
    with vifs.configured("sriov", trust=False):
        topology = verbs.describe(vif).topology
        host = dispatch.observe(planner.questions(topology), PLACE, with_daemon=False)
        todo = planner.plan_plug(topology, host)
    for step in todo.steps:
        runner.handler_of(step.kind)(step.args)
        runner.handler_of(step.kind)(step.args)
    assert (seen(here, card.netdev, 5)["address"], driver(address)) == (vif.address, "vfio-pci")
    for step in reversed(todo.undo):
        assert step is not None
        runner.handler_of(step.kind)(step.args)
        runner.handler_of(step.kind)(step.args)
    assert (seen(here, card.netdev, 5), driver(address)) == before
    assert (PCI / address / "driver_override").read_text().strip() == "(null)"


def test_an_unplug_that_was_killed_is_finished(card: Nic, here: GuestItself, vfio: None) -> None:
    address = card.vfs[5]
    vif, instance = vifs_sriov.device(1, address), vifs.instance()
    os_vif.plug(vif, instance)
    vfs.change(card.netdev, 5, {"mac": NO_MAC, "trust": False})
    assert driver(address) == "vfio-pci"
    os_vif.unplug(vif, instance)
    assert driver(address) == "igbvf"


def test_whole_devices_of_any_kind(card: Nic, here: GuestItself, vfio: None) -> None:
    """A virtual function is one too; nothing of it is set."""
    before = seen(here, card.netdev, 4)
    vif = vifs_sriov.device(1, card.vfs[4], kind="generic")
    os_vif.plug(vif, None)
    assert driver(card.vfs[4]) == "vfio-pci"
    assert seen(here, card.netdev, 4)["vlan_list"] == before["vlan_list"]
    assert seen(here, card.netdev, 4)["address"] != vif.address
    os_vif.unplug(vif, None)
    assert driver(card.vfs[4]) == "igbvf"
    with pytest.raises(exception.PlugException, match=f"{VFS} virtual functions"):
        os_vif.plug(vifs_sriov.device(1, card.pf, kind="generic"), None)
    assert driver(card.pf) == "igb"


def test_the_card_is_set_up_and_a_failed_plug_leaves_it_as_it_was(
    card: Nic, here: GuestItself
) -> None:
    vif, instance = vifs_sriov.device(1, card.vfs[0], vlan=5), vifs.instance()
    here.run("ip", "link", "set", card.netdev, "down")
    before = seen(here, card.netdev, 0)
    with (
        vifs.configured("sriov", link_state="enable"),
        pytest.raises(exception.PlugException, match=r"link_state enable: .*cannot set") as caught,
    ):
        os_vif.plug(vif, instance)
    assert "could not take back" not in str(caught.value)
    assert seen(here, card.netdev, 0) == before
    assert "UP" not in here.links()[card.netdev]["flags"]
    os_vif.plug(vif, instance)
    assert "UP" in here.links()[card.netdev]["flags"]
    os_vif.unplug(vif, instance)
    assert "UP" in here.links()[card.netdev]["flags"], "the other guests need it"


def refused(vif: Any, words: str) -> None:
    with pytest.raises(exception.PlugException, match=words):
        os_vif.plug(vif, vifs.instance())


def test_devices_that_cannot_be_given_away(card: Nic, here: GuestItself) -> None:
    address, netdev = card.vfs[1], card.vf_netdev(1)
    before = seen(here, card.netdev, 1)
    refused(vifs_sriov.device(1, "0000:7f:10.0"), "no such PCI device")
    refused(vifs_sriov.device(1, card.pf), "not a virtual function")
    with vifs.configured("sriov", bind_driver="nosuch-pci"):
        refused(vifs_sriov.device(1, address), r"no driver nosuch-pci .*\(modprobe nosuch-pci")
    vif = vifs_sriov.device(1, address)
    here.run("ip", "link", "add", "br-sriov", "type", "bridge")
    try:
        here.run("ip", "link", "set", netdev, "master", "br-sriov")
        refused(vif, f"br-sriov stands on its device {netdev}")
    finally:
        here.run("ip", "link", "delete", "br-sriov")
    here.run("ip", "address", "add", "10.6.0.1/24", "dev", netdev)
    try:
        refused(vif, f"{netdev} has the address 10.6.0.1/24")
    finally:
        here.run("ip", "address", "flush", "dev", netdev)
    here.run("ip", "link", "set", netdev, "up")
    here.run("ip", "route", "add", "default", "dev", netdev)
    try:
        refused(vif, f"{netdev} carries the default route")
    finally:
        here.run("ip", "route", "flush", "dev", netdev)
        here.run("ip", "link", "set", netdev, "down")
    # A card on virtio has its network device one bus further down.
    (wire,) = [path.name for path in PCI.iterdir() if [*path.glob(f"virtio*/net/{card.wire}")]]
    here.run("ip", "address", "add", "10.6.0.2/24", "dev", card.wire)
    try:
        refused(vifs_sriov.device(1, wire, kind="generic"), f"{card.wire} has the address")
    finally:
        here.run("ip", "address", "flush", "dev", card.wire)
    # Its own driver has set the address, when it went up.
    assert seen(here, card.netdev, 1) | {"address": ""} == before | {"address": ""}
    assert seen(here, card.netdev, 1)["address"] != vif.address
    assert driver(address) == "igbvf"


@pytest.mark.parametrize(
    "settings",
    [
        {"mac": "52:54:00:12:00:01", "vlan": 9, "qos": 5, "vlan_proto": 0x8100},
        {"min_tx_rate": 10, "max_tx_rate": 200},
        {"link_state": "disable", "trust": True, "spoofchk": True},
        {"mac": NO_MAC, "link_state": "auto", "trust": False},
    ],
)
def test_every_setting_there_is(
    netdevsim: Simulated, here: GuestItself, settings: dict[str, Any]
) -> None:
    """netdevsim keeps them all; ip shows the same."""
    uplink = netdevsim.ports["p1"]
    if "max_tx_rate" in settings:  # in switchdev mode they are devlink's business
        mode = "devlink dev eswitch set netdevsim/netdevsim1 mode legacy"
        here.run(*mode.split())
    vfs.change(uplink, 1, settings)
    assert settings.items() <= vfs.look_up([uplink])[uplink, 1].items()
    found = seen(here, uplink, 1)
    said = {
        "mac": found["address"],
        "vlan": found["vlan_list"][0].get("vlan"),
        "qos": found["vlan_list"][0].get("qos", 0),
        "vlan_proto": 0x8100,
        "min_tx_rate": found["rate"]["min_tx"],
        "max_tx_rate": found["rate"]["max_tx"],
        **{name: found[name] for name in ("link_state", "trust", "spoofchk")},
    }
    assert settings.items() <= said.items()
    assert seen(here, uplink, 0)["address"] == NO_MAC
