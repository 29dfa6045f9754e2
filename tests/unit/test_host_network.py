# SPDX-License-Identifier: Apache-2.0
"""A network that the host serves: what a file and a caller may say of it, and what comes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies

from os_vif import exception
from os_vif.cli.specs import reader, types
from os_vif.cli.specs.batch import Batch
from os_vif.cli.specs.refused import BadInput
from os_vif.engine.plugged import Held
from os_vif.engine.topology import Resource
from os_vif.host.dnsmasq.questions import Guest, Server
from os_vif.host.dnsmasq.resources import Dnsmasq, Reservation, ServedSubnet
from os_vif.host.gateways.questions import Served
from os_vif.host.gateways.resources import Gateway
from os_vif.host.links.resources import Bridge, Tap, macs_of_guest
from os_vif.objects.fixed_ip import FixedIP
from os_vif.objects.route import Route, RouteList
from os_vif.plugins.served_network import host_name
from os_vif.verbs import describe
from tests import vifs
from tests.unit.test_held import ID, held, link

ONE = """\
type: bridge
bridge: br-guests
name: tap-web
mac: 52:54:00:12:34:01
instance: {name: web}
network:
  nat: true
  subnets:
  - {cidr: 10.42.0.0/24, gateway: 10.42.0.1, dhcp: true, addresses: [10.42.0.10]}
  - {cidr: "fd42::/64", gateway: "fd42::1", dhcp: true}
"""
SECOND = """\
type: bridge
bridge: br-guests
name: tap-db
mac: 52:54:00:12:34:02
network:
  nat: true
  subnets:
  - {cidr: 10.42.0.0/24, gateway: 10.42.0.1, dhcp: true, addresses: [10.42.0.20]}
  - {cidr: "fd42::/64", gateway: "fd42::1", dhcp: true}
"""

NEIGHBOURS = """\
  subnets:
  - {cidr: 10.42.0.0/24, gateway: 10.42.0.1, dhcp: true}
  - {cidr: "fd42::/64"}
