# SPDX-License-Identifier: Apache-2.0
"""Steps that are left, as what is wrong now."""

from __future__ import annotations

import pytest

from os_vif.cli.drift import drifts_of, faults_of
from os_vif.engine.families import kinds
from os_vif.engine.step import Change, Step
from os_vif.engine.steps import describe
from os_vif.engine.topology import Mark
from os_vif.host.forwarding.questions import rules_comment
from os_vif.host.openvswitch.questions import MARK_KEY

COMMENT = rules_comment(Mark("b679325f-ca89-4ee0-a8be-6db1409b69ea", "linux_bridge"), "br0")
RULES = {"comment": COMMENT, "rules": [], "top_regex": "", "bottom_regex": ""}
PORT = {
    "name": "t",
    "bridge": "br-int",
    "type": "",
    "options": {},
    "external_ids": {},
    "mtu_request": None,
    "settings": {},
    "qos_type": None,
    "qos_row": "",
    "attached": True,
    "bound": False,
}
A_VF = "0000:03:10.1"
ROUTE = {"destination": "10.0.0.0/8", "gateway": "192.0.2.1"}


def words(*steps):
    return [f"{drift.device} {drift.words}" for drift in drifts_of(steps)]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step("set_link", {"name": "t", "attributes": {"mtu": 1500}}), "t MTU should be 1500"),
        (Step("set_link", {"name": "t", "attributes": {"up": True}}), "t is down"),
        (Step("set_link", {"name": "t", "attributes": {"master": "b"}}), "t should be a port of b"),
        (
            Step("set_link", {"name": "t", "attributes": {"master": None}}),
            "t should be a port of nothing",
        ),
        (Step("set_link", {"name": "t", "attributes": {"alias": "x"}}), "t lacks the mark"),
        (
            Step("set_link", {"name": "t", "attributes": {"disable_ipv6": True}}),
            "t disable_ipv6 should be on",
        ),
        (
            Step("set_link", {"name": "t", "attributes": {"stp_state": 0}}),
            "t stp_state should be 0",
        ),
        (Step("add_route", {"device": "t", "route": ROUTE}), "t the route to 10.0.0.0/8 via"),
        (Step("delete_route", {"device": "t", "route": ROUTE}), "t still has the route"),
        (Step("add_address", {"device": "t", "address": {"local": "192.0.2.1/24"}}), "t the addr"),
        (Step("delete_address", {"device": "t", "address": {"local": "192.0.2.1/24"}}), "t still"),
        (Step("add_proxy", {"device": "t", "address": "2001:db8::1"}), "t does not answer"),
        (Step("set_forwarding", {**RULES, "ipv6": True}), "br0 its FORWARD rules (ip6tables)"),
        (Step("rename_link", {"name": "pf0vf0", "to": "t", "alias": ""}), "pf0vf0 should be call"),
        (
            Step("add_br", {"name": "br-int", "datapath_type": "netdev", "mark": ""}),
            "br-int Open vSwitch bridge is missing",
        ),
        (Step("add_port", PORT), "t port of br-int is missing"),
        (
            Step("del_port", {"name": "t", "bridge": "br-x", "why": ""}),
            "t should not be on br-x",
        ),
    ],
)
def test_in_words(step, said):
    [found] = words(step)
    assert found.startswith(said)


def changed(columns, why=""):
    return Step("set_port", {"name": "t", "columns": columns, "bound": False, "why": why})


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (changed({"external_ids": {"iface-id": "i"}}), "t external_ids:iface-id should be i"),
        (changed({"external_ids": {MARK_KEY: "i"}}), "t the port lacks the mark of its owner"),
        (changed({"options": {"peer": "p"}}), "t options:peer should be p"),
        (changed({"mtu_request": 1500}), "t mtu_request should be 1500"),
        (changed({"mtu_request": None}), "t mtu_request should not be set"),
        (changed({}), "t Open vSwitch has not attached it"),
        (changed({}, "no such device"), "t Open vSwitch has not attached it (no such device)"),
    ],
)
def test_a_port_in_words(step, said):
    assert words(step) == [said]


def test_two_columns_of_a_port_are_two_drifts():
    step = changed({"mtu_request": 1500, "options": {"a": "b"}}, "out of memory")
    assert [drift.attribute for drift in drifts_of([step])] == ["mtu_request", "options:a", "port"]


def test_a_port_that_is_moved_or_attached_anew_is_one_drift():
    add = Step("add_port", PORT)
    moved = Step("del_port", {"name": "t", "bridge": "br-x", "why": "it belongs on br-int"})
    assert words(moved, add) == ["t is on br-x, should be on br-int"]
    why = "Open vSwitch holds a device that is gone"
    held = Step("del_port", {"name": "t", "bridge": "br-int", "why": why})
    assert words(held, add) == [f"t must be attached anew: {why}"]


