# SPDX-License-Identifier: Apache-2.0
"""Who has the ports that a server on a bridge needs.

Sources: sock_diag(7), linux/inet_diag.h, ip(7), proc(5).
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator

from os_vif.host.dnsmasq.questions import DHCP, DHCPV6, DNS
from os_vif.system import netlink, processes, sock_diag

_ASKED = struct.Struct("=BBBxI48x")
_FOUND = struct.Struct("=BBBBHH16s16sI8xIIIII")
_LISTEN, _CLOSE = 10, 7  # linux/net/tcp_states.h; a socket of UDP without a peer is closed
_V6ONLY = 11  # INET_DIAG_SKV6ONLY
_PORTS = {
    socket.IPPROTO_UDP: (_CLOSE, frozenset({DNS, DHCP, DHCPV6})),
    socket.IPPROTO_TCP: (_LISTEN, frozenset({DNS})),
}
_NOBODY4, _NOBODY6 = "0.0.0.0", "::"  # noqa: S104


def taken(index: int) -> list[tuple[int, str, int]]:
    """Return port, address and process of what hears at a server's ports on a device, or on all.

    The process is 0 for one that this user cannot see.

    :param index: the device's; 0 for one that is yet to be made
    """
    found = list(_found(index))
    whose = _processes({inode for inode, _port, _address in found}) if found else {}
    told = {(port, address, whose.get(inode, 0)): None for inode, port, address in found}
    return list(told)


def _found(index: int) -> Iterator[tuple[int, int, str]]:
    for protocol, (state, ports) in _PORTS.items():
        for family in (socket.AF_INET, socket.AF_INET6):
            asked = _ASKED.pack(family, protocol, 0, 1 << state)
            try:
                answers = sock_diag.dump(asked)
            except OSError:
                continue  # this kernel cannot tell: dnsmasq says it when it starts
            for answer in answers:
                its = _FOUND.unpack_from(answer)
                port, device, inode = socket.ntohs(its[4]), its[8], its[13]
                if port not in ports or device not in (0, index):
                    continue
                size = 4 if family == socket.AF_INET else 16
                address = str(ipaddress.ip_address(its[6][:size]))
                yield inode, port, address
                if address == _NOBODY6 and not _only_ipv6(answer):
                    yield inode, port, _NOBODY4


def _only_ipv6(answer: bytes) -> bool:
    return netlink.pick(answer, (_V6ONLY,), _FOUND.size).get(_V6ONLY, b"\0") != b"\0"


def _processes(inodes: set[int]) -> dict[int, int]:
    """Return whose the sockets with these inodes are, as far as this user may look."""
    names = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for pid in processes.ids():
        with contextlib.suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    inode = names.get(os.readlink(f"/proc/{pid}/fd/{number}"))
                    if inode is not None:
                        found.setdefault(inode, pid)
    return found
