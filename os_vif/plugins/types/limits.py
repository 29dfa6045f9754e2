# SPDX-License-Identifier: Apache-2.0
"""How fast a VIF may be: fields of the types whose plugins can limit it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from os_vif.engine import checks
from os_vif.specs import Field, Kind, Values, identity_of

if TYPE_CHECKING:
    from os_vif.host.links.questions import Link

_RATE = Kind(
    "a rate",
    checks.bit_rate,
    {
        "anyOf": [
            {"type": "integer", "minimum": checks.RATE_MIN, "maximum": checks.RATE_MAX},
            {"type": "string", "pattern": "^[0-9.]+ ?[kKmMgG]?([bB]it)?(/s|ps)?$"},
        ]
    },
)
_BURST = Kind(
    "a number of bytes",
    checks.burst_bytes,
    {
        "anyOf": [
            {"type": "integer", "minimum": checks.BURST_MIN, "maximum": checks.BURST_MAX},
            {"type": "string", "pattern": "^[0-9.]+ ?([kKmM]i?)?[bB]?$"},
        ]
    },
)

RATE_TO_GUEST = Field(
    "rate_to_guest",
    _RATE,
    "what the guest is sent in a second at most, in bits: a number, or one with kbit, Mbit or "
    "Gbit (of 1000), as in 100 Mbit",
    default="no limit",
    known_as=("rate_to_guest", "inbound"),
)
RATE_FROM_GUEST = Field(
    "rate_from_guest",
    _RATE,
    "what is taken of what the guest sends in a second at most, in bits; the rest is lost",
    default="no limit",
    known_as=("rate_from_guest", "outbound"),
)
BURST_TO_GUEST = Field(
    "burst_to_guest",
    _BURST,
    "what may come at once beyond rate_to_guest, in bytes: a number, or one with kB, MB, KiB or "
    "MiB",
    default="what suits it",
    known_as=("burst_to_guest",),
)
BURST_FROM_GUEST = Field(
    "burst_from_guest",
    _BURST,
    "what is taken at once beyond rate_from_guest, in bytes",
    default="what suits it",
    known_as=("burst_from_guest",),
)


LIMITS = (RATE_TO_GUEST, BURST_TO_GUEST, RATE_FROM_GUEST, BURST_FROM_GUEST)
"""Where the kernel limits a device."""


def limit_options(values: Values) -> dict[str, tuple[str, str, Any]]:
    """Return what these fields say, as entries of the plugin's options."""
    options = {
        "rate_to_guest": "rates_to_guest",
        "rate_from_guest": "rates_from_guest",
        "burst_to_guest": "bursts_to_guest",
        "burst_from_guest": "bursts_from_guest",
    }
    return {
        field: (option, identity_of(values)["id"], values[field])
        for field, option in options.items()
        if field in values
    }


def told_of_limits(link: Link, *, guest_inside: bool = False) -> Values:
    """Return what these fields say of a device, by the note behind its mark.

    :param guest_inside: the device is the guest's own, and what it sends the guest does
    """
    [_, _, words] = f"{link.alias} ".partition(" limits=")
    ways = ("from_guest", "to_guest") if guest_inside else ("to_guest", "from_guest")
    found: Values = {}
    for way, bucket in zip(ways, words.split(" ")[0].split(","), strict=False):
        rate, _, burst = bucket.partition("/")
        if rate.isdecimal() and burst.isdecimal():
            found |= {f"rate_{way}": int(rate), f"burst_{way}": int(burst)}
    return found
