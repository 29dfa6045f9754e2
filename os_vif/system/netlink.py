# SPDX-License-Identifier: Apache-2.0
"""A small rtnetlink client: messages, attributes, sockets and the kernel's own words for errors.

Sources: netlink(7), rtnetlink(7), linux/netlink.h, linux/rtnetlink.h.  What the messages mean is
the business of the files beside this one.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import itertools
import os
import socket
import struct
import threading
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

# linux/netlink.h
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12

# linux/rtnetlink.h
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_SETNEIGHTBL = 67

KERNEL = 0
"""The kernel's own port id."""

_HEADER = struct.Struct("=IHHII")
_ATTR = struct.Struct("=HH")
_U32 = struct.Struct("=I")
_ERRNO = struct.Struct("=i")

# linux/sockios.h, linux/if.h
SIOCGIFINDEX = 0x8933
_IFNAMSIZ = 16
_IFREQ = struct.Struct("=16si20x")

# An acknowledgement takes some 800 bytes of the receive buffer; past a few hundred in one send
# the default buffer overflows (ENOBUFS).
_BATCH = 64
_RECEIVE_BUFFER = 1 << 20
RECEIVE = 1 << 16
"""Bytes, more than any one answer; a dump comes in pieces of 32 KiB at most."""

NO_SUBSYSTEM = frozenset(
    {errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EINVAL}
)
"""What is answered where the kernel was built without what is asked (nfnetlink_rcv_msg())."""


class NetlinkError(OSError):
    """The kernel refused a request; ``strerror`` holds its own words where it gave some."""


class Message(NamedTuple):
    """A request, without its header.

    :ivar type: RTM_*.
    :ivar flags: NLM_F_* beyond NLM_F_REQUEST.
    :ivar body: the family's fixed part and the attributes.
    """

    type: int
    flags: int
    body: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded to four bytes."""
    length = 4 + len(value)
    return _ATTR.pack(length, kind) + value + b"\0" * (-length & 3)


def attribute_u32(kind: int, value: int) -> bytes:
    """Return one attribute that holds a 32-bit number in host order."""
    return _ATTR.pack(8, kind) + _U32.pack(value)


def attribute_text(kind: int, value: str) -> bytes:
    """Return one attribute that holds a NUL-terminated text."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *parts: bytes) -> bytes:
    """Return one attribute that holds others."""
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield type and value of each attribute in ``data``."""
    end = len(data)
    unpack = _ATTR.unpack_from
    while offset + 4 <= end:
        length, kind = unpack(data, offset)
        if length < 4:
            return
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def pick(data: bytes, wanted: Collection[int], offset: int = 0) -> dict[int, bytes]:
    """Return the values of the ``wanted`` attributes in ``data`` by type, the others unread."""
    found: dict[int, bytes] = {}
    end = len(data) - 3
    unpack = _ATTR.unpack_from
    while offset < end:
        length, kind = unpack(data, offset)
        if length < 4:
            break
        if kind & NLA_TYPE_MASK in wanted:
            found[kind & NLA_TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


_sequence = itertools.count(1)


def next_number() -> int:
    """Return a sequence number that no other request of this process has."""
    return next(_sequence) & 0xFFFFFFFF


def packed(message: Message, number: int, sender: int = 0) -> bytes:
    """Return a request as it is sent."""
    kind, flags, body = message
    header = _HEADER.pack(16 + len(body), kind, flags | NLM_F_REQUEST, number, sender)
    return header + body + b"\0" * (-len(body) & 3)


def unpacked(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield type, flags, sequence number and body of each message in what was received."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, number, _port = _HEADER.unpack_from(data, offset)
        yield kind, flags, number, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


_idle: list[tuple[str, socket.socket]] = []
_current = threading.local()


def _close_idle() -> None:
    while _idle:
        _idle.pop()[1].close()


def _forget_sockets() -> None:
    # A child shares its parent's sockets, and would read the parent's answers.
    _close_idle()
    mine = _current.__dict__.pop("channel", None)
    if mine is not None:
        mine.close()


os.register_at_fork(after_in_child=_forget_sockets)
atexit.register(_close_idle)


def namespace() -> str:
    """Return what tells the calling thread's network namespace from others."""
    # Half of what os.stat() of the same costs.
    return os.readlink("/proc/thread-self/ns/net")


