# SPDX-License-Identifier: Apache-2.0
"""Who may open the taps that a plugin makes, and how often: the same options for each plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from oslo_config import cfg, types

from os_vif.plugin import optional

if TYPE_CHECKING:
    from os_vif.objects.vif import VIFBase

FOR_ONE = (
    cfg.DictOpt(
        "tap_owners",
        default={},
        help="The same as tap_owner for single VIFs, by their ids: ID:USER,ID:USER. In a file for "
        "the command: the field owner.",
    ),
    cfg.DictOpt(
        "tap_groups",
        default={},
        help="The same as tap_group for single VIFs, by their ids: ID:GROUP,ID:GROUP. In a file "
        "for the command: the field group.",
    ),
)

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
    *FOR_ONE,
)

QUEUES = (
    cfg.BoolOpt(
        "multi_queue",
        help="Make multi-queue taps, which a hypervisor opens once per queue; false makes them "
        "single-queue. Unset, a new one is single-queue, and one that is there stays as it is.",
    ),
    cfg.Opt(
        "multi_queues",
        type=types.Dict(types.Boolean(), bounds=False),
        default={},
        help="The same as multi_queue for single VIFs, by their ids: ID:true,ID:false. In a file "
        "for the command: the field multi_queue.",
    ),
)


class Whose(TypedDict):
    """Fields of a tap."""

    owner: str
    group: str


def whose(config: Any, vif: VIFBase) -> Whose:
    """Return ``owner`` and ``group`` of a VIF's tap, as the options of a plugin ask for them.

    Unset, the owner is root, unless there is a group.
    """
    vif_id = optional(vif, "id", "")
    group = config.tap_groups.get(vif_id, config.tap_group) or ""
    owner = config.tap_owners.get(vif_id, config.tap_owner)
    if owner is None:
        owner = "" if group else "root"
    return {"owner": owner, "group": group}


def queues(config: Any, vif: VIFBase) -> bool | None:
    """Return ``multi_queue`` of a VIF's tap, as the options of a plugin ask for it."""
    found: bool | None = config.multi_queues.get(optional(vif, "id", ""), config.multi_queue)
    return found
