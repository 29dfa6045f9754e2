# SPDX-License-Identifier: Apache-2.0
"""Guests behind a gateway reach an outside that knows no way back to them, and each other."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from tests import guest, vifs, witness
from tests.conftest import PrivateHost
from tests.firewalls import DOCKER, FIREWALLD, LIBVIRT, set_rules
from tests.functional.calls import plug, steps_left, unplug
from tests.gateways import BR0, BR1, changed, gateways, outside, ruleset, whole
from tests.kernel_guest import KernelGuest, kernel_guest, reaches

pytestmark = pytest.mark.functional

OUTSIDE = {4: "192.0.2.1", 6: "2001:db8::1"}
HOST = {4: "192.0.2.10", 6: "2001:db8::a"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PORT, SOON, PATIENCE = 7777, 1, 30


@pytest.fixture
def beyond(inside: Any) -> Iterator[PrivateHost]:
    """The outside, of a host whose bridges br0 and br1 have gateways."""
    with (
        vifs.configured("linux_bridge", create_tap=True),
        outside(inside) as other,
        gateways(BR0, BR1),
    ):
        yield other


def on_bridge(number: int, bridge: str, *, rules: bool = False) -> Any:
    return vifs.bridge_vif(number, bridge, has_traffic_filtering=not rules)


@contextlib.contextmanager
def running(number: int, bridge: str = "br0", *, rules: bool = False) -> Iterator[KernelGuest]:
    """Provide a guest that has the bridge's gateway as its own.

    :param rules: whether the bridge has some in iptables' FORWARD
    """
    net = {"br0": 7, "br1": 8}[bridge]
    vif = on_bridge(number, bridge, rules=rules)
    plug(vif)
    own = (f"10.{net}.0.{10 + number}/24", f"fd00:{net}::{10 + number}/64")
    with kernel_guest(guest.Guest(vif.vif_name, vif.address).descriptor, vif.address, *own) as made:
        made.host.run("ip", "route", "add", "default", "via", f"10.{net}.0.1")
        made.host.run("ip", "route", "add", "default", "via", f"fd00:{net}::1")
        yield made
    unplug(vif)


def heard_from(there: PrivateHost, here: PrivateHost, address: str, kind: int) -> str:
    """Return the address that one host's TCP or UDP has at another's, which answers it."""
    six = ":" in address
    family = FAMILY[6 if six else 4]
    with contextlib.ExitStack() as stack:
        with there.enter():
            hearing = stack.enter_context(socket.socket(family, kind))
            hearing.settimeout(PATIENCE)
            hearing.bind((address, PORT))
            if kind == socket.SOCK_STREAM:
                hearing.listen()
        with here.enter():
            speaking = stack.enter_context(socket.socket(family, kind))
            speaking.settimeout(PATIENCE)
        speaking.connect((address, PORT))
        speaking.send(b"who am I")
        if kind == socket.SOCK_STREAM:
            accepted, who = hearing.accept()
            stack.enter_context(accepted)
            accepted.send(str(who[0]).encode())
        else:
            _said, who = hearing.recvfrom(100)
            hearing.sendto(str(who[0]).encode(), who)
        assert speaking.recv(100).decode() == who[0]
        return str(who[0])


@pytest.mark.parametrize("version", [4, 6])
def test_guests_reach_the_outside_by_the_hosts_address(beyond: PrivateHost, version: int) -> None:
    before = whole()
    address = OUTSIDE[version]
    with running(1) as one:
        assert one.reaches(address)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            assert heard_from(beyond, one.host, address, kind) == HOST[version]
        saddr = {4: "ip saddr 10.7.0.0/24", 6: "ip6 saddr fd00:7::/64"}[version]
        counted = re.search(rf"{saddr} counter packets (\d+) .* masquerade", ruleset())
        assert counted is not None, ruleset()
        assert int(counted[1]) == 3, "a ping, a connection and a datagram"
        with running(2) as two:
            own = {4: "10.7.0.11", 6: "fd00:7::11"}[version]
            assert two.reaches(own), "within the bridge"
        assert one.reaches(address), "as long as one is there"
    witness.ip("link delete br0")
    assert changed(before) == []


def test_nobody_outside_begins_a_connection(beyond: PrivateHost) -> None:
    """Who is beside the host knows the guests' networks, and has a route by the host."""
    with running(1) as one:
        for version, guests, address in (
            (4, "10.7.0.0/24", "10.7.0.11"),
            (6, "fd00:7::/64", "fd00:7::11"),
        ):
            beyond.run("ip", "route", "add", guests, "via", HOST[version])
            assert not reaches(beyond, address, SOON)
            assert one.reaches(OUTSIDE[version]), "and gets its answer"
            family = {4: "ip", 6: "ip6"}[version]
            witness.run("nft", "add", "table", family, "mine")
            chain = "{ type nat hook prerouting priority dstnat; }"
            witness.run("nft", f"add chain {family} mine pre {chain}")
            sent = f"[{address}]:{PORT}" if version == 6 else f"{address}:{PORT}"
            witness.run("nft", f"add rule {family} mine pre udp dport 99 dnat to {sent}")
            with one.host.enter():
                hearing = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
            with hearing:
                hearing.settimeout(PATIENCE)
                hearing.bind(("", PORT))
                with beyond.enter():
                    speaking = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
                with speaking:
                    speaking.sendto(b"to a guest", (HOST[version], 99))
                    assert hearing.recv(100) == b"to a guest", "as somebody has it sent there"