def open_socket(protocol: int = socket.NETLINK_ROUTE) -> socket.socket:
    """Return a socket in the calling thread's network namespace, with a port id of its own.

    :param protocol: NETLINK_*
    """
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    opened.bind((0, 0))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
        opened.setsockopt(_SOL_NETLINK, option, 1)
    return opened


def _pooled(here: str) -> socket.socket | None:
    """Return an idle socket of this network namespace; one that moved on cannot use the others."""
    while _idle:
        try:
            opened_in, channel = _idle.pop()
        except IndexError:  # another thread was faster
            break
        if opened_in == here:
            return channel
        channel.close()
    return None


@contextlib.contextmanager
def session(here: str | None = None) -> Iterator[socket.socket]:
    """Keep one socket for all requests of the calling thread, which stays in its namespace.

    :param here: that namespace, where the caller has asked already.
    """
    channel: socket.socket | None = getattr(_current, "channel", None)
    if channel is not None:
        yield channel
        return
    here = here or namespace()
    _current.channel = channel = _pooled(here) or open_socket()
    try:
        yield channel
    except BaseException:
        # An answer may still be under way; the next caller must not get it.
        channel.close()
        raise
    else:
        _idle.append((here, channel))
    finally:
        del _current.channel


def request(messages: Sequence[Message]) -> list[bytes | NetlinkError]:
    """Send requests and return, for each, the body of its answer or its error.

    A request that only gets an acknowledgement has ``b""``.  One failing does not stop the ones
    behind it: the kernel takes a batch message by message.

    :raises OSError: the socket itself failed.
    """
    channel: socket.socket | None = getattr(_current, "channel", None)
    if channel is None:
        with session():
            return request(messages)
    answers: list[bytes | NetlinkError] = []
    for start in range(0, len(messages), _BATCH):
        answers += _exchange(channel, messages[start : start + _BATCH])
    return answers


def _exchange(
    channel: socket.socket, messages: Sequence[Message], port: int = KERNEL
) -> list[bytes | NetlinkError]:
    numbers: dict[int, int] = {}
    # A program that is asked may keep whom to tell of later changes; the kernel knows anyway.
    sender = channel.getsockname()[0] if port else 0
    parts = []
    for position, message in enumerate(messages):
        number = next_number()
        numbers[number] = position
        parts.append(packed(message, number, sender))
    channel.sendto(b"".join(parts), (port, 0))
    answers: list[bytes | NetlinkError] = [b""] * len(messages)
    while numbers:
        for kind, flags, number, body in unpacked(channel.recv(RECEIVE)):
            answered = numbers.get(number)
            if answered is None:
                continue
            if kind == NLMSG_ERROR:
                del numbers[number]
                if said := outcome(body, flags):
                    answers[answered] = said
            else:
                answers[answered] = body
                if not messages[answered].flags & NLM_F_ACK:
                    del numbers[number]
    return answers


def outcome(body: bytes, flags: int) -> bytes | NetlinkError:
    """Return what a message of the type NLMSG_ERROR says; ``b""`` for that all is well."""
    code = -_ERRNO.unpack_from(body)[0]
    if not code:
        return b""
    words = os.strerror(code)
    if flags & _NLM_F_ACK_TLVS:
        skip = 20 if flags & _NLM_F_CAPPED else 4 + _U32.unpack_from(body, 4)[0]
        for kind, value in attributes(body, skip):
            if kind == _NLMSGERR_ATTR_MSG:
                said = value.rstrip(b"\0").decode(errors="replace")
                words = f"{said} ({words})"
    return NetlinkError(code, words)


