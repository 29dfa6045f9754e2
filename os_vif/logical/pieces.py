# SPDX-License-Identifier: Apache-2.0
"""Networks in pieces, so that a picture of many VIFs can be one of several pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from os_vif.engine.topology import Topology
from os_vif.host.ovn.resources import Row


def pieces_of(topologies: Sequence[Topology]) -> list[Topology]:
    """Return the same in pieces: each has one VIF of a network, and all that this hangs on.

    :param topologies: of networks and routers, as :func:`os_vif.logical.topologies` has them
    """
    switches = [it for it in topologies if _root(it).table == "Logical_Switch"]
    routers = [it for it in topologies if it not in switches]
    pieces = []
    for switch in switches:
        above = [it for it in routers if _root(switch).uuid in _switches_of(it)]
        if _is_outside(switch) and above and not any(map(_is_port, _rows(switch))):
            continue  # it is above what hangs on it
        shared = [row for row in _rows(switch) if not _is_port(row)]
        for router in above:
            shared += _rows(router)
            for outside in switches:
                if _root(outside).uuid in _switches_of(router) and _is_outside(outside):
                    shared += [row for row in _rows(outside) if not _is_port(row)]
        ports = [row for row in _rows(switch) if _is_port(row)]
        pieces += [_with(switch, [*shared, port]) for port in ports] or [_with(switch, shared)]
    drawn = {row.uuid for piece in pieces for row in _rows(piece)}
    return [*pieces, *(it for it in topologies if _root(it).uuid not in drawn)]


def _with(topology: Topology, rows: Iterable[Row]) -> Topology:
    own = {row.uuid: row for row in rows}
    return dataclasses.replace(topology, resources=tuple(own.values()))


def _rows(topology: Topology) -> list[Row]:
    return [row for row in topology.resources if isinstance(row, Row)]


def _root(topology: Topology) -> Row:
    return _rows(topology)[0]


def _is_port(row: Row) -> bool:
    return row.table == "Logical_Switch_Port" and row.columns.get("type", "") == ""


def _is_outside(switch: Topology) -> bool:
    return any(row.columns.get("type") == "localnet" for row in _rows(switch))


def _switches_of(router: Topology) -> set[str]:
    """Return the rows of the switches that a router has legs in."""
    return {
        row.parent[1] for row in _rows(router) if row.parent and row.table == "Logical_Switch_Port"
    }
