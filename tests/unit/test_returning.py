# SPDX-License-Identifier: Apache-2.0
"""When what VIFs share goes, and what the host gets back: no host needed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from os_vif.engine import planner, steps
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Topology
from os_vif.host.forwarding.questions import FORWARDED, rules_comment
from os_vif.host.links.questions import SHARED_MARK
from os_vif.host.links.resources import Bridge, Uplink, Vlan
from os_vif.host.routes.questions import Address, Route
from tests.modelled import World

MARK = Mark("1", "linux_bridge")
BRIDGE = Bridge(name="br0", mtu=1500)


def around(number: int, mtu: int | None = 9000) -> tuple[Any, ...]:
    return (
        Vlan(name=f"vlan{number}", link="eth0", vlan_id=number, mtu=mtu),
        Bridge(name=f"br{number}", mtu=1500),
        Uplink(name=f"vlan{number}", bridge=f"br{number}", mtu=mtu),
    )


def run(world: World, todo: list[Step]) -> None:
    handlers = world.handlers()
    for step in todo:
        handlers[step.kind](step.args)


def plug(world: World, *resources: Any) -> None:
    topology = Topology(MARK, resources)
    run(world, planner.plan_plug(topology, world.seen(planner.questions(topology))).steps)


def dissolving(
    world: World, *resources: Any, rules: tuple[str, ...] = ()
) -> tuple[list[Step], list[Step | None]]:
    topology = Topology(MARK, resources)
    host = world.observe(planner.dissolve_questions(topology))
    host[FORWARDED]["br0"] = rules
    plan = planner.plan_dissolve(topology, host)
    return plan.steps, plan.undo


def dissolve(world: World, *resources: Any) -> list[str]:
    todo, _undo = dissolving(world, *resources)
    run(world, todo)
    return [step.kind for step in todo]


@pytest.fixture
def world() -> World:
    made = World()
    made.add_link("eth0", "", up=True, mac="52:00:00:00:0e:00")
    made.addresses["eth0"] = [Address("192.0.2.10/24"), Address("2001:db8::a/64")]
    made.routes["eth0"] = [Route("0.0.0.0/0", gateway="192.0.2.1")]
    return made


FLAT = (BRIDGE, Uplink(name="eth0", bridge="br0", mtu=4000))


def test_there_and_back(world: World) -> None:
    before = copy.deepcopy(world.picture())
    plug(world, *FLAT)
    assert not world.addresses["eth0"]
    kinds = dissolve(world, *FLAT)
    assert kinds == [
        # IPv6, which went off there with the last step of the move.
        "set_link",
        *["add_address"] * 2,
        *("add_route", "set_link", "delete_route"),
        *["delete_address"] * 2,
        *("set_link", "forget_mtu", "delete_idle"),
    ]
    assert world.picture() == before
    assert dissolve(world, *FLAT) == []


def test_wherever_it_ends_the_next_one_does_the_rest(world: World) -> None:
    before = copy.deepcopy(world.picture())
    plug(world, *FLAT)
    todo, _undo = dissolving(world, *FLAT)
    for done in range(len(todo) + 1):
        again = copy.deepcopy(world)
        run(again, todo[:done])
        for resources in (FLAT, (BRIDGE,)) if done < len(todo) else (FLAT,):
            other = copy.deepcopy(again)
            dissolve(other, *resources)
            assert other.picture() == before, (done, resources)
        plug(again, *FLAT)
        assert again.picture() == world.picture(), done


def test_each_step_is_taken_back(world: World) -> None:
    plug(world, *FLAT)
    healthy = copy.deepcopy(world.picture())
    todo, undo = dissolving(world, *FLAT)
    for done in range(len(todo) + 1):
        again = copy.deepcopy(world)
        run(again, todo[:done])
        run(again, [back for back in reversed(undo[:done]) if back is not None])
        assert again.picture() == healthy, done
        assert all(steps.describe(step) for step in todo)


def test_a_vlan_goes_with_its_bridge_and_its_lower_gets_its_mtu_back(world: World) -> None:
    before = copy.deepcopy(world.picture())
    plug(world, *around(7))
    assert world.links["eth0"].attributes["mtu"] == 9000
    assert dissolve(world, *around(7))[-1] == "delete_idle"
    assert world.picture() == before
    plug(world, *around(7))
    plug(world, *around(8, None))
    dissolve(world, *around(7))
    assert world.links["eth0"].attributes["mtu"] == 9000, "the other VLAN needs it"
    assert world.links["eth0"].altnames == ("os-vif,mtu=1500,eth0",)
    dissolve(world, *around(8, None))
    assert world.picture() == before, "the last one gives it back"


def test_a_vlan_with_the_hosts_addresses_stays(world: World) -> None:
    plug(world, *around(7))
    world.addresses["br7"] = [Address("198.51.100.1/24")]
    dissolve(world, *around(7))
    assert "br7" not in world.links
    assert [item.local for item in world.addresses["vlan7"]] == ["198.51.100.1/24"]
    assert dissolve(world, *around(7)) == []


@pytest.mark.parametrize(
    "add",
    [
        lambda world: world.add_link("tap9", "tap", "", master="br0"),
        lambda world: world.add_link("tap9", "tap", str(Mark("2", "linux_bridge")), master="br0"),
        lambda world: world.add_link("br0.5", "vlan", "", link="br0", vlan_id=5),
        lambda world: setattr(world.links["br0"], "alias", "the operator's"),
        lambda world: setattr(world.links["br0"], "alias", ""),
    ],
)
def test_what_keeps_a_bridge(world: World, add: Any) -> None:
    plug(world, *FLAT)
    add(world)
    assert dissolving(world, *FLAT)[0] == []


def test_the_rules_of_another_vif_keep_a_bridge(world: World) -> None:
    plug(world, BRIDGE)
    mine, other = (rules_comment(Mark(name, "linux_bridge"), "br0") for name in ("1", "2"))
    assert dissolving(world, BRIDGE, rules=(mine, other))[0] == []
    assert dissolving(world, BRIDGE, rules=(mine,))[0]


def test_an_uplink_that_is_anothers_by_now_gets_nothing(world: World) -> None:
    plug(world, *FLAT)
    world.add_link("bond0", "bond")
    world.links["eth0"].attributes["master"] = "bond0"
    assert dissolving(world, *FLAT)[0] == [], "the bridge has addresses, and nobody to give them to"


def test_a_port_that_nobody_noted_is_a_strangers(world: World) -> None:
    world.links["eth0"].attributes["master"] = "br0"
    world.add_link("br0", "bridge", SHARED_MARK)
    assert dissolving(world, BRIDGE)[0] == []
    assert dissolving(world, BRIDGE, Uplink(name="eth0", bridge="br0"))[0], "unless it is described"
