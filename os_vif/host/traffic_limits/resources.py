# SPDX-License-Identifier: Apache-2.0
"""Limits of a network device: plain data, checking its fields when it is made."""

from __future__ import annotations

import dataclasses

from os_vif.engine.checks import bit_rate, burst_bytes, interface_name


@dataclasses.dataclass(frozen=True, slots=True)
class Bucket:
    """What passes in one direction.

    :ivar rate: bit/s.
    :ivar burst: bytes that may come at once.
    """

    rate: int
    burst: int

    def __post_init__(self) -> None:
        bit_rate(self.rate)
        burst_bytes(self.burst)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrafficLimits:
    """Limits of a device that the same topology makes; they go with it.

    :ivar device: its interface name.
    :ivar egress: what the host sends out of it, where the rest waits (tc-tbf(8)); None for no
        limit.
    :ivar ingress: what the host takes from it, where the rest is lost (tc-police(8)); None for no
        limit.
    """

    device: str
    egress: Bucket | None = None
    ingress: Bucket | None = None

    def __post_init__(self) -> None:
        interface_name(self.device, "vif_name")
