# SPDX-License-Identifier: Apache-2.0
"""When forwarding rules are there, and which steps make it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from os_vif.engine.family import Phase, Rule
from os_vif.host.forwarding.questions import FORWARDING, rules_comment
from os_vif.host.forwarding.resources import ForwardRules

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft


def plug_rules(draft: Draft, wanted: ForwardRules) -> None:
    """Set the rules, where those there differ."""
    set_rules(draft, wanted, wanted.rules)


def unplug_rules(draft: Draft, wanted: ForwardRules) -> None:
    """Take the rules away."""
    set_rules(draft, wanted, ())


def set_rules(draft: Draft, wanted: ForwardRules, rules: tuple[tuple[str, ...], ...]) -> None:
    """Make the VIF's rules for the bridge just these, unless they are or there is no iptables."""
    comment = rules_comment(draft.mark, wanted.bridge)
    key = (comment, wanted.ipv6)
    answers = draft.host[FORWARDING]
    if key in answers:
        found = answers[key]
        # iptables spells out what a target has by default, so ours may be the beginning.
        if found is None or (
            len(found) == len(rules)
            and all(have[: len(want)] == want for have, want in zip(found, rules, strict=True))
        ):
            return
    draft.add(
        "set_forwarding",
        comment=comment,
        ipv6=wanted.ipv6,
        rules=[list(rule) for rule in rules],
        top_regex=wanted.top_regex,
        bottom_regex=wanted.bottom_regex,
    )


RULES: Mapping[type, Rule] = {
    ForwardRules: Rule(
        asks=lambda rules, mark: [FORWARDING((rules_comment(mark, rules.bridge), rules.ipv6))],
        plug=plug_rules,
        unplug={Phase.LAST: unplug_rules},
    ),
}
"""When rules of the host's firewall are there."""
