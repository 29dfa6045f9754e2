# SPDX-License-Identifier: Apache-2.0
"""What can be asked about the FORWARD chain, and the comments by which our rules are known."""

from __future__ import annotations

from typing import Any

from os_vif import exception
from os_vif.engine import checks
from os_vif.engine.observed import Question
from os_vif.engine.topology import PREFIX, Mark

Key = tuple[str, bool]
Rules = tuple[tuple[str, ...], ...]


def _take(answers: dict[Key, Rules | None], rows: list[Any]) -> None:
    for comment, ipv6, rules in rows:
        answers[comment, ipv6] = None if rules is None else tuple(tuple(rule) for rule in rules)


FORWARDING: Question[Key, Rules | None] = Question("forwarding", privileged=True, take=_take)
"""Of a comment, and whether IPv6: the rules that carry it, each in words; None where the host has
no iptables, absent where nobody looked (it needs privilege)."""


def rules_comment(mark: Mark, bridge: str) -> str:
    """Return the comment by which a VIF's forwarding rules for a bridge are known as ours."""
    return f"{PREFIX}{mark.vif_id} bridge={bridge}"


def parse_rules_comment(comment: str) -> str | None:
    """Return the id of the VIF that a rule with this comment belongs to; None for a stranger's."""
    words = comment.removeprefix(PREFIX).split(" ")
    if not comment.startswith(PREFIX) or len(words) != 2 or not words[1].startswith("bridge="):
        return None
    try:
        checks.interface_name(words[1].removeprefix("bridge="))
        return checks.vif_id(words[0])
    except exception.InvalidField:
        return None


QUESTIONS = (FORWARDING,)
"""All that can be asked."""
