# SPDX-License-Identifier: Apache-2.0
"""Steps on PCI functions and their representors."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from os_vif.engine import checks, fields
from os_vif.engine.observed import Host
from os_vif.engine.place import DEFAULT, OVS
from os_vif.engine.step import Args, Drift, Kind, Step, from_to
from os_vif.host.functions.questions import VFS, parse_function_mark
from os_vif.host.functions.resources import NO_MAC
from os_vif.host.links.questions import FUNCTIONS, LINKS, LONGEST_ALIAS, existing

# --- what the fields may hold ---------------------------------------------------------------------

_ANY_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")


def is_pci_address(value: Any) -> bool:
    """Tell whether this is the address of a PCI function, as the kernel writes it."""
    return fields.holds(checks.pci_address)(value) and bool(checks.pci_address(value) == value)


VF_NUMBER = fields.number(0, 0xFFFF)  # sriov_numvfs is a 16-bit register (PCI Express, 9.3.3.7)
DRIVER = fields.holds(checks.pci_driver)

_VF_SETTINGS: Mapping[str, fields.Predicate] = {
    # Undo gives back whatever was there, and unplug gives back none.
    "mac": lambda value: isinstance(value, str) and bool(_ANY_MAC.match(value)),
    "vlan": fields.number(0, 4095),
    "qos": fields.number(0, 7),
    "vlan_proto": fields.one_of(0x8100, 0x88A8),
    "min_tx_rate": fields.U32,
    "max_tx_rate": fields.U32,
    "spoofchk": fields.FLAG,
    "trust": fields.FLAG,
    "link_state": fields.one_of("auto", "enable", "disable"),
}
"""Settings of a virtual function (linux/if_link.h, IFLA_VF_*), rates in Mbit/s."""

VF_TOGETHER = (("vlan", "qos", "vlan_proto"), ("min_tx_rate", "max_tx_rate"))
"""Settings that are only ever set together."""


def is_vf_settings(value: Any) -> bool:
    """Tell whether these are settings of a virtual function, whole as far as they are there."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(key in _VF_SETTINGS and _VF_SETTINGS[key](item) for key, item in value.items())
        and all(len(value.keys() & set(names)) in (0, len(names)) for names in VF_TOGETHER)
    )


def is_function_mark(value: Any) -> bool:
    """Tell whether this is the mark of a PCI function, as we write it."""
    return isinstance(value, str) and parse_function_mark(value) is not None


def _is_alias(value: Any) -> bool:
    # Undo gives back an alias that somebody else chose: any text the kernel takes.
    return fields.is_text(value, LONGEST_ALIAS)


# --- settings of virtual functions ----------------------------------------------------------------


def _set_vf(host: Host, args: Args) -> None:
    where = args["device"], args["vf"]
    host[VFS][where] = {**host[VFS].get(where, {}), **args["settings"]}


def _unset_vf(host: Host, args: Args) -> Step | None:
    there = host[VFS].get((args["device"], args["vf"]), {})
    before = {name: there[name] for name in args["settings"] if name in there}
    return Step("set_vf", {**args, "settings": before}) if before else None


def setting_in_words(name: str, value: Any) -> str:
    """Return a setting of a virtual function as people say it; '' where another one says it."""
    match name:
        case "mac":
            return "no MAC" if value == NO_MAC else f"MAC {value}"
        case "vlan":
            return f"VLAN {value}" if value else "no VLAN"
        case "qos":
            return f"priority {value}" if value else ""
        case "vlan_proto":
            return "" if value == 0x8100 else "tagged as IEEE 802.1ad"
        case "spoofchk" | "trust":
            said = "spoof check" if name == "spoofchk" else "trust"
            return f"{said} {'on' if value else 'off'}"
        case "min_tx_rate":
            return f"at least {value} Mbit/s" if value else ""
        case "max_tx_rate":
            return f"at most {value} Mbit/s" if value else "no rate limit"
        case _:
            return f"link {value}"


def _shown_of_vf(host: Host, args: Args) -> Mapping[str, Any]:
    there = host[VFS].get((args["device"], args["vf"]), {})
    return {name: there[name] for name in args["settings"] if name in there}


def _said_before(args: Args, name: str) -> str:
    before = args.get("before", {})
    return setting_in_words(name, before[name]) if name in before else ""


def _settings(args: Args) -> str:
    said = (
        from_to(_said_before(args, name), words)
        for name, value in args["settings"].items()
        if (words := setting_in_words(name, value))
    )
    return ", ".join(said)


def _vf_changed(args: Args, _steps: Sequence[Step]) -> list[Drift]:
    found = []
    for name, value in args["settings"].items():
        if words := setting_in_words(name, value):
            former = f"has {said}, " if (said := _said_before(args, name)) else ""
            before = args.get("before", {}).get(name)
            words = f"{former}should have {words}"
            found.append(Drift(args["address"], words, False, name, value, before=before))
    return found


# --- marks ----------------------------------------------------------------------------------------


def _mark_function(host: Host, args: Args) -> None:
    mark = parse_function_mark(args["mark"])
    link = host[LINKS].get(args["device"])
    if mark is None or link is None:
        raise LookupError(f"a mark on {args['device']}, which is not there")
    others = (name for name in link.altnames if name != args["mark"])
    host[LINKS][link.name] = dataclasses.replace(link, altnames=(*others, args["mark"]))


def _unmark_function(host: Host, args: Args) -> None:
    link = host[LINKS].get(args["device"])
    if link is not None:
        left = tuple(name for name in link.altnames if name != args["mark"])
        host[LINKS][link.name] = dataclasses.replace(link, altnames=left)


