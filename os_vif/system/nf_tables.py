# SPDX-License-Identifier: Apache-2.0
"""A small client of nf_tables, over netlink: tables, chains and rules, made and read.

Rules are lists of words, each an expression: ``meta KEY``, ``ct KEY`` and ``load BASE OFFSET
LENGTH`` (bytes of the link, network or transport header: ll, nh, th) take something up, ``mask
HEX`` cuts it, ``is HEX`` goes on only if it is that; ``count``; ``masquerade``; and a verdict:
``accept``, ``drop``, ``goto CHAIN``, ``jump CHAIN``.  ``say TEXT`` is the rule's comment.

Sources: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h, net/netfilter/nf_tables_api.c;
libnftnl's udata.h for comments.  What stands between the two ends of a batch is done whole or not
at all.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from os_vif.system import netlink
from os_vif.system.netlink import (
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    Message,
    NetlinkError,
    attribute,
    attribute_text,
    attributes,
    nested,
    pick,
)

# linux/netlink.h, linux/netfilter.h, linux/netfilter/nfnetlink.h
_NETLINK_NETFILTER = 12
INET, NETDEV = 1, 5
"""Families of tables: of IPv4 and IPv6, and of frames at one device."""
_HEADER = struct.Struct("=BBH")
_SUBSYSTEM = 10
_BEGIN, _END = 0x10, 0x11

_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN, _NEWRULE, _GETRULE, _DELRULE, _GETGEN = (
    _SUBSYSTEM << 8 | number for number in (0, 1, 2, 3, 4, 6, 7, 8, 16)
)
_BATCH_GENERATION, _GENERATION = 1, 1
_TABLE_NAME, _TABLE_USERDATA = 1, 6
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_TYPE = 1, 3, 4, 5, 7
_HOOKNUM, _HOOK_PRIORITY, _HOOK_DEV, _HOOK_DEVS = 1, 2, 3, 4
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS, _RULE_USERDATA = 1, 2, 4, 7
_ELEMENT = 1
_INTERRUPTED, _DUMPS = 0x10, 10
_NAME, _DATA = 1, 2
_VALUE, _VERDICT = 1, 2

_HOOKS = {NETDEV: {"ingress": 0, "egress": 1}, INET: {"forward": 2, "postrouting": 4}}
_LACKING = {
    NETDEV: "nf_tables for network devices (CONFIG_NF_TABLES_NETDEV)",
    INET: "nf_tables for IPv4 and IPv6 (CONFIG_NF_TABLES_INET)",
}

_REGISTER = 1
_BASES = {"ll": 0, "nh": 1, "th": 2}
_KEYS = {
    "meta": {"protocol": 1, "iifname": 6, "oifname": 7, "nfproto": 15, "l4proto": 16},
    "ct": {"state": 0, "status": 2},
}
_NAMED_BASES = {number: name for name, number in _BASES.items()}
_NAMED_KEYS = {
    (what, number): f"{what} {name}" for what, it in _KEYS.items() for name, number in it.items()
}
_VERDICTS = {"accept": 1, "drop": 0}
_JUMPS = {"goto": -4, "jump": -3}
_NAMED_VERDICTS, _NAMED_JUMPS = (
    {number: name for name, number in it.items()} for it in (_VERDICTS, _JUMPS)
)
_COMMENT = 0
"""Of the user's data of a table or rule: a comment (NFTNL_UDATA_*_COMMENT)."""

_U32 = struct.Struct(">I")
_I32 = struct.Struct(">i")


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, _I32.pack(value))


def _told(data: bytes) -> int:
    return int(_I32.unpack(data)[0])


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def _comment(kind: int, text: str) -> bytes:
    value = text.encode() + b"\0"
    return attribute(kind, bytes([_COMMENT, len(value)]) + value)


def _commented(data: bytes) -> str:
    while len(data) >= 2:
        kind, length = data[0], data[1]
        if kind == _COMMENT:
            return _text(data[2 : 2 + length])
        data = data[2 + length :]
    return ""


# --- rules ----------------------------------------------------------------------------------------


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(_ELEMENT, attribute_text(_NAME, name), nested(_DATA, *parts))


