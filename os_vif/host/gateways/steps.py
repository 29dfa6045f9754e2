# SPDX-License-Identifier: Apache-2.0
"""Steps that make the host the gateway of a bridge's guests, or no gateway any more."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from os_vif.engine import checks, fields
from os_vif.engine.observed import Host
from os_vif.engine.place import LINUX_BRIDGE
from os_vif.engine.step import Args, Drift, Kind, Step
from os_vif.engine.topology import parse_mark
from os_vif.host.gateways.questions import (
    FORWARD_IPV6,
    NETWORKS,
    ROUTING,
    TABLES,
    Routing,
    Served,
    Setting,
    Taken,
    added_to,
    given,
    heirs_of,
    is_ipv6_forwarding,
    is_needed,
    missing_settings,
    networks_of,
    noted_settings,
    outs_of,
    settings_of,
    vif_of,
    ways_among,
)
from os_vif.host.gateways.resources import Gateway
from os_vif.host.routes.questions import ADDRESSES, WAYS_OUT


def setting(vif: str, mark: str, gateway: Gateway) -> Step:
    """Return the step that makes a gateway this, and its VIF a user of it; or none, without a mark.

    Without a user there is no gateway.
    """
    return Step(
        "set_gateway",
        {
            "bridge": gateway.bridge,
            "vif": vif,
            "mark": mark,
            "addresses": list(gateway.addresses),
            "nat": list(gateway.nat),
        },
    )


def leaving(bridge: str, vif: str) -> Step:
    """Return the step by which a VIF does not use a gateway any more."""
    return Step("leave_gateways", {"users": [[bridge, vif]]})


def gateway_of(args: Args) -> Gateway:
    """Return the gateway that a step makes.

    :raises InvalidField: there can be none like that.
    """
    return Gateway(
        bridge=args["bridge"], addresses=tuple(args["addresses"]), nat=tuple(args["nat"])
    )


def former(vif: str, bridge: str, served: Served | None) -> Step:
    """Return the step that brings back what a table tells, as far as the VIF has changed it."""
    found = served or Served(bridge)
    return setting(vif, found.user(vif), found.gateway)


# --- what they hold -------------------------------------------------------------------------------

_IS_VIF = fields.holds(checks.vif_id)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) < 100 and all(isinstance(it, str) for it in value)


def _is_mark(value: Any) -> bool:
    return value == "" or (fields.is_text(value, 252) and parse_mark(value) is not None)


_TELLS_ONE = fields.holds(gateway_of)


def _is_whole(args: Args) -> bool:
    if not _TELLS_ONE(args):
        return False
    # Nothing stands behind a mark in a table.
    mark = parse_mark(args["mark"])
    told = args["vif"], args["mark"]
    return args["mark"] == "" or (mark is not None and (mark.vif_id, str(mark)) == told)


def _are_users(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(it, list) and len(it) == 2 and fields.NAME(it[0]) and _IS_VIF(it[1])
        for it in value
    )


# --- what they do, and what takes them back ------------------------------------------------------


def users_after(have: Served, args: Args) -> tuple[str, ...]:
    """Return the marks of those who use a gateway after a step."""
    others = have.without([args["vif"]])
    if args["mark"] and have.user(args["vif"]):
        return tuple(args["mark"] if vif_of(it) == args["vif"] else it for it in have.users)
    return (*others, args["mark"]) if args["mark"] else others


def is_only_left(args: Args) -> bool:
    """Tell whether a step changes nothing for others: nobody knew what was there before it."""
    return not (args["mark"] or args["addresses"])


def ways_of(host: Host) -> dict[int, str]:
    """Return by version of IP the device by which the outside is reached."""
    return ways_among({6 if ipv6 else 4: way and way[0] for ipv6, way in host[WAYS_OUT].items()})


def _set(host: Host, args: Args) -> None:
    bridge, wanted = args["bridge"], gateway_of(args)
    have = host[TABLES].get(bridge) or Served(bridge)
    users = users_after(have, args)
    if not users:
        _dissolve(host, bridge, have)
        return
    if is_only_left(args):
        wanted = have.gateway
    there = host[ADDRESSES].get(bridge, ())
    added = added_to(have, wanted.addresses, there)
    _take_addresses(host, bridge, [it for it in added if it not in wanted.addresses])
    missing = [it for it in wanted.addresses if it not in {one.local for one in there}]
    kept = host[ADDRESSES].get(bridge, ())
    host[ADDRESSES][bridge] = (*kept, *map(given, missing))
    mine = [Taken(str(it), bridge, "route") for it in networks_of(missing)]
    for text, taken in host[NETWORKS].items():
        network = ipaddress.ip_network(text)
        host[NETWORKS][text] = (*taken, *(it for it in mine if it.overlaps(network)))
    settings = tuple(it for it in have.settings if is_needed(wanted, it.path))
    _write_back(host, bridge, [it for it in have.settings if it not in settings])
    if bridge in host[ROUTING]:
        now = host[ROUTING][bridge].settings
        todo = settings_of(wanted, now, ways_of(host), have.settings)
        settings = noted_settings(dataclasses.replace(have, settings=settings), todo, now)
        _write(host, dict(todo))
    if bridge in host[TABLES]:
        host[TABLES][bridge] = Served(
            bridge,
            users=users,
            addresses=wanted.addresses,
            nat=wanted.nat,
            outs=outs_of(wanted, ways_of(host)),
            added=tuple(it for it in added if it in wanted.addresses),
            settings=settings,
        )


def _write(host: Host, settings: Mapping[str, int]) -> None:
    """Write settings, in their order: that of all devices is each one's."""
    for bridge, routing in host[ROUTING].items():
        found = dict(routing.settings)
        for path, value in settings.items():
            every = [it for it in found if is_ipv6_forwarding(it)] if path == FORWARD_IPV6 else ()
            found |= dict.fromkeys((*every, path), value)
        host[ROUTING][bridge] = Routing(found, routing.writable)


