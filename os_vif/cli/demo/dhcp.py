# SPDX-License-Identifier: Apache-2.0
"""As much DHCP as it takes to have an address: what a guest sends and understands (RFC 2131, 2132).

Pure: frames are :mod:`.world`'s.
"""

from __future__ import annotations

import ipaddress
import os
import struct
from typing import NamedTuple

CLIENT, SERVER = 68, 67
"""The ports of UDP."""

DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
"""Kinds of message (RFC 2132, 9.6)."""

_MASK, _ROUTER, _DNS, _NAME, _WANTED, _KIND, _SERVER, _LIST, _END = 1, 3, 6, 12, 50, 53, 54, 55, 255
_COOKIE = b"\x63\x82\x53\x63"
_HEAD = struct.Struct("!BBBBIHH4s4s4s4s16s64x128x4s")


class Lease(NamedTuple):
    """What a server offers or gives.

    :ivar kind: of message: :data:`OFFER` or :data:`ACK`.
    :ivar transaction: as the client numbered it.
    :ivar address: the client's, with the prefix length of its network.
    :ivar router: '' for none.
    :ivar dns: name servers.
    :ivar server: who says so.
    """

    kind: int
    transaction: int
    address: ipaddress.IPv4Interface
    router: str
    dns: tuple[str, ...]
    server: bytes


def transaction() -> int:
    """Return a number for a new exchange."""
    return int.from_bytes(os.urandom(4))


def message(kind: int, mac: bytes, number: int, offer: Lease | None = None) -> bytes:
    """Return what a client sends.

    :param number: of the exchange
    :param offer: the one it takes
    """
    options = [(_KIND, bytes([kind])), (_LIST, bytes([_MASK, _ROUTER, _DNS, _NAME]))]
    if offer is not None:
        options += [(_WANTED, offer.address.packed), (_SERVER, offer.server)]
    none = bytes(4)
    head = _HEAD.pack(1, 1, 6, 0, number, 0, 0, none, none, none, none, mac, _COOKIE)
    told = b"".join(bytes([code, len(value)]) + value for code, value in options)
    return head + told + bytes([_END])


def lease(data: bytes) -> Lease | None:
    """Return what a server says; None for anything else."""
    if len(data) < _HEAD.size:
        return None
    operation, _type, _size, _hops, number, _s, _f, _c, own, _n, _r, _mac, cookie = _HEAD.unpack(
        data[: _HEAD.size]
    )
    if operation != 2 or cookie != _COOKIE:
        return None
    told = _options(data[_HEAD.size :])
    mask, server = told.get(_MASK, bytes(4)), told.get(_SERVER, b"")
    if told.get(_KIND) not in (bytes([OFFER]), bytes([ACK])) or len(mask) != 4:
        return None
    return Lease(
        told[_KIND][0],
        number,
        ipaddress.IPv4Interface(f"{_shown(own)}/{_shown(mask)}"),
        next(iter(_addresses(told.get(_ROUTER, b""))), ""),
        _addresses(told.get(_DNS, b"")),
        server,
    )


def _options(data: bytes) -> dict[int, bytes]:
    told = {}
    while len(data) > 1 and data[0] != _END:
        end = 2 + data[1] if data[0] else 1  # one of 0 is for padding
        told[data[0]] = data[2:end]
        data = data[end:]
    return told


def _addresses(data: bytes) -> tuple[str, ...]:
    return tuple(_shown(data[at : at + 4]) for at in range(0, len(data) - 3, 4))


def _shown(address: bytes) -> str:
    return str(ipaddress.IPv4Address(address))
