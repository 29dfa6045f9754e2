# SPDX-License-Identifier: Apache-2.0
"""What two VIFs of one call cannot both have: a name, a socket, a logical port, a MAC address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from os_vif.engine.families import rule_of
from os_vif.exception import ResourceConflict

if TYPE_CHECKING:
    from os_vif.engine.topology import Topology
    from os_vif.objects.vif import VIFBase


class Claim(NamedTuple):
    """Something that a VIF has for itself.

    :ivar kind: ``id``, ``name``, ``path``, ``interface_id`` or ``mac``.
    :ivar value: which.
    :ivar network: the id of the network in which it is unique; '' for everywhere.
    """

    kind: str
    value: str
    network: str = ""

    def __str__(self) -> str:
        what, on, where = (
            self.value.partition(" on ") if self.kind == "mac" else (self.value, "", "")
        )
        return f"{_WORDS[self.kind]} {what!r}{on}{where}"


_WORDS = {
    "id": "VIF id",
    "name": "device name",
    "path": "socket",
    "interface_id": "logical port",
    "mac": "MAC address",
}


def claims_of(vif: VIFBase, topology: Topology) -> list[Claim]:
    """Return what a VIF has for itself, what it is known by first.

    Networks of one switch are told apart by their VLANs, so a MAC address may be in each of them.

    :raises UnusableFamily: nobody knows one of its resources.
    """
    network = vif.network if vif.obj_attr_is_set("network") else None
    place = str(network.id) if network is not None and network.obj_attr_is_set("id") else ""
    claims = [
        Claim(kind, value, place if kind == "mac" else "")
        for resource in topology.resources
        for kind, value in rule_of(type(resource)).claims(resource)
    ]
    return sorted(claims, key=lambda claim: list(_WORDS).index(claim.kind))


def conflicts_of(named: Mapping[int, tuple[VIFBase, Topology]]) -> dict[int, ResourceConflict]:
    """Return, by position, which VIFs want what one before them has, each with its error.

    Who has the name, or the socket, that another one wants too is seen on the host.
    """
    found: dict[int, ResourceConflict] = {}
    taken: dict[Claim, str] = {}
    for position, (vif, topology) in named.items():
        for claim in claims_of(vif, topology):
            if claim.kind in ("name", "path"):
                continue
            first = taken.setdefault(claim, vif.id)
            if first != vif.id:
                reason = f"VIF {first} of the same call has it"
                found[position] = ResourceConflict(resource=str(claim), reason=reason)
                break
    return found
