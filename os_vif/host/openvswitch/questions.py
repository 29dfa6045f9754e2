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
    :ivar vlan: the Port columns ``tag, trunks, vlan_mode``, those that are set.
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
    vlan: dict[str, Any] = dataclasses.field(default_factory=dict)
    qos: str | None = None
    qos_uuid: str = ""
    qos_shared: bool = False
    ofport: int | None = None
    error: str = ""

    @property
    def isolated(self) -> bool:
        """Whether it is in the dead VLAN."""
        return self.vlan.get("tag") == DEAD_VLAN


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

QUESTIONS = (BRIDGES, PORTS, IDS, MARKED, REPRESENTED, HELD)
"""All that can be asked."""
