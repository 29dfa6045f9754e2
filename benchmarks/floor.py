# SPDX-License-Identifier: Apache-2.0
"""The floor: the least a Python program has to do for a tap on a bridge.

Plain `struct` and one long-lived socket.  No checks, no undo, no reading back: what a library
adds to this is the price of the library.  Numbers are from linux/if_tun.h, linux/if_link.h,
linux/rtnetlink.h and linux/netlink.h; the socket protocol is in netlink(7) and rtnetlink(7).
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Sequence

from benchmarks.drivers import Driver
from benchmarks.port import BRIDGE, MTU, Port

TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000

RTM_NEWLINK, RTM_DELLINK = 16, 17
NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLMSG_ERROR = 2
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_IFALIAS, IFLA_GROUP = 1, 3, 4, 10, 20, 27
IFF_UP = 0x1

GROUP = 0x6F73
"""Link group used to delete many links with one request; any number but 0."""

_HEADER = struct.Struct("=LHHLL")
_IFINFO = struct.Struct("=BxHiII")


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _u32(kind: int, value: int) -> bytes:
    return struct.pack("=HHI", 8, kind, value)


class Floor(Driver):
    """A bare script around one netlink socket."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def _request(self, kind: int, attributes: bytes, up: bool = False) -> None:
        self._sequence += 1
        flags = IFF_UP if up else 0
        body = _IFINFO.pack(socket.AF_UNSPEC, 0, 0, flags, flags) + attributes
        header = _HEADER.pack(
            _HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_ACK, self._sequence, 0
        )
        self._socket.send(header + body)
        answer = self._socket.recv(65536)
        _, answered, _, sequence, _ = _HEADER.unpack_from(answer)
        (error,) = struct.unpack_from("=i", answer, _HEADER.size)
        if (answered, sequence) != (NLMSG_ERROR, self._sequence):
            raise RuntimeError(f"unexpected netlink answer {answered} to {sequence}")
        if error:
            raise OSError(-error, os.strerror(-error))

    def plug(self, port: Port) -> None:
        name = port.name.encode()
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name, flags))
            fcntl.ioctl(tun, TUNSETPERSIST, 1)
        finally:
            os.close(tun)
        # Before the device is up, or the kernel sends its first IPv6 frames to the guest.
        sysctl = os.open(f"/proc/sys/net/ipv6/conf/{port.name}/disable_ipv6", os.O_WRONLY)
        try:
            os.write(sysctl, b"1")
        finally:
            os.close(sysctl)
        self._request(
            RTM_NEWLINK,
            _attribute(IFLA_IFNAME, name + b"\0")
            + _attribute(IFLA_ADDRESS, bytes.fromhex(port.host_mac.replace(":", "")))
            + _u32(IFLA_MTU, MTU)
            + _u32(IFLA_MASTER, socket.if_nametoindex(BRIDGE))
            + _attribute(IFLA_IFALIAS, port.vif_id.encode()),
            up=True,
        )

    def unplug(self, port: Port) -> None:
        self._request(RTM_DELLINK, _attribute(IFLA_IFNAME, port.name.encode() + b"\0"))

    def plug_many(self, ports: Sequence[Port]) -> None:
        for port in ports:
            self.plug(port)

    def unplug_many(self, ports: Sequence[Port]) -> None:
        # The kernel waits for its RCU callbacks once per delete request, not once per link.
        group = _u32(IFLA_GROUP, GROUP)
        for port in ports:
            name = _attribute(IFLA_IFNAME, port.name.encode() + b"\0")
            self._request(RTM_NEWLINK, name + group)
        self._request(RTM_DELLINK, group)


def connect(_arguments: dict[str, str]) -> Driver:
    """Open the netlink socket in the namespace the process is in."""
    return Floor()
