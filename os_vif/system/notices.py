# SPDX-License-Identifier: Apache-2.0
"""Requests that are done before the kernel is through with them.

What it has done, it tells all who listen (the groups of rtnetlink(7)), and may take its time from
there to the acknowledgement, within sendmsg(2).  Who asked can go on; a thread waits for the rest.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable

from os_vif.system import netlink
from os_vif.system.netlink import Message, NetlinkError

LINK = 1
"""The group of network devices: RTNLGRP_LINK of linux/rtnetlink.h."""

MOST_THINGS = 64
"""Things done by one request that can be waited for: what is told of them must fit into a socket's
receive buffer, a dozen kilobytes each."""

_MOST_SENDERS = 64
_SENT_S = 1.0
"""Seconds after which who waits for word of a request sees whether it was sent at all."""
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1  # linux/socket.h, linux/netlink.h

Told = Callable[[int, bytes], bool]
"""Is given type and body of what is told, and says whether that was the last to wait for."""

_sending: set[socket.socket] = set()


def _forget_senders() -> None:
    while _sending:  # their threads are not in the child
        _sending.pop().close()


os.register_at_fork(after_in_child=_forget_senders)


class _Sender(threading.Thread):
    """Sends one message, and closes the socket when the kernel is through and who asked has left.

    It inherits the rights of that one, and joins no more network namespace than the socket's.
    """

    def __init__(self, channel: socket.socket, data: bytes) -> None:
        super().__init__(name="os_vif_netlink")
        self._channel = channel
        self._data = data
        self.error: OSError | None = None
        self.over = threading.Event()
        self.left = threading.Event()

    def run(self) -> None:
        try:
            self._channel.sendto(self._data, (netlink.KERNEL, 0))
        except OSError as error:
            self.error = error
        self.over.set()
        self.left.wait()
        _sending.discard(self._channel)
        self._channel.close()


def request(message: Message, group: int, told: Told) -> bytes | NetlinkError:
    """Send one request, and return when a group was told that it is done, or it is acknowledged.

    For what cannot fail any more once it was told.

    :param group: who is told, :data:`LINK`
    :param told: of :data:`MOST_THINGS` at most; by others, of their things, too
    :returns: as one answer of :func:`.netlink.request`; ``b""`` where it was told, and of ENOBUFS
        if the kernel is through with it and what it said was lost.
    :raises OSError: the socket itself failed.
    """
    number = netlink.next_number()
    started = _start(message, group, number)
    if started is None:
        return netlink.request([message])[0]
    channel, sender = started
    try:
        return _hear(channel, sender, number, told)
    finally:
        sender.left.set()


def _hear(channel: socket.socket, sender: _Sender, number: int, told: Told) -> bytes | NetlinkError:
    while sender.error is None:
        over = sender.over.is_set()
        try:
            data = channel.recv(netlink.RECEIVE)
        except TimeoutError:
            if not over:
                continue
            break
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            sender.over.wait()
            break
        for kind, flags, answered, body in netlink.unpacked(data):
            if kind == netlink.NLMSG_ERROR:
                if answered == number:
                    return netlink.outcome(body, flags)
            elif told(kind, body):
                return b""
    if sender.error is not None:
        raise sender.error
    return NetlinkError(errno.ENOBUFS, "the kernel's answer was lost")


def _start(message: Message, group: int, number: int) -> tuple[socket.socket, _Sender] | None:
    """Have a thread send a request; None where there is none to be had."""
    if len(_sending) >= _MOST_SENDERS:
        return None
    try:
        channel = netlink.open_socket()
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        return None
    channel.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    channel.settimeout(_SENT_S)
    sender = _Sender(channel, netlink.packed(message, number))
    _sending.add(channel)
    try:
        sender.start()
    except RuntimeError:  # there can be no more threads, or the interpreter is ending
        _sending.discard(channel)
        channel.close()
        return None
    return channel, sender
