# SPDX-License-Identifier: Apache-2.0
"""Medians, percentiles and ratios.  Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """What is left of a list of times; seconds.

    :ivar count: samples, warm-up not among them
    """

    median: float
    p90: float
    count: int


def quantile(samples: Sequence[float], fraction: float) -> float:
    """The value below which `fraction` (0 to 1) of the samples lie, linear in between.

    :raises ValueError: no samples, or a fraction outside 0..1
    """
    if not samples:
        raise ValueError("no samples")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction {fraction} is not in 0..1")
    ordered = sorted(samples)
    place = fraction * (len(ordered) - 1)
    low = math.floor(place)
    high = math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summarize(samples: Sequence[float]) -> Summary:
    """Median and 90th percentile of seconds.

    :raises ValueError: no samples
    """
    return Summary(quantile(samples, 0.5), quantile(samples, 0.9), len(samples))


def ratio(one: Summary | None, other: Summary | None) -> float | None:
    """Median of `one` over median of `other`; None if either was not measured."""
    if one is None or other is None:
        return None
    return one.median / other.median