"""

WRONG = {
    "a gateway outside": (
        ("gateway: 10.42.0.1,", "gateway: 10.43.0.1,"),
        "10.43.0.1",
        "network.subnets[0].gateway: '10.43.0.1' cannot be used; expected an address in 10.42.0",
    ),
    "the network's own address": (
        ("gateway: 10.42.0.1,", "gateway: 10.42.0.0,"),
        "10.42.0.0",
        "this is the network's own address of 10.42.0.0/24",
    ),
    "the broadcast address": (
        ("gateway: 10.42.0.1,", "gateway: 10.42.0.255,"),
        "10.42.0.255",
        "expected an address of a host, as in 10.42.0.1; this is the broadcast address",
    ),
    "the subnet's anycast address": (
        ('gateway: "fd42::1"', 'gateway: "fd42::"'),
        '"fd42::"',
        "expected an address of a host, as in fd42::1",
    ),
    "a guest that is the gateway": (
        ("[10.42.0.10]", "[10.42.0.1]"),
        "10.42.0.1",
        "network.subnets[0].addresses[0]: '10.42.0.1' cannot be used; expected an address of the "
        "guest's own; this is the gateway's",
    ),
    "a guest outside": (
        ("[10.42.0.10]", "[10.43.0.10]"),
        "10.43.0.10",
        "expected an address in 10.42.0.0/24",
    ),
    "a guest that all are": (
        ("[10.42.0.10]", "[10.42.0.255]"),
        "10.42.0.255",
        "this is the broadcast address",
    ),
    "a second address": (
        ("[10.42.0.10]", "[10.42.0.10, 10.42.0.11]"),
        "10.42.0.11",
        "network.subnets[0].addresses[1]: '10.42.0.11' cannot be used; expected one address of "
        "10.42.0.0/24: a guest gets no second by DHCP",
    ),
    "DHCP without a gateway": (
        ("gateway: 10.42.0.1, dhcp", "dhcp"),
        "{",
        "network.subnets[0].gateway: missing; expected the bridge's address in 10.42.0.0/24, as "
        "nat: true makes it the guests' gateway; 10.42.0.1, say",
    ),
    "NAT without a gateway": (
        ("gateway: 10.42.0.1, dhcp: true", "dhcp: false"),
        "{",
        "network.subnets[0].gateway: missing; expected the bridge's address in 10.42.0.0/24",
    ),
    "a neighbour of DHCP without a gateway": (
        (ONE[ONE.index("  nat") :], NEIGHBOURS),
        "{",
        "network.subnets[1].gateway: missing; expected the bridge's address in fd42::/64, as "
        "dhcp: true makes it the guests' gateway; fd42::1, say",
    ),
    "NAT without a subnet": (
        (ONE[ONE.index("  subnets:") :], ""),
        "n",
        "network.subnets: missing; expected a subnet with its gateway",
    ),
    "another DHCP server": (
        ("dhcp: true, addr", "dhcp: true, dhcp_server: 10.42.0.2, addr"),
        "10.42.0.2",
        "network.subnets[0].dhcp_server: '10.42.0.2' cannot be used; expected 10.42.0.1 or nothing",
    ),
    "subnets that overlap": (
        ('"fd42::/64", gateway: "fd42::1"', "10.42.0.128/25, gateway: 10.42.0.129"),
        "10.42.0.128/25",
        "network.subnets[1].cidr: '10.42.0.128/25' cannot be used; expected a network apart from "
        "10.42.0.0/24, which stands before it",
    ),
    "name servers nobody reaches": (
        ('"fd42::/64", gateway: "fd42::1"', '10.43.0.0/24, gateway: 10.43.0.1, dns: ["fd42::53"]'),
        '"fd42::53"',
        "network.subnets[1].dns[0]: 'fd42::53' cannot be used; expected a name server that guests "
        "reach: no subnet is of IPv6",
    ),
    "no name server": (
        ("gateway: 10.42.0.1,", "gateway: 10.42.0.1, dns: [224.0.0.1],"),
        "224.0.0.1",
        "network.subnets[0].dns[0]: '224.0.0.1' cannot be used; expected the address of a name",
    ),
    "host bits": (
        ("10.42.0.0/24", "10.42.0.7/24"),
        "10.42.0.7/24",
        "network.subnets[0].cidr: '10.42.0.7/24' cannot be used; expected the network's own "
        "address: 10.42.0.0/24",
    ),
    "a prefix too long for SLAAC": (
        ('"fd42::/64", gateway: "fd42::1", dhcp: true', '"fd42::/72", gateway: "fd42::1"'),
        '"fd42::/72"',
        "expected a prefix of 64 bits, in which guests make their own addresses (SLAAC), or",
    ),
    "a prefix too short to be advertised": (
        ("fd42::/64", "fd42::/48"),
        '"fd42::/48"',
        "expected a prefix of 64 bits: fd42::/64",
    ),
    "an address that the guest does not make": (
        ('"fd42::1", dhcp: true', '"fd42::1", addresses: ["fd42::20"]'),
        '"fd42::20"',
        "network.subnets[1].addresses[0]: 'fd42::20' cannot be used; expected "
        "fd42::5054:ff:fe12:3401, which the guest makes itself of its MAC address (SLAAC), or "
        "dhcp: true",
    ),
    "a route nobody tells": (
        ('gateway: "fd42::1",', 'gateway: "fd42::1", routes: [{to: "fd43::/64", via: "fd42::9"}],'),
        "[",
        "network.subnets[1].routes: 'fd43::/64' cannot be used; expected none of IPv6",
    ),
    "a route by a stranger": (
        ("gateway: 10.42.0.1,", "gateway: 10.42.0.1, routes: [{to: 10.9.0.0/16, via: 10.8.0.1}],"),
        "10.8.0.1",
        "network.subnets[0].routes[0].via: '10.8.0.1' cannot be used; expected an address in "
        "10.42.0.0/24",
    ),
    "no room for a guest": (
        (
            "10.42.0.0/24, gateway: 10.42.0.1, dhcp: true, addresses: [10.42.0.10]",
            "10.42.0.0/31, gateway: 10.42.0.1, dhcp: true",
        ),
        "10.42.0.0/31",
        "expected a prefix of 30 bits at most",
    ),
    "half of the world": (
        ("10.42.0.0/24", "0.0.0.0/1"),
        "0.0.0.0/1",
        "expected a prefix of 8 bits at least",
    ),
    "no network of guests": (
        ('"fd42::/64", gateway: "fd42::1"', '"fe80::/64", gateway: "fe80::1"'),
        '"fe80::/64"',
        "expected a network that guests can have",
    ),
    "somebody else's bridge": (
        ("instance:", "create_bridge: false\ninstance:"),
        "false",
        "create_bridge: False cannot be used; expected true, as nat: true gives the bridge",
    ),
    "an uplink beside NAT": (
        ("  nat: true\n", "  nat: true\n  uplink: eth1\n"),
        "eth1",
        "network.uplink: 'eth1' cannot be used; expected no uplink beside nat: true, or else "
        "neither nat nor dhcp: the host leads guests out by its own routes",
    ),
    "an uplink beside DHCP": (
        ("  nat: true\n", "  uplink: eth1\n"),
        "eth1",
        "expected no uplink beside dhcp: true, or else neither nat nor dhcp: who is behind it has "
        "a router and a DHCP server already",
    ),
    "an MTU too small for IPv6": (
        ("  nat: true\n", "  nat: true\n  mtu: 1000\n"),
        "1000",
        "network.mtu: 1000 cannot be used; expected 1280 at least",
    ),
    "a port in another VLAN": (
        ("instance:", "vlan: 7\ninstance:"),
        "7",
        "vlan: 7 cannot be used; expected none beside nat: true, or 1, in which the bridge",
    ),
    "a name with quotes": (
        ("{name: web}", "{name: 'we\"b'}"),
        "'we\"b'",
        "instance.name: 'we\"b' cannot be used; expected a host name without a domain: letters, "
        "digits and '-' within",
    ),
    "a name that is a time": (
        ("{name: web}", "{name: 12h}"),
        "12h",
        "a time such as 1h, infinite or ignore",
    ),
    "a name with a newline": (
        ("{name: web}", '{name: "we\\nb"}'),
        '"we\\nb"',
        "instance.name: 'we\\nb' cannot be used",
    ),
}


def read(tmp_path: Path, *texts: str) -> Batch:
    names = []
    for number, text in enumerate(texts):
        path = tmp_path / f"f{number}.yaml"
        path.write_text(text)
        names.append(str(path))
    return reader.read_files(names)


def refused(tmp_path: Path, *texts: str) -> tuple[str, str]:
    """Return what stands under the caret, and the sentence, of the only problem."""
    with pytest.raises(BadInput) as caught:
        read(tmp_path, *texts)
    [problem] = caught.value.problems
    mark = problem.mark
    assert mark is not None
    begin = mark.column - 1
    return mark.text[begin : begin + mark.width], str(problem)


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_told_where_it_stands(name: str, tmp_path: Path) -> None:
    (old, new), caret, words = WRONG[name]
    assert old in ONE
    under, said = refused(tmp_path, ONE.replace(old, new, 1))
    assert words in said
    assert under == caret


def test_what_a_bridge_without_either_may_have(tmp_path: Path) -> None:
    text = ONE.replace("  nat: true\n", "  uplink: eth1\n").replace("dhcp: true", "dhcp: false")
    text = text.replace("{name: web}", "{name: 'the \"web\"'}").replace("10.42.0.1,", "10.1.1.1,")
    assert read(tmp_path, text).said == {}


OTHERS = {
    "another subnet": (
        ('  - {cidr: "fd42::/64", gateway: "fd42::1", dhcp: true}\n', ""),
        "-",
        "network.subnets: '10.42.0.0/24' here and '10.42.0.0/24 fd42::/64' at ",
    ),
    "another gateway": (
        ("10.42.0.1,", "10.42.0.2,"),
        "-",
        "network.subnets: this is not the network of the VIF at ",
    ),
    "one subnet twice": (
        (
            SECOND[SECOND.index("  nat") :],
            "  subnets: [{cidr: 10.42.0.0/24}, {cidr: 10.42.0.0/24, gateway: 10.42.0.1}]\n",
        ),
        "[",
        "network.subnets: this is not the network of the VIF at ",
    ),
    "nothing said": (
        (SECOND[SECOND.index("network:") :], ""),
        "t",
        ": this is not the network of the VIF at ",
    ),
    "one address": (
        ("[10.42.0.20]", "[10.42.0.10]"),
        "10.42.0.10",
        "network.subnets[0].addresses[0]: '10.42.0.10' is taken by the VIF at ",
    ),
    "one name": (
        ("network:", "instance: {name: Web}\nnetwork:"),
        "Web",
        "instance.name: 'Web' is taken by the VIF at ",
    ),
    "two bridges with one subnet": (
        ("bridge: br-guests", "bridge: br-others"),
        "10.42.0.0/24",
        "network.subnets[0].cidr: '10.42.0.0/24' cannot be used; expected a network apart from "
        "10.42.0.0/24 of bridge br-guests, at ",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_two_of_one_call_cannot_be(name: str, tmp_path: Path) -> None:
    (old, new), caret, words = OTHERS[name]
    text = SECOND.replace(old, new, 1)
    if "bridges" in name:
        text = text.replace('"fd42::/64", gateway: "fd42::1"', '"fd43::/64", gateway: "fd43::1"')
    under, said = refused(tmp_path, ONE, text)
    assert words in said
    assert "f0.yaml:" in said
    assert under == caret


def test_two_mtus_of_one_server(tmp_path: Path) -> None:
    """It tells all guests of a bridge one, so of two each would take it from the other."""
    batch = read(tmp_path, ONE, SECOND.replace("  nat: true\n", "  nat: true\n  mtu: 1400\n"))
    served = {"nat": {"br-guests": True}, "dhcp_subnets": {"br-guests": "10.42.0.0/24 fd42::/64"}}
    with vifs.configured("linux_bridge", create_tap=True, **served):
        with pytest.raises(BadInput) as caught:
            reader.describe_all(batch)
        requests = reader.describe_all(batch, unplugging=True)
    [problem] = caught.value.problems
    assert problem.field == "network.mtu"
    assert "dnsmasq on br-guests is described otherwise by the VIF at " in str(problem)
    assert len(requests) == 2, "each can be taken away"


def test_two_of_one_network(tmp_path: Path) -> None:
    batch = read(tmp_path, ONE, SECOND)
    assert {key: value for key, (value, _mark) in batch.said.items()} == {
        ("linux_bridge", "nat", "br-guests"): True,
        ("linux_bridge", "dhcp_subnets", "br-guests"): "10.42.0.0/24 fd42::/64",
    }


@pytest.mark.parametrize("head", ["type: tap\n", "type: openvswitch\nbridge: br-int\n"])
def test_other_types_know_neither(head: str, tmp_path: Path) -> None:
    text = head + ONE.removeprefix("type: bridge\nbridge: br-guests\n")
    with pytest.raises(BadInput) as caught:
        read(tmp_path, text)
    said = [str(problem).partition(": ")[2] for problem in caught.value.problems]
    assert [it.partition("; ")[0] for it in said] == [
        "network.nat: unknown field",
        "network.subnets[0].dhcp: unknown field",
        "network.subnets[1].dhcp: unknown field",
    ]


GOOD = [("10.42.0.0/24", "10.42.0.1"), ("fd42::/64", "fd42::1"), ("fd42::/80", "fd42::1")]
ODD = [
    *(("10.42.0.0/31", "10.42.0.1"), ("10.42.0.9/24", "10.42.0.1"), ("10.42.0.0/24", None)),
    *(("fd42::/48", "fd42::1"), ("fe80::/64", "fe80::1"), ("::/0", "fd42::1"), ("blue", "::1")),
]
ADDRESSES = "10.42.0.1 10.42.0.0 10.42.0.255 10.42.0.9 fd42::1 fd42:: fd42::5054:ff:fe12:3401 ::1"
ROUTES = [
    {"to": "10.9.0.0/16", "via": "10.42.0.9"},
    {"to": "10.9.0.0/16", "via": "10.9.0.1"},
    {"to": "fd43::/64", "via": "fd42::9"},
    {"to": "10.9.0.0/16"},
]
ANY_ADDRESS = strategies.sampled_from([*ADDRESSES.split(), "0.0.0.0", "224.0.0.1"])  # noqa: S104
SUBNET = strategies.fixed_dictionaries(
    {"pair": strategies.sampled_from(GOOD * 4 + ODD)},
    optional={
        "dhcp": strategies.sampled_from([True, True, False, None, "maybe"]),
        "dhcp_server": ANY_ADDRESS,
        "dns": strategies.lists(ANY_ADDRESS, max_size=1),
        "addresses": strategies.lists(ANY_ADDRESS, max_size=2),
        "routes": strategies.lists(strategies.sampled_from(ROUTES), max_size=1),
    },
)


@given(
    strategies.lists(SUBNET, min_size=1, max_size=2),
    strategies.sampled_from([True, False, None]),
    strategies.sampled_from(["web", "web", "db", "12h", "10.42", "a.b", "a b", "x" * 64, "-a"]),
    strategies.sampled_from([1500, 1500, 1279, None]),
)
def test_what_a_file_may_say_the_plugin_takes(
    subnets: list[dict[str, Any]], nat: bool | None, name: str, mtu: int | None
) -> None:
    for subnet in subnets:
        subnet["cidr"], subnet["gateway"] = subnet.pop("pair")
    network = json.dumps({"nat": nat, "mtu": mtu, "subnets": subnets})
    head = ONE[: ONE.index("instance")]
    text = f"{head}instance: {{name: {name}}}\nnetwork: {network}\n"
    batch = Batch()
    reader.read_text("f.yaml", text, batch)
    if batch.problems:
        assert all(problem.mark and problem.mark.line for problem in batch.problems)
        return
    [entry] = batch.entries
    options: dict[str, Any] = {"nat": {}, "dhcp_subnets": {}}
    for (_plugin, option, key), (value, _mark) in batch.said.items():
        options[option][key] = value
    with vifs.configured("linux_bridge", create_tap=True, **options):
        for unplugging in (False, True):
            describe(entry.vif, entry.instance, unplugging=unplugging)


# --- what a caller says ---------------------------------------------------------------------------


def a_vif(**fields: Any) -> Any:
    subnets = [
        vifs.subnet("10.42.0.0/24", ["10.42.0.10"], gateway="10.42.0.1"),
        vifs.subnet("fd42::/64", gateway="fd42::1"),
    ]
    subnets[0].dns = ["10.42.0.53", "fd42::53"]
    subnets[0].dhcp_server = "10.42.0.1"
    return vifs.bridge_vif(network=vifs.network(subnets=fields.pop("subnets", subnets), **fields))


def resources(vif: Any, *, unplugging: bool = False, **options: Any) -> tuple[Resource, ...]:
    with vifs.configured("linux_bridge", **options):
        return describe(vif, vifs.instance(), unplugging=unplugging).topology.resources


NOTHING = (
    Tap(
        name=vifs.tap_name(1),
        known_macs=macs_of_guest(vifs.guest_mac(1)),
        adopt=False,
    ),
)
"""What a VIF leaves to be taken away whose tap is libvirt's."""


