# SPDX-License-Identifier: Apache-2.0
"""Virtual functions and their representors, on a sysfs of our own making."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import planner, steps
from os_vif.engine.observed import Host
from os_vif.engine.topology import parse_mark
from os_vif.host.links.questions import FUNCTIONS, LINKS, Function, Link
from os_vif.host.links.system import sysfs
from os_vif.host.openvswitch.questions import IDS
from os_vif.verbs import describe
from tests import vifs, vifs_ovs
from tests.seen import seen as seen_host

PF, VF = "0000:3b:00.1", "0000:3b:02.3"
SWITCH = "c09f2f0003a1420c"


class Tree:
    """Below ``root`` what sysfs shows of PCI functions and network devices."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "class/net").mkdir(parents=True)

    def device(self, address: str) -> Path:
        folder = self.root / "bus/pci/devices" / address
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def virtual(self, address: str, number: int, physical: str = PF) -> None:
        folder, parent = self.device(address), self.device(physical)
        (folder / "physfn").symlink_to(parent)
        (parent / f"virtfn{number}").symlink_to(folder)

    def netdev(self, name: str, parent: str = "", *, switch: str = SWITCH, port: str = "") -> None:
        folder = self.device(parent) / "net" / name if parent else self.root / "virtual" / name
        folder.mkdir(parents=True)
        (self.root / "class/net" / name).symlink_to(folder)
        for attribute, value in (("phys_switch_id", switch), ("phys_port_name", port)):
            if value:
                (folder / attribute).write_text(f"{value}\n")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    made = Tree(tmp_path)
    monkeypatch.setattr(sysfs, "ROOT", tmp_path)
    made.virtual(VF, 3)
    return made


def represented(address: str) -> tuple[str, int | None, str, str, str]:
    found = sysfs.function(address)
    assert found is not None
    return found.physical, found.number, found.uplink, found.switch_id, found.representor


@pytest.mark.parametrize("port", ["pf1vf3", "c0pf1vf3", "vf3", "3"])
@pytest.mark.parametrize("below", [PF, ""], ids=["child of the PF", "elsewhere"])
def test_found(tree: Tree, port: str, below: str) -> None:
    tree.netdev("enp59s0f1", PF, port="p1")
    tree.netdev("wrong", below, port="pf1vf30")
    tree.netdev("eth7", below, port=port)
    assert represented(VF) == (PF, 3, "enp59s0f1", SWITCH, "eth7")


@pytest.mark.parametrize(
    ("switch", "port"),
    [
        (SWITCH, "pf0vf3"),  # of the card's other port
        (SWITCH, "c1pf1vf3"),  # of another controller
        (SWITCH, "pf1vf4"),
        (SWITCH, "pf1sf3"),
        (SWITCH, "p3"),
        ("another", "pf1vf3"),
        ("", "pf1vf3"),
        (SWITCH, ""),
    ],
)
def test_not_this_one(tree: Tree, switch: str, port: str) -> None:
    tree.netdev("enp59s0f1", PF, port="p1")
    tree.netdev("eth7", PF, switch=switch, port=port)
    found = sysfs.function(VF)
    assert found is not None
    assert found.representor == ""


def test_of_several_uplinks_and_none(tree: Tree) -> None:
    assert sysfs.function("0000:00:00.0") is None
    assert represented(PF) == ("", None, "", "", "")
    assert represented(VF) == (PF, 3, "", "", "")
    tree.netdev("enp59s0f1", PF, switch="")  # no switchdev
    assert represented(VF) == (PF, 3, "", "", "")
    tree.netdev("uplink", PF, port="p1")
    found = sysfs.function(VF)
    assert found is not None
    assert (found.uplink, found.switch_id) == ("uplink", SWITCH)


# --- what is planned ---------------------------------------------------------------------------


def topology(vif: Any, *, unplugging: bool = False) -> Any:
    os_vif.initialize()
    return describe(vif, vifs.instance(), unplugging=unplugging).topology


def host(**links: Link | None) -> Host:
    eth7 = Link("eth7", 7, "", "", {"up": False, "mtu": 1500})
    found = seen_host(links={"eth7": eth7, **links})
    found[FUNCTIONS][VF] = Function(VF, PF, 3, "uplink", SWITCH, "eth7")
    found[IDS][vifs.vif_id(1)] = ()
    return found


def words(vif: Any, seen: Host) -> list[str]:
    return [steps.describe(step) for step in planner.plan_plug(topology(vif), seen).steps]


def test_dpdk_is_told_which_function() -> None:
    vif = vifs_ovs.host_device(1, VF, datapath="netdev")
    todo = planner.plan_plug(topology(vif), host()).steps
    [port] = [step.args for step in todo if step.kind == "add_port"]
    assert (port["name"], port["type"]) == ("vfr00000001-77", "dpdk")
    assert port["options"] == {"dpdk-devargs": f"{PF},representor=[3]"}
    assert port["mtu_request"] == vifs_ovs.MTU
    assert [step.kind for step in todo] == ["add_br", "add_port"]


def test_named_and_given_back() -> None:
    vif = vifs_ovs.host_device(1, VF, name="tap-vm")
    seen = host(**{"tap-vm": None})
    assert words(vif, seen)[0].startswith("call eth7 tap-vm, and set it up")
    lent = seen[LINKS]["tap-vm"]
    assert lent is not None
    mark = parse_mark(lent.alias)
    assert mark is not None
    assert mark.vif_id == vif.id
    back = planner.plan_unplug(topology(vif, unplugging=True), everything_missing(seen)).steps
    assert steps.describe(back[-1]) == "call tap-vm eth7, and set it down"


def everything_missing(seen: Host) -> Host:
    for name in ("qbr", "qvb", "qvo"):
        seen[LINKS].setdefault(vifs_ovs.name(name), None)
    return seen


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (None, "no such PCI device"),
        (Function(VF), "not a virtual function"),
        (Function(VF, PF, 3), "is it in switchdev mode"),
        (Function(VF, PF, 3, "uplink", SWITCH), "no representor of virtual function 3"),
    ],
)
def test_unusable(function: Function | None, said: str) -> None:
    seen = host()
    seen[FUNCTIONS][VF] = function
    with pytest.raises(exception.UnusableDevice, match=said):
        planner.plan_plug(topology(vifs_ovs.host_device(1, VF)), seen)


@pytest.mark.parametrize(
    "address", ["3b:02.3", "0000:3b:02.8", "../../0000:3b:02.3", "0000:3b:20.3"]
)
def test_no_address(address: str) -> None:
    vif = vifs_ovs.host_device(1, VF)
    vif.obj_set_defaults()
    object.__setattr__(vif, "_obj_dev_address", address)
    with pytest.raises(exception.InvalidField, match="a PCI address, as in"):
        topology(vif)
