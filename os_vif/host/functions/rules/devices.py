# SPDX-License-Identifier: Apache-2.0
"""What a PCI function must be to be given to a guest, and the steps that give it and take it back.

It is the VIF's whose mark it carries.  Where the marks do not tell (there is none, or that of a VIF
it is just being handed over from), a virtual function is the VIF's whose MAC address it carries.
So one that was handed to another VIF meanwhile is that one's, and is left alone.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.host.functions.questions import (
    HANDED,
    LOOPBACK,
    PCI_DRIVERS,
    VFS,
    FunctionMark,
    marks_on,
    need_virtual,
)
from os_vif.host.functions.resources import ETH_P_8021Q, NO_MAC
from os_vif.host.functions.steps import VF_TOGETHER
from os_vif.host.links.questions import (
    FUNCTIONS,
    HOST_ID,
    LINKS,
    correct,
    derived_mac,
    need,
    unusable,
)
from os_vif.host.routes.questions import ADDRESSES, DEFAULT_ROUTES, ROUTES_TO

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Mark
    from os_vif.host.functions.questions import VfSettings
    from os_vif.host.functions.resources import PciDevice, VirtualFunction
    from os_vif.host.links.questions import Function, Link

_HARMLESS = frozenset({"", "pci-stub", "pcieport", "shpchp"})
"""Drivers that let a guest have the rest of their IOMMU group (Documentation/driver-api/vfio.rst);
those of vfio do too."""


def asks_device(wanted: PciDevice, _mark: Mark) -> list[Asked]:
    """Return what must be looked up for a function that is given away."""
    about = (FUNCTIONS, HANDED, VFS)
    asked = [LINKS(LOOPBACK), *(question(wanted.address) for question in about)]
    return [*asked, PCI_DRIVERS(wanted.driver)] if wanted.driver else asked


def asks_vf(wanted: VirtualFunction, _mark: Mark) -> list[Asked]:
    """Return what must be looked up for the settings of a virtual function."""
    return [FUNCTIONS(wanted.address), VFS(wanted.address), HOST_ID(None)]


# --- who has the function -------------------------------------------------------------------------


def marks_of(host: Host, address: str) -> list[tuple[str, FunctionMark]]:
    """Return the marks of a function, each with the device that carries it."""
    found = host[FUNCTIONS].get(address)
    carriers = [
        host[LINKS].get(name) for name in (found.physical_netdev if found else "", LOOPBACK)
    ]
    return [
        (link.name, mark)
        for link in carriers
        if link is not None
        for mark in marks_on(link)
        if mark.address == address
    ]


def _marked(draft: Draft, address: str) -> list[tuple[str, FunctionMark]]:
    """Return the VIF's own marks of a function."""
    there = marks_of(draft.host, address)
    return [item for item in there if item[1].vif_id == draft.mark.vif_id]


def _is_ours(draft: Draft, address: str, mac: str) -> bool:
    owners = {mark.vif_id for _device, mark in marks_of(draft.host, address)}
    if len(owners) == 1:
        return owners == {draft.mark.vif_id}
    found = draft.host[FUNCTIONS].get(address)
    settings = _settings_of(draft.host, found) if found else None
    # Settings are taken back first, and it is still the VIF's after that.
    cleared = {step.args["address"] for step in draft.plan.steps if step.kind == "set_vf"}
    return bool(mac and settings and (settings["mac"] == mac or address in cleared))


def plug_device(draft: Draft, wanted: PciDevice) -> None:
    """See that the host does without the function, mark it, and give it to the driver."""
    carrier = _need_settable(draft, wanted.address)[1].name if wanted.mac else LOOPBACK
    found = draft.host[FUNCTIONS].get(wanted.address)
    if found is None:
        raise unusable(wanted.address, "this host has no such PCI device")
    _need_unused(draft.host, found)
    _mark(draft, found, wanted.driver, carrier)
    if wanted.driver in ("", found.driver):
        return
    if not draft.host[PCI_DRIVERS][wanted.driver]:
        raise unusable(
            found.address,
            f"this kernel has no driver {wanted.driver} for it; is its module loaded "
            f"(modprobe {wanted.driver})?",
        )
    if _is_vfio(wanted.driver):
        _need_own_group(draft.host, found)
    draft.add("bind_driver", address=found.address, driver=wanted.driver, override=wanted.driver)


