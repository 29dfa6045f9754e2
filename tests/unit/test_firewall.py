# SPDX-License-Identifier: Apache-2.0
"""What a host's firewall does for sure with what a guest begins to send, read from its rules."""

from __future__ import annotations

from typing import Any

import pytest

from os_vif.host.forwarding.questions import Firewall
from os_vif.host.forwarding.questions.chains import (
    ACCEPT,
    DROP,
    MAYBE,
    Packet,
    base_chains,
    fate,
    of_iptables,
    of_nft,
)

BRIDGED = Packet("ip", "br0", "br0", bridged=True)
ROUTED = Packet("ip", "tap0", "eth0")
SIX = Packet("ip6", "br0", "br0", bridged=True)

DOCKER = """\
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -j RETURN
"""


@pytest.mark.parametrize(
    ("rules", "packet", "expected"),
    [
        ("-P FORWARD ACCEPT", BRIDGED, ACCEPT),
        ("-P FORWARD DROP", BRIDGED, DROP),
        (DOCKER, BRIDGED, DROP),
        (DOCKER, Packet("ip", "docker0", "br0"), ACCEPT),
        (DOCKER + "-A DOCKER-USER -i br0 -j ACCEPT", BRIDGED, DROP),  # behind the return
        (DOCKER.replace("-j RETURN", "-i br+ -j ACCEPT"), BRIDGED, ACCEPT),
        (DOCKER.replace("-j RETURN", "-s 10.0.0.0/8 -j ACCEPT"), BRIDGED, MAYBE),
        (
            DOCKER.replace("-j RETURN", "-m comment --comment 'all of it' -j ACCEPT"),
            BRIDGED,
            ACCEPT,
        ),
        ("-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-port-unreachable", SIX, DROP),
        ("-P FORWARD ACCEPT\n-A FORWARD ! -i br0 -j DROP", BRIDGED, ACCEPT),
        ("-P FORWARD ACCEPT\n-A FORWARD ! -i br0 -j DROP", ROUTED, DROP),
        ("-P FORWARD ACCEPT\n-A FORWARD -p tcp -j DROP", BRIDGED, ACCEPT),  # not all of it
        ("-P FORWARD DROP\n-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT", BRIDGED, ACCEPT),
        ("-P FORWARD DROP\n-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT", ROUTED, DROP),
        (
            "-P FORWARD DROP\n-A FORWARD -m physdev --physdev-in tap0 --physdev-is-bridged -j X\n"
            "-N X\n-A X -j ACCEPT",
            BRIDGED,
            MAYBE,
        ),
        ("-P FORWARD DROP\n-A FORWARD -m state --state NEW -j ACCEPT", BRIDGED, ACCEPT),
        ("-P FORWARD DROP\n-A FORWARD -m conntrack ! --ctstate NEW -j ACCEPT", BRIDGED, DROP),
        ("-P FORWARD DROP\n-A FORWARD -g X\n-N X\n-A X -i br1 -j ACCEPT", BRIDGED, DROP),
        ("-P FORWARD DROP\n-A FORWARD -j LOG --log-prefix 'in \"quotes\"'", BRIDGED, DROP),
        ("-P FORWARD DROP\n-A FORWARD -m comment --comment \"it's -j ACCEPT", BRIDGED, DROP),
        ("-P FORWARD DROP\n-N L\n-A FORWARD -j L\n-A L -j L", BRIDGED, MAYBE),
        ("", BRIDGED, MAYBE),
    ],
)
def test_iptables(rules: str, packet: Packet, expected: str) -> None:
    assert fate(of_iptables(rules.splitlines()), "FORWARD", packet) == expected


def chain(name: str, family: str = "inet", **more: Any) -> dict[str, Any]:
    return {"chain": {"family": family, "table": "t", "name": name, **more}}


def rule(*expressions: Any, chain: str = "f", family: str = "inet") -> dict[str, Any]:
    return {"rule": {"family": family, "table": "t", "chain": chain, "expr": list(expressions)}}


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


IIF, OIF = {"meta": {"key": "iifname"}}, {"meta": {"key": "oifname"}}
STATE = {"ct": {"key": "state"}}
YES, NO = {"accept": None}, {"drop": None}
BASE = {"type": "filter", "hook": "forward", "prio": 0}


