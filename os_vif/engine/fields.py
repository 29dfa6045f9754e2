# SPDX-License-Identifier: Apache-2.0
"""What the fields of steps may hold: the gate that every step from another process passes.

What may live here: predicates over plain data that steps of any family may need.  A predicate takes
anything at all and tells; it never raises.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from os_vif.engine import checks

Predicate = Callable[[Any], bool]


def holds(check: Callable[[Any], Any]) -> Predicate:
    """Return the predicate for what ``check`` takes without an error."""

    def ok(value: Any) -> bool:
        try:
            check(value)
        except Exception:  # whatever it says of a value that is not one, it is not one
            return False
        return True

    return ok


def number(low: int, high: int) -> Predicate:
    """Return the predicate for a whole number in a range."""
    return lambda value: type(value) is int and low <= value <= high


def one_of(*allowed: Any) -> Predicate:
    """Return the predicate for just these values, each in its own type."""
    return lambda value: any(value is a or (type(value) is type(a) and value == a) for a in allowed)


def is_text(value: Any, longest: int) -> bool:
    """Tell whether this is text without NUL, of so many bytes at most."""
    return (
        isinstance(value, str)
        and "\0" not in value
        and holds(str.encode)(value)
        and len(value.encode()) <= longest
    )


def ip(check: Callable[[str], Any]) -> Predicate:
    """Return the predicate for what ``check`` of :mod:`ipaddress` takes."""
    # ipaddress takes numbers and bytes too, and a zone, which no message has room for.
    parses = holds(check)
    return lambda value: isinstance(value, str) and "%" not in value and parses(value)


def is_mac(value: Any) -> bool:
    """Tell whether this is the MAC address of one device, as the kernel writes it."""
    return holds(checks.mac_address)(value) and bool(checks.mac_address(value) == value)


NAME = holds(checks.interface_name)
FLAG = one_of(True, False)
U32 = number(0, 0xFFFFFFFF)
IP = ip(ipaddress.ip_address)


def is_record(fields: Mapping[str, Predicate]) -> Predicate:
    """Return the predicate for exactly these fields."""
    return lambda value: (
        isinstance(value, dict)
        and value.keys() == fields.keys()
        and all(ok(value[key]) for key, ok in fields.items())
    )


def is_words(value: Any) -> bool:
    """Tell whether this is text for people."""
    return is_text(value, 1000)


def is_pattern(value: Any) -> bool:
    """Tell whether this may be a regular expression: one that was not tried, for who runs steps.

    To compile one can take seconds, and to search with one for ever.
    """
    return is_text(value, 1000)