@functools.lru_cache(maxsize=1024)  # most are the same in each VIF's table
def _encoded(word: str) -> bytes:
    what, *more = word.split(" ")
    match what:
        case "meta" | "ct":
            return _expression(what, _number(1, _REGISTER), _number(2, _KEYS[what][more[0]]))
        case "load":
            base, offset, length = more
            numbers = (_REGISTER, _BASES[base], int(offset), int(length))
            return _expression("payload", *map(_number, (1, 2, 3, 4), numbers))
        case "mask":
            mask = bytes.fromhex(more[0])
            register = _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, len(mask))
            both = ((4, mask), (5, bytes(len(mask))))
            values = [nested(kind, attribute(_VALUE, value)) for kind, value in both]
            return _expression("bitwise", register, *values)
        case "is":
            value = nested(3, attribute(_VALUE, bytes.fromhex(more[0])))
            return _expression("cmp", _number(1, _REGISTER), _number(2, 0), value)
        case "count":
            return _expression("counter")
        case "masquerade":
            return _expression("masq")
        case "goto" | "jump":
            verdict = _number(1, _JUMPS[what]) + attribute_text(2, more[0])
        case _:
            verdict = _number(1, _VERDICTS[what])
    data = nested(2, nested(_VERDICT, verdict))
    return _expression("immediate", _number(1, 0), data)


@functools.lru_cache(maxsize=1024)
def _decoded(name: str, data: bytes) -> str:
    """Return an expression as a word; one that is not known as what no rule of ours has."""
    with contextlib.suppress(LookupError, struct.error):
        have = dict(attributes(data))
        return _key(name, have) if name in _KEYS else _DECODERS[name](have)
    return f"other {name} {data.hex()}"


def _key(what: str, have: dict[int, bytes]) -> str:
    if _told(have[1]) != _REGISTER:
        raise LookupError
    return _NAMED_KEYS[what, _told(have[2])]


def _payload(have: dict[int, bytes]) -> str:
    if _told(have[1]) != _REGISTER:
        raise LookupError
    return f"load {_NAMED_BASES[_told(have[2])]} {_told(have[3])} {_told(have[4])}"


def _bitwise(have: dict[int, bytes]) -> str:
    mask, xor = (pick(have[kind], (_VALUE,))[_VALUE] for kind in (4, 5))
    registers = _told(have[1]), _told(have[2])
    if registers != (_REGISTER, _REGISTER) or any(xor) or _told(have.get(6, bytes(4))):
        raise LookupError
    return f"mask {mask.hex()}"


def _cmp(have: dict[int, bytes]) -> str:
    if _told(have[1]) != _REGISTER or _told(have[2]):
        raise LookupError
    return f"is {pick(have[3], (_VALUE,))[_VALUE].hex()}"


def _masq(have: dict[int, bytes]) -> str:
    if have:
        raise LookupError
    return "masquerade"


def _immediate(have: dict[int, bytes]) -> str:
    verdict = pick(pick(have[2], (_VERDICT,))[_VERDICT], (1, 2))
    code = _told(verdict[1])
    if code in _NAMED_JUMPS:
        return f"{_NAMED_JUMPS[code]} {_text(verdict[2])}"
    return _NAMED_VERDICTS[code]


_DECODERS = {"payload": _payload, "bitwise": _bitwise, "cmp": _cmp, "masq": _masq}
_DECODERS["immediate"] = _immediate


# --- messages -------------------------------------------------------------------------------------


class Base(NamedTuple):
    """Where a chain stands that the kernel begins with.

    :ivar hook: ``ingress`` or ``egress`` of a device; ``forward`` or ``postrouting``.
    :ivar priority: the lower, the earlier (NF_IP_PRI_* of linux/netfilter_ipv4.h).
    :ivar type: ``filter`` or ``nat``.
    :ivar device: at which it stands; '' for all.
    """

    hook: str
    priority: int
    type: str = "filter"
    device: str = ""


def _body(family: int, *parts: bytes) -> bytes:
    return _HEADER.pack(family, 0, 0) + b"".join(parts)


def new_table(family: int, name: str, comment: str) -> Message:
    """Return what makes a table; EEXIST where there is one of this name."""
    names = attribute_text(_TABLE_NAME, name), _comment(_TABLE_USERDATA, comment)
    return Message(_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, _body(family, *names))


def delete_table(family: int, name: str) -> Message:
    """Return what takes away a table with all that is in it; ENOENT where there is none."""
    return Message(_DELTABLE, 0, _body(family, attribute_text(_TABLE_NAME, name)))


