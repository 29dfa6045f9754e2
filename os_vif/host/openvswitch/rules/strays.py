# SPDX-License-Identifier: Apache-2.0
"""What a VIF has on Open vSwitch elsewhere: found by its mark, and by the logical port."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from os_vif.engine.family import Strays
from os_vif.engine.plugged import Part
from os_vif.engine.topology import Mark, parse_mark
from os_vif.host.links.questions import FUNCTIONS
from os_vif.host.openvswitch.questions import BRIDGES, IDS, MARK_KEY, MARKED, PORTS
from os_vif.host.openvswitch.resources import OvsBridge, OvsPort

if TYPE_CHECKING:
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Topology


def _ports_of(topology: Topology) -> list[OvsPort]:
    return [resource for resource in topology.resources if isinstance(resource, OvsPort)]


def _asks_strays(topology: Topology, marks: Collection[Mark]) -> Iterable[Asked]:
    yield from (MARKED(str(mark)) for mark in marks)
    # Plugged for another guest, they have another mark, and are for the same logical port.
    ids = (port.external_ids.get("iface-id") for port in _ports_of(topology))
    yield from (IDS(iface_id) for iface_id in ids if iface_id is not None)


def _owned(mark: Mark, text: str | None) -> Mark | None:
    found = parse_mark(text)
    return found if found is not None and found.vif_id == mark.vif_id else None


def _find_strays(topology: Topology, host: Host) -> Iterable[Part]:
    if not host[PORTS] and not host[BRIDGES]:
        return
    mark = topology.mark
    ports, bridges = _described(topology, host)
    doomed = set()
    for name, bridge in host[BRIDGES].items():
        found = _owned(mark, bridge.mark) if bridge is not None and name not in bridges else None
        if found is not None:
            doomed.add(name)
            yield Part(mark.vif_id, "bridges", bridge, found)
    for name, port in host[PORTS].items():
        # One that is to be on another bridge must be gone before it is added there.
        if port is not None and (name not in ports or port.bridge in doomed):
            found = _owned(mark, port.external_ids.get(MARK_KEY))
            if found is not None:
                yield Part(mark.vif_id, "ports", port, found)


def _described(topology: Topology, host: Host) -> tuple[set[str], set[str]]:
    """Return the names of the ports and bridges that a topology speaks of."""
    ports = set(topology.awaited)
    for port in _ports_of(topology):
        ports.add(port.name)
        function = host[FUNCTIONS].get(port.behind)
        ports.add(function.representor if function is not None and not port.type else "")
    bridges = {it.name for it in topology.resources if isinstance(it, OvsBridge)}
    return ports, bridges


def _marks(topology: Topology, host: Host) -> Iterable[Mark]:
    for row in host[PORTS].values():
        found = _owned(topology.mark, row.external_ids.get(MARK_KEY)) if row is not None else None
        if found is not None:
            yield found


STRAYS = Strays(asks=_asks_strays, find=_find_strays, marks=_marks)
"""How a VIF's ports and bridges are found by its mark."""
