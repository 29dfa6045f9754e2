# SPDX-License-Identifier: Apache-2.0
"""What limits look like: a line in their device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from os_vif.drawing.scene import Scene
from os_vif.engine.picture import Drawn, Picture
from os_vif.host.traffic_limits.questions import NONE, noted
from os_vif.host.traffic_limits.resources import TrafficLimits
from os_vif.host.traffic_limits.steps import text

if TYPE_CHECKING:
    from os_vif.engine.plugged import Plugged


def _limits(scene: Scene, limits: TrafficLimits) -> None:
    ways = (("out", limits.egress), ("in", limits.ingress))
    scene.part(limits.device, "tap", *(f"{way}: {text(it)} at most" for way, it in ways if it))


def _held(item: Plugged) -> Iterator[TrafficLimits]:
    for link in item["links"]:
        if (found := noted(link.alias)) != NONE:
            yield TrafficLimits(device=link.name, egress=found.egress, ingress=found.ingress)


PICTURE = Picture(drawn={TrafficLimits: Drawn(_limits)}, held=_held)
