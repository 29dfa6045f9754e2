# SPDX-License-Identifier: Apache-2.0
"""Specifications to VIFs: both forms, and every mistake with its place and what is right."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import jsonschema
import pytest
from oslo_config import cfg

import os_vif
from os_vif import verbs
from os_vif.cli import configuration
from os_vif.cli.specs import nodes, reader, types, wire
from os_vif.cli.specs.refused import BadInput
from os_vif.cli.specs.unused import unused
from os_vif.host.anti_spoofing.resources import AntiSpoofing
from os_vif.host.links.resources import Bridge, Macvtap, Tap, Uplink, Vlan
from os_vif.host.traffic_limits.resources import Bucket, TrafficLimits

GOOD = """\
type: bridge
bridge: br0
name: tap0
mac: 52:54:00:12:34:56
"""


@pytest.fixture(autouse=True)
def as_the_command_has_it():
    os_vif.initialize()
    for (group, name), value in configuration.COMMAND_DEFAULTS.items():
        cfg.CONF.set_default(name, value, group=group)
    yield
    for group, name in configuration.COMMAND_DEFAULTS:
        cfg.CONF.clear_default(name, group=group)
    cfg.CONF.clear_override("routed", group="os_vif_tap")
    cfg.CONF.clear_override("forward_bridge_interface", group="os_vif_linux_bridge")


def read(*texts):
    batch = reader.Batch()
    for number, text in enumerate(texts):
        reader.read_text(f"f{number}.yaml", text, batch)
    if batch.problems:
        raise BadInput(batch.problems)
    reader.describe_all(batch)
    return batch


def one(text):
    [entry] = read(text).entries
    return entry.vif


def problems_of(*texts):
    with pytest.raises(BadInput) as caught:
        read(*texts)
    return caught.value.problems


def the_problem(text):
    [problem] = problems_of(text)
    return problem


# --- the form for people ----------------------------------------------------------------------


def test_the_shortest_bridge():
    vif = one(GOOD)
    assert (vif.obj_name(), vif.plugin, vif.vif_name) == ("VIFBridge", "linux_bridge", "tap0")
    assert (vif.bridge_name, vif.address) == ("br0", "52:54:00:12:34:56")
    assert vif.network.should_provide_bridge
    assert not vif.network.should_provide_vlan
    assert not vif.has_traffic_filtering


def test_everything_a_bridge_can_say():
    [entry] = read(
        """
type: bridge
id: B679325F-CA89-4EE0-A8BE-6DB1409B69EA
bridge: br-lan
name: tap0
mac: 52-54-00-AB-CD-EF
filtered: yes
instance: {name: web, project: demo}
network:
  id: 437c6db5-4e6f-4b43-b64b-ed6a11ee5ba7
  label: lan
  mtu: 9000
  vlan: 100
  uplink: eth1
  subnets:
    - cidr: 192.0.2.0/24
      gateway: 192.0.2.1
      dns: [192.0.2.53, "2001:db8::53"]
      dhcp_server: 192.0.2.2
      addresses: [192.0.2.10]
      routes: [{to: 198.51.100.0/24, via: 192.0.2.254}]
