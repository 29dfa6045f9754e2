# SPDX-License-Identifier: Apache-2.0
"""Queueing disciplines and filters of a device, over rtnetlink.

Sources: linux/pkt_sched.h, linux/pkt_cls.h, linux/tc_act/tc_police in pkt_cls.h, tc-tbf(8),
tc-police(8).  What goes out waits in a token bucket (tbf); what comes in is dropped beyond one (an
action police behind a filter of all packets, matchall), as it cannot wait.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping

from os_vif.host.traffic_limits.questions import NONE, Limits
from os_vif.host.traffic_limits.resources import Bucket
from os_vif.system import netlink
from os_vif.system.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    Message,
    NetlinkError,
    attribute,
    attribute_text,
    attribute_u32,
    attributes,
    nested,
)

# linux/rtnetlink.h, linux/netlink.h
_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_NEWTFILTER, _DELTFILTER, _GETTFILTER = 44, 45, 46
_ECHO, _REPLACE = 0x8, 0x100
_KIND, _OPTIONS = 1, 2
_TCMSG = struct.Struct("=BxxxiIII")

# linux/pkt_sched.h
_ROOT, _INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
_INGRESS_HANDLE = 0xFFFF0000
_INCOMING = 0xFFFFFFF2
"""Where filters of an ingress qdisc are, and of a clsact."""

_RATESPEC = struct.Struct("=BBHhHI")
_ETHERNET = 1
_TBF_PARMS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_TBF = struct.Struct("=12s12sIII")
_TICK_NS = 64

# linux/pkt_cls.h
_MATCHALL_ACT = 2
_POLICE_PARMS, _POLICE_RATE, _POLICE_RATE64 = 1, 2, 8
_POLICE = struct.Struct("=IiIII12s12siiI")
_SHOT = 2
_RTAB_BYTES, _CELL_LOG = 1024, 8

HANDLE = 0x6F730000
"""Of our qdisc ("os"): by it, it is known as ours."""

_PRIORITY = 0x6F73
"""Of our filter: behind those of others, who count from 1 or down from 49152."""

_ALL_PACKETS = 0x0300
"""ETH_P_ALL of linux/if_ether.h, in network order."""

_PATIENCE_S = 0.1
"""Seconds that a packet waits at most for its turn to go out."""


def _message(kind: int, flags: int, index: int, handle: int, parent: int, *more: bytes) -> Message:
    info = _PRIORITY << 16 | _ALL_PACKETS if kind >= _NEWTFILTER else 0
    body = _TCMSG.pack(0, index, handle, parent, info) + b"".join(more)
    return Message(kind, flags | NLM_F_ACK, body)


def _ratespec(rate: int) -> bytes:
    return _RATESPEC.pack(_CELL_LOG, _ETHERNET, 0, -1, 0, min(rate // 8, 0xFFFFFFFF))


def _ticks(bucket: Bucket) -> int:
    """Return how long a burst takes, in the kernel's units."""
    return min(bucket.burst * 8 * 10**9 // bucket.rate // _TICK_NS, 0xFFFFFFFF)


# --- looking ------------------------------------------------------------------------------------


def of_device(device: str) -> Limits:
    """Return the limits of a device; none where it is not there."""
    try:
        index = netlink.index_of(device)
        egress, others = _egress(index)
        return Limits(egress, _ingress(index), others)
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return NONE


def _egress(index: int) -> tuple[Bucket | None, str]:
    """Return our limit of what goes out; and in words, the qdisc of another's."""
    answer = netlink.ask(_message(_GETQDISC, _ECHO, index, 0, _ROOT))
    if not answer:
        return None, ""
    _family, _index, handle, _parent, _info = _TCMSG.unpack_from(answer)
    told = dict(attributes(answer, _TCMSG.size))
    kind = _kind(told)
    if handle != HANDLE or kind != "tbf":
        # What the kernel puts there by itself has no handle; and libvirt puts none (noqueue) in the
        # place of whatever a tap has when its guest starts.
        return None, f"a qdisc {kind}" if handle and kind != "noqueue" else ""
    found = dict(attributes(told[_OPTIONS]))
    rate, _peak, _limit, ticks, _mtu = _TBF.unpack_from(found[_TBF_PARMS])
    return _bucket(rate, found.get(_TBF_RATE64), ticks), ""


def _ingress(index: int) -> Bucket | None:
    try:
        answer = netlink.ask(_message(_GETTFILTER, _ECHO, index, 1, _INCOMING))
    except NetlinkError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP):
            raise
        return None  # no such filter, no such chain, or no such qdisc
    told = dict(attributes(answer, _TCMSG.size)) if answer else {}
    for _number, action in attributes(dict(attributes(told.get(_OPTIONS, b""))).get(2, b"")):
        parts = dict(attributes(action))
        if _kind(parts) == "police":
            found = dict(attributes(parts[_OPTIONS]))
            parms = _POLICE.unpack_from(found[_POLICE_PARMS])
            return _bucket(parms[5], found.get(_POLICE_RATE64), parms[3])
    return None


