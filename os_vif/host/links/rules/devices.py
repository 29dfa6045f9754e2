# SPDX-License-Identifier: Apache-2.0
"""When a device is there, when it is in the way, and which steps make it so."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from os_vif import exception
from os_vif.engine.draft import Draft
from os_vif.engine.topology import Mark, parse_mark, without_guest
from os_vif.host.gateways.questions import TABLES
from os_vif.host.links.questions import (
    LINKS,
    LONGEST_ALIAS,
    UPLINK_WORD,
    USERS,
    Link,
    correct,
    derived_mac,
    in_the_way,
    is_shared,
    is_unfinished,
    keep_bridges,
    mark_on,
    naming_guest,
    need,
    netdev_behind,
    shared_mark,
    what,
    words_behind,
)
from os_vif.host.links.questions.uplinks import WIRELESS
from os_vif.host.links.resources import Bridge, Macvtap, Tap, Uplink, Value, Veth, VethEnd, Vlan
from os_vif.host.links.rules import taps
from os_vif.host.links.rules.ipv6 import silence, still_speaks, take_over, take_over_the_last
from os_vif.host.links.rules.mtus import of_bridge, raised
from os_vif.host.routes.questions import (
    ADDRESSES,
    IMMOVABLE,
    ROUTES,
    ROUTES_TO,
    Address,
    Route,
    as_mapping,
    elsewhere,
    foremost,
    is_proxied,
    row_of,
    speaks_ipv6,
)
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour

Moved = tuple[Sequence[Address], Sequence[Route]]
"""Addresses and routes, in the order in which they are added."""


def is_ours(mark: Mark, wanted: Tap | Veth | VethEnd | Bridge | Macvtap, link: Link) -> bool:
    """Tell whether a device is this VIF's."""
    if link.alias == str(mark):  # nearly always, and it needs no reading
        return True
    found = parse_mark(link.alias)
    if found is not None:
        return found.vif_id == mark.vif_id
    # Names derived from the id keep 11 of its characters behind a prefix of three.
    derived = len(mark.vif_id) >= 11 and mark.vif_id[:11] in link.name
    match wanted:
        case Tap():
            known = derived or link.attributes.get("mac") in wanted.known_macs
            return link.kind == "tap" and wanted.adopt and known
        case Macvtap():
            known = derived or link.attributes.get("mac") == wanted.mac or is_unfinished(link)
            return link.kind == "macvtap" and known
        case Veth() | VethEnd():
            return link.kind == "veth" and derived
        case Bridge():
            return link.kind == "bridge" and wanted.own and derived


def plug_tap(draft: Draft, tap: Tap) -> None:
    """Make the tap, correct it, or make it anew where the kernel cannot change it."""
    link = draft.host[LINKS][tap.name]
    access = taps.access_of(draft.host, tap)
    wanted = {**tap.attributes(), **access}
    multi = bool(tap.multi_queue)
    if link is not None:
        if not is_ours(draft.mark, tap, link):
            raise in_the_way(link, f"VIF {draft.mark.vif_id} needs a tap of this name")
        if taps.is_stuck(link, access):
            wanted = tap.attributes()
        if taps.can_become(link, tap, access):
            keep_bridges(draft, link, wanted)
            mark = mark_on(draft.mark, link)
            alias = naming_guest(draft, _noted(draft, mark, tap), link)
            if link.alias not in ("", mark, alias):
                draft.release(link)
            correct(draft, link, wanted, alias)
            return
        if tap.multi_queue is None:
            multi = link.attributes.get("multi_queue") is True
        if link.attributes.get("queues"):
            raise exception.ResourceConflict(
                resource=f"tap {tap.name}",
                reason=f"it must become {_queues(multi)}, which the kernel only takes "
                "at creation, but a program has it open; stop the guest first",
            )
        _make_way(draft, link)
    alias = naming_guest(draft, _noted(draft, str(draft.mark), tap))
    keep_bridges(draft, None, wanted)
    draft.add(
        "create_link",
        kind="tap",
        name=tap.name,
        attributes={**wanted, "multi_queue": multi, "alias": alias},
    )


def _noted(draft: Draft, mark: str, tap: Tap) -> str:
    words = filter(None, (*draft.noted(""), tap.note))
    for word in words:
        alias = f"{mark} {word}"
        mark = alias if len(alias) <= LONGEST_ALIAS else mark
    return mark


