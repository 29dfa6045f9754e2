# SPDX-License-Identifier: Apache-2.0
"""From VIFHostDevice to steps on a card, and what is refused: on a model, no card needed."""

from __future__ import annotations

from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import planner
from os_vif.engine.step import Step
from os_vif.host.functions.resources import PciDevice, VirtualFunction
from os_vif.host.routes.questions import Address
from tests import vifs_sriov
from tests.network_card import (
    MAC,
    NIC,
    NO_MAC,
    PF,
    UNSET,
    Card,
    address,
    kinds,
    marked,
    plan,
    plug,
    topology,
    unplug,
)


@pytest.fixture
def card() -> Card:
    return Card()


# --- what the plugin describes --------------------------------------------------------------------


def test_a_virtual_function() -> None:
    wanted = topology(vifs_sriov.device(1, "0000:03:10.1", vlan=5))
    assert wanted.resources == (
        PciDevice(address=address(1), mac=MAC),
        VirtualFunction(address=address(1), mac=MAC, vlan=5),
    )


def test_options() -> None:
    [device, vf] = topology(
        vifs_sriov.device(1, address(1)),
        spoof_check=False,
        trust=True,
        min_tx_rate=10,
        max_tx_rate=100,
        link_state="enable",
        bind_driver="vfio-pci",
    ).resources
    assert vf.settings() == {
        **UNSET,
        "mac": MAC,
        "spoofchk": False,
        "trust": True,
        "min_tx_rate": 10,
        "max_tx_rate": 100,
        "link_state": "enable",
    }
    assert device.driver == "vfio-pci"


@pytest.mark.parametrize("network", [None, "unset", 0])
def test_without_a_vlan(network: Any) -> None:
    vif = vifs_sriov.device(1, address(1), vlan=network if network == 0 else None)
    if network is None:
        vif.network = None
    assert topology(vif).resources[1].vlan == 0


def test_a_generic_device() -> None:
    vif = vifs_sriov.device(1, NIC, kind="generic", address=None, network=None)
    assert topology(vif).resources == (PciDevice(address=NIC),)
    assert topology(vif, unplugging=True).resources == (PciDevice(address=NIC),)


@pytest.mark.parametrize(
    ("fields", "options", "field"),
    [
        ({"vlan": 4095}, {}, "network.vlan"),
        ({"vlan": -1}, {}, "network.vlan"),
        ({"address": None}, {}, "VIFHostDevice.address"),
        ({"address": "01:00:5e:00:00:01"}, {}, "VIFHostDevice.address"),
        ({}, {"bind_driver": "../vfio"}, "bind_driver"),
        ({}, {"min_tx_rate": 20, "max_tx_rate": 10}, "min_tx_rate"),
    ],
)
def test_values_that_cannot_be_used(
    fields: dict[str, Any], options: dict[str, Any], field: str
) -> None:
    with pytest.raises(exception.InvalidField) as caught:
        topology(vifs_sriov.device(1, address(1), **fields), **options)
    assert caught.value.kwargs["field"] == field


def test_it_says_what_it_takes() -> None:
    [info] = [item for item in os_vif.host_info().plugin_info if item.plugin_name == "sriov"]
    assert [(vif.vif_object_name, vif.max_version) for vif in info.vif_info] == [
        ("VIFHostDevice", "1.0")
    ]


# --- there and back -------------------------------------------------------------------------------


def test_settings_and_back(card: Card) -> None:
    before = card.picture()
    vif = vifs_sriov.device(1, address(2), vlan=5)
    marking, setting = plug(card, vif, trust=True, max_tx_rate=100)
    assert marking == Step("mark_function", {"device": "eth0", "mark": marked(1, address(2))})
    assert setting == Step(
        "set_vf",
        {
            "address": address(2),
            "device": "eth0",
            "vf": 2,
            "settings": {
                "mac": MAC,
                "vlan": 5,
                "qos": 0,
                "vlan_proto": 0x8100,
                "trust": True,
                "min_tx_rate": 0,
                "max_tx_rate": 100,
            },
        },
    )
    assert card.vfs[2] == {**UNSET, "mac": MAC, "vlan": 5, "trust": True, "max_tx_rate": 100}
    unplug(card, vif)
    assert card.picture() == before
    assert unplug(card, vif) == []


def test_the_settings_of_the_guest_before_do_not_stay(card: Card) -> None:
    card.vfs[0] |= {"vlan": 9, "qos": 3, "vlan_proto": 0x88A8}
    vif = vifs_sriov.device(1, address(0))
    plug(card, vif)
    assert card.vfs[0] == {**UNSET, "mac": MAC}


def test_nothing_that_any_configuration_made_stays(card: Card) -> None:
    vif = vifs_sriov.device(1, address(0), vlan=5)
    plug(card, vif, trust=True, min_tx_rate=5, max_tx_rate=50, link_state="disable")
    unplug(card, vif)
    assert card.vfs[0] == UNSET


