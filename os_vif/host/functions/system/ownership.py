# SPDX-License-Identifier: Apache-2.0
"""What the privileged side does to PCI functions for another process: to network functions of VIFs.

A function is a VIF's by a mark, which stands on the loopback device or on its card's, before it
gets another driver and until it has its own again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from os_vif.engine.step import Args
from os_vif.host.functions.questions import LOOPBACK, marks_on, parse_function_mark
from os_vif.host.functions.resources import NO_MAC
from os_vif.host.links.questions import is_mark
from os_vif.host.links.system import devices, ownership, sysfs

_VLAN = frozenset({"vlan", "qos", "vlan_proto"})
"""What a macvtap in passthrough has set, and notes in its own mark."""

_NOTHING: Mapping[str, Any] = {
    "mac": NO_MAC,
    "spoofchk": True,
    "trust": False,
    "min_tx_rate": 0,
    "max_tx_rate": 0,
    "link_state": "auto",
}
"""To what the settings of a function go back that has lost its mark."""


def _is_marked(address: str, card: str) -> bool:
    there = devices.look_up({LOOPBACK, card} - {""}).values()
    return any(mark.address == address for link in there if link for mark in marks_on(link))


def _no_network(address: str) -> str:
    there = sysfs.folder_of(address).exists()
    return f"{address} is no network function" if there and not sysfs.is_network(address) else ""


def _bind_driver(args: Args, _section: str) -> str:
    address = args["address"]
    found = sysfs.function(address)
    if found is None:
        return ""
    if why := _no_network(address):
        return why
    if args["driver"] is None and found.override:
        return ""  # it was given to somebody, whoever has lost the mark
    if not _is_marked(address, found.physical_netdev):
        return f"{address} carries no VIF's mark"
    for netdev, upper in found.uppers:
        return f"{upper} stands on {netdev} of {address}"
    return f"there are virtual functions of {address}" if found.virtual_functions else ""


def _set_vf(args: Args, _section: str) -> str:
    address, card = args["address"], args["device"]
    if sysfs.virtual_at(card, args["vf"]) != address:
        return f"{address} is not virtual function {args['vf']} of {card}"
    if why := _no_network(address):
        return why
    settings = args["settings"].items()
    if all(name in _VLAN or value == _NOTHING[name] for name, value in settings):
        return ""
    return "" if _is_marked(address, card) else f"{address} carries no VIF's mark"


def _mark_function(args: Args, _section: str) -> str:
    mark = parse_function_mark(args["mark"])
    return _no_network(mark.address) if mark is not None else ""


def _rename_link(args: Args, _section: str) -> str:
    link = ownership.look_up(args["name"])
    if link is None or ownership.is_ours(link):
        return ""
    if not sysfs.is_representor(link.name):
        return f"{link.name} is neither a VIF's nor a representor"
    return "" if is_mark(args["alias"]) else f"{link.name} is to carry no VIF's mark"


REFUSES: Mapping[str, Callable[[Args, str], str]] = {
    "bind_driver": _bind_driver,
    "set_vf": _set_vf,
    "mark_function": _mark_function,
    "rename_link": _rename_link,
}
"""Why a kind of step is not run for another process."""
