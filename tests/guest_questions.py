# SPDX-License-Identifier: Apache-2.0
"""A DHCPv6 client and a DNS client, as a guest with a real kernel has them.

They use the network namespace of the calling thread.

Sources: RFC 8415, RFC 1035.
"""

from __future__ import annotations

import ipaddress
import random
import socket
import struct
import time

from tests.waiting import PATIENCE_S

_SOLICIT, _ADVERTISE, _REQUEST, _REPLY = 1, 2, 3, 7
_CLIENT_ID, _SERVER_ID, _IA_NA, _IA_ADDRESS, _STATUS = 1, 2, 3, 5, 13
_PAUSE_S = 0.5

A, AAAA = 1, 28
"""Types of DNS records: addresses of IPv4, and of IPv6 (RFC 3596)."""


def lease6(mac: str, device: str = "eth0", seconds: float = PATIENCE_S) -> str:
    """Return the address that a server gives to whom has this MAC address.

    :raises TimeoutError: nobody does.
    """
    client = struct.pack("!HH", 3, 1) + bytes.fromhex(mac.replace(":", ""))  # DUID-LL
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as channel:
        channel.bind(("::", 546))
        whose = _option(_CLIENT_ID, client)
        said = _ask(channel, device, _SOLICIT, whose, seconds)
        whose += _option(_SERVER_ID, said[_SERVER_ID])
        told = _ask(channel, device, _REQUEST, whose, seconds)
    association = told[_IA_NA]
    given = _options(association[12:])
    assert _IA_ADDRESS in given, f"no address: {given.get(_STATUS)!r}"
    return str(ipaddress.IPv6Address(given[_IA_ADDRESS][:16]))


def _ask(
    channel: socket.socket, device: str, kind: int, whose: bytes, seconds: float
) -> dict[int, bytes]:
    number = random.randbytes(3)
    message = bytes([kind]) + number + whose + _option(8, bytes(2))
    message += _option(_IA_NA, struct.pack("!III", 7, 0, 0))
    place = ("ff02::1:2", 547, 0, socket.if_nametoindex(device))
    end = time.monotonic() + seconds
    channel.settimeout(_PAUSE_S)
    while time.monotonic() < end:
        try:
            channel.sendto(message, place)
            answer = channel.recv(4096)
        except OSError:  # no link-local address yet, or no answer
            time.sleep(0.05)
            continue
        if answer[1:4] == number and answer[0] in (_ADVERTISE, _REPLY):
            return _options(answer[4:])
    raise TimeoutError("no DHCPv6 server answers")


def _option(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value


def _options(rest: bytes) -> dict[int, bytes]:
    found = {}
    while len(rest) >= 4:
        number, size = struct.unpack_from("!HH", rest)
        found[number] = rest[4 : 4 + size]
        rest = rest[4 + size :]
    return found


def ask_dns(server: str, name: str, kind: int = A) -> tuple[int, list[str]]:
    """Return the code of a name server's answer (0: there is such a name), and its addresses.

    :param kind: :data:`A` or :data:`AAAA`
    :raises TimeoutError: it does not answer.
    """
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    number = random.getrandbits(16)
    labels = b"".join(bytes([len(it)]) + it.encode() for it in name.split("."))
    asked = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0)
    asked += labels + b"\0" + struct.pack("!HH", kind, 1)
    end = time.monotonic() + PATIENCE_S
    with socket.socket(family, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_PAUSE_S)
        while time.monotonic() < end:
            try:
                channel.sendto(asked, (server, 53))
                answer = channel.recv(4096)
            except OSError:
                continue
            if answer[:2] == asked[:2]:
                return answer[3] & 15, _addresses(answer, len(asked))
    raise TimeoutError(f"no DNS server at {server} answers")


def _addresses(answer: bytes, at: int) -> list[str]:
    found = []
    for _record in range(struct.unpack_from("!H", answer, 6)[0]):
        at += 2 if answer[at] & 0xC0 else answer.index(b"\0", at) + 1 - at
        kind, _class, _lives, size = struct.unpack_from("!HHIH", answer, at)
        value = answer[at + 10 : at + 10 + size]
        if kind in (A, AAAA):
            found.append(str(ipaddress.ip_address(value)))
        at += 10 + size
    return found
