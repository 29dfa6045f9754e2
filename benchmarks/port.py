# SPDX-License-Identifier: Apache-2.0
"""The one thing every contender plugs: a guest's port, made from a plain number.

A number crosses to the worker processes; both sides make the same name, address and id of it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

BRIDGE = "br-bench"
CARD = "nic-bench"
"""The network card that macvtaps share."""
MTU = 1500
"""Octets; what every contender sets."""


@dataclass(frozen=True, slots=True)
class Port:
    """A port to plug.

    :ivar name: the network device's name, 10 characters
    :ivar mac: the guest's address, in the range QEMU uses (52:54:00)
    :ivar host_mac: the tap's own: the guest's with fe in front, as libvirt gives it; with the
        guest's own address on the tap, the bridge would hand the guest's frames to the host
    :ivar vif_id: the VIF's UUID; the same number always gives the same one
    """

    name: str
    mac: str
    host_mac: str
    vif_id: str


def port(number: int) -> Port:
    """Make port `number`, 0 to 0xffffff."""
    if not 0 <= number <= 0xFFFFFF:
        raise ValueError(f"port number {number} is not in 0..16777215")
    low = number.to_bytes(3, "big")
    return Port(
        name=f"tapb{number:06x}",
        mac="52:54:00:" + low.hex(":"),
        host_mac="fe:54:00:" + low.hex(":"),
        # The number in front: the plugins make devices' names of an id's first characters.
        vif_id=str(uuid.UUID(int=number << 96 | 0x6B0B_4000_8000_0000_0000_0000)),
    )
