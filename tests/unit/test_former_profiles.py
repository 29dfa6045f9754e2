# SPDX-License-Identifier: Apache-2.0
"""What a switch was told of a VIF and is not to know any more: by the note on the VIF's device."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from os_vif.engine import planner, steps
from os_vif.engine.draft import Draft
from os_vif.engine.observed import Host
from os_vif.engine.place import DEFAULT
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Topology
from os_vif.host.links.questions import LINKS, Link, raising_mark
from os_vif.host.links.resources import Macvtap
from os_vif.host.links.rules.macvtap import noted
from os_vif.host.port_profiles.questions import (
    ASSOCIATED,
    PROFILE_SET,
    REQUEST_ASSOCIATE,
    PortState,
)
from os_vif.host.port_profiles.resources import PortProfileQbg, PortProfileQbh, Vsi
from tests.seen import seen as seen_host

GUEST = "5b3f7c1e-0a55-4a4f-8a58-1c9d2f0b6e11"
MAC = "52:54:00:11:22:33"
ONE = Vsi(
    manager=3, type=5, version=1, instance="2f0dd7bc-32fe-4a86-9f5c-7d6ca5bd1f0e", mac=MAC, vlan=0
)
NEWER = dataclasses.replace(ONE, version=2)
OTHER = dataclasses.replace(ONE, instance="2f0dd7bc-32fe-4a86-9f5c-7d6ca5bd1f0f")


def mark(number: int = 1) -> Mark:
    return Mark(f"f8f7d7f2-6a0f-4b9b-a4d1-{number:012x}", "macvtap", GUEST)


def vif(*profiles: Any, number: int = 1, lower: str = "eth0", mode: str = "vepa") -> Topology:
    macvtap = Macvtap(name=f"macvtap{number}", mac=MAC, mode=mode, link=lower)
    return Topology(mark(number), (macvtap, *profiles))


def vsi(value: Vsi, link: str = "eth0") -> PortProfileQbg:
    return PortProfileQbg(link=link, vsi=value, timeout=7)


def qbh(name: str) -> PortProfileQbh:
    return PortProfileQbh(link="eth0", profile=name, instance=GUEST, timeout=7)


def plugged(*topologies: Topology, down: bool = False, **seen: Any) -> Host:
    """Return a host on which these VIFs are."""
    links: dict[str, Link | None] = {
        name: Link(
            name, index, "", "", {"up": True, "mtu": 1500, "mac": f"52:00:00:00:0e:0{index}"}
        )
        for index, name in enumerate(("eth0", "eth1"), 2)
    }
    host = seen_host(links=links, **seen)
    for index, topology in enumerate(topologies, 10):
        macvtap = topology.resources[0]
        assert isinstance(macvtap, Macvtap)
        alias = noted(Draft(topology, host, undoable=True), str(topology.mark))
        alias = raising_mark(alias) if down else alias
        attributes = {**macvtap.attributes(), "link": macvtap.link}
        links[macvtap.name] = Link(macvtap.name, index, "macvtap", alias, attributes)
    return host


def seen(*there: Vsi) -> dict[str, dict[str, int | None]]:
    return {"eth0": {one.instance: ASSOCIATED for one in there}, "eth1": {}}


def short(found: list[Step]) -> list[tuple[Any, ...]]:
    """Return each step's kind, with the place and the VSI it is about."""
    told: list[tuple[Any, ...]] = []
    for step in found:
        about = step.args.get("vsi")
        what = (step.args["interface"], about["instance"], about["version"]) if about else ()
        told.append((step.kind, *what))
    return told


def gone(value: Vsi, place: str = "eth0") -> tuple[Any, ...]:
    return ("disassociate_vsi", place, value.instance, value.version)


def made(value: Vsi, place: str = "eth0") -> tuple[Any, ...]:
    return ("associate_vsi", place, value.instance, value.version)


