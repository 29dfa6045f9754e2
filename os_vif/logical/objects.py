# SPDX-License-Identifier: Apache-2.0
"""What is wanted of OVN: networks and VIFs, and what no versioned object says of them.

A network and a VIF are versioned objects; what stands here beside them (a router, the provider's
network, who serves addresses, on which chassis a port may be) is plain data.  Nothing is checked
when it is made: :func:`os_vif.logical.examine` tells all that is wrong at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.network import Network
    from os_vif.objects.vif import VIFBase

LEASE = 43200
"""Seconds that an address is leased for, where nothing is said: twelve hours."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DHCP:
    """What guests are told beside their address.

    :ivar lease: seconds, 120 to a year of them.
    :ivar domain: in which they look for names; '' for none.
    """

    lease: int = LEASE
    domain: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LogicalNetwork:
    """A network.

    :ivar network: its id, label, MTU (None: 1442, or 1500 with ``physical``), VLAN and subnets.
    :ivar physical: the provider's network it is connected to, by the name that chassis have for it
        in ``ovn-bridge-mappings``; '' for none.  ``network.vlan`` is its VLAN there.
    :ivar dhcp: by the CIDR of a subnet how DHCP is served; None for not at all.  A subnet that is
        not here is served, if it has a gateway or a ``dhcp_server``.
    :ivar at: what it is called in errors, ``networks[0]`` of a file, say; unique.
    """

    network: Network
    physical: str = ""
    dhcp: Mapping[str, DHCP | None] = dataclasses.field(default_factory=dict)
    at: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A VIF on a network.

    :ivar vif: its id (or its profile's ``interface_id``) is the port's name, by which a chassis
        finds it; ``network`` is one of the networks, by its id; ``active`` False shuts the port.
    :ivar instance: the guest; its name is the host name that DHCP tells it.
    :ivar chassis: by name or host name, where the port may be bound: one, or the one it is on and
        those that it may move to.  () says nothing, and leaves what the database has.
    :ivar activation_strategy: with several chassis ``rarp``, blocked on the second one until the
        guest's RARP comes there, or ``none``; '' for rarp.
    :ivar port_security: let only the guest's own addresses pass.
    :ivar places: by an address, fixed or floating, the field of a file that says it.
    :ivar at: as of :class:`LogicalNetwork`.
    """

    vif: VIFBase
    instance: InstanceInfo | None = None
    chassis: tuple[str, ...] = ()
    activation_strategy: str = ""
    port_security: bool = True
    places: Mapping[str, str] = dataclasses.field(default_factory=dict)
    at: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """The outside of a router.

    :ivar network: the id of the network there.
    :ivar address: the router's own in it, without prefix length.
    :ivar gateway: the next hop of all that leads further; '' for the subnet's gateway, if any.
    :ivar chassis: where it may leave, the first one first.
    :ivar snat: the networks inside, in CIDR form, whose guests go out with the router's address;
        True for all of its family.
    :ivar distributed: floating addresses are translated where the guest is, not at the gateway.
    """

    network: str
    address: str
    gateway: str = ""
    chassis: tuple[str, ...] = ()
    snat: bool | tuple[str, ...] = False
    distributed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """A router between networks, at the gateways of their subnets.

    :ivar id: UUID.
    :ivar label: its name for people.
    :ivar networks: by their ids.
    :ivar external: its outside, if it has one.
    :ivar at: as of :class:`LogicalNetwork`.
    """

    id: str
    label: str
    networks: tuple[str, ...]
    external: External | None = None
    at: str = ""

    @property
    def shown(self) -> str:
        """What people call it."""
        return self.label or self.id


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """All that one call is about.

    :ivar owner: who may change and remove what becomes of it: one word, 24 characters at most.
    """

    owner: str
    networks: tuple[LogicalNetwork, ...] = ()
    ports: tuple[Port, ...] = ()
    routers: tuple[Router, ...] = ()