def _mark(draft: Draft, found: Function, driver: str, carrier: str) -> None:
    """Have the function carry this VIF's mark, and none but that; never none in between."""
    there = marks_of(draft.host, found.address)
    if not driver:
        # Whoever gave it to another driver, for a VIF: it goes back when this one is done with it.
        given = [other.driver for _device, other in there if other.driver]
        now = (found.driver, found.override)
        driver = next((it for it in given if it in now or not found.driver), "")
    mark = FunctionMark.of(found.address, draft.mark, driver)
    for device, other in there:
        if other == mark and device != carrier:
            # No two devices have one name, so another stands in for it while it moves.
            between = _stand_in(mark)
            if between is not None and (carrier, between) not in there:
                draft.add("mark_function", device=carrier, mark=str(between))
                there.append((carrier, between))
            draft.add("unmark_function", device=device, mark=str(mark))
    if (carrier, mark) not in there:
        draft.add("mark_function", device=carrier, mark=str(mark))
    for device, other in there:
        if other != mark:
            settings = _settings_of(draft.host, found)
            if settings and carrier == LOOPBACK != device:
                # It was set for that VIF, and nobody would clear it after this one.
                _clear(draft, found, settings, spoofchk=None)
            draft.add("unmark_function", device=device, mark=str(other))


def _stand_in(mark: FunctionMark) -> FunctionMark | None:
    """Return a mark of the same VIF and driver with another text; None if it has no room."""
    try:
        return dataclasses.replace(mark, instance="" if mark.instance else "moving")
    except exception.InvalidField:
        return None


def unplug_device(draft: Draft, wanted: PciDevice) -> None:
    """Let the kernel choose the function's driver again, if it was given away for this VIF."""
    found = draft.host[FUNCTIONS].get(wanted.address)
    marks = _marked(draft, wanted.address)
    if found is not None and _is_ours(draft, wanted.address, wanted.mac):
        # Configuration may have changed since; the mark tells what was given.
        drivers = {mark.driver for _device, mark in marks} if marks else {wanted.driver}
        drivers.discard("")
        # Killed between its last two writes, an unplug leaves it without a driver.
        halfway = bool(marks) and not found.driver
        if drivers and (halfway or drivers & {found.driver, found.override}):
            draft.add("bind_driver", address=found.address, driver=None, override="")
    for device, mark in marks:
        draft.add("unmark_function", device=device, mark=str(mark))


def _is_vfio(driver: str) -> bool:
    return "vfio" in driver.replace("-", "_").split("_")


def _need_unused(host: Host, found: Function) -> None:
    """Refuse a function that the host itself uses."""
    if found.virtual_functions:
        raise unusable(
            found.address,
            f"{found.virtual_functions} virtual functions are made of it, which its guests would "
            "lose",
        )
    for netdev, upper in found.uppers:
        raise unusable(found.address, f"the host uses it: {upper} stands on its device {netdev}")
    for netdev in found.netdevs:
        for address in host[ADDRESSES].get(netdev, ()):
            raise unusable(
                found.address,
                f"the host uses it: its device {netdev} has the address {address.local}",
            )
        for destination in DEFAULT_ROUTES:
            if (host[ROUTES_TO].get(destination) or ("",))[0] == netdev:
                raise unusable(
                    found.address,
                    f"the host uses it: its device {netdev} carries the default route",
                )


