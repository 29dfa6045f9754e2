# SPDX-License-Identifier: Apache-2.0
"""How fast single VIFs may be: the same options for each plugin that can limit them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from oslo_config import cfg

from os_vif import exception
from os_vif.engine.checks import BURST_MAX, bit_rate, burst_bytes
from os_vif.host.traffic_limits import resources as traffic_limits

if TYPE_CHECKING:
    from os_vif.engine.topology import Resource
    from os_vif.objects.vif import VIFBase

OPTS = (
    cfg.DictOpt(
        "rates_to_guest",
        default={},
        help="By the ids of VIFs, what the guest is sent in a second at most: a number of bits, or "
        "one of kbit, Mbit or Gbit: ID:100 Mbit. In a file for the command: the field "
        "rate_to_guest.",
    ),
    cfg.DictOpt(
        "rates_from_guest",
        default={},
        help="The same for what the guest sends. In a file for the command: the field "
        "rate_from_guest.",
    ),
    cfg.DictOpt(
        "bursts_to_guest",
        default={},
        help="By the ids of VIFs, how much may come at once beyond rates_to_guest: a number of "
        "bytes, or one of kB, MB, KiB or MiB. In a file for the command: the field "
        "burst_to_guest.",
    ),
    cfg.DictOpt(
        "bursts_from_guest",
        default={},
        help="The same beyond rates_from_guest. In a file for the command: the field "
        "burst_from_guest.",
    ),
)


class Limits(NamedTuple):
    """What a VIF may at most; None for no limit.

    :ivar rate_to_guest: bit/s.
    :ivar rate_from_guest: bit/s.
    :ivar burst_to_guest: bytes; None with a rate for what suits it.
    :ivar burst_from_guest: the same.
    """

    rate_to_guest: int | None = None
    rate_from_guest: int | None = None
    burst_to_guest: int | None = None
    burst_from_guest: int | None = None


_NONE = Limits()


def on_device(
    config: Any, vif: VIFBase, device: str, *, guest_inside: bool = False
) -> list[Resource]:
    """Return the limits of a device of the kernel's, if its VIF was given any.

    :param guest_inside: what the guest sends goes out of the device, as with a macvtap; with a tap
        the host takes it from there
    :raises InvalidField: one cannot be used
    """
    said = limits_of(config, vif)
    if said == _NONE:
        return []
    to_guest = said.rate_to_guest, said.burst_to_guest
    from_guest = said.rate_from_guest, said.burst_from_guest
    egress, ingress = (from_guest, to_guest) if guest_inside else (to_guest, from_guest)
    return [
        traffic_limits.TrafficLimits(
            device=device,
            egress=_bucket(*egress, shaping_burst),
            ingress=_bucket(*ingress, policing_burst),
        )
    ]


def _bucket(
    rate: int | None, burst: int | None, usual: Callable[[int], int]
) -> traffic_limits.Bucket | None:
    return None if rate is None else traffic_limits.Bucket(rate, burst or usual(rate))


def shaping_burst(rate: int) -> int:
    """Return the bytes that go at once where the rest waits, given a rate in bit/s.

    A hundredth of a second's, as timers are that coarse, and what a card may be given as one.
    """
    return min(max(rate // 800, 64 << 10), BURST_MAX)


def policing_burst(rate: int) -> int:
    """Return the bytes that are taken at once where the rest is lost, given a rate in bit/s.

    TCP comes near to the rate with a tenth of a second's only.
    """
    return min(max(rate // 80, 128 << 10), BURST_MAX)


def limits_of(config: Any, vif: VIFBase) -> Limits:
    """Return the limits that a VIF was given.

    :raises InvalidField: one cannot be used
    """
    said = (
        config.rates_to_guest,
        config.rates_from_guest,
        config.bursts_to_guest,
        config.bursts_from_guest,
    )
    if not any(said):
        return _NONE
    found = Limits(*(of.get(vif.id) for of in said))
    for field, value in found._asdict().items():
        if value is not None:
            check = bit_rate if field.startswith("rate") else burst_bytes
            found = found._replace(**{field: check(value, field)})
    for way in ("to_guest", "from_guest"):
        burst = getattr(found, f"burst_{way}")
        if burst is not None and getattr(found, f"rate_{way}") is None:
            raise exception.InvalidField(
                field=f"burst_{way}", value=burst, expected=f"a rate_{way} beside it"
            )
    return found
