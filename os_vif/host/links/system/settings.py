# SPDX-License-Identifier: Apache-2.0
"""Settings below /proc/sys, and what takes their place where that cannot be written.

So it is in a container with CAP_NET_ADMIN, as Docker makes it.  IPv6 is silenced there by giving
the device no address to speak from; by its mark it is told from one that has none for another
reason.

Sources: net/ipv6/addrconf.c (inet6_set_link_af), linux/if_link.h, linux/neighbour.h (NDTA, NDTPA).
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable

from os_vif.host.links.questions import Link, is_mark
from os_vif.host.links.system.link_message import (
    ADDR_GEN_MODE_NONE,
    IFINFO,
    IFLA_AF_SPEC,
    IFLA_INET6_ADDR_GEN_MODE,
    by_name,
    makes_no_address,
)
from os_vif.system import netlink, sysctl
from os_vif.system.netlink import Message, attribute, attribute_u32

_UNWRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})

_ADDR_GEN_MODE_EUI64 = 0
_IFADDR = struct.Struct("=BBBBI")
_NDTMSG = struct.Struct("=B3x")
_NDTA_NAME, _NDTA_PARMS = 1, 6
_NDTPA_IFINDEX, _NDTPA_PROXY_DELAY = 1, 13
_TABLES = {
    "proxy_delay": (socket.AF_INET, "arp_cache"),
    "proxy_delay6": (socket.AF_INET6, "ndisc_cache"),
}


def write(device: str, key: str, value: int) -> None:
    """Set one of :data:`os_vif.system.sysctl.PATHS`, over netlink where that must be.

    :raises OSError: the kernel refused; ``strerror`` names the file.
    """
    try:
        sysctl.write(device, key, value)
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        if key == "disable_ipv6":
            _write_ipv6(device, off=bool(value))
        elif sysctl.read(device, key) != value:
            if key not in _TABLES:
                raise OSError(
                    error.errno,
                    f"{error.strerror}, and the kernel takes it nowhere else; a container can be "
                    f"started with it for new devices ({sysctl.default_of(key)}={value})",
                ) from error
            _write_delay(device, key, value)


def _write_ipv6(device: str, *, off: bool) -> None:
    disabled = bool(sysctl.read(device, "disable_ipv6"))
    if off and disabled:
        return
    if not off and disabled:
        raise OSError(errno.EROFS, f"IPv6 of {device} is off, and /proc/sys cannot be written")
    body = netlink.ask(Message(netlink.RTM_GETLINK, 0, by_name(device)))
    if makes_no_address(body) != off:
        mode = ADDR_GEN_MODE_NONE if off else _ADDR_GEN_MODE_EUI64
        inner = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([mode]))
        spec = netlink.nested(IFLA_AF_SPEC, netlink.nested(socket.AF_INET6, inner))
        netlink.ask(Message(netlink.RTM_NEWLINK, netlink.NLM_F_ACK, by_name(device) + spec))
    if off:
        for address in _addresses(IFINFO.unpack_from(body)[2]):
            netlink.ask(Message(netlink.RTM_DELADDR, netlink.NLM_F_ACK, address))


def _addresses(index: int) -> list[bytes]:
    return netlink.dump(netlink.RTM_GETADDR, _IFADDR.pack(socket.AF_INET6, 0, 0, 0, index))


def _write_delay(device: str, key: str, value: int) -> None:
    family, table = _TABLES[key]
    milliseconds = struct.pack("=Q", value * 10)
    body = (
        _NDTMSG.pack(family)
        + netlink.attribute_text(_NDTA_NAME, table)
        + netlink.nested(
            _NDTA_PARMS,
            attribute_u32(_NDTPA_IFINDEX, socket.if_nametoindex(device)),
            attribute(_NDTPA_PROXY_DELAY, milliseconds),
        )
    )
    netlink.ask(Message(netlink.RTM_SETNEIGHTBL, netlink.NLM_F_ACK, body))


def judge_ipv6(links: Iterable[Link]) -> None:
    """Say of devices of ours, and of ports, that make no address whether they have none either."""
    for link in links:
        none = link.attributes.pop("makes_no_address", False)
        if none and (is_mark(link.alias) or link.attributes["master"] is not None):
            silent = not _addresses(link.index)
            link.attributes.update(disable_ipv6=silent, silent_ipv6=silent)