@pytest.mark.parametrize(
    ("rules", "packet", "expected"),
    [
        ([], BRIDGED, DROP),
        ([rule(match(IIF, "br0"), {"counter": {"packets": 1}}, YES)], BRIDGED, ACCEPT),
        ([rule(match(IIF, "br*"), YES)], BRIDGED, ACCEPT),
        ([rule(match(IIF, {"set": ["a", "br0"]}), YES)], BRIDGED, ACCEPT),
        ([rule(match(IIF, "@ports"), YES)], BRIDGED, MAYBE),
        ([rule(match(OIF, "br0", "!="), YES)], BRIDGED, DROP),
        ([rule(match(STATE, ["established", "related"], "in"), YES)], BRIDGED, DROP),
        ([rule(match(STATE, {"set": ["established", "new"]}), YES)], BRIDGED, ACCEPT),
        ([rule(match({"ct": {"key": "status"}}, "dnat", "in"), YES)], BRIDGED, DROP),
        ([rule(match({"meta": {"key": "nfproto"}}, "ipv6"), YES)], BRIDGED, DROP),
        ([rule(match({"meta": {"key": "nfproto"}}, "ipv6"), YES)], SIX, ACCEPT),
        ([rule(match({"payload": {"protocol": "ether", "field": "type"}}, "arp"), YES)], SIX, DROP),
        (
            [rule(match({"payload": {"protocol": "ip", "field": "saddr"}}, "10.0.0.1"), YES)],
            SIX,
            DROP,
        ),
        (
            [rule(match({"payload": {"protocol": "ip", "field": "saddr"}}, "10.0.0.1"), YES)],
            BRIDGED,
            MAYBE,
        ),
        ([rule({"limit": {"rate": 1}}, YES)], BRIDGED, MAYBE),
        ([rule({"log": {"prefix": "x"}}), rule({"queue": {"num": 1}})], BRIDGED, MAYBE),
        ([rule({"xt": {"type": "match", "name": "comment"}}, YES)], BRIDGED, ACCEPT),
        ([rule({"xt": {"type": "match", "name": "conntrack"}}, YES)], BRIDGED, MAYBE),
        ([rule({"xt": {"type": "target", "name": "REJECT"}}), rule(YES)], BRIDGED, DROP),
        ([rule({"reject": {"type": "icmpx"}}), rule(YES)], BRIDGED, DROP),
        ([rule({"jump": {"target": "z"}}), rule(YES)], BRIDGED, ACCEPT),
        ([rule({"goto": {"target": "z"}}), rule(YES)], BRIDGED, DROP),
        (
            [rule({"jump": {"target": "z"}}), rule(match(OIF, "eth*"), YES, chain="z")],
            ROUTED,
            ACCEPT,
        ),
        (
            [rule({"vmap": {"key": IIF, "data": {"set": [["x", NO], ["br0", YES]]}}})],
            BRIDGED,
            ACCEPT,
        ),
        ([rule({"vmap": {"key": IIF, "data": {"set": [["x", YES]]}}})], BRIDGED, DROP),
        ([rule({"vmap": {"key": IIF, "data": "@verdicts"}})], BRIDGED, MAYBE),
    ],
)
def test_nft(rules: list[Any], packet: Packet, expected: str) -> None:
    objects = [chain("f", policy="drop", **BASE), chain("z"), *rules]
    assert base_chains(objects, ("inet",)) == [("inet", "t", "f")]
    assert base_chains(objects, ("bridge",)) == []
    assert fate(of_nft(objects, "inet", "t"), "f", packet) == expected


def test_a_port_nobody_can_tell() -> None:
    objects = [
        chain("f", "bridge", policy="drop", **BASE),
        rule(match(IIF, "tap0"), match(OIF, "eth0"), YES, family="bridge"),
    ]
    wall = Firewall([], objects)
    assert wall.dropping(Packet("ip", "tap0", "", True), ("bridge",), ours=True) == []
    [said] = wall.dropping(Packet("ip", "tap1", "", True), ("bridge",), ours=True)
    assert said == "the chain f of nft's table bridge t"


