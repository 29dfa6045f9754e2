# SPDX-License-Identifier: Apache-2.0
"""Look at the FORWARD chain, and change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from os_vif.engine.family import Phase, Search, System
from os_vif.engine.plugged import Part, Plugged
from os_vif.host.forwarding.questions import (
    COMMANDS,
    FILTERED,
    FIREWALL,
    FORWARDED,
    FORWARDING,
    INSIDE,
    RULES_OF,
    WHERE_NEEDED,
    bridge_of,
    parse_rules_comment,
)
from os_vif.host.forwarding.steps import removing
from os_vif.host.forwarding.system import iptables, ruleset
from os_vif.system import sysctl

if TYPE_CHECKING:
    from os_vif.engine.look import Row
    from os_vif.engine.observed import Asked, Host, Question
    from os_vif.engine.place import Place
    from os_vif.engine.step import Args, Step


def _reveal(asked: list[Any]) -> list[Row]:
    """Return our rules: comment, whether IPv6, and the rules or None for no such command.

    Each chain is read once, and tells of all rules that the VIFs of the comments have in it.
    """
    chains = {six: iptables.chain(ipv6=six) for six in {bool(ipv6) for _comment, ipv6 in asked}}
    rows: list[Row] = [
        [comment, ipv6, _wanted(chains[bool(ipv6)], comment, ipv6)] for comment, ipv6 in asked
    ]
    known = {comment for comment, _ipv6 in asked}
    owners = {parse_rules_comment(comment) for comment in known} - {None}
    for six, chain in chains.items():
        for comment in sorted(iptables.comments(chain or ()) - known):
            if parse_rules_comment(comment) in owners:
                rows.append([comment, six, _own(chain, comment)])
    return rows


def _wanted(chain: list[str] | None, comment: str, ipv6: int) -> list[list[str]] | None:
    rules = _own(chain, comment)
    if ipv6 == WHERE_NEEDED and not rules and not iptables.drops_the_rest(chain or ()):
        return None
    return rules


def _own(chain: list[str] | None, comment: str) -> list[list[str]] | None:
    return None if chain is None else [list(rule) for rule in iptables.own(chain, comment)]


def _reveal_firewall(families: list[Any]) -> list[Row]:
    objects = ruleset.objects()
    return [
        [
            family,
            iptables.table(ipv6=family == "ip6") if family != "bridge" else [],
            ruleset.seen_by(objects, family),
        ]
        for family in families
    ]


def _look(
    asked: Mapping[Question[Any, Any], set[Any]], host: Host, _place: Place
) -> Iterator[Asked]:
    for ipv6 in asked.get(COMMANDS, ()):
        host[COMMANDS][ipv6] = iptables.available(ipv6=ipv6)
    for comment in asked.get(FILTERED, ()):
        routed = sysctl.read_at("ipv6/conf/all/forwarding") == 1
        host[FILTERED][comment] = filtered = routed or "ip6" in _inside()
        if filtered:
            yield FORWARDING((comment, WHERE_NEEDED))
    for bridge in asked.get(INSIDE, ()):
        host[INSIDE][bridge] = inside = _inside()
        for family in (*inside, "bridge"):
            yield FIREWALL(family)


def _inside() -> tuple[str, ...]:
    """Return what of IPv4 and IPv6 leaves a bridge for the host's firewall, and comes back."""
    called = (("ip", "iptables"), ("ip6", "ip6tables"))
    return tuple(
        family
        for family, command in called
        if sysctl.read_at(f"bridge/bridge-nf-call-{command}") == 1
    )


def _reveal_comments(bridges: list[Any]) -> list[Row]:
    """Return our comments, by bridge."""
    found = _comments(ipv6=False) | _comments(ipv6=True)
    ours = sorted(comment for comment in found if parse_rules_comment(comment))
    return [[name, [it for it in ours if bridge_of(it) == name]] for name in bridges]


def _reveal_all(asked: list[Any]) -> list[Row]:
    """Return by VIF the comments of its rules, each with whether it is IPv6's."""
    there = {ipv6: sorted(_comments(ipv6=ipv6)) for ipv6 in (False, True)}
    return [
        [
            vif_id,
            [
                [comment, ipv6]
                for ipv6, comments in there.items()
                for comment in comments
                if parse_rules_comment(comment) == vif_id
            ],
        ]
        for vif_id in asked
    ]


def _comments(*, ipv6: bool) -> set[str]:
    return iptables.comments(iptables.chain(ipv6=ipv6) or ())


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


def _set_where_dropped(args: Args) -> Args:
    [[*_asked, needed], *_others] = _reveal([(args["comment"], WHERE_NEEDED)])
    return args if needed is None else _set_forwarding(args)


def _find(search: Search) -> Iterator[Part]:
    if not search.privileged:
        return
    both = {comment for ipv6 in (False, True) for comment in _comments(ipv6=ipv6)}
    for comment in sorted(both):
        if owner := parse_rules_comment(comment):
            # Rules carry no more than the id, and one plugin alone makes them.
            yield Part(owner, "comments", comment, None, plugin="linux_bridge")


def _remove(plugged: Plugged, phase: Phase) -> list[Step]:
    if phase is not Phase.LAST:
        return []
    return [
        removing(comment, ipv6=ipv6) for comment in plugged["comments"] for ipv6 in (False, True)
    ] + [removing(comment, ipv6=ipv6) for comment, ipv6 in plugged["rules"]]


SYSTEM = System(
    look=_look,
    reveal={
        FORWARDING.name: _reveal,
        RULES_OF.name: _reveal_all,
        FIREWALL.name: _reveal_firewall,
        FORWARDED.name: _reveal_comments,
    },
    run={
        "set_forwarding": _set_forwarding,
        "set_forwarding_where_dropped": _set_where_dropped,
    },
    find=_find,
    remove=_remove,
)
