# SPDX-License-Identifier: Apache-2.0
"""Networks and their VIFs to rows: a Logical_Switch, its ports, and who serves addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from os_vif.host.ovn.resources import LABEL_KEY, NAME_KEY, Ref, Row, Value
from os_vif.logical import dhcp, expression, names
from os_vif.logical.subnets import Route, Subnet, dhcp_of
from os_vif.logical.survey import SeenNetwork, SeenPort
from os_vif.logical.versioned import said

UNKNOWN = "unknown"
"""In ``addresses``: frames to an address that is nobody's go here."""


def rows_of(network: SeenNetwork, owner: str) -> Iterator[Row]:
    """Return the rows of a network, each after those that it refers to."""
    marks = names.marks(owner, "network", network.id)
    yield Row(
        table="Logical_Switch",
        uuid=names.switch_row_of(network.id),
        what=f"network {network.shown}",
        columns={"name": f"os-vif-{network.id}"},
        keys={"external_ids": {**marks, LABEL_KEY: network.label or None}},
        fields={"name": f"{network.at}.id", "external_ids:os-vif-label": f"{network.at}.label"},
    )
    if network.logical.physical:
        yield _localnet(network, marks)
    for number, subnet in enumerate(network.subnets):
        served = dhcp_of(network.logical, subnet)
        if served is not None:
            yield dhcp.row_of(
                network.logical,
                subnet,
                served,
                owner=owner,
                at=f"{network.at}.subnets[{number}]",
                routes=subnet.routes,
            )
    for port in network.ports:
        yield from _port_rows(network, port, owner)


def on_switch(network_id: str) -> tuple[str, str, str]:
    """Return what refers to a port of a network."""
    return ("Logical_Switch", names.switch_row_of(network_id), "ports")


def _localnet(network: SeenNetwork, marks: dict[str, str]) -> Row:
    vlan = said(network.logical.network, "vlan")
    physical = network.logical.physical
    return Row(
        table="Logical_Switch_Port",
        uuid=names.localnet_row_of(network.id),
        what=f"{physical} of network {network.shown}",
        columns={
            "name": f"os-vif-ln-{network.id}",
            "type": "localnet",
            "addresses": (UNKNOWN,),
            "tag": () if vlan is None else vlan,
        },
        keys={"options": {"network_name": physical}, "external_ids": marks},
        parent=on_switch(network.id),
        fields={
            "name": f"{network.at}.id",
            "tag": f"{network.at}.vlan",
            "options:network_name": f"{network.at}.physical",
        },
    )


def _port_rows(network: SeenNetwork, seen: SeenPort, owner: str) -> Iterator[Row]:
    options: dict[int, Ref] = {}
    own = {fixed.address for fixed in seen.fixed}
    for number, subnet in enumerate(network.subnets):
        version = subnet.cidr.version
        served = dhcp_of(network.logical, subnet)
        # A port has one row for each version, that of the subnet of its first address.
        if served is None or version in options or not any(it in subnet.cidr for it in own):
            continue
        routes = _told(seen, subnet, own)
        guest = ("", "")
        if version == 4 and routes != subnet.routes:
            guest = (seen.id, seen.shown)
            at = f"{network.at}.subnets[{number}]"
            yield dhcp.row_of(
                network.logical, subnet, served, owner=owner, at=at, routes=routes, guest=guest
            )
        options[version] = Ref(uuid=names.dhcp_row_of(network.id, str(subnet.cidr), guest[0]))
    yield _port(network, seen, owner, options)


def _told(seen: SeenPort, subnet: Subnet, own: set[expression.Address]) -> Sequence[Route]:
    """Return the routes a guest is told: the VIF's own, and none that lead by itself."""
    routes = next((it.routes for it in seen.subnets if it.cidr == subnet.cidr), subnet.routes)
    if not any(via in own for _to, via in routes):
        return routes
    return tuple(route for route in routes if route[1] not in own)


def _port(network: SeenNetwork, seen: SeenPort, owner: str, options: dict[int, Ref]) -> Row:
    port, at = seen.port, seen.at
    addresses = " ".join((seen.mac, *(str(fixed.address) for fixed in seen.fixed)))
    behind = network.prefixes.get(seen.id, [])
    allowed = " ".join((addresses, *map(str, behind)))
    guest = names.guest_name(port.instance)
    host = expression.name(guest) if 4 in options and expression.is_name(guest) else None
    settings: dict[str, str | None] = {"hostname": host}
    if port.chassis:
        # Without a word of them they are left as they are: who moves a guest sets them meanwhile.
        settings["requested-chassis"] = ",".join(port.chassis)
        several = len(port.chassis) > 1 and port.activation_strategy != "none"
        settings["activation-strategy"] = "rarp" if several else None
    columns: dict[str, Value] = {
        "name": seen.name,
        "type": "",
        "addresses": (addresses,) if port.port_security else (addresses, UNKNOWN),
        "port_security": (allowed,) if port.port_security else (),
        "enabled": bool(said(port.vif, "active", True)),
        "dhcpv4_options": options.get(4, ()),
        "dhcpv6_options": options.get(6, ()),
    }
    marks = names.marks(owner, "vif", seen.id, instance=names.instance_id(port.instance))
    told = {NAME_KEY: seen.shown, names.NETWORK_KEY: network.id}
    return Row(
        table="Logical_Switch_Port",
        uuid=names.port_row_of(seen.id),
        what=f"port {seen.shown}",
        columns=columns,
        keys={"options": settings, "external_ids": {**marks, **told}},
        parent=on_switch(network.id),
        fields={
            "name": f"{at}.id",
            "addresses": f"{at}.network.addresses",
            "port_security": f"{at}.network.addresses",
            "enabled": f"{at}.network.active",
            "options:hostname": f"{at}.instance.name",
            "options:requested-chassis": f"{at}.network.chassis",
            "options:activation-strategy": f"{at}.network.activation_strategy",
        },
    )
