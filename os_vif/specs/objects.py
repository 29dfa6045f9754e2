# SPDX-License-Identifier: Apache-2.0
"""From what was said to versioned objects: the guest, the network, what a VIF is known by."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from os_vif.specs.vif_type import Values

if TYPE_CHECKING:
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.network import Network
    from os_vif.objects.subnet import Subnet

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "os-vif")
"""Namespace of the ids derived here (RFC 9562, UUID version 5). It must never change."""


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
    """Return the network a VIF is in, with fields that only some types have."""
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
