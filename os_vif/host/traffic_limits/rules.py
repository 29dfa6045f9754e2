# SPDX-License-Identifier: Apache-2.0
"""When limits are there, when another's are in the way, and which steps make it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.engine.family import Notes, Rule
from os_vif.host.traffic_limits.questions import LIMITS, NONE, NOTE, note, noted
from os_vif.host.traffic_limits.resources import Bucket, TrafficLimits
from os_vif.host.traffic_limits.steps import setting

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.host.links.questions import Link


def plug_limits(draft: Draft, wanted: TrafficLimits) -> None:
    """Set the limits, unless they are as they should be.

    :raises ResourceConflict: somebody else limits the device.
    """
    have = draft.host[LIMITS].get(wanted.device, NONE)
    if have.others:
        raise exception.ResourceConflict(
            resource=f"device {wanted.device}",
            reason=f"somebody else has {have.others} on it, in the place of the limits; take that "
            f"away first (tc qdisc del dev {wanted.device} root)",
        )
    if not (_same(wanted.egress, have.egress) and _same(wanted.ingress, have.ingress)):
        draft.take(setting(wanted.device, wanted.egress, wanted.ingress))


def _same(wanted: Bucket | None, have: Bucket | None) -> bool:
    if wanted is None or have is None:
        return wanted is have
    # The kernel keeps bytes a second, and of a burst how long it takes.
    return wanted.rate // 8 == have.rate // 8 and abs(wanted.burst - have.burst) <= (
        wanted.burst // 50
    )


def release_limits(draft: Draft, link: Link) -> None:
    """Take back the limits of a device that nobody describes any more."""
    # At unplug they go with it.
    described = any(isinstance(it, TrafficLimits) for it in draft.topology.resources)
    if draft.undoable and not described and noted(link.alias) != NONE:
        draft.host[LIMITS].setdefault(link.name, noted(link.alias))
        draft.take(setting(link.name, None, None))


RULES: Mapping[type, Rule] = {
    TrafficLimits: Rule(
        asks=lambda wanted, _mark: [LIMITS(wanted.device)],
        plug=plug_limits,
        note=lambda _draft, wanted, _alias: note(wanted.egress, wanted.ingress),
    ),
}
"""When limits are there."""

NOTES = Notes(prefixes=(NOTE,), release=release_limits)
"""What it writes into the mark of a limited device."""
