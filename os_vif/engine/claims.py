# SPDX-License-Identifier: Apache-2.0
"""What two VIFs of one call cannot both have: a name, a socket, a logical port, a MAC address.

Or what they share, and have to describe alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from os_vif.engine.families import rule_of
from os_vif.exception import ResourceConflict

if TYPE_CHECKING:
    from os_vif.engine.topology import Topology
    from os_vif.objects.vif import VIFBase

Holder = TypeVar("Holder")


class Claim(NamedTuple):
    """Something that a VIF has for itself.

    :ivar kind: ``id``, ``name``, ``path``, ``interface_id``, ``mac`` or ``shape``.
    :ivar value: which; of a ``shape``, `` as `` and what it is like stand behind it.
    :ivar network: the id of the network in which it is unique; '' for everywhere.
    """

    kind: str
    value: str
    network: str = ""

    @property
    def thing(self) -> Claim:
        """What it is of, whatever that is like."""
        value = self.value.partition(_AS)[0] if self.kind == "shape" else self.value
        return self._replace(value=value)

    def __str__(self) -> str:
        if self.kind == "shape":
            return self.thing.value
        what, on, where = (
            self.value.partition(" on ") if self.kind == "mac" else (self.value, "", "")
        )
        return f"{_WORDS[self.kind]} {what!r}{on}{where}"


_AS = " as "
_WORDS = {
    "id": "VIF id",
    "name": "device name",
    "path": "socket",
    "interface_id": "logical port",
    "mac": "MAC address",
    "shape": "",
}


class Claims(Generic[Holder]):
    """What is claimed by whom, as far as VIFs were come to."""

    def __init__(self) -> None:
        self._first: dict[Claim, tuple[Claim, Holder]] = {}

    def before(self, claim: Claim, holder: Holder) -> Holder | None:
        """Return who keeps one from this by a claim before it; else note it."""
        first, whose = self._first.setdefault(claim.thing, (claim, holder))
        is_shared = claim.kind == "shape" and first == claim
        return None if whose == holder or is_shared else whose


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
    claims: Claims[str] = Claims()
    for position, (vif, topology) in named.items():
        for claim in claims_of(vif, topology):
            if claim.kind in ("name", "path"):
                continue
            first = claims.before(claim, vif.id)
            if first is not None:
                how = "describes it otherwise" if claim.kind == "shape" else "has it"
                reason = f"VIF {first} of the same call {how}"
                found[position] = ResourceConflict(resource=str(claim), reason=reason)
                break
    return found
