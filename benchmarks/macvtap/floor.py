# SPDX-License-Identifier: Apache-2.0
"""The floor: the least a Python program has to do for a macvtap.

Two requests, since the kernel takes no alias at creation (and does not say so), and between them
the one file that turns IPv6 off before the device is up.  Numbers are from linux/if_link.h.
"""

from __future__ import annotations

import socket

from benchmarks import floor
from benchmarks.drivers import Driver
from benchmarks.floor import RTM_NEWLINK, attribute, u32
from benchmarks.port import CARD, MTU, Port

IFLA_LINK, IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA = 5, 18, 1, 2
IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE = 1, 4

_MACVTAP = attribute(
    IFLA_LINKINFO,
    attribute(IFLA_INFO_KIND, b"macvtap")
    + attribute(IFLA_INFO_DATA, u32(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE)),
)


class MacvtapFloor(floor.Floor):
    """It deletes as the floor of taps does, by name or by group."""

    def plug(self, port: Port) -> None:
        name = attribute(floor.IFLA_IFNAME, port.name.encode() + b"\0")
        self.create(
            name
            + attribute(floor.IFLA_ADDRESS, bytes.fromhex(port.mac.replace(":", "")))
            + u32(floor.IFLA_MTU, MTU)
            + u32(IFLA_LINK, socket.if_nametoindex(CARD))
            + _MACVTAP
        )
        floor.write_sysctl(f"ipv6/conf/{port.name}/disable_ipv6", b"1")
        self.request(
            RTM_NEWLINK, name + attribute(floor.IFLA_IFALIAS, port.vif_id.encode()), up=True
        )


def connect(_arguments: dict[str, str]) -> Driver:
    """Open the netlink socket in the namespace the process is in."""
    return MacvtapFloor()
