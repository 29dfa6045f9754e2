# SPDX-License-Identifier: Apache-2.0
"""What routes and proxy neighbours look like: the host, as a router, below a device."""

from __future__ import annotations

from os_vif.drawing.scene import Scene
from os_vif.engine.picture import Drawn, Picture
from os_vif.engine.step import HOST
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour


def _route(scene: Scene, route: HostRoute) -> None:
    gateway = f" via {route.gateway}" if route.gateway else ""
    scene.part(HOST, "host", f"{route.destination}{gateway} dev {route.device}")
    scene.part(route.device, "tap").below = HOST


def _proxy(scene: Scene, proxy: ProxyNeighbour) -> None:
    scene.part(HOST, "host", f"answers for {proxy.address} on {proxy.device}")


PICTURE = Picture(drawn={HostRoute: Drawn(_route), ProxyNeighbour: Drawn(_proxy)})
