# SPDX-License-Identifier: Apache-2.0
"""Routers to rows: a Logical_Router, its legs and gateways, its routes, and translations."""

from __future__ import annotations

from collections.abc import Iterator

from os_vif.host.ovn.resources import LABEL_KEY, Row
from os_vif.logical import expression, names
from os_vif.logical.expression import Address, Range
from os_vif.logical.objects import External, Router
from os_vif.logical.subnets import address_of, dhcp_of
from os_vif.logical.survey import SeenNetwork, SeenPort, Survey
from os_vif.logical.switches import on_switch

NO_RA: dict[str, str | None] = dict.fromkeys(("address_mode", "send_periodic", "mtu", "rdnss"))
"""Our keys of ``ipv6_ra_configs`` of a leg that advertises nothing."""


def rows_of(survey: Survey, router: Router) -> Iterator[Row]:
    """Return the rows of a router, each after those that it refers to."""
    at = at_of(router)
    marks = names.marks(survey.wanted.owner, "router", router.id)
    yield Row(
        table="Logical_Router",
        uuid=names.router_row_of(router.id),
        what=f"router {router.shown}",
        columns={"name": f"os-vif-{router.id}"},
        keys={
            # A binding for each who asks, on each router, is what large networks die of; so do
            # Neutron and Incus.
            "options": {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
            "external_ids": {**marks, LABEL_KEY: router.label or None},
        },
        fields={"name": f"{at}.id", "external_ids:os-vif-label": f"{at}.label"},
    )
    inside = [survey.networks[identity] for identity in router.networks]
    for number, network in enumerate(inside):
        yield from _inner_leg(router, network, marks, f"{at}.networks[{number}]")
    if router.external is not None:
        outside = survey.networks[router.external.network]
        yield from _outer_leg(router, router.external, outside, inside, marks)
        yield from _leading_out(router, router.external, outside, inside, marks)
    for network in inside:
        yield from _behind(router, network, marks)
    if router.external is not None:
        yield from _floating(survey, router, router.external, inside)


def at_of(router: Router) -> str:
    """Return what a router is called in errors."""
    return router.at or f"router {router.shown}"


def _of_router(router: Router, column: str) -> tuple[str, str, str]:
    return ("Logical_Router", names.router_row_of(router.id), column)


# --- legs -----------------------------------------------------------------------------------------


def _leg(
    router: Router,
    network: SeenNetwork,
    marks: dict[str, str],
    *,
    networks: tuple[str, ...],
    settings: dict[str, str | None],
    advertises: dict[str, str | None],
    field: str,
) -> Row:
    return Row(
        table="Logical_Router_Port",
        uuid=names.leg_row_of(router.id, network.id),
        what=f"leg of router {router.shown} in network {network.shown}",
        columns={
            "name": names.leg_name(router.id, network.id),
            "mac": names.mac_of("leg", router.id, network.id),
            "networks": networks,
        },
        keys={"options": settings, "ipv6_ra_configs": advertises, "external_ids": marks},
        parent=_of_router(router, "ports"),
        fields={
            "": field,
            "name": field,
            "networks": field,
            "options:gateway_mtu": f"{network.at}.mtu",
            "ipv6_ra_configs:mtu": f"{network.at}.mtu",
            "ipv6_ra_configs:rdnss": f"{network.at}.subnets",
        },
    )


def _plug(
    router: Router, network: SeenNetwork, marks: dict[str, str], nat: str | None, field: str
) -> Row:
    """Return the switch's side of a leg."""
    leg = names.leg_name(router.id, network.id)
    return Row(
        table="Logical_Switch_Port",
        uuid=names.plug_row_of(router.id, network.id),
        what=f"port of router {router.shown} in network {network.shown}",
        columns={
            "name": f"os-vif-lsp-{router.id}-{network.id}",
            "type": "router",
            "addresses": ("router",),
        },
        keys={"options": {"router-port": leg, "nat-addresses": nat}, "external_ids": marks},
        parent=on_switch(network.id),
        fields={"name": field, "options": field},
    )


def _inner_leg(
    router: Router, network: SeenNetwork, marks: dict[str, str], field: str
) -> Iterator[Row]:
    networks = tuple(
        f"{subnet.gateway}/{subnet.cidr.prefixlen}" for subnet in network.subnets if subnet.gateway
    )
    # Who sends more than the network takes is told so; otherwise it is lost without a word.
    settings: dict[str, str | None] = {"gateway_mtu": str(network.mtu)}
    yield _leg(
        router,
        network,
        marks,
        networks=networks,
        settings=settings,
        advertises=advertised(network),
        field=field,
    )
    yield _plug(router, network, marks, None, field)


def advertised(network: SeenNetwork) -> dict[str, str | None]:
    """Return what a router of a network advertises there (RFC 4861, 6.2)."""
    subnets = [it for it in network.subnets if it.cidr.version == 6 and it.gateway]
    if not any(dhcp_of(network.logical, subnet) for subnet in subnets):
        return NO_RA
    servers = [str(server) for subnet in subnets for server in subnet.dns]
    return {
        "address_mode": "slaac",
        "send_periodic": "true",
        "mtu": str(network.mtu),
        # OVN knows one (ovn-nb(5), "ipv6_ra_configs:rdnss").
        "rdnss": servers[0] if servers else None,
    }


def _outer_leg(
    router: Router,
    external: External,
    outside: SeenNetwork,
    inside: list[SeenNetwork],
    marks: dict[str, str],
) -> Iterator[Row]:
    field = f"{at_of(router)}.external"
    subnet = outside.subnet_of(address_of(external.address))
    networks = (f"{external.address}/{subnet.cidr.prefixlen}",) if subnet else ()
    narrow = any(network.mtu > outside.mtu for network in inside)
    settings: dict[str, str | None] = {"gateway_mtu": str(outside.mtu) if narrow else None}
    leg = _leg(
        router,
        outside,
        marks,
        networks=networks,
        settings=settings,
        advertises=NO_RA,
        field=f"{field}.address",
    )
    yield leg
    # Those outside learn at once where an address is, after a failover too.
    nat = "router" if external.chassis else None
    yield _plug(router, outside, marks, nat, f"{field}.network")
    for priority, chassis in zip(
        range(len(external.chassis), 0, -1), external.chassis, strict=True
    ):
        yield Row(
            table="Gateway_Chassis",
            uuid=names.gateway_row_of(router.id, outside.id, chassis),
            what=f"gateway {chassis} of router {router.shown}",
            columns={
                "name": f"{names.leg_name(router.id, outside.id)}-{chassis}",
                "chassis_name": chassis,
                "priority": priority,
            },
            keys={"external_ids": marks},
            parent=("Logical_Router_Port", leg.uuid, "gateway_chassis"),
            fields={"": f"{field}.chassis", "chassis_name": f"{field}.chassis"},
        )


# --- routes ---------------------------------------------------------------------------------------


def _route(
    router: Router, marks: dict[str, str], to: Range, via: Address, *, key: str, field: str
) -> Row:
    return Row(
        table="Logical_Router_Static_Route",
        uuid=names.route_row_of(router.id, str(to), key),
        what=f"route of router {router.shown} to {to}",
        columns={"ip_prefix": str(to), "nexthop": str(via)},
        keys={"external_ids": marks},
        parent=_of_router(router, "static_routes"),
        fields={"ip_prefix": field, "nexthop": field},
    )


def next_hop(external: External, outside: SeenNetwork) -> Address | None:
    """Return where a router sends what leads further."""
    if external.gateway:
        return address_of(external.gateway)
    subnet = outside.subnet_of(address_of(external.address))
    return subnet.gateway if subnet else None


def snat_of(external: External, inside: list[SeenNetwork]) -> list[str]:
    """Return the networks whose guests go out with the router's address."""
    if not isinstance(external.snat, bool):
        return list(external.snat)
    version = address_of(external.address).version
    return [
        str(subnet.cidr)
        for network in inside
        for subnet in network.subnets
        if external.snat and subnet.cidr.version == version and subnet.gateway
    ]


def _leading_out(
    router: Router,
    external: External,
    outside: SeenNetwork,
    inside: list[SeenNetwork],
    marks: dict[str, str],
) -> Iterator[Row]:
    field = f"{at_of(router)}.external"
    hop = next_hop(external, outside)
    if hop is not None:
        to = expression.EVERYWHERE[hop.version]
        yield _route(router, marks, to, hop, key="default", field=f"{field}.gateway")
    for cidr in snat_of(external, inside):
        yield Row(
            table="NAT",
            uuid=names.nat_row_of(router.id, "snat", cidr),
            what=f"SNAT of {cidr} at router {router.shown}",
            columns={
                "type": "snat",
                "external_ip": external.address,
                "logical_ip": cidr,
                "external_mac": (),
                "logical_port": (),
            },
            keys={"external_ids": marks},
            parent=_of_router(router, "nat"),
            fields={"external_ip": f"{field}.address", "logical_ip": f"{field}.snat"},
        )


def _behind(router: Router, network: SeenNetwork, marks: dict[str, str]) -> Iterator[Row]:
    """Return the routes to what lies behind guests, which no router knows by itself."""
    for (to, via), _guest, field in network.behind():
        subnet = network.subnet_of(via)
        if subnet is None or not subnet.gateway:
            continue  # the router is not in that one
        yield _route(router, marks, to, via, key=str(via), field=field)


# --- floating addresses ---------------------------------------------------------------------------


def _floating_here(
    survey: Survey, router: Router, inside: list[SeenNetwork]
) -> Iterator[tuple[SeenPort, Address, Address]]:
    """Return the VIFs inside with their fixed and floating addresses that are this router's."""
    if router.external is None:
        return
    outside = survey.networks[router.external.network]
    for network in inside:
        for seen in network.ports:
            for fixed in seen.fixed:
                for address in fixed.floating:
                    if outside.subnet_of(address) is not None:
                        yield seen, fixed.address, address


def _floating(
    survey: Survey, router: Router, external: External, inside: list[SeenNetwork]
) -> Iterator[Row]:
    for seen, fixed, address in _floating_here(survey, router, inside):
        field = seen.place(address)
        mac = names.mac_of("floating", router.id, str(address))
        yield Row(
            table="NAT",
            uuid=names.nat_row_of(router.id, "floating", str(address)),
            what=f"floating IP {address} of {seen.shown}",
            columns={
                "type": "dnat_and_snat",
                "external_ip": str(address),
                "logical_ip": str(fixed),
                "external_mac": mac if external.distributed else (),
                "logical_port": seen.name if external.distributed else (),
            },
            keys={"external_ids": names.marks(survey.wanted.owner, "vif", seen.id)},
            parent=_of_router(router, "nat"),
            fields={"external_ip": field, "logical_ip": field},
        )