def new_chain(family: int, table: str, name: str, base: Base | None = None) -> Message:
    """Return what makes a chain.

    :param base: where the kernel begins with it, accepting what no rule decides; None for nowhere
    """
    parts = [attribute_text(_CHAIN_TABLE, table), attribute_text(_CHAIN_NAME, name)]
    if base is not None:
        device = [attribute_text(_HOOK_DEV, base.device)] if base.device else []
        number = _number(_HOOKNUM, _HOOKS[family][base.hook])
        parts += [
            nested(_CHAIN_HOOK, number, _number(_HOOK_PRIORITY, base.priority), *device),
            _number(_CHAIN_POLICY, _VERDICTS["accept"]),
            attribute_text(_CHAIN_TYPE, base.type),
        ]
    return Message(_NEWCHAIN, NLM_F_CREATE, _body(family, *parts))


def empty_chain(family: int, table: str, name: str) -> Message:
    """Return what takes away all rules of a chain."""
    names = attribute_text(_RULE_TABLE, table), attribute_text(_RULE_CHAIN, name)
    return Message(_DELRULE, 0, _body(family, *names))


def new_rule(family: int, table: str, chain: str, rule: Sequence[str]) -> Message:
    """Return what puts a rule behind the others of a chain."""
    words = [word for word in rule if not word.startswith("say ")]
    said = [word.removeprefix("say ") for word in rule if word.startswith("say ")]
    parts = [
        attribute_text(_RULE_TABLE, table),
        attribute_text(_RULE_CHAIN, chain),
        nested(_RULE_EXPRESSIONS, *map(_encoded, words)),
        *(_comment(_RULE_USERDATA, text) for text in said[:1]),
    ]
    return Message(_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, _body(family, *parts))


def _edge(kind: int, generation: int = 0) -> Message:
    body = _HEADER.pack(0, 0, socket.htons(_SUBSYSTEM))
    if generation:
        body += attribute(_BATCH_GENERATION, _U32.pack(generation))
    return Message(kind, 0, body)


# --- to the kernel and back -----------------------------------------------------------------------


@contextlib.contextmanager
def channel(family: int) -> Iterator[socket.socket]:
    """Lend a socket for questions: to close one takes the kernel a millisecond.

    :raises NetlinkError: the kernel has no nf_tables.
    """
    try:
        opened = netlink.open_socket(_NETLINK_NETFILTER)
    except OSError as error:
        if error.errno != errno.EPROTONOSUPPORT:
            raise
        raise _lacking(family, error) from error
    with opened:
        yield opened


def _lacking(family: int, error: OSError) -> OSError:
    words = f"this kernel has no {_LACKING[family]}"
    return NetlinkError(error.errno or errno.EOPNOTSUPP, f"{words}: {error.strerror}")


