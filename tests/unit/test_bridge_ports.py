# SPDX-License-Identifier: Apache-2.0
"""Ports of Linux bridges: from options and fields to steps, and what is told of drift."""

from __future__ import annotations

from typing import Any

import pytest
from oslo_config import cfg

from os_vif import exception
from os_vif.cli import configuration
from os_vif.cli.specs import reader
from os_vif.cli.specs.nodes import BadInput
from os_vif.engine import families, planner
from os_vif.engine.checks import spelled_vlans, vlan_ids
from os_vif.engine.observed import Host
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Topology
from os_vif.host.bridge_ports.questions import Port
from os_vif.host.bridge_ports.resources import (
    FLAGS,
    BridgePort,
    Trunk,
    VlanFiltering,
)
from os_vif.host.links.questions import LINKS, SHARED_MARK, Link
from os_vif.verbs import describe
from tests import vifs
from tests.seen import asks, seen

MARK = Mark(vifs.vif_id(1), "linux_bridge")
NAME = vifs.tap_name(1)
OWN = vifs.vif_id(1)
NEW = {**dict.fromkeys(FLAGS, False), "learning": True, "flood": True}
ONE = {"pvid": 1, "untagged": "1", "tagged": ""}
OURS = ("port_settings", "port_vlans", "port_trunks", "vlan_filtering")


# --- described -----------------------------------------------------------------------------------


def described(vif: Any = None, **options: Any) -> list[Any]:
    with vifs.configured("linux_bridge", create_tap=True, **options):
        found = describe(vif or vifs.bridge_vif(), vifs.instance()).topology.resources
    return [it for it in found if isinstance(it, BridgePort | Trunk | VlanFiltering)]


def test_who_says_nothing_has_nothing() -> None:
    assert described() == []
    others = {"port_settings": {f"{vifs.vif_id(2)}/isolated": True}, "port_vlans": {"x": 10}}
    assert described(**others, port_trunks={"x": "10"}, vlan_filtering={"br1": True}) == []
    assert described(vlan_filtering={"br0": False}) == []


def test_settings_of_all_and_of_one() -> None:
    said = {"isolated": True, "learning": False, f"{OWN}/isolated": False, f"{OWN}/flood": True}
    [port] = described(port_settings=said)
    assert port.attributes() == {"isolated": False, "learning": False, "flood": True}
    assert (port.name, port.bridge) == (NAME, "br0")


def test_vlans_of_a_port_and_its_uplink() -> None:
    vif = vifs.bridge_vif(network=vifs.network(bridge_interface="eth0"))
    options = {"port_vlans": {OWN: 10}, "port_trunks": {OWN: "20-29 10 22 40"}}
    bridge, trunk, port = described(vif, vlan_filtering={"br0": True}, **options)
    assert bridge == VlanFiltering(name="br0")
    assert trunk == Trunk(name="eth0", bridge="br0", vlans=frozenset({10, *range(20, 30), 40}))
    assert port.attributes() == {"pvid": 10, "untagged": "10", "tagged": "20-29 40"}
    [port] = described(port_trunks={OWN: "7"})
    assert port.attributes() == {"pvid": 0, "untagged": "", "tagged": "7"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"port_settings": {"isolate": True}},
            "port_settings: .*isolate.*expected one of isolated",
        ),
        ({"port_settings": {f"{OWN}/x": True}}, "port_settings"),
        ({"port_trunks": {OWN: "0"}}, "port_trunks: '0'.*from 1 to 4094"),
        ({"port_trunks": {OWN: "29-20"}}, "port_trunks: '29-20'"),
        ({"port_trunks": {OWN: "10,20"}}, "port_trunks"),
    ],
)
def test_what_cannot_be_said(options: Any, words: str) -> None:
    with pytest.raises(exception.InvalidField, match=words):
        described(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"port_settings": {"isolated": True}},
        {"port_vlans": {OWN: 10}},
        {"port_trunks": {OWN: "10"}},
    ],
)
def test_where_the_hypervisor_makes_the_tap_nobody_is_isolated_in_vain(options: Any) -> None:
    vif = vifs.bridge_vif()
    with vifs.configured("linux_bridge", **options):
        with pytest.raises(exception.InvalidField, match="expected option create_tap"):
            describe(vif, vifs.instance())
        assert describe(vif, vifs.instance(), unplugging=True)


def test_ids_in_few_words() -> None:
    assert spelled_vlans({1, 2, 3, 7, 9, 10}) == "1-3 7 9-10"
    assert vlan_ids("1-3 7 9-10") == [1, 2, 3, 7, 9, 10]
    assert spelled_vlans(vlan_ids("")) == ""


# --- in a file ------------------------------------------------------------------------------------