def _make_way(draft: Draft, link: Link) -> None:
    """Delete a tap of ours in steps of which each can be taken back."""
    if parse_mark(link.alias) is None:
        # Only a device with a mark is made again, so an adopted one is marked first.
        draft.add("set_link", name=link.name, attributes={"alias": str(draft.mark)})
    for resource in draft.topology.resources:
        # The kernel would take these away unasked, and nobody would know them afterwards.
        if isinstance(resource, HostRoute):
            if draft.host[ROUTES_TO].get(resource.destination) == resource.target:
                draft.add("delete_route", device=link.name, route=row_of(resource))
        elif isinstance(resource, ProxyNeighbour) and is_proxied(draft.host, resource):
            draft.add("delete_proxy", device=link.name, address=resource.address)
    draft.add("delete_links", links=[[link.name, link.index]])


def _queues(multi: bool) -> str:
    return "a multi-queue tap" if multi else "a single-queue tap"


def plug_veth(draft: Draft, veth: Veth) -> None:
    """Make the pair, or correct both its ends."""
    mark = str(draft.mark)
    both = veth.attributes()
    ends = [draft.host[LINKS][name] for name in (veth.name, veth.peer)]
    for link in ends:
        if (
            link is not None
            and not is_ours(draft.mark, veth, link)
            and not (link.kind == "veth" and is_unfinished(link))
        ):
            raise in_the_way(link, f"VIF {draft.mark.vif_id} needs a veth of this name")
    near, far = ends
    if near is not None and far is not None and near.attributes.get("link") == far.name:
        correct(draft, near, {**both, "master": veth.bridge}, mark_on(draft.mark, near))
        correct(draft, far, both, mark_on(draft.mark, far))
        return
    for link in ends:
        # One of them alone, or with another peer: left by a failure of somebody else's.
        if link is not None and draft.host[LINKS][link.name] is not None:
            draft.add("delete_links", links=[[link.name, link.index]])
    draft.add(
        "create_link",
        kind="veth",
        name=veth.name,
        attributes={**both, "peer": veth.peer, "master": veth.bridge, "alias": mark},
    )


def plug_bridge(draft: Draft, bridge: Bridge) -> None:
    """Make the bridge or, if it is ours, correct it."""
    link = draft.host[LINKS][bridge.name]
    uplink = _uplink_of(draft, bridge.name)
    if link is None:
        if not bridge.create:
            raise exception.NetworkInterfaceNotFound(interface=bridge.name)
        wanted = _wanted_of(draft, bridge, link, uplink)
        draft.add(
            "create_link",
            kind="bridge",
            name=bridge.name,
            attributes={"mac": wanted["mac"], **wanted, "alias": _mark_of(draft, bridge, uplink)},
        )
        take_over(draft, bridge.name, uplink)
        return
    if link.kind != "bridge":
        raise in_the_way(link, "a bridge of this name is needed")
    if bridge.own and not is_ours(draft.mark, bridge, link) and not is_unfinished(link):
        raise in_the_way(link, f"VIF {draft.mark.vif_id} needs a bridge of this name")
    # Before IPv6 is on, or it begins otherwise.
    take_over(draft, bridge.name, uplink)
    if bridge.own or (bridge.create and (is_shared(link.alias) or is_unfinished(link))):
        wanted = _wanted_of(draft, bridge, link, uplink)
        correct(draft, link, wanted, _mark_of(draft, bridge, uplink, link))
    else:
        comes = uplink is not None and speaks_ipv6(draft.host, uplink.name)
        correct(draft, link, {"up": True, **({"disable_ipv6": False} if comes else {})})


def _mark_of(draft: Draft, bridge: Bridge, uplink: Link | None, link: Link | None = None) -> str:
    if bridge.own:
        return mark_on(draft.mark, link) if link is not None else str(draft.mark)
    return shared_mark(link.alias if link else "", [uplink.name] if uplink else [])


def _wanted_of(
    draft: Draft, bridge: Bridge, link: Link | None, uplink: Link | None
) -> dict[str, Value]:
    """Return what a bridge of ours must look like, on this host and with its uplink."""
    wanted = bridge.attributes()
    if uplink is not None and is_ethernet(uplink):
        # A bridge takes its lowest port's address; with a host's addresses on it, that must not
        # change with every guest that comes and goes.
        wanted["mac"] = uplink.attributes["mac"]
    elif link is None or is_unfinished(link):
        # One that was set stays; else it changes with the ports, and a host with an address on the
        # bridge loses its neighbours each time.
        wanted["mac"] = derived_mac(draft.host, str(dataclasses.replace(draft.mark, owner="")))
    if link is not None and draft.host[TABLES].get(bridge.name) is not None:
        del wanted["disable_ipv6"]  # its gateway sees to that
    elif any(speaks_ipv6(draft.host, it) for it in (bridge.name, uplink.name if uplink else "")):
        wanted["disable_ipv6"] = False
    elif link is not None and words_behind(link.alias, UPLINK_WORD):
        # On for its uplink; what a router has advertised may have run out, and comes again.
        del wanted["disable_ipv6"]
    return {**wanted, **of_bridge(draft, bridge, link)}


