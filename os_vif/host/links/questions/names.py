# SPDX-License-Identifier: Apache-2.0
"""Devices of the host's that are named by an alternative name (IFLA_ALT_IFNAME), as udev gives.

Only the device's own name stands in paths below /proc and /sys, and is what the kernel answers
with; so a description has that one before anything else is asked or planned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from os_vif import exception
from os_vif.engine.checks import IFNAMSIZ
from os_vif.engine.observed import CARDS, Asked, Host, Question

NAMED: Question[str, str] = Question("named", CARDS)
"""Of any name of a device: its own name.  No answer where there is no such device, or where its own
is none that every tool can take (:func:`os_vif.engine.checks.interface_name`)."""


def asks_names(*fields: str) -> Callable[[Any], list[Asked]]:
    """Return the ``names`` of a rule: these fields of its resources name devices of the host's."""
    return lambda resource: [NAMED(name) for name in _names(resource, fields).values()]


def by_own_names(*fields: str) -> Callable[[Any, Host], Any]:
    """Return the ``named`` of a rule: its resources with the devices' own names in these fields."""

    def named(resource: Any, host: Host) -> Any:
        own = {
            field: host[NAMED][name]
            for field, name in _names(resource, fields).items()
            if host[NAMED].get(name, name) != name
        }
        return dataclasses.replace(resource, **own) if own else resource

    return named


def need_own_name(name: str) -> None:
    """See that a device that is there is called by its own name.

    :raises UnusableDevice: it has a longer one only; a short one serves all the same.
    """
    if len(name) >= IFNAMSIZ:
        raise exception.UnusableDevice(
            device=f"device {name}",
            reason="its own name (ip link shows it) has characters that not every tool takes; "
            "rename it (ip link set ... name ...)",
        )


def _names(resource: Any, fields: tuple[str, ...]) -> dict[str, str]:
    return {field: name for field in fields if (name := getattr(resource, field))}