FILE = "type: bridge\nbridge: br0\nname: tap0\nmac: 52:54:00:12:34:56\n"


def of_file(text: str) -> list[Any]:
    batch = reader.Batch()
    reader.read_text("f.yaml", text, batch)
    if batch.problems:
        raise BadInput(batch.problems)
    try:
        configuration.apply(batch.options, ["linux_bridge.create_tap=true"], batch.said)
        [request] = reader.describe_all(batch)
    finally:
        for option in (*OURS, "create_tap"):
            cfg.CONF.clear_override(option, group="os_vif_linux_bridge")
    assert request is not None
    return [
        it
        for it in request.topology.resources
        if isinstance(it, BridgePort | Trunk | VlanFiltering)
    ]


def test_fields_of_a_file() -> None:
    every = "".join(f"{name}: on\n" for name in FLAGS)
    bridge, port = of_file(
        f"{FILE}{every}vlan: 10\ntrunks: [20-29, 40]\nvlan_filtering: true\n"
        "options: {linux_bridge: {port_settings: 'isolated:false'}}\n"
    )
    assert bridge == VlanFiltering(name="br0")
    vlans = {"pvid": 10, "untagged": "10", "tagged": "20-29 40"}
    assert port.attributes() == dict.fromkeys(FLAGS, True) | vlans


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("vlan: 0", "a VLAN id from 1 to 4094"),
        ("vlan: 4095", "a VLAN id from 1 to 4094"),
        ("trunks: 10", "expected a list"),
        ("trunks: [0]", "VLAN ids from 1 to 4094"),
        ("trunks: [30-20]", "VLAN ids from 1 to 4094"),
        ("isolated: maybe", "true or false"),
        ("tag: 10", "did you mean 'vlan'?"),
    ],
)
def test_what_a_file_cannot_say(line: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        of_file(f"{FILE}{line}\n")
    [problem] = caught.value.problems
    assert problem.mark.line == 5
    assert words in problem.message


# --- planned --------------------------------------------------------------------------------------


def host(
    port: Port | None, filters: bool | None = True, alias: str = SHARED_MARK, index: int = 2
) -> Host:
    master = None if port is None else port.bridge
    return seen(
        links={
            NAME: Link(NAME, 7, "tap", str(MARK), {"master": master}),
            "br0": Link("br0", index, "bridge", alias, {}),
            "eth0": Link("eth0", 3, "", "", {"master": "br0"}),
        },
        bridge_port={NAME: port, "eth0": Port("br0", ONE)},
        vlan_filtering={"br0": filters},
    )


def plan(there: Host, *resources: Any) -> list[Step]:
    return planner.plan_plug(Topology(MARK, resources), there).steps


def port(**fields: Any) -> BridgePort:
    return BridgePort(name=NAME, bridge="br0", **fields)


def test_only_what_is_asked_about_is_looked_at() -> None:
    asked = planner.questions(Topology(MARK, (port(flags={"isolated": True}),)))
    assert asks(asked, "bridge_port") == {NAME}
    assert asks(asked, "vlan_filtering") == {"br0"}


def test_what_differs_is_set_and_nothing_else() -> None:
    wanted = port(flags={"isolated": True, "learning": True})
    [step] = plan(host(Port("br0", {**NEW, "hairpin": True})), wanted)
    assert step.args == {"name": NAME, "attributes": {"isolated": True}}
    assert plan(host(Port("br0", {**NEW, "isolated": True})), wanted) == []


@pytest.mark.parametrize("seen_as", [None, Port("br9", {**NEW, "isolated": True, **ONE})])
def test_one_that_joins_gets_all(seen_as: Port | None) -> None:
    [step] = plan(host(seen_as), port(flags={"isolated": True, "learning": True}, vlan=1))
    assert step.args["attributes"] == {"isolated": True, "learning": True, **ONE}


def test_vlans_are_set_together_and_taken_back() -> None:
    there = host(Port("br0", {**NEW, **ONE, "tagged": "7"}))
    topology = Topology(MARK, (port(vlan=10, trunks=frozenset({7})),))
    todo = planner.plan_plug(topology, there)
    [step] = todo.steps
    assert step.args["attributes"] == {"pvid": 10, "untagged": "10", "tagged": "7"}
    [undo] = todo.undo
    assert undo is not None
    assert undo.args["attributes"] == {**ONE, "tagged": "7"}
    assert planner.plan_plug(topology, there).steps == []


def test_a_kernel_that_does_not_know_a_setting() -> None:
    old = {key: value for key, value in NEW.items() if key != "isolated"}
    with pytest.raises(exception.UnusableDevice, match=r"br0.* isolated of a port"):
        plan(host(Port("br0", old)), port(flags={"isolated": True}))
    with pytest.raises(exception.UnusableDevice, match="pvid, tagged, untagged of a port"):
        plan(host(Port("br0", NEW)), port(vlan=10))


@pytest.mark.parametrize(
    ("alias", "words"),
    [(SHARED_MARK, "vlan_filtering: true"), ("", "ip link set br0 type bridge vlan_filtering 1")],
)
def test_vlans_need_a_bridge_that_filters(alias: str, words: str) -> None:
    for filters in (False, None):
        with pytest.raises(exception.ResourceConflict, match=words):
            plan(host(Port("br0", NEW), filters, alias), port(trunks=frozenset({7})))


def test_a_bridge_of_ours_is_made_to_filter() -> None:
    there = host(Port("br0", {**NEW, **ONE}), filters=False)
    todo = planner.plan_plug(Topology(MARK, (VlanFiltering(name="br0"), port(vlan=1))), there)
    assert [step.kind for step in todo.steps] == ["filter_vlans"]
    assert todo.undo == [Step("filter_vlans", {"name": "br0", "on": False})]
    [caution] = todo.cautions
    assert (caution.device, "filters VLANs from now on" in caution.words) == ("br0", True)
    there = host(None, filters=None, index=0)  # it is made by this very plan
    todo = planner.plan_plug(Topology(MARK, (VlanFiltering(name="br0"),)), there)
    assert (todo.undo, todo.cautions) == ([None], [])


def test_a_strangers_is_not() -> None:
    with pytest.raises(exception.ResourceConflict, match="somebody else made it"):
        plan(host(None, filters=False, alias=""), VlanFiltering(name="br0"))
    assert plan(host(None, filters=True, alias=""), VlanFiltering(name="br0")) == []


def test_an_uplink_carries_what_it_lacks_on_a_bridge_of_ours() -> None:
    trunk = Trunk(name="eth0", bridge="br0", vlans=frozenset({1, 10, 11}))
    there = host(None)
    [step] = plan(there, trunk)
    assert step == Step("add_vlans", {"name": "eth0", "vlans": "10-11"})
    assert plan(there, trunk) == []
    assert plan(host(None, alias=""), trunk) == []


def test_a_plan_that_is_given_up_leaves_the_model_alone() -> None:
    there = host(None, filters=False)
    before = host(None, filters=False)
    resources = (
        VlanFiltering(name="br0"),
        Trunk(name="eth0", bridge="br0", vlans=frozenset({10})),
        port(vlan=10),
        BridgePort(name=NAME, bridge="br9", vlan=10),
    )
    with pytest.raises(exception.ResourceConflict, match="br9"):
        plan(there, *resources)
    assert there == before


def test_it_is_gone_with_its_device() -> None:
    there = host(Port("br0", NEW))
    there.device_gone(NAME)
    assert there[LINKS][NAME] is None
    there[LINKS][NAME] = Link(NAME, 0, "tap", str(MARK), {"master": "br0"})
    [step] = plan(there, port(flags={"learning": True}))
    assert step.args["attributes"] == {"learning": True}


# --- told -----------------------------------------------------------------------------------------


def drift(*steps: Step) -> list[str]:
    found = []
    for step in steps:
        tell = families.kind_of(step.kind).drift
        assert tell is not None
        found += [f"{it.device} {it.words}" for it in tell(step.args, steps)]
    return found


def test_drift_is_told_in_words() -> None:
    attributes = {"isolated": True, "flood": False, "pvid": 10, "untagged": "10", "tagged": "20-29"}
    step = Step("set_port_of_bridge", {"name": NAME, "attributes": attributes})
    assert drift(step) == [
        f"{NAME} isolated should be on",
        f"{NAME} flood should be off",
        f"{NAME} should be in VLAN 10 untagged, VLAN 20-29 tagged",
    ]
    assert families.kind_of(step.kind).words(step.args) == (
        f"set {NAME} as a port of its bridge: isolated on, flood off, VLAN 10 untagged, "
        "VLAN 20-29 tagged"
    )
    assert drift(Step("filter_vlans", {"name": "br0", "on": True})) == ["br0 should filter VLANs"]
    assert drift(Step("add_vlans", {"name": "eth0", "vlans": "7"})) == [
        "eth0 should carry VLAN 7 tagged"
    ]


def test_of_a_tap_that_is_missing_nothing_else_is_told() -> None:
    make = Step("create_link", {"name": NAME, "kind": "tap", "attributes": {}})
    step = Step("set_port_of_bridge", {"name": NAME, "attributes": {"isolated": True}})
    assert drift(make, step) == [f"{NAME} tap is missing"]
