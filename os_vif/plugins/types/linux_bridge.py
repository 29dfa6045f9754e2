# SPDX-License-Identifier: Apache-2.0
"""The type on a Linux bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from os_vif.plugins.types.access import GROUP, OWNER, options_of
from os_vif.plugins.types.unused import switched
from os_vif.specs import (
    BOOL,
    ID,
    INSTANCE,
    INTERFACE,
    LABEL,
    MAC_ADDRESS,
    MTU,
    MTU_FIELD,
    NAME,
    NETWORK_ID,
    SUBNETS,
    VLAN,
    Field,
    Group,
    Reading,
    Values,
    VIFType,
    check_addresses,
    identity_of,
    network_of,
)

if TYPE_CHECKING:
    from os_vif.objects.vif import VIFBase

_BRIDGE_NETWORK = Group(
    "a network",
    (
        NETWORK_ID,
        LABEL,
        MTU_FIELD,
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
        Field(
            "uplink_mtu",
            MTU,
            "MTU in bytes that the uplink is raised to where it has less, 68 to 65535",
            default="the uplink keeps the MTU it has; it is never lowered",
            known_as=("network.uplink_mtu",),
        ),
        SUBNETS,
    ),
)


def _check_bridge(values: Values, into: Reading) -> None:
    check_addresses(values, into)
    written = into.marks.keys()
    if "network.uplink_mtu" in written and "network.uplink" not in written:
        message = "without an uplink (network.uplink) there is nothing to raise"
        into.problem(into.marks["network.uplink_mtu"], "network.uplink_mtu", message)
    if values.get("create_bridge", True):
        return
    for field in ("uplink", "uplink_mtu", "vlan"):
        if field in values.get("network", {}):
            inner = f"network.{field}"
            into.problem(
                into.marks[inner],
                inner,
                "a bridge that is not made here gets no uplink; leave out this field, or "
                "create_bridge: false",
            )


def _bridge(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFBridge

    said = values.get("network", {})
    network = network_of(
        values,
        bridge=values["bridge"],
        bridge_interface=said.get("uplink"),
        vlan=said.get("vlan"),
        should_provide_bridge=values.get("create_bridge", True),
        should_provide_vlan="vlan" in said,
    )
    return VIFBridge(
        **identity_of(values),
        plugin="linux_bridge",
        bridge_name=values["bridge"],
        has_traffic_filtering=values.get("filtered", False),
        network=network,
    )


def _options(values: Values) -> dict[str, tuple[str, str, Any]]:
    said, options = values.get("network", {}), options_of(values)
    if "uplink_mtu" in said:
        options["network.uplink_mtu"] = ("uplink_mtu", said["uplink"], said["uplink_mtu"])
    return options


_BRIDGE_EXAMPLE = """\
type: bridge
bridge: br0
name: tap-web
mac: 52:54:00:12:34:56
network:
  uplink: eth1
"""

TYPES = (
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
            MAC_ADDRESS,
            NAME,
            ID,
            INSTANCE,
            OWNER,
            GROUP,
            switched(Field("network", _BRIDGE_NETWORK, "the network behind the bridge")),
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
        rank=1,
        options=_options,
    ),
)
