# SPDX-License-Identifier: Apache-2.0
"""When the host is the gateway of a bridge's guests, and which steps make it so.

Everything of it is shared: who joins first makes it, who leaves last takes it away, and which VIFs
use it stands in the bridge's table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from os_vif import exception
from os_vif.engine.family import Caution, Notes, Phase, Rule
from os_vif.engine.step import HOST
from os_vif.host.forwarding.questions import FIREWALL
from os_vif.host.forwarding.questions.chains import Packet
from os_vif.host.forwarding.resources import lets_pass
from os_vif.host.gateways.questions import (
    FORWARD_IPV6,
    MUTE,
    NETWORKS,
    NOTE,
    ROUTING,
    TABLES,
    Served,
    at_the_cost_of,
    missing_settings,
    networks_of,
    noted_on,
    outs_of,
    table_of,
    vif_of,
)
from os_vif.host.gateways.resources import Gateway
from os_vif.host.gateways.steps import leaving, setting, ways_of
from os_vif.host.routes.questions import ADDRESSES, WAYS_OUT, no_way_out

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Mark, Topology

_NAMES = {4: "IPv4", 6: "IPv6"}
_FAMILIES = {4: "ip", 6: "ip6"}


def plug_gateway(draft: Draft, wanted: Gateway) -> None:
    """Make the host the gateway, unless it is, and the VIF one of those who use it.

    :raises ResourceConflict: somebody else has a table of its name, the host has its network by
        another device, or its own way out is by the bridge.
    :raises UnusableDevice: the kernel cannot be told to forward.
    """
    bridge, host = wanted.bridge, draft.host
    served = host[TABLES].get(bridge)
    if served is not None and not served.ours:
        raise exception.ResourceConflict(
            resource=f"nftables' table inet {table_of(bridge)}",
            reason=f"somebody else has made it; take it away (nft delete table inet "
            f"{table_of(bridge)})",
        )
    there = {it.local for it in host[ADDRESSES].get(bridge, ())}
    missing = [it for it in wanted.addresses if it not in there]
    _need_room(draft, wanted, missing)
    _need_way_out(draft, wanted)
    routing = host[ROUTING].get(bridge)
    noted = served.settings if served is not None else ()
    unset = missing_settings(wanted, routing.settings, ways_of(host), noted) if routing else []
    if routing is not None and not routing.writable:
        _need_forwarding(wanted, unset)
    if any(":" in it for it in wanted.addresses) and routing is not None:
        _need_ipv6(wanted, routing.settings)
    mark = str(draft.mark)
    outs = outs_of(wanted, ways_of(host))
    if missing or unset or not _is_told(served, wanted, mark, outs):
        _warn_of_others(draft, wanted, served)
        draft.take(setting(draft.mark.vif_id, mark, wanted))


def _warn_of_others(draft: Draft, wanted: Gateway, served: Served | None) -> None:
    """Warn of what other VIFs use of the gateway as it is now: a bridge has one network."""
    if served is None:
        return
    others = list(map(vif_of, served.without([draft.mark.vif_id])))
    lost = [it for it in served.addresses if it not in wanted.addresses]
    lost += [f"NAT for {it}" for it in served.nat if it not in wanted.nat]
    if others and lost:
        draft.warn(wanted.bridge, at_the_cost_of(others, lost), others)


def _is_told(served: Served | None, wanted: Gateway, mark: str, outs: tuple[str, ...]) -> bool:
    """Tell whether a table is as it should be, and names the VIF."""
    return (
        served is not None
        and served.whole
        and mark in served.users
        and served.gateway == wanted
        and served.outs == outs
        and set(served.added) <= set(wanted.addresses)
    )


def _need_room(draft: Draft, wanted: Gateway, missing: list[str]) -> None:
    for network in networks_of(missing):
        for taken in draft.host[NETWORKS].get(str(network), ()):
            if taken.device != wanted.bridge:
                by = f" dev {taken.device}" if taken.device else ""
                raise exception.ResourceConflict(
                    resource=f"network {network}",
                    reason=f"{wanted.bridge} is to have it, and the host has the {taken.what} "
                    f"{taken.network}{by}; choose another network for the guests",
                )


def _need_way_out(draft: Draft, wanted: Gateway) -> None:
    ways = ways_of(draft.host)
    for version in wanted.versions():
        if ways.get(version) == wanted.bridge:
            raise exception.ResourceConflict(
                resource=f"NAT for {wanted.bridge}",
                reason=f"the host's own way out for {_NAMES[version]} is by {wanted.bridge}, so "
                "its guests have the same; leave nat out",
            )


def _need_forwarding(wanted: Gateway, unset: list[tuple[str, int]]) -> None:
    if unset:
        path, value = unset[0]
        raise exception.UnusableDevice(
            device=f"gateway {wanted.bridge}",
            reason=f"/proc/sys is read-only here, and net/{path} must be {value}: start the "
            "container with that (--sysctl), or with a writable /proc/sys/net",
        )


def _need_ipv6(wanted: Gateway, settings: Mapping[str, int]) -> None:
    if FORWARD_IPV6 not in settings:
        raise exception.UnusableDevice(
            device=f"gateway {wanted.bridge}", reason="this kernel has no IPv6"
        )


def unplug_gateway(draft: Draft, wanted: Gateway) -> None:
    """Let the VIF use it no more, and take it away with the last one."""
    _leave(draft, wanted.bridge)


def _leave(draft: Draft, bridge: str) -> None:
    tables, vif = draft.host[TABLES], draft.mark.vif_id
    served = tables.get(bridge)
    if bridge in tables and (served is None or not served.user(vif)):
        return
    step = leaving(bridge, vif)
    if step not in draft.plan.steps:
        draft.take(step)


def release_gateway(draft: Draft, link: Any) -> None:
    """Let the VIF of a device use no gateway that nobody describes any more."""
    described = {it.bridge for it in draft.topology.resources if isinstance(it, Gateway)}
    for bridge in noted_on(link.alias):
        if bridge not in described:
            _leave(draft, bridge)


# --- what to warn of ------------------------------------------------------------------------------


def warn_gateway(topology: Topology, host: Host, wanted: Gateway) -> Iterator[Caution]:
    """Warn of firewalls that drop, and of hosts without an outside."""
    ways = ways_of(host)
    for version in wanted.versions():
        name, family = _NAMES[version], _FAMILIES[version]
        if version not in ways:
            yield Caution(HOST, no_way_out(name))
        yield from _warn_of_mute(host, wanted, version)
        if family not in host[FIREWALL]:
            continue
        ours = lets_pass(topology.resources, wanted.bridge, ipv6=version == 6)
        packet = Packet(family, wanted.bridge, ways.get(version, ""))
        for chain in host[FIREWALL][family].dropping(packet, (family, "inet"), ours=ours):
            yield Caution(wanted.bridge, f"{chain} drops {name} from its guests to the outside")


def _warn_of_mute(host: Host, wanted: Gateway, version: int) -> Iterator[Caution]:
    """Warn of networks that get what guests send, and whose answers are not forwarded.

    The host is made a router for what comes in by its way out, and nowhere else.
    """
    beside: dict[str, list[str]] = {}
    for taken in host[MUTE].get(version, ()):
        # What the first step turns on is no matter yet.
        if taken.device not in (wanted.bridge, ways_of(host).get(version)):
            beside.setdefault(taken.device, []).append(taken.network)
    for device, networks in beside.items():
        setting = f"net.ipv{version}.conf.{device}.forwarding"
        if version == 6:
            setting = "net.ipv6.conf.all.forwarding"
        named = ", ".join(dict.fromkeys(networks[:3])) + ", ..." * (len(networks) > 3)
        yield Caution(
            HOST,
            f"{_NAMES[version]} is not forwarded from {device}, so guests on {wanted.bridge} get "
            f"no answer from {named}: sysctl -w {setting}=1",
        )


def _asks(wanted: Gateway, _mark: Mark) -> Iterator[Asked]:
    bridge, versions = wanted.bridge, wanted.versions()
    yield TABLES(bridge)
    yield ADDRESSES(bridge)
    yield ROUTING((bridge, any(":" in it for it in wanted.addresses), versions))
    for version in versions:
        yield WAYS_OUT(version == 6)
    for network in networks_of(wanted.addresses):
        yield NETWORKS((bridge, str(network)))


def _watches(wanted: Gateway, _mark: Mark) -> list[Asked]:
    versions = wanted.versions()
    return [*(FIREWALL(_FAMILIES[it]) for it in versions), *map(MUTE, versions)]


RULES: Mapping[type, Rule] = {
    Gateway: Rule(
        asks=_asks,
        plug=plug_gateway,
        unplug={Phase.LAST: unplug_gateway},
        note=lambda _draft, wanted, _alias: f"{NOTE}{wanted.bridge}",
        claims=lambda it: [("shape", f"the gateway on {it.bridge} as {it}")],
        watches=_watches,
        warns=warn_gateway,
    ),
}
"""When the host is a gateway."""

NOTES = Notes(prefixes=(NOTE,), release=release_gateway)
"""What it writes into the mark of the device."""
