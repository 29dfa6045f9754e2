# SPDX-License-Identifier: Apache-2.0
"""What a guest may send, as chains of rules of nf_tables; and back.

What may live here: which frames pass.  What is not let pass is dropped.  The words of rules are
those of :mod:`os_vif.system.nf_tables`.

Sources: RFC 826 and 5227 (ARP), 903 (RARP, by which hypervisors announce a guest that has moved),
2131 (DHCP), 8415 (DHCPv6), 4861 and 4862 (neighbour discovery), 7527 (nonces), 6980 (no fragments
of it), 2710 and 3810 (MLD).
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterable, Sequence

from os_vif import exception
from os_vif.host.anti_spoofing.questions import Chains
from os_vif.host.anti_spoofing.resources import AntiSpoofing, Network, link_local

BASE = "from_guest"
"""The chain that the kernel begins with."""

Rule = list[str]

_WORD = re.compile(
    r"(meta (protocol|l4proto)|load (ll|nh|th) [0-9]{1,2} ([1-9]|1[0-6])"
    r"|(is|mask) ([0-9a-f]{2}){1,16}|count|accept|drop|goto [a-z0-9_]{1,31}|say [ -~]{1,100})\Z"
)


def is_chains(value: object) -> bool:
    """Tell whether this is what can be made chains of, and nothing else."""
    return (
        isinstance(value, dict)
        and (not value or BASE in value)
        and all(isinstance(name, str) and re.match(r"[a-z0-9_]{1,31}\Z", name) for name in value)
        and all(isinstance(rules, list) and all(map(is_rule, rules)) for rules in value.values())
        and all(
            word.removeprefix("goto ") in value
            for rules in value.values()
            for rule in rules
            for word in rule
            if word.startswith("goto ")
        )
    )


def is_rule(value: object) -> bool:
    """Tell whether this is a rule in words that are known here."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(word, str) and bool(_WORD.match(word)) for word in value)
    )


# --- what rules consist of ------------------------------------------------------------------------

_IP4, _IP6, _ARP, _RARP = "0800", "86dd", "0806", "8035"
_UDP, _ICMP6 = "11", "3a"


def _load(base: str, offset: int, value: str) -> Rule:
    return [f"load {base} {offset} {len(value) // 2}", f"is {value}"]


def _kind(ethertype: str) -> Rule:
    return ["meta protocol", f"is {ethertype}"]


def _inside(protocol: str) -> Rule:
    return ["meta l4proto", f"is {protocol}"]


def _within(base: str, offset: int, network: Network) -> Rule:
    """Return what goes on if the address at an offset is one of a network."""
    value, mask = network.network_address.packed.hex(), network.netmask.packed.hex()
    if network.prefixlen == network.max_prefixlen:
        return _load(base, offset, value)
    return [f"load {base} {offset} {len(value) // 2}", f"mask {mask}", f"is {value}"]


def _drop(why: str) -> Rule:
    return ["count", "drop", f"say {why}"]


def _hex(mac: str) -> str:
    return mac.replace(":", "")


_NOBODY4, _NOBODY6 = 4 * "00", 16 * "00"
_EVERYBODY4 = 4 * "ff"


# --- the chains -----------------------------------------------------------------------------------


def chains_of(wanted: AntiSpoofing) -> Chains:
    """Return the chains that let a guest send from its own addresses alone."""
    strict = wanted.addresses is not None
    return {
        BASE: [
            *([*_load("ll", 6, _hex(mac)), "goto from_mac"] for mac in wanted.macs),
            _drop("another MAC address"),
        ],
        "from_mac": [
            *([[*_kind(_IP4), "goto ip4"]] if strict else []),
            [*_kind(_IP6), "goto ip6"],
            [*_kind(_ARP), "goto arp"],
            [*_kind(_RARP), "goto rarp"],
            _drop("neither IP nor ARP") if strict else ["accept"],
        ],
        **_arp(wanted, strict=strict),
        **(_ip4(wanted) if strict else {}),
        **_ip6(wanted, strict=strict),
        **_discovery(wanted, strict=strict),
    }


