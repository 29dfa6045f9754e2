# SPDX-License-Identifier: Apache-2.0
"""The world around os-vif: guests that send real packets, and an administrator who slips.

A guest opens its tap as a hypervisor would (Documentation/networking/tuntap.rst) and speaks as
much ARP (RFC 826) and ICMP echo (RFC 792) as pinging takes, and asks for its address by DHCP.
Nothing here uses the library, so what it sees is what the kernel does.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import queue
import select
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

from os_vif.cli.demo import dhcp

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
# linux/sockios.h
_SIOCADDRT = 0x890B
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_SIOCSIFMTU = 0x8922
_SIOCBRDELIF = 0x89A3

_IFF_UP = 0x1  # linux/if.h
_RTF_UP, _RTF_GATEWAY = 0x1, 0x2  # linux/route.h, as the structure is
_ROUTE = struct.Struct("@L16s16s16sH62x")
_SOCKET_ADDRESS = struct.Struct("=H2x4s8x")

_ETHERTYPE_IPV4 = 0x0800
_ETHERTYPE_ARP = 0x0806
_ETHERNET = struct.Struct("!6s6sH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_ICMP = struct.Struct("!BBHHH")
_UDP = struct.Struct("!HHHH")
_BROADCAST = b"\xff" * 6
_ARP_AGAIN = 0.02
"""Seconds between two ARP requests for the same address."""
_DHCP_AGAIN = 0.5
"""Seconds before DHCP is asked once more."""

_PAYLOAD = bytes(range(56))


class Guest(threading.Thread):
    """A guest on a tap, with one MAC and one IPv4 address; a context manager.

    :param tap: the tap's name; one that does not exist is there as long as the guest
    :param address: none before it has a lease
    :ivar callers: the addresses it was pinged from
    """

    def __init__(self, tap: str, mac: str, address: str = "") -> None:
        super().__init__(daemon=True, name=f"guest on {tap}")
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.address = ipaddress.IPv4Address(address or 0).packed
        self._neighbours: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._echoes: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._leases: queue.SimpleQueue[dhcp.Lease] = queue.SimpleQueue()
        self.callers: set[str] = set()
        self._tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        self._halt, self._halter = os.pipe()
        try:
            request = struct.pack("16sH22x", tap.encode(), _IFF_TAP | _IFF_NO_PI)
            fcntl.ioctl(self._tap, _TUNSETIFF, request)
        except OSError:
            self._close()
            raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.write(self._halter, b"x")
        self.join()
        self._close()

    def _close(self) -> None:
        for descriptor in (self._tap, self._halt, self._halter):
            os.close(descriptor)

    def run(self) -> None:
        """Answer whatever comes, until told to stop."""
        poll = select.poll()
        poll.register(self._tap, select.POLLIN)
        poll.register(self._halt, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _events in poll.poll()]
            if self._halt in ready:
                return
            try:
                self._take(os.read(self._tap, 65536))
            except BlockingIOError:
                continue
            except OSError:
                # The tap is down, or deleted under us: nothing comes any more.
                poll.unregister(self._tap)

    def _send(self, to: bytes, kind: int, body: bytes) -> None:
        try:
            os.write(self._tap, _ETHERNET.pack(to, self.mac, kind) + body)
        except OSError:
            return  # a cable that is out takes no packets either

    def _take(self, frame: bytes) -> None:
        if len(frame) < _ETHERNET.size:
            return
        to, sender, kind = _ETHERNET.unpack_from(frame)
        body = frame[_ETHERNET.size :]
        if to not in (self.mac, _BROADCAST):
            return
        if kind == _ETHERTYPE_ARP and len(body) >= _ARP.size:
            self._take_arp(body)
        elif kind == _ETHERTYPE_IPV4 and len(body) >= _IPV4.size + _ICMP.size:
            if body[9] == socket.IPPROTO_UDP:
                self._take_udp(body[_IPV4.size :])
            else:
                self._take_icmp(sender, body)

    def _take_udp(self, body: bytes) -> None:
        _from, to, _length, _sum = _UDP.unpack_from(body)
        found = dhcp.lease(body[_UDP.size :]) if to == dhcp.CLIENT else None
        if found is not None:
            self._leases.put(found)

    def _take_arp(self, body: bytes) -> None:
        operation, mac, address, target = (_ARP.unpack_from(body)[i] for i in (4, 5, 6, 8))
        if target != self.address:
            return
        if operation == 1:
            self._send(mac, _ETHERTYPE_ARP, self._arp(2, mac, address))
        elif operation == 2:
            self._neighbours.put(mac)

    def _arp(self, operation: int, mac: bytes, address: bytes) -> bytes:
        return _ARP.pack(1, _ETHERTYPE_IPV4, 6, 4, operation, self.mac, self.address, mac, address)

    def _take_icmp(self, sender: bytes, body: bytes) -> None:
        protocol, source, target = body[9], body[12:16], body[16:20]
        icmp = body[_IPV4.size :]
        if target != self.address or protocol != socket.IPPROTO_ICMP:
            return
        kind, _code, _sum, identity, sequence = _ICMP.unpack_from(icmp)
        if kind == 8:
            self.callers.add(str(ipaddress.IPv4Address(source)))
            payload = icmp[_ICMP.size :]
            self._send_echo(
                sender, source, kind=0, identity=identity, sequence=sequence, payload=payload
            )
        elif kind == 0:
            self._echoes.put(sequence)

    def _send_echo(
        self, mac: bytes, target: bytes, *, kind: int, identity: int, sequence: int, payload: bytes
    ) -> None:
        icmp = _ICMP.pack(kind, 0, 0, identity, sequence) + payload
        icmp = icmp[:2] + struct.pack("!H", _checksum(icmp)) + icmp[4:]
        self._send_ip(mac, target, socket.IPPROTO_ICMP, icmp)

    def _send_ip(self, mac: bytes, target: bytes, protocol: int, body: bytes) -> None:
        length = _IPV4.size + len(body)
        header = _IPV4.pack(0x45, 0, length, 0, 0, 64, protocol, 0, self.address, target)
        header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
        self._send(mac, _ETHERTYPE_IPV4, header + body)

    def _resolve(self, target: bytes, patience: float) -> bytes | None:
        """Ask for an address by ARP, again and again, as hosts do; None if nobody answers."""
        # A bridge forwards nothing by a port until the kernel has noticed its carrier, which may
        # take a moment after the tap was opened.
        end = time.monotonic() + patience
        while time.monotonic() < end:
            self._send(_BROADCAST, _ETHERTYPE_ARP, self._arp(1, bytes(6), target))
            with contextlib.suppress(queue.Empty):
                return self._neighbours.get(timeout=_ARP_AGAIN)
        return None

    def lease(self, patience: float) -> dhcp.Lease | None:
        """Ask for an address, and have it from then on; return the lease, None if nobody answers.

        :param patience: seconds to wait for the server
        """
        number, end = dhcp.transaction(), time.monotonic() + patience
        kind, offer = dhcp.DISCOVER, None
        while time.monotonic() < end:
            said = dhcp.message(kind, self.mac, number, offer)
            udp = _UDP.pack(dhcp.CLIENT, dhcp.SERVER, _UDP.size + len(said), 0) + said
            self._send_ip(_BROADCAST, bytes([255] * 4), socket.IPPROTO_UDP, udp)
            try:
                found = self._leases.get(timeout=_DHCP_AGAIN)
            except queue.Empty:
                continue
            if found.transaction == number and found.kind == dhcp.OFFER:
                kind, offer = dhcp.REQUEST, found
            elif found.transaction == number:
                self.address = found.address.packed
                return found
        return None

    def ping(self, address: str, count: int, *, patience: float, router: str = "") -> list[float]:
        """Ping an address; return the round-trip times of the answered ones, in seconds.

        :param patience: seconds to wait for each answer
        :param router: by which it is reached; '' for an address of the guest's own network
        """
        target = _ip(address)
        mac = self._resolve(_ip(router or address), patience)
        if mac is None:
            return []
        times = []
        for sequence in range(count):
            begun = time.perf_counter()
            self._send_echo(mac, target, kind=8, identity=1, sequence=sequence, payload=_PAYLOAD)
            try:
                while self._echoes.get(timeout=patience) != sequence:
                    pass  # a late answer to an earlier one
            except queue.Empty:
                continue
            times.append(time.perf_counter() - begun)
        return times


def _ip(text: str) -> bytes:
    return ipaddress.IPv4Address(text).packed


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def slip(mtu_of: str, mtu: int, port: str, bridge: str) -> None:
    """Change the host as an administrator at a keyboard might: an MTU, and a port taken out.

    :raises OSError: the kernel refused
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si20x", mtu_of.encode(), mtu))
        index = socket.if_nametoindex(port)
        fcntl.ioctl(control, _SIOCBRDELIF, struct.pack("16si20x", bridge.encode(), index))


def lead_out(device: str, address: str, router: str) -> None:
    """Make a device the host's way out, as an administrator might: up, an address, default route.

    :param address: of IPv4, with the prefix length of its network
    :raises OSError: the kernel refused
    """
    own = ipaddress.IPv4Interface(address)
    name = device.encode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((_SIOCSIFADDR, own.ip), (_SIOCSIFNETMASK, own.netmask)):
            told = _SOCKET_ADDRESS.pack(socket.AF_INET, value.packed)
            fcntl.ioctl(control, request, struct.pack("16s16s8x", name, told))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", name, _IFF_UP))
        everywhere, by = (
            _SOCKET_ADDRESS.pack(socket.AF_INET, it) for it in (bytes(4), _ip(router))
        )
        route = _ROUTE.pack(0, everywhere, by, everywhere, _RTF_UP | _RTF_GATEWAY)
        fcntl.ioctl(control, _SIOCADDRT, route)


def devices() -> list[str]:
    """Return the names of this network namespace's devices."""
    return sorted(name for _index, name in socket.if_nameindex())
