# SPDX-License-Identifier: Apache-2.0
"""NDP proxies over rtnetlink.

Sources: rtnetlink(7), linux/neighbour.h.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterator

from os_vif.host.routes.system.addresses import tell
from os_vif.system import netlink
from os_vif.system.netlink import Message, attribute

_NDMSG = struct.Struct("=BxxxiHBB")

_NDA_DST = 1
_NTF_PROXY = 0x08
_NUD_PERMANENT = 0x80


def _body(device: str, address: str, state: int = 0) -> bytes:
    header = _NDMSG.pack(socket.AF_INET6, netlink.index_of(device), state, _NTF_PROXY, 0)
    return header + attribute(_NDA_DST, ipaddress.IPv6Address(address).packed)


def is_there(device: str, address: str) -> bool:
    """Tell whether the host answers for an IPv6 address on a device; no device, no answer."""
    try:
        netlink.ask(Message(netlink.RTM_GETNEIGH, 0, _body(device, address)))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            return False
        raise
    return True


def of_device(device: str) -> Iterator[str]:
    """Yield the IPv6 addresses that the host answers for on a device.

    :raises OSError: there is no such device
    """
    index = netlink.index_of(device)
    for body in netlink.dump(
        netlink.RTM_GETNEIGH, _NDMSG.pack(socket.AF_INET6, 0, 0, _NTF_PROXY, 0)
    ):
        family, at, _state, flags, _kind = _NDMSG.unpack_from(body)
        held = netlink.pick(body, (_NDA_DST,), _NDMSG.size)
        if (family, at) == (socket.AF_INET6, index) and flags & _NTF_PROXY and _NDA_DST in held:
            yield str(ipaddress.IPv6Address(held[_NDA_DST]))


def add(device: str, address: str) -> None:
    """Let the host answer for an IPv6 address on a device.

    :raises OSError: the kernel refused.
    """
    flags = netlink.NLM_F_CREATE
    tell(netlink.RTM_NEWNEIGH, flags, _body(device, address, _NUD_PERMANENT), errno.EEXIST)


def delete(device: str, address: str) -> None:
    """Take back :func:`add`.

    :raises OSError: the kernel refused.
    """
    tell(netlink.RTM_DELNEIGH, 0, _body(device, address, _NUD_PERMANENT), errno.ENOENT)
