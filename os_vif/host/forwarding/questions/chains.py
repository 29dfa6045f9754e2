# SPDX-License-Identifier: Apache-2.0
"""What a firewall's chains do for sure with what a guest begins to send: read, not run.

Sources: iptables(8) and iptables-extensions(8) for what ``iptables -S`` prints,
libnftables-json(5) for what ``nft -j list ruleset`` does.

A chain is said to drop a packet only where it drops all that nobody can tell from it: with a rule
that might accept (by an address, a port, a mark), nothing is said.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

ACCEPT, DROP, RETURN, MAYBE = "accept", "drop", "return", "maybe"
"""What becomes of the packet: it passes, it does not, the chain is left, nobody can tell."""


@dataclasses.dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection, as far as it is known.

    :ivar family: ``ip`` or ``ip6``.
    :ivar iif: the device it comes in by, as the chain sees it; '' for one nobody can tell.
    :ivar oif: the device it goes out by.
    :ivar bridged: whether a bridge forwards it.
    :ivar port: of UDP, that it goes to; 0 for one of no known protocol.
    :ivar to: what it goes to, as iptables' addrtype has it: LOCAL, BROADCAST, MULTICAST; '' for one
        nobody can tell.
    """

    family: str
    iif: str
    oif: str
    bridged: bool = False
    port: int = 0
    to: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a chain.

    :ivar matches: whether it is about a packet: True, False, or None where nobody can tell.
    :ivar verdict: ACCEPT, DROP or RETURN; '' for none.
    :ivar target: the chain it goes on with; '' for none.
    :ivar leaves: whether it does not come back from there.
    """

    matches: Callable[[Packet], bool | None]
    verdict: str = ""
    target: str = ""
    leaves: bool = False


@dataclasses.dataclass(slots=True)
class Chain:
    """A chain.

    :ivar policy: what becomes of what no rule decides; RETURN of one that is no base chain.
    """

    policy: str = RETURN
    rules: list[Rule] = dataclasses.field(default_factory=list)


def fate(chains: Mapping[str, Chain], name: str, packet: Packet, depth: int = 0) -> str:
    """Return what becomes of a packet in a chain.

    :param chains: those of its table, by name
    :param depth: of the jumps so far; the kernel has a limit of 16 (NFT_JUMP_STACK_SIZE)
    """
    chain = chains.get(name)
    if chain is None or depth > 16:
        return MAYBE
    for rule in chain.rules:
        applies = rule.matches(packet)
        if applies is False:
            continue
        outcome = rule.verdict
        if rule.target:
            outcome = fate(chains, rule.target, packet, depth + 1)
            if outcome == RETURN:
                outcome = RETURN if rule.leaves else ""
        if outcome and applies:
            return chain.policy if outcome == RETURN else outcome
        if outcome in (ACCEPT, MAYBE, RETURN):
            return MAYBE
    return chain.policy


def _all(known: Sequence[bool | None]) -> bool | None:
    if False in known:
        return False
    return None if None in known else True


def _is_device(pattern: str, device: str, wildcard: str) -> bool | None:
    if pattern in (wildcard, ""):
        return True
    if not device:
        return None
    return device.startswith(pattern[:-1]) if pattern.endswith(wildcard) else device == pattern


# --- what iptables -S prints ----------------------------------------------------------------------

_VERDICTS = {"ACCEPT": ACCEPT, "DROP": DROP, "REJECT": DROP, "RETURN": RETURN}


def of_iptables(lines: Sequence[str]) -> dict[str, Chain]:
    """Return the chains of the table filter, by name."""
    chains: dict[str, Chain] = {}
    split = [words for words in map(_words, lines) if len(words) > 1]
    for words in split:
        if words[0] in ("-P", "-N"):
            chains[words[1]] = Chain(_VERDICTS.get(words[-1], RETURN))
    for words in split:
        if words[0] == "-A" and words[1] in chains:
            chains[words[1]].rules.append(_of_words(words[2:], chains))
    return chains


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a stranger's comment may hold anything
        return ["-A", line.split(" ")[1], "-m", "unreadable"] if line.startswith("-A ") else []


def _of_words(words: Sequence[str], chains: Mapping[str, Chain]) -> Rule:
    at = next((at for at, word in enumerate(words) if word in ("-j", "-g")), len(words))
    target = words[at + 1] if at + 1 < len(words) else ""
    conditions = list(_conditions(list(words[:at])))

    def matches(packet: Packet) -> bool | None:
        return _all([condition(packet) for condition in conditions])

    known = target in chains
    return Rule(
        matches,
        verdict="" if known else _VERDICTS.get(target, ""),
        target=target if known else "",
        leaves=at < len(words) and words[at] == "-g",
    )


def _conditions(words: list[str]) -> Iterator[Callable[[Packet], bool | None]]:
    turned = False
    while words:
        word = words.pop(0)
        if word == "!":
            turned = True
            continue
        found = _condition(word, words)
        if found is not None:
            yield _turned(found) if turned else found
        turned = False


def _condition(word: str, rest: list[str]) -> Callable[[Packet], bool | None] | None:
    """Return what an option is about, taking its values from the words; None for nothing."""
    if word in ("-i", "-o") and rest:
        pattern, inward = rest.pop(0), word == "-i"
        return lambda packet: _is_device(pattern, packet.iif if inward else packet.oif, "+")
    if word in ("--ctstate", "--state") and rest:
        new = "NEW" in rest.pop(0).split(",")
        return lambda _packet: new
    if word == "--physdev-is-bridged":
        return lambda packet: packet.bridged
    if word == "--comment" and rest:
        rest.pop(0)
        return None
    if word == "-m" and rest and rest[0] in _TOLD_BEHIND:
        rest.pop(0)  # what of it matters comes behind it
        return None
    return _about_udp(word, rest) or (lambda _packet: None)


_TOLD_BEHIND = (
    *("comment", "conntrack", "state", "physdev"),
    *("tcp", "udp", "multiport", "addrtype"),
)


def _about_udp(word: str, rest: list[str]) -> Callable[[Packet], bool | None] | None:
    """Return what an option says of a packet of UDP; None for nothing that is known here."""
    if word == "-p" and rest:
        return _of_udp(rest.pop(0) in ("udp", "17", "all"))
    if word in ("--dport", "--dports") and rest:
        ranges = [it.partition(":") for it in rest.pop(0).split(",")]
        numbers = [(_number(a), _number(b) if colon else _number(a)) for a, colon, b in ranges]
        return lambda packet: _is_within(packet.port, numbers)
    if word == "--dst-type" and rest:
        kind = rest.pop(0)
        return lambda packet: packet.to == kind if packet.to else None
    return None


def _of_udp(is_udp: bool) -> Callable[[Packet], bool | None]:
    return lambda packet: is_udp if packet.port else None


def _number(text: Any) -> int:
    return int(text) if str(text).isdecimal() else 0


def _is_within(port: int, ranges: Sequence[tuple[int, int]]) -> bool | None:
    """Tell whether a port is in one of some ranges; those with a name are not known."""
    if not port:
        return None
    if any(first <= port <= last for first, last in ranges):
        return True
    return None if any(0 in it for it in ranges) else False


def _turned(condition: Callable[[Packet], bool | None]) -> Callable[[Packet], bool | None]:
    def turned(packet: Packet) -> bool | None:
        found = condition(packet)
        return None if found is None else not found

    return turned


# --- what nft -j list ruleset prints --------------------------------------------------------------

Objects = Sequence[Mapping[str, Any]]
"""Each with its kind as its only key: ``{"chain": {...}}``."""


def base_chains(
    objects: Objects, families: Sequence[str], hook: str = "forward"
) -> list[tuple[str, str, str]]:
    """Return family, table and name of each chain that sees what is forwarded.

    :param hook: or, with ``input``, what is for this host
    """
    chains = [item["chain"] for item in objects if "chain" in item]
    return [
        (chain["family"], chain["table"], chain["name"])
        for chain in chains
        if chain["family"] in families and chain.get("hook") == hook
    ]


def of_nft(objects: Objects, family: str, table: str) -> dict[str, Chain]:
    """Return the chains of a table, by name."""
    chains = {}
    for item in objects:
        chain = item.get("chain")
        if chain and (chain["family"], chain["table"]) == (family, table):
            policy = chain.get("policy", ACCEPT) if "hook" in chain else RETURN
            chains[chain["name"]] = Chain(policy)
    for item in objects:
        rule = item.get("rule")
        if rule and (rule["family"], rule["table"]) == (family, table):
            chains[rule["chain"]].rules += _of_expressions(rule.get("expr", ()))
    return chains


def _of_expressions(expressions: Sequence[Any]) -> list[Rule]:
    conditions: list[Callable[[Packet], bool | None]] = []
    for expression in expressions:
        # A verdict, and some statements, are words without anything behind them.
        kind, held = (
            next(iter(expression.items())) if isinstance(expression, dict) else (expression, None)
        )
        if kind == "vmap":
            return _of_map(held, conditions)
        found = _verdict(kind, held)
        if found is not None:
            verdict, target, leaves = found
            return [Rule(_together(conditions), verdict, target, leaves)]
        if kind == "match":
            conditions.append(_of_match(held))
        elif kind == "xt":
            conditions.append(_of_xt(held))
        elif kind not in ("counter", "log", "mangle", "notrack", "ct helper", "meta", "comment"):
            conditions.append(lambda _packet: None)
    return []


def _together(
    conditions: Sequence[Callable[[Packet], bool | None]],
) -> Callable[[Packet], bool | None]:
    kept = list(conditions)
    return lambda packet: _all([condition(packet) for condition in kept])


def _verdict(kind: str, held: Any) -> tuple[str, str, bool] | None:
    if kind in ("accept", "drop", "return"):
        return kind, "", False
    if kind == "reject" or (kind == "xt" and held.get("name") == "REJECT"):
        return DROP, "", False
    if kind in ("jump", "goto"):
        return "", held["target"], kind == "goto"
    return (MAYBE, "", False) if kind == "queue" else None


def _of_map(held: Any, before: Sequence[Callable[[Packet], bool | None]]) -> list[Rule]:
    """Return the rules that a map from a value to a verdict stands for."""
    data = held["data"]
    if not isinstance(data, dict) or "set" not in data:
        return [Rule(lambda _packet: None, MAYBE)]
    rules = []
    for value, expression in data["set"]:
        kind, inner = next(iter(expression.items()))
        found = _verdict(kind, inner)
        is_value = _of_match({"op": "==", "left": held["key"], "right": value})
        if found is not None:
            rules.append(Rule(_together([*before, is_value]), *found))
    return rules


def _of_xt(held: Any) -> Callable[[Packet], bool | None]:
    # What iptables has written is only named here; iptables itself prints all of it.
    return lambda _packet: True if held.get("name") == "comment" else None


def _of_match(held: Any) -> Callable[[Packet], bool | None]:
    left, right = held["left"], held["right"]
    kind, inner = next(iter(left.items())) if isinstance(left, dict) else ("", {})
    values = right["set"] if isinstance(right, dict) and "set" in right else right
    if not isinstance(values, list):
        values = [values]
    key = inner.get("key") if isinstance(inner, dict) else None
    if kind == "payload" and inner.get("field") == "dport":
        found = _port(str(inner["protocol"]), values)
        return _turned(found) if held["op"] == "!=" else found
    if kind == "payload" and inner.get("protocol") in _NAMES:
        # Of what is in a header nothing is known, but what has no such header has no match.
        return lambda packet: None if inner["protocol"] == packet.family else False
    if kind == "meta" and key in ("iifname", "oifname", "iif", "oif"):
        found = _device(str(key), values)
    elif kind == "ct" and key == "state":
        found = _constant("new" in values)
    elif kind == "ct" and key == "status" and set(map(str, values)) <= {"dnat", "snat"}:
        found = _constant(False)
    elif kind == "meta" and key == "l4proto":
        found = _of_udp(bool({"udp", "17"} & set(map(str, values))))
    elif (kind == "meta" and key in ("nfproto", "protocol")) or _is_ethernet_type(kind, inner):
        found = _protocol({str(value) for value in values})
    else:
        return _constant(None)
    return _turned(found) if held["op"] == "!=" else found


def _port(protocol: str, values: Sequence[Any]) -> Callable[[Packet], bool | None]:
    ranges = []
    for value in values:
        ends = value["range"] if isinstance(value, dict) and "range" in value else [value, value]
        ranges.append((_number(ends[0]), _number(ends[1])))

    def matches(packet: Packet) -> bool | None:
        if packet.port and protocol not in ("udp", "th"):
            return False
        return _is_within(packet.port, ranges)

    return matches


def _device(key: str, values: Sequence[Any]) -> Callable[[Packet], bool | None]:
    def matches(packet: Packet) -> bool | None:
        device = packet.iif if key.startswith("iif") else packet.oif
        return _any([_is_device(it, device, "*") if _is_name(it) else None for it in values])

    return matches


def _protocol(names: set[str]) -> Callable[[Packet], bool | None]:
    return lambda packet: bool(_NAMES.get(packet.family, set()) & names)


_NAMES: Mapping[str, set[str]] = {
    "ip": {"ip", "ipv4"},
    "ip6": {"ip6", "ipv6"},
    "arp": {"arp"},
}
"""By protocol: what nft calls it."""


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith("@")


def _is_ethernet_type(kind: str, inner: Any) -> bool:
    return kind == "payload" and (inner.get("protocol"), inner.get("field")) == ("ether", "type")


def _any(known: Sequence[bool | None]) -> bool | None:
    if True in known:
        return True
    return None if None in known else False


def _constant(value: bool | None) -> Callable[[Packet], bool | None]:
    return lambda _packet: value