def commit(messages: Sequence[Message], generation: int = 0) -> None:
    """Have the kernel do all of this, or nothing.

    :param messages: on tables of one family
    :param generation: of the tables, by :func:`generation_of`, on which it was planned; 0 for any
    :raises NetlinkError: it refused; ERESTART where the tables are of another generation.
    """
    family = messages[0].body[0]
    begin = _edge(_BEGIN, generation)
    batch = [begin, *messages[:-1], _with_ack(messages[-1]), _edge(_END)]
    data = b"".join(netlink.packed(message, netlink.next_number()) for message in batch)
    with channel(family) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, max(len(data) * 2, 1 << 18))
        opened.send(data)
        # By then the kernel has done it, and said what there is to say.
        for kind, flags, _at, body in _waiting(opened):
            said = netlink.outcome(body, flags) if kind == netlink.NLMSG_ERROR else b""
            if isinstance(said, NetlinkError):
                if said.errno in (errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
                    raise _lacking(family, said)
                raise said


def _with_ack(message: Message) -> Message:
    return message._replace(flags=message.flags | NLM_F_ACK)


def _waiting(opened: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    with contextlib.suppress(BlockingIOError):
        while True:
            yield from netlink.unpacked(opened.recv(netlink.RECEIVE, socket.MSG_DONTWAIT))


def _ask(opened: socket.socket, message: Message) -> list[bytes]:
    """Return what the kernel answers; nothing where there is no such thing.

    :raises NetlinkError: it refused, or the tables changed too often meanwhile.
    """
    for _attempt in range(_DUMPS):
        found = _ask_once(opened, message)
        if found is not None:
            return found
    raise NetlinkError(errno.EINTR, f"the tables changed during every one of {_DUMPS} dumps")


def _ask_once(opened: socket.socket, message: Message) -> list[bytes] | None:
    """Return the answers, or None if the kernel says they are inconsistent."""
    found: list[bytes] = []
    interrupted = False
    opened.send(netlink.packed(message, netlink.next_number()))
    while True:
        for kind, flags, _at, body in netlink.unpacked(opened.recv(netlink.RECEIVE)):
            interrupted |= bool(flags & _INTERRUPTED) and kind != netlink.NLMSG_ERROR
            if kind == netlink.NLMSG_DONE:
                return None if interrupted else found
            if kind == netlink.NLMSG_ERROR:
                said = netlink.outcome(body, flags)
                if isinstance(said, NetlinkError) and said.errno != errno.ENOENT:
                    lacks = said.errno == errno.EOPNOTSUPP
                    raise _lacking(message.body[0], said) if lacks else said
                return []
            found.append(body[_HEADER.size :])
            if message.flags & NLM_F_DUMP != NLM_F_DUMP:
                return found


# --- looking --------------------------------------------------------------------------------------


def tables(family: int) -> dict[str, str]:
    """Return the names of all tables of a family, anybody's, each with its comment."""
    try:
        with channel(family) as opened:
            return tables_in(opened, family)
    except NetlinkError as error:
        if error.errno not in netlink.NO_SUBSYSTEM:
            raise
        return {}


def tables_in(opened: socket.socket, family: int) -> dict[str, str]:
    """Return the same over a channel that is there."""
    return dict(map(_table_told, _ask(opened, Message(_GETTABLE, NLM_F_DUMP, _body(family)))))


def _table_told(body: bytes) -> tuple[str, str]:
    have = pick(body, (_TABLE_NAME, _TABLE_USERDATA))
    return _text(have[_TABLE_NAME]), _commented(have.get(_TABLE_USERDATA, b""))


def comment_of(opened: socket.socket, family: int, table: str) -> str | None:
    """Return the comment of a table; None where there is none of this name."""
    body = _body(family, attribute_text(_TABLE_NAME, table))
    found = _ask(opened, Message(_GETTABLE, 0, body))
    return _table_told(found[0])[1] if found else None


def generation_of(opened: socket.socket) -> int:
    """Return the number that each change of anybody's tables raises."""
    [found] = _ask(opened, Message(_GETGEN, 0, _body(0)))
    return int(_U32.unpack(pick(found, (_GENERATION,))[_GENERATION])[0])


def base_of(opened: socket.socket, family: int, table: str, name: str) -> Base | None:
    """Return where a chain stands; None for nowhere, or where there is no such chain."""
    names = attribute_text(_CHAIN_TABLE, table), attribute_text(_CHAIN_NAME, name)
    for body in _ask(opened, Message(_GETCHAIN, 0, _body(family, *names))):
        have = dict(attributes(body))
        hook = dict(attributes(have.get(_CHAIN_HOOK, b"")))
        if _HOOKNUM not in hook:
            continue
        number = _told(hook[_HOOKNUM])
        devices = [_text(value) for _kind, value in attributes(hook.get(_HOOK_DEVS, b""))]
        if _HOOK_DEV in hook and not devices:
            devices = [_text(hook[_HOOK_DEV])]
        way = next((name for name, it in _HOOKS[family].items() if it == number), str(number))
        kind = _text(have.get(_CHAIN_TYPE, b""))
        return Base(way, _told(hook[_HOOK_PRIORITY]), kind, " ".join(devices))
    return None


def rules_of(
    opened: socket.socket, family: int, table: str = ""
) -> Iterator[tuple[str, str, list[str]]]:
    """Yield table, chain and words of the rules of a table, in order; of all for ''."""
    only = attribute_text(_RULE_TABLE, table) if table else b""
    wanted = (_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS, _RULE_USERDATA)
    for body in _ask(opened, Message(_GETRULE, NLM_F_DUMP, _body(family, only))):
        have = pick(body, wanted)
        name = _text(have[_RULE_TABLE])
        if table in ("", name):  # older kernels show those of other tables, too
            said = have.get(_RULE_EXPRESSIONS, b""), have.get(_RULE_USERDATA, b"")
            yield name, _text(have[_RULE_CHAIN]), list(_words(*said))


@functools.lru_cache(maxsize=4096)  # each look shows the same ones
def _words(expressions: bytes, userdata: bytes) -> tuple[str, ...]:
    words = []
    for _kind, element in attributes(expressions):
        parts = pick(element, (_NAME, _DATA))
        name = _text(parts[_NAME])
        words.append("count" if name == "counter" else _decoded(name, parts.get(_DATA, b"")))
    said = _commented(userdata)
    return (*words, f"say {said}") if said else tuple(words)
