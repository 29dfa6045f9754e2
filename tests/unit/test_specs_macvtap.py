# SPDX-License-Identifier: Apache-2.0
"""Specifications of macvtaps: what they become, and their mistakes."""

from __future__ import annotations

from typing import Any

import pytest
from oslo_config import cfg

import os_vif
from os_vif.cli.specs import reader
from os_vif.cli.specs.refused import BadInput
from os_vif.drawing import scene
from os_vif.host.functions.resources import FunctionVlan
from os_vif.host.links.resources import Macvtap, Vlan
from os_vif.host.port_profiles.resources import PortProfileQbg, PortProfileQbh, Vsi

NAMED = "type: macvtap\nname: mv0\nmac: 52:54:00:12:34:56\nnetwork: {uplink: eth1}\n"
CARD = 'type: macvtap\nname: mv0\nmac: 52:54:00:12:34:56\ndevice: "0000:3B:00.2"\n'
VSI = "vsi: {manager: 3, type: 16777215, version: 255}\n"
UUID = "2f0dd7bc-32fe-4a86-9f5c-7d6ca5bd1f0e"
NIL = "00000000-0000-0000-0000-000000000000"


def described(text: str) -> Any:
    os_vif.initialize()
    batch = reader.Batch()
    reader.read_text("f.yaml", text, batch)
    if batch.problems:
        raise BadInput(batch.problems)
    [request] = reader.describe_all(batch)
    assert request is not None
    return batch.entries[0].vif, request.topology


def test_the_shortest() -> None:
    vif, topology = described(CARD)
    assert (vif.obj_name(), vif.plugin, vif.mode) == ("VIFDirect", "macvtap", "bridge")
    assert vif.dev_address == "0000:3b:00.2"
    assert not vif.obj_attr_is_set("vlan_name")
    assert topology.resources == (
        Macvtap(name="mv0", mac="52:54:00:12:34:56", mode="bridge", behind="0000:3b:00.2"),
    )


def test_a_device_by_name_is_said_where_the_wire_object_has_it() -> None:
    vif, topology = described(NAMED.replace("eth1}", "eth1, mtu: 1400}") + "mode: vepa\n")
    assert not vif.obj_attr_is_set("dev_address")
    assert vif.network.bridge_interface == "eth1"
    [macvtap] = topology.resources
    assert (macvtap.link, macvtap.mtu, macvtap.mode) == ("eth1", 1400, "vepa")


@pytest.mark.parametrize(
    ("more", "name"), [("", "vlan7"), ("vlan_name: guests\n", "guests")], ids=["derived", "said"]
)
def test_a_vlan(more: str, name: str) -> None:
    vif, topology = described(CARD + more + "network: {vlan: 7}\n")
    assert (vif.vlan_name, vif.network.vlan) == (name, 7)
    [vlan, macvtap] = topology.resources
    assert vlan == Vlan(name=name, vlan_id=7, behind="0000:3b:00.2", stays=False)
    assert macvtap.link == name


def test_the_vlan_of_a_virtual_function_is_the_card_s() -> None:
    vif, topology = described(CARD + "mode: passthrough\nnetwork: {vlan: 7}\n")
    assert not vif.obj_attr_is_set("vlan_name")
    [macvtap, vlan] = topology.resources
    assert (macvtap.behind, macvtap.mode) == ("0000:3b:00.2", "passthru")
    assert vlan == FunctionVlan(address="0000:3b:00.2", vlan=7)
    by_name = NAMED.replace("eth1}", "eth1, vlan: 7}")
    vif, _topology = described(by_name + "mode: passthrough\n")
    assert vif.vlan_name == "vlan7", "a device by name may be none"


def test_a_vsi() -> None:
    vif, topology = described(CARD + VSI + "network: {vlan: 42}\n")
    profile = vif.port_profile
    assert profile.obj_name() == "VIFPortProfile8021Qbg"
    assert (profile.manager_id, profile.type_id, profile.type_id_version) == (3, 2**24 - 1, 255)
    assert profile.instance_id == vif.id, "a VIF is one station"
    [_vlan, macvtap, wanted] = topology.resources
    assert macvtap.link == "vlan42"
    assert wanted == PortProfileQbg(
        vsi=Vsi(
            manager=3,
            type=2**24 - 1,
            version=255,
            instance=vif.id,
            mac="52:54:00:12:34:56",
            vlan=42,
        ),
        behind="0000:3b:00.2",
        timeout=20,
    ), "through the card, not the VLAN device"


def test_the_least_vsi_and_an_instance_of_its_own() -> None:
    text = NAMED + f"vsi: {{manager: 0, type: 0, version: 0, instance: {UUID.upper()}}}\n"
    vif, topology = described(text)
    assert vif.port_profile.instance_id == UUID
    [_macvtap, wanted] = topology.resources
    assert (wanted.link, wanted.behind) == ("eth1", "")
    vsi = wanted.vsi
    assert (vsi.manager, vsi.type, vsi.version, vsi.vlan) == (0, 0, 0, 0)


