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
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
NLMSG_ERROR = 2
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_IFALIAS, IFLA_GROUP = 1, 3, 4, 10, 20, 27
IFF_UP = 0x1

GROUP = 0x6F73
"""Link group used to delete many links with one request; any number but 0."""

_HEADER = struct.Struct("=LHHLL")
IFINFO = struct.Struct("=BxHiII")


def attribute(kind: int, value: bytes) -> bytes:
    """Encode a netlink attribute, padded to the next."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def u32(kind: int, value: int) -> bytes:
    """Encode a netlink attribute that is a number of 32 bits."""
    return struct.pack("=HHI", 8, kind, value)


def write_sysctl(key: str, value: bytes) -> None:
    """Write a setting of the network, `key` below /proc/sys/net."""
    sysctl = os.open(f"/proc/sys/net/{key}", os.O_WRONLY)
    try:
        os.write(sysctl, value)
    finally:
        os.close(sysctl)


def make_tap(name: str) -> None:
    """Make a persistent tap, down, that will not speak IPv6."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(tun, TUNSETPERSIST, 1)
    finally:
        os.close(tun)
    # Before the device is up, or the kernel sends its first IPv6 frames to the guest.
    write_sysctl(f"ipv6/conf/{name}/disable_ipv6", b"1")


class Floor(Driver):
    """A bare script around one netlink socket."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def create(self, attributes: bytes) -> None:
        """Make a link that must not be there yet, down.

        :raises OSError: the kernel refused
        """
        self.request(RTM_NEWLINK, attributes, flags=NLM_F_CREATE | NLM_F_EXCL)

    def request(self, kind: int, attributes: bytes, up: bool = False, flags: int = 0) -> None:
        """Send one request about a link, and wait for the kernel's acknowledgement.

        :param up: also set the link up
        :param flags: of the request, netlink(7), beside those every request has
        :raises OSError: the kernel refused
        """
        self._sequence += 1
        state = IFF_UP if up else 0
        body = IFINFO.pack(socket.AF_UNSPEC, 0, 0, state, state) + attributes
        flags |= NLM_F_REQUEST | NLM_F_ACK
        header = _HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0)
        self._socket.send(header + body)
        answer = self._socket.recv(65536)
        _, answered, _, sequence, _ = _HEADER.unpack_from(answer)
        (error,) = struct.unpack_from("=i", answer, _HEADER.size)
        if (answered, sequence) != (NLMSG_ERROR, self._sequence):
            raise RuntimeError(f"unexpected netlink answer {answered} to {sequence}")
        if error:
            raise OSError(-error, os.strerror(-error))

    def plug(self, port: Port) -> None:
        make_tap(port.name)
        self.request(
            RTM_NEWLINK,
            attribute(IFLA_IFNAME, port.name.encode() + b"\0")
            + attribute(IFLA_ADDRESS, bytes.fromhex(port.host_mac.replace(":", "")))
            + u32(IFLA_MTU, MTU)
            + u32(IFLA_MASTER, socket.if_nametoindex(BRIDGE))
            + attribute(IFLA_IFALIAS, port.vif_id.encode()),
            up=True,
        )

    def unplug(self, port: Port) -> None:
        self.request(RTM_DELLINK, attribute(IFLA_IFNAME, port.name.encode() + b"\0"))

    def plug_many(self, ports: Sequence[Port]) -> None:
        for port in ports:
            self.plug(port)

    def unplug_many(self, ports: Sequence[Port]) -> None:
        # The kernel waits for its RCU callbacks once per delete request, not once per link.
        group = u32(IFLA_GROUP, GROUP)
        for port in ports:
            name = attribute(IFLA_IFNAME, port.name.encode() + b"\0")
            self.request(RTM_NEWLINK, name + group)
        self.request(RTM_DELLINK, group)


def connect(_arguments: dict[str, str]) -> Driver:
    """Open the netlink socket in the namespace the process is in."""
    return Floor()
