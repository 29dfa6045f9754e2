# SPDX-License-Identifier: Apache-2.0
"""The fields that types have in common, and what they must agree on."""

from __future__ import annotations

import ipaddress

from os_vif.specs.kinds import CIDR, INTERFACE, IP, MAC, MTU, TEXT, UUID, Field, Group, ListOf
from os_vif.specs.problems import Reading, quoted
from os_vif.specs.vif_type import Values

_ROUTE = Group(
    "a route",
    (
        Field("to", CIDR, "the network it leads to", required=True),
        Field("via", IP, "the next hop", required=True),
    ),
)
_SUBNET = Group(
    "a subnet",
    (
        Field("cidr", CIDR, "its range", required=True),
        Field("gateway", IP, "the guests' router"),
        Field("dns", ListOf(IP), "name servers"),
        Field("dhcp_server", IP, "DHCP server"),
        Field("addresses", ListOf(IP), "addresses of this guest"),
        Field("routes", ListOf(_ROUTE), "routes of this guest"),
    ),
)
_INSTANCE = Group(
    "a guest",
    (
        Field(
            "uuid",
            UUID,
            "the guest's UUID",
            default="derived from its name",
            known_as=("vm_uuid", "instance_uuid"),
        ),
        Field("name", TEXT, "the guest's name", default="its UUID"),
        Field("project", TEXT, "who owns it"),
    ),
)
NETWORK_ID = Field("id", UUID, "the network's UUID", default="derived from bridge or label")
LABEL = Field("label", TEXT, "the network's name, for people")
MTU_FIELD = Field(
    "mtu",
    MTU,
    "MTU in bytes of what is made, 68 to 65535; of a tap at most 65521",
    default="1500",
    known_as=("network.mtu", "mtu"),
)
SUBNETS = Field(
    "subnets", ListOf(_SUBNET), "IP subnets of the network", known_as=("network.subnets",)
)
NETWORK = Group("a network", (NETWORK_ID, LABEL, MTU_FIELD, SUBNETS))

ID = Field("id", UUID, "the VIF's UUID", default="derived from name, or else from mac")
NAME = Field(
    "name",
    INTERFACE,
    "name of the tap, 15 characters at most",
    default="tap and the first 11 characters of the id",
    known_as=("vif_name", "tap", "devname", "ifname"),
)
MAC_ADDRESS = Field(
    "mac",
    MAC,
    "the guest's MAC address",
    required=True,
    known_as=("address", "mac_address", "macaddress", "hwaddr", "attached_mac"),
)
INSTANCE = Field("instance", _INSTANCE, "the guest the VIF belongs to")


def check_addresses(values: Values, into: Reading) -> None:
    """Note addresses of the guest that are not in their subnet."""
    for number, subnet in enumerate(values.get("network", {}).get("subnets", [])):
        if "cidr" not in subnet:
            continue
        for position, address in enumerate(subnet.get("addresses", [])):
            if ipaddress.ip_address(address) not in ipaddress.ip_network(subnet["cidr"]):
                inner = f"network.subnets[{number}].addresses[{position}]"
                wrong = f"{quoted(address)} cannot be used"
                message = f"{wrong}; expected an address in {subnet['cidr']}"
                into.problem(into.marks[inner], inner, message)