@pytest.mark.parametrize(
    ("before", "option", "between", "after"),
    [(True, None, True, True), (False, None, False, False), (True, False, False, True)],
)
def test_the_spoof_check(
    card: Card, before: bool, option: bool | None, between: bool, after: bool
) -> None:
    """One that was not asked for stays as it was found."""
    card.vfs[0]["spoofchk"] = before
    vif = vifs_sriov.device(1, address(0))
    plug(card, vif, spoof_check=option)
    assert card.vfs[0]["spoofchk"] is between
    unplug(card, vif, spoof_check=option)
    assert card.vfs[0]["spoofchk"] is after


def test_a_driver_with_few_settings(card: Card) -> None:
    for name in ("trust", "spoofchk", "link_state"):
        for there in card.vfs.values():
            del there[name]
    vif = vifs_sriov.device(1, address(0))
    with pytest.raises(exception.UnusableDevice, match="driver igb of eth0 has no setting trust"):
        plan(card, vif, trust=True)
    plug(card, vif, trust=False)
    unplug(card, vif)
    assert card.vfs[0]["mac"] == NO_MAC
    assert "trust" not in card.vfs[0]


def test_the_hosts_driver_does_not_keep_the_guests_address(card: Card) -> None:
    vif = vifs_sriov.device(1, address(0))
    plug(card, vif)
    card.macs["eth1"] = MAC
    assert kinds(unplug(card, vif)) == ["set_vf", "set_link", "unmark_function"]
    assert card.macs["eth1"].startswith("02:")
    assert unplug(card, vif) == []
    other = Card()
    other.host_id = "another, of the same make"
    plug(other, vif)
    other.macs["eth1"] = MAC
    unplug(other, vif)
    assert other.macs["eth1"].startswith("02:")
    assert other.macs["eth1"] != card.macs["eth1"], "it may be on the same wire"
    card.macs["eth1"] = MAC
    card.marks["eth0"].append(marked(1, address(0)))
    assert kinds(unplug(card, vif)) == ["set_link", "unmark_function"], "killed in between"
    card.macs["eth1"] = MAC
    plug(card, vifs_sriov.device(2, address(0)))
    assert unplug(card, vif) == []


def test_another_vifs_function_is_left_alone(card: Card) -> None:
    old, new = (vifs_sriov.device(number, address(0), vlan=number) for number in (1, 2))
    plug(card, old, bind_driver="vfio-pci")
    plug(card, new, bind_driver="vfio-pci")
    taken = card.picture()
    assert unplug(card, old, bind_driver="vfio-pci") == []
    assert card.picture() == taken
    unplug(card, new, bind_driver="vfio-pci")
    assert card.vfs[0] == UNSET


def test_the_card_is_set_up_and_stays_so(card: Card) -> None:
    card.up = False
    vif = vifs_sriov.device(1, address(0))
    assert kinds(plug(card, vif)) == ["mark_function", "set_link", "set_vf"]
    unplug(card, vif)
    assert card.up


def test_a_driver_and_back(card: Card) -> None:
    before = card.picture()
    vif = vifs_sriov.device(1, address(0))
    todo = plug(card, vif, bind_driver="vfio-pci")
    assert kinds(todo) == ["mark_function", "bind_driver", "set_vf"]
    assert card.functions[address(0)].driver == "vfio-pci"
    todo = unplug(card, vif, bind_driver="vfio-pci")
    wanted = ["set_vf", "bind_driver", "unmark_function"]
    assert kinds(todo) == wanted, "no driver finds the guest's address"
    assert card.picture() == before


@pytest.mark.parametrize("kind", ["ethernet", "generic"])
@pytest.mark.parametrize("verb", [plug, unplug])
@pytest.mark.parametrize("gone", [plug, unplug])
@pytest.mark.parametrize("count", range(4))
def test_killed_after_any_step_and_finished_either_way(
    card: Card, verb: Any, gone: Any, count: int, kind: str
) -> None:
    before = card.picture()
    vif = vifs_sriov.device(1, address(0), kind=kind, vlan=5)
    first = plan(card, vif, bind_driver="vfio-pci").steps
    if gone is unplug:
        card.run(first)
        wanted = topology(vif, unplugging=True, bind_driver="vfio-pci")
        first = planner.plan_unplug(wanted, card.look(wanted)).steps
    card.run(first[:count])
    verb(card, vif, bind_driver="vfio-pci")
    if verb is plug:
        assert card.functions[address(0)].driver == "vfio-pci"
        assert card.vfs[0]["mac"] == (MAC if kind == "ethernet" else NO_MAC)
        unplug(card, vif, bind_driver="vfio-pci")
    assert card.picture() == before


def test_a_function_that_nobody_tells_of_is_left_alone(card: Card) -> None:
    vif = vifs_sriov.device(1, address(0))
    plug(card, vif, bind_driver="vfio-pci")
    card.alter(address(0), physical_netdev="")
    assert unplug(card, vif, bind_driver="vfio-pci") == []


