# SPDX-License-Identifier: Apache-2.0
"""The step that limits a device, or does so no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from os_vif.engine import checks, fields
from os_vif.engine.observed import Host
from os_vif.engine.step import Args, Drift, Kind, Step
from os_vif.host.traffic_limits.questions import LIMITS, NONE, Limits
from os_vif.host.traffic_limits.resources import Bucket


def setting(device: str, egress: Bucket | None, ingress: Bucket | None) -> Step:
    """Return the step that makes these the limits of a device."""
    buckets = {"egress": egress, "ingress": ingress}
    plain = {key: dataclasses.asdict(it) if it else None for key, it in buckets.items()}
    return Step("set_limits", {"device": device, **plain})


def buckets(args: Args) -> tuple[Bucket | None, Bucket | None]:
    """Return the limits that a step sets: egress and ingress."""
    egress, ingress = (Bucket(**it) if it else None for it in (args["egress"], args["ingress"]))
    return egress, ingress


def _set(host: Host, args: Args) -> None:
    host[LIMITS][args["device"]] = Limits(*buckets(args))


def _unset(host: Host, args: Args) -> Step:
    have = host[LIMITS].get(args["device"], NONE)
    return setting(args["device"], have.egress, have.ingress)


_IS_BUCKET = fields.is_record(
    {
        "rate": fields.number(checks.RATE_MIN, checks.RATE_MAX),
        "burst": fields.number(checks.BURST_MIN, checks.BURST_MAX),
    }
)


def _is_limit(value: Any) -> bool:
    return value is None or _IS_BUCKET(value)


def _words(args: Args) -> str:
    egress, ingress = buckets(args)
    said = [f"{way} {text(it)}" for way, it in (("out", egress), ("in", ingress)) if it]
    return f"limit {args['device']}: {', '.join(said) or 'no more'}"


def text(bucket: Bucket) -> str:
    """Return a limit in words."""
    for unit, size in (("Gbit", 10**9), ("Mbit", 10**6), ("kbit", 10**3)):
        if bucket.rate >= size:
            return f"{bucket.rate / size:g} {unit}/s"
    return f"{bucket.rate} bit/s"


def _differ(args: Args, _every: Sequence[Step]) -> list[Drift]:
    egress, ingress = buckets(args)
    found = []
    for way, it in (("out of it", egress), ("into the host", ingress)):
        if it:
            found.append(Drift(args["device"], f"what goes {way} should be {text(it)} at most"))
    return found or [Drift(args["device"], "it is limited, and should not be")]


KINDS: Mapping[str, Kind] = {
    "set_limits": Kind(
        {"device": fields.NAME, "egress": _is_limit, "ingress": _is_limit},
        _set,
        _unset,
        _words,
        drift=_differ,
        partial=True,
    ),
}
"""Every kind of step on limits."""
