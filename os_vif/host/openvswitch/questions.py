# SPDX-License-Identifier: Apache-2.0
"""What can be asked of Open vSwitch, and the rows as they were read.

In the words of ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from os_vif.engine.observed import HOLDERS, Question
from os_vif.host.openvswitch.resources import DEAD_VLAN

MARK_KEY = "os-vif"
"""Key of ``Interface.external_ids`` (``Bridge.external_ids`` for a bridge of one VIF's own) that
holds the VIF's mark."""


GUEST_KEY = "os-vif-guest"
"""Key of ``Interface.external_ids`` that says what the guest is called, as a mark has it."""

SET_KEY = "os-vif-set"
"""Key of ``Interface.external_ids`` that tells, in JSON, which settings plugging has made."""


INSTALLED_KEY = "ovn-installed"
"""Key of ``Interface.external_ids`` that ovn-controller sets to ``true`` when the port's flows are
there (ovn-controller(8))."""

OF_CONTROLLER = (INSTALLED_KEY, "ovn-installed-ts")
"""Keys that ovn-controller writes about one row; they tell nothing of another of the same name."""


@dataclasses.dataclass(slots=True)
class BridgeRow:
    """A row of table Bridge.

    :ivar name: Bridge.name.
    :ivar datapath_type: '' is the same as ``system``.
    :ivar uuid: of the row; '' for one that is only planned.
    :ivar mark: the mark in its external_ids; '' for none.
    """

    name: str
    datapath_type: str
    uuid: str = ""
    mark: str = ""


@dataclasses.dataclass(slots=True)
class PortRow:
    """A row of table Port with its one Interface.

    :ivar name: Port.name.
    :ivar bridge: the bridge whose ports hold it.
    :ivar uuid: of the Port row; '' for one that is only planned.
    :ivar interface: uuid of the Interface row.
    :ivar type: Interface.type.
    :ivar options: Interface.options.
    :ivar external_ids: Interface.external_ids.
    :ivar mtu_request: Interface.mtu_request.
    :ivar settings: of :data:`.resources.SETTINGS` those that are set.
    :ivar qos: QoS.type; None for no row.
    :ivar qos_uuid: of the QoS row; '' for none.
    :ivar qos_shared: whether other ports have that row too.
    :ivar ofport: None while ovs-vswitchd has not looked at it, -1 when it could not attach it.
    :ivar error: ovs-vswitchd's own words why; '' for none.
    """

    name: str
    bridge: str
    uuid: str = ""
    interface: str = ""
    type: str = ""
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    external_ids: dict[str, str] = dataclasses.field(default_factory=dict)
    mtu_request: int | None = None
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    qos: str | None = None
    qos_uuid: str = ""
    qos_shared: bool = False
    ofport: int | None = None
    error: str = ""

    @property
    def bound(self) -> bool:
        """Whether OVN has bound it and installed its flows.

        What ovn-controller has written there outlives the device it was written for.
        """
        return self.external_ids.get(INSTALLED_KEY) == "true" and (self.ofport or 0) > 0

    @property
    def isolated(self) -> bool:
        """Whether it is in the dead VLAN."""
        return self.settings.get("tag") == DEAD_VLAN


@dataclasses.dataclass(frozen=True, slots=True)
class Logical:
    """A row of table Port_Binding of OVN's Southbound database (ovn-sb(5)).

    :ivar chassis: name of the chassis that has it; '' for none.
    :ivar requested: options:requested-chassis; '' where any chassis may have it.
    :ivar iface_id_ver: options:iface-id-ver; '' for none.
    """

    chassis: str = ""
    requested: str = ""
    iface_id_ver: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Binding:
    """How far OVN is with a port, and what it was told of this host (ovn-controller(8)).

    :ivar port: the port; None where there is none.
    :ivar told: Open_vSwitch.external_ids.
    :ivar silent: why the Southbound database was not asked, in words; '' if it was.
    :ivar logical: what that has of the port; None for nothing.
    :ivar known: whether it knows this chassis.
    :ivar tunnels: device and MTU of the address that tunnels end at; None where it was not found.
    """

    port: PortRow | None
    told: dict[str, str]
    silent: str = ""
    logical: Logical | None = None
    known: bool = False
    tunnels: tuple[str, int] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Chassis:
    """A host of OVN: what ovn-controller was told, and what can be seen of that.

    :ivar told: Open_vSwitch.external_ids.
    :ivar bridges: names of all bridges of Open vSwitch.
    :ivar ports: of all ports that have an iface-id: name, bridge and MTU (None where not known).
    :ivar silent: why the Southbound database was not asked, in words; '' if it was.
    :ivar known: whether that knows this chassis.
    :ivar tunnels: device and MTU of the address that tunnels end at; None where it was not found.
    """

    told: dict[str, str]
    bridges: tuple[str, ...]
    ports: tuple[tuple[str, str, int | None], ...]
    silent: str = ""
    known: bool = False
    tunnels: tuple[str, int] | None = None


BRIDGES: Question[str, BridgeRow | None] = Question("ovs_bridges", HOLDERS)
"""Of a name: the bridge; None where there is none."""

PORTS: Question[str, PortRow | None] = Question("ovs_ports", HOLDERS)
"""Of a name: the port; None where there is none."""

IDS: Question[str, tuple[str, ...]] = Question("ovs_ids", HOLDERS)
"""Of an iface-id: the names of the ports that have it.  They are among :data:`PORTS` then."""

MARKED: Question[str, tuple[str, ...]] = Question("ovs_marked", HOLDERS)
"""Of the text of a mark: the names of the ports that have it.  They are among :data:`PORTS` then,
and the bridges that have it among :data:`BRIDGES`."""

REPRESENTED: Question[str, None] = Question("ovs_represented", HOLDERS)
"""Of the PCI address of a virtual function, itself asked about: the port of its representor, by
that one's name, is among :data:`PORTS` then."""

HELD: Question[str, tuple[str, ...]] = Question("ovs_held", HOLDERS)
"""Of a bridge, by name: what others have on it: its ports but for its own, and in words what else
somebody has set on it."""

BINDINGS: Question[str, Binding] = Question("ovs_bindings", HOLDERS)
"""Of a port, by name: how far OVN is with it."""

QUESTIONS = (BRIDGES, PORTS, IDS, MARKED, REPRESENTED, HELD, BINDINGS)
"""All that can be asked."""
