# SPDX-License-Identifier: Apache-2.0
"""802.1Qbg and 802.1Qbh profiles: from the VIF to what is planned for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from os_vif import exception, objects
from os_vif.drawing.scene import Guest, scene_of
from os_vif.engine import planner, runner, steps
from os_vif.engine.draft import Draft
from os_vif.engine.observed import Host
from os_vif.engine.place import DEFAULT
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Topology, parse_mark
from os_vif.host.links.questions import Function, Link
from os_vif.host.links.rules.macvtap import noted
from os_vif.host.port_profiles.questions import (
    ASSOCIATED,
    PROFILE_SET,
    REQUEST_ASSOCIATE,
    PortState,
)
from os_vif.host.port_profiles.resources import PortProfileQbg, PortProfileQbh, Vsi
from os_vif.host.port_profiles.rules import releasing
from os_vif.objects.instance_info import InstanceInfo
from os_vif.objects.network import Network
from os_vif.objects.vif import (
    VIFDirect,
    VIFPortProfile8021Qbg,
    VIFPortProfile8021Qbh,
    VIFPortProfileOpenVSwitch,
)
from os_vif.plugins import port_profiles
from tests.seen import asks
from tests.seen import seen as seen_host

MARK = Mark("f8f7d7f2-6a0f-4b9b-a4d1-4d0d2c6a2f11", "macvtap")
INSTANCE = "2f0dd7bc-32fe-4a86-9f5c-7d6ca5bd1f0e"
GUEST = "5b3f7c1e-0a55-4a4f-8a58-1c9d2f0b6e11"
VSI = Vsi(
    manager=3, type=2**24 - 1, version=255, instance=INSTANCE, mac="52:54:00:11:22:33", vlan=42
)
ADDRESS = "0000:03:00.0"


def qbg(**fields: Any) -> VIFPortProfile8021Qbg:
    values = {
        "manager_id": 3,
        "type_id": 2**24 - 1,
        "type_id_version": 255,
        "instance_id": INSTANCE,
    }
    return VIFPortProfile8021Qbg(**{**values, **fields})


def described(profile: Any, vlan: int | None = 42, guest: str | None = GUEST) -> Any:
    network = Network(vlan=vlan) if vlan is not None else Network()
    vif = VIFDirect(address="52:54:00:11:22:33", network=network, port_profile=profile)
    info = InstanceInfo(uuid=guest, name="guest") if guest else None
    return port_profiles.resource_of(vif, info, link="eth0", timeout=7)


# --- the plugin's side ----------------------------------------------------------------------------


def test_a_vsi() -> None:
    assert described(qbg()) == PortProfileQbg(link="eth0", vsi=VSI, timeout=7)
    least = described(qbg(manager_id=0, type_id=0, type_id_version=0), vlan=None)
    assert (least.vsi.manager, least.vsi.type, least.vsi.version) == (0, 0, 0)
    assert least.vsi.vlan == 0, "the switch chooses"
    assert described(qbg(instance_id=INSTANCE.upper())).vsi.instance == INSTANCE


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"manager_id": 256}, "manager_id"),
        ({"manager_id": -1}, "manager_id"),
        ({"type_id": 2**24}, "type_id"),
        ({"type_id_version": 256}, "type_id_version"),
        ({"instance_id": "00000000-0000-0000-0000-000000000000"}, "instance_id"),
    ],
)
def test_a_vsi_that_cannot_be(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(exception.InvalidField, match=rf"VIFPortProfile8021Qbg\.{named}:"):
        described(qbg(**fields))


def test_what_a_vsi_cannot_do_without() -> None:
    with pytest.raises(exception.InvalidField, match=r"Qbg\.type_id: None"):
        described(VIFPortProfile8021Qbg(manager_id=3, type_id_version=1, instance_id=INSTANCE))
    with pytest.raises(exception.InvalidField, match=r"network\.vlan.*lldpad refuses VLAN 1"):
        described(qbg(), vlan=1)


@pytest.mark.filterwarnings("ignore:.* is an invalid UUID:FutureWarning")  # on purpose
def test_a_port_profile() -> None:
    wanted = PortProfileQbh(link="eth0", profile="gold", instance=GUEST, timeout=7)
    assert described(VIFPortProfile8021Qbh(profile_id="gold")) == wanted
    assert described(VIFPortProfile8021Qbh(profile_id="gold"), guest=None).instance == ""
    assert described(VIFPortProfile8021Qbh(profile_id="a" * 39)).profile == "a" * 39
    for name in ("", "a" * 40, "é" * 20, "a\nb", "a\0"):
        with pytest.raises(exception.InvalidField, match="profile_id"):
            described(VIFPortProfile8021Qbh(profile_id=name))
    with pytest.raises(exception.InvalidField, match="instance_info"):
        described(VIFPortProfile8021Qbh(profile_id="gold"), guest="1")


def test_other_profiles_tell_the_switch_nothing() -> None:
    objects.register_all()
    assert described(VIFPortProfileOpenVSwitch()) is None
    names = [profile.profile_object_name for profile in port_profiles.supported()]
    assert names == ["VIFPortProfile8021Qbg", "VIFPortProfile8021Qbh"]


@pytest.mark.parametrize("timeout", [0, 601, True, "20", 1.5])
def test_a_time_limit_that_is_none(timeout: Any) -> None:
    with pytest.raises(exception.InvalidField, match="timeout"):
        PortProfileQbg(link="eth0", vsi=VSI, timeout=timeout)


def test_a_place_that_is_none() -> None:
    with pytest.raises(exception.InvalidField):
        PortProfileQbg(vsi=VSI, timeout=7)
    with pytest.raises(exception.InvalidField, match="PCI address"):
        PortProfileQbh(behind="eth0", profile="gold", instance="", timeout=7)


# --- the planner's --------------------------------------------------------------------------------


def on_nic(resource: Any, **seen: Any) -> tuple[Topology, Host]:
    links = {"eth0": Link("eth0", 2, "", "", {"up": True})}
    functions = {ADDRESS: Function(ADDRESS, netdevs=("eth0",))}
    host = seen_host(links=links, functions=functions, **seen)
    return Topology(MARK, (resource,)), host


def plugging(resource: Any, **seen: Any) -> list[Step]:
    return planner.plan_plug(*on_nic(resource, **seen)).steps


def unplugging(resource: Any, **seen: Any) -> list[Step]:
    return planner.plan_unplug(*on_nic(resource, **seen)).steps


@pytest.mark.parametrize("place", [{"link": "eth0"}, {"behind": ADDRESS}])
def test_a_vsi_is_associated_once(place: dict[str, str]) -> None:
    wanted = PortProfileQbg(vsi=VSI, timeout=7, **place)
    asked = planner.questions(Topology(MARK, (wanted,)))
    assert asks(asked, "vsis") == {*place.values()}
    [step] = plugging(wanted, vsis={"eth0": {}})
    assert step.kind == "associate_vsi"
    assert step.args["interface"] == "eth0"
    for response in (None, 2, 34):
        assert plugging(wanted, vsis={"eth0": {INSTANCE: response}}) == [step]
    assert plugging(wanted, vsis={"eth0": {INSTANCE: ASSOCIATED}}) == []
    assert plugging(wanted) == [step], "nobody could look"

    [step] = unplugging(wanted, vsis={"eth0": {INSTANCE: ASSOCIATED}})
    assert step.kind == "disassociate_vsi"
    assert unplugging(wanted) == [step], "nobody could look"
    assert unplugging(wanted, vsis={"eth0": {GUEST: ASSOCIATED}}) == []


def test_a_device_that_is_gone() -> None:
    wanted = PortProfileQbg(vsi=VSI, timeout=7, link="eth0")
    nowhere = seen_host(links={"eth0": None})
    assert planner.plan_unplug(Topology(MARK, (wanted,)), nowhere).steps == []
    with pytest.raises(exception.NetworkInterfaceNotFound, match="eth0"):
        planner.plan_plug(Topology(MARK, (wanted,)), nowhere)
    behind = PortProfileQbh(behind=ADDRESS, profile="gold", instance="", timeout=7)
    gone = seen_host(functions={ADDRESS: None})
    assert planner.plan_unplug(Topology(MARK, (behind,)), gone).steps == []
    with pytest.raises(exception.UnusableDevice, match=ADDRESS):
        planner.plan_plug(Topology(MARK, (behind,)), gone)


@pytest.mark.parametrize(
    ("there", "plug", "unplug"),
    [
        (None, True, False),
        (PortState(GUEST, PROFILE_SET, REQUEST_ASSOCIATE, "gold"), False, True),
        (PortState(GUEST, 0x105, REQUEST_ASSOCIATE, "gold"), True, True),
        (PortState(GUEST, PROFILE_SET, REQUEST_ASSOCIATE, "lead"), True, False),
        (PortState(GUEST, PROFILE_SET, 3, "gold"), True, False),
        (PortState(INSTANCE, 0x101, REQUEST_ASSOCIATE, "gold"), True, False),
    ],
)
def test_a_port_profile_is_set_once(there: PortState | None, plug: bool, unplug: bool) -> None:
    wanted = PortProfileQbh(link="eth0", profile="gold", instance=GUEST, timeout=7)
    kinds = [step.kind for step in plugging(wanted, port_profiles={"eth0": there})]
    assert kinds == ["set_port_profile"] * plug
    kinds = [step.kind for step in unplugging(wanted, port_profiles={"eth0": there})]
    assert kinds == ["clear_port_profile"] * unplug


def test_a_port_profile_of_another_guest() -> None:
    wanted = PortProfileQbh(link="eth0", profile="gold", instance=GUEST, timeout=7)
    there = PortState(INSTANCE, PROFILE_SET, REQUEST_ASSOCIATE, "gold")
    with pytest.raises(exception.ResourceConflict, match=f"guest {INSTANCE} has it"):
        plugging(wanted, port_profiles={"eth0": there})


# --- the note on the device ----------------------------------------------------------------------


def note(*resources: Any, mark: Mark = MARK) -> str:
    topology, host = Topology(mark, resources), on_nic(resources[0])[1]
    return noted(Draft(topology, host, undoable=True), str(mark))


def test_the_note_is_enough_to_take_a_vsi_back() -> None:
    alias = note(PortProfileQbg(vsi=VSI, timeout=7, behind=ADDRESS))
    assert len(alias) < 200
    assert parse_mark(alias) == MARK
    link = Link("macvtap0", 7, "macvtap", alias, {"mac": VSI.mac})
    [step] = releasing(link)
    assert step == Step(
        "disassociate_vsi",
        {"interface": "eth0", "vsi": dataclasses.asdict(VSI), "timeout": 20},
    )
    assert steps.checked(*step, DEFAULT) == step


def test_the_note_of_a_port_profile() -> None:
    wanted = PortProfileQbh(link="eth0", profile="gold medal", instance=GUEST, timeout=7)
    mark = dataclasses.replace(MARK, instance=GUEST)
    [step] = releasing(Link("macvtap0", 7, "macvtap", note(wanted, mark=mark), {}))
    cleared = {"device": "eth0", "profile": "", "instance": GUEST}
    assert step == Step("clear_port_profile", cleared)
    assert steps.checked(*step, DEFAULT) == step
    assert releasing(Link("macvtap0", 7, "macvtap", note(wanted), {})) == [], "whose is it?"


def test_a_note_is_written_once() -> None:
    wanted = PortProfileQbg(vsi=VSI, timeout=7, link="eth0")
    topology, host = on_nic(wanted)
    draft = Draft(topology, host, undoable=True)
    alias = noted(draft, f"{MARK} lower=down")
    assert noted(draft, alias) == alias
    assert "lower=down" in alias
    nothing = Draft(Topology(MARK, ()), host, undoable=True)
    assert noted(nothing, alias) == f"{MARK} lower=down", "the VIF has no profile any more"


@pytest.mark.parametrize(
    "alias",
    [
        "",
        "vsi=eth0,3,1,1,5,525400123456,2f0dd7bc-32fe-4a86-9f5c-7d6ca5bd1f0e",
        f"{MARK} vsi=eth0",
        f"{MARK} vsi=eth0,3,1,1,1,525400123456,{INSTANCE}",
        f"{MARK} vsi=eth0,x,1,1,5,525400123456,{INSTANCE}",
        f"{MARK} vsi=../x,3,1,1,5,525400123456,{INSTANCE}",
        f"{MARK} port-profile=../x",
    ],
)
def test_other_words_are_no_note(alias: str) -> None:
    link = Link("macvtap0", 7, "macvtap", alias, {"mac": VSI.mac})
    assert releasing(link) == []


# --- what found nothing to do ---------------------------------------------------------------------


def test_what_found_all_done_is_not_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever associated the VSI, it was not this call."""
    args = {"interface": "eth0", "vsi": {}, "timeout": 7}
    ran: list[str] = []

    def fail(_args: Any) -> None:
        raise OSError(5, "broken")

    handlers = {
        "associate_vsi": lambda args: args,
        "disassociate_vsi": lambda _args: ran.append("disassociate_vsi"),
        "delete_unused": fail,
    }
    monkeypatch.setattr(runner, "handler_of", handlers.__getitem__)
    group = [
        (Step("associate_vsi", args), Step("disassociate_vsi", args)),
        (Step("delete_unused", {"name": "eth0"}), None),
    ]
    [report] = runner.run([group], together=False)
    assert report["error"]["reason"] == "broken"
    assert ran == []


# --- pictures -------------------------------------------------------------------------------------


def test_the_switch_is_drawn_with_what_it_is_told() -> None:
    wanted = (
        PortProfileQbg(vsi=VSI, timeout=7, link="eth0"),
        PortProfileQbh(behind=ADDRESS, profile="gold", instance="", timeout=7),
    )
    other = PortProfileQbg(
        vsi=dataclasses.replace(VSI, mac="52:54:00:11:22:34", type=6), timeout=7, link="eth0"
    )
    parts = scene_of(
        [(Topology(MARK, wanted), Guest("web")), (Topology(MARK, (other,)), Guest("db"))]
    ).parts
    switch = parts[parts["eth0"].below or ""]
    assert (switch.kind, switch.title) == ("switch", "the switch of eth0")
    assert switch.lines == [
        "802.1Qbg",
        "52:54:00:11:22:33: VSI type 16777215 version 255",
        "52:54:00:11:22:34: VSI type 6 version 255",
    ]
    assert parts[parts[ADDRESS].below or ""].lines == ["802.1Qbh", 'port profile "gold"']
