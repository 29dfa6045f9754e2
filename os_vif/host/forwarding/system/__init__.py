# SPDX-License-Identifier: Apache-2.0
"""Look at the FORWARD chain, and change it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from os_vif.engine.family import Phase, Search, System
from os_vif.engine.inventory import Part, Plugged
from os_vif.host.forwarding.questions import FORWARDING, parse_rules_comment
from os_vif.host.forwarding.steps import removing
from os_vif.host.forwarding.system import iptables

if TYPE_CHECKING:
    from os_vif.engine.look import Row
    from os_vif.engine.step import Args, Step


def _reveal(asked: list[Any]) -> list[Row]:
    """Return our rules: comment, whether IPv6, and the rules or None for no such command."""
    found: list[Row] = []
    for comment, ipv6 in asked:
        rules = iptables.rules(comment, ipv6=ipv6)
        found.append([comment, ipv6, None if rules is None else [list(rule) for rule in rules]])
    return found


def _set_forwarding(args: Args) -> Args:
    """Return the step that brings back what was there, which only this side could see."""
    former = iptables.replace(
        args["comment"],
        args["rules"],
        ipv6=args["ipv6"],
        top_regex=args["top_regex"],
        bottom_regex=args["bottom_regex"],
    )
    return {**args, "rules": [list(rule) for rule in former]}


def _find(search: Search) -> Iterator[Part]:
    if not search.privileged:
        return
    both = {comment for ipv6 in (False, True) for comment in iptables.comments(ipv6=ipv6)}
    for comment in sorted(both):
        if owner := parse_rules_comment(comment):
            # Rules carry no more than the id, and one plugin alone makes them.
            yield Part(owner, "comments", comment, None, plugin="linux_bridge")


def _remove(plugged: Plugged, phase: Phase) -> list[Step]:
    if phase is not Phase.LAST:
        return []
    return [
        removing(comment, ipv6=ipv6) for comment in plugged["comments"] for ipv6 in (False, True)
    ]


SYSTEM = System(
    reveal={FORWARDING.name: _reveal},
    run={"set_forwarding": _set_forwarding},
    find=_find,
    remove=_remove,
)
