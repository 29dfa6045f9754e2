# SPDX-License-Identifier: Apache-2.0
"""What the types of all families share: what a row of the table is, their fields, their objects.

A family (``linux``, ``openvswitch``) holds the rows of one kind of switch.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from os_vif.cli.specs.kinds import (
    CIDR,
    INTERFACE,
    IP,
    MAC,
    MTU,
    TEXT,
    UUID,
    Field,
    Group,
    ListOf,
    Reading,
    Schema,
)

if TYPE_CHECKING:
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.network import Network
    from os_vif.objects.subnet import Subnet
    from os_vif.objects.vif import VIFBase

Values = dict[str, Any]

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "os-vif")
"""Namespace of the ids derived here (RFC 9562, UUID version 5). It must never change."""


@dataclasses.dataclass(frozen=True, slots=True)
class VIFType:
    """A type of VIF.

    :ivar name: what stands behind ``type:``.
    :ivar summary: what it makes, in one line.
    :ivar use: whom it is for.
    :ivar plugin: the plugin that plugs it.
    :ivar vif_class: the name of its versioned object.
    :ivar fields: what may be said about it.
    :ivar build: from what was said to the object.
    :ivar example: a file with one of them.
    :ivar check: notes as problems what the fields say against each other.
    """

    name: str
    summary: str
    use: str
    plugin: str
    vif_class: str
    fields: tuple[Field, ...]
    build: Callable[[Values], VIFBase]
    example: str
    check: Callable[[Values, Reading], None] = lambda _values, _into: None

    @property
    def schema(self) -> Schema:
        """JSON Schema of one VIF of this type."""
        schema = Group(self.name, self.fields).schema
        kind = {"const": self.name, "description": self.summary}
        return {
            "title": f"type: {self.name}",
            **schema,
            "properties": {"type": kind, **schema["properties"]},
            "required": ["type", *schema.get("required", [])],
        }


# --- fields -------------------------------------------------------------------------------------

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
        Field("uuid", UUID, "the guest's UUID", default="derived from its name"),
        Field("name", TEXT, "the guest's name", default="its UUID"),
        Field("project", TEXT, "who owns it"),
    ),
)
NETWORK_ID = Field("id", UUID, "the network's UUID", default="derived from bridge or label")
LABEL = Field("label", TEXT, "the network's name, for people")
MTU_FIELD = Field(
    "mtu",
    MTU,
    "MTU in bytes of what is made, 68 to 65535",
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
    known_as=("vif_name", "tap"),
)
MAC_ADDRESS = Field(
    "mac", MAC, "the guest's MAC address", required=True, known_as=("address", "mac_address")
)
INSTANCE = Field("instance", _INSTANCE, "the guest the VIF belongs to")


# --- what fields may say together ----------------------------------------------------------------


def check_addresses(values: Values, into: Reading) -> None:
    """Note addresses of the guest that are not in their subnet."""
    for number, subnet in enumerate(values.get("network", {}).get("subnets", [])):
        if "cidr" not in subnet:
            continue
        for position, address in enumerate(subnet.get("addresses", [])):
            if ipaddress.ip_address(address) not in ipaddress.ip_network(subnet["cidr"]):
                inner = f"network.subnets[{number}].addresses[{position}]"
                message = f"{address!r} cannot be used; expected an address in {subnet['cidr']}"
                into.problem(into.marks[inner], inner, message)


# --- objects ------------------------------------------------------------------------------------


def derived_id(*words: str) -> str:
    """Return the UUID that follows from these words."""
    return str(uuid.uuid5(NAMESPACE, "/".join(words)))


def instance_of(values: Values) -> InstanceInfo | None:
    """Return the guest a VIF belongs to, or None if nothing was said of it."""
    from os_vif.objects.instance_info import InstanceInfo

    said = values.get("instance")
    if not said or not (said.get("uuid") or said.get("name")):
        return None
    identity = said.get("uuid") or derived_id("instance", said["name"])
    return InstanceInfo(
        uuid=identity, name=said.get("name") or identity, project_id=said.get("project", "")
    )


def _subnet(said: Values) -> Subnet:
    from os_vif.objects import fixed_ip, route, subnet

    fields: Values = {"cidr": said["cidr"], "dns": said.get("dns", [])}
    fields.update({key: said[key] for key in ("gateway", "dhcp_server") if key in said})
    return subnet.Subnet(
        **fields,
        ips=fixed_ip.FixedIPList(
            objects=[
                fixed_ip.FixedIP(address=address, floating_ips=[])
                for address in said.get("addresses", [])
            ]
        ),
        routes=route.RouteList(
            objects=[
                route.Route(cidr=item["to"], gateway=item["via"]) for item in said.get("routes", [])
            ]
        ),
    )


def network_of(values: Values, **more: Any) -> Network:
    """Return the network a VIF is in, with fields that only some families have."""
    from os_vif.objects.network import Network
    from os_vif.objects.subnet import SubnetList

    said = values.get("network", {})
    hint = said.get("label") or values.get("bridge") or ""
    return Network(
        id=said.get("id") or derived_id("network", hint),
        label=said.get("label", ""),
        mtu=said.get("mtu"),
        subnets=SubnetList(objects=[_subnet(item) for item in said.get("subnets", [])]),
        **more,
    )


def identity_of(values: Values, prefix: str = "tap") -> Values:
    """Return id, MAC address and device name of a VIF, derived as far as they were not given.

    :param prefix: of a derived name
    """
    # A name is unique on a host, and so is a MAC; from what may change while the file is edited
    # (the bridge, say) nothing is derived, so that plugging the edited file moves the VIF.
    if "name" in values:
        identity = values.get("id") or derived_id("name", values["name"])
    else:
        identity = values.get("id") or derived_id("mac", values["mac"])
    return {
        "id": identity,
        "address": values["mac"],
        "vif_name": values.get("name") or f"{prefix}{identity[:11]}",
    }
