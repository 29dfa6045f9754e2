# SPDX-License-Identifier: Apache-2.0
"""Files with networks, routers and VIFs that name a network: read, merged, and refused."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import os_vif
from os_vif import logical
from os_vif.cli.specs import reader, types, wanted
from os_vif.cli.specs.batch import Batch
from os_vif.cli.specs.refused import BadInput
from os_vif.cli.specs.unused import unused
from os_vif.host.ovn.resources import Row

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ovn-networks.yaml"


@pytest.fixture(autouse=True)
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os_vif.initialize()
    monkeypatch.chdir(tmp_path)


def read(*texts: str) -> wanted.Logical:
    names = [f"f{at}.yaml" for at in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        Path(name).write_text(text)
    return wanted.read(names)


def problems(*texts: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        read(*texts)
    return [str(problem) for problem in caught.value.problems]


def warnings(*texts: str) -> list[str]:
    return [str(problem) for problem in read(*texts).warnings]


def rows(*texts: str) -> list[Row]:
    return [
        row for topology in logical.topologies(read(*texts).wanted) for row in topology.resources
    ]  # type: ignore[misc]


BLUE = """\
owner: lab
networks:
  - label: blue
    subnets:
      - {cidr: 10.5.0.0/24, gateway: 10.5.0.1}
      - {cidr: "fd00:5::/64", gateway: "fd00:5::1"}
