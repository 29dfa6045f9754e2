# SPDX-License-Identifier: Apache-2.0
"""The VLAN of a virtual function that a guest has by a macvtap in passthrough: no host needed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import planner, steps
from os_vif.engine.draft import Plan
from os_vif.engine.observed import Host
from os_vif.engine.place import DEFAULT
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Topology
from os_vif.host.functions.questions import VFS, VfSettings
from os_vif.host.functions.resources import FunctionVlan
from os_vif.host.functions.rules.vlans import vlan_back
from os_vif.host.links.questions import FUNCTIONS, LINKS, USERS, Function, Link
from os_vif.host.links.resources import Macvtap
from os_vif.verbs import describe
from tests import vifs
from tests.seen import seen as seen_host

PF, VF = "0000:3b:00.0", "0000:3b:10.2"
MAC, NAME = vifs.guest_mac(1), vifs.tap_name(1)
MARK = Mark(vifs.vif_id(1), "macvtap", "guest")
MACVTAP = Macvtap(name=NAME, mac=MAC, mode="passthru", behind=VF)
VLAN = FunctionVlan(address=VF, vlan=7)
BEFORE: VfSettings = {"vlan": 9, "qos": 3, "vlan_proto": 0x8100}
NOTE = f"vf-vlan={VF},card,2,9,3,33024"


def host(macvtap: Link | None = None, **settings: Any) -> Host:
    found = seen_host(
        functions={VF: Function(VF, PF, 2, physical_netdev="card", netdevs=("eth2",))}
    )
    mac = {"mac": "02:00:00:00:00:02"}
    shown = {"up": True, "mtu": 1500, "master": None, **mac}
    found[LINKS]["eth2"] = Link("eth2", 5, "", "", shown)
    found[LINKS][NAME] = macvtap
    found[USERS]["eth2"] = (NAME,) if macvtap else ()
    found[VFS]["card", 2] = {"mac": "00:00:00:00:00:00", **BEFORE, **settings}
    return found


def plugged(note: str = NOTE) -> Link:
    attributes = {**MACVTAP.attributes(), "link": "eth2"}
    return Link(NAME, 9, "macvtap", f"{MARK} {note}".strip(), attributes)


def plan(found: Host, *wanted: Any, unplugging: bool = False) -> Plan:
    topology = Topology(MARK, wanted)
    made = (planner.plan_unplug if unplugging else planner.plan_plug)(topology, found)
    for step in [*made.steps, *filter(None, made.undo)]:
        assert steps.checked(*step, DEFAULT) == step
    return made


def resources(vif: Any, *, unplugging: bool = False) -> Any:
    os_vif.initialize()
    return describe(vif, vifs.instance(), unplugging=unplugging).topology.resources


@pytest.mark.parametrize("unplugging", [False, True])
def test_only_a_function_in_passthrough_without_a_name(unplugging: bool) -> None:
    passed: dict[str, Any] = {"mode": "passthrough", "dev_address": VF, "vlan": 7}
    assert VLAN in resources(vifs.direct_vif(1, None, **passed), unplugging=unplugging)
    named = resources(vifs.direct_vif(1, None, **passed, vlan_name="v7"), unplugging=unplugging)
    assert not [item for item in named if isinstance(item, FunctionVlan)]
    shared: dict[str, Any] = {**passed, "mode": "bridge"}
    by_name: dict[str, Any] = {"mode": "passthrough", "vlan": 7}
    for fields in (shared, by_name):
        vif = vifs.direct_vif(1, "eth0", **fields)
        if unplugging:
            assert VLAN not in resources(vif, unplugging=True)
        else:
            with pytest.raises(exception.InvalidField, match="vlan_name"):
                resources(vif)


def test_what_was_found_is_noted_before_it_changes() -> None:
    found = host()
    made, change = plan(found, MACVTAP, VLAN).steps
    assert made.kind == "create_link"
    assert made.args["attributes"]["alias"] == f"{MARK} {NOTE}"
    settings = {"vlan": 7, "qos": 0, "vlan_proto": 0x8100}
    where = {"address": VF, "device": "card", "vf": 2}
    assert change == Step("set_vf", {**where, "settings": settings})
    assert plan(found, MACVTAP, VLAN).steps == [], "again: nothing to do"


def test_the_note_stays_what_it_was() -> None:
    found = host(plugged(), vlan=8)
    [change] = plan(found, MACVTAP, VLAN).steps
    assert change.kind == "set_vf"
    link = found[LINKS][NAME]
    assert link is not None
    assert NOTE in link.alias


def test_one_plugged_without_a_vlan_gets_a_note_first() -> None:
    note, change = plan(host(plugged("")), MACVTAP, VLAN).steps
    assert note == Step("set_link", {"name": NAME, "attributes": {"alias": f"{MARK} {NOTE}"}})
    assert change.kind == "set_vf"


def test_it_gets_its_own_back_while_the_guest_hears_nothing() -> None:
    down, back, gone = plan(host(plugged(), vlan=7, qos=0), MACVTAP, VLAN, unplugging=True).steps
    assert down == Step("set_link", {"name": NAME, "attributes": {"up": False}})
    where = {"address": VF, "device": "card", "vf": 2}
    assert back == Step("set_vf", {**where, "settings": BEFORE})
    assert gone.kind == "delete_links"


def test_a_vif_that_has_no_vlan_any_more() -> None:
    found = host(plugged(), vlan=7, qos=0)
    down, back, change = plan(found, MACVTAP).steps
    assert (down.args["attributes"], back.kind) == ({"up": False}, "set_vf")
    assert change.args["attributes"] == {"up": True, "alias": str(MARK)}
    assert plan(found, MACVTAP).steps == []


def test_unplugged_with_another_description() -> None:
    assert len(plan(host(plugged(), vlan=7), MACVTAP, unplugging=True).steps) == 3


def test_a_failed_plug_gives_it_back() -> None:
    made = plan(host(), MACVTAP, VLAN)
    assert made.undo[1] is not None
    assert made.undo[1].args["settings"] == BEFORE


def test_a_card_that_is_no_virtual_function() -> None:
    found = host()
    found[FUNCTIONS][VF] = Function(VF, netdevs=("eth2",))
    with pytest.raises(exception.UnusableDevice, match=r"not a virtual function .* \(vlan_name\)"):
        plan(found, MACVTAP, VLAN)
    found = host()
    del found[VFS]["card", 2]
    with pytest.raises(exception.UnusableDevice, match="no network device here that tells"):
        plan(found, MACVTAP, VLAN)


@pytest.mark.parametrize(
    "note",
    [
        "vf-vlan=",
        f"vf-vlan={VF},card,2,9,3",
        f"vf-vlan={VF},card,2,5000,3,33024",
        f"vf-vlan={VF},../x,2,9,3,33024",
        f"vf-vlan={VF},card,x,9,3,33024",
        "vf-vlan=x,card,2,9,3,33024",
        f"vf-vlan={VF},card,-5,9,3,33024",
    ],
)
def test_other_words_are_no_note(note: str) -> None:
    assert vlan_back(plugged(note), {}) == []
    assert vlan_back(dataclasses.replace(plugged(), alias=NOTE), {}) == [], "no mark"
