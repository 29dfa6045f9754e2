# SPDX-License-Identifier: Apache-2.0
"""What chassis there must be for rows to come true: OVN says so in a log of ovn-northd at best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from os_vif.engine.family import Caution
from os_vif.engine.topology import Topology
from os_vif.host.ovn.questions import Chassis
from os_vif.host.ovn.resources import Row


def warnings(topology: Topology, chassis: Sequence[Chassis]) -> Iterator[Caution]:
    """Return what of a network or router no chassis, or not each that is named, can do.

    :param chassis: all there are
    """
    names = {name for it in chassis for name in (it.name, it.hostname)}
    there = f"there is: {', '.join(it.name for it in chassis)}" if chassis else "there is none"
    for row in topology.resources:
        if not isinstance(row, Row):
            continue
        for name in _needed(row):
            if name not in names:
                yield Caution(row.what, f"OVN knows no chassis {name}; {there}")
        network = _provider(row)
        if network and not any(network in it.mappings for it in chassis):
            yield Caution(
                row.what,
                f"no chassis is connected to {network}: ovs-vsctl set Open_vSwitch . "
                f"external_ids:ovn-bridge-mappings={network}:BRIDGE on those that are to be",
            )


def _needed(row: Row) -> list[str]:
    """Return the chassis that a row names."""
    if row.table == "Gateway_Chassis":
        return [str(row.columns["chassis_name"])]
    requested = row.keys.get("options", {}).get("requested-chassis") or ""
    return [name for name in requested.split(",") if name]


def _provider(row: Row) -> str:
    if row.columns.get("type") != "localnet":
        return ""
    return row.keys.get("options", {}).get("network_name") or ""
