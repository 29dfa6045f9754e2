# SPDX-License-Identifier: Apache-2.0
"""When a bridge is served as described, what is in the way, and which steps make it so."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.engine.family import Caution, Notes, Phase, Rule
from os_vif.engine.topology import parse_mark, with_guest
from os_vif.host.dnsmasq.questions import (
    DHCP,
    DHCPV6,
    DNS,
    NOTE,
    SERVERS,
    Reserved,
    Server,
    Taken,
    noted,
)
from os_vif.host.dnsmasq.resources import Dnsmasq, Reservation, ServedSubnet
from os_vif.host.dnsmasq.steps import reserving, starting, stopping
from os_vif.host.forwarding.questions import FIREWALL
from os_vif.host.forwarding.questions.chains import Packet
from os_vif.host.gateways.questions import at_the_cost_of
from os_vif.host.links.questions import LINKS, LONGEST_ALIAS, is_shared, is_unfinished
from os_vif.host.links.resources import eui64

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Mark, Topology
    from os_vif.host.links.questions import Link

# --- the server -----------------------------------------------------------------------------------


def _need_ours(draft: Draft, wanted: Dnsmasq) -> None:
    """See that the bridge is one of ours: on another a second server may do harm.

    :raises ResourceConflict: somebody else made it.
    """
    link = draft.host[LINKS].get(wanted.bridge)
    if link is not None and not is_shared(link.alias) and not is_unfinished(link):
        raise exception.ResourceConflict(
            resource=f"bridge {wanted.bridge}",
            reason="somebody else made it, and only guests on bridges that are made here are "
            "served with DHCP and DNS; name another bridge",
        )


def plug_server(draft: Draft, wanted: Dnsmasq) -> None:
    """Have a server run that serves what is described, unless it does.

    :raises UnusableDevice: there is no dnsmasq.
    :raises ResourceConflict: somebody else has its ports.
    """
    found = draft.host[SERVERS].get(wanted.bridge)
    # Where nobody could look, the privileged side finds out.
    why = _fault(draft, found, wanted) if found is not None else ""
    if found is not None and not why:
        return
    if found is not None:
        if found.unusable:
            raise exception.UnusableDevice(device=f"bridge {wanted.bridge}", reason=found.unusable)
        for other in found.taken:
            if is_in_the_way(other, wanted.subnets):
                raise exception.ResourceConflict(
                    resource=f"port {other.port} on {wanted.bridge}", reason=said(other)
                )
    if found is not None:
        _warn_of_others(draft, found, wanted)
    draft.take(starting(wanted.bridge, wanted, why))


def _warn_of_others(draft: Draft, found: Server, wanted: Dnsmasq) -> None:
    """Warn of what other VIFs are told now, and are not to be told: a bridge has one network."""
    others = [vif for vif in found.reserved if vif != draft.mark.vif_id]
    lost = list(_lost(found, wanted))
    if others and lost:
        draft.warn(wanted.bridge, at_the_cost_of(others, lost), others)


def _lost(found: Server, wanted: Dnsmasq) -> Iterator[str]:
    """Yield what a server tells that it is not to tell; of whole subnets the gateway warns."""
    subnets = {it.cidr: it for it in wanted.subnets}
    for have in found.subnets:
        after = subnets.get(have.cidr)
        if after is None:
            continue
        if have.dhcp and not after.dhcp:
            yield f"DHCP for {have.cidr}"
        yield from (f"name server {it}" for it in have.dns if it not in after.dns)
        routes = (it for it in have.routes if it not in after.routes)
        yield from (f"the route to {to} by {via}" for to, via in routes)
    if _asks_the_hosts(found) and not _asks_the_hosts(wanted):
        yield "the host's name servers"
    if found.mtu != wanted.mtu:
        yield f"MTU {found.mtu}"


def _asks_the_hosts(server: Server | Dnsmasq) -> bool:
    return server.forwards and not any(it.dns for it in server.subnets)


def _fault(draft: Draft, found: Server, wanted: Dnsmasq) -> str:
    """Return what is wrong with a server, in words behind it; '' for nothing."""
    if not found.running:
        return "does not run"
    if found.subnets != wanted.subnets:
        return f"serves {', '.join(it.cidr for it in found.subnets)} otherwise than described"
    if found.mtu != wanted.mtu:
        return f"tells MTU {found.mtu}, and {wanted.mtu} is described"
    if found.forwards != wanted.forwards:
        return "asks the host's name servers" if found.forwards else "asks no name server outside"
    if found.outdated:
        return "was started by another release, with another configuration"
    link = draft.host[LINKS].get(wanted.bridge)
    if link is None or link.index != found.index:
        # Its DHCP is bound to the device, not to the name.
        return "serves a bridge of this name that is gone"
    return ""


def is_in_the_way(other: Taken, subnets: Sequence[ServedSubnet]) -> bool:
    """Tell whether a socket keeps a server from serving these."""
    networks = [(it.network, it) for it in subnets]
    if other.port == DHCP:
        return any(network.version == 4 and subnet.dhcp for network, subnet in networks)
    if other.port == DHCPV6:
        return any(network.version == 6 for network, _subnet in networks)
    gateways = {subnet.gateway for _network, subnet in networks}
    return other.port == DNS and other.address in {"0.0.0.0", "::", *gateways}  # noqa: S104


def said(other: Taken) -> str:
    """Return in words whose a socket is, and what to do."""
    who = other.process or "a program that cannot be seen from here"
    everywhere = other.address in ("0.0.0.0", "::")  # noqa: S104
    where = "every device" if everywhere else other.address
    what = "DNS" if other.port == DNS else "DHCP"
    return (
        f"{who} answers {what} on {where}; have it leave this bridge alone (of a dnsmasq: "
        "bind-dynamic, and interface= or except-interface=), or end it"
    )


def unplug_server(draft: Draft, wanted: Dnsmasq) -> None:
    """End the server, if no VIF has a reservation any more."""
    found = draft.host[SERVERS].get(wanted.bridge)
    if found is None or ((found.running or found.subnets) and not found.reserved):
        draft.take(stopping(wanted.bridge))


# --- what to warn of ------------------------------------------------------------------------------


def warn_server(_topology: Topology, host: Host, wanted: Dnsmasq) -> Iterator[Caution]:
    """Warn of firewalls that drop what guests ask this host for."""
    dropped: dict[str, list[str]] = {}
    for what, packet in _asked_for(wanted):
        firewall = host[FIREWALL].get(packet.family)
        families = (packet.family, "inet")
        if firewall is not None:
            for chain in firewall.dropping(packet, families, ours=False, hook="input"):
                dropped.setdefault(chain, []).append(what)
    for chain, told in dropped.items():
        asked = " and ".join(told)
        yield Caution(
            wanted.bridge,
            f"{chain} drops what its guests ask this host for: {asked}; let that in from "
            f"{wanted.bridge}",
        )


def _asked_for(wanted: Dnsmasq) -> Iterator[tuple[str, Packet]]:
    """Yield what guests ask the host for, each with the first packet of it."""
    for version, family in ((4, "ip"), (6, "ip6")):
        subnets = [it for it in wanted.subnets if it.network.version == version]
        packet = Packet(family, wanted.bridge, "")
        if version == 4 and any(it.dhcp for it in subnets):
            yield f"DHCP (UDP port {DHCP})", replace(packet, port=DHCP, to="BROADCAST")
        if version == 6 and any(it.dhcp for it in subnets):
            yield f"DHCPv6 (UDP port {DHCPV6})", replace(packet, port=DHCPV6, to="MULTICAST")
        if subnets:
            yield f"DNS by IPv{version} (port {DNS})", replace(packet, port=DNS, to="LOCAL")


# --- what is reserved -----------------------------------------------------------------------------


def need_promise(draft: Draft, wanted: Reservation) -> None:
    """See that the guest can get what is promised, and that nobody else has it.

    :raises InvalidField: an address is in no subnet, or not the one that the guest makes itself.
    :raises ResourceConflict: another VIF has it, or another guest still holds it.
    """
    _need_served(draft, wanted)
    found = draft.host[SERVERS].get(wanted.bridge)
    if found is None:
        return
    for vif, other in found.reserved.items():
        if vif == draft.mark.vif_id:
            continue
        for what in _shared(wanted, other):
            raise exception.ResourceConflict(
                resource=f"{what} on {wanted.bridge}", reason=f"it is reserved for VIF {vif}"
            )
    for mac, address in found.leases:
        if address in wanted.addresses and mac and mac != wanted.mac:
            raise exception.ResourceConflict(
                resource=f"address {address} on {wanted.bridge}",
                reason=f"{mac} has it by DHCP, and no VIF reserves it; have that guest give it "
                "back, or reserve another",
            )


def _shared(wanted: Reservation, other: Reserved) -> Iterator[str]:
    yield from (f"address {it}" for it in wanted.addresses if it in other.addresses)
    if wanted.name and wanted.name.lower() == other.name.lower():
        yield f"host name {wanted.name}"
    if wanted.mac == other.mac:
        yield f"MAC address {wanted.mac}"


def _need_served(draft: Draft, wanted: Reservation) -> None:
    subnets = [
        subnet
        for it in draft.topology.resources
        if isinstance(it, Dnsmasq) and it.bridge == wanted.bridge
        for subnet in it.subnets
    ]
    had: set[str] = set()
    for text in wanted.addresses:
        address = ipaddress.ip_address(text)
        mine = [it for it in subnets if address in it.network]
        expected = ""
        if not mine:
            served = ", ".join(it.cidr for it in subnets)
            expected = f"an address of a subnet that is served on {wanted.bridge}: {served}"
        elif text == mine[0].gateway:
            expected = f"another address than the gateway's of {mine[0].cidr}"
        elif mine[0].cidr in had:
            expected = f"one address of {mine[0].cidr}: a guest gets no second by DHCP"
        elif address.version == 6 and not mine[0].dhcp:
            own = eui64(mine[0].network, wanted.mac)
            if address != own:
                expected = (
                    f"{own}, which the guest makes itself of its MAC address, or dhcp: true for "
                    f"{mine[0].cidr}"
                )
        if expected:
            raise exception.InvalidField(field="network.subnets.ips", value=text, expected=expected)
        had.add(mine[0].cidr)


def plug_reservation(draft: Draft, wanted: Reservation) -> None:
    """Reserve what is promised, unless it is."""
    found = draft.host[SERVERS].get(wanted.bridge)
    have = found.reserved.get(draft.mark.vif_id) if found is not None else None
    mark = _mark_on(draft.mark, have)
    target = Reserved(mark, wanted.mac, wanted.addresses, wanted.name)
    if have != target:
        draft.take(reserving(wanted.bridge, draft.mark.vif_id, target))


def _mark_on(mark: Mark, have: Reserved | None) -> str:
    """Return the mark that a reservation must carry; what is not known now is as it was."""
    there = parse_mark(have.mark) if have is not None else None
    if there is not None:
        mark = replace(
            mark, instance=mark.instance or there.instance, guest=mark.guest or there.guest
        )
    return with_guest(str(mark), mark.guest, LONGEST_ALIAS)


def unplug_reservation(draft: Draft, wanted: Reservation) -> None:
    """Take back what was reserved."""
    found = draft.host[SERVERS].get(wanted.bridge)
    if found is None or draft.mark.vif_id in found.reserved:
        draft.take(reserving(wanted.bridge, draft.mark.vif_id, None))


def release(draft: Draft, link: Link) -> None:
    """Take back what is reserved on a bridge where nobody describes it any more."""
    described = {it.bridge for it in draft.topology.resources if isinstance(it, Reservation)}
    for bridge in noted(link.alias):
        step = reserving(bridge, draft.mark.vif_id, None)
        if bridge not in described and step not in draft.plan.steps:
            draft.take(step)
            draft.take(stopping(bridge))


# --- what is asked, and the table -----------------------------------------------------------------


def _asks(wanted: Dnsmasq | Reservation, _mark: Mark) -> list[Asked]:
    return [LINKS(wanted.bridge), SERVERS(wanted.bridge)]


RULES: Mapping[type, Rule] = {
    Dnsmasq: Rule(
        asks=_asks,
        plug=plug_server,
        first=_need_ours,
        unplug={Phase.AHEAD: unplug_server},
        waits=True,
        claims=lambda it: [("shape", f"dnsmasq on {it.bridge} as {it}")],
        watches=lambda _wanted, _mark: [FIREWALL("ip"), FIREWALL("ip6")],
        warns=warn_server,
    ),
    Reservation: Rule(
        asks=_asks,
        plug=plug_reservation,
        first=need_promise,
        unplug={Phase.AHEAD: unplug_reservation},
        note=lambda _draft, wanted, _alias: f"{NOTE}{wanted.bridge}",
    ),
}
"""When a bridge is served, and what is reserved."""

NOTES = Notes(prefixes=(NOTE,), release=release)
"""What it writes into the mark of the VIF's device."""