def ask(message: Message) -> bytes:
    """Send one request and return its answer.

    :raises NetlinkError: the kernel refused it.
    """
    [answer] = request([message])
    if isinstance(answer, NetlinkError):
        raise answer
    return answer


def index_of(device: str) -> int:
    """Return the number of a device of the calling thread's network namespace.

    :raises NetlinkError: the kernel refused it; ENODEV: there is none of this name.
    """
    # As if_nametoindex(3) does it, which opens a socket each time, and gives one answer for all
    # that goes wrong; rtnetlink would describe the whole device.
    name = device.encode()
    if len(name) < _IFNAMSIZ:
        try:
            with session() as channel:
                answer = fcntl.ioctl(channel, SIOCGIFINDEX, _IFREQ.pack(name, 0))
            return int(_IFREQ.unpack(answer)[1])
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise NetlinkError(error.errno, error.strerror) from error
    raise NetlinkError(errno.ENODEV, f"there is no device {device}")


def ask_port(port: int, message: Message, timeout: float) -> bytes:
    """Send one request to a port id (netlink(7), nl_pid) and return its answer.

    A program's port id is mostly its process id.  To send to one takes CAP_NET_ADMIN.

    :param timeout: seconds to wait for the answer.
    :raises NetlinkError: it refused; ECONNREFUSED where nobody has that port id, ETIMEDOUT where
        somebody has and does not answer.
    """
    with open_socket() as channel:
        channel.settimeout(timeout)
        try:
            [answer] = _exchange(channel, [message], port)
        except TimeoutError:
            raise NetlinkError(errno.ETIMEDOUT, f"no answer within {timeout:g} s") from None
        except OSError as error:
            raise NetlinkError(error.errno, error.strerror) from error
    if isinstance(answer, NetlinkError):
        raise answer
    return answer


def dump(kind: int, body: bytes, protocol: int = socket.NETLINK_ROUTE) -> list[bytes]:
    """Return the bodies of all answers to a dump request, filtered as ``body`` says.

    :param protocol: NETLINK_*
    :raises NetlinkError: the kernel refused it, or the table changed too often meanwhile.
    """
    for _attempt in range(10):
        found = _dump_once(kind, body, protocol)
        if found is not None:
            return found
    raise NetlinkError(errno.EINTR, "the table changed during every one of 10 dumps")


@contextlib.contextmanager
def _for_dump(protocol: int) -> Iterator[socket.socket]:
    """Lend a socket for one dump, which has to itself what comes."""
    try:
        opened = open_socket(protocol)
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE) or protocol != socket.NETLINK_ROUTE:
            raise
        with session() as channel:  # what is to be taken back must not fail for want of a socket
            yield channel
        return
    with opened:
        yield opened


def _dump_once(kind: int, body: bytes, protocol: int) -> list[bytes] | None:
    """Return the answers, or None if the kernel says they are inconsistent."""
    number = next_number()
    found: list[bytes] = []
    interrupted = False
    with _for_dump(protocol) as channel:
        channel.send(packed(Message(kind, NLM_F_DUMP, body), number))
        while True:
            for answer, flags, answered, content in unpacked(channel.recv(RECEIVE)):
                if answered != number:
                    continue
                interrupted |= bool(flags & 0x10)  # NLM_F_DUMP_INTR
                if answer == NLMSG_DONE:
                    code = -_ERRNO.unpack_from(content)[0] if len(content) >= 4 else 0
                    if code:
                        raise NetlinkError(code, os.strerror(code))
                    return None if interrupted else found
                if answer == NLMSG_ERROR:
                    error = outcome(content, flags)
                    if isinstance(error, NetlinkError):
                        raise error
                    raise NetlinkError(errno.EPROTO, "an acknowledgement for a dump")
                found.append(content)