def _uplink_of(draft: Draft, bridge: str) -> Link | None:
    for resource in draft.topology.resources:
        if isinstance(resource, Uplink) and resource.bridge == bridge:
            return draft.host[LINKS].get(resource.name)
    return None


def plug_vlan(draft: Draft, vlan: Vlan) -> None:
    """Make the VLAN device on its lower device, which is set up."""
    lower = need(draft.host, vlan.link or netdev_behind(draft.host, vlan.behind))
    refuse_wireless(draft, lower.name)
    correct(draft, lower, {"up": True, **raised(draft, lower, vlan.mtu)})
    link = draft.host[LINKS][vlan.name]
    wanted = vlan.attributes()
    if vlan.stays and (link is None or is_unfinished(link)):
        # One that goes again follows its card, which may have a guest's for the moment.
        wanted["mac"] = lower.attributes["mac"]
    if link is None:
        draft.add(
            "create_link",
            kind="vlan",
            name=vlan.name,
            attributes={
                **wanted,
                "link": lower.name,
                "vlan_id": vlan.vlan_id,
                "alias": shared_mark(""),
            },
        )
        return
    have = (link.kind, link.attributes.get("link"), link.attributes.get("vlan_id"))
    if have != ("vlan", lower.name, vlan.vlan_id):
        found = f"VLAN {have[2]} on {have[1]}" if link.kind == "vlan" else what(link)
        raise exception.ResourceConflict(
            resource=f"device {vlan.name}",
            reason=f"it is {found}; VLAN {vlan.vlan_id} on {lower.name} is needed",
        )
    if is_shared(link.alias) or is_unfinished(link):
        correct(draft, link, wanted, shared_mark(link.alias))
    else:
        correct(draft, link, {"up": True})


def unplug_vlan(draft: Draft, vlan: Vlan) -> None:
    """Take away a VLAN device of ours that nobody uses any more."""
    link = draft.host[LINKS][vlan.name]
    if vlan.stays or link is None or link.kind != "vlan":
        return
    ours = is_shared(link.alias) or is_unfinished(link)
    used = draft.host[USERS].get(vlan.name) or draft.host[ADDRESSES].get(vlan.name)
    if ours and not used:
        draft.add("delete_unused", name=vlan.name)


def plug_uplink(draft: Draft, uplink: Uplink) -> None:
    """Put the uplink into the bridge, and move its addresses and routes there."""
    link = need(draft.host, uplink.name)
    master = link.attributes.get("master")
    if master not in (None, uplink.bridge):
        raise exception.ResourceConflict(
            resource=f"uplink {uplink.name}",
            reason=f"it is a port of {master}; take it out first (ip link set {uplink.name} "
            "nomaster) or name another uplink",
        )
    if link.kind == "bridge" or parse_mark(link.alias) is not None:
        raise in_the_way(link, f"an uplink for {uplink.bridge} is needed")
    if not is_ethernet(link):
        raise exception.ResourceConflict(
            resource=f"uplink {uplink.name}",
            reason="it is not an Ethernet device, and a bridge takes no others",
        )
    refuse_wireless(draft, uplink.name)
    # Add first, remove last: at no moment, and wherever this is killed, is the host without them.
    spoke_ipv6 = speaks_ipv6(draft.host, uplink.name)
    moved = add_to(draft, uplink.name, uplink.bridge)
    correct(draft, link, {**uplink.attributes(), **raised(draft, link, uplink.mtu)})
    spoke_ipv6 = spoke_ipv6 or still_speaks(draft.host, need(draft.host, uplink.name))
    if spoke_ipv6:
        take_over_the_last(draft, uplink.bridge, uplink.name)
    take_from(draft, uplink.name, moved)
    if spoke_ipv6:
        silence(draft, uplink.name)


def add_to(draft: Draft, source: str, target: str) -> Moved:
    """Give a device the addresses and routes of another; return what it has of them now.

    :raises ResourceConflict: one of them cannot be moved.
    """
    host = draft.host
    if source in host[IMMOVABLE]:
        raise host[IMMOVABLE][source]
    addresses = host[ADDRESSES].get(source, ())
    # A gateway must be reachable, at times by a route, so those without one come first.
    routes = sorted(foremost(host[ROUTES].get(source, ())), key=lambda route: bool(route.gateway))
    there = {address.key for address in host[ADDRESSES].get(target, ())}
    for address in addresses:
        if address.key not in there:
            moved = {**as_mapping(address), "label": _moved_label(address.label, source, target)}
            draft.add("add_address", device=target, address=moved)
    known = host[ROUTES].get(target, ())
    learned = {route.learned for route in known} - {None}
    for route in routes:
        if route not in known and route.learned not in learned:
            draft.add("add_route", device=target, route=as_mapping(elsewhere(route)))
    return addresses, routes


