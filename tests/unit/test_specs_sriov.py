# SPDX-License-Identifier: Apache-2.0
"""Specifications of devices that a guest gets whole: what they become, and their mistakes."""

from __future__ import annotations

from typing import Any

import pytest

import os_vif
from os_vif.cli.drift import drifts_of, faults_of
from os_vif.cli.specs import reader
from os_vif.cli.specs.refused import BadInput
from os_vif.drawing.scene import Guest, scene_of
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Topology
from os_vif.host.functions.questions import FunctionMark
from os_vif.host.functions.resources import PciDevice, VirtualFunction
from os_vif.objects.vif import VIFBase
from os_vif.specs.problems import Problem

ADDRESS, MAC = "0000:03:10.2", "52:54:00:12:34:56"
FUNCTION = f'type: sriov\ndevice: "{ADDRESS}"\nmac: {MAC}\n'
GENERIC = f'type: sriov\nkind: generic\ndevice: "{ADDRESS}"\n'


@pytest.fixture(autouse=True)
def loaded() -> None:
    os_vif.initialize()


def described(text: str) -> tuple[VIFBase, list[Any]]:
    batch = reader.Batch()
    reader.read_text("f.yaml", text, batch)
    if batch.problems:
        raise BadInput(batch.problems)
    [request] = reader.describe_all(batch)
    assert request is not None
    return batch.entries[0].vif, list(request.topology.resources)


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(BadInput) as caught:
        described(text)
    return list(caught.value.problems)


def test_the_shortest_function() -> None:
    vif, [device, function] = described(FUNCTION)
    assert (vif.obj_name(), vif.plugin, vif.dev_type) == ("VIFHostDevice", "sriov", "ethernet")
    assert vif.network.vlan is None
    assert function == VirtualFunction(address=ADDRESS, mac=MAC)
    assert device == PciDevice(address=ADDRESS, mac=MAC)


def test_all_there_is() -> None:
    text = (
        FUNCTION + "vlan: 5\nkind: ethernet\ninstance: {name: web}\n"
        "network: {label: n, subnets: [{cidr: 10.0.0.0/24, addresses: [10.0.0.2]}]}\n"
    )
    vif, [_device, function] = described(text)
    assert (vif.network.vlan, function.vlan) == (5, 5)
    assert str(vif.network.subnets.objects[0].cidr) == "10.0.0.0/24"


def test_a_generic_device_needs_no_address_of_its_own() -> None:
    vif, resources = described(GENERIC)
    assert vif.dev_type == "generic"
    assert resources == [PciDevice(address=ADDRESS)]
    assert vif.id == described(GENERIC)[0].id
    other = GENERIC.replace(ADDRESS, "0000:03:10.4")
    assert vif.id != described(other)[0].id


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        (FUNCTION.replace(f"mac: {MAC}\n", ""), "mac", "missing; add mac"),
        (FUNCTION.replace(MAC, "nonsense"), "mac", "six bytes"),
        (FUNCTION.replace(ADDRESS, "03:10.2"), "device", "a PCI address"),
        (FUNCTION + "vlan: 4095\n", "vlan", "1 to 4094"),
        (FUNCTION + "kind: physical\n", "kind", "ethernet or generic"),
        (FUNCTION + "dev_type: generic\n", "dev_type", "did you mean 'kind'?"),
        (FUNCTION + "name: tap0\n", "name", "unknown field"),
        (GENERIC + f"mac: {MAC}\n", "mac", "leave it out"),
        (GENERIC + "vlan: 5\n", "vlan", "leave it out"),
    ],
)
def test_mistakes(text: str, field: str, words: str) -> None:
    [problem] = problems_of(text)
    assert problem.field == field
    assert words in problem.message


# --- how it is shown ------------------------------------------------------------------------------

CHANGE = Step(
    "set_vf",
    {
        "address": ADDRESS,
        "device": "eth0",
        "vf": 1,
        "settings": {"mac": MAC, "vlan": 5, "qos": 0, "vlan_proto": 0x8100, "trust": False},
    },
)
MARKED = {"device": "eth0", "mark": str(FunctionMark(ADDRESS, "1234"))}
MARK, UNMARK = Step("mark_function", MARKED), Step("unmark_function", MARKED)
BIND = Step("bind_driver", {"address": ADDRESS, "driver": "vfio-pci", "override": "vfio-pci"})


def test_what_is_wrong_in_words() -> None:
    assert [drift.words for drift in drifts_of([MARK, CHANGE, BIND, UNMARK])] == [
        "lacks the mark of its owner",
        f"should have MAC {MAC}",
        "should have VLAN 5",
        "should have trust off",
        "should be driven by vfio-pci",
        "carries the mark of VIF 1234",
    ]
    assert {drift.device for drift in drifts_of([MARK, CHANGE, BIND, UNMARK])} == {ADDRESS}


def test_what_is_done_in_words() -> None:
    from os_vif.engine.steps import describe

    assert describe(CHANGE) == f"set VF 1 of eth0: MAC {MAC}, VLAN 5, trust off"
    assert describe(MARK) == f"mark {ADDRESS} as VIF 1234's (on eth0)"
    assert describe(UNMARK) == f"no longer mark {ADDRESS} as VIF 1234's (on eth0)"
    assert describe(BIND) == f"give {ADDRESS} to vfio-pci"
    back = Step("bind_driver", {"address": ADDRESS, "driver": None, "override": ""})
    assert describe(back) == f"give {ADDRESS} back to the driver that the kernel has for it"
    none = {"mac": "00:00:00:00:00:00", "vlan": 0, "qos": 0, "vlan_proto": 0x8100}
    cleared = Step("set_vf", {**CHANGE.args, "settings": none})
    assert describe(cleared) == "set VF 1 of eth0: no MAC, no VLAN"


def test_the_picture() -> None:
    function = VirtualFunction(address=ADDRESS, mac=MAC, vlan=5, trust=True, max_tx_rate=100)
    device = PciDevice(address=ADDRESS, mac=MAC, driver="vfio-pci")
    scene = scene_of(
        [(Topology(Mark("1234", "sriov"), (device, function)), Guest("web"))],
        faults_of(drifts_of([CHANGE])),
    )
    guest, part, card = scene.parts.values()
    assert guest.below == part.key == ADDRESS
    assert part.below == card.key
    settings = [f"MAC {MAC}", "VLAN 5", "trusted", "at most 100 Mbit/s"]
    assert part.lines == ["given to vfio-pci", "virtual function", *settings]
    assert part.fault is not None
    assert "should have VLAN 5" in part.fault.notes
