# SPDX-License-Identifier: Apache-2.0
"""What is said of a bridge's port in a picture."""

from __future__ import annotations

from os_vif.drawing.scene import Scene
from os_vif.engine.checks import spelled_vlans
from os_vif.engine.picture import Drawn, Picture
from os_vif.host.bridge_ports.resources import BridgePort, Trunk, VlanFiltering


def _port(scene: Scene, port: BridgePort) -> None:
    flags = [f"{key} {'on' if value else 'off'}" for key, value in port.flags.items()]
    lines = [", ".join(flags)] if flags else []
    if port.vlan is not None:
        lines.append(f"VLAN {port.vlan}")
    if port.trunks:
        lines.append(f"trunks {spelled_vlans(port.trunks)}")
    scene.part(port.name, "tap", *lines)


def _trunk(scene: Scene, trunk: Trunk) -> None:
    scene.part(trunk.name, "nic", f"VLAN {spelled_vlans(trunk.vlans)} tagged")


def _filtering(scene: Scene, bridge: VlanFiltering) -> None:
    scene.part(bridge.name, "bridge", "filters VLANs")


PICTURE = Picture(
    drawn={BridgePort: Drawn(_port), Trunk: Drawn(_trunk), VlanFiltering: Drawn(_filtering)}
)
