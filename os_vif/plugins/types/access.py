# SPDX-License-Identifier: Apache-2.0
"""Who may open what a hypervisor opens, and how often: fields of the types that make a tap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from os_vif.specs import BOOL, TEXT, Field, Values, identity_of

OWNER = Field(
    "owner",
    TEXT,
    "name or number of the user who may open the tap, besides root",
    default="the plugin's option tap_owner",
    known_as=("tap_owner", "user"),
)
GROUP = Field(
    "group",
    TEXT,
    "name or number of the group whose members may open the tap",
    default="the plugin's option tap_group",
    known_as=("tap_group",),
)

MULTI_QUEUE = Field(
    "multi_queue",
    BOOL,
    "make the tap with several queues, which the hypervisor opens one by one; false: with one",
    default="one queue; a tap that is there stays as it is",
    known_as=("multiqueue", "queues"),
)


def options_of(values: Values) -> dict[str, tuple[str, str, Any]]:
    """Return what owner and group say, as entries of the plugin's options."""
    return _entries(values, {"owner": "tap_owners", "group": "tap_groups"})


def tap_options_of(values: Values) -> dict[str, tuple[str, str, Any]]:
    """Return the same, and what ``multi_queue`` says."""
    return options_of(values) | _entries(values, {"multi_queue": "multi_queues"})


def _entries(values: Values, options: Mapping[str, str]) -> dict[str, tuple[str, str, Any]]:
    return {
        field: (option, identity_of(values)["id"], values[field])
        for field, option in options.items()
        if field in values
    }