def test_undo_brings_back_whatever_was_there(card: Card) -> None:
    card.up = False
    card.vfs[0] |= {"mac": "52:54:00:99:99:99", "vlan": 9, "qos": 3, "vlan_proto": 0x88A8}
    card.vfs[0] |= {"max_tx_rate": 70, "trust": True}
    card.alter(address(0), driver="uio_pci_generic", override="uio_pci_generic")
    before = card.picture()
    todo = plan(card, vifs_sriov.device(1, address(0)), bind_driver="vfio-pci", trust=False)
    card.run(todo.steps)
    assert card.picture() != before
    card.run([step for step in reversed(todo.undo) if step])
    assert card.picture() == before


def test_many_at_once(card: Card) -> None:
    wanted = [topology(vifs_sriov.device(n + 1, address(n), vlan=n + 1)) for n in range(4)]
    card.up = False
    host = card.look(*wanted)
    todo = [planner.plan_plug(item, host).steps for item in wanted]
    assert [kinds(steps) for steps in todo] == [
        ["mark_function", "set_link", "set_vf"],
        *[["mark_function", "set_vf"]] * 3,
    ]
    for steps in todo:
        card.run(steps)
    assert [there["vlan"] for there in card.vfs.values()] == [1, 2, 3, 4]


# --- what is refused ------------------------------------------------------------------------------


def refused(card: Card, vif: Any, words: str, **options: Any) -> None:
    before = card.picture()
    with pytest.raises(exception.UnusableDevice, match=words) as caught:
        plan(card, vif, **options)
    assert vif.dev_address in str(caught.value)
    assert card.picture() == before


def test_devices_that_are_not_there(card: Card) -> None:
    refused(card, vifs_sriov.device(1, "0000:77:00.0"), "no such PCI device")
    refused(card, vifs_sriov.device(1, "0000:77:00.0", kind="generic"), "no such PCI device")


@pytest.mark.parametrize("which", [PF, NIC])
def test_settings_of_what_is_no_virtual_function(card: Card, which: str) -> None:
    refused(card, vifs_sriov.device(1, which), "not a virtual function")


def test_a_card_without_network_device(card: Card) -> None:
    for number in range(4):
        card.alter(address(number), physical_netdev="", physical_driver="vfio-pci")
    refused(
        card, vifs_sriov.device(1, address(0)), f"{PF} has no network device .*driver: vfio-pci"
    )


def test_a_number_that_the_driver_does_not_know(card: Card) -> None:
    del card.vfs[3]
    refused(card, vifs_sriov.device(1, address(3)), "igb of eth0 does not tell of .* 3")


@pytest.mark.parametrize("kind", ["ethernet", "generic"])
def test_a_device_that_the_host_uses(card: Card, kind: str) -> None:
    vif = vifs_sriov.device(1, address(0), kind=kind)
    card.addresses["eth1"] = (Address("10.0.0.1/24"),)
    refused(card, vif, "its device eth1 has the address 10.0.0.1/24")
    card.addresses.clear()
    card.default_route = "eth1"
    refused(card, vif, "its device eth1 carries the default route")
    card.default_route = "eth9"
    assert plan(card, vif, bind_driver="vfio-pci").steps
    card.alter(address(0), uppers=(("eth1", "bond0"),))
    refused(card, vif, "bond0 stands on its device eth1")


def test_a_card_whose_functions_others_have(card: Card) -> None:
    refused(card, vifs_sriov.device(1, PF, kind="generic"), "4 virtual functions are made of it")


def test_without_the_driver(card: Card) -> None:
    card.drivers.remove("vfio-pci")
    vif = vifs_sriov.device(1, NIC, kind="generic")
    refused(card, vif, r"no driver vfio-pci .*\(modprobe vfio-pci\)", bind_driver="vfio-pci")


def test_without_an_iommu(card: Card) -> None:
    card.alter(NIC, iommu_group="")
    card.drivers.add("uio_pci_generic")
    vif = vifs_sriov.device(1, NIC, kind="generic")
    refused(card, vif, "no IOMMU holds it", bind_driver="vfio-pci")
    assert kinds(plug(card, vif, bind_driver="uio_pci_generic")) == ["mark_function", "bind_driver"]


@pytest.mark.parametrize("driver", ["e1000e", "nvme"])
def test_a_group_that_the_host_shares(card: Card, driver: str) -> None:
    card.alter(NIC, group_members=(("0000:05:00.1", driver),))
    vif = vifs_sriov.device(1, NIC, kind="generic")
    words = rf"0000:05:00.1 is in the same IOMMU group \(9\) .* \({driver}\)"
    refused(card, vif, words, bind_driver="vfio-pci")


@pytest.mark.parametrize("driver", ["", "vfio-pci", "mlx5_vfio_pci", "pci-stub", "pcieport"])
def test_a_group_whose_rest_nobody_uses(card: Card, driver: str) -> None:
    card.alter(NIC, group_members=(("0000:05:00.1", driver),))
    vif = vifs_sriov.device(1, NIC, kind="generic")
    assert kinds(plug(card, vif, bind_driver="vfio-pci")) == ["mark_function", "bind_driver"]
    unplug(card, vif, bind_driver="vfio-pci")
