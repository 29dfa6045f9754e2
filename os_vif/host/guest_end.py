# SPDX-License-Identifier: Apache-2.0
"""Open the guest's end of a plugged VIF, for who starts the guest himself."""

from __future__ import annotations

from os_vif import exception
from os_vif.host.backends import chardev, links
from os_vif.host.link_rules import is_ours
from os_vif.host.resources import Macvtap, Tap
from os_vif.host.topology import Topology

MOST_QUEUES = 256
"""More than one tap or macvtap takes (MAX_TAP_QUEUES)."""


def open_guest_end(topology: Topology, queues: int) -> list[int]:
    """Open the VIF's tap or macvtap, once for each queue; see :func:`os_vif.verbs.open_guest_end`.

    :raises InvalidField: so many queues cannot be.
    :raises UnusableDevice: the VIF has no such device, or it is not plugged.
    :raises StepFailed: the system refused.
    """
    if isinstance(queues, bool) or not 1 <= queues <= MOST_QUEUES:
        raise exception.InvalidField(
            field="queues", value=queues, expected=f"a number from 1 to {MOST_QUEUES}"
        )
    wanted = next((it for it in topology.resources if isinstance(it, Tap | Macvtap)), None)
    if wanted is None:
        raise exception.UnusableDevice(
            device=f"VIF {topology.mark.vif_id}",
            reason="no tap or macvtap is made for it, so there is nothing to open",
        )
    link = links.look_up([wanted.name])[wanted.name]
    if link is None or not is_ours(topology.mark, wanted, link):
        raise exception.UnusableDevice(
            device=f"device {wanted.name}",
            reason=f"VIF {topology.mark.vif_id} is not plugged: "
            + ("there is no such device" if link is None else "this device is not the VIF's")
            + "; plug it first",
        )
    if queues > 1 and link.kind == "tap" and not link.attributes.get("multi_queue"):
        raise exception.UnusableDevice(
            device=f"tap {wanted.name}",
            reason=f"it has a single queue, not {queues}; plug it with several (multi_queue)",
        )
    try:
        return chardev.open_queues(link, queues)
    except OSError as error:
        raise exception.StepFailed(
            step=f"open {link.kind} {link.name}",
            reason=error.strerror or str(error),
            errno=error.errno or 0,
            left="",
        ) from error