"""


def vif(
    network: str, name: str = "tap-anna", mac: str = "52:54:00:00:00:01", more: str = ""
) -> str:
    return (
        f"  - {{type: openvswitch, bridge: br-int, name: {name}, mac: '{mac}', {more}"
        f"network: {{{network}}}}}\n"
    )


ANNA = vif("label: blue, addresses: [10.5.0.11]")


# --- what is read ---------------------------------------------------------------------------------


def test_the_example_is_what_its_comments_say():
    found = wanted.read([str(EXAMPLE)])
    assert found.warnings == []
    assert found.wanted.owner == "lab"
    made = [row for it in logical.topologies(found.wanted) for row in it.resources]
    assert [row.what for row in made] == [
        "network blue",
        "DHCP of 10.5.0.0/24",
        "DHCP of 10.6.0.0/24",
        "DHCP of 10.5.0.0/24 for tap-anna",
        "port tap-anna",
        "port tap-ben",
        "network outside",
        "physnet1 of network outside",
        "router edge",
        "leg of router edge in network blue",
        "port of router edge in network blue",
        "leg of router edge in network outside",
        "port of router edge in network outside",
        "gateway h1 of router edge",
        "gateway h2 of router edge",
        "gateway h3 of router edge",
        "route of router edge to 0.0.0.0/0",
        "SNAT of 10.5.0.0/24 at router edge",
        "SNAT of 10.6.0.0/24 at router edge",
        "route of router edge to 198.51.100.0/24",
        "floating IP 203.0.113.20 of tap-ben",
    ]


def test_the_schema_takes_the_example():
    document = copy.deepcopy(PLAIN)
    validator = jsonschema.Draft202012Validator(types.schema_of())
    assert list(validator.iter_errors(document)) == []
    on_bridge = {"type": "bridge", "bridge": "br0", "mac": "52:54:00:00:00:03"}
    here = {"label": "blue", "addresses": ["10.5.0.13"], "uplink": "eth1"}
    assert list(validator.iter_errors({"vifs": [{**on_bridge, "network": here}]})) == []
    document["vifs"][0]["network"]["adresses"] = ["10.5.0.11"]
    document["networks"][0]["subnets"][0]["dhcp"] = {"leese": "12h"}
    document["routers"][0]["external"]["snat"] = "all"
    found = {".".join(map(str, it.absolute_path)) for it in validator.iter_errors(document)}
    assert found == {"vifs.0.network", "networks.0.subnets.0.dhcp", "routers.0.external.snat"}


def test_a_row_names_the_field_it_comes_from():
    row = next(it for it in rows(f"{BLUE}vifs:\n{ANNA}") if it.what == "port tap-anna")
    assert row.field("options", "requested-chassis") == "vifs[0].network.chassis"
    [dhcp] = [it for it in rows(BLUE) if it.what == "DHCP of 10.5.0.0/24"]
    assert dhcp.field("options", "router") == "networks[0].subnets[0].gateway"


def test_fields_are_told_apart_by_their_files():
    other = BLUE.replace("blue", "red").replace("10.5.", "10.6.").replace("fd00:5:", "fd00:6:")
    found = {it.field("name") for it in rows(BLUE, other) if it.table == "Logical_Switch"}
    assert found == {"networks[0].id", "f1.yaml: networks[0].id"}


def test_a_vif_has_the_network_that_it_names():
    text = f"{BLUE.replace('label: blue', 'label: blue, mtu: 1400')}vifs:\n"
    text = text.replace("- label: blue, mtu: 1400", "- label: blue\n    mtu: 1400")
    batch = Batch()
    reader.read_text(
        "f.yaml", text + vif("label: blue, addresses: ['fd00:5::9', 10.5.0.11]"), batch
    )
    assert batch.problems == []
    [entry] = batch.entries
    network = entry.vif.network
    assert (network.label, network.mtu, network.bridge) == ("blue", 1400, "br-int")
    ips = [[str(it.address) for it in subnet.ips] for subnet in network.subnets]
    assert ips == [["10.5.0.11"], ["fd00:5::9"]]
    assert [str(subnet.gateway) for subnet in network.subnets] == ["10.5.0.1", "fd00:5::1"]
    assert entry.marks["network.subnets[0].addresses[0]"].line == text.count("\n") + 1
    # What the network says is for all that name it, and nobody's fault here.
    assert unused(batch) == []


def test_a_bridge_has_a_network_of_the_files_too():
    batch = Batch()
    text = f"{BLUE}vifs:\n{ANNA}".replace(
        "type: openvswitch, bridge: br-int", "type: bridge, bridge: br0"
    )
    reader.read_text("f.yaml", text, batch)
    assert batch.problems == []
    assert str(batch.entries[0].vif.network.subnets[0].cidr) == "10.5.0.0/24"
    found = wanted.of_batch(batch)
    assert found.wanted.ports == ()
    assert [it.message for it in found.warnings] == [
        "reaches nothing on OVN: a VIF of this type is no port of it"
    ]


def test_a_bridge_can_be_told_to_serve_a_network_of_the_files():
    batch = Batch()
    text = BLUE.replace("gateway: 10.5.0.1", "gateway: 10.5.0.1, dhcp: true")
    text = text.replace("label: blue\n", "label: blue\n    nat: true\n") + f"vifs:\n{ANNA}"
    reader.read_text(
        "f.yaml", text.replace("openvswitch, bridge: br-int", "bridge, bridge: b"), batch
    )
    assert batch.problems == []
    said = {key: value for key, (value, _mark) in batch.said.items()}
    assert said["linux_bridge", "nat", "b"] is True
    assert said["linux_bridge", "dhcp_subnets", "b"] == "10.5.0.0/24"


def test_a_network_may_stand_in_a_file_that_comes_later(tmp_path):
    (tmp_path / "a.yaml").write_text(f"vifs:\n{ANNA}")
    (tmp_path / "b.yaml").write_text(BLUE)
    assert len(reader.read_files([str(tmp_path)]).entries) == 1
    assert len(wanted.read([str(tmp_path)]).wanted.ports) == 1


def test_two_files_may_say_the_same_of_a_network_and_nothing_else():
    assert len(read(BLUE, f"{BLUE}vifs:\n{ANNA}").wanted.networks) == 1
    assert problems(BLUE, BLUE.replace("10.5.0.1}", "10.5.0.2}")) == [
        "f1.yaml:3:12: networks[0].label: the network 'blue' is another one at f0.yaml:3:12; "
        "say it once"
    ]


def test_a_vif_that_names_no_network_has_its_own():
    text = f"{BLUE}vifs:\n" + vif("mtu: 1400, subnets: [{cidr: 10.9.0.0/24}]")
    found = read(text)
    assert found.wanted.ports == ()
    assert found.batch.entries[0].vif.network.mtu == 1400


def test_what_the_host_alone_knows_of_a_network_is_said_beside_the_label():
    batch = Batch()
    text = f"{BLUE}vifs:\n" + vif("label: blue, addresses: [10.5.0.11], uplink: eth1")
    reader.read_text(
        "f.yaml", text.replace("openvswitch, bridge: br-int", "bridge, bridge: b"), batch
    )
    assert batch.problems == []
    assert batch.entries[0].vif.network.bridge_interface == "eth1"
    assert problems(text)[0].endswith(
        "uplink: unknown field; expected one of: label, addresses, "
        "floating, chassis, activation_strategy, port_security, active"
    )


def test_a_network_of_ones_own_may_have_a_label_that_no_other_has():
    """What is plugged from one file is so still when another one beside it has networks."""
    found = read(BLUE, "vifs:\n" + vif("label: mine, mtu: 1300"))
    assert found.wanted.ports == ()
    assert found.batch.entries[0].vif.network.label == "mine"


def test_ids_follow_from_owner_and_label_or_are_said():
    def switch(text: str) -> str:
        return next(it.uuid for it in rows(text) if it.table == "Logical_Switch")

    assert switch(BLUE) == switch(BLUE.replace("gateway: 10.5.0.1", "gateway: 10.5.0.2"))
    assert switch(BLUE) != switch(BLUE.replace("owner: lab", "owner: prod"))
    known = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
    said = BLUE.replace("label: blue", f"label: blue\n    id: {known}")
    assert switch(said) == logical.switch_row_of(known)


def test_placement_and_the_like_are_said_beside_the_label():
    text = f"{BLUE}vifs:\n" + vif(
        "label: blue, chassis: [h1, h2], activation_strategy: none, port_security: false, "
        "active: false"
    )
    [port] = read(text).wanted.ports
    assert (port.chassis, port.activation_strategy, port.port_security) == (
        ("h1", "h2"),
        "none",
        False,
    )
    assert port.vif.active is False


def test_dhcp_is_said_or_not_or_with_settings():
    text = BLUE.replace("gateway: 10.5.0.1", "gateway: 10.5.0.1, dhcp: {lease: 10m, domain: x.y}")
    text = text.replace("'fd00:5::1'", "'fd00:5::1'").replace(
        '"fd00:5::1"}', '"fd00:5::1", dhcp: no}'
    )
    [network] = read(text).wanted.networks
    assert network.dhcp == {
        "10.5.0.0/24": logical.DHCP(lease=600, domain="x.y"),
        "fd00:5::/64": None,
    }


def test_a_wire_form_is_a_port_where_its_network_is_one_of_the_files():
    known = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
    text = BLUE.replace("label: blue", f"label: blue\n    id: {known}")
    batch = Batch()
    reader.read_text("v.yaml", f"{text}vifs:\n{ANNA}", batch)
    primitive = json.dumps({"vifs": [batch.entries[0].vif.obj_to_primitive()]})
    assert "port tap-anna" in [it.what for it in rows(text, primitive)]
    assert rows(text, primitive) == [
        dataclasses.replace(row, fields=other.fields)
        for row, other in zip(rows(f"{text}vifs:\n{ANNA}"), rows(text, primitive), strict=True)
    ]


@pytest.mark.parametrize(
    ("said", "mtu"), [("", 1442), ("    physical: p\n", 1500), ("    mtu: 1300\n", 1300)]
)
def test_a_port_is_as_wide_on_its_host_as_its_network_on_ovn(said, mtu):
    text = BLUE.replace("  - label: blue\n", f"  - label: blue\n{said}") + f"vifs:\n{ANNA}"
    assert read(text).batch.entries[0].vif.network.mtu == mtu
    [options] = [dict(it.keys["options"]) for it in rows(text) if it.what == "DHCP of 10.5.0.0/24"]
    assert options["mtu"] == str(mtu)
    on_bridge = text.replace("openvswitch, bridge: br-int", "bridge, bridge: br0")
    assert read(on_bridge).batch.entries[0].vif.network.mtu == (1300 if mtu == 1300 else None)


# --- what is refused: OVN would take nearly all of it, without a word -----------------------------

OUTSIDE = """\
  - label: outside
    physical: physnet1
    subnets: [{cidr: 203.0.113.0/24, gateway: 203.0.113.1, dhcp: false}]
