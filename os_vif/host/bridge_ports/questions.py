# SPDX-License-Identifier: Apache-2.0
"""What can be asked about a bridge's ports, and the shape of the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from os_vif.engine.observed import Question

VLANS = ("pvid", "untagged", "tagged")
"""Attributes of a port that say its VLANs: the one of frames without a tag (0 for none), and by
:func:`os_vif.engine.checks.spelled_vlans` those whose frames leave without a tag, and with one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Port:
    """A port of a bridge.

    :ivar bridge: name of the bridge.
    :ivar attributes: by name, :data:`.resources.FLAGS` and :data:`VLANS`: those that the kernel
        shows.
    """

    bridge: str
    attributes: Mapping[str, bool | int | str]


def _device_gone(answers: dict[str, Port | None], name: str) -> None:
    if name in answers:
        answers[name] = None


PORT: Question[str, Port | None] = Question("bridge_port", gone=_device_gone)
"""Of a device: how it is treated as a port; None where it is no bridge's."""

FILTERS: Question[str, bool | None] = Question("vlan_filtering")
"""Of a bridge: whether it knows VLANs; None where there is no such bridge."""

QUESTIONS = (PORT, FILTERS)
"""All that can be asked."""
