# SPDX-License-Identifier: Apache-2.0
"""Port profiles in rtnetlink's words, which the kernel and lldpad both take.

Source: linux/if_link.h (IFLA_VF_PORTS, IFLA_PORT_SELF).
"""

from __future__ import annotations

import errno
import struct
import time
import uuid

from os_vif.host.links.system.link_message import IFINFO
from os_vif.host.port_profiles.questions import PortState
from os_vif.system import netlink

IFLA_VF_PORTS = 24
IFLA_PORT_SELF = 25
IFLA_VF_PORT = 1
PORT_VF, PORT_PROFILE, PORT_VSI_TYPE, PORT_INSTANCE_UUID = 1, 2, 3, 4
PORT_HOST_UUID, PORT_REQUEST, PORT_RESPONSE = 5, 6, 7

DISASSOCIATE = 3
"""The value of PORT_REQUEST besides REQUEST_ASSOCIATE; 0 and 1 would only reserve."""

SELF = 0xFFFFFFFF
"""PORT_VF of the device itself."""

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.5

_U16 = struct.Struct("=H")
_U32 = struct.Struct("=I")


class PortError(OSError):
    """A port is not as it was asked to be; each kind of reason has a class and a number."""

    number = errno.EIO

    def __init__(self, words: str) -> None:
        super().__init__(self.number, words)


class Waiting:
    """Time that passes between looks: each pause is twice the one before, up to a half second."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._pause = _FIRST_PAUSE_S

    def on(self) -> bool:
        """Pause and return True, or return False when the time is over."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(self._pause, left))
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
        return True


def index_of(device: str) -> int:
    """Return the index of a device.

    :raises OSError: ENODEV: there is none of this name.
    """
    return netlink.index_of(device)


def instance(value: str) -> bytes:
    """Return PORT_INSTANCE_UUID for a UUID."""
    return netlink.attribute(PORT_INSTANCE_UUID, uuid.UUID(value).bytes)


def request(value: int) -> bytes:
    """Return PORT_REQUEST."""
    return netlink.attribute(PORT_REQUEST, bytes([value]))


def listed(answer: bytes) -> list[tuple[int, PortState]]:
    """Return the ports in an answer to RTM_GETLINK, each with its number or :data:`SELF`."""
    held = netlink.pick(answer, (IFLA_VF_PORTS, IFLA_PORT_SELF), IFINFO.size)
    found = [
        _parse(value)
        for kind, value in netlink.attributes(held.get(IFLA_VF_PORTS, b""))
        if kind == IFLA_VF_PORT
    ]
    if IFLA_PORT_SELF in held:
        found.append((SELF, _parse(held[IFLA_PORT_SELF])[1]))
    return found


def _parse(data: bytes) -> tuple[int, PortState]:
    held = dict(netlink.attributes(data))
    number = _U32.unpack(held[PORT_VF])[0] if PORT_VF in held else SELF
    return number, PortState(
        str(uuid.UUID(bytes=held[PORT_INSTANCE_UUID])) if PORT_INSTANCE_UUID in held else "",
        _U16.unpack(held[PORT_RESPONSE])[0] if PORT_RESPONSE in held else None,
        held[PORT_REQUEST][0] if PORT_REQUEST in held else None,
        held.get(PORT_PROFILE, b"").rstrip(b"\0").decode(errors="replace"),
    )