@pytest.mark.parametrize("vsis", [seen(ONE), {}], ids=["seen", "unseen"])
@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (vif(vsi(NEWER)), [gone(ONE), ("set_link",), made(NEWER)]),
        (vif(vsi(OTHER)), [gone(ONE), ("set_link",), made(OTHER)]),
        (vif(), [gone(ONE), ("set_link",)]),
        (
            vif(vsi(ONE, "eth1"), lower="eth1"),
            [gone(ONE), ("delete_links",), ("create_link",), made(ONE, "eth1")],
        ),
        (vif(qbh("gold")), [gone(ONE), ("set_link",), ("set_port_profile",)]),
    ],
    ids=["version", "instance", "none", "card", "802.1Qbh"],
)
def test_plug_releases_the_former(now: Topology, expected: list[Any], vsis: dict[str, Any]) -> None:
    host = plugged(vif(vsi(ONE)), vsis=dict(vsis))
    todo = planner.plan_plug(now, host)
    assert short(todo.steps) == expected
    assert short([step for step in todo.undo[:1] if step]) == [made(ONE)], "should the rest fail"
    assert planner.plan_plug(now, host).steps == []
    assert all(steps.checked(*step, DEFAULT) == step for step in todo.steps)


@pytest.mark.parametrize("vsis", [seen(ONE), {}], ids=["seen", "unseen"])
def test_unplug_releases_the_former(vsis: dict[str, Any]) -> None:
    cut, deleted = ("set_link",), ("delete_links",)
    for now in (vif(vsi(NEWER)), vif(vsi(OTHER)), vif()):
        host = plugged(vif(vsi(ONE)), vsis=dict(vsis))
        found = short(planner.plan_unplug(now, host).steps)
        assert found[:2] == [cut, gone(ONE)]
        assert found[-1] == deleted
        # What nobody could look at may be there too.
        assert len(found) == (3 if vsis or now == vif() else 4)
        assert not vsis or planner.plan_unplug(now, host).steps == []


def test_the_same_is_not_released() -> None:
    host = plugged(vif(vsi(ONE)), vsis=seen(ONE))
    assert planner.plan_plug(vif(vsi(ONE)), host).steps == []
    found = planner.plan_unplug(vif(vsi(ONE)), host).steps
    assert short(found) == [("set_link",), gone(ONE), ("delete_links",)]
    assert found[0].args == {"name": "macvtap1", "attributes": {"up": False}}


def test_a_card_goes_down_after_the_switch_was_told() -> None:
    host = plugged(vif(vsi(ONE), mode="passthru"), down=True, vsis=seen(ONE))
    found = planner.plan_unplug(vif(vsi(ONE)), host).steps
    assert short(found) == [("set_link",), gone(ONE), ("set_link",), ("delete_links",)]
    assert found[2].args == {"name": "eth0", "attributes": {"up": False}}


def test_the_note_is_the_same_text_each_time() -> None:
    """Also where the caller names no guest, and behind it stands that the card was down."""
    anonymous = Topology(dataclasses.replace(mark(), instance=""), vif(vsi(ONE)).resources)
    for topology in (vif(vsi(ONE)), anonymous):
        host = plugged(topology, down=True, vsis=seen(ONE))
        assert planner.plan_plug(topology, host).steps == []
        link = host[LINKS]["macvtap1"]
        assert link is not None
        assert len(link.alias) < 256, "IFALIASZ"


def test_what_nobody_saw_stays_unseen() -> None:
    """Of several on one card each is disassociated, though without privilege nobody could look."""
    both = [vif(vsi(ONE)), vif(vsi(OTHER), number=2)]
    host = plugged(*both)
    for topology, value in zip(both, (ONE, OTHER), strict=True):
        assert gone(value) in short(planner.plan_unplug(topology, host).steps)


def test_a_former_port_profile() -> None:
    there = PortState(GUEST, PROFILE_SET, REQUEST_ASSOCIATE, "gold")
    for now, kinds in (
        (vif(qbh("silver")), ["set_port_profile"]),
        (vif(), ["clear_port_profile", "set_link"]),
        (vif(vsi(ONE)), ["clear_port_profile", "set_link", "associate_vsi"]),
    ):
        host = plugged(vif(qbh("gold")), port_profiles={"eth0": there}, vsis=seen())
        assert [step.kind for step in planner.plan_plug(now, host).steps] == kinds
        host = plugged(vif(qbh("gold")), port_profiles={"eth0": there}, vsis=seen())
        found = [step.kind for step in planner.plan_unplug(now, host).steps]
        assert found[-1] == "delete_links"
        # A port with another profile than the VIF's may be somebody else's by now.
        assert ("clear_port_profile" in found) == (now != vif(qbh("silver")))
    host = plugged(vif(qbh("gold")), port_profiles={"eth0": there})
    found = [step.kind for step in planner.plan_unplug(vif(qbh("gold")), host).steps]
    assert found == ["clear_port_profile", "delete_links"]