def _bucket(ratespec: bytes, rate64: bytes | None, ticks: int) -> Bucket | None:
    rate = int.from_bytes(rate64, "little") if rate64 else _RATESPEC.unpack(ratespec)[5]
    burst = ticks * _TICK_NS * rate // 10**9
    try:
        return Bucket(rate * 8, burst)
    except ValueError:
        return None  # no step of ours has set it


# --- changing -----------------------------------------------------------------------------------


def set_on(device: str, egress: Bucket | None, ingress: Bucket | None) -> None:
    """Make these the limits of a device, whatever ours were.

    :raises NetlinkError: the kernel refused it, or has no part for it.
    """
    index = netlink.index_of(device)
    _set_egress(index, egress)
    _set_ingress(index, ingress)


def _set_egress(index: int, bucket: Bucket | None) -> None:
    have, others = _egress(index)
    if bucket is None:
        if have is not None and not others:
            netlink.ask(_message(_DELQDISC, 0, index, HANDLE, _ROOT))
        return
    waiting = bucket.burst + int(bucket.rate / 8 * _PATIENCE_S)
    parms = _TBF.pack(_ratespec(bucket.rate), bytes(12), waiting, _ticks(bucket), 0)
    options = [attribute(_TBF_PARMS, parms), attribute_u32(_TBF_BURST, bucket.burst)]
    if bucket.rate // 8 > 0xFFFFFFFF:
        options.append(attribute(_TBF_RATE64, struct.pack("=Q", bucket.rate // 8)))
    more = attribute_text(_KIND, "tbf") + nested(_OPTIONS, *options)
    _need("sch_tbf", _message(_NEWQDISC, NLM_F_CREATE | _REPLACE, index, HANDLE, _ROOT, more))


def _set_ingress(index: int, bucket: Bucket | None) -> None:
    if bucket is None:
        if _ingress(index) is None:
            return
        netlink.ask(_message(_DELTFILTER, 0, index, 0, _INCOMING))
        _tidy(index)
        return
    # Another's, or a clsact, serves as well.
    kind = attribute_text(_KIND, "ingress")
    made = _message(_NEWQDISC, NLM_F_CREATE, index, _INGRESS_HANDLE, _INGRESS, kind)
    try:
        _need("sch_ingress", made)
    except NetlinkError as error:
        if error.errno not in (errno.EEXIST, errno.EINVAL):
            raise
    more = attribute_text(_KIND, "matchall") + nested(
        _OPTIONS, nested(_MATCHALL_ACT, _police(bucket))
    )
    filtered = _message(_NEWTFILTER, NLM_F_CREATE | _REPLACE, index, 1, _INCOMING, more)
    try:
        _need("cls_matchall and act_police", filtered)
    except NetlinkError:
        _tidy(index)
        raise


def _police(bucket: Bucket) -> bytes:
    spec = _ratespec(bucket.rate)
    parms = _POLICE.pack(0, _SHOT, 0, _ticks(bucket), 0xFFFFFFFF, spec, bytes(12), 0, 0, 0)
    # The kernel demands the table of former times, and only looks at its size.
    options = [attribute(_POLICE_PARMS, parms), attribute(_POLICE_RATE, bytes(_RTAB_BYTES))]
    if bucket.rate // 8 > 0xFFFFFFFF:
        options.append(attribute(_POLICE_RATE64, struct.pack("=Q", bucket.rate // 8)))
    return nested(1, attribute_text(_KIND, "police"), nested(_OPTIONS, *options))


def _tidy(index: int) -> None:
    """Take away the qdisc that holds filters of what comes in, where it holds none."""
    answer = netlink.ask(_message(_GETQDISC, _ECHO, index, _INGRESS_HANDLE, _INGRESS))
    is_plain = _kind(dict(attributes(answer, _TCMSG.size))) == "ingress"  # a clsact is another's
    if is_plain and not netlink.dump(_GETTFILTER, _TCMSG.pack(0, index, 0, _INCOMING, 0)):
        netlink.ask(_message(_DELQDISC, 0, index, _INGRESS_HANDLE, _INGRESS))


def _kind(told: Mapping[int, bytes]) -> str:
    return told.get(_KIND, b"").rstrip(b"\0").decode(errors="replace")


def _need(module: str, message: Message) -> None:
    """Send a request that takes a part of the kernel which not each has.

    :raises NetlinkError: the kernel refused it; naming the part, if it has none.
    """
    try:
        netlink.ask(message)
    except NetlinkError as error:
        if error.errno != errno.ENOENT:
            raise
        words = f"this kernel lacks {module} ({error.strerror})"
        raise NetlinkError(errno.EOPNOTSUPP, words) from error
