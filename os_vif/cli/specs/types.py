# SPDX-License-Identifier: Apache-2.0
"""The table of VIF types: what a person may write, and the versioned object it becomes.

A new type is one more row of :data:`TYPES` and the function that builds its object; parsing,
``os-vif types``, ``os-vif schema``, completion and "did you mean" follow from the row.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from os_vif.cli.specs.kinds import (
    BOOL,
    CIDR,
    INTERFACE,
    IP,
    MAC,
    MTU,
    TEXT,
    UUID,
    VLAN,
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
_NETWORK_ID = Field("id", UUID, "the network's UUID", default="derived from bridge or label")
_LABEL = Field("label", TEXT, "the network's name, for people")
_MTU = Field(
    "mtu",
    MTU,
    "MTU in bytes of what is made, 68 to 65535",
    default="1500",
    known_as=("network.mtu", "mtu"),
)
_SUBNETS = Field(
    "subnets", ListOf(_SUBNET), "IP subnets of the network", known_as=("network.subnets",)
)
_BRIDGE_NETWORK = Group(
    "a network",
    (
        _NETWORK_ID,
        _LABEL,
        _MTU,
        Field(
            "uplink",
            INTERFACE,
            "the host's device that joins the bridge",
            default="none: guests reach each other only",
            known_as=("network.bridge_interface", "bridge_interface", "vlan_interface"),
        ),
        Field(
            "vlan",
            VLAN,
            "VLAN id on the uplink, 1 to 4094",
            default="untagged",
            known_as=("network.vlan", "vlan"),
        ),
        _SUBNETS,
    ),
)
_TAP_NETWORK = Group("a network", (_NETWORK_ID, _LABEL, _MTU, _SUBNETS))

_ID = Field("id", UUID, "the VIF's UUID", default="derived from name, or else from mac")
_NAME = Field(
    "name",
    INTERFACE,
    "name of the tap, 15 characters at most",
    default="tap and the first 11 characters of the id",
    known_as=("vif_name", "tap"),
)
_MAC = Field(
    "mac", MAC, "the guest's MAC address", required=True, known_as=("address", "mac_address")
)
INSTANCE = Field("instance", _INSTANCE, "the guest the VIF belongs to")


# --- what fields may say together ----------------------------------------------------------------


def _check_addresses(values: Values, into: Reading) -> None:
    for number, subnet in enumerate(values.get("network", {}).get("subnets", [])):
        if "cidr" not in subnet:
            continue
        for position, address in enumerate(subnet.get("addresses", [])):
            if ipaddress.ip_address(address) not in ipaddress.ip_network(subnet["cidr"]):
                inner = f"network.subnets[{number}].addresses[{position}]"
                message = f"{address!r} cannot be used; expected an address in {subnet['cidr']}"
                into.problem(into.marks[inner], inner, message)


def _check_bridge(values: Values, into: Reading) -> None:
    _check_addresses(values, into)
    if values.get("create_bridge", True):
        return
    for field in ("uplink", "vlan"):
        if field in values.get("network", {}):
            inner = f"network.{field}"
            into.problem(
                into.marks[inner],
                inner,
                "a bridge that is not made here gets no uplink; leave out this field, or "
                "create_bridge: false",
            )


# --- objects ------------------------------------------------------------------------------------


def _derived(*words: str) -> str:
    return str(uuid.uuid5(NAMESPACE, "/".join(words)))


def instance_of(values: Values) -> InstanceInfo | None:
    """Return the guest a VIF belongs to, or None if nothing was said of it."""
    from os_vif.objects.instance_info import InstanceInfo

    said = values.get("instance")
    if not said or not (said.get("uuid") or said.get("name")):
        return None
    identity = said.get("uuid") or _derived("instance", said["name"])
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


def _network(values: Values, **more: Any) -> Network:
    from os_vif.objects.network import Network
    from os_vif.objects.subnet import SubnetList

    said = values.get("network", {})
    hint = said.get("label") or values.get("bridge") or ""
    return Network(
        id=said.get("id") or _derived("network", hint),
        label=said.get("label", ""),
        mtu=said.get("mtu"),
        subnets=SubnetList(objects=[_subnet(item) for item in said.get("subnets", [])]),
        **more,
    )


def _common(values: Values) -> Values:
    # A name is unique on a host, and so is a MAC; from what may change while the file is edited
    # (the bridge, say) nothing is derived, so that plugging the edited file moves the VIF.
    if "name" in values:
        identity = values.get("id") or _derived("name", values["name"])
    else:
        identity = values.get("id") or _derived("mac", values["mac"])
    return {
        "id": identity,
        "address": values["mac"],
        "vif_name": values.get("name") or f"tap{identity[:11]}",
    }


def _bridge(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFBridge

    said = values.get("network", {})
    network = _network(
        values,
        bridge=values["bridge"],
        bridge_interface=said.get("uplink"),
        vlan=said.get("vlan"),
        should_provide_bridge=values.get("create_bridge", True),
        should_provide_vlan="vlan" in said,
    )
    return VIFBridge(
        **_common(values),
        plugin="linux_bridge",
        bridge_name=values["bridge"],
        has_traffic_filtering=values.get("filtered", False),
        network=network,
    )


def _tap(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFGeneric

    return VIFGeneric(**_common(values), plugin="tap", network=_network(values))


_BRIDGE_EXAMPLE = """\
type: bridge
bridge: br0
name: tap-web
mac: 52:54:00:12:34:56
network:
  uplink: eth1
