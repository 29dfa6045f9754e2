# SPDX-License-Identifier: Apache-2.0
"""What people are told of a network or a router, from its rows."""

from __future__ import annotations

from collections.abc import Iterator

from os_vif.engine.topology import Topology
from os_vif.host.ovn.resources import Row

_MOST = 3
"""So many of a kind are named; of more the number is told."""


def called(topology: Topology) -> tuple[str, str]:
    """Return what it is, ``network`` or ``router``, and its label."""
    kind, _blank, label = _rows(topology)[0].what.partition(" ")
    return kind, label


def ports_of(topology: Topology) -> dict[str, str]:
    """Return by which name chassis know the VIFs' ports, by what people call them."""
    return {row.what: str(row.columns["name"]) for row in _rows(topology) if row.is_guests}


def summary(topology: Topology) -> str:
    """Return in a line what is in it: ``2 subnets with DHCP, 2 ports``."""
    rows = _rows(topology)
    if rows[0].table == "Logical_Router":
        return "; ".join(_of_router(rows))
    return ", ".join(_of_network(rows))


def _rows(topology: Topology) -> list[Row]:
    return [row for row in topology.resources if isinstance(row, Row)]


def _of_network(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        if row.columns.get("type") == "localnet":
            tag = row.columns.get("tag")
            yield f"on {row.keys['options']['network_name']}" + (f" VLAN {tag}" if tag else "")
    served = {row.columns["cidr"] for row in rows if row.table == "DHCP_Options"}
    if served:
        yield f"{_many(len(served), 'subnet')} with DHCP"
    yield _many(len([row for row in rows if row.is_guests]), "port")


def _of_router(rows: list[Row]) -> Iterator[str]:
    gateways = [row for row in rows if row.table == "Gateway_Chassis"]
    outer = {row.parent[1] for row in gateways if row.parent}
    legs = [row for row in rows if row.table == "Logical_Router_Port"]
    for leg in legs:
        if leg.uuid in outer:
            chassis = ", ".join(str(row.columns["chassis_name"]) for row in gateways)
            yield f"{_address(leg)} on {chassis}"
    inner = [leg for leg in legs if leg.uuid not in outer]
    if inner:
        yield _named([_address(leg) for leg in inner], "leg")
    nats = [row for row in rows if row.table == "NAT"]
    translated = [row for row in nats if row.columns["type"] == "snat"]
    if translated:
        yield f"SNAT of {_many(len(translated), 'subnet')}"
    floating = [
        f"{row.columns['external_ip']} → {row.what.rpartition(' of ')[2]}"
        for row in nats
        if row.columns["type"] == "dnat_and_snat"
    ]
    if floating:
        yield _named(floating, "floating address", "es")


def _address(leg: Row) -> str:
    networks = leg.columns["networks"]
    texts = networks if isinstance(networks, tuple) else (networks,)
    return ", ".join(str(text).partition("/")[0] for text in texts)


def _named(words: list[str], what: str, plural: str = "s") -> str:
    return ", ".join(words) if len(words) <= _MOST else _many(len(words), what, plural)


def _many(count: int, what: str, plural: str = "s") -> str:
    return f"{count} {what}{'' if count == 1 else plural}"