BOTH = {"nat": {"br0": True}, "dhcp_subnets": {"br0": "10.42.0.0/24 fd42::/64"}}


def test_a_network_of_nova_is_served_by_nobody_here() -> None:
    elsewhere = {"nat": {"br1": True}, "dhcp_subnets": {"br1": "10.42.0.0/24"}}
    for options in ({}, elsewhere, {"nat": {"br0": False}}):
        assert resources(a_vif(), **options) == (Bridge(name="br0", mtu=1500),)
        assert resources(a_vif(), unplugging=True, **options) == NOTHING


def test_a_network_of_this_host() -> None:
    bridge, gateway, served, reserved, tap = resources(a_vif(mtu=1400), create_tap=True, **BOTH)
    assert bridge == Bridge(name="br0", mtu=1400)
    assert gateway == Gateway(
        bridge="br0",
        addresses=("10.42.0.1/24", "fd42::1/64"),
        nat=("10.42.0.0/24", "fd42::/64"),
    )
    assert served == Dnsmasq(
        bridge="br0",
        subnets=(
            ServedSubnet(cidr="10.42.0.0/24", gateway="10.42.0.1", dns=("10.42.0.53",), dhcp=True),
            ServedSubnet(cidr="fd42::/64", gateway="fd42::1", dns=("fd42::53",), dhcp=True),
        ),
        mtu=1400,
        forwards=True,
    )
    assert reserved == Reservation(
        bridge="br0", mac=vifs.guest_mac(1), addresses=("10.42.0.10",), name="guest1"
    )
    assert isinstance(tap, Tap)