def test_between_networks_of_ours_guests_have_their_own_addresses(beyond: PrivateHost) -> None:
    """Whichever came first: the other one's is no outside to it."""
    with running(1) as one, running(2, "br1") as two:
        for here, there, address, own in (
            (one, two, "10.8.0.12", "10.7.0.11"),
            (two, one, "10.7.0.11", "10.8.0.12"),
            (one, two, "fd00:8::12", "fd00:7::11"),
            (two, one, "fd00:7::11", "fd00:8::12"),
        ):
            assert here.reaches(address)
            assert heard_from(there.host, here.host, address, socket.SOCK_DGRAM) == own


def test_what_goes_to_many_is_not_masqueraded(beyond: PrivateHost) -> None:
    """As the host says it by its uplink with the address that it has among its guests."""
    with running(1), contextlib.ExitStack() as stack:
        for source, group in (
            ("10.7.0.1", "239.1.1.1"),
            ("10.7.0.1", "255.255.255.255"),
            ("fd00:7::1", "ff15::1"),
            ("10.7.0.1", OUTSIDE[4]),
            ("fd00:7::1", OUTSIDE[6]),
        ):
            family = FAMILY[6 if ":" in group else 4]
            with beyond.enter():
                index = socket.if_nametoindex("wire0")
                hearing = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                hearing.settimeout(PATIENCE)
                hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                hearing.bind(("", PORT))
                packed = socket.inet_pton(family, group)
                if group == "ff15::1":
                    joined = packed + index.to_bytes(4, "little")
                    hearing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, joined)
                elif group == "239.1.1.1":
                    joined = packed + bytes(4) + index.to_bytes(4, "little")
                    hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
            with socket.socket(family, socket.SOCK_DGRAM) as saying:
                saying.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                saying.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
                saying.bind((source, 0))
                saying.sendto(b"to many", (group, PORT))
            heard = hearing.recvfrom(100)[1][0]
            hearing.close()
            one = group in OUTSIDE.values()
            assert heard == (HOST[6 if ":" in group else 4] if one else source), group


# --- beside others' firewalls ---------------------------------------------------------------------

CHAINS = """
iptables -w -P FORWARD ACCEPT
ip6tables -w -P FORWARD ACCEPT
"""
"""Has iptables make its own chains, as it does when it changes something."""
FORWARD_CHAIN = "the chain filter_FORWARD of nft's table inet firewalld"


def theirs() -> str:
    """Return all rules, as they are saved, without counts and without ours."""
    saved = [witness.run(f"{tool}-save") for tool in ("iptables", "ip6tables")]
    lines = [line for text in saved for line in text.splitlines() if "os-vif" not in line]
    kept = [re.sub(r"\[\d+:\d+\]", "", line) for line in lines if not line.startswith("#")]
    found = witness.run("nft", "-s", "list", "ruleset")
    mine = re.compile(r"table inet os-vif-br0 \{.*?^\}\n", re.DOTALL | re.MULTILINE)
    rest = [line for line in mine.sub("", found).splitlines() if 'name "br0"' not in line]
    return "\n".join([*kept, *rest])


def warnings(number: int) -> list[str]:
    [found] = os_vif.examine([(on_bridge(number, "br0", rules=True), vifs.instance())])
    assert (found.steps, found.error) == ((), None)
    return [f"{it.device}: {it.words}" for it in found.warnings]


OF_DOCKER = DOCKER + "ip6tables -w -P FORWARD DROP\n"


@pytest.mark.parametrize(
    "firewall", [OF_DOCKER, LIBVIRT, FIREWALLD], ids=["docker", "libvirt", "nft"]
)
def test_beside_others_firewalls(beyond: PrivateHost, firewall: str) -> None:
    """What drops all the same is named, and theirs is as it was, to the byte."""
    set_rules(CHAINS)
    set_rules(firewall)
    before = theirs()
    passes = firewall != FIREWALLD
    with running(1, rules=True) as one:
        told = warnings(1)
        for version, name in ((4, "IPv4"), (6, "IPv6")):
            said = f"br0: {FORWARD_CHAIN} drops {name} from its guests to the outside"
            assert (said in told) == (not passes), told
            assert one.reaches(OUTSIDE[version], PATIENCE if passes else SOON) == passes, told
        assert steps_left(on_bridge(1, "br0", rules=True)) == []
        assert theirs() == before
    assert theirs() == before
