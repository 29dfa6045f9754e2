# SPDX-License-Identifier: Apache-2.0
"""What the server on a bridge looks like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.drawing.scene import Fault, Scene
from os_vif.engine.picture import Drawn, Picture, State
from os_vif.host.dnsmasq.questions import Guest, process_on
from os_vif.host.dnsmasq.resources import Dnsmasq, Reservation

if TYPE_CHECKING:
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.topology import Resource

_EACH = 4
"""Reservations on a bridge that are told one by one."""


def _server(scene: Scene, server: Dnsmasq) -> None:
    told = []
    for subnet in server.subnets:
        how = "DHCP" if subnet.dhcp else "SLAAC" if subnet.network.version == 6 else "DNS"
        told.append(f"{how} {subnet.cidr}")
    part = scene.part(process_on(server.bridge), "process", *told)
    part.title = "dnsmasq"
    part.below = server.bridge


def _reservations(scene: Scene, reservations: Sequence[Reservation]) -> None:
    on: dict[str, list[Reservation]] = {}
    for it in reservations:
        on.setdefault(it.bridge, []).append(it)
    for bridge, mine in on.items():
        part = scene.part(process_on(bridge), "process")
        told = [" ".join(filter(None, (it.name, *it.addresses))) for it in mine]
        told = [words for words in told if words]
        part.lines += told if len(told) <= _EACH else [f"{len(told)} reservations"]


def _held(item: Plugged) -> Iterator[Resource]:
    for guest in item["reservations"]:
        server = guest.server
        if server.subnets:
            bridge = guest.reservation.bridge
            kept = {"mtu": server.mtu, "forwards": server.forwards}
            yield Dnsmasq(bridge=bridge, subnets=server.subnets, **kept)
        yield guest.reservation


def _json(item: Plugged) -> dict[str, list[Any]]:
    found: Sequence[Guest] = item["reservations"]
    return {
        "reservations": [
            {
                "bridge": guest.reservation.bridge,
                "mac": guest.reservation.mac,
                "addresses": list(guest.reservation.addresses),
                "hostname": guest.reservation.name,
            }
            for guest in found
        ]
    }


def _ended(item: Plugged) -> list[str]:
    """Return the names of the bridges whose server is gone."""
    return [it.reservation.bridge for it in item["reservations"] if not it.server.running]


def _faults(item: Plugged) -> dict[str, Fault]:
    return {process_on(bridge): Fault(missing=True, notes=("missing",)) for bridge in _ended(item)}


PICTURE = Picture(
    drawn={
        Dnsmasq: Drawn(_server),
        Reservation: Drawn(draw_all=_reservations),
    },
    held=_held,
    faults=_faults,
    json=_json,
    nameless=lambda item: [
        f"a reservation on {guest.reservation.bridge}" for guest in item["reservations"]
    ],
    states=lambda item: [State("dnsmasq gone", 3)] if _ended(item) else [],
)
