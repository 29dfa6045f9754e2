# SPDX-License-Identifier: Apache-2.0
"""What can be asked about the FORWARD chain, and the comments by which our rules are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from os_vif import exception
from os_vif.engine import checks
from os_vif.engine.observed import AROUND, LAST, Question
from os_vif.engine.topology import PREFIX, Mark
from os_vif.host.forwarding.questions import chains
from os_vif.host.forwarding.questions.chains import Packet

Key = tuple[str, int]
Rules = tuple[tuple[str, ...], ...]


def _take(answers: dict[Key, Rules | None], rows: list[Any]) -> None:
    for comment, ipv6, rules in rows:
        answers[comment, ipv6] = None if rules is None else tuple(tuple(rule) for rule in rules)


def _list(answers: dict[str, tuple[Key, ...]], rows: list[Any]) -> None:
    for vif_id, keys in rows:
        answers[vif_id] = tuple((comment, ipv6) for comment, ipv6 in keys)


WHERE_NEEDED = 2
"""In place of whether IPv6: it is, and rules are wanted only where the chain drops the rest."""

FORWARDING: Question[Key, Rules | None] = Question(
    "forwarding", AROUND, privileged=True, take=_take, sees="FORWARD rules"
)
"""Of a comment, and whether IPv6: the rules that carry it, each in words; None where the host has
no iptables, or none are needed; absent where nobody looked (it needs privilege)."""

RULES_OF: Question[str, tuple[Key, ...]] = Question(
    "rules_of", LAST, privileged=True, take=_list, sees="FORWARD rules"
)
"""Of a VIF's id: comment, and whether IPv6, of all rules of the VIF's.  With an answer to
:data:`FORWARDING` come those as well that stand in the same chain."""

FILTERED: Question[str, bool] = Question("forwarding_filtered")
"""Of a comment: whether IPv6 of bridges passes ip6tables at all.  If so, :data:`FORWARDING` is
asked of it, where needed: most hosts are spared that."""

COMMANDS: Question[bool, bool] = Question("forwarding_commands")
"""Whether there is ip6tables, or iptables, to be run."""


@dataclasses.dataclass(frozen=True, slots=True)
class Firewall:
    """The host's firewall, as far as it may see what is forwarded, or is for the host.

    :ivar lines: as ``iptables -S`` prints them (``ip6tables``, of IPv6); none where it cannot.
    :ivar objects: as ``nft -j list ruleset`` has them, of the families that see the packets.
    """

    lines: Sequence[str]
    objects: chains.Objects

    def dropping(
        self, packet: Packet, families: Sequence[str], *, ours: bool, hook: str = "forward"
    ) -> list[str]:
        """Return which chains drop a packet for sure, in words.

        :param families: of nft's, those whose chains see it.
        :param ours: whether rules of ours let it pass the chain of iptables.
        :param hook: ``forward``, or ``input`` for a packet that is for this host.
        """
        found = []
        chain = hook.upper()
        words = "ip6tables" if packet.family == "ip6" else "iptables"
        of_iptables = chains.of_iptables(self.lines)
        in_ip = packet.family in families
        if in_ip and not ours and chains.fate(of_iptables, chain, packet) == chains.DROP:
            found.append(f"the chain {chain} of {words}")
        for family, table, name in chains.base_chains(self.objects, families, hook):
            if (table, name) == ("filter", chain) and (ours or self.lines):
                continue  # it is the same chain, and iptables prints more of it
            if chains.fate(chains.of_nft(self.objects, family, table), name, packet) == chains.DROP:
                found.append(f"the chain {name} of nft's table {family} {table}")
        return found


def _take_firewall(answers: dict[str, Firewall], rows: list[Any]) -> None:
    for family, lines, objects in rows:
        answers[family] = Firewall(lines, objects)


FIREWALL: Question[str, Firewall] = Question(
    "firewall", AROUND, privileged=True, take=_take_firewall, sees="firewalls"
)
"""Of ``ip``, ``ip6`` or ``bridge``: the firewall that packets of it pass; absent where nobody could
look."""

INSIDE: Question[str, tuple[str, ...]] = Question("firewall_inside")
"""Of a bridge: of ``ip`` and ``ip6`` those that pass the host's firewall from port to port.  Of
these :data:`FIREWALL` is asked, and of ``bridge``."""


def _take_comments(answers: dict[str, tuple[str, ...]], rows: list[Any]) -> None:
    for bridge, comments in rows:
        answers[bridge] = tuple(comments)


FORWARDED: Question[str, tuple[str, ...]] = Question(
    "forwarded", privileged=True, take=_take_comments, sees="FORWARD rules"
)
"""Of a bridge: the comments of the rules that VIFs have for it; absent where nobody looked."""


def bridge_of(comment: str) -> str:
    """Return the bridge that a rule with this comment is for."""
    return comment.rpartition("bridge=")[2]


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


QUESTIONS = (FORWARDING, RULES_OF, FILTERED, COMMANDS, FIREWALL, INSIDE, FORWARDED)
"""All that can be asked."""
