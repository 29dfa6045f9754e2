# SPDX-License-Identifier: Apache-2.0
"""What forwarding rules look like: a line in their bridge, and in JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from os_vif.drawing.scene import Scene
from os_vif.engine.picture import Drawn, Picture, State
from os_vif.host.forwarding.resources import ForwardRules

if TYPE_CHECKING:
    from os_vif.engine.plugged import Plugged


def _all_rules(scene: Scene, found: Sequence[ForwardRules]) -> None:
    # Each VIF has rules of its own, so how many a bridge has is known when all VIFs are drawn.
    counted: Counter[tuple[str, str]] = Counter()
    for wanted in found:
        if wanted.rules and not wanted.where_dropped:
            command = "ip6tables" if wanted.ipv6 else "iptables"
            counted[wanted.bridge, command] += len(wanted.rules)
    for (bridge, command), count in counted.items():
        rules = "1 FORWARD rule" if count == 1 else f"{count} FORWARD rules"
        scene.part(bridge, "bridge", f"{rules} ({command})")


def _states(item: Plugged) -> list[State]:
    return [State("rules only", 0)] if item.parts.keys() <= {"comments", "rules"} else []


def _comments(item: Plugged) -> list[str]:
    elsewhere = [comment for comment, _ipv6 in item["rules"]]
    return list(dict.fromkeys([*item["comments"], *elsewhere]))


PICTURE = Picture(
    drawn={ForwardRules: Drawn(draw_all=_all_rules)},
    json=lambda item: {"rules": _comments(item)},
    nameless=lambda item: ["forwarding rules"] if _comments(item) else [],
    states=_states,
)
