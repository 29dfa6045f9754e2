# SPDX-License-Identifier: Apache-2.0
"""Open the guest's end of a plugged VIF, for who starts the guest himself."""

from __future__ import annotations

from os_vif import exception
from os_vif.engine import families
from os_vif.engine.topology import Topology

MOST_QUEUES = 256
"""More than one tap or macvtap takes (MAX_TAP_QUEUES)."""


def open_guest_end(topology: Topology, queues: int) -> list[int]:
    """Open what the guest gets, once for each queue; see :func:`os_vif.verbs.open_guest_end`.

    :raises InvalidField: so many queues cannot be.
    :raises UnusableDevice: the VIF has no such device, or it is not plugged.
    :raises StepFailed: the system refused.
    """
    if isinstance(queues, bool) or not 1 <= queues <= MOST_QUEUES:
        raise exception.InvalidField(
            field="queues", value=queues, expected=f"a number from 1 to {MOST_QUEUES}"
        )
    for resource in topology.resources:
        if families.rule_of(type(resource)).opens:
            act = families.of_resource(type(resource)).system.open_guest_end
            if act is not None:
                return act(topology.mark, resource, queues)
    raise exception.UnusableDevice(
        device=f"VIF {topology.mark.vif_id}",
        reason="no tap or macvtap is made for it, so there is nothing to open",
    )
