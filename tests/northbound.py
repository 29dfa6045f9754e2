# SPDX-License-Identifier: Apache-2.0
"""Networks and routers as rows of OVN's Northbound database, for tests of those who write rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from os_vif.engine.topology import Mark, Topology
from os_vif.host.ovn.resources import PARENTS, Northbound, Ref, Row, derived_uuid
from tests import strangers
from tests.ovn import Server

OWNER = "lab"


def nb(server: Server, timeout: int = 10, **more: Any) -> Northbound:
    return Northbound(server.northbound, timeout, **more)


def _ids(mark: str, owner: str, **more: str) -> dict[str, dict[str, str | None]]:
    return {"external_ids": {"os-vif": mark, "os-vif-owner": owner, **more}}


def mac(number: int) -> str:
    return f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"


def network(
    label: str = "blue", ports: int = 2, *, owner: str = OWNER, first: int = 1, **columns: Any
) -> Topology:
    """Return a network with DHCP and some ports, the first number of whose addresses is given.

    :param columns: of each port, beside or instead of its own
    """
    nid = f"{owner}-{label}"
    switch = derived_uuid("Logical_Switch", nid)
    dhcp = derived_uuid("DHCP_Options", nid, "10.5.0.0/16")
    mark = f"network={nid}"
    rows = [
        Row(
            table="Logical_Switch",
            uuid=switch,
            what=f"network {label}",
            columns={"name": f"os-vif-{nid}"},
            keys={**_ids(mark, owner, **{"os-vif-label": label}), "other_config": {}},
        ),
        Row(
            table="DHCP_Options",
            uuid=dhcp,
            what="DHCP of 10.5.0.0/16",
            columns={"cidr": "10.5.0.0/16"},
            keys={**_ids(mark, owner), "options": {"router": "10.5.0.1", "mtu": "1442"}},
        ),
    ]
    for number in range(first, first + ports):
        vif = f"{label}-{number}"
        address = f"{mac(number)} 10.5.{number >> 8}.{number & 255}"
        own = {
            "name": vif,
            "addresses": (address,),
            "port_security": (address,),
            "enabled": True,
            "dhcpv4_options": Ref(uuid=dhcp),
        }
        rows.append(
            Row(
                table="Logical_Switch_Port",
                uuid=derived_uuid("Logical_Switch_Port", vif),
                what=f"port {vif}",
                columns={**own, **columns},
                keys={**_ids(f"vif={vif}", owner), "options": {"hostname": f'"{vif}"'}},
                parent=("Logical_Switch", switch, "ports"),
                fields={"addresses": f"vifs[{number}].address", "tag": f"vifs[{number}].vlan"},
            )
        )
    return Topology(Mark(nid, "ovn", owner=owner), tuple(rows), kind="network")


def router(
    label: str = "edge", networks: Sequence[str] = ("blue",), *, owner: str = OWNER
) -> Topology:
    """Return a router with a leg in each network, a gateway chassis, a route and NAT."""
    rid = f"{owner}-{label}"
    mark = f"router={rid}"
    top = derived_uuid("Logical_Router", rid)

    def row(table: str, *words: str, parent: str = top, **columns: Any) -> Row:
        refers = PARENTS[table]
        return Row(
            table=table,
            uuid=derived_uuid(table, rid, *words),
            what=f"{table} of router {label}",
            columns=columns,
            keys=_ids(mark, owner),
            parent=refers and (refers[0], parent, refers[1]),
        )

    rows = [
        Row(
            table="Logical_Router",
            uuid=top,
            what=f"router {label}",
            columns={"name": f"os-vif-{rid}"},
            keys={**_ids(mark, owner), "options": {"dynamic_neigh_routers": "true"}},
        )
    ]
    for number, name in enumerate(networks):
        leg, switch = f"os-vif-{rid}-{name}", derived_uuid("Logical_Switch", f"{owner}-{name}")
        rows += [
            row(
                *("Logical_Router_Port", name),
                name=leg,
                mac=mac(0xFE00 + number),
                networks=(f"10.{5 + number}.0.1/16",),
            ),
            row(
                *("Logical_Switch_Port", name),
                parent=switch,
                name=f"{leg}-lsp",
                type="router",
                addresses=("router",),
            ),
        ]
    inner = derived_uuid("Logical_Router_Port", rid, networks[0])
    rows += [
        row("Gateway_Chassis", parent=inner, name=f"{rid}-h1", chassis_name="h1", priority=1),
        row("Logical_Router_Static_Route", "0/0", ip_prefix="0.0.0.0/0", nexthop="10.5.0.254"),
        row("NAT", "snat", type="snat", external_ip="203.0.113.9", logical_ip="10.5.0.0/16"),
    ]
    return Topology(Mark(rid, "ovn", owner=owner), tuple(rows), kind="router")


def rows(server: Server, *tables: str) -> dict[str, dict[str, Any]]:
    """Return all rows, or those of some tables, by ``_uuid``, without their ``_version``."""
    found = {}
    for table in tables or PARENTS:
        [answer] = strangers.transact(server, {"op": "select", "table": table, "where": []})
        for row in answer["rows"]:
            row.pop("_version")
            found[row.pop("_uuid")[1]] = {"table": table, **row}
    return found


def wanted(*topologies: Topology) -> set[str]:
    """Return the ``_uuid`` of each row that is described."""
    return {row.uuid for row in described(*topologies)}


def described(*topologies: Topology) -> Iterator[Row]:
    """Yield each row that is described."""
    for topology in topologies:
        for resource in topology.resources:
            assert isinstance(resource, Row)
            yield resource


def ports(server: Server, uuid: str) -> set[str]:
    """Return the ``_uuid`` of each port of a switch or router."""
    [answer] = strangers.transact(
        server,
        {
            "op": "select",
            "table": "Logical_Switch",
            "where": [["_uuid", "==", ["uuid", uuid]]],
            "columns": ["ports"],
        },
    )
    [row] = answer["rows"]
    held = row["ports"][1] if row["ports"][0] == "set" else [row["ports"]]
    return {uuid for _word, uuid in held}


def told(server: Server) -> str:
    """Return all rows as text, to compare."""
    return json.dumps(rows(server), sort_keys=True)