def test_the_order_of_subnets_is_no_difference() -> None:
    turned = a_vif()
    turned.network.subnets.objects.reverse()
    assert resources(turned, **BOTH) == resources(a_vif(), **BOTH)


def test_what_a_caller_leaves_unset() -> None:
    vif = a_vif()
    subnet = vif.network.subnets[0]
    subnet.routes = RouteList(objects=[Route(cidr="10.9.0.0/16"), Route(cidr="10.8.0.0/16")])
    subnet.routes[1].gateway = "10.42.0.9"
    subnet.ips.objects.append(FixedIP())
    _bridge, _gateway, served, reserved = resources(vif, **BOTH)
    assert served.subnets[0].routes == (("10.8.0.0/16", "10.42.0.9"),)
    assert reserved.addresses == ("10.42.0.10",)


def test_the_half_of_it() -> None:
    out = {"nat": BOTH["nat"]}
    [_bridge, gateway] = resources(a_vif(), **out)
    assert gateway.nat == ("10.42.0.0/24", "fd42::/64")
    told = {"dhcp_subnets": {"br0": "fd42::/64"}}
    [_bridge, gateway, served, reserved] = resources(a_vif(), **told)
    assert gateway.nat == ()
    assert not served.forwards, "who is kept inside asks nobody outside"
    assert gateway.addresses == ("10.42.0.1/24", "fd42::1/64")
    assert [(it.cidr, it.dhcp) for it in served.subnets] == [
        ("10.42.0.0/24", False),
        ("fd42::/64", True),
    ]
    assert reserved.addresses == ("10.42.0.10",)