def _whose(args: Args) -> str:
    mark = parse_function_mark(args["mark"])
    return f"{mark.address} as VIF {mark.vif_id}'s (on {args['device']})" if mark else "nothing"


def _marked(args: Args, _steps: Sequence[Step]) -> list[Drift]:
    mark = parse_function_mark(args["mark"])
    return [Drift(mark.address, "lacks the mark of its owner", False, "mark")] if mark else []


def _given(args: Args, steps: Sequence[Step]) -> list[str]:
    """Return the function that is marked, unless it was the VIF's before: with another driver."""
    mark = parse_function_mark(args["mark"])
    former = [
        parse_function_mark(step.args["mark"]) for step in steps if step.kind == "unmark_function"
    ]
    had = {(other.address, other.vif_id) for other in former if other is not None}
    return [mark.address] if mark and (mark.address, mark.vif_id) not in had else []


def _still_marked(args: Args, _steps: Sequence[Step]) -> list[Drift]:
    mark = parse_function_mark(args["mark"])
    words = f"carries the mark of VIF {mark.vif_id}" if mark else ""
    return [Drift(mark.address, words, False, "mark")] if mark else []


# --- drivers --------------------------------------------------------------------------------------


def _bind_driver(host: Host, args: Args) -> None:
    found = host[FUNCTIONS].get(args["address"])
    if found is None:
        raise LookupError(f"a step for {args['address']}, which is not there")
    # What the kernel will choose, it does not tell beforehand.
    host[FUNCTIONS][found.address] = dataclasses.replace(
        found, driver=args["driver"] or "", override=args["override"]
    )


def _bind_back(host: Host, args: Args) -> Step | None:
    found = host[FUNCTIONS].get(args["address"])
    if found is None:
        return None
    back = {"address": found.address, "driver": found.driver, "override": found.override}
    return Step("bind_driver", back)


def _bound(args: Args) -> str:
    driver = args["driver"]
    if driver is None:
        return f"give {args['address']} back to the driver that the kernel has for it"
    former = _former_driver(args)
    if driver and former:
        return f"give {args['address']} to {driver}, from {former}"
    return f"give {args['address']} to {driver}" if driver else f"take {args['address']}'s driver"


def _former_driver(args: Args) -> str:
    return str(args.get("before", {}).get("driver", ""))


def _driver(args: Args, _steps: Sequence[Step]) -> list[Drift]:
    former = _former_driver(args)
    words = f"{f'is driven by {former}, ' if former else ''}should be driven by {args['driver']}"
    before = former or None
    return [Drift(args["address"], words, False, "driver", args["driver"], before=before)]


def _shown_of_driver(host: Host, args: Args) -> Mapping[str, Any]:
    found = host[FUNCTIONS].get(args["address"])
    return {"driver": found.driver} if found and found.driver else {}


# --- representors ---------------------------------------------------------------------------------


def _rename_link(host: Host, args: Args) -> None:
    link = existing(host, args["name"])
    attributes = {**link.attributes, "up": args["up"]}
    host[LINKS][args["name"]] = None
    host[LINKS][args["to"]] = dataclasses.replace(
        link, name=args["to"], alias=args["alias"], attributes=attributes
    )
    functions = host[FUNCTIONS]
    for address, function in functions.items():
        if function and function.representor == args["name"]:
            functions[address] = dataclasses.replace(function, representor=args["to"])


def _name_back(host: Host, args: Args) -> Step:
    link = existing(host, args["name"])
    up = link.attributes["up"]
    back = {"name": args["to"], "to": link.name, "alias": link.alias, "up": up}
    return Step("rename_link", back)


def _renamed(args: Args, _steps: Sequence[Step]) -> list[Drift]:
    return [Drift(args["name"], f"should be called {args['to']}", False, "name", args["to"])]


_MARK_FIELDS: Mapping[str, fields.Predicate] = {
    "device": fields.NAME,
    "mark": is_function_mark,
}

KINDS: Mapping[str, Kind] = {
    "mark_function": Kind(
        _MARK_FIELDS,
        _mark_function,
        lambda _host, args: Step("unmark_function", args),
        lambda args: f"mark {_whose(args)}",
        drift=_marked,
        makes=_given,
        daemons=(DEFAULT,),
    ),
    "unmark_function": Kind(
        _MARK_FIELDS,
        _unmark_function,
        lambda _host, args: Step("mark_function", args),
        lambda args: f"no longer mark {_whose(args)}",
        drift=_still_marked,
        daemons=(DEFAULT,),
    ),
    "set_vf": Kind(
        {
            # Its own address is for people only.
            "address": is_pci_address,
            "device": fields.NAME,
            "vf": VF_NUMBER,
            "settings": is_vf_settings,
        },
        _set_vf,
        _unset_vf,
        lambda args: f"set VF {args['vf']} of {args['device']}: {_settings(args)}",
        shows=_shown_of_vf,
        drift=_vf_changed,
        partial=True,
        daemons=(DEFAULT,),
    ),
    "bind_driver": Kind(
        {
            "address": is_pci_address,
            "driver": lambda value: value is None or value == "" or DRIVER(value),
            "override": lambda value: value == "" or DRIVER(value),
        },
        _bind_driver,
        _bind_back,
        _bound,
        shows=_shown_of_driver,
        drift=_driver,
        partial=True,
        daemons=(DEFAULT,),
    ),
    "rename_link": Kind(
        {"name": fields.NAME, "to": fields.NAME, "alias": _is_alias, "up": fields.FLAG},
        _rename_link,
        _name_back,
        lambda args: (
            f"call {args['name']} {args['to']}, and set it {'up' if args['up'] else 'down'}"
        ),
        drift=_renamed,
        daemons=(OVS,),
    ),
}
"""Every kind of step on PCI functions and their representors."""
