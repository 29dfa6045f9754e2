# SPDX-License-Identifier: Apache-2.0
"""The type of a vhost-user socket that another program makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif.plugins.types.vhost_user import MODE, PATH, socket_of
from os_vif.specs import ID, INSTANCE, MAC_ADDRESS, NETWORK, Field, Values, VIFType, check_addresses

if TYPE_CHECKING:
    from os_vif.objects.vif import VIFBase


def _any_program(values: Values) -> VIFBase:
    return socket_of(values, "noop")


_EXAMPLE = """\
type: vhostuser
mode: client
path: /run/switch/web.sock
mac: 52:54:00:12:34:56
"""

TYPES = (
    VIFType(
        "vhostuser",
        "a vhost-user socket that another program has made, or will make",
        "guests on a switch of another make; nothing is done, and check can look at the socket "
        "(options: noop: verify_sockets: true)",
        "noop",
        "VIFVHostUser",
        (
            MODE,
            PATH,
            MAC_ADDRESS,
            ID,
            INSTANCE,
            Field("network", NETWORK, "the network"),
        ),
        _any_program,
        _EXAMPLE,
        check_addresses,
        rank=7,
    ),
)
