# SPDX-License-Identifier: Apache-2.0
"""From what is wanted and what was seen to the steps between: pure, no I/O.

What may live here: for each kind of resource, when it is there, when it is in the way, and which
steps make it so.  Each step is written on the model of the host at once, so that the next
resource, and the next VIF of a batch, is planned on what the ones before it will have done.

Who owns a device decides what may be done to it:

* one with the VIF's mark is the VIF's, whatever it looks like;
* an unmarked one is adopted when it is evidently the VIF's (the right kind, and its MAC or a
  name derived from its id);
* one marked as shared is corrected when it drifted; a stranger's bridge is used as it is;
* anything else is in the way, is named in the error, and is never touched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from os_vif import exception
from os_vif.host import steps
from os_vif.host.observed import Host, Link, Questions, Route, as_mapping
from os_vif.host.resources import (
    Bridge,
    ForwardRules,
    HostRoute,
    ProxyNeighbour,
    Resource,
    Tap,
    Uplink,
    Value,
    Vlan,
)
from os_vif.host.steps import Step
from os_vif.host.topology import SHARED_MARK, Mark, Topology, parse_mark, rules_comment

RT_SCOPE_LINK = 253
RTPROT_STATIC = 4
IPV6_SETTINGS = frozenset({"disable_ipv6", "forwarding6", "proxy_ndp", "accept_ra"})


@dataclasses.dataclass(slots=True)
class Plan:
    """What to do for one topology.

    :ivar steps: in order.
    :ivar undo: for each step the one that takes it back; None where there is nothing to take.
    """

    steps: list[Step] = dataclasses.field(default_factory=list)
    undo: list[Step | None] = dataclasses.field(default_factory=list)


def questions(topology: Topology) -> Questions:
    """Return what must be looked up on the host to plan ``topology``, either way."""
    links: set[str] = set()
    bridges: set[str] = set()
    moves: set[tuple[str, str]] = set()
    routes: set[str] = set()
    proxies: set[tuple[str, str]] = set()
    forwarding: set[tuple[str, bool]] = set()
    for resource in topology.resources:
        match resource:
            case Tap():
                links.add(resource.name)
            case Bridge():
                links.add(resource.name)
                bridges.add(resource.name)
            case Vlan():
                links.update((resource.name, resource.link))
            case Uplink():
                links.add(resource.name)
                moves.add((resource.name, resource.bridge))
            case HostRoute():
                routes.add(resource.destination)
            case ProxyNeighbour():
                proxies.add((resource.device, resource.address))
            case ForwardRules():
                forwarding.add((rules_comment(topology.mark, resource.bridge), resource.ipv6))
    return Questions(
        frozenset(links),
        frozenset(bridges),
        frozenset(moves),
        frozenset(routes),
        frozenset(proxies),
        frozenset(forwarding),
    )


class _Draft:
    """A plan in the making: records steps with their inverses and writes them on the model."""

    def __init__(self, topology: Topology, host: Host, *, undoable: bool) -> None:
        self.undoable = undoable
        self.topology = topology
        self.mark = topology.mark
        self.host = host
        self.plan = Plan()

    def add(self, kind: str, /, **args: Any) -> None:
        step = Step(kind, args)
        self.plan.undo.append(steps.inverse(self.host, step) if self.undoable else None)
        self.plan.steps.append(step)
        steps.apply(self.host, step)

    def correct(self, link: Link, wanted: Mapping[str, Value], alias: str | None = None) -> None:
        """Set what differs of ``wanted`` (and the mark) on a device that exists."""
        have = link.attributes
        drift: dict[str, Value] = {
            key: value
            for key, value in wanted.items()
            # A kernel without IPv6 shows no such settings, and needs none.
            if have.get(key) != value and (key in have or key not in IPV6_SETTINGS)
        }
        if alias is not None and link.alias != alias:
            drift["alias"] = alias
        if drift:
            self.add("set_link", name=link.name, attributes=drift)

    def need(self, name: str) -> Link:
        """Return a device that only the host's operator can provide."""
        link = self.host.link(name)
        if link is None:
            raise exception.NetworkInterfaceNotFound(interface=name)
        return link


