# SPDX-License-Identifier: Apache-2.0
"""The way back: bridges and VLAN devices of ours that nobody uses go, and uplinks get back theirs.

What moved to a bridge moves with the same care: added first, removed last.  At no moment, and
wherever this is killed, is the host without it; and while a bridge or a VLAN device is there,
whoever takes it away finds what is left to be done.
"""

from __future__ import annotations

from os_vif.engine.draft import Draft
from os_vif.host.forwarding.questions import FORWARDED, parse_rules_comment
from os_vif.host.gateways.questions import TABLES, vif_of
from os_vif.host.links.questions import (
    BRIDGE_PORTS,
    LINKS,
    UPLINK_WORD,
    USERS,
    Link,
    correct,
    is_shared,
    mtu_of,
    need,
    words_behind,
)
from os_vif.host.links.questions.mtu_notes import former_mtu
from os_vif.host.links.resources import Bridge, Uplink, Vlan
from os_vif.host.links.rules.devices import add_to, take_from
from os_vif.host.routes.questions import ADDRESSES


def dissolve_bridge(draft: Draft, bridge: Bridge) -> None:
    """Take away a bridge that was made for many VIFs and that none uses."""
    link = draft.host[LINKS].get(bridge.name)
    if link is None or link.kind != "bridge" or not is_shared(link.alias):
        return
    uplinks = _uplinks_of(draft, link)
    if _is_used(draft, link, uplinks):
        return
    for uplink in uplinks:
        _give_back(draft, link, uplink)
    draft.add("delete_idle", name=link.name)


def dissolve_vlan(draft: Draft, vlan: Vlan) -> None:
    """Take away a VLAN device that was made for many VIFs and that nobody uses."""
    host = draft.host
    link = host[LINKS].get(vlan.name)
    if link is None or link.kind != "vlan" or not is_shared(link.alias):
        return
    if (
        link.attributes.get("master")
        or host[USERS].get(link.name)
        or host[ADDRESSES].get(link.name)
    ):
        return
    lower = host[LINKS].get(str(link.attributes.get("link")))
    if lower is not None:
        _lower_again(draft, lower, but=link.name)
    draft.add("delete_idle", name=link.name)


def dissolve_uplink(draft: Draft, uplink: Uplink) -> None:
    """Give an uplink back its MTU, if it had to keep it for others when its bridge went."""
    link = draft.host[LINKS].get(uplink.name)
    if link is not None and link.attributes.get("master") is None:
        _lower_again(draft, link)


def _uplinks_of(draft: Draft, bridge: Link) -> list[Link]:
    """Return the ports that are the host's own: noted when they joined, or described so.

    One that is no port any more, nor anybody else's, may have left just before a process was
    killed, and what is on the bridge is to go after it.
    """
    names = words_behind(bridge.alias, UPLINK_WORD)
    names += [
        resource.name
        for resource in draft.topology.resources
        if isinstance(resource, Uplink) and resource.bridge == bridge.name
    ]
    found: dict[int, Link] = {}
    for name in names:
        link = draft.host[LINKS].get(name)
        if link is not None and link.attributes.get("master") in (bridge.name, None):
            # Two names may be one device's.
            found.setdefault(link.index, link)
    return list(found.values())


def _is_used(draft: Draft, bridge: Link, uplinks: list[Link]) -> bool:
    """Tell whether anybody else has something on a bridge."""
    host = draft.host
    own = {link.index for link in uplinks}
    for name in host[BRIDGE_PORTS].get(bridge.name, ()):
        port = host[LINKS].get(name)
        joined = port is not None and port.attributes.get("master") == bridge.name
        if port is not None and joined and port.index not in own:
            return True
    # A VIF whose tap the hypervisor has yet to make is known by its rules alone, or by its gateway.
    known = {parse_rules_comment(comment) for comment in host[FORWARDED].get(bridge.name, ())}
    gateway = host[TABLES].get(bridge.name)
    known |= set(map(vif_of, gateway.users)) if gateway is not None else set()
    if known - {draft.mark.vif_id}:
        return True
    # With an uplink they came from there, or can go there.
    stranded = not uplinks and bool(host[ADDRESSES].get(bridge.name))
    return stranded or bool(host[USERS].get(bridge.name))


def _give_back(draft: Draft, bridge: Link, uplink: Link) -> None:
    """Take an uplink out of a bridge, with what the host's IP stack has on the bridge."""
    if bridge.attributes.get("disable_ipv6") is False:
        # It takes no address without it.
        correct(draft, uplink, {"disable_ipv6": False})
    moved = add_to(draft, bridge.name, uplink.name)
    correct(draft, need(draft.host, uplink.name), {"master": None})
    take_from(draft, bridge.name, moved)
    _lower_again(draft, need(draft.host, uplink.name), but=bridge.name)


def _lower_again(draft: Draft, link: Link, but: str = "") -> None:
    """Give a device the MTU that is noted on it, unless who stands on it needs a larger one.

    :param but: who goes
    """
    noted = former_mtu(link)
    if noted is None:
        return
    mtu, note = noted
    users = [name for name in draft.host[USERS].get(link.name, ()) if name != but]
    if any(mtu_of(draft.host[LINKS].get(name)) > mtu for name in users):
        return
    if mtu_of(link) > mtu:
        draft.add("set_link", name=link.name, attributes={"mtu": mtu})
    draft.add("forget_mtu", device=link.name, note=note)
