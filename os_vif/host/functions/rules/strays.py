# SPDX-License-Identifier: Apache-2.0
"""PCI functions that a VIF has beside the one that is described."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from os_vif.engine.family import Strays
from os_vif.engine.plugged import Part
from os_vif.engine.topology import Mark
from os_vif.host.functions.questions import LOOPBACK, Given, marks_on
from os_vif.host.functions.resources import (
    FunctionVlan,
    PciDevice,
    Representor,
    VirtualFunction,
)
from os_vif.host.links.questions import LINKS

if TYPE_CHECKING:
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Topology

_ADDRESSED = (PciDevice, VirtualFunction, Representor, FunctionVlan)


def _asks(_topology: Topology, _marks: Collection[Mark]) -> list[Asked]:
    # The card's own device is looked at for the function that is described.
    return [LINKS(LOOPBACK)]


def _find(topology: Topology, host: Host) -> Iterable[Part]:
    owner = topology.mark
    for link in filter(None, host[LINKS].values()):
        for mark in marks_on(link):
            if mark.vif_id == owner.vif_id and mark.address not in _described(topology):
                given = Given(mark, link.name, bool(link.attributes.get("up")), None, {})
                yield Part(owner.vif_id, "functions", given, Mark(owner.vif_id, owner.plugin))


def _described(topology: Topology) -> set[str]:
    return {it.address for it in topology.resources if isinstance(it, _ADDRESSED)}


STRAYS = Strays(asks=_asks, find=_find)
"""How a VIF's other functions are found: by the marks on devices that are looked at anyway."""