def test_the_chain_that_iptables_has_written_is_told_once() -> None:
    its = {"family": "ip", "table": "filter", "name": "FORWARD", "policy": "drop", **BASE}
    wall = Firewall(["-P FORWARD DROP"], [{"chain": its}])
    families = ("ip", "inet")
    assert wall.dropping(BRIDGED, families, ours=False) == ["the chain FORWARD of iptables"]
    assert wall.dropping(BRIDGED, families, ours=True) == []


# --- what guests ask the host itself for ----------------------------------------------------------

DISCOVER = Packet("ip", "br0", "", port=67, to="BROADCAST")
QUESTION = Packet("ip", "br0", "", port=53, to="LOCAL")

UFW = """\
-P INPUT DROP
-N ufw-before-input
-N ufw-not-local
-N ufw-user-input
-A INPUT -j ufw-before-input
-A INPUT -j ufw-user-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m addrtype --dst-type BROADCAST -j RETURN
-A ufw-not-local -j DROP
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-input -p tcp -m multiport --dports 80,443 -j ACCEPT
"""
"""What ufw sets on a server, cut."""


@pytest.mark.parametrize(
    ("rules", "packet", "expected"),
    [
        (UFW, DISCOVER, DROP),
        (UFW, QUESTION, DROP),
        (UFW, Packet("ip", "br0", "", port=53), MAYBE),
        (UFW, Packet("ip", "br0", ""), MAYBE),
        (UFW + "-A ufw-user-input -i br0 -p udp -m udp --dport 67 -j ACCEPT", DISCOVER, ACCEPT),
        (UFW + "-A ufw-user-input -i br0 -p udp -m udp --dport 67 -j ACCEPT", QUESTION, DROP),
        (UFW + "-A ufw-user-input -p udp -m udp --dport 50:60 -j ACCEPT", QUESTION, ACCEPT),
        (UFW + "-A ufw-user-input -p udp -m multiport --dports 53,67 -j ACCEPT", DISCOVER, ACCEPT),
        (UFW + "-A ufw-user-input -p udp -m udp ! --dport 53 -j ACCEPT", QUESTION, DROP),
        (UFW + "-A ufw-user-input -p udp -m udp --dport domain -j ACCEPT", QUESTION, MAYBE),
        (UFW + "-A ufw-user-input -p all -j ACCEPT", QUESTION, ACCEPT),
    ],
)
def test_iptables_input(rules: str, packet: Packet, expected: str) -> None:
    assert fate(of_iptables(rules.splitlines()), "INPUT", packet) == expected


L4 = {"meta": {"key": "l4proto"}}
UDP_PORT, TCP_PORT, ANY_PORT = (
    {"payload": {"protocol": it, "field": "dport"}} for it in ("udp", "tcp", "th")
)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], DROP),
        ([rule(match(L4, {"set": ["icmp", "ipv6-icmp"]}), YES)], DROP),
        ([rule(match(L4, {"set": ["tcp", "udp"]}), YES)], ACCEPT),
        ([rule(match(TCP_PORT, 67), YES)], DROP),
        ([rule(match(UDP_PORT, 67), YES)], ACCEPT),
        ([rule(match(UDP_PORT, 68), YES)], DROP),
        ([rule(match(UDP_PORT, {"set": [53, {"range": [60, 70]}]}), YES)], ACCEPT),
        ([rule(match(ANY_PORT, 67), YES)], ACCEPT),
        ([rule(match(UDP_PORT, 67, "!="), YES)], DROP),
        ([rule(match(UDP_PORT, "@ports"), YES)], MAYBE),
    ],
)
def test_nft_input(rules: list[Any], expected: str) -> None:
    objects = [chain("f", policy="drop", **{**BASE, "hook": "input"}), *rules]
    assert base_chains(objects, ("inet",)) == []
    assert base_chains(objects, ("inet",), "input") == [("inet", "t", "f")]
    assert fate(of_nft(objects, "inet", "t"), "f", DISCOVER) == expected
    dropping = Firewall([], objects).dropping(DISCOVER, ("inet",), ours=False, hook="input")
    assert bool(dropping) is (expected == DROP)
