# SPDX-License-Identifier: Apache-2.0
"""The ways a guest meets the switch, and what their devices are called."""

from __future__ import annotations

from benchmarks.port import Port

SWITCH = "br-int"
"""The integration bridge; it is there before anybody plugs."""

TAP, HYBRID, OWN_BRIDGE, VHOST_USER = "tap", "hybrid", "own-bridge", "vhost-user"

MODES = {
    TAP: "VIFOpenVSwitch, tap",
    HYBRID: "VIFBridge, hybrid",
    OWN_BRIDGE: "VIFOpenVSwitch, bridge of its own",
    VHOST_USER: "VIFVHostUser, server mode",
}
"""What the tables call each mode."""

NAME = 14
"""Characters of a device's name: the plugins cut prefix and VIF id there."""


def device(prefix: str, port: Port, length: int = NAME) -> str:
    """The name of a device or row made for `port`, as Neutron and the plugins know it."""
    return (prefix + port.vif_id)[:length]
