# SPDX-License-Identifier: Apache-2.0
"""When a network device is there, when it is in the way, and which steps make it so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from os_vif.engine.family import Caution, Phase, Rule
from os_vif.engine.observed import Asked, Host
from os_vif.engine.topology import Mark, Topology
from os_vif.host.forwarding.questions import FORWARDED
from os_vif.host.gateways.questions import TABLES
from os_vif.host.links.questions import (
    BRIDGE_PORTS,
    BRIDGED,
    DELAYS,
    FUNCTIONS,
    LINKS,
    MOVES,
    NODES,
    RETURNED,
    STANDING,
    USERS,
)
from os_vif.host.links.questions.names import asks_names, by_own_names
from os_vif.host.links.questions.uplinks import MANAGERS, WIRELESS
from os_vif.host.links.resources import (
    Bridge,
    Macvtap,
    Tap,
    Uplink,
    Veth,
    VethEnd,
    Vlan,
    host_side_mac,
)
from os_vif.host.links.rules.devices import (
    delete,
    ends_made,
    plug_bridge,
    plug_tap,
    plug_uplink,
    plug_veth,
    plug_vlan,
    tap_made,
    unplug_vlan,
)
from os_vif.host.links.rules.macvtap import plug_macvtap, unplug_macvtap
from os_vif.host.links.rules.returning import dissolve_bridge, dissolve_uplink, dissolve_vlan
from os_vif.host.links.rules.silence import warn_of_advertisements
from os_vif.host.links.rules.strays import STRAYS
from os_vif.host.links.rules.taps import asks_accounts, warn_of_access
from os_vif.host.links.rules.warnings import (
    warn_bridge,
    warn_tap,
    warn_uplink,
    watch_bridge,
    watch_tap,
)

__all__ = ["RULES", "STRAYS"]


def _asks_tap(tap: Tap, _mark: Mark) -> list[Asked]:
    delay = [DELAYS(tap.name)] if "proxy_delay" in tap.conf else []
    return [LINKS(tap.name), *delay, *asks_accounts(tap)]


def _asks_vlan(vlan: Vlan, _mark: Mark) -> list[Asked]:
    below = FUNCTIONS(vlan.behind) if vlan.behind else LINKS(vlan.link)
    more = WIRELESS(vlan.link) if vlan.stays else USERS(vlan.name)
    return [LINKS(vlan.name), below, more]


def _asks_idle_vlan(vlan: Vlan, _mark: Mark) -> list[Asked]:
    names = filter(None, (vlan.name, vlan.link))
    return [question(name) for name in names for question in (LINKS, USERS, STANDING)]


def _asks_idle_bridge(bridge: Bridge, _mark: Mark) -> list[Asked]:
    asked = (LINKS, BRIDGE_PORTS, FORWARDED, TABLES)
    return [question(bridge.name) for question in asked]


def _asks_macvtap(macvtap: Macvtap, _mark: Mark) -> list[Asked]:
    asked = [LINKS(macvtap.name)]
    if macvtap.behind:
        asked.append(FUNCTIONS(macvtap.behind))
    elif macvtap.link:
        asked.append(LINKS(macvtap.link))
    if macvtap.mode == "passthru":
        asked.append(USERS(macvtap.behind or macvtap.link))
    if macvtap.owner or macvtap.group:
        asked += [NODES(macvtap.name), *asks_accounts(macvtap)]
    return asked


def _warn_tap(topology: Topology, host: Host, tap: Tap) -> Iterator[Caution]:
    yield from warn_of_access(topology, host, tap)
    yield from warn_of_advertisements(topology, host, tap)
    yield from warn_tap(topology, host, tap)


def _warn_bridge(topology: Topology, host: Host, bridge: Bridge) -> Iterator[Caution]:
    yield from warn_of_advertisements(topology, host, bridge)
    yield from warn_bridge(topology, host, bridge)


def _claims_tap(tap: Tap) -> list[tuple[str, str]]:
    claims = [("name", tap.name)]
    if tap.bridge is not None and tap.mac is not None:
        # The tap's own is another: the bridge must not take the guest's for one of its own.
        guests = [mac for mac in tap.known_macs if host_side_mac(mac) == tap.mac]
        claims.append(("mac", f"{(guests or [tap.mac])[0]} on {tap.bridge}"))
    return claims


def _claims_macvtap(macvtap: Macvtap) -> list[tuple[str, str]]:
    lower = macvtap.link or macvtap.behind
    return [("name", macvtap.name), ("mac", f"{macvtap.mac} on {lower}")]


def _made(device: Tap | Veth | Bridge | Macvtap) -> list[tuple[str, str]]:
    return [("create_link", device.name)]


RULES: Mapping[type, Rule] = {
    Tap: Rule(
        asks=_asks_tap,
        plug=plug_tap,
        unplug={Phase.DELETE: delete},
        makes=tap_made,
        own=_made,
        claims=_claims_tap,
        opens=True,
        watches=watch_tap,
        warns=_warn_tap,
    ),
    Veth: Rule(
        asks=lambda veth, _mark: [LINKS(veth.name), LINKS(veth.peer)],
        plug=plug_veth,
        unplug={Phase.DELETE: delete},
        makes=ends_made,
        own=_made,
    ),
    VethEnd: Rule(
        asks=lambda end, _mark: [LINKS(end.name)],
        plug=lambda _draft, _end: None,
        unplug={Phase.DELETE: delete},
    ),
    Bridge: Rule(
        asks=lambda bridge, _mark: [LINKS(bridge.name), BRIDGED((bridge.name, bridge.own))],
        plug=plug_bridge,
        unplug={Phase.DELETE: delete},
        dissolve_asks=_asks_idle_bridge,
        dissolve=dissolve_bridge,
        own=lambda bridge: _made(bridge) if bridge.own else [],
        watches=watch_bridge,
        warns=_warn_bridge,
    ),
    Vlan: Rule(
        names=asks_names("link"),
        named=by_own_names("link"),
        asks=_asks_vlan,
        plug=plug_vlan,
        unplug={Phase.GIVE_BACK: unplug_vlan},
        dissolve_asks=_asks_idle_vlan,
        dissolve=dissolve_vlan,
    ),
    Macvtap: Rule(
        names=asks_names("link"),
        named=by_own_names("link"),
        asks=_asks_macvtap,
        plug=plug_macvtap,
        unplug={Phase.AHEAD: unplug_macvtap, Phase.DELETE: delete},
        own=_made,
        claims=_claims_macvtap,
        opens=True,
    ),
    Uplink: Rule(
        names=asks_names("name"),
        named=by_own_names("name"),
        asks=lambda uplink, _mark: [
            LINKS(uplink.name),
            MOVES((uplink.name, uplink.bridge)),
            WIRELESS(uplink.name),
        ],
        plug=plug_uplink,
        dissolve_asks=lambda uplink, _mark: [LINKS(uplink.name), RETURNED(uplink.name)],
        dissolve=dissolve_uplink,
        watches=lambda uplink, _mark: [MANAGERS(uplink.name)],
        warns=warn_uplink,
    ),
}
"""What is to be known of each kind of resource."""
