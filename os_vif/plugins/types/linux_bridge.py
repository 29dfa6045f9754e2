# SPDX-License-Identifier: Apache-2.0
"""The type on a Linux bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from os_vif.host.links import resources as links
from os_vif.plugins.types.access import GROUP, MULTI_QUEUE, OWNER, tap_options_of
from os_vif.plugins.types.anti_spoofing import (
    ADDRESSES,
    options_of_addresses,
    tell_addresses,
)
from os_vif.plugins.types.bridge_port import FIELDS, FILTERING, port_options_of, told_of_port
from os_vif.plugins.types.host_network import (
    NAT,
    SUBNETS_WITH_DHCP,
    check_network,
    check_together,
    options_of_network,
    tell_network,
)
from os_vif.plugins.types.limits import LIMITS, limit_options, told_of_limits
from os_vif.specs import (
    BOOL,
    DEVICE,
    ID,
    INSTANCE,
    INTERFACE,
    LABEL,
    MAC_ADDRESS,
    MTU,
    MTU_FIELD,
    NAME,
    NETWORK_ID,
    VLAN,
    Field,
    Group,
    NotTold,
    Reading,
    Told,
    Values,
    VIFType,
    access_of,
    identity_of,
    mac_of_guest,
    network_of,
    one_device,
    told_of,
)

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held
    from os_vif.objects.vif import VIFBase

_BRIDGE_NETWORK = Group(
    "a network",
    (
        NETWORK_ID,
        LABEL,
        MTU_FIELD,
        Field(
            "uplink",
            DEVICE,
            "the host's device that joins the bridge, by any of its names",
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
        NAT,
        SUBNETS_WITH_DHCP,
    ),
)


def _check_bridge(values: Values, into: Reading) -> None:
    check_network(values, into)
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
    said = values.get("network", {})
    options = tap_options_of(values) | port_options_of(values) | limit_options(values)
    options |= options_of_addresses(values) | options_of_network(values)
    if "uplink_mtu" in said:
        options["network.uplink_mtu"] = ("uplink_mtu", said["uplink"], said["uplink_mtu"])
    return options


def _held(held: Held) -> Told:
    if not held["links"]:
        raise NotTold("it has forwarding rules here and no tap: which one is the hypervisor's")
    tap = one_device(held, "tap")
    bridge = tap.attributes.get("master")
    if bridge is None:
        raise NotTold(f"{tap.name} is on no bridge")
    told = told_of(held, bridge=bridge, name=tap.name, **access_of(tap))
    told.values |= told_of_port(held) | told_of_limits(tap)
    tell_addresses(held, told)
    told.values["mac"] = mac_of_guest(tap.attributes["mac"], told)
    told.network(mtu=tap.attributes.get("mtu"))
    made = held.shared.get(bridge)
    if made is None:
        # Whoever made the bridge has given it its uplink too.
        told.values["create_bridge"] = False
        return told
    tell_network(held, told, bridge)
    uplinks = [it.name for it in made if isinstance(it, links.Uplink)]
    vlans = [it for it in made if isinstance(it, links.Vlan)]
    if vlans:
        told.network(uplink=vlans[0].link, vlan=vlans[0].vlan_id)
    elif uplinks:
        told.network(uplink=uplinks[0])
    if vlans or held["comments"] or held["rules"]:
        return told
    if held.privileged:
        told.values["filtered"] = True
    else:
        told.doubts.append("filtered: forwarding rules are seen with privilege alone")
    return told


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
            *LIMITS,
            *ADDRESSES,
            MULTI_QUEUE,
            *FIELDS,
            Field("network", _BRIDGE_NETWORK, "the network behind the bridge"),
            Field(
                "create_bridge",
                BOOL,
                "make the bridge if it is missing",
                default="true",
            ),
            FILTERING,
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
        held=_held,
        together=check_together,
    ),
)
