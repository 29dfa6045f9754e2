# SPDX-License-Identifier: Apache-2.0
"""The table of a bridge, as chains of rules; and back.

What may live here: what is masqueraded, and how it is written down whose the table is.  Rules are
in the words of :mod:`os_vif.system.nf_tables`; those of the chains ``vifs`` and ``notes`` do
nothing, and are there for what they say.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import sys
from collections.abc import Iterable, Mapping, Sequence

from os_vif.engine import fields
from os_vif.host.gateways.questions import Served, Setting, comment_of, networks_of, vif_of
from os_vif.host.gateways.resources import Gateway, Network, own_address

Rule = list[str]
Chains = Mapping[str, list[Rule]]

BASE, FORWARD = "postrouting", "forward"
"""The chains that the kernel begins with."""
INSIDE, VIFS, NOTES = "inside", "vifs", "notes"

_MOST_NAME = 16
"""Bytes of a device's name, as rules compare it (IFNAMSIZ)."""

_VERSIONS = {4: "02", 6: "0a"}
"""By version of IP: the number of its family in nf_tables (NFPROTO_*)."""
_WHERE = {("from", 4): (12, 4), ("from", 6): (8, 16), ("to", 4): (16, 4), ("to", 6): (24, 16)}
"""By version of IP: where an address is in the header, and how long."""

_NEVER = [
    ipaddress.ip_network(it)
    for it in ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8", "fe80::/10")
]
"""To which nothing leaves for elsewhere: multicast, broadcast (RFC 919), the link's own."""


@functools.lru_cache(maxsize=1024)
def _within(where: str, network: Network) -> Sequence[str]:
    offset, length = _WHERE[where, network.version]
    value, mask = network.network_address.packed.hex(), network.netmask.packed.hex()
    cut = [f"mask {mask}"] if network.prefixlen < network.max_prefixlen else []
    family = ["meta nfproto", f"is {_VERSIONS[network.version]}"]
    return [*family, f"load nh {offset} {length}", *cut, f"is {value}"]


def _by(way: str, device: str) -> Rule:
    return [f"meta {way}", f"is {device.encode().ljust(_MOST_NAME, bytes(1)).hex()}"]


def _bits(number: int, wanted: int) -> Rule:
    """Return what goes on if bits of a number in the host's order are as wanted."""
    mask, value = (it.to_bytes(4, sys.byteorder).hex() for it in (number, wanted))
    return [f"mask {mask}", f"is {value}"]


_BEGINS = ["ct state", *_bits(8, 8), "ct status", *_bits(32, 0)]
"""The first packet of a connection, unless somebody has sent it elsewhere (DNAT): bits of
NF_CT_STATE_BIT and IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h."""


def nat_of(served: Gateway) -> list[Rule]:
    """Return the rules that masquerade what leaves a bridge's networks for elsewhere."""
    sources = [_within("from", ipaddress.ip_network(it)) for it in served.nat]
    if not sources:
        return []
    return [
        [*_by("oifname", served.bridge), "accept"],
        *([*it, f"jump {INSIDE}"] for it in sources),
        *([*it, "count", "masquerade"] for it in sources),
    ]


def forward_of(served: Served) -> list[Rule]:
    """Return the rules that let nobody outside begin a connection to a guest.

    As the host forwards what comes in by its way out, whoever is there would need no more than a
    route by it.
    """
    return [
        [
            *_by("iifname", device),
            *_within("to", ipaddress.ip_network(network)),
            *(*_BEGINS, "count", "drop"),
        ]
        for device in served.outs
        for network in served.nat
    ]


def inside_of(served: Gateway, networks: Iterable[Network]) -> list[Rule]:
    """Return the rules that tell what does not leave for elsewhere.

    :param networks: of all gateways of the host
    """
    versions = served.versions()
    found = [it for it in (*_NEVER, *networks) if it.version in versions]
    return [[*_within("to", it), "accept"] for it in dict.fromkeys(found)]


def vifs_of(users: Iterable[str]) -> list[Rule]:
    """Return the rules that tell who uses it."""
    return [[f"say {mark}"] for mark in users]


def notes_of(served: Served) -> list[Rule]:
    """Return the rules that tell what was asked for, and what is to be given back."""
    said = [f"{'added' if it in served.added else 'has'} {it}" for it in served.addresses]
    said += [f"removes {it}" for it in served.added if it not in served.addresses]
    said += [f"nat {it}" for it in served.nat]
    said += [f"out {it}" for it in served.outs]
    for it in served.settings:
        was = "" if it.was is None else f" was {it.was}"
        said.append(f"sets {it.path} {it.value}{was}")
    return [[f"say {it}"] for it in said]


def chains_of(served: Served, networks: Iterable[Network]) -> dict[str, list[Rule]]:
    """Return all chains of a table, those that the kernel begins with last."""
    return {
        NOTES: notes_of(served),
        VIFS: vifs_of(served.users),
        INSIDE: inside_of(served.gateway, networks),
        FORWARD: forward_of(served),
        BASE: nat_of(served.gateway),
    }


# --- and back -------------------------------------------------------------------------------------

_DEVICE = r"[^/\s]{1,15}"
_PATH = re.compile(
    rf"(ipv4/conf/{_DEVICE}/forwarding"
    rf"|ipv6/conf/{_DEVICE}/(disable_ipv6|accept_ra|forwarding|force_forwarding))\Z"
)
_SETS = re.compile(r"sets (\S+) (-?\d{1,3})(?: was (-?\d{1,3}))?\Z")


def _is_setting(path: str) -> bool:
    return bool(_PATH.match(path)) and "/./" not in path


_is_address = fields.holds(own_address)


def _said(rules: Iterable[Sequence[str]]) -> list[str]:
    return [it.removeprefix("say ") for rule in rules for it in rule if it.startswith("say ")]


def told_by(bridge: str, comment: str, chains: Chains) -> Served:
    """Return what the chains of a table tell, but for whether it is whole.

    What it tells that no table of ours does, is passed over.
    """
    if comment != comment_of(bridge):
        return Served(bridge, ours=False)
    has: list[str] = []
    nat: list[str] = []
    outs: list[str] = []
    added: list[str] = []
    settings: list[Setting] = []
    for words in _said(chains.get(NOTES, ())):
        kind, _, value = words.partition(" ")
        if found := _SETS.match(words):
            path, number, was = found.groups()
            if _is_setting(path):
                settings.append(Setting(path, int(number), None if was is None else int(was)))
        elif kind in ("has", "added", "removes") and _is_address(value):
            has += [value] if kind != "removes" else []
            added += [value] if kind != "has" else []
        elif kind == "nat":
            nat.append(value)
        elif kind == "out" and re.fullmatch(_DEVICE, value):
            outs.append(value)
    users = [it for it in _said(chains.get(VIFS, ())) if vif_of(it)]
    networks = list(map(str, networks_of(has)))
    return Served(
        bridge,
        users=tuple(users),
        addresses=tuple(has),
        nat=tuple(it for it in nat if it in networks),
        outs=tuple(outs),
        added=tuple(added),
        settings=tuple(settings),
    )


def is_whole(served: Served, chains: Chains, networks: Iterable[Network]) -> bool:
    """Tell whether the rules of a table are as they should be."""
    wanted = chains_of(served, networks)
    return all(list(chains.get(name, [])) == wanted[name] for name in (INSIDE, FORWARD, BASE))
