# SPDX-License-Identifier: Apache-2.0
"""What the driver of a NIC with 802.1Qbh (enic) would have the kernel say, over real netlink.

No such NIC is at hand, so this stands in for the kernel: it takes RTM_SETLINK and RTM_GETLINK by
unicast and answers as rtnetlink does, from linux/if_link.h alone. It shares no code with the
library.
"""

from __future__ import annotations

import dataclasses
import socket
import struct
import threading
import uuid
from collections.abc import Iterator
from typing import Any

GETLINK, SETLINK, NEWLINK, ERROR = 18, 19, 16, 2
_VF_PORTS, _PORT_SELF, _EXT_MASK = 24, 25, 29
_VF, _PROFILE, _INSTANCE, _HOST, _REQUEST, _RESPONSE = 1, 2, 4, 5, 6, 7
ASSOCIATE, DISASSOCIATE = 2, 3
SUCCESS, IN_PROGRESS, INVALID, BAD_STATE, NO_RESOURCES, FAILED = range(0x100, 0x106)


@dataclasses.dataclass(frozen=True)
class Wish:
    """What was asked for of a port.

    :ivar index: of the device
    :ivar vf: number of the virtual function; None for the device itself
    """

    index: int
    vf: int | None
    profile: str
    instance: str
    host: str
    request: int


class PortResponder:
    """Answers for one device until it is closed.

    :ivar port_id: where it is asked
    :ivar answers: the responses to show, each once; the last one from then on
    :ivar wishes: every RTM_SETLINK so far
    :ivar refuses: the errno of the answer to RTM_SETLINK; 0 to take it
    """

    def __init__(self, host: Any) -> None:
        """Start it in the network namespace of a :class:`tests.conftest.PrivateHost`."""
        self.answers = [SUCCESS]
        self.wishes: list[Wish] = []
        self.refuses = 0
        with host.enter():
            self._channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._channel.bind((0, 0))
        self._channel.settimeout(0.05)
        self.port_id = self._channel.getsockname()[0]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._over.set()
        self._thread.join()
        self._channel.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                data, sender = self._channel.recvfrom(1 << 16)
            except TimeoutError:
                continue
            length, kind, flags, number, _port = struct.unpack_from("=IHHII", data)
            body = data[16:length]
            answer = self._take(body, data[:16]) if kind == SETLINK else self._show(body)
            head = ERROR if kind == SETLINK else NEWLINK
            packed = struct.pack("=IHHII", 16 + len(answer), head, 0, number, self.port_id)
            if kind == GETLINK or flags & 4:  # NLM_F_ACK
                self._channel.sendto(packed + answer, sender)

    def _take(self, body: bytes, request: bytes) -> bytes:
        if not self.refuses:
            self.wishes.append(_wish(body))
        return struct.pack("=i", -self.refuses) + request

    def _show(self, body: bytes) -> bytes:
        asked = dict(_attributes(body[16:]))
        assert struct.unpack("=I", asked[_EXT_MASK])[0] & 1, "RTEXT_FILTER_VF, or nothing is shown"
        answer = body[:16] + _attribute(3, b"eth0\0")
        if not self.wishes:
            return answer
        wish = self.wishes[-1]
        response = SUCCESS
        if wish.request == ASSOCIATE:
            response = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        port = [
            _attribute(_PROFILE, wish.profile.encode() + b"\0"),
            _attribute(_INSTANCE, uuid.UUID(wish.instance).bytes if wish.instance else bytes(16)),
            _attribute(_REQUEST, bytes([wish.request])),
            _attribute(_RESPONSE, struct.pack("=H", response)),
        ]
        if wish.vf is None:
            return answer + _attribute(_PORT_SELF, b"".join(port))
        port.insert(0, _attribute(_VF, struct.pack("=I", wish.vf)))
        return answer + _attribute(_VF_PORTS, _attribute(1, b"".join(port)))


def _wish(body: bytes) -> Wish:
    (index,) = struct.unpack_from("=i", body, 4)
    held = dict(_attributes(body[16:]))
    assert held.keys() in ({_PORT_SELF}, {_VF_PORTS}), "the port alone, and no name"
    if _PORT_SELF in held:
        fields, vf = dict(_attributes(held[_PORT_SELF])), None
    else:
        [(_kind, port)] = _attributes(held[_VF_PORTS])
        fields = dict(_attributes(port))
        (vf,) = struct.unpack("=I", fields[_VF])
    ids = {
        key: str(uuid.UUID(bytes=fields[key])) if key in fields else ""
        for key in (_INSTANCE, _HOST)
    }
    profile = fields.get(_PROFILE, b"").rstrip(b"\0").decode()
    return Wish(index, vf, profile, ids[_INSTANCE], ids[_HOST], fields[_REQUEST][0])


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]
