# SPDX-License-Identifier: Apache-2.0
"""Who may open the taps that a plugin makes: the same options for each plugin."""

from __future__ import annotations

from typing import Any, TypedDict

from oslo_config import cfg

OPTS = (
    cfg.StrOpt(
        "tap_owner",
        help="Name or number of the user who may open the taps, besides root. Unset means root "
        "alone or, with tap_group, its members. Empty, with an empty tap_group, lets everybody.",
    ),
    cfg.StrOpt(
        "tap_group",
        default="",
        help="Name or number of the group whose members may open the taps, besides root; with "
        "tap_owner, that user only as a member of it.",
    ),
)


class Whose(TypedDict):
    """Fields of a tap."""

    owner: str
    group: str


def whose(config: Any) -> Whose:
    """Return ``owner`` and ``group`` of a tap, as the options of a plugin ask for them."""
    group = config.tap_group or ""
    owner = config.tap_owner
    if owner is None:
        owner = "" if group else "root"
    return {"owner": owner, "group": group}
