# SPDX-License-Identifier: Apache-2.0
"""The step on the FORWARD chain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from os_vif.engine import fields
from os_vif.engine.observed import Host
from os_vif.engine.place import LINUX_BRIDGE
from os_vif.engine.step import Args, Drift, Kind, Step
from os_vif.host.forwarding.questions import FORWARDED, FORWARDING, bridge_of, parse_rules_comment

_RULE_WORD = re.compile(r"[A-Za-z0-9_./-]{1,64}\Z")


# iptables(8): what a rule is made of.  The others act on chains and tables, or have a program of
# the caller's choice run (--modprobe).
_SHORT = frozenset({"-i", "-o", "-j", "-g", "-p", "-s", "-d", "-m", "-f"})
_NOT_A_RULES = (
    *("append", "check", "delete", "insert", "replace", "list", "list-rules", "flush", "zero"),
    *("new-chain", "delete-chain", "policy", "rename-chain", "table", "modprobe", "set-counters"),
    *("verbose", "wait", "wait-interval", "numeric", "exact", "line-numbers", "help", "version"),
    *("ipv4", "ipv6"),
)


def _is_rule_word(word: Any) -> bool:
    if not isinstance(word, str) or not _RULE_WORD.match(word):
        return False
    if word.startswith("--"):
        # getopt_long(3) knows them cut short, too.
        return len(word) > 2 and not any(name.startswith(word[2:]) for name in _NOT_A_RULES)
    return not word.startswith("-") or word in _SHORT


def is_rules(value: Any) -> bool:
    """Tell whether these are words of rules that a command line can take, and of nothing else."""
    return isinstance(value, list) and all(
        isinstance(rule, list) and rule and all(map(_is_rule_word, rule)) for rule in value
    )


def is_comment(value: Any) -> bool:
    """Tell whether this is the comment of forwarding rules of ours."""
    return isinstance(value, str) and parse_rules_comment(value) is not None


def removing(comment: str, *, ipv6: bool) -> Step:
    """Return the step that takes away the rules with this comment."""
    args: Args = {"comment": comment, "ipv6": ipv6, "rules": []}
    return Step("set_forwarding", {**args, "top_regex": "", "bottom_regex": ""})


def _set_forwarding(host: Host, args: Args) -> None:
    host[FORWARDING][args["comment"], args["ipv6"]] = tuple(tuple(rule) for rule in args["rules"])
    there = host[FORWARDED]
    if not args["rules"] and (bridge := bridge_of(args["comment"])) in there:
        there[bridge] = tuple(item for item in there[bridge] if item != args["comment"])


def _unset_forwarding(host: Host, args: Args) -> Step:
    # Where nobody could look beforehand, the system reports what it found in its place.
    before = host[FORWARDING].get((args["comment"], args["ipv6"])) or ()
    return Step("set_forwarding", {**args, "rules": [list(rule) for rule in before]})


def _tool(args: Args) -> str:
    return "ip6tables" if args["ipv6"] else "iptables"


def _said(args: Args) -> str:
    rules = "; ".join(" ".join(rule) for rule in args["rules"]) or "none"
    return f'set {_tool(args)} FORWARD rules "{args["comment"]}": {rules}'


def _differ(args: Args, _every: Sequence[Step]) -> list[Drift]:
    # The rules are a bridge's, and the picture shows them there.
    bridge = bridge_of(args["comment"])
    tool = _tool(args)
    if not args["rules"]:
        words = f"its FORWARD rules ({tool}) are still there, of an earlier description"
        return [Drift(bridge, words)]
    return [Drift(bridge, f"its FORWARD rules ({tool}) are missing or differ")]


_FIELDS = {
    "comment": is_comment,
    "ipv6": fields.FLAG,
    "rules": is_rules,
    "top_regex": fields.is_pattern,
    "bottom_regex": fields.is_pattern,
}

_SET = Kind(
    _FIELDS,
    _set_forwarding,
    _unset_forwarding,
    _said,
    drift=_differ,
    hidden=True,
    daemons=(LINUX_BRIDGE,),
)

KINDS: Mapping[str, Kind] = {
    "set_forwarding": _SET,
    # Who plans it may not have seen whether the chain drops; who runs it sees.
    "set_forwarding_where_dropped": _SET,
}
"""Every kind of step on forwarding rules."""
