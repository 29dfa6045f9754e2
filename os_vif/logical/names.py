# SPDX-License-Identifier: Apache-2.0
"""What things are called in OVN, and which row and which MAC address stand for them.

All follows from ids, so that whoever applies the same again, from wherever, means the same rows.
Nothing here may ever change: what was applied before would be found no more.
"""

from __future__ import annotations

import functools
import uuid
from typing import TYPE_CHECKING

from os_vif.host.ovn.resources import MARK_KEY, OWNER_KEY, derived_uuid
from os_vif.logical.versioned import said

if TYPE_CHECKING:
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase

NETWORK_KEY = "os-vif-network"
"""Key of ``external_ids``: the id of a port's network."""


@functools.lru_cache(maxsize=1024)
def switch_row_of(network_id: str) -> str:
    """Return the ``_uuid`` of the Logical_Switch of a network."""
    return derived_uuid("Logical_Switch", network_id)


def router_row_of(router_id: str) -> str:
    """Return the ``_uuid`` of a Logical_Router."""
    return derived_uuid("Logical_Router", router_id)


def port_row_of(vif_id: str) -> str:
    """Return the ``_uuid`` of the Logical_Switch_Port of a VIF."""
    return derived_uuid("Logical_Switch_Port", "vif", vif_id)


def localnet_row_of(network_id: str) -> str:
    """Return the ``_uuid`` of the Logical_Switch_Port that leads to the provider's network."""
    return derived_uuid("Logical_Switch_Port", "localnet", network_id)


@functools.lru_cache(maxsize=1024)
def dhcp_row_of(network_id: str, cidr: str, vif_id: str = "") -> str:
    """Return the ``_uuid`` of the DHCP_Options of a subnet, or of one VIF in it."""
    return derived_uuid("DHCP_Options", network_id, cidr, *([vif_id] if vif_id else []))


def leg_row_of(router_id: str, network_id: str) -> str:
    """Return the ``_uuid`` of the Logical_Router_Port of a router in a network."""
    return derived_uuid("Logical_Router_Port", router_id, network_id)


def leg_name(router_id: str, network_id: str) -> str:
    """Return what a Logical_Router_Port is called."""
    return f"os-vif-{router_id}-{network_id}"


def plug_row_of(router_id: str, network_id: str) -> str:
    """Return the ``_uuid`` of the Logical_Switch_Port that a router's leg is plugged into."""
    return derived_uuid("Logical_Switch_Port", "router", router_id, network_id)


def gateway_row_of(router_id: str, network_id: str, chassis: str) -> str:
    """Return the ``_uuid`` of a Gateway_Chassis."""
    return derived_uuid("Gateway_Chassis", router_id, network_id, chassis)


def route_row_of(router_id: str, to: str, key: str) -> str:
    """Return the ``_uuid`` of a Logical_Router_Static_Route."""
    return derived_uuid("Logical_Router_Static_Route", router_id, to, key)


def nat_row_of(router_id: str, kind: str, key: str) -> str:
    """Return the ``_uuid`` of a NAT of a router."""
    return derived_uuid("NAT", router_id, kind, key)


def port_name(vif: VIFBase) -> str:
    """Return what a VIF's port is called: what its chassis has in ``external_ids:iface-id``."""
    return str(said(said(vif, "port_profile"), "interface_id") or vif.id)


def shown_name(vif: VIFBase) -> str:
    """Return what people call a VIF: the name of its device, or else its id."""
    return str(said(vif, "vif_name") or vif.id)


def mac_of(*words: str) -> str:
    """Return the MAC address of something that no guest has: unicast, locally administered."""
    start = uuid.UUID(derived_uuid("mac", *words)).bytes[:5]
    return ":".join(f"{byte:02x}" for byte in (2, *start))


def marks(owner: str, kind: str, identity: str, **more: str) -> dict[str, str]:
    """Return our keys of a row's ``external_ids``.

    :param kind: ``network``, ``router`` or ``vif``
    :param more: further words of the mark; what is '' is left out
    """
    words = [f"{kind}={identity}", *(f"{key}={value}" for key, value in more.items() if value)]
    return {MARK_KEY: " ".join(words), OWNER_KEY: owner}


def instance_id(instance: InstanceInfo | None) -> str:
    """Return the guest's UUID; '' for unknown."""
    return str(said(instance, "uuid", ""))


def guest_name(instance: InstanceInfo | None) -> str:
    """Return the guest's name, if it is one for people and not its UUID; else ''."""
    name = str(said(instance, "name", ""))
    return "" if name == instance_id(instance) else name
