# SPDX-License-Identifier: Apache-2.0
"""A network card with virtual functions as a model: no card needed.

``Card`` answers as a look at the host does, and takes steps as the kernel does.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from os_vif.engine import planner
from os_vif.engine.draft import Plan
from os_vif.engine.observed import Host, by_question
from os_vif.engine.step import Step
from os_vif.host.functions.questions import HANDED, PCI_DRIVERS, VFS, FunctionMark
from os_vif.host.links.questions import FUNCTIONS, HOST_ID, LINKS, Function, Link
from os_vif.host.routes.questions import ADDRESSES, ROUTES_TO, Address
from os_vif.verbs import describe
from tests import vifs

PF, NIC = "0000:03:00.0", "0000:05:00.0"
MAC, NO_MAC = vifs.guest_mac(1), "00:00:00:00:00:00"
UNSET = {
    "mac": NO_MAC,
    "vlan": 0,
    "qos": 0,
    "vlan_proto": 0x8100,
    "min_tx_rate": 0,
    "max_tx_rate": 0,
    "link_state": "auto",
    "spoofchk": True,
    "trust": False,
}


def address(number: int) -> str:
    return f"0000:03:10.{number}"


class Card:
    """A network card with four virtual functions, and another card without."""

    def __init__(self) -> None:
        self.host_id = "one of many"
        self.up = True
        self.addresses: dict[str, tuple[Address, ...]] = {}
        self.default_route = ""
        self.marks: dict[str, list[str]] = {"lo": [], "eth0": []}
        self.drivers = {"vfio-pci", "igbvf"}
        self.vfs: dict[int, dict[str, Any]] = {number: dict(UNSET) for number in range(4)}
        self.macs = {f"eth{number}": f"02:00:00:00:00:0{number}" for number in range(5)}
        self.functions = {
            PF: Function(PF, driver="igb", netdevs=("eth0",), virtual_functions=4),
            NIC: Function(NIC, driver="e1000e", netdevs=("eth9",), iommu_group="9"),
            **{
                address(number): Function(
                    address(number),
                    physical=PF,
                    number=number,
                    physical_netdev="eth0",
                    physical_driver="igb",
                    netdevs=(f"eth{number + 1}",),
                    driver="igbvf",
                    iommu_group=f"1{number}",
                )
                for number in range(4)
            },
        }

    def alter(self, which: str, **fields: Any) -> None:
        self.functions[which] = dataclasses.replace(self.functions[which], **fields)

    def look(self, *topologies: Any) -> Host:
        about = by_question(it for item in topologies for it in planner.questions(item))
        functions = {which: self.functions.get(which) for which in about.get(FUNCTIONS, ())}
        host = Host({FUNCTIONS: functions})
        for which in about.get(VFS, ()):
            function = self.functions.get(which)
            for netdev in function.netdevs if function else ():
                mac = self.macs.get(netdev, "")
                host[LINKS][netdev] = Link(netdev, 9, "", "", {"mac": mac})
            if function and function.physical_netdev:
                host[VFS].update({("eth0", n): dict(there) for n, there in self.vfs.items()})
        shown = {"lo": True, "eth0": self.up}
        if not any(it and it.physical_netdev for it in functions.values()):
            del shown["eth0"]
        for name, up in shown.items():
            marks = tuple(self.marks[name])
            host[LINKS][name] = Link(name, 2, "", "", {"up": up, "master": None}, marks)
        host[HOST_ID].update(dict.fromkeys(about.get(HOST_ID, ()), self.host_id))
        drivers = about.get(PCI_DRIVERS, ())
        host[PCI_DRIVERS].update({name: name in self.drivers for name in drivers})
        for which in about.get(HANDED, ()):
            function = self.functions.get(which)
            for netdev in function.netdevs if function else ():
                host[ADDRESSES][netdev] = self.addresses.get(netdev, ())
                route = (self.default_route, "10.0.0.254") if self.default_route else None
                host[ROUTES_TO].update({"0.0.0.0/0": route, "::/0": None})
        return copy.deepcopy(host)

    def run(self, todo: list[Step]) -> None:
        for kind, args in todo:
            if kind == "set_link":
                if "mac" in args["attributes"]:
                    self.macs[args["name"]] = args["attributes"]["mac"]
                else:
                    assert args["name"] == "eth0"
                    self.up = args["attributes"]["up"]
            elif kind == "set_vf":
                assert args["device"] == "eth0"
                assert self.functions[args["address"]].number == args["vf"]
                self.vfs[args["vf"]].update(args["settings"])
            elif kind == "mark_function":
                assert args["mark"] not in self.marks["lo"] + self.marks["eth0"]
                self.marks[args["device"]].append(args["mark"])
            elif kind == "unmark_function":
                self.marks[args["device"]].remove(args["mark"])
            else:
                assert kind == "bind_driver"
                own = "e1000e" if args["address"] == NIC else "igbvf"
                driver = own if args["driver"] is None else args["driver"]
                self.alter(args["address"], driver=driver, override=args["override"])

    def picture(self) -> Any:
        return copy.deepcopy((self.up, self.vfs, self.functions, self.marks))


def topology(vif: Any, *, unplugging: bool = False, **options: Any) -> Any:
    with vifs.configured("sriov", **options):
        return describe(vif, vifs.instance(), unplugging=unplugging).topology


def plan(card: Card, vif: Any, **options: Any) -> Plan:
    wanted = topology(vif, **options)
    return planner.plan_plug(wanted, card.look(wanted))


def plug(card: Card, vif: Any, **options: Any) -> list[Step]:
    todo = plan(card, vif, **options).steps
    card.run(todo)
    assert plan(card, vif, **options).steps == [], "the second time there is nothing left to do"
    return todo


def unplug(card: Card, vif: Any, **options: Any) -> list[Step]:
    wanted = topology(vif, unplugging=True, **options)
    todo = planner.plan_unplug(wanted, card.look(wanted)).steps
    card.run(todo)
    return todo


def kinds(todo: list[Step]) -> list[str]:
    return [step.kind for step in todo]


def marked(number: int, where: str, driver: str = "", instance: bool = True) -> str:
    uuid = vifs.instance().uuid if instance else ""
    return str(FunctionMark(where, vifs.vif_id(number), driver, uuid))
