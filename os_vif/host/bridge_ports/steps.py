# SPDX-License-Identifier: Apache-2.0
"""Steps on a bridge's ports."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from os_vif.engine import fields
from os_vif.engine.checks import VLAN_MAX, spelled_vlans, vlan_ids
from os_vif.engine.observed import Host
from os_vif.engine.place import LINUX_BRIDGE
from os_vif.engine.step import Args, Drift, Kind, Step, from_to
from os_vif.host.bridge_ports.questions import FILTERS, PORT, VLANS, Port
from os_vif.host.bridge_ports.resources import FLAGS
from os_vif.host.links.questions import existing


def _is_spelled(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > 5 * VLAN_MAX:
        return False
    return fields.holds(vlan_ids)(value) and spelled_vlans(vlan_ids(value)) == value


_ATTRIBUTES: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(FLAGS, fields.FLAG),
    "pvid": fields.number(0, VLAN_MAX),
    "untagged": _is_spelled,
    "tagged": _is_spelled,
}


def _is_attributes(value: Any) -> bool:
    """Tell whether these are attributes of a port, all of its VLANs or none."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(key in _ATTRIBUTES and _ATTRIBUTES[key](item) for key, item in value.items())
        and len(value.keys() & set(VLANS)) in (0, len(VLANS))
    )


# --- what they do, and what takes them back ------------------------------------------------------


def _bridge_of(host: Host, name: str) -> str:
    return str(existing(host, name).attributes.get("master") or "")


def _seen(host: Host, name: str) -> Mapping[str, Any]:
    """Return the known attributes of a port: of one that has just joined, none."""
    port = host[PORT].get(name)
    return port.attributes if port is not None and port.bridge == _bridge_of(host, name) else {}


def _set_port(host: Host, args: Args) -> None:
    name = args["name"]
    attributes = {**_seen(host, name), **args["attributes"]}
    host[PORT][name] = Port(_bridge_of(host, name), attributes)


def _unset_port(host: Host, args: Args) -> Step | None:
    # What a port got that has just joined goes as it leaves.
    before = _seen(host, args["name"])
    kept = {key: before[key] for key in args["attributes"] if key in before}
    return Step("set_port_of_bridge", {**args, "attributes": kept}) if kept else None


def _shows(host: Host, args: Args) -> Mapping[str, Any]:
    there = _seen(host, args["name"])
    return {key: there[key] for key in args["attributes"] if key in there}


def _port_as_it_was(host: Host, args: Args) -> Callable[[], None]:
    return functools.partial(host[PORT].__setitem__, args["name"], host[PORT].get(args["name"]))


def _filter(host: Host, args: Args) -> None:
    host[FILTERS][args["name"]] = args["on"]


def _unfilter(host: Host, args: Args) -> Step | None:
    before = host[FILTERS].get(args["name"])
    return None if before is None else Step("filter_vlans", {**args, "on": before})


def _filtered_as_it_was(host: Host, args: Args) -> Callable[[], None]:
    name = args["name"]
    return functools.partial(host[FILTERS].__setitem__, name, host[FILTERS].get(name))


def _add_vlans(host: Host, args: Args) -> None:
    name = args["name"]
    there = _seen(host, name)
    tagged = spelled_vlans(vlan_ids(f"{there.get('tagged', '')} {args['vlans']}"))
    host[PORT][name] = Port(_bridge_of(host, name), {**there, "tagged": tagged})


# --- in words -------------------------------------------------------------------------------------


def _on(value: bool) -> str:
    return "on" if value else "off"


def said_vlans(attributes: Mapping[str, Any]) -> str:
    """Return in words the VLANs that attributes of a port say."""
    untagged, tagged, pvid = (attributes[key] for key in ("untagged", "tagged", "pvid"))
    words = [f"VLAN {untagged} untagged"] if untagged else []
    words += [f"VLAN {tagged} tagged"] if tagged else []
    if str(pvid or "") != untagged:
        words.append(f"pvid {pvid or 'none'}")
    return ", ".join(words) or "no VLAN"


def _said(args: Args) -> str:
    attributes = args["attributes"]
    before = args.get("before", {})
    words = [
        from_to(f"{key} {_on(before[key])}" if key in before else "", f"{key} {_on(value)}")
        for key, value in attributes.items()
        if key in FLAGS
    ]
    if "pvid" in attributes:
        former = said_vlans(before) if before.keys() >= set(VLANS) else ""
        words.append(from_to(former, said_vlans(attributes)))
    return f"set {args['name']} as a port of its bridge: {', '.join(words)}"


def _differs(args: Args, todo: Sequence[Step]) -> list[Drift]:
    name, attributes = args["name"], args["attributes"]
    if any(step.kind == "create_link" and step.args["name"] == name for step in todo):
        return []  # it is missing, and so is all that goes with it
    before = args.get("before", {})
    found = []
    for key in FLAGS:
        if key in attributes:
            former = f"is {_on(before[key])}, " if key in before else ""
            words = f"{key} {former}should be {_on(attributes[key])}"
            found.append(Drift(name, words, False, key, attributes[key], before=before.get(key)))
    if "pvid" in attributes:
        wanted = said_vlans(attributes)
        there = said_vlans(before) if before.keys() >= set(VLANS) else None
        words = f"{f'is in {there}, ' if there else ''}should be in {wanted}"
        found.append(Drift(name, words, False, "vlans", wanted, before=there))
    return found


KINDS: Mapping[str, Kind] = {
    "set_port_of_bridge": Kind(
        {"name": fields.NAME, "attributes": _is_attributes},
        _set_port,
        _unset_port,
        _said,
        shows=_shows,
        forget=_port_as_it_was,
        drift=_differs,
        partial=True,
        daemons=(LINUX_BRIDGE,),
    ),
    "filter_vlans": Kind(
        {"name": fields.NAME, "on": fields.FLAG},
        _filter,
        _unfilter,
        lambda args: f"{'have' if args['on'] else 'no longer have'} {args['name']} filter VLANs",
        forget=_filtered_as_it_was,
        drift=lambda args, _todo: [
            Drift(args["name"], "should filter VLANs", False, "vlan_filtering", args["on"])
        ],
        daemons=(LINUX_BRIDGE,),
    ),
    "add_vlans": Kind(
        {"name": fields.NAME, "vlans": lambda value: _is_spelled(value) and value != ""},
        _add_vlans,
        # Others may have come to use them; they go as it leaves the bridge.
        lambda _host, _args: None,
        lambda args: f"have {args['name']} carry VLAN {args['vlans']} tagged",
        forget=_port_as_it_was,
        drift=lambda args, _todo: [
            Drift(args["name"], f"should carry VLAN {args['vlans']} tagged")
        ],
        daemons=(LINUX_BRIDGE,),
    ),
}
"""Every kind of step on ports of bridges."""
