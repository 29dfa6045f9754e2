# SPDX-License-Identifier: Apache-2.0
"""Steps on the servers of bridges."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from os_vif.engine import checks, fields
from os_vif.engine.observed import Host
from os_vif.engine.place import AS_ROOT
from os_vif.engine.step import Args, Drift, Kind, Step
from os_vif.engine.topology import parse_mark
from os_vif.host.dnsmasq.questions import (
    SERVERS,
    Reserved,
    Server,
    plain,
    process_on,
    subnet_of,
)
from os_vif.host.dnsmasq.resources import Dnsmasq, Reservation

_NONE = Server()


def starting(bridge: str, serving: Dnsmasq | Server, why: str = "") -> Step:
    """Return the step that has a server of its own run for a bridge, and serve this.

    :param why: what is wrong with the one that there is, in words
    """
    told: Args = {"bridge": bridge, "subnets": [plain(it) for it in serving.subnets], "why": why}
    return Step("start_dnsmasq", {**told, "mtu": serving.mtu, "forwards": serving.forwards})


def stopping(bridge: str) -> Step:
    """Return the step that ends the server of a bridge, unless a VIF has a reservation."""
    return Step("stop_dnsmasq", {"bridge": bridge})


def reserving(bridge: str, vif: str, wanted: Reserved | None) -> Step:
    """Return the step that reserves something for a VIF; with None, takes that back."""
    told = wanted or Reserved("", "", (), "")
    return Step(
        "set_reservation",
        {
            "bridge": bridge,
            "vif": vif,
            "mark": told.mark,
            "mac": told.mac,
            "addresses": list(told.addresses),
            "name": told.name,
        },
    )


def reserved_by(args: Args) -> Reserved | None:
    """Return what the fields of such a step reserve; None for nothing."""
    if not args["mark"]:
        return None
    return Reserved(args["mark"], args["mac"], tuple(args["addresses"]), args["name"])


# --- what they may hold ---------------------------------------------------------------------------


def _is_served(args: Args) -> bool:
    return fields.holds(served_by)(args)


def served_by(args: Args) -> Dnsmasq:
    """Return what the fields of a step that starts a server describe; raises InvalidField."""
    subnets = tuple(map(subnet_of, args["subnets"]))
    described = {key: args[key] for key in ("bridge", "mtu", "forwards")}
    return Dnsmasq(**described, subnets=subnets)


def _is_reservation(args: Args) -> bool:
    if not args["mark"]:
        return not (args["mac"] or args["addresses"] or args["name"])
    mark = parse_mark(args["mark"])
    if mark is None or mark.vif_id != args["vif"]:
        return False
    described = {key: args[key] for key in ("bridge", "mac", "name")}
    return fields.is_mac(args["mac"]) and fields.holds(
        lambda addresses: Reservation(**described, addresses=tuple(addresses))
    )(args["addresses"])


def _is_list(of: Any) -> Any:
    return lambda value: isinstance(value, list) and len(value) <= 64 and all(map(of, value))


_SUBNET = fields.is_record(
    {
        "cidr": fields.holds(str.encode),
        "gateway": fields.holds(str.encode),
        "dns": _is_list(fields.IP),
        "dhcp": fields.FLAG,
        "routes": _is_list(_is_list(fields.holds(str.encode))),
    }
)


# --- what they do, and what takes them back -------------------------------------------------------


def _start(host: Host, args: Args) -> None:
    wanted = served_by(args)
    before = host[SERVERS].get(wanted.bridge, _NONE)
    host[SERVERS][wanted.bridge] = dataclasses.replace(
        before,
        running=True,
        subnets=wanted.subnets,
        mtu=wanted.mtu,
        forwards=wanted.forwards,
        outdated=False,
        taken=(),
    )


def _unstart(host: Host, args: Args) -> Step | None:
    before = host[SERVERS].get(args["bridge"], _NONE)
    if before.running and before.subnets:
        return starting(args["bridge"], before)
    return stopping(args["bridge"])


def _stop(host: Host, args: Args) -> None:
    before = host[SERVERS].get(args["bridge"], _NONE)
    if not before.reserved:
        host[SERVERS][args["bridge"]] = dataclasses.replace(_NONE, unusable=before.unusable)


def _start_again(host: Host, args: Args) -> Step | None:
    before = host[SERVERS].get(args["bridge"], _NONE)
    if not before.running or before.reserved:
        return None
    return starting(args["bridge"], before)


def _reserve(host: Host, args: Args) -> None:
    before = host[SERVERS].get(args["bridge"], _NONE)
    reserved = {vif: it for vif, it in before.reserved.items() if vif != args["vif"]}
    wanted = reserved_by(args)
    if wanted is not None:
        reserved[args["vif"]] = wanted
    host[SERVERS][args["bridge"]] = dataclasses.replace(before, reserved=reserved)


def _reserve_again(host: Host, args: Args) -> Step:
    before = host[SERVERS].get(args["bridge"], _NONE)
    return reserving(args["bridge"], args["vif"], before.reserved.get(args["vif"]))


# --- in words -------------------------------------------------------------------------------------


def said(reserved: Reserved) -> str:
    """Return in words what is reserved: ``10.7.0.5 and anna for 52:54:00:00:00:01``."""
    what = [*reserved.addresses, *([reserved.name] if reserved.name else [])]
    return f"{', '.join(what) or 'an address'} for {reserved.mac}"


def _said_reservation(args: Args) -> str:
    wanted = reserved_by(args)
    if wanted is None:
        return f"have dnsmasq on {args['bridge']} forget VIF {args['vif']}"
    return f"have dnsmasq on {args['bridge']} reserve {said(wanted)}"


def _not_started(args: Args, _all: Sequence[Step]) -> list[Drift]:
    bridge, why = args["bridge"], args["why"] or "does not run as it should"
    return [Drift(bridge, f"its dnsmasq {why}", attribute="dnsmasq", part=process_on(bridge))]


def _not_stopped(args: Args, _all: Sequence[Step]) -> list[Drift]:
    bridge = args["bridge"]
    return [Drift(bridge, "no VIF needs its dnsmasq", part=process_on(bridge), astray=True)]


def _not_reserved(args: Args, _all: Sequence[Step]) -> list[Drift]:
    bridge, wanted = args["bridge"], reserved_by(args)
    if wanted is None:
        words = f"its dnsmasq still has a reservation of VIF {args['vif']}"
    else:
        words = f"its dnsmasq has not reserved {said(wanted)}"
    return [Drift(bridge, words, attribute="reservation", part=process_on(bridge))]


def _patience(_args: Args) -> float:
    # One is ended, and another starts.
    return 30.0


_BRIDGE: Mapping[str, Any] = {"bridge": fields.NAME}

KINDS: Mapping[str, Kind] = {
    "start_dnsmasq": Kind(
        {
            **_BRIDGE,
            "subnets": _is_list(_SUBNET),
            "mtu": fields.number(checks.MTU_MIN, checks.MTU_MAX),
            "forwards": fields.FLAG,
            "why": lambda value: value == "" or fields.is_words(value),
        },
        _start,
        _unstart,
        lambda args: (
            f"have dnsmasq serve {', '.join(it['cidr'] for it in args['subnets'])}"
            f" on {args['bridge']}"
        ),
        drift=_not_started,
        whole=_is_served,
        daemons=(AS_ROOT,),
        patience=_patience,
        hidden=True,
    ),
    "stop_dnsmasq": Kind(
        _BRIDGE,
        _stop,
        _start_again,
        lambda args: f"end dnsmasq on {args['bridge']}",
        drift=_not_stopped,
        daemons=(AS_ROOT,),
        patience=_patience,
        hidden=True,
    ),
    "set_reservation": Kind(
        {
            **_BRIDGE,
            "vif": fields.holds(checks.vif_id),
            "mark": lambda value: fields.is_text(value, 1000),
            "mac": lambda value: value == "" or fields.is_mac(value),
            "addresses": _is_list(fields.IP),
            "name": lambda value: fields.is_text(value, 63),
        },
        _reserve,
        _reserve_again,
        _said_reservation,
        drift=_not_reserved,
        whole=_is_reservation,
        daemons=(AS_ROOT,),
        patience=_patience,
        hidden=True,
    ),
}
"""Every kind of step on the servers of bridges."""