def _need_own_group(host: Host, found: Function) -> None:
    """Refuse a function that an IOMMU does not keep apart from what the host drives."""
    if not found.iommu_group:
        raise unusable(
            found.address,
            "no IOMMU holds it (it has no iommu_group); is it on, in the firmware and on the "
            "kernel's command line (intel_iommu=on)?",
        )
    for address, seen in found.group_members:
        member = host[FUNCTIONS].get(address)
        driver = member.driver if member else seen
        if driver not in _HARMLESS and not _is_vfio(driver):
            raise unusable(
                found.address,
                f"{address} is in the same IOMMU group ({found.iommu_group}) and the host drives "
                f"it ({driver}); a guest can only have all of a group",
            )


# --- settings of a virtual function ---------------------------------------------------------------


def _settings_of(host: Host, found: Function) -> VfSettings | None:
    if found.number is None:
        return None
    return host[VFS].get((found.physical_netdev, found.number))


def _need_settable(draft: Draft, address: str) -> tuple[Function, Link]:
    """Return a virtual function and its physical function's netdev, through which it is set."""
    found = need_virtual(draft.host, address)
    if not found.physical_netdev:
        raise unusable(
            address,
            f"its physical function {found.physical} has no network device here, through which it "
            f"would be set (driver: {found.physical_driver or 'none'})",
        )
    return found, need(draft.host, found.physical_netdev)


def plug_vf(draft: Draft, wanted: VirtualFunction) -> None:
    """Set what differs, through the physical function, which is set up."""
    found, lower = _need_settable(draft, wanted.address)
    there = _settings_of(draft.host, found)
    if there is None or found.number is None:
        raise unusable(
            wanted.address,
            f"the driver {found.physical_driver} of {found.physical_netdev} does not tell of a "
            f"virtual function {found.number}",
        )
    settings = wanted.settings()
    for name in settings.keys() - there.keys():
        if settings[name]:
            raise unusable(
                wanted.address,
                f"the driver {found.physical_driver} of {found.physical_netdev} has no setting "
                f"{name}",
            )
    correct(draft, lower, {"up": True})
    _change(draft, found, there, settings)


def unplug_vf(draft: Draft, wanted: VirtualFunction) -> None:
    """Put it back to nothing, if it is this VIF's."""
    found = draft.host[FUNCTIONS].get(wanted.address)
    there = _settings_of(draft.host, found) if found else None
    if found is None or there is None or not _is_ours(draft, wanted.address, wanted.mac):
        return
    guest = wanted.mac or there["mac"]
    if there["mac"] == guest or _marked(draft, wanted.address):
        # A guest with trust may have taken another address; the mark knows it all the same.
        _clear(draft, found, there, spoofchk=wanted.spoofchk)
    for netdev in found.netdevs:
        link = draft.host[LINKS].get(netdev)
        if link is not None and link.attributes.get("mac") == guest:
            # The host's driver has taken the guest's address, and would ask the card for it anew.
            mac = derived_mac(draft.host, found.address)
            draft.add("set_link", name=netdev, attributes={"mac": mac})


def _clear(draft: Draft, found: Function, there: VfSettings, *, spoofchk: bool | None) -> None:
    nothing: VfSettings = {
        "mac": NO_MAC,
        "vlan": 0,
        "qos": 0,
        "vlan_proto": ETH_P_8021Q,
        "trust": False,
        "min_tx_rate": 0,
        "max_tx_rate": 0,
        "link_state": "auto",
    }
    if spoofchk is not None:
        # What it was before we set it, nobody knows any more; this is the safe side.
        nothing["spoofchk"] = True
    _change(draft, found, there, nothing)


def _change(draft: Draft, found: Function, there: VfSettings, wanted: VfSettings) -> None:
    """Set what differs of what the driver has."""
    changed = {
        name: value for name, value in wanted.items() if name in there and there[name] != value
    }
    for names in VF_TOGETHER:
        if changed.keys() & set(names):
            changed |= {name: wanted.get(name, there[name]) for name in names}
    if changed:
        draft.add(
            "set_vf",
            address=found.address,
            device=found.physical_netdev,
            vf=found.number,
            settings=changed,
        )
