# SPDX-License-Identifier: Apache-2.0
"""What check warns of is so, and of nothing else: shown by packets between guests with kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from tests import guest, vifs, witness
from tests.firewalls import DOCKER, FIREWALLD, set_rules
from tests.functional.calls import plug, steps_left, unplug
from tests.kernel_guest import KernelGuest, kernel_guest

pytestmark = pytest.mark.functional

FOUR, SIX = "10.9.0.{}", "2001:db8:9::{}"
SOON = 2
"""Seconds after which a ping that is to go unanswered is given up."""


@pytest.fixture
def inside(inside: Any) -> Iterator[Any]:
    """Where a bridge's packets go through the host's firewall, as they do once Docker is there."""
    for name in ("iptables", "ip6tables"):
        Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}").write_text("1")
    with vifs.configured("linux_bridge", create_tap=True):
        yield inside


def pair(**fields: Any) -> list[Any]:
    return [vifs.bridge_vif(number, **fields) for number in (1, 2)]


@contextlib.contextmanager
def running(*plugged: Any) -> Iterator[list[KernelGuest]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                kernel_guest(
                    guest.Guest(vif.vif_name, vif.address).descriptor,
                    vif.address,
                    f"{FOUR.format(number)}/24",
                    f"{SIX.format(number)}/64",
                )
            )
            for number, vif in enumerate(plugged, 1)
        ]


def warnings(vif: Any) -> list[tuple[str, str]]:
    [found] = os_vif.examine([(vif, vifs.instance())])
    assert (found.steps, found.error) == ((), None)
    return [(it.device, it.words) for it in found.warnings]


OF_BRIDGES = """
table bridge filter {
    chain forward {
        type filter hook forward priority 0; policy POLICY;
        ether type arp accept
        RULE
    }
}"""
DROPPING = {
    "policy": ("iptables -w -P FORWARD DROP", {4}),
    "both": ("iptables -w -P FORWARD DROP\nip6tables -w -P FORWARD DROP", {4, 6}),
    "a rule for all": ("ip6tables -w -A FORWARD -j REJECT", {6}),
    "established": (
        "iptables -w -P FORWARD DROP\n"
        "iptables -w -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        {4},
    ),
    "let pass": ("iptables -w -P FORWARD DROP\niptables -w -A FORWARD -i br0 -j ACCEPT", set()),
    "of docker": (DOCKER, {4}),
    "of others": ("iptables -w -A FORWARD -i br7 -j DROP", set()),
    "firewalld": (FIREWALLD, {4, 6}),
    "firewalld, in a zone": (FIREWALLD.replace("ZONED", "br0"), set()),
    "nft, of bridges": (OF_BRIDGES.replace("POLICY", "drop").replace("RULE", ""), {4, 6}),
    "nft, of bridges, IPv6": (
        OF_BRIDGES.replace("POLICY", "accept").replace("RULE", "meta protocol ip6 drop"),
        {6},
    ),
    "nft, of another port": (
        OF_BRIDGES.replace("POLICY", "accept").replace("RULE", 'iifname "tap7" drop'),
        set(),
    ),
}


@pytest.mark.parametrize("case", DROPPING)
def test_a_firewall_between_the_ports_of_a_bridge(inside: Any, case: str) -> None:
    rules, dropped = DROPPING[case]
    plugged = pair(has_traffic_filtering=True)
    for vif in plugged:
        plug(vif)
    assert warnings(plugged[0]) == []
    set_rules(rules)
    told = warnings(plugged[0])
    assert {
        version for version in (4, 6) for _at, said in told if f"IPv{version}" in said
    } == dropped
    assert {device for device, _words in told} == ({"br0"} if dropped else set())
    with running(*plugged) as (one, _two):
        for version, address in ((4, FOUR.format(2)), (6, SIX.format(2))):
            seconds = SOON if version in dropped else 30
            assert one.reaches(address, seconds) == (version not in dropped), (version, told)


def test_where_frames_do_not_leave_the_bridge_nothing_is_dropped(inside: Any) -> None:
    Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text("0")
    set_rules("iptables -w -P FORWARD DROP")
    plugged = pair(has_traffic_filtering=True)
    for vif in plugged:
        plug(vif)
    assert warnings(plugged[0]) == []
    with running(*plugged) as (one, _two):
        assert one.reaches(FOUR.format(2))


def test_ipv6_passes_where_nobody_said_what_guests_speak(inside: Any) -> None:
    """A chain that drops by default drops IPv6 as it does IPv4."""
    set_rules("iptables -w -P FORWARD DROP\nip6tables -w -P FORWARD DROP")
    plugged = pair(has_traffic_filtering=False)
    [before] = os_vif.examine([(plugged[0], vifs.instance())])
    assert before.warnings == ()
    for vif in plugged:
        plug(vif)
        assert warnings(vif) == []
    with running(*plugged) as (one, _two):
        assert one.reaches(FOUR.format(2))
        assert one.reaches(SIX.format(2))
    rules = witness.rules("ip6tables")
    plug(plugged[0])
    assert witness.rules("ip6tables") == rules
    witness.run("ip6tables", "-w", "-F", "FORWARD")
    assert len(steps_left(plugged[0])) == 1
    plug(plugged[0])
    assert len(witness.rules("ip6tables")) == 2
    for vif in plugged:
        unplug(vif)
    assert witness.rules("ip6tables") == witness.rules() == []


def test_ipv6_of_a_network_of_ipv4_is_dropped_and_told(inside: Any) -> None:
    set_rules("iptables -w -P FORWARD DROP\nip6tables -w -P FORWARD DROP")
    network = vifs.network(subnets=[vifs.subnet("10.9.0.0/24", ["10.9.0.1"])])
    plugged = pair(has_traffic_filtering=False, network=network)
    for vif in plugged:
        plug(vif)
    [(device, words)] = warnings(plugged[0])
    assert (device, words) == (
        "br0",
        "the chain FORWARD of ip6tables drops IPv6 between its ports; name an IPv6 subnet of the "
        "network, and rules let it pass",
    )
    with running(*plugged) as (one, _two):
        assert one.reaches(FOUR.format(2))
        assert not one.reaches(SIX.format(2), SOON)
    assert witness.rules("ip6tables") == []


def test_ipv6_rules_are_not_set_where_nothing_drops(inside: Any) -> None:
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    plug(vif)
    assert witness.rules("ip6tables") == []
    witness.run("ip6tables", "-w", "-P", "FORWARD", "DROP")
    Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables").write_text("0")
    assert steps_left(vif) == []
    Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables").write_text("1")
    assert len(steps_left(vif)) == 1


# --- no iptables ----------------------------------------------------------------------------------


@pytest.fixture
def no_iptables(inside: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    import shutil

    found = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, *_more, **_path: None if "tables" in name else found(name)
    )
    return inside


def test_a_host_without_iptables_says_so(no_iptables: Any, caplog: Any) -> None:
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    [outcome] = os_vif.plug_many([(vif, vifs.instance())])
    assert outcome.error is None
    words = "this host has no iptables command, so there are no rules"
    assert outcome.warnings[0].words.startswith(words)
    assert warnings(vif)[0][1].startswith(words)
    plug(vif)
    assert words in caplog.text
    caplog.clear()
    unplug(vif)
    assert words not in caplog.text


def test_rules_that_keep_something_out_must_be_had(no_iptables: Any) -> None:
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    with vifs.configured("linux_bridge", forward_bridge_interface=["eth7"]):
        [outcome] = os_vif.plug_many([(vif, vifs.instance())])
        assert "there is no iptables command; install the iptables package" in str(outcome.error)
        assert no_iptables.links() == {}
        assert "set_forwarding" in [step.kind for step in os_vif.plan(vif, vifs.instance())]


# --- guests that the host routes to ---------------------------------------------------------------

WORLD = (
    "link add eth0 type veth peer name world\n"
    "link set eth0 up\nlink set world up\n"
    "addr add 198.51.100.2/24 dev eth0\naddr add 2001:db8:100::2/64 dev eth0 nodad\n"
)
ROUTES = (
    "route add default via 198.51.100.1 dev eth0\nroute add ::/0 via 2001:db8:100::1 dev eth0\n"
)


BEYOND = (
    "link set lo up\nlink set world up\n"
    "addr add 198.51.100.1/24 dev world\naddr add 203.0.113.9/32 dev world\n"
    "addr add 2001:db8:100::1/64 dev world nodad\naddr add 2001:db8:200::9/128 dev world nodad\n"
    "route add 10.9.0.1/32 via 198.51.100.2\nroute add 2001:db8:9::1/128 via 2001:db8:100::2\n"
)


@pytest.fixture
def world(inside: Any, other_host: Any) -> Any:
    """Return a host whose uplink leads to another one, that knows the way back to the guest."""
    witness.ip(WORLD)
    witness.ip(f"link set world netns {other_host.pid}")
    other_host.run("ip", "-batch", "-", input=BEYOND)
    return inside


def routed() -> Any:
    subnets = [
        vifs.subnet("10.9.0.0/24", ["10.9.0.1"]),
        vifs.subnet("2001:db8:9::/64", ["2001:db8:9::1"], gateway="2001:db8:9::fe"),
    ]
    return vifs.tap_vif(network=vifs.network(subnets=subnets, should_provide_bridge=False))


FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
TO_THE_WORLD = {
    "well": ("", "", {}),
    "no route": ("no route", "", {4: "no default route for IPv4", 6: "no default route for IPv6"}),
    "no IPv4": ("4", "", {4: "IPv4 is not forwarded from eth0"}),
    "no IPv6": ("6", "", {6: "IPv6 is not forwarded from eth0"}),
    "firewall": (
        "",
        "ip6tables -w -P FORWARD DROP",
        {6: "the chain FORWARD of ip6tables drops IPv6 from here to eth0"},
    ),
}


@pytest.mark.parametrize("case", TO_THE_WORLD)
def test_a_guest_that_the_host_routes_to(world: Any, case: str) -> None:
    wrong, rules, expected = TO_THE_WORLD[case]
    if wrong != "no route":
        witness.ip(ROUTES)
    for version, path in FORWARDING.items():
        Path(f"/proc/sys/{path}").write_text("0" if wrong == str(version) else "1")
    set_rules(rules)
    vif = routed()
    with vifs.configured("tap", routed=True):
        plug(vif)
        told = [words for _device, words in warnings(vif)]
        assert len(told) == len(expected)
        assert all(any(part in words for words in told) for part in expected.values()), told
    descriptor = guest.Guest(vif.vif_name, vif.address).descriptor
    with kernel_guest(descriptor, vif.address, "10.9.0.1/32", "2001:db8:9::1/128") as made:
        routes = "route add default dev eth0\nroute add ::/0 via 2001:db8:9::fe dev eth0 onlink\n"
        made.host.run("ip", "-batch", "-", input=routes)
        for version, address in ((4, "203.0.113.9"), (6, "2001:db8:200::9")):
            seconds = SOON if version in expected else 30
            assert made.reaches(address, seconds) == (version not in expected), version