def test_a_missing_port_is_drawn_as_its_device_is():
    # The tap is there and only its port is not.
    [fault] = faults_of(drifts_of([Step("add_port", PORT)])).values()
    assert (fault.missing, fault.detached) == (False, True)
    for alone in ({"type": "dpdkvhostuserclient"}, {"attached": False}):
        [fault] = faults_of(drifts_of([Step("add_port", {**PORT, **alone})])).values()
        assert fault.missing


def test_both_ends_of_a_veth_are_missing():
    create = Step("create_link", {"kind": "veth", "name": "a", "attributes": {"peer": "b"}})
    assert words(create) == ["a veth is missing", "b veth is missing"]


def test_no_kind_of_step_is_without_words():
    # Plugging deletes a link only to make it anew, and takes back no proxy, no bridge and
    # nothing that a switch was told.
    assert {name for name, kind in kinds().items() if kind.drift is None} <= {
        "delete_idle",
        "delete_links",
        "delete_unused",
        "delete_proxy",
        "del_br",
        "del_fp_device",
        "disassociate_vsi",
        "clear_port_profile",
    }


def test_of_a_missing_device_nothing_more_is_said():
    create = Step("create_link", {"kind": "vlan", "name": "v", "attributes": {}})
    change = Step("set_link", {"name": "v", "attributes": {"mtu": 1500}})
    assert words(create, change) == ["v vlan is missing"]


def test_a_tap_that_must_be_made_anew_is_not_missing():
    delete = Step("delete_links", {"links": [["t", 5]]})
    create = Step("create_link", {"kind": "tap", "name": "t", "attributes": {}})
    [drift] = drifts_of([delete, create])
    assert not drift.missing
    assert "made anew" in drift.words


def test_the_same_is_said_once():
    step = Step("set_link", {"name": "b", "attributes": {"up": True}})
    assert words(step, step) == ["b is down"]


def test_faults():
    faults = faults_of(
        drifts_of(
            [
                Step("create_link", {"kind": "tap", "name": "t", "attributes": {}}),
                Step("set_link", {"name": "u", "attributes": {"master": "b", "mtu": 1500}}),
            ]
        )
    )
    assert faults["t"].missing
    assert faults["u"].detached
    assert faults["u"].notes == ("should be a port of b", "MTU should be 1500")


@pytest.mark.parametrize(
    ("step", "before", "said", "planned"),
    [
        (
            Step("set_link", {"name": "t", "attributes": {"owner": 5, "disable_ipv6": True}}),
            {"owner": 6, "disable_ipv6": False},
            ["t is user 6's, should be user 5's", "t disable_ipv6 is off, should be on"],
            "set t: of user 6 -> 5, IPv6 on -> off",
        ),
        (
            Step("set_link", {"name": "t", "attributes": {"master": None, "stp_state": 0}}),
            {"master": "b", "stp_state": 1},
            ["t is a port of b, should be a port of nothing", "t stp_state is 1, should be 0"],
            "set t: port of b -> no bridge, stp_state 1 -> 0",
        ),
        (
            changed({"tag": 7, "mtu_request": None, "external_ids": {"iface-id": "i"}}),
            {"tag": None, "mtu_request": 900, "external_ids": {"iface-id": "j"}},
            [
                "t tag should be 7",
                "t mtu_request is 900, should not be set",
                "t external_ids:iface-id is j, should be i",
            ],
            "set port t: tag=7, mtu_request=900 -> none, external_ids:iface-id=j -> i",
        ),
        (
            Step(
                "set_vf",
                {"address": A_VF, "device": "p", "vf": 1, "settings": {"vlan": 5, "trust": False}},
            ),
            {"vlan": 6, "trust": True},
            [
                f"{A_VF} has VLAN 6, should have VLAN 5",
                f"{A_VF} has trust on, should have trust off",
            ],
            "set VF 1 of p: VLAN 6 -> 5, trust on -> off",
        ),
        (
            Step("bind_driver", {"address": A_VF, "driver": "vfio-pci", "override": ""}),
            {"driver": "igbvf"},
            [f"{A_VF} is driven by igbvf, should be driven by vfio-pci"],
            f"give {A_VF} to vfio-pci, from igbvf",
        ),
        (
            Step(
                "set_port_of_bridge",
                {
                    "name": "t",
                    "attributes": {"isolated": True, "untagged": "5", "tagged": "", "pvid": 5},
                },
            ),
            {"isolated": False, "untagged": "6", "tagged": "", "pvid": 6},
            [
                "t isolated is off, should be on",
                "t is in VLAN 6 untagged, should be in VLAN 5 untagged",
            ],
            "set t as a port of its bridge: isolated off -> on, VLAN 6 untagged -> 5 untagged",
        ),
    ],
)
def test_what_is_there_is_told_where_it_is_known(step, before, said, planned):
    found = drifts_of([step], [Change(before, {})])
    assert [f"{drift.device} {drift.words}" for drift in found] == said
    assert describe(step, before) == planned
    assert "->" not in describe(step)
