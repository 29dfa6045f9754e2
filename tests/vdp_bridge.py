# SPDX-License-Identifier: Apache-2.0
"""A small switch port for tests: enough EVB, ECP and VDP to say no, or nothing at all.

IEEE 802.1Qbg-2012: the EVB TLV in LLDP (D.2.13), ECP (clause 43, ethertype 0x8940) and VDP
(clause 41). lldpad in its bridge role agrees to everything; this one says what a test has it say,
and tells from the wire what the station asked for.
"""

from __future__ import annotations

import dataclasses
import errno
import socket
import struct
import threading
import time
import uuid
from typing import Any

NEAREST_CUSTOMER_BRIDGE = bytes.fromhex("0180c2000000")
ECP, LLDP = 0x8940, 0x88CC
_REQUEST, _ACKNOWLEDGE = 0x1001, 0x1401  # version 1, operation, subtype VDP
_MANAGER, ASSOCIATE, DISASSOCIATE = 5, 3, 4
ACK, KEEP, HARD = 0x40, 0x20, 0x10
"""Bits of a VDP status; the low four are the reason."""
_MACVID = 2
_HELLO_S = 0.5
SILENCE = None


@dataclasses.dataclass(frozen=True)
class Asked:
    """A VDP request as it was on the wire."""

    mode: int
    manager: int
    type: int
    version: int
    instance: str
    mac: str
    vlan: int


class VdpBridge:
    """The switch's end of a wire; it ends with this object.

    :ivar answer: the status of every association: 0 agrees, 1 to 15 refuse, :data:`SILENCE`
        neither; a disassociation is always agreed to
    :ivar delay: what it was started with; a station hears of another one within a second
    :ivar asked: every request so far, the station's repetitions left out
    """

    def __init__(self, host: Any, interface: str, delay: int = 20) -> None:
        """Start it.

        :param host: :class:`tests.conftest.PrivateHost`
        :param delay: a station waits some 1.5 * 2**delay * 10 us for an answer: 15.8 s, or with
            16, which is the least that :mod:`tests.lldpad` takes, a second
        """
        self.delay = delay
        self.answer: int | None = 0
        self.asked: list[Asked] = []
        self._last: bytes = b""
        self._sequence = 0
        with host.enter():
            self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ECP))
            self._wire.bind((interface, ECP))
        self._mac = self._wire.getsockname()[4]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._thread.join()
        self._wire.close()

    def take_back(self, asked: Asked) -> None:
        """Tell the station that a VSI of its is no longer associated."""
        self._tell(dataclasses.replace(asked, mode=DISASSOCIATE), 0)

    def _serve(self) -> None:
        said = 0.0
        self._wire.settimeout(0.05)
        while not self._over.is_set():
            if time.monotonic() - said > _HELLO_S:
                said = time.monotonic()
                self._send(LLDP, self._hello())
            try:
                frame = self._wire.recv(2048)
            except TimeoutError:
                continue
            self._take(frame[14:])

    def _hello(self) -> bytes:
        """Return an LLDPDU: this port does EVB, and has its reflective relay on."""
        delays = (1 << 6 | self.delay, self.delay)  # with the bridge's role; and of keep-alives
        evb = bytes([0x00, 0x80, 0xC2, 0x0D, 0b011, 0b110, 3 << 5 | 8, *delays])
        parts = ((1, b"\x04" + self._mac), (2, b"\x03" + self._mac), (3, b"\0\x78"), (127, evb))
        return b"".join(_tlv(*part) for part in parts) + _tlv(0, b"")

    def _take(self, ecpdu: bytes) -> None:
        operation, number = struct.unpack_from("!HH", ecpdu)
        if operation != _REQUEST:
            return
        if self.answer is SILENCE:
            return
        self._send(ECP, struct.pack("!HH", _ACKNOWLEDGE, number))
        if ecpdu == self._last:
            return  # our acknowledgement came late
        self._last = ecpdu
        asked = _parse(ecpdu[4:])
        self.asked.append(asked)
        self._tell(asked, ACK | (self.answer if asked.mode == ASSOCIATE else 0))

    def _tell(self, asked: Asked, status: int) -> None:
        self._sequence += 1
        mac, kind = bytes.fromhex(asked.mac.replace(":", "")), asked.type.to_bytes(3, "big")
        vsi = struct.pack(
            "!B3sBB16sBH6sH",
            *(status, kind, asked.version, 5, uuid.UUID(asked.instance).bytes),
            *(_MACVID, 1, mac, asked.vlan),
        )
        body = _tlv(_MANAGER, bytes([asked.manager]) + bytes(15)) + _tlv(asked.mode, vsi)
        self._send(ECP, struct.pack("!HH", _REQUEST, self._sequence) + body + _tlv(0, b""))

    def _send(self, ethertype: int, body: bytes) -> None:
        frame = NEAREST_CUSTOMER_BRIDGE + self._mac + ethertype.to_bytes(2, "big") + body
        try:
            self._wire.send(frame.ljust(60, b"\0"))
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise  # that is said of a link that is just going down, where nobody hears


def _tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!H", kind << 9 | len(value)) + value


def _parse(body: bytes) -> Asked:
    """Return the request in a manager's TLV and the VSI's behind it."""
    manager = body[2]
    head = struct.unpack_from("!H", body, 18)[0]
    _status, kind, version, form, instance, filters, count, mac, vlan = struct.unpack_from(
        "!B3sBB16sBH6sH", body, 20
    )
    assert (form, filters, count) == (5, _MACVID, 1), "a UUID, and one pair of MAC and VLAN"
    return Asked(
        head >> 9,
        manager,
        int.from_bytes(kind, "big"),
        version,
        str(uuid.UUID(bytes=instance)),
        mac.hex(":"),
        vlan & 0xFFF,
    )
