# SPDX-License-Identifier: Apache-2.0
"""Steps cross to a privileged process: what it refuses, and that every step can be taken back."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from os_vif import exception
from os_vif.engine import families, privilege, runner, steps
from os_vif.engine.observed import Host
from os_vif.engine.step import CALLER, KERNEL, Step
from os_vif.engine.topology import Mark
from os_vif.host.anti_spoofing.questions import Filter
from os_vif.host.bridge_ports.questions import Port
from os_vif.host.dnsmasq.questions import Server
from os_vif.host.dnsmasq.resources import ServedSubnet
from os_vif.host.functions.questions import FunctionMark
from os_vif.host.functions.resources import NO_MAC
from os_vif.host.gateways.questions import Served
from os_vif.host.links.questions import LINKS, SHARED_MARK, Function, Link
from os_vif.host.links.questions.mtu_notes import mtu_note
from os_vif.host.port_profiles.questions import (
    ASSOCIATED,
    PROFILE_SET,
    REQUEST_ASSOCIATE,
    PortState,
)
from os_vif.host.routes.questions import Address, Route, as_mapping
from os_vif.host.traffic_limits.questions import Limits
from os_vif.host.traffic_limits.resources import Bucket
from os_vif.host.vhost_user.questions import BackEndState
from tests.seen import handlers, seen

VIF_ID = "1234"
MARK = str(Mark(VIF_ID, "linux_bridge"))
ADDRESS = dict(as_mapping(Address("192.0.2.1/24", broadcast="192.0.2.255", label="br0")))
ROUTE = dict(as_mapping(Route("0.0.0.0/0", gateway="192.0.2.254")))
COMMENT = "os-vif vif=1234 bridge=br0"
FUNCTION_MARK = "os-vif,pci=0000-03-10.2,vif=1234,driver=vfio-pci,instance=5678"
CHAINS = {
    "from_guest": [["load ll 6 6", "is 525400000001", "goto more"], ["count", "drop", "say no"]],
    "more": [["meta l4proto", "load nh 12 4", "mask ffffff00", "is 0a2a0000", "accept"]],
}
VSI: dict[str, Any] = {
    "manager": 3,
    "type": 0x123456,
    "version": 2,
    "instance": "2f0dd7bc-32fe-4a86-9f5c-7d6ca5bd1f0e",
    "mac": "52:54:00:00:00:01",
    "vlan": 5,
}

GOOD: dict[str, dict[str, Any]] = {
    "create_link": {
        "kind": "tap",
        "name": "tap0",
        "attributes": {"alias": MARK, "mtu": 1500, "mac": "52:54:00:00:00:01", "up": True},
    },
    "set_link": {"name": "tap1", "attributes": {"mtu": 1400, "alias": MARK, "master": "br0"}},
    "rename_link": {"name": "eth0", "to": "tap0", "alias": f"{MARK} own-name=eth0", "up": False},
    "tag_link": {"name": "tap1"},
    "note_guest": {"name": "tap1", "alias": f"{MARK} guest=web"},
    "delete_links": {"links": [["tap1", 7]]},
    "delete_unused": {"name": "eth0"},
    "give_node": {"name": "macvtap1", "user": 64055, "group": 36, "mode": 0o660},
    "hold_mtu": {"name": "br0"},
    "delete_idle": {"name": "br2"},
    "note_mtu": {"device": "eth0", "note": "os-vif,mtu=1500,eth0"},
    "forget_mtu": {"device": "vhu1", "note": "os-vif,mtu=1500,vhu1"},
    "set_port_of_bridge": {
        "name": "port0",
        "attributes": {"isolated": True, "pvid": 10, "untagged": "10", "tagged": "20-29 40"},
    },
    "filter_vlans": {"name": "br0", "on": True},
    "add_vlans": {"name": "port0", "vlans": "10 20-29"},
    "add_address": {"device": "br0", "address": ADDRESS},
    "delete_address": {"device": "eth0", "address": ADDRESS},
    "add_route": {"device": "br0", "route": ROUTE},
    "delete_route": {"device": "eth0", "route": ROUTE},
    "set_limits": {
        "device": "macvtap1",
        "egress": {"rate": 10**9, "burst": 65536},
        "ingress": None,
    },
    "set_guest_filter": {
        "vif": VIF_ID,
        "mark": MARK,
        "device": "tap1",
        "guest_inside": False,
        "chains": CHAINS,
    },
    "remove_guest_filters": {"filters": [[VIF_ID, "tap1"]]},
    "set_gateway": {
        "bridge": "br0",
        "vif": VIF_ID,
        "mark": MARK,
        "addresses": ["10.7.0.1/24", "fd00:7::1/64"],
        "nat": ["10.7.0.0/24"],
    },
    "leave_gateways": {"users": [["br3", VIF_ID]]},
    "start_dnsmasq": {
        "bridge": "br0",
        "subnets": [
            {
                "cidr": "10.7.0.0/24",
                "gateway": "10.7.0.1",
                "dns": ["192.0.2.53"],
                "dhcp": True,
                "routes": [["10.9.0.0/16", "10.7.0.9"]],
            }
        ],
        "mtu": 1400,
        "forwards": True,
        "why": "does not run",
    },
    "stop_dnsmasq": {"bridge": "br3"},
    "set_reservation": {
        "bridge": "br0",
        "vif": VIF_ID,
        "mark": MARK,
        "mac": "52:54:00:00:00:01",
        "addresses": ["10.7.0.5"],
        "name": "web",
    },
    "set_ipv6": {
        "device": "br0",
        "settings": {"accept_ra": 2, "router_solicitations": -1, "token": "::5"},
        "as_on": "eth0",
    },
    "add_proxy": {"device": "br0", "address": "2001:db8::2"},
    "delete_proxy": {"device": "eth0", "address": "2001:db8::1"},
    "set_forwarding": {
        "comment": COMMENT,
        "ipv6": False,
        "rules": [["-i", "br0", "-j", "ACCEPT"]],
        "top_regex": "",
        "bottom_regex": "",
    },
    "set_forwarding_where_dropped": {
        "comment": COMMENT,
        "ipv6": False,
        "rules": [["-o", "br0", "-j", "ACCEPT"]],
        "top_regex": "",
        "bottom_regex": "",
    },
    "mark_function": {"device": "eth0", "mark": FUNCTION_MARK},
    "unmark_function": {"device": "br0", "mark": FUNCTION_MARK},
    "set_vf": {
        "address": "0000:03:10.2",
        "device": "eth0",
        "vf": 1,
        "settings": {"mac": "52:54:00:00:00:01", "vlan": 5, "qos": 0, "vlan_proto": 0x8100},
    },
    "bind_driver": {"address": "0000:03:10.2", "driver": "vfio-pci", "override": "vfio-pci"},
    "associate_vsi": {"interface": "eth0", "vsi": VSI, "timeout": 20, "fresh": False},
    "disassociate_vsi": {"interface": "eth1", "vsi": VSI, "timeout": 20},
    "set_port_profile": {
        "device": "eth0",
        "profile": "gold",
        "instance": VSI["instance"],
        "timeout": 20,
    },
    "clear_port_profile": {"device": "eth0", "profile": "old", "instance": ""},
    "add_fp_device": {"name": "tap0", "path": "/run/vhost/1", "listens": False},
    "del_fp_device": {"name": "tap1"},
    "start_back_end": {
        "name": "tap0",
        "path": "/run/vhost/1",
        "listens": True,
        "mac": "52:54:00:00:00:01",
        "why": "it was killed",
    },
    "stop_back_end": {"name": "vhu1", "stale": "", "abandoned": False},
}

FINAL = {"delete_unused", "del_fp_device", "add_vlans", "hold_mtu", "tag_link"}
"""Kinds that nothing takes back."""


PORT_ATTRIBUTES = {"isolated": False, "learning": True, "pvid": 1, "untagged": "1", "tagged": ""}


GATEWAY = Served("br3", (MARK,), addresses=("10.9.0.1/24", "10.9.1.1/24"), added=("10.9.1.1/24",))


def host() -> Host:
    tap = {"mtu": 1500, "mac": "52:54:00:00:00:02", "master": None, "multi_queue": False}
    marks = (str(FunctionMark("0000:03:10.2", "1234", "vfio-pci", "5678")),)
    note = (mtu_note("vhu1", 1500),)
    up = {"up": True, "master": None}
    return seen(
        links={
            "tap0": None,
            "tap1": Link("tap1", 7, "tap", MARK, tap),
            "br0": Link("br0", 2, "bridge", SHARED_MARK, up, marks),
            "br2": Link("br2", 9, "bridge", SHARED_MARK, dict(up)),
            "eth0": Link("eth0", 3, "", "", {"up": True, "master": None}),
            "port0": Link("port0", 11, "tap", MARK, {**tap, "master": "br0"}),
            "vhu1": Link("vhu1", 8, "tap", MARK, {**tap, "queues": 1}, note),
        },
        bridge_port={"port0": Port("br0", PORT_ATTRIBUTES)},
        vlan_filtering={"br0": False},
        nodes={"macvtap1": (0, 0, 0o600)},
        traffic_limits={"macvtap1": Limits(ingress=Bucket(8000, 2000))},
        guest_filters={VIF_ID: Filter(MARK, "ingress tap1", {"from_guest": [["accept"]]})},
        back_ends={"tap0": None, "vhu1": BackEndState("/run/vhost/1", listens=True)},
        gateways={"br0": None, "br3": GATEWAY},
        addresses={
            "eth0": (Address(**ADDRESS),),
            "br0": (),
            "br3": (Address("10.9.0.1/24"), Address("10.9.1.1/24", proto=118)),
        },
        routes={"eth0": (Route(**ROUTE),), "br0": ()},
        how_ipv6={"br0": {"accept_ra": 1, "router_solicitations": 3, "token": "::"}},
        proxies={"eth0": frozenset({"2001:db8::1"}), "br0": frozenset()},
        functions={"0000:03:10.2": Function("0000:03:10.2", driver="igbvf")},
        vfs={("eth0", 1): {"mac": NO_MAC, "vlan": 0, "qos": 0, "vlan_proto": 0x8100}},
        vsis={"eth0": {}, "eth1": {VSI["instance"]: ASSOCIATED}},
        port_profiles={"eth0": PortState("", PROFILE_SET, REQUEST_ASSOCIATE, "old")},
        forwarding={(COMMENT, False): (("-i", "br0", "-j", "DROP"),)},
        dnsmasq={
            "br0": Server(),
            "br3": Server(running=True, subnets=(ServedSubnet(cidr="10.8.0.0/24"),), mtu=1400),
        },
    )


def test_the_table_and_those_who_run_it_agree() -> None:
    of_kernel = {kind for kind, row in families.kinds().items() if row.by == KERNEL}
    assert of_kernel == handlers().keys() == GOOD.keys()
    of_caller = {kind for kind, row in families.kinds().items() if row.by == CALLER}
    assert (
        of_caller
        == {kind for it in families.all_families() for kind in it.system.run_as_caller}
        == {"expect_socket"}
    )


@pytest.mark.parametrize("kind", sorted(families.kinds().keys() - handlers().keys()))
def test_steps_of_the_callers_own_process_do_not_cross_the_boundary(kind: str) -> None:
    args = dict.fromkeys(families.kinds()[kind].fields, "x")
    with pytest.raises(exception.InvalidField, match=kind):
        runner.run_plain([[[kind, args, None, None]]], "", together=False)


def checked(kind: Any, args: Any) -> Step:
    """Return a step as the daemon that may run it sees it."""
    row = families.kinds().get(kind) if isinstance(kind, str) else None
    return steps.checked(kind, args, next(iter(row.daemons), "") if row else "")


OF_PROGRAMS = ["add_fp_device", "del_fp_device", "start_back_end", "stop_back_end"]


@pytest.mark.parametrize("kind", OF_PROGRAMS)
def test_one_daemon_alone_starts_and_ends_programs(kind: str) -> None:
    """Who may start another may not have programs run as root by that."""
    assert checked(kind, GOOD[kind])
    contexts = (privilege.linux_bridge, privilege.ovs, privilege.default)
    harmless = ["delete_links", GOOD["delete_links"]]
    for section in ["", *(context.cfg_section for context in contexts)]:
        for step in ([kind, GOOD[kind], None, None], [*harmless, kind, GOOD[kind]]):
            with pytest.raises(exception.InvalidField, match=f"step: '{kind}'") as caught:
                runner.run_plain([[step]], section, together=False)
            assert kind not in str(caught.value).partition("expected")[2]


@pytest.mark.parametrize("kind", GOOD)
def test_good_steps_pass_unchanged(kind: str) -> None:
    step = checked(kind, GOOD[kind])
    assert step == Step(kind, GOOD[kind])
    assert json.loads(json.dumps(step.args)) == step.args, "plain data, as a socket carries it"
    assert steps.describe(step)


@pytest.mark.parametrize("kind", sorted(GOOD.keys() - FINAL))
def test_taking_back_restores_the_model(kind: str) -> None:
    model = host()
    before = copy.deepcopy(model)
    step = Step(kind, GOOD[kind])
    undo = steps.inverse(model, step)
    assert undo is not None
    checked(undo.kind, undo.args)
    steps.apply(model, step)
    assert model != before
    steps.apply(model, undo)
    again = {"delete_links": "tap1", "delete_idle": "br2"}
    if kind in again:
        # Made again under another index.
        before[LINKS][again[kind]].index = 0  # type: ignore[union-attr]
    assert model == before


@pytest.mark.parametrize("kind", GOOD)
def test_the_fields_are_all_and_no_others(kind: str) -> None:
    good = GOOD[kind]
    for field in good:
        with pytest.raises(exception.InvalidField, match=kind):
            checked(kind, {key: good[key] for key in good if key != field})
    with pytest.raises(exception.InvalidField, match=kind):
        checked(kind, {**good, "extra": 1})
    for args in (None, [], "", 7, list(good.items())):
        with pytest.raises(exception.InvalidField, match=kind):
            checked(kind, args)


JUNK = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.binary(),
        st.sampled_from(["../x", "a b", "", "(", "\udcff", "52-54-00-00-00-01", "10.0.0.1/24"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.one_of(JUNK, st.sampled_from(sorted(GOOD))), JUNK)
def test_junk_is_refused(kind: Any, args: Any) -> None:
    with pytest.raises(exception.InvalidField):
        checked(kind, args)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += _paths(item, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            found += _paths(item, (*path, position))
    return found


@settings(max_examples=300)
@given(st.data(), st.sampled_from(sorted(GOOD)), JUNK)
def test_one_bad_value_anywhere_is_refused_or_is_not_bad(
    data: st.DataObject, kind: str, junk: Any
) -> None:
    args = copy.deepcopy(GOOD[kind])
    path = data.draw(st.sampled_from(_paths(args)))
    place = args
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = junk
    try:
        step = checked(kind, args)
    except exception.InvalidField:
        return
    # What passes can be described, written on a model and carried to the other side.
    steps.describe(step)
    model = host()
    model[LINKS]["tap0"] = Link("tap0", 9, "tap", MARK, {})
    json.dumps(step.args)
    if isinstance(junk, str) and path[-1] not in (
        "alias",
        "label",
        "top_regex",
        "bottom_regex",
        "profile",
        "why",
    ):
        assert "/.." not in junk
        assert " " not in junk
        assert "\0" not in junk


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("set_port_of_bridge", {"attributes": {}}),
        ("set_port_of_bridge", {"attributes": {"isolated": 1}}),
        ("set_port_of_bridge", {"attributes": {"locked": True}}),
        ("set_port_of_bridge", {"attributes": {"pvid": 10}}),
        ("set_port_of_bridge", {"attributes": {"pvid": 4095, "untagged": "", "tagged": ""}}),
        ("set_port_of_bridge", {"attributes": {"pvid": 0, "untagged": "", "tagged": "9-7"}}),
        ("set_port_of_bridge", {"attributes": {"pvid": 0, "untagged": "", "tagged": "7 8"}}),
        ("add_vlans", {"vlans": ""}),
        ("add_vlans", {"vlans": "0"}),
        ("add_vlans", {"vlans": "4095"}),
        ("filter_vlans", {"on": 1}),
        ("create_link", {"kind": "veth"}),
        ("create_link", {"kind": "dummy"}),
        ("create_link", {"kind": "vlan"}),  # without lower device and id
        ("create_link", {"name": "a" * 16}),
        ("create_link", {"attributes": {}}),
        ("create_link", {"attributes": {"alias": "not ours"}}),
        ("create_link", {"attributes": {"alias": MARK, "unknown": 1}}),
        ("create_link", {"attributes": {"alias": MARK, "mac": "52-54-00-00-00-01"}}),
        ("create_link", {"attributes": {"alias": MARK, "mac": "52:54:00:00:00:0A"}}),
        ("create_link", {"attributes": {"alias": MARK, "up": 1}}),
        ("create_link", {"attributes": {"alias": MARK, "mtu": True}}),
        ("set_link", {"attributes": {"alias": "a" * 256}}),
        ("set_link", {"attributes": {"alias": "a\0"}}),
        ("set_link", {"attributes": {"alias": "\udcff"}}),
        ("set_link", {"attributes": {"master": ""}}),
        ("set_link", {"attributes": {"group": -1}}),
        ("set_link", {"attributes": {"stp_state": 3}}),
        ("delete_links", {"links": []}),
        ("delete_links", {"links": [["eth0"]]}),
        ("delete_links", {"links": [["eth0", -1]]}),
        ("delete_links", {"links": [["eth/0", 1]]}),
        ("add_address", {"address": {**ADDRESS, "local": 5}}),
        ("add_address", {"address": {**ADDRESS, "local": "fe80::1%eth0/64"}}),
        ("add_address", {"address": {**ADDRESS, "label": "a" * 16}}),
        ("add_address", {"address": {**ADDRESS, "extra": 1}}),
        ("set_limits", {"device": "a/b"}),
        ("set_limits", {"egress": {"rate": 10**13, "burst": 65536}}),
        ("set_limits", {"egress": {"rate": 10**9}}),
        ("set_limits", {"ingress": {"rate": 10**9, "burst": -1}}),
        ("set_limits", {"ingress": {"rate": True, "burst": 65536}}),
        ("set_guest_filter", {"vif": "another"}),
        ("set_guest_filter", {"vif": "a/b"}),
        ("set_guest_filter", {"mark": ""}),
        ("set_guest_filter", {"mark": "mine"}),
        ("set_guest_filter", {"device": ""}),
        ("set_guest_filter", {"device": "a b"}),
        ("set_guest_filter", {"guest_inside": 1}),
        ("set_guest_filter", {"chains": {}}),
        ("set_guest_filter", {"chains": {"other": [["accept"]]}}),
        ("set_guest_filter", {"chains": {"from_guest": [["goto nowhere"]]}}),
        ("set_guest_filter", {"chains": {"from_guest": [["jump from_guest"]]}}),
        ("set_guest_filter", {"chains": {"from_guest": [["load ll 6 17"]]}}),
        ("set_guest_filter", {"chains": {"from_guest": [["is 0"]]}}),
        ("set_guest_filter", {"chains": {"from_guest": [["say \x1b[2J"]]}}),
        ("set_guest_filter", {"chains": {"from_guest": [[]]}}),
        ("set_guest_filter", {"chains": {"from_guest": "accept", "A": []}}),
        ("remove_guest_filters", {"filters": [VIF_ID]}),
        ("remove_guest_filters", {"filters": [[VIF_ID, "a/b"]]}),
        ("remove_guest_filters", {"filters": [["../x", "tap1"]]}),
        ("set_gateway", {"bridge": "../all"}),
        ("set_gateway", {"vif": "another"}),
        ("set_gateway", {"mark": "mine"}),
        ("set_gateway", {"mark": f"{MARK} word"}),
        ("set_gateway", {"addresses": ["10.7.0.1"]}),
        ("set_gateway", {"addresses": ["10.7.0.1/24", "10.7.0.2/25"]}),
        ("set_gateway", {"addresses": [10]}),
        ("set_gateway", {"nat": ["0.0.0.0/0"]}),
        ("set_gateway", {"nat": "10.7.0.0/24"}),
        ("leave_gateways", {"users": [["br0"]]}),
        ("leave_gateways", {"users": [["a/b", VIF_ID]]}),
        ("leave_gateways", {"users": [["br0", "a b"]]}),
        ("add_route", {"route": {**ROUTE, "destination": 5}}),
        ("add_route", {"route": {**ROUTE, "destination": "10.0.0.1/24"}}),
        ("add_route", {"route": {**ROUTE, "gateway": b"\x7f\0\0\1"}}),
        ("add_proxy", {"address": 1}),
        ("give_node", {"name": "../sda"}),
        ("give_node", {"user": 0xFFFFFFFF}),
        ("give_node", {"group": -1}),
        ("give_node", {"mode": 0o4777}),
        ("set_forwarding", {"comment": "docker"}),
        ("set_forwarding", {"comment": "os-vif is nice"}),
        ("set_forwarding", {"rules": [[]]}),
        ("set_forwarding", {"rules": [["-i", "br0", "-j", "ACCEPT\n-F"]]}),
        ("set_forwarding", {"rules": [["-i br0"]]}),
        ("set_forwarding", {"rules": "-F"}),
        *(
            ("set_forwarding", {"rules": [["-i", "br0", word, "/tmp/x", "-j", "ACCEPT"]]})
            for word in ("--modprobe", "--modp", "-M", "-t", "--tab", "-F", "--flush", "--", "-vi")
        ),
        ("set_forwarding", {"top_regex": "x" * 1001}),
        ("set_forwarding", {"ipv6": 0}),
        ("associate_vsi", {"vsi": {**VSI, "manager": 256}}),
        ("associate_vsi", {"vsi": {**VSI, "type": 2**24}}),
        ("associate_vsi", {"vsi": {**VSI, "version": True}}),
        ("associate_vsi", {"vsi": {**VSI, "vlan": 1}}),
        ("associate_vsi", {"vsi": {**VSI, "instance": VSI["instance"].upper()}}),
        ("associate_vsi", {"vsi": {**VSI, "mac": "01:00:5e:00:00:01"}}),
        ("associate_vsi", {"vsi": {**VSI, "extra": 1}}),
        ("associate_vsi", {"interface": "../eth0"}),
        ("associate_vsi", {"timeout": 0}),
        ("disassociate_vsi", {"timeout": 601}),
        ("mark_function", {"mark": ""}),
        ("mark_function", {"mark": "enp3s0"}),
        ("mark_function", {"mark": MARK}),
        ("mark_function", {"mark": FUNCTION_MARK + ","}),
        ("mark_function", {"mark": FUNCTION_MARK.replace("1234", "../1")}),
        ("mark_function", {"device": "eth/0"}),
        ("unmark_function", {"mark": "enp3s0"}),
        ("set_port_profile", {"profile": ""}),
        ("set_port_profile", {"profile": "a" * 40}),
        ("set_port_profile", {"profile": "a\0"}),
        ("set_port_profile", {"instance": "00000000-0000-0000-0000-000000000000"}),
        ("clear_port_profile", {"device": "a b"}),
        ("add_fp_device", {"name": "-h"}),
        ("add_fp_device", {"name": "eth/0"}),
        ("add_fp_device", {"path": "run/vhost/1"}),
        ("add_fp_device", {"path": "/" + "a" * 107}),
        ("add_fp_device", {"path": "/run/\0"}),
        ("add_fp_device", {"listens": "server"}),
        ("del_fp_device", {"name": ""}),
        ("start_back_end", {"path": "/run/a,client=1"}),
        ("start_back_end", {"path": "/run/a b"}),
        ("start_back_end", {"mac": "52-54-00-00-00-01"}),
        ("start_back_end", {"mac": None}),
        ("stop_back_end", {"name": "../tap0"}),
        ("stop_back_end", {"stale": "vhost.sock"}),
    ],
)
def test_what_a_stranger_may_not_ask_of_the_daemon(kind: str, change: dict[str, Any]) -> None:
    with pytest.raises(exception.InvalidField):
        checked(kind, {**GOOD[kind], **change})


def test_what_others_came_to_use_is_not_taken_back() -> None:
    model = host()
    shared = {"kind": "bridge", "name": "br1", "attributes": {"alias": SHARED_MARK}}
    undo = steps.inverse(model, Step("create_link", shared))
    assert undo == Step("delete_unused", {"name": "br1"})
    steps.apply(model, Step("create_link", shared))
    model[LINKS]["tap1"].attributes["master"] = "br1"  # type: ignore[union-attr]
    steps.apply(model, undo)
    assert model[LINKS]["br1"] is not None
    model[LINKS]["tap1"].attributes["master"] = None  # type: ignore[union-attr]
    steps.apply(model, undo)
    assert model[LINKS]["br1"] is None


def test_settings_are_said_as_people_say_them() -> None:
    words = steps.describe(Step("set_link", {"name": "br0", "attributes": {"ageing_time": 0}}))
    assert words == "set br0: ageing_time 0"
    words = steps.describe(Step("set_link", {"name": "tap0", "attributes": {"mtu": 1400}}))
    assert words == "set tap0: MTU 1400"
    words = steps.describe(Step("set_link", {"name": "tap0", "attributes": {"up": False}}))
    assert words == "set tap0: down"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"vlan": 5},
        {"vlan": 4096, "qos": 0, "vlan_proto": 0x8100},
        {"vlan": 5, "qos": 8, "vlan_proto": 0x8100},
        {"vlan": 5, "qos": 0, "vlan_proto": 0x0800},
        {"max_tx_rate": 10},
        {"min_tx_rate": -1, "max_tx_rate": 10},
        {"trust": 1},
        {"spoofchk": None},
        {"link_state": "up"},
        {"mac": "52:54:00:00:00"},
        {"mac": "52:54:00:00:00:01\n"},
        {"mac": None},
        {"promisc": True},
    ],
)
def test_settings_that_no_virtual_function_has(settings: dict[str, Any]) -> None:
    with pytest.raises(exception.InvalidField, match=r"set_vf\.settings"):
        checked("set_vf", {**GOOD["set_vf"], "settings": settings})


@pytest.mark.parametrize("field", ["driver", "override"])
@pytest.mark.parametrize("name", ["../../module", "a/b", "vfio-pci\n", ".", "-x", "x" * 65, 7])
def test_names_that_no_driver_has(field: str, name: Any) -> None:
    with pytest.raises(exception.InvalidField, match=rf"bind_driver\.{field}"):
        checked("bind_driver", {**GOOD["bind_driver"], field: name})


@pytest.mark.parametrize("address", ["", "0000:03:10.8", "../../0000:03:10.2", "0000:03:10.2\n"])
def test_addresses_that_no_function_has(address: str) -> None:
    for kind in ("set_vf", "bind_driver"):
        with pytest.raises(exception.InvalidField, match=rf"{kind}\.address"):
            checked(kind, {**GOOD[kind], "address": address})
