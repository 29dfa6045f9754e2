# SPDX-License-Identifier: Apache-2.0
"""When forwarding rules are there, and which steps make it so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from os_vif.engine.family import Phase, Rule, Strays
from os_vif.engine.plugged import Part
from os_vif.host.forwarding.questions import (
    COMMANDS,
    FILTERED,
    FORWARDING,
    RULES_OF,
    WHERE_NEEDED,
    parse_rules_comment,
    rules_comment,
)
from os_vif.host.forwarding.resources import ForwardRules

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Mark, Topology


def plug_rules(draft: Draft, wanted: ForwardRules) -> None:
    """Set the rules, where those there differ."""
    set_rules(draft, wanted, wanted.rules)


def unplug_rules(draft: Draft, wanted: ForwardRules) -> None:
    """Take the rules away."""
    set_rules(draft, wanted, ())


def set_rules(draft: Draft, wanted: ForwardRules, rules: tuple[tuple[str, ...], ...]) -> None:
    """Make the VIF's rules for the bridge just these, unless they are or there is no iptables."""
    comment = rules_comment(draft.mark, wanted.bridge)
    if wanted.where_dropped and not draft.host[FILTERED].get(comment, False):
        return
    if rules and not draft.host[COMMANDS].get(wanted.ipv6, True) and not wanted.restrict:
        draft.warn(
            wanted.bridge,
            f"this host has no {'ip6tables' if wanted.ipv6 else 'iptables'} command, so there are "
            "no rules that let the bridge's traffic pass a FORWARD chain; install iptables",
        )
        return
    key = (comment, WHERE_NEEDED if wanted.where_dropped else wanted.ipv6)
    answers = draft.host[FORWARDING]
    if key in answers:
        found = answers[key]
        if found is None and not (wanted.restrict and rules and not wanted.where_dropped):
            return
        # iptables spells out what a target has by default, so ours may be the beginning.
        if (
            found is not None
            and len(found) == len(rules)
            and all(have[: len(want)] == want for have, want in zip(found, rules, strict=True))
        ):
            return
    draft.add(
        "set_forwarding_where_dropped" if wanted.where_dropped else "set_forwarding",
        comment=comment,
        ipv6=wanted.ipv6,
        rules=[list(rule) for rule in rules],
        top_regex=wanted.top_regex,
        bottom_regex=wanted.bottom_regex,
    )


def _asks(wanted: ForwardRules, mark: Mark) -> Iterator[Asked]:
    comment = rules_comment(mark, wanted.bridge)
    yield FILTERED(comment) if wanted.where_dropped else FORWARDING((comment, wanted.ipv6))
    if wanted.rules:
        yield COMMANDS(wanted.ipv6)


RULES: Mapping[type, Rule] = {
    ForwardRules: Rule(
        asks=_asks,
        plug=plug_rules,
        unplug={Phase.LAST: unplug_rules},
    ),
}
"""When rules of the host's firewall are there."""


def _asks_strays(topology: Topology, marks: Collection[Mark]) -> list[Asked]:
    # A look at the chain is a process, and only who was something else has rules unasked.
    return [RULES_OF(topology.mark.vif_id)] if any(it != topology.mark for it in marks) else []


def _find_strays(topology: Topology, host: Host) -> Iterable[Part]:
    vif_id = topology.mark.vif_id
    there = {*host[FORWARDING], *host[RULES_OF].get(vif_id, ())}
    if not there:
        return
    described = {
        rules_comment(topology.mark, resource.bridge)
        for resource in topology.resources
        if isinstance(resource, ForwardRules)
    }
    for comment, ipv6 in sorted(there):
        # What was looked at and has none is gone.
        gone = not host[FORWARDING].get((comment, ipv6), True)
        if not gone and comment not in described and parse_rules_comment(comment) == vif_id:
            yield Part(vif_id, "rules", (comment, ipv6), None, plugin="linux_bridge")


STRAYS = Strays(asks=_asks_strays, find=_find_strays)
"""How a VIF's rules for other bridges are found by its id."""
