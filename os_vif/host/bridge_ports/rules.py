# SPDX-License-Identifier: Apache-2.0
"""When a bridge's port is as described, and which steps make it so.

A device that leaves a bridge loses all that was set of it as a port, so one that joins, or joins
again, gets all that is described.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.engine.checks import spelled_vlans, vlan_ids
from os_vif.engine.family import Rule
from os_vif.host.bridge_ports.questions import FILTERS, PORT, VLANS, Port
from os_vif.host.bridge_ports.resources import BridgePort, Trunk, VlanFiltering
from os_vif.host.links.questions import LINKS, is_shared
from os_vif.host.links.questions.names import asks_names, by_own_names

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked
    from os_vif.engine.topology import Mark

_DEFAULT_VLAN = 1
"""What a port of a bridge of ours is in, without a tag, when it joins (``vlan_default_pvid``)."""


def _is_ours(draft: Draft, bridge: str) -> bool:
    link = draft.host[LINKS].get(bridge)
    return link is not None and is_shared(link.alias)


def _plug_filtering(draft: Draft, wanted: VlanFiltering) -> None:
    """Have a bridge of ours know VLANs."""
    if draft.host[FILTERS].get(wanted.name):
        return
    if not _is_ours(draft, wanted.name):
        raise _knows_no_vlans(draft, wanted.name)
    link = draft.host[LINKS][wanted.name]
    if link is not None and link.index:
        draft.warn(
            wanted.name,
            "it filters VLANs from now on: a frame with a tag passes only ports in its VLAN",
        )
    draft.add("filter_vlans", name=wanted.name, on=True)


def _knows_no_vlans(draft: Draft, bridge: str) -> exception.ResourceConflict:
    how = (
        "say vlan_filtering: true"
        if _is_ours(draft, bridge)
        else f"somebody else made it; say ip link set {bridge} type bridge vlan_filtering 1 "
        "if all who use it agree, or name another bridge"
    )
    return exception.ResourceConflict(
        resource=f"bridge {bridge}", reason=f"it does not filter VLANs; {how}"
    )


def _seen(draft: Draft, name: str, bridge: str) -> Port | None:
    """Return how a device was seen as a port of this bridge; None if it is yet to join."""
    port = draft.host[PORT].get(name)
    return port if port is not None and port.bridge == bridge else None


def _plug_port(draft: Draft, wanted: BridgePort) -> None:
    """Set what differs, or all of a port that has just joined."""
    if wanted.vlans and not draft.host[FILTERS].get(wanted.bridge):
        raise _knows_no_vlans(draft, wanted.bridge)
    attributes = wanted.attributes()
    port = _seen(draft, wanted.name, wanted.bridge)
    if port is not None:
        have = port.attributes
        unknown = sorted(attributes.keys() - have.keys())
        if unknown:
            raise exception.UnusableDevice(
                device=f"bridge {wanted.bridge}",
                reason=f"this kernel does not know or not show {', '.join(unknown)} of a port",
            )
        differ = {key for key, value in attributes.items() if have[key] != value}
        if differ & set(VLANS):
            differ |= set(VLANS)
        attributes = {key: value for key, value in attributes.items() if key in differ}
    if attributes:
        draft.add("set_port_of_bridge", name=wanted.name, attributes=attributes)


def _plug_trunk(draft: Draft, wanted: Trunk) -> None:
    """Add what an uplink lacks of the VLANs that it is to carry."""
    if not _is_ours(draft, wanted.bridge):
        return
    port = _seen(draft, wanted.name, wanted.bridge)
    have = {_DEFAULT_VLAN}
    if port is not None:
        found = port.attributes
        have = set(vlan_ids(f"{found.get('untagged', '')} {found.get('tagged', '')}"))
    if missing := wanted.vlans - have:
        draft.add("add_vlans", name=wanted.name, vlans=spelled_vlans(missing))


def _asks(wanted: BridgePort | Trunk, _mark: Mark) -> list[Asked]:
    return [
        LINKS(wanted.name),
        PORT(wanted.name),
        LINKS(wanted.bridge),
        FILTERS(wanted.bridge),
    ]


RULES: Mapping[type, Rule] = {
    VlanFiltering: Rule(
        asks=lambda wanted, _mark: [LINKS(wanted.name), FILTERS(wanted.name)],
        plug=_plug_filtering,
    ),
    BridgePort: Rule(asks=_asks, plug=_plug_port),
    Trunk: Rule(names=asks_names("name"), named=by_own_names("name"), asks=_asks, plug=_plug_trunk),
}
"""What is to be known of each kind of resource; all goes with the port, or with the bridge."""