def _take_addresses(host: Host, bridge: str, gone: Sequence[str]) -> None:
    there = host[ADDRESSES].get(bridge, ())
    if there:
        host[ADDRESSES][bridge] = tuple(it for it in there if it.local not in gone)


def _dissolve(host: Host, bridge: str, have: Served) -> None:
    _take_addresses(host, bridge, have.added)
    _write_back(host, bridge, have.settings)
    host[TABLES][bridge] = None


def _write_back(host: Host, bridge: str, gone: Sequence[Setting]) -> None:
    there = {name: it for name, it in host[TABLES].items() if it is not None}
    heirs = heirs_of(there, bridge, gone)
    host[TABLES].update(heirs)
    needed = {it.path for heir in heirs.values() for it in heir.settings}
    back = {it.path: it.was for it in reversed(gone) if it.was is not None}
    _write(host, {path: value for path, value in back.items() if path not in needed})


def _unset(host: Host, args: Args) -> Step:
    # Where nobody could look beforehand, the system reports what it found in its place.
    return former(args["vif"], args["bridge"], host[TABLES].get(args["bridge"]))


def _leave(host: Host, args: Args) -> None:
    for bridge, vif in args["users"]:
        have = host[TABLES].get(bridge)
        if have is None or not have.user(vif):
            continue
        users = have.without([vif])
        if users:
            host[TABLES][bridge] = dataclasses.replace(have, users=users)
        else:
            _dissolve(host, bridge, have)


def _unleave(host: Host, args: Args) -> Step:
    [[bridge, vif]] = args["users"]
    return former(vif, bridge, host[TABLES].get(bridge))


# --- in words -------------------------------------------------------------------------------------


def _listed(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(texts[:-1]), *texts[-1:])))


def _words(args: Args) -> str:
    if not args["mark"]:
        return f"let VIF {args['vif']} use no gateway on {args['bridge']}"
    what = f"make this host the gateway on {args['bridge']}"
    if args["addresses"]:
        what = f"{what}, {_listed(args['addresses'])}"
    return f"{what}, with NAT for {_listed(args['nat'])}" if args["nat"] else what


def _left(args: Args) -> str:
    named = [f"VIF {vif} on {bridge}" for bridge, vif in args["users"]]
    return f"let {_listed(named)} use the gateway no more, and take it away if nobody does"


def _shows(host: Host, args: Args) -> Mapping[str, Any]:
    bridge = args["bridge"]
    found: dict[str, Any] = {"addresses": [it.local for it in host[ADDRESSES].get(bridge, ())]}
    if bridge in host[ROUTING]:
        have = host[ROUTING][bridge].settings
        served = host[TABLES].get(bridge)
        noted = served.settings if served is not None else ()
        missing = missing_settings(gateway_of(args), have, ways_of(host), noted)
        found["settings"] = [path for path, _value in missing]
    if bridge in host[TABLES]:
        served = host[TABLES][bridge]
        found["users"] = [] if served is None else list(map(vif_of, served.users))
        found["nat"] = list(served.nat) if served is not None and served.whole else []
    return found


def _is_none(args: Args, before: Mapping[str, Any]) -> bool:
    """Tell whether there was nothing of it: whoever had one there has taken it away."""
    there = set(args["addresses"]) & set(before["addresses"])
    return before.get("users") == [] and not there


def _differ(args: Args, every: Sequence[Step]) -> list[Drift]:
    bridge, before = args["bridge"], args.get("before")
    made = any(it.kind == "create_link" and it.args["name"] == bridge for it in every)
    if before is None or made or _is_none(args, before):
        return [Drift(bridge, "is not the gateway that its guests need")]
    told = [
        f"the gateway's address {it} is missing"
        for it in args["addresses"]
        if it not in before["addresses"]
    ]
    told += [f"net/{it} is not as the gateway needs it" for it in before.get("settings", ())]
    if args["nat"] and before.get("nat", args["nat"]) != args["nat"]:
        told.append("what masquerades its guests is missing or differs")
    if not told:
        told = ["the gateway does not know its guest" if args["mark"] else "has a gateway still"]
    return [Drift(bridge, words) for words in told]


KINDS: Mapping[str, Kind] = {
    "set_gateway": Kind(
        {
            "bridge": fields.NAME,
            "vif": _IS_VIF,
            "mark": _is_mark,
            "addresses": _are_texts,
            "nat": _are_texts,
        },
        _set,
        _unset,
        _words,
        drift=_differ,
        whole=_is_whole,
        daemons=(LINUX_BRIDGE,),
        hidden=True,
        shows=_shows,
    ),
    "leave_gateways": Kind(
        {"users": _are_users},
        _leave,
        _unleave,
        _left,
        drift=lambda args, _every: [
            Drift(bridge, f"VIF {vif} uses its gateway, and should not")
            for bridge, vif in args["users"]
        ],
        daemons=(LINUX_BRIDGE,),
        hidden=True,
        merge=lambda one, other: {"users": [*one["users"], *other["users"]]},
    ),
}
"""Every kind of step on gateways."""