def plan_plug(topology: Topology, host: Host) -> Plan:
    """Return the steps that make the host look like ``topology``; ``host`` becomes the result.

    :raises ResourceConflict: something that is not ours stands in the way.
    :raises NetworkInterfaceNotFound: a device that must be there is not.
    """
    draft = _Draft(topology, host, undoable=True)
    try:
        for resource in topology.resources:
            _PLUG[type(resource)](draft, resource)
    except exception.ExceptionBase:
        # None of it will run, so the next VIF must not be planned on it.
        for step in reversed(draft.plan.undo):
            if step is not None:
                steps.apply(host, step)
        raise
    return draft.plan


def plan_unplug(topology: Topology, host: Host) -> Plan:
    """Return the steps that take away what is this VIF's; ``host`` becomes the result.

    What is shared stays, what is a stranger's is left alone.  Nothing of it is taken back when a
    step fails: half unplugged is nearer to what was asked for, and again does the rest.
    """
    draft = _Draft(topology, host, undoable=False)
    doomed = [
        [link.name, link.index]
        for resource in reversed(topology.resources)
        if isinstance(resource, Tap)
        and (link := host.link(resource.name)) is not None
        and _is_ours(draft.mark, resource, link)
    ]
    if doomed:
        draft.add("delete_links", links=doomed)
    for resource in topology.resources:
        if isinstance(resource, ForwardRules):
            _set_rules(draft, resource, ())
    return draft.plan


# --- links --------------------------------------------------------------------------------------


def _is_ours(mark: Mark, tap: Tap, link: Link) -> bool:
    found = parse_mark(link.alias)
    if found is not None:
        return found.vif_id == mark.vif_id
    if link.kind != "tap":
        return False
    # Names derived from the id keep 11 of its characters behind a prefix of three.
    derived = len(mark.vif_id) >= 11 and mark.vif_id[:11] in link.name
    return tap.adopt and (derived or link.attributes.get("mac") in tap.known_macs)


def _plug_tap(draft: _Draft, tap: Tap) -> None:
    link = draft.host.link(tap.name)
    wanted = tap.attributes()
    if link is not None:
        if not _is_ours(draft.mark, tap, link):
            raise _in_the_way(link, f"VIF {draft.mark.vif_id} needs a tap of this name")
        if link.attributes.get("multi_queue") == tap.multi_queue:
            draft.correct(link, wanted, _mark_on(draft.mark, link))
            return
        if link.attributes.get("queues"):
            raise exception.ResourceConflict(
                resource=f"tap {tap.name}",
                reason=f"it must become {_queues(tap.multi_queue)}, which the kernel only takes "
                "at creation, but a program has it open; stop the guest first",
            )
        _make_way(draft, link)
    draft.add(
        "create_link",
        kind="tap",
        name=tap.name,
        attributes={**wanted, "multi_queue": tap.multi_queue, "alias": str(draft.mark)},
    )


def _mark_on(mark: Mark, link: Link) -> str:
    """Return the mark a tap of ours must carry; a caller who names no guest keeps the one there."""
    there = parse_mark(link.alias)
    if there is not None and there == dataclasses.replace(mark, instance=there.instance):
        return link.alias if not mark.instance else str(mark)
    return str(mark)


def _make_way(draft: _Draft, link: Link) -> None:
    """Delete a tap of ours in steps of which each can be taken back."""
    if link.alias != str(draft.mark):
        # Only a device with a mark is made again, so an adopted one is marked first.
        draft.add("set_link", name=link.name, attributes={"alias": str(draft.mark)})
    for resource in draft.topology.resources:
        # The kernel would take these away unasked, and nobody would know them afterwards.
        if isinstance(resource, HostRoute):
            if draft.host.routes_to.get(resource.destination) == _target(resource):
                draft.add("delete_route", device=link.name, route=_route(resource))
        elif isinstance(resource, ProxyNeighbour) and _is_proxied(draft, resource):
            draft.add("delete_proxy", device=link.name, address=resource.address)
    draft.add("delete_links", links=[[link.name, link.index]])


