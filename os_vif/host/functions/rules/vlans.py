# SPDX-License-Identifier: Apache-2.0
"""The VLAN of a virtual function that a guest has by a macvtap, and the one it had before.

The driver keeps one VLAN and no owner, so what was found stands in the alias of the macvtap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.engine.checks import interface_name, pci_address
from os_vif.engine.step import Step
from os_vif.engine.topology import parse_mark
from os_vif.host.functions.questions import VFS, need_virtual
from os_vif.host.functions.resources import ETH_P_8021Q, FunctionVlan
from os_vif.host.functions.steps import VF_NUMBER, is_vf_settings
from os_vif.host.links.questions import FUNCTIONS, own_links, unusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked
    from os_vif.engine.topology import Mark
    from os_vif.host.functions.questions import VfSettings
    from os_vif.host.links.questions import Function, Link

VLAN_NOTE = "vf-vlan="

_NAMES = ("vlan", "qos", "vlan_proto")


def asks_function_vlan(wanted: FunctionVlan, _mark: Mark) -> list[Asked]:
    """Return what must be looked up for the VLAN of a function."""
    return [FUNCTIONS(wanted.address), VFS(wanted.address)]


def _found(draft: Draft, wanted: FunctionVlan) -> tuple[Function, VfSettings]:
    """Return the function and its VLAN.

    :raises UnusableDevice: it has none that could be set from here.
    """
    found = need_virtual(
        draft.host, wanted.address, "so its VLAN is a device, and needs a name (vlan_name)"
    )
    number = -1 if found.number is None else found.number
    there = draft.host[VFS].get((found.physical_netdev, number))
    if there is None or not there.keys() >= set(_NAMES):
        raise unusable(
            wanted.address,
            f"its physical function {found.physical} has no network device here that tells of its "
            f"VLAN (driver: {found.physical_driver or 'none'})",
        )
    return found, {name: there[name] for name in _NAMES}


def _set(found: Function, settings: VfSettings) -> Step:
    where = {"address": found.address, "device": found.physical_netdev, "vf": found.number}
    return Step("set_vf", {**where, "settings": settings})


def vlan_note(draft: Draft, wanted: FunctionVlan, former: str) -> str:
    """Return the word for the VLAN that a function had before this VIF."""
    for word in former.split(" "):
        if word.startswith(VLAN_NOTE):
            return word
    found, there = _found(draft, wanted)
    vlan = ",".join(str(there[name]) for name in _NAMES)
    return f"{VLAN_NOTE}{found.address},{found.physical_netdev},{found.number},{vlan}"


def plug_function_vlan(draft: Draft, wanted: FunctionVlan) -> None:
    """Put the function into its VLAN."""
    found, there = _found(draft, wanted)
    settings: VfSettings = {"vlan": wanted.vlan, "qos": 0, "vlan_proto": ETH_P_8021Q}
    if there != settings:
        draft.take(_set(found, settings))


def unplug_function_vlan(draft: Draft, _wanted: FunctionVlan) -> None:
    """Put the function back into the VLAN it was in."""
    for link in own_links(draft):
        give_back_vlan(draft, link)


def release_vlan(draft: Draft, link: Link) -> None:
    """Put back a function that the VIF of this macvtap is not to have in a VLAN any more."""
    if any(isinstance(resource, FunctionVlan) for resource in draft.topology.resources):
        return
    for step in vlan_back(link, draft.host[FUNCTIONS]):
        if step not in draft.plan.steps:
            draft.take(step)


def give_back_vlan(draft: Draft, link: Link) -> None:
    """Put the function of this macvtap back into the VLAN it was in."""
    for step in vlan_back(link, draft.host[FUNCTIONS]):
        draft.take(step)


def noted_function(link: Link) -> str:
    """Return the address of the function whose VLAN is noted on a macvtap; '' where none is."""
    back = vlan_back(link, {})
    return str(back[-1].args["address"]) if back else ""


def vlan_back(link: Link, functions: Mapping[str, Function | None]) -> list[Step]:
    """Return the steps that put a function back into the VLAN noted on the macvtap.

    The macvtap goes down before that: the guest must not hear the other VLAN.

    :param functions: those that were looked at: the card may have got another name since, and
        with a function that is gone its VLAN is
    """
    if parse_mark(link.alias) is None:
        return []
    for word in link.alias.split(" "):
        if word.startswith(VLAN_NOTE):
            try:
                back = _back(word.removeprefix(VLAN_NOTE))
            except (exception.InvalidField, ValueError):
                return []  # somebody else's words
            address = back.args["address"]
            if address in functions:
                found = functions[address]
                if found is None:
                    return []
                if found.number is not None and found.physical_netdev:
                    back = _set(found, back.args["settings"])
            down = Step("set_link", {"name": link.name, "attributes": {"up": False}})
            return [down, back]
    return []


def _back(words: str) -> Step:
    address, device, vf, *numbers = words.split(",")
    settings: VfSettings = dict(zip(_NAMES, map(int, numbers), strict=True))
    if not is_vf_settings(settings) or not VF_NUMBER(int(vf)):
        raise ValueError(words)
    where = {
        "address": pci_address(address),
        "device": interface_name(device),
        "vf": int(vf),
    }
    return Step("set_vf", {**where, "settings": settings})