def test_a_port_profile() -> None:
    vif, topology = described(CARD + f"profile: gold\ninstance: {{uuid: {UUID}}}\n")
    assert vif.port_profile.obj_name() == "VIFPortProfile8021Qbh"
    assert vif.port_profile.profile_id == "gold"
    [_macvtap, wanted] = topology.resources
    assert wanted == PortProfileQbh(
        behind="0000:3b:00.2", profile="gold", instance=UUID, timeout=20
    )


def test_the_time_limit_is_an_option() -> None:
    os_vif.initialize()
    cfg.CONF.set_override("port_profile_timeout", 5, group="os_vif_macvtap")
    try:
        _vif, topology = described(CARD + "profile: gold\n")
    finally:
        cfg.CONF.clear_override("port_profile_timeout", group="os_vif_macvtap")
    assert topology.resources[-1].timeout == 5


def test_two_of_one_name() -> None:
    text = "".join(
        f'- {{type: macvtap, id: {UUID[:-1]}{number}, name: mv0, mac: "52:54:00:12:34:5{number}",'
        " network: {uplink: eth1}}\n"
        for number in (1, 2)
    )
    with pytest.raises(BadInput, match=r"'mv0' is taken by the VIF at f\.yaml:2"):
        described("vifs:\n" + text)


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        (CARD.replace("0000:3B:00.2", "eth1"), "device", "expected a PCI address"),
        (CARD + "network: {uplink: eth1}\n", "network.uplink", "the device is named twice"),
        (CARD.partition("device")[0], "device", "say which device to share"),
        (NAMED.replace("eth1", "a/b"), "network.uplink", "expected letters"),
        (CARD + "vlan_name: vlan7\n", "vlan_name", "without a VLAN id"),
        (CARD + "vlan_name: vlan7\nnetwork: {vlan: 0}\n", "network.vlan", "from 1 to 4094"),
        (CARD + "mode: private\n", "mode", "bridge or vepa or passthrough"),
        (CARD + "dev_address: x\n", "dev_address", "did you mean 'device'"),
        (CARD + "network: {bridge_interface: x}\n", "network.bridge_interface", "'uplink'"),
        (CARD + VSI.replace("3,", "256,"), "vsi.manager", "a number from 0 to 255"),
        (CARD + VSI.replace("16777215", "16777216"), "vsi.type", "a number from 0 to 16777215"),
        (CARD + VSI.replace("255}", "-1}"), "vsi.version", "a number from 0 to 255"),
        (CARD + VSI.replace("255}", "x}"), "vsi.version", "a number from 0 to 255"),
        (CARD + VSI.replace("manager: 3, ", ""), "vsi.manager", "missing; add manager"),
        (CARD + VSI.replace("255}", "255, instance: 1}"), "vsi.instance", "a UUID, as in"),
        (CARD + VSI.replace("255}", f"255, instance: {NIL}}}"), "vsi.instance", "is not nil"),
        (CARD + VSI + "network: {vlan: 1}\n", "network.vlan", "lldpad refuses VLAN 1"),
        (CARD + VSI.replace("manager", "manager_id"), "vsi.manager_id", "'manager'"),
        (CARD + "type_id_version: 3\n", "type_id_version", "did you mean 'vsi.version'"),
        (CARD + "vsi: gold\n", "vsi", "expected a mapping (manager, type"),
        (CARD + 'profile: ""\n', "profile", "expected the name of a profile"),
        (CARD + f"profile: {'a' * 40}\n", "profile", "at most 39 bytes"),
        (CARD + "profile_id: gold\n", "profile_id", "did you mean 'profile'"),
        (CARD + VSI + "profile: gold\n", "profile", "a port has one profile"),
    ],
)
def test_one_mistake_is_one_problem(text: str, field: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        described(text)
    [problem] = caught.value.problems
    assert problem.field == field
    assert words in problem.message


def way(text: str) -> list[str]:
    _vif, topology = described(text)
    parts = scene.scene_of([(topology, scene.Guest("web"))]).parts
    walked, part = [], next(iter(parts.values()))
    while part.below is not None:
        part = parts[part.below]
        walked.append(f"{part.key}: {', '.join(part.lines)}")
    return walked


def test_the_picture() -> None:
    assert way(NAMED) == ["mv0: macvtap, mode bridge", "eth1: uplink"]
    assert way(CARD + "mode: passthrough\nnetwork: {mtu: 1400}\n") == [
        "mv0: macvtap, mode passthrough, MTU 1400",
        "0000:3b:00.2: NIC",
    ]
    assert way(CARD + "network: {vlan: 7}\n") == [
        "mv0: macvtap, mode bridge",
        "vlan7: VLAN 7",
        "0000:3b:00.2: NIC",
    ]
    assert way(CARD + "mode: passthrough\nnetwork: {vlan: 7}\n") == [
        "mv0: macvtap, mode passthrough",
        "0000:3b:00.2: NIC, virtual function in VLAN 7",
    ]
    assert way(CARD + "profile: gold\n") == [
        "mv0: macvtap, mode bridge",
        "0000:3b:00.2: NIC",
        'the switch of 0000:3b:00.2: 802.1Qbh, port profile "gold"',
    ]
    assert way(NAMED + VSI)[-1] == (
        "the switch of eth1: 802.1Qbg, 52:54:00:12:34:56: VSI type 16777215 version 255"
    )