def _queues(multi: bool) -> str:
    return "a multi-queue tap" if multi else "a single-queue tap"


def _plug_bridge(draft: _Draft, bridge: Bridge) -> None:
    link = draft.host.link(bridge.name)
    wanted = bridge.attributes()
    uplink = _uplink_of(draft, bridge.name)
    if uplink is not None and _is_ethernet(uplink):
        # A bridge takes its lowest port's address; with a host's addresses on it, that must not
        # change with every guest that comes and goes.
        wanted["mac"] = uplink.attributes["mac"]
    if any(
        ":" in address.local
        for device in (bridge.name, uplink.name if uplink else "")
        for address in draft.host.addresses.get(device, ())
    ):
        wanted["disable_ipv6"] = False
    if link is None:
        if not bridge.create:
            raise exception.NetworkInterfaceNotFound(interface=bridge.name)
        draft.add(
            "create_link",
            kind="bridge",
            name=bridge.name,
            attributes={**wanted, "alias": SHARED_MARK},
        )
    elif link.kind != "bridge":
        raise _in_the_way(link, "a bridge of this name is needed")
    elif bridge.create and (link.alias == SHARED_MARK or steps.is_unfinished(link)):
        draft.correct(link, wanted, SHARED_MARK)
    else:
        draft.correct(link, {"up": True})


def _uplink_of(draft: _Draft, bridge: str) -> Link | None:
    for resource in draft.topology.resources:
        if isinstance(resource, Uplink) and resource.bridge == bridge:
            return draft.host.links.get(resource.name)
    return None


def _plug_vlan(draft: _Draft, vlan: Vlan) -> None:
    lower = draft.need(vlan.link)
    draft.correct(lower, {"up": True})
    link = draft.host.link(vlan.name)
    if link is None:
        draft.add(
            "create_link",
            kind="vlan",
            name=vlan.name,
            attributes={
                **vlan.attributes(),
                "mac": lower.attributes["mac"],
                "link": vlan.link,
                "vlan_id": vlan.vlan_id,
                "alias": SHARED_MARK,
            },
        )
        return
    have = (link.kind, link.attributes.get("link"), link.attributes.get("vlan_id"))
    if have != ("vlan", vlan.link, vlan.vlan_id):
        found = f"VLAN {have[2]} on {have[1]}" if link.kind == "vlan" else _what(link)
        raise exception.ResourceConflict(
            resource=f"device {vlan.name}",
            reason=f"it is {found}; VLAN {vlan.vlan_id} on {vlan.link} is needed",
        )
    if link.alias == SHARED_MARK or steps.is_unfinished(link):
        draft.correct(link, vlan.attributes(), SHARED_MARK)
    else:
        draft.correct(link, {"up": True})


def _plug_uplink(draft: _Draft, uplink: Uplink) -> None:
    link = draft.need(uplink.name)
    master = link.attributes.get("master")
    if master not in (None, uplink.bridge):
        raise exception.ResourceConflict(
            resource=f"uplink {uplink.name}",
            reason=f"it is a port of {master}; take it out first (ip link set {uplink.name} "
            "nomaster) or name another uplink",
        )
    if link.kind == "bridge" or parse_mark(link.alias) is not None:
        raise _in_the_way(link, f"an uplink for {uplink.bridge} is needed")
    if not _is_ethernet(link):
        raise exception.ResourceConflict(
            resource=f"uplink {uplink.name}",
            reason="it is not an Ethernet device, and a bridge takes no others",
        )
    host = draft.host
    addresses = host.addresses.get(uplink.name, ())
    # A gateway must be reachable, at times by a route, so those without one come first.
    routes = sorted(host.routes.get(uplink.name, ()), key=lambda route: bool(route.gateway))
    # Add first, remove last: at no moment, and wherever this is killed, is the host without them.
    there = {address.key for address in host.addresses.get(uplink.bridge, ())}
    for address in addresses:
        if address.key not in there:
            moved = {**as_mapping(address), "label": _moved_label(address.label, uplink)}
            draft.add("add_address", device=uplink.bridge, address=moved)
    for route in routes:
        if route not in host.routes.get(uplink.bridge, ()):
            draft.add("add_route", device=uplink.bridge, route=as_mapping(route))
    draft.correct(link, uplink.attributes())
    for route in reversed(routes):
        draft.add("delete_route", device=uplink.name, route=as_mapping(route))
    # Backwards, or the kernel takes the secondary addresses away with their primary one.
    for address in reversed(addresses):
        draft.add("delete_address", device=uplink.name, address=as_mapping(address))


