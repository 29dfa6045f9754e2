# SPDX-License-Identifier: Apache-2.0
"""A DHCP client as a guest has one: what it says and hears are Ethernet frames.

It talks through a :class:`tests.guest.Guest`, which has a tap open, or through a
:class:`tests.guest.Wire`, which is a device of the calling thread's network namespace.

Sources: RFC 2131, RFC 2132 (options), RFC 3442 (classless static routes).
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import socket
import struct
import time
from collections.abc import Iterator, Mapping

from tests.guest import BROADCAST, ETH_ARP, ETH_IPV4, Guest, Wire, ethernet, ipv4
from tests.waiting import PATIENCE_S

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE = range(1, 8)
NOBODY = "0.0.0.0"  # noqa: S104
EVERYBODY = "255.255.255.255"
ASKED_FOR = (1, 3, 6, 12, 15, 26, 51, 54, 58, 59, 121)
_COOKIE = b"\x63\x82\x53\x63"
_PAUSE_S = 0.5
"""How long an answer may take before the client asks again."""


class Refused(Exception):
    """The server said no (DHCPNAK), in its words."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server said.

    :ivar kind: :data:`OFFER`, :data:`ACK` or :data:`NAK`.
    :ivar address: the guest's.
    :ivar mac: the sender's, by the frame.
    :ivar options: as they came, by number.
    """

    kind: int
    address: str
    mac: str
    options: Mapping[int, bytes]

    def _addresses(self, option: int) -> list[str]:
        value = self.options.get(option, b"")
        return [socket.inet_ntoa(value[at : at + 4]) for at in range(0, len(value), 4)]

    def _seconds(self, option: int) -> int | None:
        value = self.options.get(option)
        return None if value is None else int.from_bytes(value)

    def _text(self, option: int) -> str | None:
        value = self.options.get(option)
        return None if value is None else value.rstrip(b"\0").decode()

    @property
    def prefix_length(self) -> int:
        """Of the subnet mask (1)."""
        return int.from_bytes(self.options[1]).bit_count()

    @property
    def routers(self) -> list[str]:
        return self._addresses(3)

    @property
    def dns(self) -> list[str]:
        return self._addresses(6)

    @property
    def name(self) -> str | None:
        return self._text(12)

    @property
    def domain(self) -> str | None:
        return self._text(15)

    @property
    def mtu(self) -> int | None:
        """Bytes."""
        value = self.options.get(26)
        return None if value is None else int.from_bytes(value)

    @property
    def seconds(self) -> int | None:
        """Of the lease."""
        return self._seconds(51)

    @property
    def server(self) -> str:
        return self._addresses(54)[0]

    @property
    def routes(self) -> list[tuple[str, str]]:
        """Destination and gateway of each classless static route (121)."""
        found, rest = [], self.options.get(121, b"")
        while rest:
            length = rest[0]
            size = (length + 7) // 8
            network = socket.inet_ntoa(rest[1 : 1 + size] + bytes(4 - size))
            found.append((f"{network}/{length}", socket.inet_ntoa(rest[1 + size : 5 + size])))
            rest = rest[5 + size :]
        return found


class Client:
    """One that keeps what it was told.

    :param name: the host name that it tells the server (12); '' for none.
    :param client_id: what it calls itself (61); empty for its MAC address.
    """

    def __init__(self, channel: Guest, *, name: str = "", client_id: bytes = b"") -> None:
        self._channel = channel
        self._said = _option(12, name.encode()) if name else b""
        self._said += _option(61, client_id) if client_id else b""

    def discover(self, seconds: float = PATIENCE_S) -> Answer:
        """Ask who is there, and return the first offer.

        :raises TimeoutError: nobody answers.
        """
        return self._ask(DISCOVER, b"", OFFER, seconds)

    def request(self, offer: Answer, seconds: float = PATIENCE_S) -> Answer:
        """Take what was offered.

        :raises Refused: the server says no.
        :raises TimeoutError: nobody answers.
        """
        wanted = _address(50, offer.address) + _address(54, offer.server)
        return self._ask(REQUEST, wanted, ACK, seconds)

    def lease(self, seconds: float = PATIENCE_S) -> Answer:
        """Ask, take and return a lease; see :meth:`discover` and :meth:`request`."""
        return self.request(self.discover(seconds), seconds)

    def again(self, address: str, seconds: float = PATIENCE_S) -> Answer:
        """Ask for an address that one had, as a guest does that has booted (INIT-REBOOT)."""
        return self._ask(REQUEST, _address(50, address), ACK, seconds)

    def renew(self, lease: Answer, seconds: float = PATIENCE_S) -> Answer:
        """Ask the server alone for more time."""
        return self._ask(REQUEST, b"", ACK, seconds, lease)

    def release(self, lease: Answer) -> None:
        """Give it back; nobody answers."""
        self._send(RELEASE, random.getrandbits(32), _address(54, lease.server), lease)

    def _ask(
        self, kind: int, more: bytes, wanted: int, seconds: float, lease: Answer | None = None
    ) -> Answer:
        number, end = random.getrandbits(32), time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            # A port forwards some time after it is opened: what is lost is said again.
            with contextlib.suppress(OSError):
                self._send(kind, number, more, lease)
            for answer in self._answers(number, min(left, _PAUSE_S), lease):
                if answer.kind == NAK:
                    raise Refused(answer.options.get(56, b"").decode())
                if answer.kind == wanted:
                    return answer
        raise TimeoutError("no DHCP server answers")

    def _send(self, kind: int, number: int, more: bytes, lease: Answer | None) -> None:
        own, target, mac, flags = NOBODY, EVERYBODY, BROADCAST, 0x8000
        if lease is not None:
            own, target, mac, flags = lease.address, lease.server, lease.mac, 0
        hardware = bytes.fromhex(self._channel.mac.replace(":", ""))
        head = struct.pack("!BBBBIHH", 1, 1, 6, 0, number, 0, flags) + socket.inet_aton(own)
        asked = b"" if kind in (DECLINE, RELEASE) else _option(55, bytes(ASKED_FOR))
        told = _option(53, bytes([kind])) + self._said + more + asked + b"\xff"
        message = head + bytes(12) + hardware + bytes(10 + 192) + _COOKIE + told
        message += bytes(max(0, 300 - len(message)))
        datagram = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
        self._channel.send(ethernet(mac, self._channel.mac, ETH_IPV4, ipv4(own, target, datagram)))

    def _answers(self, number: int, seconds: float, lease: Answer | None) -> Iterator[Answer]:
        end = time.monotonic() + seconds
        for frame in self._channel.frames(seconds):
            if lease is not None:
                self._answer_arp(frame, lease.address)
            answer = _answer(frame, number)
            if answer is not None:
                yield answer
            if time.monotonic() > end:
                return

    def _answer_arp(self, frame: bytes, own: str) -> None:
        """Say whose the address is, where the server asks: it answers to that alone now."""
        address = socket.inet_aton(own)
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] == address:
            head = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, 2)
            body = head + bytes.fromhex(self._channel.mac.replace(":", "")) + address + frame[22:32]
            source = frame[6:12].hex(":")
            self._channel.send(ethernet(source, self._channel.mac, ETH_ARP, body))


def _option(number: int, value: bytes) -> bytes:
    return bytes([number, len(value)]) + value


def _address(number: int, value: str) -> bytes:
    return _option(number, socket.inet_aton(value))


def _answer(frame: bytes, number: int) -> Answer | None:
    """Return the server's answer to a message in a frame; None for any other frame."""
    ip = frame[14:]
    if frame[12:14] != b"\x08\x00" or len(ip) < 20 or ip[9] != socket.IPPROTO_UDP:
        return None
    datagram = ip[(ip[0] & 15) * 4 :]
    message = datagram[8:]
    if datagram[:4] != struct.pack("!HH", 67, 68) or message[236:240] != _COOKIE:
        return None
    if message[0] != 2 or message[4:8] != number.to_bytes(4):
        return None
    options = _options(message[240:])
    kind = options.get(53, b"\0")[0]
    return Answer(kind, socket.inet_ntoa(message[16:20]), frame[6:12].hex(":"), options)


def _options(rest: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while rest and rest[0] != 255:
        if rest[0] == 0:
            rest = rest[1:]
            continue
        # What is too long for one comes in several (RFC 3396).
        found[rest[0]] = found.get(rest[0], b"") + rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    return found


@contextlib.contextmanager
def client(device: str = "eth0", *, name: str = "") -> Iterator[Client]:
    """Provide a client on a device of the calling thread's network namespace."""
    with contextlib.closing(Wire(device)) as wire:
        yield Client(wire, name=name)
