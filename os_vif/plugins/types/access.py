# SPDX-License-Identifier: Apache-2.0
"""Who may open what a hypervisor opens: fields of the types whose plugins make a tap."""

from __future__ import annotations

from typing import Any

from os_vif.specs import TEXT, Field, Values, identity_of

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


def options_of(values: Values) -> dict[str, tuple[str, str, Any]]:
    """Return what these fields say, as entries of the plugin's options."""
    options = {"owner": "tap_owners", "group": "tap_groups"}
    return {
        field: (option, identity_of(values)["id"], values[field])
        for field, option in options.items()
        if field in values
    }
