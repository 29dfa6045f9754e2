# SPDX-License-Identifier: Apache-2.0
"""Network devices deleted over rtnetlink, without the kernel's wait for readers.

unregister_netdevice_many() (net/core/dev.c) takes a device out of all lists, has whatever stands on
it let go, tells so, and cannot fail any more.  netdev_run_todo() then waits some 15 ms for readers
(rcu_barrier()) within the request, and holds no lock meanwhile: another may have the name.  So
nobody waits for that here.
"""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Iterable, Sequence

from os_vif.host.links.system.link_message import (
    IFINFO,
    IFLA_GROUP,
    NO_INDEX,
    by_index,
    by_index_or_name,
)
from os_vif.system import netlink, notices
from os_vif.system.netlink import Message, NetlinkError, attribute_u32


def delete(doomed: Sequence[tuple[str, int]]) -> None:
    """Delete devices, given by name and index; one that is gone or has changed hands is left.

    The kernel waits once per request; so several go in one, by group.

    :raises OSError: the kernel refused.
    """
    if len(doomed) == 1:
        [(name, index)] = doomed
        _delete(by_index_or_name(name, index), [index])
        return
    # Never group 0, which holds every device, nor one an operator would think of.
    group = attribute_u32(IFLA_GROUP, 0x40000000 | secrets.randbits(30))
    moved = netlink.request(
        [
            Message(netlink.RTM_NEWLINK, netlink.NLM_F_ACK, by_index_or_name(name, index) + group)
            for name, index in doomed
        ]
    )
    _ignore_missing(moved)
    there = [
        index
        for (_name, index), answer in zip(doomed, moved, strict=True)
        if not isinstance(answer, NetlinkError)
    ]
    if there:
        _delete(NO_INDEX + group, there)


def _delete(body: bytes, indices: Sequence[int]) -> None:
    """Delete devices in one request, and return when they are gone for everybody.

    :param indices: of the devices; 0 where only the name is known
    """
    message = Message(netlink.RTM_DELLINK, netlink.NLM_F_ACK, body)
    if not all(indices) or len(indices) > notices.MOST_THINGS:
        _ignore_missing(netlink.request([message]))
        return
    left = set(indices)

    def told(kind: int, about: bytes) -> bool:
        # Of another address family: that a bridge has lost a port.
        if kind == netlink.RTM_DELLINK and about[0] == socket.AF_UNSPEC:
            left.discard(IFINFO.unpack_from(about)[2])
        return not left

    answer = notices.request(message, notices.LINK, told)
    lost = isinstance(answer, NetlinkError) and answer.errno == errno.ENOBUFS
    # Below /sys the last one goes a moment later, before the lock is given back that this needs.
    asked = [Message(netlink.RTM_GETLINK, 0, by_index(index)) for index in indices]
    there = netlink.request(asked if lost else asked[-1:])
    if not lost or not all(isinstance(it, NetlinkError) for it in there):
        _ignore_missing([answer])


def _ignore_missing(answers: Iterable[bytes | NetlinkError]) -> None:
    for answer in answers:
        if isinstance(answer, NetlinkError) and answer.errno != errno.ENODEV:
            raise answer
