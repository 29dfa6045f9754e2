# SPDX-License-Identifier: Apache-2.0
"""Steps on what a switch is told of a port."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from os_vif.engine import fields
from os_vif.engine.observed import Host
from os_vif.engine.place import DEFAULT
from os_vif.engine.step import Args, Drift, Kind, Step
from os_vif.host.port_profiles import resources as profiles
from os_vif.host.port_profiles.questions import (
    ASSOCIATED,
    PORT_PROFILES,
    PROFILE_SET,
    REQUEST_ASSOCIATE,
    VSIS,
    PortState,
)


def _unchanged(check: Callable[[Any], Any]) -> fields.Predicate:
    """Return the predicate for what ``check`` gives back as it is."""
    return fields.holds(lambda value: [value].index(check(value)))


def _number(field: str) -> fields.Predicate:
    largest = profiles.VSI_NUMBERS[field]
    return fields.holds(lambda value: profiles.vsi_number(value, field, largest))


_INSTANCE = _unchanged(lambda value: profiles.canonical_uuid(value, "instance"))
_TIMEOUT = fields.holds(profiles.patience)

_VSI: Mapping[str, fields.Predicate] = {
    **{field: _number(field) for field in profiles.VSI_NUMBERS},
    "instance": _INSTANCE,
    "mac": fields.is_mac,
    "vlan": fields.holds(profiles.vsi_vlan),
}
_ASSOCIATION: Mapping[str, fields.Predicate] = {
    "interface": fields.NAME,
    "vsi": fields.is_record(_VSI),
    "timeout": _TIMEOUT,
}
_PROFILE_NAME = fields.holds(profiles.profile_name)
_PROFILE: Mapping[str, fields.Predicate] = {
    "device": fields.NAME,
    "profile": _PROFILE_NAME,
    "instance": lambda value: value == "" or _INSTANCE(value),
    "timeout": _TIMEOUT,
}
_CLEARED: Mapping[str, fields.Predicate] = {
    "device": fields.NAME,
    # Whoever has no more than the device's note knows the guest, but not the name.
    "profile": lambda value: value == "" or _PROFILE_NAME(value),
    "instance": _PROFILE["instance"],
}


def _patience(args: Args) -> float:
    # What is in the way is taken away first, and that has as much time.
    return 2.0 * float(args["timeout"])


# --- IEEE 802.1Qbg --------------------------------------------------------------------------------


def _associate(host: Host, args: Args) -> None:
    there = host[VSIS].get(args["interface"], {})
    host[VSIS][args["interface"]] = {**there, args["vsi"]["instance"]: ASSOCIATED}


def _disassociate(host: Host, args: Args) -> None:
    there = host[VSIS].get(args["interface"])
    if there is None:
        return  # nobody could look, and there may be others
    host[VSIS][args["interface"]] = {
        instance: response
        for instance, response in there.items()
        if instance != args["vsi"]["instance"]
    }


def _in_words(vsi: Mapping[str, Any]) -> str:
    vlan = f"VLAN {vsi['vlan']}" if vsi["vlan"] else "the switch's VLAN"
    return (
        f"VSI {vsi['instance']} (manager {vsi['manager']}, type {vsi['type']} version "
        f"{vsi['version']}, MAC {vsi['mac']}, {vlan})"
    )


def _not_associated(args: Args, _steps: Sequence[Step]) -> list[Drift]:
    words = f"VSI {args['vsi']['instance']} is not associated"
    return [Drift(args["interface"], words, False, "vsi")]


def _still_associated(args: Args, _steps: Sequence[Step]) -> list[Drift]:
    return [Drift(args["interface"], f"still has VSI {args['vsi']['instance']}", False, "vsi")]


# --- IEEE 802.1Qbh --------------------------------------------------------------------------------


def _set_profile(host: Host, args: Args) -> None:
    host[PORT_PROFILES][args["device"]] = PortState(
        args["instance"], PROFILE_SET, REQUEST_ASSOCIATE, args["profile"]
    )


def _unset_profile(host: Host, args: Args) -> Step:
    before = host[PORT_PROFILES].get(args["device"])
    if before is None or not before.is_set:
        keys = _CLEARED.keys()
        return Step("clear_port_profile", {key: args[key] for key in keys})
    back = {"profile": before.profile, "instance": before.instance}
    return Step("set_port_profile", {**args, **back})


def _clear_profile(host: Host, args: Args) -> None:
    host[PORT_PROFILES][args["device"]] = None


def _profile_again(host: Host, args: Args) -> Step | None:
    before = host[PORT_PROFILES].get(args["device"])
    if before is None or not before.is_set:
        return None
    again = {"device": args["device"], "profile": before.profile, "instance": before.instance}
    return Step("set_port_profile", {**again, "timeout": _AGAIN_S})


_AGAIN_S = 20
"""Seconds a switch may take when a profile is given back."""


def _which(args: Args) -> str:
    return f'"{args["profile"]}"' if args["profile"] else f"of guest {args['instance']}"


def _not_set(args: Args, _steps: Sequence[Step]) -> list[Drift]:
    words = f'should have the port profile "{args["profile"]}"'
    return [Drift(args["device"], words, False, "profile")]


def _still_set(args: Args, _steps: Sequence[Step]) -> list[Drift]:
    words = "still has the port profile it had before"
    return [Drift(args["device"], words, False, "profile")]


KINDS: Mapping[str, Kind] = {
    "associate_vsi": Kind(
        {**_ASSOCIATION, "fresh": fields.FLAG},
        _associate,
        lambda _host, args: Step("disassociate_vsi", {key: args[key] for key in _ASSOCIATION}),
        lambda args: f"associate {_in_words(args['vsi'])} on {args['interface']}",
        drift=_not_associated,
        patience=_patience,
        hidden=True,
        daemons=(DEFAULT,),
    ),
    "disassociate_vsi": Kind(
        _ASSOCIATION,
        _disassociate,
        lambda _host, args: Step("associate_vsi", {**args, "fresh": False}),
        lambda args: f"disassociate VSI {args['vsi']['instance']} on {args['interface']}",
        drift=_still_associated,
        patience=_patience,
        hidden=True,
        daemons=(DEFAULT,),
    ),
    "set_port_profile": Kind(
        _PROFILE,
        _set_profile,
        _unset_profile,
        lambda args: f'give {args["device"]} the port profile "{args["profile"]}"',
        drift=_not_set,
        patience=_patience,
        partial=True,
        daemons=(DEFAULT,),
    ),
    "clear_port_profile": Kind(
        _CLEARED,
        _clear_profile,
        _profile_again,
        lambda args: f"take the port profile {_which(args)} from {args['device']}",
        drift=_still_set,
        daemons=(DEFAULT,),
    ),
}
"""Every kind of step on what a switch is told of a port."""
