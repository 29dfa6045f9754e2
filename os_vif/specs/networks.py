# SPDX-License-Identifier: Apache-2.0
"""The words of files for networks, routers, and VIFs that name a network."""

from __future__ import annotations

import dataclasses

from os_vif.engine.checks import MTU_MAX, MTU_MIN
from os_vif.specs.fields import LABEL, MTU_FIELD, NETWORK_ID, SUBNETS
from os_vif.specs.kinds import (
    BOOL,
    CIDR,
    IP,
    TEXT,
    UUID,
    Either,
    Field,
    Group,
    Kind,
    ListOf,
    MapOf,
    duration,
    fields_of,
    one_of,
)

LEASE_MIN, LEASE_MAX = 120, 365 * 86400
"""Seconds of a lease: with less a guest does nothing else, with more it keeps what once was."""

MTU_OVERLAY, MTU_PHYSICAL = 1442, 1500
"""Bytes, where a network says none: what Geneve over IPv4 leaves of 1500, or those of Ethernet."""

VLAN_MAX = 4095
"""As OVN's schema has it (``Logical_Switch_Port.tag``)."""

ACTIVATION_STRATEGIES = ("rarp", "none")
"""How a port on its second chassis begins: blocked until the guest's RARP comes, or at once."""


def _vlan(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:5]) <= VLAN_MAX:
        raise ValueError(f"a VLAN id from 1 to {VLAN_MAX}")
    return int(text)


_VLAN = Kind("a VLAN id", _vlan, {"type": "integer", "minimum": 1, "maximum": VLAN_MAX})

DHCP = Field(
    "dhcp",
    Either(
        BOOL,
        Group(
            "settings of DHCP",
            (
                Field(
                    "lease",
                    duration(LEASE_MIN, LEASE_MAX, "12h"),
                    "how long an address is leased: seconds, or with m, h or d",
                    default="12h",
                ),
                Field("domain", TEXT, "the domain in which guests look for names"),
            ),
        ),
    ),
    "whether guests are told their addresses here, by DHCP and router advertisements",
    default="on OVN true, if there is a gateway or dhcp_server; on a bridge false",
)

_OF_SUBNET = {
    "gateway": "the guests' router; a router of these files stands there",
    "dhcp_server": "the address that DHCP is served from",
    "routes": "routes that guests are told; one by a guest leads to what is behind it",
}
_SUBNET = Group(
    "a subnet",
    (
        *(
            dataclasses.replace(field, help=_OF_SUBNET.get(field.name, field.help))
            for field in fields_of(SUBNETS.kind)
            if field.name != "addresses"
        ),
        DHCP,
    ),
)

NETWORK = Group(
    "a network",
    (
        dataclasses.replace(LABEL, help="the network's name, by which VIFs name it", required=True),
        dataclasses.replace(NETWORK_ID, default="derived from owner and label"),
        dataclasses.replace(
            MTU_FIELD,
            help=f"MTU in bytes, {MTU_MIN} to {MTU_MAX}; with IPv6 at least 1280",
            default=f"of ports on Open vSwitch {MTU_OVERLAY}, or {MTU_PHYSICAL} with physical; of "
            "others 1500",
        ),
        Field("subnets", ListOf(_SUBNET), "IP subnets of the network"),
        Field(
            "physical",
            TEXT,
            "the provider's network it is part of, as chassis have it in ovn-bridge-mappings",
        ),
        Field("vlan", _VLAN, f"its VLAN there, 1 to {VLAN_MAX}", default="none"),
        Field(
            "nat",
            BOOL,
            "guests on a bridge reach the outside with the host's address (on OVN: a router does)",
            default="false",
        ),
    ),
)

_EXTERNAL = Group(
    "the outside of a router",
    (
        Field("network", TEXT, "the label of the network there", required=True),
        Field("address", IP, "the router's address in it", required=True),
        Field(
            "gateway",
            IP,
            "the next hop of all that leads further",
            default="the subnet's gateway",
        ),
        Field(
            "chassis",
            ListOf(TEXT),
            "where it may leave, the first one first; three fail over, two do not",
        ),
        Field(
            "snat",
            Either(BOOL, ListOf(CIDR)),
            "guests inside go out with the router's address: all, or those of some networks",
            default="false",
        ),
        Field(
            "distributed",
            BOOL,
            "floating addresses are translated where the guest is (each chassis has the mapping)",
            default="false, at the gateway",
        ),
    ),
)

ROUTER = Group(
    "a router",
    (
        Field("label", TEXT, "the router's name", required=True),
        Field("id", UUID, "the router's UUID", default="derived from owner and label"),
        Field(
            "networks",
            ListOf(TEXT),
            "labels of the networks it is between, at the gateways of their subnets",
            required=True,
        ),
        Field("external", _EXTERNAL, "its outside"),
    ),
)

NAMED = Group(
    "a network of the files",
    (
        dataclasses.replace(LABEL, help="the label of the network", required=True),
        Field("addresses", ListOf(IP), "addresses of this guest, each in a subnet of the network"),
        Field(
            "floating",
            MapOf(IP, ListOf(IP)),
            "by an address of this guest those outside a router that lead to it",
        ),
        Field(
            "chassis",
            ListOf(TEXT),
            "where the port may be bound; the second one and others are where it may move to",
            default="anywhere; what os-vif network place said is left as it is",
        ),
        Field(
            "activation_strategy",
            one_of(*ACTIVATION_STRATEGIES),
            "with several chassis: blocked on the second one until the guest's RARP comes, or not",
            default="rarp",
        ),
        Field(
            "port_security",
            BOOL,
            "only the guest's own addresses pass, and those of routes by it",
            default="true",
        ),
        Field("active", BOOL, "the port is open", default="true"),
    ),
)

NETWORKS = Field("networks", ListOf(NETWORK), "networks that VIFs name by their labels")
ROUTERS = Field("routers", ListOf(ROUTER), "routers between the networks, on OVN")