"""
    ).entries
    vif = entry.vif
    assert vif.id == "b679325f-ca89-4ee0-a8be-6db1409b69ea"
    assert vif.address == "52:54:00:ab:cd:ef"
    assert vif.has_traffic_filtering
    network = vif.network
    assert (network.label, network.mtu, network.vlan) == ("lan", 9000, 100)
    assert (network.bridge_interface, network.should_provide_vlan) == ("eth1", True)
    [subnet] = network.subnets
    assert [str(item.address) for item in subnet.ips] == ["192.0.2.10"]
    assert [str(item) for item in subnet.dns] == ["192.0.2.53", "2001:db8::53"]
    assert [(str(item.cidr), str(item.gateway)) for item in subnet.routes] == [
        ("198.51.100.0/24", "192.0.2.254")
    ]
    assert (entry.instance.name, entry.instance.project_id) == ("web", "demo")
    assert uuid.UUID(entry.instance.uuid).version == 5


def test_what_it_becomes_on_the_host():
    batch = read(GOOD + "network: {uplink: eth1, vlan: 7, mtu: 1400}\n")
    [request] = reader.describe_all(batch)
    kinds = [type(item) for item in request.topology.resources]
    assert kinds == [Vlan, Bridge, Uplink, Tap]
    tap = request.topology.resources[-1]
    assert (tap.name, tap.mtu, tap.bridge) == ("tap0", 1400, "br0")


def test_ids_are_derived_and_stay_when_the_file_is_edited():
    first = one(GOOD)
    assert first.id == one(GOOD.replace("br0", "br1").replace("34:56", "34:57")).id
    assert first.id != one(GOOD.replace("tap0", "tap1")).id
    unnamed = one(GOOD.replace("name: tap0\n", ""))
    assert unnamed.vif_name == f"tap{unnamed.id[:11]}"
    assert unnamed.id == one(GOOD.replace("name: tap0\n", "").replace("br0", "br1")).id


def test_derived_ids_never_change_between_releases():
    assert one(GOOD).id == "b9a60b5a-e05b-599b-b5bc-880268b68fb7"


def test_a_tap():
    vif = one("{type: tap, mac: '52:54:00:12:34:56', name: tap1, network: {mtu: 1280}}")
    assert (vif.obj_name(), vif.plugin, vif.network.mtu) == ("VIFGeneric", "tap", 1280)


@pytest.mark.parametrize(
    "mac", ["52:54:00:12:34:56", "10:20:30:40:50:58", "00:11:22:33:44:55", "02:00:00:00:00:01"]
)
def test_a_mac_without_quotes_is_no_number_in_base_60(mac):
    assert one(GOOD.replace("52:54:00:12:34:56", mac)).address == mac


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (GOOD + "---\n" + GOOD.replace("tap0", "tap1").replace("34:56", "34:57"), ["tap0", "tap1"]),
        ("vifs: [{type: tap, mac: '52:54:00:00:00:01', name: a}]", ["a"]),
        (
            "- {type: tap, mac: '52:54:00:00:00:01', name: a}\n"
            "- {type: tap, mac: '52:54:00:00:00:02', name: b}",
            ["a", "b"],
        ),
        ('{"type": "tap", "mac": "52:54:00:00:00:01", "name": "a"}', ["a"]),
    ],
)
def test_many_in_a_file(text, names):
    assert [entry.vif.vif_name for entry in read(text).entries] == names


def test_options():
    batch = read(GOOD + "options: {tap: {routed: true}}", "options: {tap: {routed: true}}")
    assert {key: text for key, (text, _mark) in batch.options.items()} == {
        ("tap", "routed"): "true"
    }
    configuration.apply(batch.options, ["linux_bridge.forward_bridge_interface=eth1"])
    assert cfg.CONF.os_vif_tap.routed is True
    assert cfg.CONF.os_vif_linux_bridge.forward_bridge_interface == ["eth1"]


# --- mistakes ---------------------------------------------------------------------------------


def edit(line, new):
    lines = [new if each.startswith(line) else each for each in GOOD.splitlines()]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "place", "field", "said"),
    [
        (edit("name", "name: abcdefghijklmnop"), (3, 7), "name", "at most 15 bytes"),
        (edit("name", "name: ''"), (3, 7), "name", "an interface name"),
        (edit("name", "name: a/b"), (3, 7), "name", "no '/'"),
        (edit("name", "name: a b"), (3, 7), "name", "letters, digits"),
        (edit("name", 'name: "a\\0b"'), (3, 7), "name", r"'a\x00b' cannot be used"),
        (edit("name", "name: .."), (3, 7), "name", "'..'"),
        (edit("name", "name: tap%d"), (3, 7), "name", "'%'"),
        (edit("name", "name: -tap"), (3, 7), "name", "not starting with '-'"),
        (edit("bridge", "bridge: all"), (2, 9), "bridge", "not '.'"),
        (edit("mac", "mac: 01:00:5e:00:00:01"), (4, 6), "mac", "multicast"),
        (edit("mac", "mac: 00:00:00:00:00:00"), (4, 6), "mac", "not 0"),
        (edit("mac", "mac: 52:54:00:12:34"), (4, 6), "mac", "six bytes"),
        (edit("mac", "mac: 525400123456"), (4, 6), "mac", "six bytes"),
        (edit("mac", "mac: [1]"), (4, 6), "mac", "expected a MAC address, found a list"),
        (edit("mac", "mac:"), (4, 5), "mac", "has no value"),
        (edit("mac", "x: 1"), (4, 1), "x", "expected one of: bridge, mac"),
        (GOOD + "network: {mtu: 67}", (5, 16), "network.mtu", "from 68 to 65535"),
        (GOOD + "network: {mtu: 70000}", (5, 16), "network.mtu", "from 68 to 65535"),
        (GOOD + "network: {mtu: 0100}", (5, 16), "network.mtu", "'0100' cannot be used"),
        (GOOD + "network: {mtu: 1e3}", (5, 16), "network.mtu", "from 68 to 65535"),
        (GOOD + "network: {vlan: 4095, uplink: e}", (5, 17), "network.vlan", "1 to 4094"),
        (GOOD + "network: {vlan: 5}", (5, 10), "network.uplink", "missing"),
        (GOOD + "network: [1]", (5, 10), "network", "expected a mapping (id, label, mtu"),
        (GOOD + "network: {uplnk: eth0}", (5, 11), "network.uplnk", "did you mean 'uplink'?"),
        (GOOD + "id: 5", (5, 5), "id", "a UUID"),
        (GOOD + "filtered: maybe", (5, 11), "filtered", "true or false"),
        (GOOD + "create_bridge: no\nnetwork: {uplink: e}", (6, 19), "network.uplink", "leave out"),
        (GOOD + "network: {uplink_mtu: 9000}", (5, 23), "network.uplink_mtu", "without an uplink"),
        (GOOD + "network: {uplink_mtu: 67}", (5, 23), "network.uplink_mtu", "from 68 to 65535"),
        (edit("mac", "address: 52:54:00:12:34:56"), (4, 1), "address", "did you mean 'mac'?"),
        (GOOD + "mtu: 1500", (5, 1), "mtu", "did you mean 'network.mtu'?"),
        ("- {options: {}, type: tap}", (1, 13), "[0].options", "put them at the top"),
        (GOOD.replace("bridge: br0", "brigde: br0"), (2, 1), "brigde", "did you mean 'bridge'?"),
        (GOOD.replace("type: bridge", "type: brige"), (1, 7), "type", "did you mean 'bridge'?"),
        (GOOD.replace("type: bridge\n", ""), (1, 1), "type", "bridge, tap"),
        ("just text", (1, 1), "", "expected a VIF"),
        ("5", (1, 1), "", "found '5'"),
        ("- 5", (1, 3), "[0]", "expected a VIF"),
        ("vifs: {a: 1}", (1, 7), "vifs", "expected a list of VIFs, found a mapping"),
        ("vifs: []\nvif: 1", (2, 1), "vif", "did you mean 'vifs'?"),
        (GOOD + "options: 5", (5, 10), "options", "expected a mapping"),
        (GOOD + "options: {tap: 5}", (5, 16), "options.tap", "expected a mapping of options"),
        (GOOD + "options: {tap: {routed: {}}}", (5, 25), "options.tap.routed", "found a mapping"),
    ],
)
def test_a_mistake_is_told_with_its_place(text, place, field, said):
    problem = next(item for item in problems_of(text) if said in item.message)
    assert (problem.mark.line, problem.mark.column) == place
    assert problem.field == field
    assert problem.mark.source == "f0.yaml"


SUBNET = GOOD + "network:\n  subnets:\n    - {%s}\n"


@pytest.mark.parametrize(
    ("subnet", "field", "said"),
    [
        ("cidr: 192.0.2.1/24", "cidr", "192.0.2.0/24"),
        ("cidr: 192.0.2.0", "cidr", "192.0.2.0/32"),
        ("cidr: x", "cidr", "CIDR"),
        ("gateway: 192.0.2.1", "cidr", "missing"),
        ("cidr: 192.0.2.0/24, gateway: 192.0.2.256", "gateway", "IPv4 or IPv6"),
        ("cidr: 192.0.2.0/24, addresses: [192.0.2.1/24]", "addresses[0]", "without a prefix"),
        ("cidr: fe80::/64, gateway: fe80::1%eth0", "gateway", "without a zone"),
        ("cidr: fe80::%eth0/64", "cidr", "without a zone"),
        ("cidr: 192.0.2.0/24, addresses: [10.0.0.1]", "addresses[0]", "an address in 192.0.2.0/24"),
        ("cidr: 192.0.2.0/24, addresses: 192.0.2.1", "addresses", "write [192.0.2.1]"),
        ("cidr: 192.0.2.0/24, routes: [{to: 10.0.0.0/8}]", "routes[0].via", "missing"),
    ],
)
def test_a_mistake_in_a_subnet(subnet, field, said):
    problem = the_problem(SUBNET % subnet)
    assert problem.field == f"network.subnets[0].{field}"
    assert said in problem.message
    assert problem.mark.line == 7


def test_all_mistakes_of_all_files_in_order():
    found = problems_of(
        "- {type: brige}\n- {type: tap, mac: x, nmae: y}\n",
        "type: tap\nmac: 52:54:00:00:00:00:00\n",
    )
    assert [(item.mark.source, item.mark.line, item.field) for item in found] == [
        ("f0.yaml", 1, "[0].type"),
        ("f0.yaml", 2, "[1].mac"),
        ("f0.yaml", 2, "[1].nmae"),
        ("f1.yaml", 2, "mac"),
    ]


def test_the_same_device_twice_names_both_places():
    again = (
        "type: tap\nid: 00000000-0000-4000-8000-000000000001\nname: tap0\nmac: 52:54:00:00:00:01\n"
    )
    problem = the_problem(GOOD + "---\n" + again)
    assert problem.message == "device name 'tap0' is taken by the VIF at f0.yaml:3:7"
    assert (problem.mark.line, problem.field) == (8, "document 2.name")


def test_the_same_id_twice_names_both_places():
    same = "00000000-0000-4000-8000-000000000001"
    text = f"{{type: tap, mac: '52:54:00:00:00:0%d', name: t%d, id: {same}}}"
    [problem] = problems_of(text % (1, 1), text % (2, 2))
    assert f"VIF id {same!r} is taken by the VIF at f0.yaml:1:" in problem.message
    assert problem.mark.source == "f1.yaml"


_OVS = "{type: openvswitch, bridge: br-int, mac: '52:54:00:00:00:0%d', name: t%d%s}"
_ON_CARD = "{type: macvtap, network: {uplink: eth0}, mac: '52:54:00:00:00:0%d', name: t%d%s}"
_OF_BRIDGE = "{type: bridge, bridge: br0, mac: '52:54:00:00:00:0%d', name: t%d%s}"
_PORT_ID = ", interface_id: 00000000-0000-4000-8000-00000000000a"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (_OF_BRIDGE % (1, 1, ""), _OF_BRIDGE % (1, 2, ""), "'52:54:00:00:00:01' on br0"),
        (_OVS % (1, 1, ""), _OVS % (1, 2, ""), "MAC address '52:54:00:00:00:01' on br-int"),
        (_ON_CARD % (1, 1, ""), _ON_CARD % (1, 2, ""), "MAC address '52:54:00:00:00:01' on eth0"),
        (_OVS % (1, 1, _PORT_ID), _OVS % (2, 2, _PORT_ID), "logical port '00000000-0000-4000"),
    ],
)
def test_what_would_confuse_a_switch_twice(first: str, second: str, said: str) -> None:
    [problem] = problems_of(first, second)
    assert said in problem.message
    assert "is taken by the VIF at f0.yaml:1:" in problem.message
    assert problem.field == ("interface_id" if "logical" in said else "mac")
    batch = reader.Batch()
    for text in (first, second):
        reader.read_text("f.yaml", text, batch)
    reader.describe_all(batch, unplugging=True)  # what is there already can be taken away


def test_one_mac_in_two_networks_of_a_switch() -> None:
    networks = (", network: {label: red}", ", network: {label: blue}")
    read(*(_OVS % (1, at, network) for at, network in enumerate(networks)))


def test_the_same_vif_twice():
    assert "is taken by the VIF at f0.yaml" in problems_of(GOOD, GOOD)[0].message


UPLINK = GOOD + "network: {uplink: eth0, uplink_mtu: 9000}\n"


def test_a_field_that_stands_in_an_option():
    other = UPLINK.replace("tap0", "tap1").replace("eth0", "eth1").replace("9000", "2000")
    other = other.replace(":56", ":57")
    batch = read(UPLINK, other)
    settings = ["linux_bridge.uplink_mtu=eth7:1600"]
    try:
        configuration.apply({}, settings)
        configuration.apply(batch.options, [], batch.said)
        found = cfg.CONF.os_vif_linux_bridge.uplink_mtu
    finally:
        cfg.CONF.clear_override("uplink_mtu", group="os_vif_linux_bridge")
    assert found == {"eth0": 9000, "eth1": 2000, "eth7": 1600}


_OWNED = {
    "linux_bridge": GOOD,
    "tap": "type: tap\nname: tap0\nmac: 52:54:00:12:34:56\n",
    "ovs": "type: openvswitch\nbridge: br-int\nname: tap0\nmac: 52:54:00:12:34:56\n",
    "macvtap": "type: macvtap\nname: tap0\nmac: 52:54:00:12:34:56\nnetwork: {uplink: eth0}\n",
}


@pytest.mark.parametrize("plugin", _OWNED)
def test_whose_single_taps_are(plugin):
    text = _OWNED[plugin]
    batch = read(
        text + "owner: daemon\ngroup: kvm\n",
        text.replace("tap0", "tap1").replace(":56", ":57") + "owner: '107'\n",
        text.replace("tap0", "tap2").replace(":56", ":58"),
    )
    try:
        configuration.apply({}, [], batch.said)
        found = [
            next(
                (it.owner, it.group)
                for it in verbs.describe(entry.vif).topology.resources
                if isinstance(it, Tap | Macvtap)
            )
            for entry in batch.entries
        ]
    finally:
        for option in ("tap_owners", "tap_groups"):
            cfg.CONF.clear_override(option, group=f"os_vif_{plugin}")
    others = "" if plugin == "macvtap" else "root"
    assert found == [("daemon", "kvm"), ("107", ""), (others, "")]


@pytest.mark.parametrize("plugin", ["linux_bridge", "tap", "ovs"])
def test_how_many_queues_single_taps_have(plugin):
    text = _OWNED[plugin]
    batch = read(
        text + "multi_queue: yes\n",
        text.replace("tap0", "tap1").replace(":56", ":57") + "multi_queue: no\n",
        text.replace("tap0", "tap2").replace(":56", ":58"),
    )
    try:
        configuration.apply({}, ["linux_bridge.create_tap=true"], batch.said)
        found = [
            next(it.multi_queue for it in resources if isinstance(it, Tap))
            for resources in (verbs.describe(it.vif).topology.resources for it in batch.entries)
        ]
    finally:
        cfg.CONF.clear_override("create_tap", group="os_vif_linux_bridge")
        if plugin != "ovs":
            cfg.CONF.clear_override("multi_queues", group=f"os_vif_{plugin}")
    assert found == [True, False, None]


@pytest.mark.parametrize("plugin", ["linux_bridge", "tap", "macvtap"])
def test_limits(plugin):
    text = _OWNED[plugin]
    batch = read(
        text + "rate_to_guest: 1.6 Mbit\nburst_to_guest: 100 kB\nrate_from_guest: 80 Mbit\n",
        text.replace("tap0", "tap1").replace(":56", ":57"),
    )
    options = ("rates_to_guest", "rates_from_guest", "bursts_to_guest", "bursts_from_guest")
    try:
        configuration.apply({}, [], batch.said)
        one, other = (
            [it for it in verbs.describe(entry.vif).topology.resources if _is_limit(it)]
            for entry in batch.entries
        )
    finally:
        for option in options:
            cfg.CONF.clear_override(option, group=f"os_vif_{plugin}")
    assert other == []
    to_guest = Bucket(1_600_000, 100_000)
    if plugin == "macvtap":
        expected = {"egress": Bucket(80_000_000, 100_000), "ingress": to_guest}
    else:
        expected = {"egress": to_guest, "ingress": Bucket(80_000_000, 1_000_000)}
    assert one == [TrafficLimits(device="tap0", **expected)]


@pytest.mark.parametrize("plugin", ["linux_bridge", "tap", "macvtap", "ovs"])
def test_anti_spoofing(plugin):
    text = _OWNED[plugin]
    batch = read(
        text
        + "anti_spoofing: ip\nallowed_addresses: [10.42.0.0/24, 'FE80::5', '00-00-5E-00-01-07']\n"
        + ("network: {subnets: [{cidr: 192.0.2.0/24, addresses: [192.0.2.5]}]}\n")
        * ("network" not in text),
        text.replace("tap0", "tap1").replace(":56", ":57") + "anti_spoofing: mac\n",
    )
    try:
        configuration.apply({}, ["linux_bridge.create_tap=true"], batch.said)
        one, other = (
            [it for it in verbs.describe(entry.vif).topology.resources if _is_kept(it)]
            for entry in batch.entries
        )
    finally:
        cfg.CONF.clear_override("create_tap", group="os_vif_linux_bridge")
        for option in ("anti_spoofings", "allowed_addresses"):
            cfg.CONF.clear_override(option, group=f"os_vif_{plugin}")
    more = {"guest_inside": plugin == "macvtap", "switch": "br-int" if plugin == "ovs" else ""}
    own = ["192.0.2.5"] * ("network" not in text)
    assert one == [
        AntiSpoofing(
            device="tap0",
            macs=("52:54:00:12:34:56", "00:00:5e:00:01:07"),
            addresses=(*own, "10.42.0.0/24", "fe80::5"),
            **more,
        )
    ]
    assert other == [AntiSpoofing(device="tap1", macs=("52:54:00:12:34:57",), **more)]


def _is_kept(resource):
    return isinstance(resource, AntiSpoofing)


def _is_limit(resource):
    return isinstance(resource, TrafficLimits)


def test_an_owner_where_the_hypervisor_makes_the_tap():
    text = _OWNED["ovs"] + "create_tap: false\nowner: daemon\n"
    [told] = unused(read(text))
    assert (told.field, told.mark.line) == ("owner", 6)
    assert "the hypervisor makes the tap" in told.message


def test_fields_that_contradict():
    problem = the_problem_of_two(UPLINK, UPLINK.replace("9000", "2000").replace("tap0", "tap1"))
    assert (problem.field, problem.mark.line) == ("network.uplink_mtu", 5)
    assert problem.message == "2000 here and 9000 at f0.yaml:5:37, for the same eth0"


def the_problem_of_two(*texts):
    [problem] = problems_of(*texts)
    return problem


def test_options_that_contradict():
    [problem] = problems_of(
        GOOD + "options: {tap: {routed: true}}", "options: {tap: {routed: false}}"
    )
    assert "'false' here and 'true' at f0.yaml:5:25" in problem.message


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("tap.ruoted=1", "did you mean 'routed'?"),
        ("tpa.routed=1", "did you mean 'tap'?"),
        ("tap.routed=maybe", "'maybe' cannot be used"),
        ("tap.routed", "expected GROUP.OPTION=VALUE"),
        ("routed=1", "expected GROUP.OPTION=VALUE"),
        ("noop.x=1", "expected one of: verify_sockets, hypervisor_user"),
    ],
)
def test_a_wrong_setting(setting, said):
    with pytest.raises(BadInput) as caught:
        configuration.apply({}, [setting])
    [problem] = caught.value.problems
    assert problem.field == f"--set {setting}"
    assert said in problem.message


# --- the wire form ------------------------------------------------------------------------------


def primitive(**changes):
    data = {
        "id": "b679325f-ca89-4ee0-a8be-6db1409b69ea",
        "address": "52:54:00:12:34:59",
        "plugin": "linux_bridge",
        "bridge_name": "br0",
        "vif_name": "tapb679325f-ca",
    }
    whole = {
        "versioned_object.name": "VIFBridge",
        "versioned_object.namespace": "os_vif",
        "versioned_object.version": "1.0",
        "versioned_object.data": data,
    }
    for key, value in changes.items():
        place = whole if key in ("name", "namespace", "version") else data
        place[f"versioned_object.{key}" if place is whole else key] = value
    return whole


def network(**changes):
    return {
        "versioned_object.name": "Network",
        "versioned_object.namespace": "os_vif",
        "versioned_object.version": "1.1",
        "versioned_object.data": {"id": "437c6db5-4e6f-4b43-b64b-ed6a11ee5ba7", "bridge": "br0"},
        **changes,
    }


def test_a_primitive():
    vif = one(json.dumps(primitive(network=network()), indent=1))
    assert (vif.bridge_name, vif.network.bridge) == ("br0", "br0")


def test_every_vif_survives_the_way_there_and_back():
    vif = one(GOOD + "network: {mtu: 1400, subnets: [{cidr: 10.0.0.0/8, addresses: [10.0.0.1]}]}")
    again = one(json.dumps(vif.obj_to_primitive()))
    assert in_order(again.obj_to_primitive()) == in_order(vif.obj_to_primitive())


def in_order(primitive: Any) -> Any:
    """Return a primitive whose lists of changes, which come from sets, have an order."""
    if isinstance(primitive, list):
        return [in_order(item) for item in primitive]
    if not isinstance(primitive, dict):
        return primitive
    return {
        key: sorted(value) if key == "versioned_object.changes" else in_order(value)
        for key, value in primitive.items()
    }


def test_a_primitive_with_its_guest():
    text = json.dumps({"vif": primitive(), "instance": {"name": "web"}})
    [entry] = read(text).entries
    assert entry.instance.name == "web"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "VIFBrdige"}, "there is no object 'VIFBrdige'; did you mean 'VIFBridge'?"),
        ({"name": "Network"}, "Network is not what belongs here"),
        ({"namespace": "nova"}, "'nova' is another project's; expected 'os_vif'"),
        ({"version": "1.7"}, "VIFBridge 1.7 is not known here; the newest known is 1.0"),
        ({"version": "2.0"}, "VIFBridge 2.0 is not known here"),
        ({"version": "one"}, "'one' cannot be used"),
        ({"addres": "x"}, "unknown field; did you mean 'address'?"),
        ({"address": "zz"}, "'zz' cannot be used"),
        ({"address": "01:00:5e:00:00:01"}, "multicast"),
        ({"vif_name": "a/b"}, "no '/'"),
        ({"plugin": "nope"}, "There is no VIF plugin named nope"),
        ({"network": network(**{"versioned_object.version": "1.9"})}, "Network 1.9 is not known"),
        ({"network": network(**{"versioned_object.name": "Nework"})}, "did you mean 'Network'?"),
        ({"network": 5}, "'5' cannot be used"),
        ({"port_profile": []}, "cannot be used"),
    ],
)
def test_a_primitive_that_is_wrong(changes, said):
    text = json.dumps(primitive(**changes), indent=1)
    [problem] = problems_of(text)
    assert said in problem.message
    assert problem.mark.text in text.splitlines()


@pytest.mark.parametrize("left_out", ["id", "plugin"])
def test_a_primitive_without(left_out):
    whole = primitive()
    del whole["versioned_object.data"][left_out]
    [problem] = problems_of(json.dumps(whole))
    assert problem.field == left_out


# --- the table ----------------------------------------------------------------------------------


def test_the_schema_takes_what_the_reader_takes():
    schema = types.schema_of(["bridge"])
    bridge = schema["$defs"]["bridge"]
    assert bridge["required"] == ["type", "bridge", "mac"]
    assert bridge["additionalProperties"] is False
    network = bridge["properties"]["network"]["else"]  # where it is none that stands by itself
    assert network["properties"]["mtu"]["maximum"] == 65535
    assert json.loads(json.dumps(schema)) == schema


def errors_of(document):
    validator = jsonschema.Draft202012Validator(types.schema_of())
    found = sorted(validator.iter_errors(document), key=lambda error: list(error.path))
    return [(".".join(map(str, error.absolute_path)), error.message) for error in found]


TYPED = {"type": "bridge", "bridge": "br0", "mac": "52:54:00:12:34:56"}


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(types.schema_of())


@pytest.mark.parametrize(
    "document",
    [
        TYPED,
        {**TYPED, "options": {"linux_bridge": {"create_tap": True}}},
        [TYPED],
        {"vifs": [TYPED], "options": {}},
        primitive(),
        [primitive()],
        {"vifs": [TYPED, {"vif": primitive(), "instance": {"name": "web"}}]},
        *(wire.plain(nodes.compose("", row.example)[0]) for row in types.all_types().values()),
    ],
)
def test_a_validator_takes_what_the_reader_takes(document):
    assert errors_of(document) == []
    read(json.dumps(document))


@pytest.mark.parametrize(
    ("document", "place", "said"),
    [
        ({**TYPED, "brigde": 1}, "", "'brigde' was unexpected"),
        ({**TYPED, "network": {"mtu": 1}}, "network.mtu", "1 is less than the minimum of 68"),
        ([TYPED, {**TYPED, "network": {"mtu": 1}}], "1.network.mtu", "less than the minimum"),
        ({"type": "birdge"}, "type", "'birdge' is not one of ['bridge'"),
        ({"bridge": "br0"}, "", "'type' is a required property"),
        ({"vifs": [TYPED], "x": 1}, "", "'x' was unexpected"),
        ({**primitive(), "versioned_object.version": 1}, "versioned_object.version", "'string'"),
        (
            {"vif": primitive(), "instance": {"nmae": "web"}},
            "instance",
            "'nmae' was unexpected",
        ),
        (5, "", "5 is not of type 'object', 'array'"),
        ([], "", "[] should be non-empty"),
    ],
)
def test_a_validator_names_the_one_thing_that_is_wrong(document, place, said):
    [(where, message)] = errors_of(document)
    assert where == place
    assert said in message


def test_every_reference_of_the_schema_leads_somewhere():
    schema = types.schema_of()
    for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema)):
        assert name in schema["$defs"]
    assert schema["$defs"].keys() >= types.all_types().keys()


@pytest.mark.parametrize("row", types.all_types().values(), ids=lambda row: row.name)
def test_a_row_names_its_plugin_and_class(row):
    info = os_vif.host_info().get_plugin(row.plugin)
    assert info.has_vif(row.vif_class)
