# SPDX-License-Identifier: Apache-2.0
"""What a PCI function must be for a VIF, and what lends its representor and gives it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.host.draft import in_the_way
from os_vif.host.step import Step
from os_vif.host.topology import former_name, lent_mark, parse_mark

if TYPE_CHECKING:
    from os_vif.host.draft import Draft
    from os_vif.host.observed import Function, Host, Link
    from os_vif.host.resources import Representor


def need_virtual(host: Host, address: str, so: str = "") -> Function:
    """Return a virtual function that must be there.

    :param so: what follows where it is none
    :raises UnusableDevice: there is none of this address, or it is not a virtual one.
    """
    found = host.functions.get(address)
    if found is None:
        raise unusable(address, "this host has no such PCI device")
    if found.number is None:
        reason = "it is not a virtual function (it has no physfn)"
        raise unusable(address, f"{reason}, {so}" if so else reason)
    return found


def need_represented(host: Host, address: str) -> Function:
    """Return a virtual function that has a representor.

    :raises UnusableDevice: it has none; the reason says what is missing on the way to one.
    """
    found = need_virtual(host, address)
    if not found.switch_id:
        raise unusable(
            address,
            f"no network device of its physical function {found.physical} is a switch's uplink "
            "(phys_switch_id); is there a driver, and is it in switchdev mode (devlink dev eswitch "
            f"show pci/{found.physical})?",
        )
    if not found.representor:
        raise unusable(
            address,
            f"switch {found.switch_id} of {found.uplink} has no representor of virtual function "
            f"{found.number}",
        )
    return found


def netdev_behind(host: Host, address: str) -> str:
    """Return the name of the network device of a PCI function, which must have one.

    :raises UnusableDevice: it has none, or several.
    """
    found = host.functions.get(address)
    if found is None:
        raise unusable(address, "this host has no such PCI device")
    if not found.netdevs:
        driver = f"its driver is {found.driver}" if found.driver else "it has no driver"
        raise unusable(
            address,
            f"there is no network device behind it in this network namespace ({driver}); is it a "
            "NIC, and has nobody been given it whole?",
        )
    if len(found.netdevs) > 1:
        raise unusable(
            address,
            f"there are several network devices behind it ({', '.join(found.netdevs)}); leave out "
            "the address and name one of them (network.bridge_interface)",
        )
    return found.netdevs[0]


def unusable(address: str, reason: str) -> exception.UnusableDevice:
    """Return the error for a PCI device that cannot do what it is to do."""
    return exception.UnusableDevice(device=f"PCI device {address}", reason=reason)


def own_name(link: Link) -> str:
    """Return what a device is called when it is not lent to a VIF under another name."""
    return (former_name(link.alias) if parse_mark(link.alias) else "") or link.name


def plug_representor(draft: Draft, wanted: Representor) -> None:
    """Lend the representor to the VIF: mark it, name it, set it up."""
    found = need_represented(draft.host, wanted.address)
    link = draft.need(found.representor)
    owner = parse_mark(link.alias)
    if owner is not None and owner.vif_id != draft.mark.vif_id:
        raise in_the_way(link, f"VIF {draft.mark.vif_id} needs it")
    own = own_name(link)
    name = wanted.name or own
    mark = str(draft.mark) if name == own else lent_mark(draft.mark, own)
    if link.name != name:
        other = draft.host.links.get(name)  # nobody asked about its own name; the kernel knows
        if other is not None:
            raise in_the_way(other, f"the representor {link.name} is to get this name")
        draft.add("rename_link", name=link.name, to=name, alias=mark, up=True)
        link = draft.need(name)
    attributes = {"up": True} if wanted.mtu is None else {"mtu": wanted.mtu, "up": True}
    draft.correct(link, attributes, mark)


def unplug_representor(draft: Draft, wanted: Representor) -> None:
    """Give the representor back: down, without mark, and with its own name."""
    found = draft.host.functions.get(wanted.address)
    link = draft.host.links.get(found.representor) if found else None
    if link is None:
        return
    owner = parse_mark(link.alias)
    if owner is not None and owner.vif_id == draft.mark.vif_id:
        draft.take(giving_back(link))


def giving_back(link: Link) -> Step:
    """Return the step that gives back a device that is only lent: down and without mark."""
    own = own_name(link)
    if own != link.name:
        return Step("rename_link", {"name": link.name, "to": own, "alias": "", "up": False})
    return Step("set_link", {"name": link.name, "attributes": {"up": False, "alias": ""}})
