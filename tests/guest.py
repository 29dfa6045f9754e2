# SPDX-License-Identifier: Apache-2.0
"""A guest on a tap, as a hypervisor would run it: raw Ethernet frames in and out."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import select
import socket
import struct
import time
from collections.abc import Iterator

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x2, 0x1000, 0x4000, 0x100
VNET_HEADER = b"\0" * 10
BROADCAST = "ff:ff:ff:ff:ff:ff"
_ASKS, _PAUSE = 120, 0.25
ETH_IPV4, ETH_ARP, ETH_IPV6 = 0x0800, 0x0806, 0x86DD


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(target: str, source: str, kind: int, payload: bytes) -> bytes:
    return _mac(target) + _mac(source) + struct.pack("!H", kind) + payload


def ipv4(source: str, target: str, payload: bytes, protocol: int = 17) -> bytes:
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0) + addresses
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source: str, target: str, payload: bytes, following: int, hops: int = 64) -> bytes:
    return (
        struct.pack("!IHBB", 6 << 28, len(payload), following, hops)
        + ipaddress.IPv6Address(source).packed
        + ipaddress.IPv6Address(target).packed
        + payload
    )


def udp(text: bytes) -> bytes:
    # Without a checksum, which IPv4 allows.
    return struct.pack("!HHHH", 4789, 4790, 8 + len(text), 0) + text


def udp6(source: str, target: str, text: bytes) -> bytes:
    pseudo = (
        ipaddress.IPv6Address(source).packed
        + ipaddress.IPv6Address(target).packed
        + struct.pack("!II", 8 + len(text), 17)
    )
    bare = struct.pack("!HHHH", 4789, 4790, 8 + len(text), 0) + text
    return bare[:6] + struct.pack("!H", checksum(pseudo + bare)) + text


def rarp(moved: str, source: str = "") -> bytes:
    """Return what QEMU sends from where a guest has come to (``announce_self``; RFC 903).

    :param source: of the frame, if it is not the guest's
    """
    who = _mac(moved) + bytes(4)
    body = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, 3) + who + who
    return ethernet(BROADCAST, source or moved, 0x8035, body + bytes(18))


class Guest:
    """Whoever has the tap open."""

    def __init__(self, tap: str, mac: str, *, multi_queue: bool = False) -> None:
        self.mac = mac
        socket.if_nametoindex(tap)  # opening one that is not there would make it
        self.descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if multi_queue else 0)
        try:
            fcntl.ioctl(self.descriptor, TUNSETIFF, struct.pack("=16sH22x", tap.encode(), flags))
        except OSError:
            os.close(self.descriptor)
            raise

    def close(self) -> None:
        os.close(self.descriptor)

    def send(self, frame: bytes) -> None:
        os.write(self.descriptor, VNET_HEADER + frame)

    def frames(self, seconds: float = 30.0) -> Iterator[bytes]:
        """Yield frames as they come, until none has come for ``seconds``."""
        while True:
            ready, _, _ = select.select([self.descriptor], [], [], seconds)
            if not ready:
                return
            yield os.read(self.descriptor, 70000)[len(VNET_HEADER) :]

    def until(self, wanted: bytes, seconds: float = 30.0) -> list[bytes]:
        """Return the frames up to the first that holds ``wanted``.

        :raises TimeoutError: none came.
        """
        seen = []
        end = time.monotonic() + seconds
        for frame in self.frames(seconds):
            seen.append(frame)
            if wanted in frame:
                return seen
            if time.monotonic() > end:
                break
        raise TimeoutError(f"{len(seen)} frames came, none with {wanted!r}")

    def wait_for(self, other: Guest) -> None:
        """Send frames until one arrives: a bridge port forwards some time after it is opened."""
        for attempt in range(3000):
            probe = b"are you there %d" % attempt
            frame = ethernet(other.mac, self.mac, ETH_ARP, probe + b"\0" * 40)
            with contextlib.suppress(OSError):  # EIO: the tap is not up
                self.send(frame)
            if any(probe in frame for frame in other.frames(0.01)):
                return
        raise TimeoutError("no frame ever arrived")

    # --- what a guest's own network stack says ----------------------------------------------

    def arp_for(self, own: str, asked: str) -> str:
        """Ask who has an IPv4 address and return the MAC that answers (RFC 826)."""
        body = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, 1)
        body += _mac(self.mac) + socket.inet_aton(own) + b"\0" * 6 + socket.inet_aton(asked)
        answer = struct.pack("!HHHBBH", ETH_ARP, 1, ETH_IPV4, 6, 4, 2)
        for _attempt in range(_ASKS):
            # A guest's network stack asks again too: the first answer may come too soon after
            # the tap was opened for the kernel to let it through.
            self.send(ethernet(BROADCAST, self.mac, ETH_ARP, body))
            for frame in self.frames(_PAUSE):
                if answer in frame and frame[28:32] == socket.inet_aton(asked):
                    return frame[22:28].hex(":")
        raise TimeoutError(f"nobody answered for {asked}")

    def solicit(self, own: str, asked: str) -> str:
        """Solicit a neighbour and return the MAC it advertises (RFC 4861, 7.2)."""
        target = ipaddress.IPv6Address(asked).packed
        group = ipaddress.IPv6Address(b"\xff\x02" + b"\0" * 9 + b"\x01\xff" + target[-3:])
        body = struct.pack("!BBHI", 135, 0, 0, 0) + target + b"\x01\x01" + _mac(self.mac)
        advertised = struct.pack("!B", 136)
        for _attempt in range(_ASKS):
            self._icmp6(own, str(group), f"33:33:ff:{target[-3:].hex(':')}", body)
            for frame in self.frames(_PAUSE):
                kind, icmp = frame[12:14], frame[54:55]
                if kind == b"\x86\xdd" and icmp == advertised and target in frame[54:]:
                    place = frame.index(b"\x02\x01", 78)
                    return frame[place + 2 : place + 8].hex(":")
        raise TimeoutError(f"nobody advertised {asked}")

    def advertise(self, own: str, frame: bytes) -> None:
        """Answer a neighbour solicitation."""
        solicitor = str(ipaddress.IPv6Address(frame[22:38]))
        body = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + ipaddress.IPv6Address(own).packed
        self._icmp6(own, solicitor, frame[6:12].hex(":"), body + b"\x02\x01" + _mac(self.mac))

    def _icmp6(self, source: str, target: str, mac: str, body: bytes) -> None:
        pseudo = (
            ipaddress.IPv6Address(source).packed
            + ipaddress.IPv6Address(target).packed
            + struct.pack("!II", len(body), 58)
        )
        body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
        self.send(ethernet(mac, self.mac, ETH_IPV6, ipv6(source, target, body, 58, 255)))

    def answer_arp(self, own: str, frame: bytes) -> None:
        """Answer an ARP request."""
        body = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, 2)
        body += _mac(self.mac) + socket.inet_aton(own) + frame[22:28] + frame[28:32]
        self.send(ethernet(frame[6:12].hex(":"), self.mac, ETH_ARP, body))


class Wire(Guest):
    """The host's own end of a device, spoken through as its network stack does."""

    def __init__(self, device: str = "eth0") -> None:
        everything = socket.htons(0x0003)  # ETH_P_ALL
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, everything)
        self._socket.bind((device, 0))
        self.mac = self._socket.getsockname()[4].hex(":")

    def close(self) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def frames(self, seconds: float = 30.0) -> Iterator[bytes]:
        """Yield the others' frames as they come, until none has come for ``seconds``."""
        while select.select([self._socket], [], [], seconds)[0]:
            frame, address = self._socket.recvfrom(70000)
            if address[2] != socket.PACKET_OUTGOING:
                yield frame


@contextlib.contextmanager
def guests(*taps: tuple[str, str]) -> Iterator[list[Guest]]:
    """Open taps, each given by name and the guest's MAC."""
    with contextlib.ExitStack() as stack:
        opened = []
        for tap, mac in taps:
            one = Guest(tap, mac)
            stack.callback(one.close)
            opened.append(one)
        yield opened