def _is_ethernet(link: Link) -> bool:
    mac = link.attributes.get("mac")
    return isinstance(mac, str) and len(mac) == len("52:54:00:12:34:56") and mac.strip("0:") != ""


def _moved_label(label: str, uplink: Uplink) -> str:
    # ip-address(8): a label is the device's name, or begins with it and a colon.
    name, colon, rest = label.partition(":")
    moved = f"{uplink.bridge}:{rest}"
    return moved if name == uplink.name and colon and len(moved) < 16 else ""


# --- routes, neighbours, forwarding -------------------------------------------------------------


def _target(wanted: HostRoute) -> tuple[str, str]:
    return wanted.device, wanted.gateway or ""


def _route(wanted: HostRoute) -> Mapping[str, Value]:
    on_link_ipv4 = wanted.gateway is None and ":" not in wanted.destination
    return as_mapping(
        Route(
            wanted.destination,
            gateway=wanted.gateway or "",
            protocol=RTPROT_STATIC,
            scope=RT_SCOPE_LINK if on_link_ipv4 else 0,
        )
    )


def _plug_route(draft: _Draft, wanted: HostRoute) -> None:
    found = draft.host.routes_to.get(wanted.destination)
    if found == _target(wanted):
        return
    if found is not None:
        raise exception.ResourceConflict(
            resource=f"route {wanted.destination}",
            reason=f"it leads to {found[0]}, and {wanted.device} is needed",
        )
    draft.add("add_route", device=wanted.device, route=_route(wanted))


def _is_proxied(draft: _Draft, wanted: ProxyNeighbour) -> bool:
    return wanted.address in draft.host.proxies.get(wanted.device, frozenset())


def _plug_proxy(draft: _Draft, wanted: ProxyNeighbour) -> None:
    if not _is_proxied(draft, wanted):
        draft.add("add_proxy", device=wanted.device, address=wanted.address)


def _plug_rules(draft: _Draft, wanted: ForwardRules) -> None:
    _set_rules(draft, wanted, wanted.rules)


def _set_rules(draft: _Draft, wanted: ForwardRules, rules: tuple[tuple[str, ...], ...]) -> None:
    comment = rules_comment(draft.mark, wanted.bridge)
    key = (comment, wanted.ipv6)
    if key in draft.host.forwarding:
        found = draft.host.forwarding[key]
        # iptables spells out what a target has by default, so ours may be the beginning.
        if found is None or (
            len(found) == len(rules)
            and all(have[: len(want)] == want for have, want in zip(found, rules, strict=True))
        ):
            return
    draft.add(
        "set_forwarding",
        comment=comment,
        ipv6=wanted.ipv6,
        rules=[list(rule) for rule in rules],
        top_regex=wanted.top_regex,
        bottom_regex=wanted.bottom_regex,
    )


_PLUG: Mapping[type[Resource], Callable[[_Draft, Any], None]] = {
    Tap: _plug_tap,
    Bridge: _plug_bridge,
    Vlan: _plug_vlan,
    Uplink: _plug_uplink,
    HostRoute: _plug_route,
    ProxyNeighbour: _plug_proxy,
    ForwardRules: _plug_rules,
}


def _what(link: Link) -> str:
    mark = parse_mark(link.alias)
    if mark is not None:
        return f"a {link.kind or 'NIC'} of VIF {mark.vif_id}"
    return f"a {link.kind} that is not this VIF's" if link.kind else "a NIC of the host"


def _in_the_way(link: Link, need: str) -> exception.ResourceConflict:
    return exception.ResourceConflict(
        resource=f"device {link.name}", reason=f"it is {_what(link)}, and {need}"
    )
