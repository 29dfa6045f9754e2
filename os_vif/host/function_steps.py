# SPDX-License-Identifier: Apache-2.0
"""Steps on PCI functions: their rows of the table of kinds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from os_vif.host import fields
from os_vif.host.function_marks import parse_function_mark
from os_vif.host.observed import Host
from os_vif.host.step import Args, Kind, Step

# --- settings of virtual functions ----------------------------------------------------------------


def _set_vf(host: Host, args: Args) -> None:
    where = args["device"], args["vf"]
    host.vfs[where] = {**host.vfs.get(where, {}), **args["settings"]}


def _unset_vf(host: Host, args: Args) -> Step | None:
    there = host.vfs.get((args["device"], args["vf"]), {})
    before = {name: there[name] for name in args["settings"] if name in there}
    return Step("set_vf", {**args, "settings": before}) if before else None


NO_MAC = "00:00:00:00:00:00"
"""The address of a virtual function that nobody gave one."""


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


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(filter(None, (setting_in_words(*item) for item in settings.items())))


# --- marks ----------------------------------------------------------------------------------------


def _mark_function(host: Host, args: Args) -> None:
    mark = parse_function_mark(args["mark"])
    link = host.links.get(args["device"])
    if mark is None or link is None:
        raise LookupError(f"a mark on {args['device']}, which is not there")
    functions = (*(item for item in link.functions if item != mark), mark)
    host.links[link.name] = dataclasses.replace(link, functions=functions)


def _unmark_function(host: Host, args: Args) -> None:
    link = host.links.get(args["device"])
    if link is not None:
        left = tuple(item for item in link.functions if str(item) != args["mark"])
        host.links[link.name] = dataclasses.replace(link, functions=left)


def _whose(args: Args) -> str:
    mark = parse_function_mark(args["mark"])
    return f"{mark.address} as VIF {mark.vif_id}'s (on {args['device']})" if mark else "nothing"


# --- drivers --------------------------------------------------------------------------------------


def _bind_driver(host: Host, args: Args) -> None:
    found = host.functions.get(args["address"])
    if found is None:
        raise LookupError(f"a step for {args['address']}, which is not there")
    # What the kernel will choose, it does not tell beforehand.
    host.functions[found.address] = dataclasses.replace(
        found, driver=args["driver"] or "", override=args["override"]
    )


def _bind_back(host: Host, args: Args) -> Step | None:
    found = host.functions.get(args["address"])
    if found is None:
        return None
    back = {"address": found.address, "driver": found.driver, "override": found.override}
    return Step("bind_driver", back)


def _bound(args: Args) -> str:
    driver = args["driver"]
    if driver is None:
        return f"give {args['address']} back to the driver that the kernel has for it"
    return f"give {args['address']} to {driver}" if driver else f"take {args['address']}'s driver"


_MARK_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "device": fields.NAME,
    "mark": fields.is_function_mark,
}

FUNCTION_KINDS: Mapping[str, Kind] = {
    "mark_function": Kind(
        _MARK_FIELDS,
        _mark_function,
        lambda _host, args: Step("unmark_function", args),
        lambda args: f"mark {_whose(args)}",
    ),
    "unmark_function": Kind(
        _MARK_FIELDS,
        _unmark_function,
        lambda _host, args: Step("mark_function", args),
        lambda args: f"no longer mark {_whose(args)}",
    ),
    "set_vf": Kind(
        {
            # Its own address is for people only.
            "address": fields.is_pci_address,
            "device": fields.NAME,
            "vf": fields.VF_NUMBER,
            "settings": fields.is_vf_settings,
        },
        _set_vf,
        _unset_vf,
        lambda args: f"set VF {args['vf']} of {args['device']}: {_settings(args['settings'])}",
        partial=True,
    ),
    "bind_driver": Kind(
        {
            "address": fields.is_pci_address,
            "driver": lambda value: value is None or value == "" or fields.DRIVER(value),
            "override": lambda value: value == "" or fields.DRIVER(value),
        },
        _bind_driver,
        _bind_back,
        _bound,
        partial=True,
    ),
}
"""Every kind of step on PCI functions."""
