# SPDX-License-Identifier: Apache-2.0
"""What a gateway looks like: lines in its bridge, the host below it, and in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from os_vif.drawing.scene import Scene
from os_vif.engine.picture import Drawn, Picture, State
from os_vif.engine.step import HOST
from os_vif.host.gateways.resources import Gateway

if TYPE_CHECKING:
    from os_vif.engine.plugged import Plugged


def _gateway(scene: Scene, gateway: Gateway) -> None:
    scene.part(gateway.bridge, "bridge", *gateway.addresses)
    if gateway.nat:
        scene.part(HOST, "host", *(f"NAT for {network}" for network in gateway.nat))
        scene.part(gateway.bridge, "bridge").below = HOST


def _held(item: Plugged) -> Iterator[Gateway]:
    for served in item["gateways"]:
        yield served.gateway


def _json(item: Plugged) -> dict[str, list[Any]]:
    found = [
        {"bridge": it.bridge, "addresses": list(it.addresses), "nat": list(it.nat)}
        for it in item["gateways"]
    ]
    return {"gateways": found}


def _nameless(item: Plugged) -> list[str]:
    return [f"the gateway on {served.bridge}" for served in item["gateways"]]


def _states(item: Plugged) -> list[State]:
    alone = item.parts.keys() <= {"gateways", "comments", "rules"}
    return [State("gateway only", 0)] if item["gateways"] and alone else []


PICTURE = Picture(
    drawn={Gateway: Drawn(_gateway)},
    held=_held,
    json=_json,
    nameless=_nameless,
    states=_states,
)