def _arp(wanted: AntiSpoofing, *, strict: bool) -> Chains:
    arp, onward = _kind(_ARP), "goto arp_from" if strict else "accept"
    header = "000108000604"
    found = {
        "arp": [
            *(
                [*arp, *_load("nh", 0, f"{header}{what}"), *_load("nh", 8, _hex(mac)), onward]
                for mac in wanted.macs
                for what in ("0001", "0002")
            ),
            _drop("ARP of another MAC address"),
        ],
        "rarp": [
            *(
                [
                    *_kind(_RARP),
                    *_load("nh", 0, f"{header}0003"),
                    *_load("nh", 8, f"{_hex(mac)}{_NOBODY4}"),
                    *_load("nh", 18, f"{_hex(mac)}{_NOBODY4}"),
                    "accept",
                ]
                for mac in wanted.macs
            ),
            _drop("RARP of another MAC address"),
        ],
    }
    if strict:
        own = wanted.networks(4)
        found["arp_from"] = [
            *([*arp, *_within("nh", 14, it), "accept"] for it in own),
            # Whether somebody else has it already.
            *([*arp, *_load("nh", 14, _NOBODY4), *_within("nh", 24, it), "accept"] for it in own),
            _drop("ARP of another IP address"),
        ]
    return found


def _ip4(wanted: AntiSpoofing) -> Chains:
    ip4 = _kind(_IP4)
    return {
        "ip4": [
            [*ip4, *_inside(_UDP), *_load("th", 2, "0044"), *_drop("what a DHCP server sends")],
            *([*ip4, *_within("nh", 12, it), "accept"] for it in wanted.networks(4)),
            [
                *(*ip4, *_load("nh", 12, _NOBODY4), *_load("nh", 16, _EVERYBODY4)),
                *(*_inside(_UDP), *_load("th", 0, "00440043"), "accept", "say it asks for DHCP"),
            ],
            _drop("another IPv4 address"),
        ]
    }


def _icmp6(kind: int) -> Rule:
    return [*_kind(_IP6), *_inside(_ICMP6), *_load("th", 0, f"{kind:02x}")]


_MLD = (131, 132, 143)
_ROUTER_SOLICITATION, _ROUTER_ADVERTISEMENT, _SOLICITATION, _ADVERTISEMENT, _REDIRECT = range(
    133, 138
)


def _ip6(wanted: AntiSpoofing, *, strict: bool) -> Chains:
    ip6 = _kind(_IP6)
    discovery = [
        [*_icmp6(_SOLICITATION), "goto solicitation"],
        [*_icmp6(_ADVERTISEMENT), "goto advertisement"],
        [*_icmp6(_ROUTER_SOLICITATION), "goto router_solicitation"],
    ]
    if not strict:
        return {"ip6": [*discovery, ["accept"]]}
    nobody = _load("nh", 8, _NOBODY6)
    return {
        "ip6": [
            [*ip6, *_inside(_UDP), *_load("th", 2, "0222"), *_drop("what a DHCPv6 server sends")],
            [*_icmp6(_ROUTER_ADVERTISEMENT), *_drop("router advertisements")],
            [*_icmp6(_REDIRECT), *_drop("redirects")],
            *discovery,
            *([*_icmp6(kind), *nobody, "accept"] for kind in _MLD),
            ["goto ip6_from"],
        ],
        "ip6_from": [
            *([*ip6, *_within("nh", 8, it), "accept"] for it in wanted.networks(6)),
            _drop("another IPv6 address"),
        ],
    }


