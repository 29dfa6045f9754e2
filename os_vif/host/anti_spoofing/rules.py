# SPDX-License-Identifier: Apache-2.0
"""When a guest is kept to its own addresses, and which steps make it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.engine.family import Notes, Phase, Rule
from os_vif.engine.topology import parse_mark
from os_vif.host.anti_spoofing.questions import (
    FILTERS,
    NOTE,
    Filter,
    hook_of,
    note,
    noted,
    table_of,
)
from os_vif.host.anti_spoofing.questions.chains import chains_of
from os_vif.host.anti_spoofing.resources import AntiSpoofing
from os_vif.host.anti_spoofing.steps import removing, setting
from os_vif.host.openvswitch.questions import BRIDGES

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked
    from os_vif.engine.topology import Mark
    from os_vif.host.links.questions import Link


def plug_filter(draft: Draft, wanted: AntiSpoofing) -> None:
    """Set the filter, unless it is as it should be.

    :raises ResourceConflict: somebody else has a table of its name.
    :raises InvalidField: the switch gets what the guest sends before the kernel looks at it.
    """
    switch = draft.host[BRIDGES].get(wanted.switch)
    if switch is not None and switch.datapath_type == "netdev":
        raise exception.InvalidField(
            field="anti_spoofing",
            value=wanted.mode,
            expected="none on the datapath netdev, which reads what a tap's guest sends before the "
            "kernel can drop it; Neutron and OVN have port security for that",
        )
    vif = draft.mark.vif_id
    hook = hook_of(wanted.device, guest_inside=wanted.guest_inside)
    target = Filter(str(draft.mark), hook, chains_of(wanted))
    have = draft.host[FILTERS].get(vif)
    if have is not None:
        mark = parse_mark(have.mark)
        if mark is None or mark.vif_id != vif:
            raise exception.ResourceConflict(
                resource=f"nftables' table netdev {table_of(vif)}",
                reason="somebody else has made it; take it away (nft delete table netdev "
                f"{table_of(vif)})",
            )
    if have != target:
        draft.take(setting(vif, target))


def unplug_filter(draft: Draft, wanted: AntiSpoofing) -> None:
    """Take the filter away, once nothing can be sent any more."""
    vif = draft.mark.vif_id
    if draft.host[FILTERS].get(vif, True) is not None:
        draft.take(removing(vif, wanted.device))


def release_filter(draft: Draft, link: Link) -> None:
    """Take away the filter of a device that nobody describes any more."""
    described = any(isinstance(it, AntiSpoofing) for it in draft.topology.resources)
    step = removing(draft.mark.vif_id, link.name)
    if not described and noted(link.alias) and step not in draft.plan.steps:
        draft.take(step)


def _asks(wanted: AntiSpoofing, mark: Mark) -> list[Asked]:
    return [FILTERS(mark.vif_id), *([BRIDGES(wanted.switch)] if wanted.switch else [])]


RULES: Mapping[type, Rule] = {
    AntiSpoofing: Rule(
        asks=_asks,
        plug=plug_filter,
        unplug={Phase.GIVE_BACK: unplug_filter},
        note=lambda _draft, wanted, _alias: note(wanted),
    ),
}
"""When a guest is kept to its own addresses."""

NOTES = Notes(prefixes=(NOTE,), release=release_filter)
"""What it writes into the mark of the device."""
