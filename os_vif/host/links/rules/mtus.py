# SPDX-License-Identifier: Apache-2.0
"""Whose an MTU is: a guest's device has the guest's, and nothing of the host's follows it.

A device of the host's is raised where that is asked for, never lowered, and what it had is noted on
it as an alternative name.  The kernel gives a bridge the least MTU of its ports until somebody
sets one (br_mtu_auto_adjust()); so a bridge made here has one set, and a stranger's is held at what
it has before a smaller tap joins.
"""

from __future__ import annotations

from os_vif.engine.draft import Draft
from os_vif.host.links.questions import (
    LINKS,
    UPLINK_WORD,
    Link,
    is_shared,
    is_unfinished,
    mtu_of,
    words_behind,
)
from os_vif.host.links.questions.mtu_notes import former_mtu, mtu_note
from os_vif.host.links.resources import Bridge, Uplink, Value


def raised(draft: Draft, link: Link, least: int | None) -> dict[str, Value]:
    """Return the MTU to set on a device so that it has at least this one; note what it had."""
    have = mtu_of(link)
    if least is None or have >= least:
        return {}
    if not is_shared(link.alias) and former_mtu(link) is None:
        draft.add("note_mtu", device=link.name, note=mtu_note(link.name, have))
    return {"mtu": least}


def of_bridge(draft: Draft, bridge: Bridge, link: Link | None) -> dict[str, Value]:
    """Return the MTU to set on a bridge of ours: its uplink's, or the largest that was asked for.

    Either way it is the same in whatever order its guests come.
    """
    for resource in draft.topology.resources:
        if isinstance(resource, Uplink) and resource.bridge == bridge.name:
            found = mtu_of(draft.host[LINKS].get(resource.name))
            return {"mtu": max(found, resource.mtu or 0)} if found else {}
    if link is not None and words_behind(link.alias, UPLINK_WORD):
        return {}  # another VIF's network says which, and it has that one's
    if bridge.mtu is None:
        return {}
    # One that is half made has none that anybody chose.
    have = 0 if link is None or is_unfinished(link) else mtu_of(link)
    return {"mtu": max(have, bridge.mtu)}