"""

_TAP_EXAMPLE = """\
type: tap
name: tap-web
mac: 52:54:00:12:34:56
network:
  mtu: 9000
"""

TYPES: dict[str, VIFType] = {
    row.name: row
    for row in (
        VIFType(
            "bridge",
            "a tap on a Linux bridge, which is made if it is missing",
            "guests that share a network, with or without an uplink (and a VLAN)",
            "linux_bridge",
            "VIFBridge",
            (
                Field(
                    "bridge",
                    INTERFACE,
                    "the bridge's name",
                    required=True,
                    known_as=("bridge", "bridge_name"),
                ),
                _MAC,
                _NAME,
                _ID,
                INSTANCE,
                Field("network", _BRIDGE_NETWORK, "the network behind the bridge"),
                Field(
                    "create_bridge",
                    BOOL,
                    "make the bridge if it is missing",
                    default="true",
                ),
                Field(
                    "filtered",
                    BOOL,
                    "somebody else filters this traffic: set no FORWARD rules that accept it",
                    default="false",
                ),
            ),
            _bridge,
            _BRIDGE_EXAMPLE,
            _check_bridge,
        ),
        VIFType(
            "tap",
            "a tap that is on no switch; the host may route to it (options: tap: routed: true)",
            "guests in layer-3 networks, and whoever connects the tap himself",
            "tap",
            "VIFGeneric",
            (
                _MAC,
                _NAME,
                _ID,
                INSTANCE,
                Field("network", _TAP_NETWORK, "the network, and the guest's addresses in it"),
            ),
            _tap,
            _TAP_EXAMPLE,
            _check_addresses,
        ),
    )
}
"""Every type, by name."""


def schema_of(names: list[str] | None = None) -> Schema:
    """Return the JSON Schema of specification files, with all types or only those named."""
    rows = [TYPES[name] for name in names or TYPES]
    definitions = {row.name: row.schema for row in rows}
    vif: Schema = {"oneOf": [{"$ref": f"#/$defs/{row.name}"} for row in rows]}
    options: Schema = {
        "description": "configuration options for the whole call, by plugin",
        "type": "object",
        "additionalProperties": {"type": "object"},
    }
    single = {
        name: {**schema, "properties": {**schema["properties"], "options": options}}
        for name, schema in definitions.items()
    }
    many: Schema = {
        "title": "several VIFs",
        "type": "object",
        "properties": {"vifs": {"type": "array", "items": vif, "minItems": 1}, "options": options},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "VIFs for os-vif",
        "oneOf": [
            *({**schema, "title": schema["title"]} for schema in single.values()),
            many,
            {"title": "a list of VIFs", "type": "array", "items": vif, "minItems": 1},
        ],
        "$defs": definitions,
    }