def _discovery(wanted: AntiSpoofing, *, strict: bool) -> Chains:
    """Return the chains of neighbour discovery.

    What carries more than one option, or stands behind another header, is let pass by none: where
    an option is would not be known.
    """
    ip6, own = _kind(_IP6), wanted.networks(6)

    def onward(chain: str) -> str:
        return f"goto {chain}" if strict else "accept"

    def sized(length: int) -> Rule:
        return [*ip6, *_load("nh", 4, f"{length:04x}{_ICMP6}")]

    def telling(length: int, kind: int, chain: str) -> list[Rule]:
        """Return what passes with one option more, which tells a MAC address of the guest's."""
        options = [_load("th", length, f"{kind:02x}01{_hex(mac)}") for mac in wanted.macs]
        return [[*sized(length + 8), *_inside(_ICMP6), *it, onward(chain)] for it in options]

    nonce = [*sized(32), *_inside(_ICMP6), *_load("th", 24, "0e01")]
    found = {
        "solicitation": [
            [*sized(24), onward("solicitation_for")],
            *telling(24, 1, "ip6_from"),
            [*nonce, onward("solicitation_for")],
            _drop("a neighbour solicitation of another MAC address"),
        ],
        "advertisement": [
            [*sized(24), onward("advertisement_of")],
            *telling(24, 2, "advertisement_of"),
            _drop("a neighbour advertisement of another MAC address"),
        ],
        "router_solicitation": [
            *([[*sized(8), *_load("nh", 8, _NOBODY6), "accept"]] if strict else []),
            [*sized(8), onward("ip6_from")],
            *telling(8, 1, "ip6_from"),
            _drop("a router solicitation of another MAC address"),
        ],
    }
    if strict:
        target = [[*ip6, *_inside(_ICMP6), *_within("th", 8, it)] for it in own]
        nobody = [*ip6, *_load("nh", 8, _NOBODY6)]
        found["solicitation_for"] = [
            # Whether somebody else has it already.
            *([*nobody, *it, "accept"] for it in target),
            ["goto ip6_from"],
        ]
        found["advertisement_of"] = [
            *([*it, "goto ip6_from"] for it in target),
            _drop("a neighbour advertisement of another IPv6 address"),
        ]
    return found


# --- and back -------------------------------------------------------------------------------------


def told_by(chains: Chains, device: str, *, guest_inside: bool) -> AntiSpoofing:
    """Return what chains of ours let a guest send from.

    :raises ValueError: they are not as :func:`chains_of` makes them.
    """
    macs = tuple(
        _mac(_hexed(rule, "ll 6 6")) for rule in chains[BASE] if rule[-1] == "goto from_mac"
    )
    try:
        addresses = _told_addresses(chains, macs) if "ip4" in chains else None
        told = AntiSpoofing(
            device=device, macs=macs, addresses=addresses, guest_inside=guest_inside
        )
    except exception.InvalidField as error:
        raise ValueError(str(error)) from error
    if chains_of(told) != chains:
        raise ValueError("chains that somebody has changed")
    return told


def _told_addresses(chains: Chains, macs: Iterable[str]) -> tuple[str, ...]:
    own = set(map(link_local, macs))
    found = [
        *_networks(chains["ip4"], "nh 12 4"),
        *_networks(chains.get("ip6_from", ()), "nh 8 16"),
    ]
    return tuple(text for text in found if text not in own)


def _mac(text: str) -> str:
    return ":".join(text[at : at + 2] for at in range(0, 12, 2))


def _hexed(rule: Sequence[str], where: str) -> str:
    return next(
        (
            after.removeprefix("is ")
            for word, after in itertools.pairwise(rule)
            if word == f"load {where}"
        ),
        "",
    )


def _networks(rules: Iterable[Rule], where: str) -> list[str]:
    found = []
    for rule in rules:
        if f"load {where}" not in rule or rule[-1] != "accept":
            continue
        value = next(word for word in reversed(rule) if word.startswith("is "))
        address = ipaddress.ip_address(bytes.fromhex(value.removeprefix("is ")))
        mask = next((word.removeprefix("mask ") for word in rule if word.startswith("mask ")), "")
        length = bin(int(mask, 16)).count("1") if mask else address.max_prefixlen
        found.append(f"{address}/{length}" if mask else str(address))
    return found