"""


def lab(external: str = "chassis: [h1], snat: true", address: str = "203.0.113.10") -> str:
    return (
        f"{BLUE}{OUTSIDE}routers:\n  - label: edge\n    networks: [blue]\n"
        f"    external: {{network: outside, address: {address}, {external}}}\nvifs:\n"
    )


def anna(rest: str = "addresses: [10.5.0.11]", mac: str = "52:54:00:00:00:01") -> str:
    return f"{BLUE}vifs:\n" + vif(f"label: blue, {rest}", mac=mac)


def subnet(text: str, more: str = "") -> str:
    return f"owner: lab\nnetworks:\n  - {{label: blue, {more}subnets: [{{{text}}}]}}\n"


def floating(address: str, **more: str) -> str:
    said = f"label: blue, addresses: [10.5.0.12], floating: {{10.5.0.12: [{address}]}}"
    return lab(**more) + vif(said, "tap-ben", "52:54:00:00:00:02")


TWO = vif("label: blue, addresses: [10.5.0.12]", "tap-ben", "52:54:00:00:00:02")

BAD = {
    "MAC typo": (anna(mac="52:54:00:00:0001"), "vifs[0].mac", "six bytes in hexadecimal"),
    "MAC of many": (anna(mac="01:54:00:00:00:01"), "vifs[0].mac", "a unicast address"),
    "address in no subnet": (
        anna("addresses: [10.7.0.11]"),
        "vifs[0].network.addresses[0]",
        "expected an address in 10.5.0.0/24 or fd00:5::/64, blue",
    ),
    "address with prefix": (
        anna("addresses: [10.5.0.11/24]"),
        "vifs[0].network.addresses[0]",
        "(without a prefix length)",
    ),
    "the gateway's address": (
        anna("addresses: [10.5.0.1]"),
        "vifs[0].network.addresses[0]",
        "this is the subnet's gateway",
    ),
    "the broadcast address": (
        anna("addresses: [10.5.0.255]"),
        "vifs[0].network.addresses[0]",
        "this is the broadcast address of 10.5.0.0/24",
    ),
    "the subnet's own address": (
        anna("addresses: [10.5.0.0]"),
        "vifs[0].network.addresses[0]",
        "this is the address of 10.5.0.0/24 itself",
    ),
    "the address of all routers": (
        anna("addresses: ['fd00:5::']"),
        "vifs[0].network.addresses[0]",
        "this is that of all its routers",
    ),
    "the DHCP server's address": (
        anna("addresses: [10.5.0.2]").replace(
            "gateway: 10.5.0.1", "gateway: 10.5.0.1, dhcp_server: 10.5.0.2"
        ),
        "vifs[0].network.addresses[0]",
        "this is the subnet's dhcp_server",
    ),
    "one MAC twice": (
        f"{anna()}{TWO.replace('00:00:02', '00:00:01')}",
        "vifs[1].mac",
        "an address of its own in blue; tap-anna has this one",
    ),
    "one address twice": (
        f"{anna()}{TWO.replace('10.5.0.12', '10.5.0.11')}",
        "vifs[1].network.addresses[0]",
        "nobody else has in blue; tap-anna has it",
    ),
    "one address twice in a VIF": (
        anna("addresses: [10.5.0.11, 10.5.0.11]"),
        "vifs[0].network.addresses[1]",
        "tap-anna has it",
    ),
    "one VIF twice": (
        f"{anna()}{ANNA.replace('10.5.0.11', '10.5.0.12').replace('00:01', '00:02')}",
        "vifs[1].id",
        "an id of its own; vifs[0] has this one",
    ),
    "MTU too small": (
        subnet("cidr: 10.5.0.0/24", "mtu: 67, "),
        "networks[0].mtu",
        "a number of bytes from 68 to 65535",
    ),
    "MTU too large": (
        subnet("cidr: 10.5.0.0/24", "mtu: 65536, "),
        "networks[0].mtu",
        "a number of bytes from 68 to 65535",
    ),
    "MTU too small for IPv6": (
        subnet("cidr: 'fd00:5::/64'", "mtu: 1279, "),
        "networks[0].mtu",
        "at least 1280 bytes",
    ),
    "host bits": (
        subnet("cidr: 10.5.0.7/24"),
        "networks[0].subnets[0].cidr",
        "the network's own address: 10.5.0.0/24",
    ),
    "a range of nobody's": (
        subnet("cidr: 224.0.0.0/24"),
        "networks[0].subnets[0].cidr",
        "a range that guests can have",
    ),
    "all there is": (
        subnet("cidr: 0.0.0.0/0"),
        "networks[0].subnets[0].cidr",
        "a range that guests can have",
    ),
    "ranges that overlap": (
        subnet("cidr: 10.5.0.0/16}, {cidr: 10.5.3.0/24"),
        "networks[0].subnets[1].cidr",
        "a range apart from 10.5.0.0/16, that of subnets[0]",
    ),
    "gateway elsewhere": (
        subnet("cidr: 10.5.0.0/24, gateway: 10.6.0.1"),
        "networks[0].subnets[0].gateway",
        "an address in 10.5.0.0/24",
    ),
    "gateway with a broadcast address": (
        subnet("cidr: 10.5.0.0/24, gateway: 10.5.0.255"),
        "networks[0].subnets[0].gateway",
        "other than the broadcast address",
    ),
    "DHCP server elsewhere": (
        subnet("cidr: 10.5.0.0/24, dhcp_server: 10.6.0.1"),
        "networks[0].subnets[0].dhcp_server",
        "an address in 10.5.0.0/24",
    ),
    "DHCP by nobody": (
        subnet("cidr: 10.5.0.0/24, dhcp: true"),
        "networks[0].subnets[0].dhcp",
        "false, or a gateway or dhcp_server in 10.5.0.0/24",
    ),
    "names of the other family": (
        subnet("cidr: 10.5.0.0/24, dns: [192.0.2.53, 'fd00::53']"),
        "networks[0].subnets[0].dns[1]",
        "a server of IPv4",
    ),
    "route of the other family": (
        subnet("cidr: 10.5.0.0/24, routes: [{to: 'fd00::/64', via: 10.5.0.7}]"),
        "networks[0].subnets[0].routes[0].to",
        "a network of IPv4",
    ),
    "route by somebody elsewhere": (
        subnet("cidr: 10.5.0.0/24, routes: [{to: 192.0.2.0/24, via: 10.6.0.7}]"),
        "networks[0].subnets[0].routes[0].via",
        "an address in 10.5.0.0/24",
    ),
    "route to all": (
        subnet("cidr: 10.5.0.0/24, routes: [{to: 0.0.0.0/0, via: 10.5.0.7}]"),
        "networks[0].subnets[0].routes[0].to",
        "the way to all is the gateway",
    ),
    "lease too short": (
        subnet("cidr: 10.5.0.0/24, gateway: 10.5.0.1, dhcp: {lease: 5s}"),
        "networks[0].subnets[0].dhcp.lease",
        "a time of 120 to 31536000 seconds, as in 12h",
    ),
    "domain with quotes": (
        subnet("cidr: 10.5.0.0/24, gateway: 10.5.0.1, dhcp: {domain: 'a\"b'}"),
        "networks[0].subnets[0].dhcp.domain",
        "a domain's name",
    ),
    "domain with braces": (
        subnet("cidr: 10.5.0.0/24, gateway: 10.5.0.1, dhcp: {domain: '{a}'}"),
        "networks[0].subnets[0].dhcp.domain",
        "a domain's name",
    ),
    "domain of two lines": (
        subnet('cidr: 10.5.0.0/24, gateway: 10.5.0.1, dhcp: {domain: "a\\nb"}'),
        "networks[0].subnets[0].dhcp.domain",
        "text without control characters",
    ),
    "unknown label": (
        anna().replace("label: blue, add", "label: blu, add"),
        "vifs[0].network.label",
        "there is no network 'blu' in 'networks'; did you mean 'blue'?",
    ),
    "no networks at all": (
        f"owner: lab\nvifs:\n{ANNA}",
        "vifs[0].network.label",
        "there is no network 'blue' in 'networks'; no file here has any",
    ),
    "what the network says itself": (
        anna("addresses: [10.5.0.11], mtu: 1400"),
        "vifs[0].network.mtu",
        "the network says this itself, at f0.yaml:3:5; leave it out here",
    ),
    "misspelt": (
        anna("adresses: [10.5.0.11]"),
        "vifs[0].network.adresses",
        "did you mean 'addresses'?",
    ),
    "chassis with a comma": (
        anna("chassis: ['h1,h2']"),
        "vifs[0].network.chassis[0]",
        "of several, each for itself in the list",
    ),
    "chassis with a blank": (
        anna("chassis: ['h1 h2']"),
        "vifs[0].network.chassis[0]",
        "a chassis' name or host name",
    ),
    "chassis twice": (
        anna("chassis: [h1, h1]"),
        "vifs[0].network.chassis[1]",
        "each chassis once",
    ),
    "strategy without a second": (
        anna("chassis: [h1], activation_strategy: rarp"),
        "vifs[0].network.activation_strategy",
        "two chassis with it",
    ),
    "no such strategy": (
        anna("chassis: [h1, h2], activation_strategy: garp"),
        "vifs[0].network.activation_strategy",
        "rarp or none",
    ),
    "owner with a blank": (
        BLUE.replace("owner: lab", "owner: the lab"),
        "owner",
        "one word of letters",
    ),
    "owner too long": (
        BLUE.replace("owner: lab", f"owner: {'a' * 64}"),
        "owner",
        "24 characters at most",
    ),
    "no owner": (BLUE.removeprefix("owner: lab\n"), "owner", "missing; say in a word who may"),
    "two owners": (
        f"{BLUE}---\n{BLUE.replace('owner: lab', 'owner: prod').replace('blue', 'red')}",
        "owner",
        "'prod' here and 'lab' at f0.yaml:3:5; what is applied together has one owner",
    ),
    "VLAN 0": (
        subnet("cidr: 10.5.0.0/24", "physical: p, vlan: 0, "),
        "networks[0].vlan",
        "a VLAN id from 1 to 4095",
    ),
    "VLAN 4096": (
        subnet("cidr: 10.5.0.0/24", "physical: p, vlan: 4096, "),
        "networks[0].vlan",
        "a VLAN id from 1 to 4095",
    ),
    "physical with a comma": (
        subnet("cidr: 10.5.0.0/24", "physical: 'p:br-ex,q', "),
        "networks[0].physical",
        "in ovn-bridge-mappings",
    ),
    "one label twice": (
        f"{BLUE}{OUTSIDE.replace('outside', 'blue')}",
        "networks[1].label",
        "the network 'blue' is another one at f0.yaml:3:12; say it once",
    ),
    "networks by name": (
        "owner: lab\nnetworks: {blue: {}}\n",
        "networks",
        "expected a list of networks, found a mapping",
    ),
    "a network without a label": (
        "owner: lab\nnetworks: [{mtu: 1400}]\n",
        "networks[0].label",
        "missing; add label",
    ),
    # --- edges
    "no such network inside": (
        lab().replace("networks: [blue]", "networks: [blu]"),
        "routers[0].networks[0]",
        "there is no network 'blu'; did you mean 'blue'?",
    ),
    "no such network outside": (
        lab().replace("network: outside", "network: outsid"),
        "routers[0].external.network",
        "did you mean 'outside'?",
    ),
    "a network without gateways": (
        lab("chassis: [h1]")
        .replace(", gateway: 10.5.0.1", "")
        .replace(', gateway: "fd00:5::1"', ""),
        "routers[0].networks[0]",
        "a network with a gateway in one of its subnets",
    ),
    "a network twice": (
        lab().replace("networks: [blue]", "networks: [blue, blue]"),
        "routers[0].networks[1]",
        "each network once",
    ),
    "inside and outside": (
        lab().replace("networks: [blue]", "networks: [blue, outside]"),
        "routers[0].external.network",
        "a network that is not inside, too",
    ),
    "two routers at one gateway": (
        lab().replace("vifs:", "  - {label: other, networks: [blue]}\nvifs:"),
        "routers[1].networks[0]",
        "a network without a router; edge is at the gateways of this one",
    ),
    "one router twice": (
        lab().replace("vifs:", "  - {label: edge, networks: [blue]}\nvifs:"),
        "routers[1].label",
        "the router 'edge' is another one at f0.yaml:11:12",
    ),
    "legs that overlap": (
        lab()
        .replace(
            OUTSIDE,
            f"{OUTSIDE}  - {{label: red, subnets: [{{cidr: 10.5.0.0/16, gateway: 10.5.9.1}}]}}\n",
        )
        .replace("networks: [blue]", "networks: [blue, red]"),
        "routers[0].networks[1]",
        "10.5.0.0/24 of blue is in 10.5.0.0/16",
    ),
    "outside and inside that overlap": (
        lab().replace("203.0.113.0/24", "10.0.0.0/8").replace("203.0.113.", "10.9.0."),
        "routers[0].external.network",
        "10.5.0.0/24 of blue is in 10.0.0.0/8",
    ),
    "NAT without a gateway": (
        lab("snat: true"),
        "routers[0].external.snat",
        "chassis with it: without a gateway nothing is translated",
    ),
    "SNAT of others": (
        lab("chassis: [h1], snat: [10.9.0.0/24]"),
        "routers[0].external.snat[0]",
        "a network inside: 10.5.0.0/24",
    ),
    "SNAT of the other family": (
        lab("chassis: [h1], snat: ['fd00:5::/64']"),
        "routers[0].external.snat[0]",
        "a network of IPv4",
    ),
    "outside its subnet": (
        lab(address="10.9.0.1"),
        "routers[0].external.address",
        "an address in 203.0.113.0/24 of outside",
    ),
    "at the gateway": (
        lab(address="203.0.113.1"),
        "routers[0].external.address",
        "this is the gateway beyond it",
    ),
    "next hop elsewhere": (
        lab("gateway: 10.9.0.1"),
        "routers[0].external.gateway",
        "an address in 203.0.113.0/24 that is not the router's",
    ),
    "gateway with a blank": (
        lab("chassis: ['h 1'], snat: true"),
        "routers[0].external.chassis[0]",
        "a chassis' name or host name",
    ),
    "floating elsewhere": (
        floating("10.9.0.20"),
        "vifs[0].network.floating.10.5.0.12[0]",
        "an address in 203.0.113.0/24 of outside",
    ),
    "floating at the router's": (
        floating("203.0.113.10"),
        "vifs[0].network.floating.10.5.0.12[0]",
        "this is that of router edge itself",
    ),
    "floating at another router's": (
        floating("203.0.113.11")
        .replace(
            "routers:\n",
            "routers:\n  - {label: two, networks: [red], external: {network: outside, "
            "address: 203.0.113.11}}\n",
        )
        .replace(
            OUTSIDE,
            f"{OUTSIDE}  - {{label: red, subnets: [{{cidr: 10.7.0.0/24, gateway: 10.7.0.1}}]}}\n",
        ),
        "vifs[0].network.floating.10.5.0.12[0]",
        "this is that of router two itself",
    ),
    "floating at the gateway": (
        floating("203.0.113.1"),
        "vifs[0].network.floating.10.5.0.12[0]",
        "this is the gateway beyond the router",
    ),
    "floating of the other family": (
        floating("'fd00::20'"),
        "vifs[0].network.floating.10.5.0.12[0]",
        "an address of IPv4, as 10.5.0.12 is",
    ),
    "floating without chassis": (
        floating("203.0.113.20", external="snat: false"),
        "vifs[0].network.floating.10.5.0.12[0]",
        "chassis at router edge",
    ),
    "floating without a router": (
        f"{BLUE}vifs:\n"
        + vif("label: blue, addresses: [10.5.0.12], floating: {10.5.0.12: [203.0.113.20]}"),
        "vifs[0].network.floating.10.5.0.12[0]",
        "a router that has the VIF's network inside",
    ),
    "floating for another's address": (
        lab() + vif("label: blue, addresses: [10.5.0.12], floating: {10.5.0.13: [203.0.113.20]}"),
        "vifs[0].network.floating.10.5.0.13",
        "'10.5.0.13' is no address of the guest; expected 10.5.0.12",
    ),
    "one floating twice": (
        floating("203.0.113.20")
        + vif("label: blue, addresses: [10.5.0.13], floating: {10.5.0.13: [203.0.113.20]}"),
        "vifs[1].network.floating.10.5.0.13[0]",
        "it leads to tap-ben already",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_would_not_work_is_refused_with_what_would_be_right(name):
    text, field, said = BAD[name]
    found = problems(text)
    assert len(found) == 1, found
    place, _, message = found[0].partition(f": {field}: ")
    assert message, found
    assert place.startswith("f0.yaml:")
    assert said in message, found


def test_a_problem_stands_where_the_value_stands():
    with pytest.raises(BadInput) as caught:
        read(floating("203.0.113.10"))
    [problem] = caught.value.problems
    mark = problem.mark
    assert mark is not None
    assert mark.text[mark.column - 1 :][: mark.width] == "203.0.113.10"


def test_all_problems_of_all_files_are_told_at_once():
    found = problems(
        anna("addresses: [10.5.0.1]"), subnet("cidr: 10.8.0.7/24").replace("blue", "x")
    )
    assert len(found) == 1  # a value that cannot be read
    both = problems(
        anna("addresses: [10.5.0.1, 10.5.0.255]"),
        subnet("cidr: 10.8.0.0/24, gateway: 10.9.0.1").replace("blue", "x"),
    )
    assert [it.partition(":")[0] for it in both] == ["f1.yaml", "f0.yaml", "f0.yaml"]
    assert [it.split(": ")[1] for it in both] == [
        "networks[0].subnets[0].gateway",
        "vifs[0].network.addresses[0]",
        "vifs[0].network.addresses[1]",
    ]


def test_what_is_wrong_with_a_network_is_not_told_of_each_vif_in_it():
    text = f"{BLUE}vifs:\n{ANNA}{TWO}".replace("cidr: 10.5.0.0/24", "cidr: 10.5.0.7/24")
    assert [it.split(": ")[1] for it in problems(text)] == ["networks[0].subnets[0].cidr"]


def test_a_floating_address_of_two_routers_is_nobodys():
    text = floating("203.0.113.20").replace(
        "vifs:",
        "  - {label: two, networks: [blue], external: {network: outside, address: 203.0.113.11, "
        "chassis: [h1]}}\nvifs:",
    )
    assert any("one router that has it outside; edge and two have" in it for it in problems(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            lab() + vif("label: blue, addresses: ['fd00:5::9']"),
            "the guest makes itself fd00:5::5054:ff:fe00:1 of the router's advertisements",
        ),
        (lab("chassis: [h1, h2]"), "two gateways do not fail over"),
        (subnet("cidr: 10.5.0.0/24", "vlan: 7, "), "reaches nothing without physical"),
        (subnet("cidr: 10.5.0.0/24", "nat: true, "), "reaches nothing on OVN"),
        (lab().replace("gateway: 203.0.113.1, ", ""), "leads nowhere further"),
        (lab().replace("fd00:5::/64", "fd00:5::/80"), "advertisements take a /64"),
        (
            subnet("cidr: 'fd00:5::/64', routes: [{to: 'fd00:6::/64', via: 'fd00:5::7'}]"),
            "routes of IPv6 are known to routers alone",
        ),
    ],
    ids=["not EUI-64", "two gateways", "vlan", "nat", "no next hop", "no /64", "route of IPv6"],
)
def test_what_may_not_be_meant_is_a_warning(text, said):
    [found] = warnings(text)
    assert said in found


def test_an_address_that_the_guest_makes_itself_is_no_warning():
    assert warnings(lab() + vif("label: blue, addresses: ['fd00:5::5054:ff:fe00:1']")) == []
    # Nor is another where no router advertises.
    assert warnings(anna("addresses: ['fd00:5::9']")) == []


@pytest.mark.parametrize(
    "text",
    [
        "networks: &a [" + "*a, " * 3 + "]",
        "networks: " + "[" * 50 + "]" * 50,
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
        "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
        "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nnetworks: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "networks: [!!python/object/apply:os.system [id]]",
    ],
    ids=["contains itself", "deep", "bomb", "object"],
)
def test_hostile_files_are_refused(text):
    assert problems(f"owner: lab\n{text}\n")


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a document."""
    if path:
        yield path
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))
        else:
            yield (*path, key)


PLAIN = yaml.safe_load(EXAMPLE.read_text())
WORDS = ["", "x", "a\nb", "é" * 300, "10.5.0.11", "10.5.0.1/24", "10.0.0.0/8", "0.0.0.0/0", "::/0"]
WORDS += ["fd00::1", "fe80::1%1", "::ffff:10.5.0.1", "203.0.113.10", "blue", "outside", "h1,h2"]
JUNK = st.sampled_from([None, -1, 0, 10**30, 1.5, True, [], {}, ["x"], {"x": "y"}, *WORDS])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(places(PLAIN))), JUNK), min_size=1, max_size=2))
def test_whatever_a_field_holds_it_is_mapped_or_refused(changes):
    document = copy.deepcopy(PLAIN)
    for path, value in changes:
        node = document
        with contextlib.suppress(KeyError, IndexError, TypeError):  # the other one took it away
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = value
    batch = Batch()
    reader.read_text("f.yaml", json.dumps(document), batch)
    if batch.problems:
        return
    try:
        found = wanted.of_batch(batch)
    except BadInput:
        return
    logical.topologies(found.wanted)
