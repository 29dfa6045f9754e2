# SPDX-License-Identifier: Apache-2.0
"""What it looks like that a guest is kept to its own addresses: a line in its device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from os_vif.drawing.scene import Scene
from os_vif.engine.picture import Drawn, Picture
from os_vif.host.anti_spoofing.questions import Kept, noted
from os_vif.host.anti_spoofing.resources import AntiSpoofing

if TYPE_CHECKING:
    from os_vif.engine.plugged import Plugged


def _kept(scene: Scene, what: AntiSpoofing | Kept) -> None:
    own = {"mac": "MAC address", "ip": "addresses"}[what.mode]
    scene.part(what.device, "tap", f"guest sends from own {own} only")


def _held(item: Plugged) -> Iterator[Kept]:
    for link in item["links"]:
        if noted(link.alias) in ("mac", "ip"):
            yield Kept(link.name, noted(link.alias))


PICTURE = Picture(drawn={AntiSpoofing: Drawn(_kept), Kept: Drawn(_kept)}, held=_held)
