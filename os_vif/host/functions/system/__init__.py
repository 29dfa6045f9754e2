# SPDX-License-Identifier: Apache-2.0
"""PCI functions on the real host: who has them, and what gives them and takes them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from os_vif.engine import dispatch, planner
from os_vif.engine.family import Phase, Search, System
from os_vif.engine.observed import Asked, Host, Question
from os_vif.engine.place import Place
from os_vif.engine.plugged import Part, Plugged
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Resource, Topology
from os_vif.host.functions.questions import (
    HANDED,
    LOOPBACK,
    PCI_DRIVERS,
    VFS,
    VFS_OF,
    Given,
    VfSettings,
    marks_on,
    own_name,
)
from os_vif.host.functions.resources import PciDevice, VirtualFunction
from os_vif.host.functions.rules.representors import giving_back
from os_vif.host.functions.rules.vlans import noted_function, vlan_back
from os_vif.host.functions.system import ownership, pci_drivers, vfs
from os_vif.host.links.questions import (
    CREATED_KINDS,
    FUNCTIONS,
    LINKS,
    Function,
    Link,
    is_deleted_by_us,
)
from os_vif.host.links.system import altnames, sysfs
from os_vif.host.links.system import devices as links
from os_vif.host.routes.questions import ADDRESSES, DEFAULT_ROUTES, ROUTES_TO

_PLUGIN = "sriov"
"""The one plugin that gives functions away."""

# --- looking --------------------------------------------------------------------------------------


def _look(
    asked: Mapping[Question[Any, Any], set[Any]], host: Host, _place: Place
) -> Iterable[Asked]:
    physical = {found.physical_netdev for found in _those(asked.get(VFS, ()), host)} - {""}
    further = [question(name) for name in sorted(physical) for question in (LINKS, VFS_OF)]
    netdevs = {name for found in _those(asked.get(HANDED, ()), host) for name in found.netdevs}
    further += [ADDRESSES(name) for name in sorted(netdevs)]
    further += [ROUTES_TO(destination) for destination in DEFAULT_ROUTES if netdevs]
    if VFS_OF in asked:
        host[VFS].update(vfs.look_up(sorted(asked[VFS_OF])))
    for driver in asked.get(PCI_DRIVERS, ()):
        host[PCI_DRIVERS][driver] = sysfs.has_driver(driver)
    return further


def _those(addresses: Iterable[str], host: Host) -> list[Function]:
    return [found for address in addresses if (found := host[FUNCTIONS].get(address))]


# --- what VIFs have -------------------------------------------------------------------------------


def _find(search: Search) -> Iterable[Part]:
    for link in search.once("links", links.all_links):
        for given in _given(link, search.vif_id):
            vif_id = given.mark.vif_id
            mark = Mark(vif_id, _PLUGIN, given.mark.instance, given.mark.owner)
            yield Part(vif_id, "functions", given, mark, _PLUGIN)


def _given(link: Link, vif_id: str | None) -> list[Given]:
    """Return the functions that a device carries marks of; of one VIF, or of all."""
    marks = [mark for mark in marks_on(link) if vif_id in (None, mark.vif_id)]
    set_here: Mapping[tuple[str, int], VfSettings] = {}
    if marks and link.name != LOOPBACK:
        set_here = vfs.look_up([link.name])
    found = []
    for mark in marks:
        function = sysfs.function(mark.address)
        number = -1 if function is None or function.number is None else function.number
        settings = set_here.get((link.name, number), {})
        up = bool(link.attributes.get("up"))
        found.append(Given(mark, link.name, up, function, settings))
    return found


def _tell(item: Plugged) -> Iterable[Part]:
    """Tell which virtual functions the VIF's representors stand for."""
    for link in item["links"]:
        if _is_lent(link) and sysfs.is_representor(link.name):
            for address in sysfs.virtual_functions():
                found = sysfs.function(address)
                if found is not None and found.representor == link.name:
                    told = (address, link.name, own_name(link), link.attributes.get("mtu"))
                    yield Part(item.mark.vif_id, "represented", told, item.mark)


def _remove(plugged: Plugged, phase: Phase) -> list[Step]:
    match phase:
        case Phase.AHEAD:
            return [step for link in plugged["links"] for step in _untagging(link)]
        case Phase.GIVE_BACK:
            return [step for given in plugged["functions"] for step in _releasing(given)]
        case Phase.LAST:
            # A device of the host's own is only lent, and the kernel would not delete it either.
            return [giving_back(link) for link in plugged["links"] if _is_lent(link)]
    return []


def _is_lent(link: Link) -> bool:
    return is_deleted_by_us(link) and link.kind not in CREATED_KINDS


def _untagging(link: Link) -> list[Step]:
    """Return the steps that put back the function whose VLAN is noted on a device."""
    address = noted_function(link)
    return vlan_back(link, {address: sysfs.function(address)}) if address else []


def _releasing(given: Given) -> list[Step]:
    """Return the steps that give back a function: as unplugging, which knows no address here."""
    mark = given.mark
    resources: tuple[Resource, ...] = (PciDevice(address=mark.address),)
    if given.card:
        resources += (VirtualFunction(address=mark.address, mac=""),)
    topology = Topology(Mark(mark.vif_id, _PLUGIN), resources)
    host = dispatch.observe(planner.questions(topology), Place(""), with_daemon=False)
    todo = planner.plan_unplug(topology, host).steps
    # Of a function that is gone nobody finds the mark but who looks at every device.
    last = Step("unmark_function", {"device": given.device, "mark": str(mark)})
    return todo if last in todo else [*todo, last]


SYSTEM = System(
    look=_look,
    run={
        "mark_function": lambda args: None if altnames.add(**args) else args,
        "unmark_function": lambda args: None if altnames.remove(**args) else args,
        "set_vf": lambda args: vfs.change(args["device"], args["vf"], args["settings"]),
        "bind_driver": lambda args: pci_drivers.bind(**args),
        "rename_link": lambda args: links.rename(**args),
    },
    refuses=ownership.REFUSES,
    find=_find,
    tell=_tell,
    remove=_remove,
)