def test_what_is_taken_away() -> None:
    tap, gateway, served, reserved = resources(a_vif(), unplugging=True, **BOTH)
    assert (tap,) == NOTHING
    assert gateway == Gateway(bridge="br0")
    assert isinstance(served, Dnsmasq)
    assert isinstance(reserved, Reservation)
    others = [
        [],
        [vifs.subnet("10.42.0.7/24")],
        [*a_vif().network.subnets, vifs.subnet("10.43.0.7/24")],
    ]
    for other in (a_vif(subnets=subnets) for subnets in others):
        assert resources(other, unplugging=True, **BOTH) == (*NOTHING, gateway)


@pytest.mark.parametrize(
    ("fields", "options", "field", "expected"),
    [
        (
            {"subnets": [vifs.subnet("10.42.0.0/24", gateway="10.43.0.1")]},
            {"nat": {"br0": True}},
            "network.subnets[0].gateway",
            "an address in 10.42.0.0/24",
        ),
        (
            {"subnets": [vifs.subnet("10.42.0.7/24", gateway="10.42.0.1")]},
            {"nat": {"br0": True}},
            "network.subnets[0].cidr",
            "the network's own address: 10.42.0.0/24",
        ),
        ({"should_provide_bridge": False}, BOTH, "create_bridge", "true, as nat: true gives"),
        ({"bridge_interface": "eth0"}, BOTH, "network.uplink", "no uplink beside nat: true"),
        (
            {},
            {"dhcp_subnets": {"br0": "10.44.0.0/24"}},
            "dhcp_subnets",
            "subnets of the network: 10.42.0.0/24, fd42::/64",
        ),
        ({}, {"dhcp_subnets": {"br0": "blue"}}, "dhcp_subnets", "networks, as in 10.42.0.0/24"),
        ({"mtu": 1000}, BOTH, "network.mtu", "1280 at least"),
    ],
)
def test_a_caller_is_refused_too(
    fields: dict[str, Any], options: dict[str, Any], field: str, expected: str
) -> None:
    with pytest.raises(exception.InvalidField) as caught:
        resources(a_vif(**fields), **options)
    assert caught.value.kwargs["field"] == field
    assert expected in caught.value.kwargs["expected"]