def take_from(draft: Draft, source: str, moved: Moved) -> None:
    """Take from a device what :func:`add_to` has given another."""
    addresses, routes = moved
    for route in reversed(routes):
        draft.add("delete_route", device=source, route=as_mapping(route))
    # Backwards, or the kernel takes the secondary addresses away with their primary one.
    for address in reversed(addresses):
        draft.add("delete_address", device=source, address=as_mapping(address))


def refuse_wireless(draft: Draft, device: str) -> None:
    """See that a device that a bridge is to send guests' frames by is no wireless card.

    :raises UnusableDevice: it is one: with three addresses a frame (IEEE 802.11, 9.3.2.1) a station
        sends by its own MAC address only, and the kernel takes it into no bridge.
    """
    if draft.host[WIRELESS].get(device):
        raise exception.UnusableDevice(
            device=f"uplink {device}",
            reason="it is a wireless card, and a station sends by its own MAC address only; have "
            "the host route to its guests (type: tap, routed), or name a wired uplink",
        )


def is_ethernet(link: Link) -> bool:
    """Tell whether a device has an Ethernet address, which the loopback has not."""
    mac = link.attributes.get("mac")
    return isinstance(mac, str) and len(mac) == len("52:54:00:12:34:56") and mac.strip("0:") != ""


def _moved_label(label: str, source: str, target: str) -> str:
    # ip-address(8): a label is the device's name, or begins with it and a colon.
    name, colon, rest = label.partition(":")
    moved = f"{target}:{rest}"
    return moved if name == source and colon and len(moved) < 16 else ""


# --- taking away, and what others ask ------------------------------------------------------------


def delete(draft: Draft, wanted: Tap | Veth | VethEnd | Bridge | Macvtap) -> None:
    """Delete a device of the VIF's; of those of one VIF, all at once.

    :raises HeldByAnother: another's port stands on it.
    """
    link = draft.host[LINKS][wanted.name]
    if link is None or not (is_ours(draft.mark, wanted, link) or _is_shown(draft, wanted, link)):
        return
    if _is_spared(wanted, link):
        draft.kept[link.name] = "its hypervisor runs it"
    if wanted.name not in draft.kept:
        draft.add("delete_links", links=[[link.name, link.index]])
        if isinstance(wanted, Tap) and _notes_more(link):
            draft.release(link)  # what it tells of, and does not go with the device
    elif parse_mark(link.alias) is not None:
        # By its mark, that is: by its name or MAC alone it may well be the other's.
        raise exception.HeldByAnother(
            resource=f"device {link.name}", reason=draft.kept[wanted.name]
        )


def _notes_more(link: Link) -> bool:
    """Tell whether a mark has words behind it, but for the guest's name."""
    mark = parse_mark(link.alias)
    return mark is not None and without_guest(link.alias) != str(mark)


def _is_shown(draft: Draft, wanted: Tap | Veth | VethEnd | Bridge | Macvtap, link: Link) -> bool:
    """Tell whether a device without a mark is the VIF's because it is under a port of the VIF's."""
    if link.name not in draft.shown or parse_mark(link.alias) is not None:
        return False
    match wanted:
        case Tap():
            return link.kind == "tap" and wanted.adopt
        case VethEnd():
            return link.kind == "veth"
    return False


def _is_spared(wanted: Tap | Veth | VethEnd | Bridge | Macvtap, link: Link) -> bool:
    return (
        isinstance(wanted, Tap)
        and bool(wanted.spared_in)
        and link.attributes.get("master") == wanted.spared_in
        and parse_mark(link.alias) is None
    )


def tap_made(draft: Draft, tap: Tap) -> tuple[str, ...]:
    """Return the tap's name if it is to be made, or made anew."""
    link = draft.host[LINKS].get(tap.name)
    access = taps.access_of(draft.host, tap)
    return () if link is not None and taps.can_become(link, tap, access) else (tap.name,)


def ends_made(draft: Draft, veth: Veth) -> tuple[str, ...]:
    """Return the names of the veth's ends that are to be made, or made anew."""
    ends = [draft.host[LINKS].get(name) for name in (veth.name, veth.peer)]
    return tuple(
        name
        for name, link in zip((veth.name, veth.peer), ends, strict=True)
        if link is None or link.attributes.get("link") != veth.name
    )
