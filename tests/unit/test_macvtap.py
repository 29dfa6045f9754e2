# SPDX-License-Identifier: Apache-2.0
"""From VIFDirect to what the host should look like, and from there to steps: no host needed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from os_vif import exception
from os_vif.cli.drift import drifts_of
from os_vif.engine import planner, steps
from os_vif.engine.draft import Plan
from os_vif.engine.place import DEFAULT
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Resource, Topology, parse_mark
from os_vif.host.links.questions import (
    NODES,
    SHARED_MARK,
    UNFINISHED_GROUP,
    Function,
    found_lower_down,
    raising_mark,
)
from os_vif.host.links.resources import Macvtap, Vlan
from os_vif.host.links.rules.macvtap import lowering
from os_vif.host.routes.questions import Address
from os_vif.verbs import describe
from tests import vifs
from tests.modelled import World

NAME, MAC, PCI = vifs.tap_name(1), vifs.guest_mac(1), "0000:3b:00.2"
OWNER = Mark(vifs.vif_id(1), "macvtap", "guest")
SHARE = Macvtap(name=NAME, mac=MAC, mode="bridge", link="eth0")
ALONE = dataclasses.replace(SHARE, mode="passthru")
VLAN = Vlan(name="vlan7", link="eth0", vlan_id=7, stays=False)
ON_VLAN = dataclasses.replace(SHARE, link="vlan7")


# --- what a VIF asks for --------------------------------------------------------------------------


def resources(vif: Any, *, unplugging: bool = False) -> tuple[Resource, ...]:
    vifs.os_vif.initialize()
    return describe(vif, vifs.instance(), unplugging=unplugging).topology.resources


@pytest.mark.parametrize("mode", ["vepa", "bridge", "passthrough"])
def test_a_share_of_a_named_device(mode: str) -> None:
    kernels = {"passthrough": "passthru"}.get(mode, mode)
    assert resources(vifs.direct_vif(mode=mode, mtu=1400)) == (
        Macvtap(name=NAME, mac=MAC, mode=kernels, mtu=1400, link="eth0"),
    )


def test_an_address_is_a_question_and_comes_before_a_name() -> None:
    vif = vifs.direct_vif(dev_address="0000:3B:00.2")
    assert resources(vif) == (Macvtap(name=NAME, mac=MAC, mode="bridge", behind=PCI),)


def test_a_vlan() -> None:
    [vlan, macvtap] = resources(vifs.direct_vif(vlan=7, vlan_name="vlan7"))
    assert (vlan, macvtap) == (VLAN, ON_VLAN)
    [vlan, macvtap] = resources(vifs.direct_vif(1, None, vlan=7, vlan_name="v7", dev_address=PCI))
    assert vlan == Vlan(name="v7", behind=PCI, vlan_id=7, stays=False)
    assert isinstance(macvtap, Macvtap)
    assert (macvtap.link, macvtap.behind) == ("v7", "")


def test_without_a_network_there_is_an_address() -> None:
    [macvtap] = resources(vifs.direct_vif(network=None, dev_address=PCI))
    assert isinstance(macvtap, Macvtap)
    assert macvtap.mtu is None


def test_all_multicast_unless_that_is_the_hypervisors() -> None:
    assert SHARE.attributes()["allmulticast"] is True
    with vifs.configured("macvtap", all_multicast=False):
        [macvtap] = resources(vifs.direct_vif())
    assert isinstance(macvtap, Macvtap)
    assert "allmulticast" not in macvtap.attributes()


def test_remains_do_not_depend_on_the_mode_or_on_what_is_wrong() -> None:
    one = resources(vifs.direct_vif(mode="passthrough"), unplugging=True)
    other = resources(vifs.direct_vif(mode="vepa", mtu=7, vlan_name="vlan7"), unplugging=True)
    assert one == other
    assert resources(vifs.direct_vif(lower=None), unplugging=True)
    both = resources(vifs.direct_vif(vlan=7, vlan_name="vlan7"), unplugging=True)
    assert VLAN in both


def test_other_classes_are_refused() -> None:
    vif = vifs.tap_vif()
    vif.plugin = "macvtap"
    with pytest.raises(exception.NoMatchingVIFClass):
        resources(vif)


# --- steps ----------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    made = World()
    made.add_link("eth0", "", mac="52:00:00:00:0e:00", up=True)
    return made


def plan(world: World, *wanted: Resource, unplugging: bool = False, number: int = 1) -> Plan:
    mark = dataclasses.replace(OWNER, vif_id=vifs.vif_id(number))
    topology = Topology(mark, wanted)
    host = world.observe(planner.questions(topology))
    return (planner.plan_unplug if unplugging else planner.plan_plug)(topology, host)


def run(world: World, todo: Plan) -> list[Step]:
    for step in todo.steps:
        assert steps.checked(*step, DEFAULT) == step, "it must pass the gate"
        world.handlers()[step.kind](dict(step.args))
    return todo.steps


def kinds(todo: Plan) -> list[str]:
    return [step.kind for step in todo.steps]


def test_it_is_made_marked_and_once(world: World) -> None:
    [step] = run(world, plan(world, SHARE))
    assert step.args["attributes"]["alias"] == str(OWNER)
    assert step.args["attributes"]["link"] == "eth0"
    assert plan(world, SHARE).steps == []
    assert kinds(plan(world, SHARE, unplugging=True)) == ["delete_links"]


def test_the_device_behind_an_address(world: World) -> None:
    share = dataclasses.replace(SHARE, link="", behind=PCI)
    with pytest.raises(exception.UnusableDevice, match="this host has no such PCI device"):
        plan(world, share)
    assert plan(world, share, unplugging=True).steps == []
    world.functions[PCI] = Function(PCI, driver="vfio-pci")
    with pytest.raises(exception.UnusableDevice, match=r"no network device .*driver is vfio-pci"):
        plan(world, share)
    world.functions[PCI] = Function(PCI, netdevs=("eth0", "eth1"))
    with pytest.raises(exception.UnusableDevice, match=r"several .*\(eth0, eth1\)"):
        plan(world, share)
    world.functions[PCI] = Function(PCI, netdevs=("eth0",))
    run(world, plan(world, share))
    assert world.links[NAME].attributes["link"] == "eth0"
    assert plan(world, share).steps == []


def test_a_shared_device_is_set_up_first_and_stays_up(world: World) -> None:
    world.links["eth0"].attributes["up"] = False
    todo = plan(world, SHARE)
    assert kinds(todo) == ["set_link", "create_link"]
    run(world, todo)
    assert not found_lower_down(world.links[NAME].alias)
    assert kinds(plan(world, SHARE, unplugging=True)) == ["delete_links"]


def test_a_device_of_its_own_goes_down_as_it_was(world: World) -> None:
    world.links["eth0"].attributes["up"] = False
    todo = plan(world, ALONE)
    assert kinds(todo) == ["create_link", "set_link"]
    run(world, todo)
    assert parse_mark(world.links[NAME].alias) == OWNER
    assert plan(world, ALONE).steps == []
    run(world, plan(world, ALONE, unplugging=True))
    assert NAME not in world.links
    assert world.links["eth0"].attributes["up"] is False


def test_the_note_in_the_mark_outlives_a_change_of_guest(world: World) -> None:
    noted = raising_mark(str(dataclasses.replace(OWNER, instance="before")))
    world.add_link(
        NAME, "macvtap", noted, **{**SHARE.attributes(), "link": "eth0", "mode": "passthru"}
    )
    run(world, plan(world, ALONE))
    assert world.links[NAME].alias == raising_mark(str(OWNER))
    [step] = lowering(world.links[NAME])
    assert step.args == {"name": "eth0", "attributes": {"up": False}}


@pytest.mark.parametrize(
    ("have", "want", "kinds_"),
    [
        ("vepa", "bridge", ["set_link"]),
        ("bridge", "vepa", ["set_link"]),
        ("private", "bridge", ["set_link"]),
        ("source", "vepa", ["set_link"]),
        ("bridge", "passthru", ["delete_links", "create_link"]),
        ("passthru", "bridge", ["delete_links", "create_link"]),
    ],
)
def test_what_the_kernel_cannot_change_is_made_anew(
    world: World, have: str, want: str, kinds_: list[str]
) -> None:
    attributes = {**SHARE.attributes(), "mode": have, "link": "eth0"}
    world.add_link(NAME, "macvtap", str(OWNER), **attributes)
    if have == "passthru":
        world.links["eth0"].attributes["mac"] = MAC
    before = world.picture()
    todo = plan(world, dataclasses.replace(SHARE, mode=want))
    assert kinds(todo) == kinds_
    [drift] = drifts_of(todo.steps)
    assert want.replace("passthru", "passthrough") in drift.words
    run(world, todo)
    for undo in reversed(todo.undo):
        assert undo is not None
        world.handlers()[undo.kind](dict(undo.args))
    assert world.picture() == before


def test_on_another_device_it_is_made_anew(world: World) -> None:
    world.add_link("eth1", "", up=True)
    run(world, plan(world, SHARE))
    todo = plan(world, dataclasses.replace(SHARE, link="eth1"))
    assert kinds(todo) == ["delete_links", "create_link"]
    [drift] = drifts_of(todo.steps)
    assert drift.words == "must be made anew (it should be on eth1 in mode bridge)"


@pytest.mark.parametrize(
    ("alias", "attributes", "ours"),
    [
        ("", {"mac": MAC}, True),
        ("", {"group": UNFINISHED_GROUP}, True),
        ("", {}, False),
        ("mine", {"group": UNFINISHED_GROUP}, False),
        (f"os-vif vif={vifs.vif_id(2)} plugin=macvtap", {"mac": MAC}, False),
    ],
)
def test_whose_a_macvtap_is(
    world: World, alias: str, attributes: dict[str, Any], ours: bool
) -> None:
    share = dataclasses.replace(SHARE, name="macvtap0")
    world.add_link("macvtap0", "macvtap", alias, link="eth0", mode="bridge", **attributes)
    if ours:
        run(world, plan(world, share))
        assert world.links["macvtap0"].alias == str(OWNER)
        return
    with pytest.raises(exception.ResourceConflict, match="device macvtap0 is in the way"):
        plan(world, share)
    assert plan(world, share, unplugging=True).steps == []


@pytest.mark.parametrize(
    ("change", "wanted", "words"),
    [
        ({"master": "br0"}, SHARE, "it is a port of br0"),
        ({"mac": MAC}, SHARE, f"MAC {MAC} is in the way: eth0 has it itself"),
        ({"mac": "00:00:00:00:00:00"}, SHARE, "not an Ethernet device"),
        ({"mtu": 1400}, dataclasses.replace(SHARE, mtu=1500), "1500 .*at most 1400 .*eth0"),
    ],
)
def test_devices_that_cannot_be_shared(
    world: World, change: dict[str, Any], wanted: Macvtap, words: str
) -> None:
    world.links["eth0"].attributes.update(change)
    with pytest.raises(exception.ExceptionBase, match=words):
        plan(world, wanted)


def test_passthrough_needs_a_device_to_itself(world: World) -> None:
    world.addresses["eth0"] = [Address("192.0.2.1/24")]
    with pytest.raises(exception.ResourceConflict, match=r"the host has the address 192\.0\.2\.1"):
        plan(world, ALONE)
    world.addresses.clear()
    world.add_link("vlan9", "vlan", link="eth0")
    with pytest.raises(exception.ResourceConflict, match="vlan9 uses it too"):
        plan(world, ALONE)
    plan(world, SHARE)


# --- VLAN devices ---------------------------------------------------------------------------------


def test_a_vlan_goes_with_its_last_user(world: World) -> None:
    second = dataclasses.replace(ON_VLAN, name=vifs.tap_name(2), mac=vifs.guest_mac(2))
    assert [step.args.get("kind") for step in run(world, plan(world, VLAN, ON_VLAN))] == [
        "vlan",
        "macvtap",
    ]
    assert world.links["vlan7"].alias == SHARED_MARK
    run(world, plan(world, VLAN, second, number=2))
    assert kinds(plan(world, VLAN, ON_VLAN, unplugging=True)) == ["delete_links"]
    run(world, plan(world, VLAN, ON_VLAN, unplugging=True))
    last = plan(world, VLAN, second, unplugging=True, number=2)
    assert kinds(last) == ["delete_links", "delete_unused"]
    run(world, last)
    assert set(world.links) == {"eth0"}
    assert plan(world, VLAN, second, unplugging=True, number=2).steps == []


def test_both_last_users_in_one_batch(world: World) -> None:
    second = dataclasses.replace(ON_VLAN, name=vifs.tap_name(2), mac=vifs.guest_mac(2))
    run(world, plan(world, VLAN, ON_VLAN))
    run(world, plan(world, VLAN, second, number=2))
    both = [
        Topology(OWNER, (VLAN, ON_VLAN)),
        Topology(dataclasses.replace(OWNER, vif_id=vifs.vif_id(2)), (VLAN, second)),
    ]
    host = world.observe(it for item in both for it in planner.questions(item))
    planned = [kinds(planner.plan_unplug(item, host)) for item in both]
    assert planned == [["delete_links"], ["delete_links", "delete_unused"]]


@pytest.mark.parametrize("use", ["stranger's", "address", "bridge", "of a bridge's VIF"])
def test_a_vlan_that_stays(world: World, use: str) -> None:
    run(world, plan(world, VLAN, ON_VLAN))
    vlan = VLAN
    if use == "stranger's":
        world.links["vlan7"].alias = ""
    elif use == "address":
        world.addresses["vlan7"] = [Address("192.0.2.1/24")]
    elif use == "bridge":
        world.add_link("br0", "bridge")
        world.links["vlan7"].attributes["master"] = "br0"
    else:
        vlan = dataclasses.replace(VLAN, stays=True)
    assert kinds(plan(world, vlan, ON_VLAN, unplugging=True)) == ["delete_links"]


def test_the_mac_of_a_vlan_to_be_made_is_that_of_the_device_below(world: World) -> None:
    world.links["eth0"].attributes["mac"] = MAC
    with pytest.raises(exception.ResourceConflict, match=f"MAC {MAC} .*vlan7 has it itself"):
        plan(world, VLAN, ON_VLAN)


def test_the_mtu_of_a_vlan_to_be_made_is_that_of_the_device_below(world: World) -> None:
    world.links["eth0"].attributes["mtu"] = 1400
    with pytest.raises(exception.InvalidField, match="at most 1400 bytes, the MTU of vlan7"):
        plan(world, VLAN, dataclasses.replace(ON_VLAN, mtu=1401))
    run(world, plan(world, VLAN, dataclasses.replace(ON_VLAN, mtu=1400)))


def test_an_unfinished_vlan_is_cleared_away(world: World) -> None:
    world.add_link("vlan7", "vlan", link="eth0", vlan_id=7, group=UNFINISHED_GROUP)
    assert kinds(plan(world, VLAN, ON_VLAN, unplugging=True)) == ["delete_unused"]


# --- whose its character device is ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "node", "given"),
    [
        ({}, (0, 0, 0o600), None),
        ({"owner": "7"}, (0, 0, 0o600), (7, 0, 0o600)),
        ({"owner": "7"}, (7, 0, 0o600), None),
        ({"owner": "7"}, (7, 9, 0o660), (7, 9, 0o600)),
        ({"group": "9"}, (0, 0, 0o600), (0, 9, 0o660)),
        ({"owner": "7", "group": "9"}, (7, 9, 0o666), (7, 9, 0o660)),
    ],
)
def test_a_device_is_given_away(world: World, fields: Any, node: Any, given: Any) -> None:
    share = dataclasses.replace(SHARE, **fields)
    run(world, plan(world, SHARE))
    topology = Topology(OWNER, (share,))
    asked = planner.questions(topology)
    assert (NODES in {item.question for item in asked}) == bool(fields)
    host = world.observe(asked)
    host[NODES][NAME] = node
    todo = planner.plan_plug(topology, host)
    assert [tuple(step.args.values()) for step in todo.steps] == ([(NAME, *given)] if given else [])
    if given:
        [undo] = todo.undo
        assert undo is not None
        assert tuple(undo.args.values()) == (NAME, *node)
        assert all(steps.checked(*step, DEFAULT) == step for step in (*todo.steps, undo))
        assert "character device" in steps.describe(todo.steps[0])