def test_a_callers_guest_has_a_name_of_a_host() -> None:
    guest = vifs.instance()
    guest.name = 'the "web"\n'
    with vifs.configured("linux_bridge", **BOTH), pytest.raises(exception.InvalidField) as caught:
        describe(a_vif(), guest)
    assert caught.value.kwargs["field"] == "instance.name"


@pytest.mark.parametrize(
    ("guest", "device", "found"),
    [("Web", "tap0", "Web"), ("", "tap-web", "tap-web"), ("", "tap_web", ""), ("", "tap.7", "")],
)
def test_what_a_guest_is_found_by(guest: str, device: str, found: str) -> None:
    assert host_name(guest, device) == found


# --- the way back ---------------------------------------------------------------------------------


def test_it_is_written_as_it_was_said(tmp_path: Path) -> None:
    text = ONE.replace("dhcp: true, addr", "dhcp: true, dns: [10.42.0.53], addr")
    [entry] = read(tmp_path, text).entries
    with vifs.configured(
        "linux_bridge",
        create_tap=True,
        nat={"br-guests": True},
        dhcp_subnets={"br-guests": "10.42.0.0/24 fd42::/64"},
    ):
        made = describe(entry.vif, entry.instance).topology.resources
    [gateway] = (it for it in made if isinstance(it, Gateway))
    [served] = (it for it in made if isinstance(it, Dnsmasq))
    [reserved] = (it for it in made if isinstance(it, Reservation))
    server = Server(running=True, subnets=served.subnets, mtu=served.mtu)
    there: Held = held(
        "linux_bridge",
        {"br-guests": tuple(it for it in made if isinstance(it, Bridge))},
        links=(link("tap", "tap-web", "linux_bridge", master="br-guests"),),
        gateways=(Served("br-guests", addresses=gateway.addresses, nat=gateway.nat),),
        reservations=(Guest(reserved, server),),
    )
    row = types.all_types()["bridge"]
    told = row.held(there) if row.held else None
    assert told is not None
    assert told.values["network"] == {"mtu": 1500, **entry.values["network"]} | {
        "subnets": [
            {key: value for key, value in it.items() if value != []}
            for it in entry.values["network"]["subnets"]
        ]
    }
    assert told.values["id"] == ID
    assert told.unknown[0].startswith("id and label of the network")
