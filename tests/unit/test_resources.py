# SPDX-License-Identifier: Apache-2.0
"""Everything in a VIF is text from somewhere else: what is refused, and in which words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from os_vif import exception
from os_vif.engine import checks
from os_vif.host.forwarding.resources import ForwardRules
from os_vif.host.links import resources
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour

BAD_NAMES = [
    "",
    "a" * 16,
    "tap\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\N{SNOWMAN}" * 5 + "a",
    "eth/0",
    "../eth0",
    ".",
    "..",
    "all",
    "default",
    "eth 0",
    "eth0 ",
    " eth0",
    "eth\t0",
    "eth0\n",
    "eth0\0",
    "\0",
    "tap%d",
    "%",
    "eth0:1",
    "-j",
    "eth+",
    "eth*",
    "eth;reboot",
    "$(id)",
    'eth"0',
    "\udcff",
    None,
    7,
    b"eth0",
    ["eth0"],
]
GOOD_NAMES = ["a", "a" * 15, "eth0", "eth0.100", "br-int", "qvo1_2", "0", "_", "vlan4094", ".a"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names(name: Any) -> None:
    with pytest.raises(exception.InvalidField) as caught:
        checks.interface_name(name, "vif_name")
    assert caught.value.kwargs["field"] == "vif_name"
    assert caught.value.kwargs["value"] == name
    text = str(caught.value)
    assert text.startswith("vif_name: ")
    assert repr(name) in text
    assert "expected" in text
    assert "\n" not in text
    assert "\0" not in text


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_good_names(name: str) -> None:
    assert checks.interface_name(name) == name


@given(st.text(max_size=20))
def test_a_name_that_passes_is_harmless(name: str) -> None:
    try:
        checks.interface_name(name)
    except exception.InvalidField:
        return
    assert 0 < len(name.encode()) < checks.IFNAMSIZ
    assert not set(name) & set("/:% \t\n\0'\"\\$`;&|<>(){}[]*?!#~+,=@^")
    assert name not in (".", "..", "all", "default")
    assert not name.startswith("-")


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_an_alternative_name_may_be_longer_and_no_wilder(name: str) -> None:
    longest = (name + "a" * checks.ALTIFNAMSIZ)[: checks.ALTIFNAMSIZ - 1]
    assert checks.any_interface_name(name) == name
    assert checks.any_interface_name(longest) == longest
    with pytest.raises(exception.InvalidField, match="at most 15 bytes"):
        checks.interface_name(longest)
    with pytest.raises(exception.InvalidField, match="at most 127 bytes"):
        checks.any_interface_name(f"{longest}a")
    for odd in "/:%\n\0 é":
        with pytest.raises(exception.InvalidField):
            checks.any_interface_name(f"{longest[:-2]}{odd}")


def test_what_would_be_right_is_said() -> None:
    with pytest.raises(exception.InvalidField, match="at most 15 bytes"):
        checks.interface_name("a" * 16)
    with pytest.raises(exception.InvalidField, match="letters, digits"):
        checks.interface_name("a b")


@pytest.mark.parametrize(
    ("mac", "said"),
    [
        ("00:00:00:00:00:00", "not 0"),
        ("01:00:5e:00:00:01", "multicast"),
        ("ff:ff:ff:ff:ff:ff", "multicast"),
        ("33:33:00:00:00:01", "multicast"),
        ("52:54:00:12:34", "six bytes"),
        ("52:54:00:12:34:56:78", "six bytes"),
        ("52:54:00:12:34:5g", "six bytes"),
        ("525400123456", "six bytes"),
        ("52:54:00:12:34:56\n", "six bytes"),
        ("52:54:00:12:34:\N{ARABIC-INDIC DIGIT FIVE}6", "six bytes"),
        ("", "six bytes"),
        (None, "six bytes"),
        (0x525400123456, "six bytes"),
    ],
)
def test_bad_macs(mac: Any, said: str) -> None:
    with pytest.raises(exception.InvalidField, match=said) as caught:
        checks.mac_address(mac, "VIFBridge.address")
    assert caught.value.kwargs["field"] == "VIFBridge.address"
    assert repr(mac) in str(caught.value)


@pytest.mark.parametrize("mac", ["52:54:00:AB:CD:EF", "52-54-00-ab-cd-ef", "52:54:00:ab:cd:ef"])
def test_good_macs_are_written_one_way(mac: str) -> None:
    assert checks.mac_address(mac) == "52:54:00:ab:cd:ef"


def test_the_hosts_end_never_has_the_guests_mac() -> None:
    for guest in ("52:54:00:00:00:01", "fe:54:00:00:00:01", "fa:16:3e:00:00:01"):
        host = resources.host_side_mac(guest)
        assert host != guest
        assert host[2:] == guest[2:]
        assert checks.mac_address(host) == host
        assert int(host[:2], 16) & 2, "locally administered"


NUMBERS = [
    (checks.mtu_bytes, 68, 65535, "bytes from 68 to 65535"),
    (checks.vlan_tag, 1, 4094, "VLAN id from 1 to 4094"),
]


@pytest.mark.parametrize(("check", "low", "high", "said"), NUMBERS)
def test_numbers(check: Callable[..., int], low: int, high: int, said: str) -> None:
    assert check(low) == low
    assert check(high) == high
    for bad in (low - 1, high + 1, 0, -1, "1500", 1500.0, True, None, 2**64):
        with pytest.raises(exception.InvalidField, match=said) as caught:
            check(bad, "network.field")
        assert caught.value.kwargs == {
            "field": "network.field",
            "value": bad,
            "expected": caught.value.kwargs["expected"],
        }


@pytest.mark.parametrize(
    "bad", ["", "a b", "a" * 65, "-a", "a/b", "a\n", "id=1", 'a"b', None, 1, "\N{SNOWMAN}"]
)
def test_ids_that_cannot_stand_in_a_mark(bad: Any) -> None:
    with pytest.raises(exception.InvalidField, match="id: "):
        checks.vif_id(bad)
    with pytest.raises(exception.InvalidField, match="plugin: "):
        checks.word(bad, "plugin")


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("vhost.sock", "an absolute path"),
        ("", "an absolute path"),
        (None, "an absolute path"),
        (b"/run/vhost.sock", "an absolute path"),
        ("/run/a\0b", "an absolute path without control characters"),
        ("/run/a\n", "an absolute path without control characters"),
        ("/run/vhost/", "the path of a socket, which does not end in /"),
        ("/", "the path of a socket, which does not end in /"),
        ("/run/\ud800", "text that this host's file names can hold"),
        ("/run/a\udc80", "text that this host's file names can hold"),
        ("/" + 107 * "a", "at most 107 bytes (unix(7))"),
        ("/a" + 53 * "\N{SNOWMAN}", "at most 107 bytes (unix(7))"),
    ],
)
def test_paths_that_no_socket_has(bad: Any, expected: str) -> None:
    for check in (checks.socket_path, checks.back_end_path):
        with pytest.raises(exception.InvalidField) as caught:
            check(bad, "VIFVHostUser.path")
        assert str(caught.value) == (
            f"VIFVHostUser.path: {bad!r} cannot be used: expected {expected}"
        )


def test_paths_of_sockets() -> None:
    for path in ("/run/vhost/1", "/" + 106 * "a", "/run/a b,c", "/" + 35 * "\N{SNOWMAN}"):
        assert checks.socket_path(path) == path
    assert checks.back_end_path("/run/vhost.d/~a_1+2-3:4@5") == "/run/vhost.d/~a_1+2-3:4@5"
    with pytest.raises(exception.InvalidField, match="only letters, digits and"):
        checks.back_end_path("/run/a b,c")


def test_resources_check_their_fields() -> None:
    tap = {"name": "tap0"}
    bad: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
        (resources.Tap, {"name": "a b"}, "vif_name"),
        (resources.Tap, {**tap, "mac": "01:00:00:00:00:00"}, "mac"),
        (resources.Tap, {**tap, "mtu": 67}, "network.mtu"),
        (resources.Tap, {**tap, "mtu": 65522}, "network.mtu"),
        (resources.Tap, {**tap, "bridge": ""}, "bridge"),
        (resources.Bridge, {"name": "br/0"}, "bridge"),
        (resources.Vlan, {"name": "vlan1", "link": "eth0", "vlan_id": 0}, "vlan"),
        (resources.Vlan, {"name": "vlan1", "link": "..", "vlan_id": 1}, "vlan_interface"),
        (resources.Uplink, {"name": "", "bridge": "br0", "mtu": 1500}, "bridge_interface"),
        (resources.Uplink, {"name": "eth0", "bridge": "%", "mtu": 1500}, "bridge"),
        (resources.Uplink, {"name": "eth0", "bridge": "br0", "mtu": 0}, "mtu"),
        (
            ForwardRules,
            {"bridge": "br0", "ipv6": False, "rules": (), "top_regex": "("},
            "iptables_top_regex",
        ),
        (
            ForwardRules,
            {"bridge": "br0", "ipv6": False, "rules": (), "bottom_regex": "["},
            "iptables_bottom_regex",
        ),
        (HostRoute, {"device": "tap0", "destination": "10.0.0.1/24"}, "route"),
        (HostRoute, {"device": "tap0", "destination": 7}, "route"),
        (
            HostRoute,
            {"device": "tap0", "destination": "10.0.0.0/24", "gateway": "x"},
            "route.gateway",
        ),
        (ProxyNeighbour, {"device": "tap0", "address": "10.0.0.1"}, "proxy neighbour"),
    ]
    for kind, fields, field in bad:
        with pytest.raises(exception.InvalidField) as caught:
            kind(**fields)
        assert caught.value.kwargs["field"] == field, kind


def test_resources_cannot_be_changed_behind_the_checks() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        resources.Bridge(name="br0").name = "a/b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (checks.bit_rate, 8000, 8000),
        (checks.bit_rate, "8000", 8000),
        (checks.bit_rate, "100kbit", 100_000),
        (checks.bit_rate, "1.5 Mbit/s", 1_500_000),
        (checks.bit_rate, "10Gbit", 10_000_000_000),
        (checks.burst_bytes, "64 KiB", 65536),
        (checks.burst_bytes, "64kB", 64000),
        (checks.burst_bytes, "1.5MiB", 1572864),
        (checks.burst_bytes, 2000, 2000),
    ],
)
def test_quantities(check, value, expected):
    assert check(value) == expected


@pytest.mark.parametrize(
    ("check", "value"),
    [
        *((checks.bit_rate, it) for it in (7999, "7 kbit", "2000 Gbit", True, 1.5, None, "fast")),
        *((checks.bit_rate, it) for it in ("10 MB", "-1", "1e9", "10 Mbit\n", "1.2.3 Mbit", "")),
        *((checks.burst_bytes, it) for it in (1999, "2 GB", "64 kbit", "x", None, False)),
    ],
)
def test_what_is_no_quantity(check, value):
    with pytest.raises(exception.InvalidField, match="as in"):
        check(value)
