# SPDX-License-Identifier: Apache-2.0
"""The guest's devices themselves, seen through ip, sysfs and Open vSwitch's own tools.

A failure here is the lab's, not the product's.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.lab.devices.nics import (
    NET,
    PCI,
    VFS,
    EndIn,
    GuestItself,
    Nic,
    Representor,
    Simulated,
    reaches,
)
from tests.openvswitch import Switch

pytestmark = pytest.mark.lab


def link(host: GuestItself, name: str) -> dict[str, Any]:
    (found,) = json.loads(host.run("ip", "-details", "-json", "link", "show", name).stdout)
    return dict(found)


def test_the_nic_has_virtual_functions_with_an_iommu(nic: Nic) -> None:
    assert len(set(nic.vfs)) == VFS
    groups = set()
    for number, address in enumerate(nic.vfs):
        vf = PCI / address
        assert (vf / "physfn").resolve().name == nic.pf
        assert (vf / "driver").resolve().name == "igbvf"
        assert (NET / nic.vf_netdev(number)).exists()
        groups.add((vf / "iommu_group").resolve().name)
    assert len(groups) == VFS, "a VF that shares its group cannot be given to a guest"


def test_settings_of_a_virtual_function_are_kept_by_the_nic(nic: Nic, here: GuestItself) -> None:
    mac = "52:54:00:12:00:03"
    words = f"ip link set {nic.netdev} vf 3 mac {mac} vlan 7 qos 2 spoofchk off trust on"
    here.run(*words.split())
    try:
        vf = link(here, nic.netdev)["vfinfo_list"][3]
        assert (vf["address"], vf["spoofchk"], vf["trust"]) == (mac, False, True)
        assert vf["vlan_list"] == [{"vlan": 7, "qos": 2}]
    finally:
        words = f"ip link set {nic.netdev} vf 3 mac 00:00:00:00:00:00 vlan 0 spoofchk on trust off"
        here.run(*words.split())


def test_virtual_functions_of_one_vlan_reach_each_other(
    nic: Nic, end_in: EndIn, here: GuestItself
) -> None:
    """The NIC switches between its VFs, by the VLAN that each has been put into."""
    here.run("ip", "link", "set", nic.netdev, "up")
    for number, vlan in ((0, 5), (1, 5), (2, 6)):
        here.run(*f"ip link set {nic.netdev} vf {number} vlan {vlan}".split())
    try:
        one, _, stranger = (
            end_in(nic.vf_netdev(number), f"10.4.0.{number + 1}/24") for number in (0, 1, 2)
        )
        assert reaches(one, "10.4.0.2")
        assert not reaches(stranger, "10.4.0.2", seconds=3)
        here.run(*f"ip link set {nic.netdev} vf 2 vlan 5".split())
        assert reaches(stranger, "10.4.0.2")
    finally:
        for number in (0, 1, 2):
            here.run(*f"ip link set {nic.netdev} vf {number} vlan 0".split())


def test_a_virtual_function_goes_to_vfio_and_back(nic: Nic) -> None:
    """A hypervisor takes it as /dev/vfio/GROUP (Documentation/driver-api/vfio.rst)."""
    subprocess.run(["modprobe", "vfio-pci"], check=True)
    vf = PCI / nic.vfs[6]
    group = Path("/dev/vfio", (vf / "iommu_group").resolve().name)
    for driver in ("vfio-pci", "igbvf"):
        (vf / "driver_override").write_text(driver)
        (vf / "driver/unbind").write_text(vf.name)
        Path("/sys/bus/pci/drivers_probe").write_text(vf.name)
        assert (vf / "driver").resolve().name == driver
        assert group.exists() == (driver == "vfio-pci")
    (vf / "driver_override").write_text("\n")
    assert (NET / nic.vf_netdev(6)).exists()


def test_the_pf_and_the_other_nic_share_a_wire(nic: Nic, end_in: EndIn) -> None:
    end_in(nic.netdev, "10.1.0.1/24")
    assert reaches(end_in(nic.wire, "10.1.0.2/24"), "10.1.0.1")


def test_representors_lie_in_the_pfs_folder(
    nic: Nic, representors: tuple[Representor, ...], here: GuestItself
) -> None:
    pf = PCI / nic.pf
    assert {path.name for path in (pf / "net").iterdir()} == {
        nic.netdev,
        *(one.netdev for one in representors),
    }
    for one in representors:
        assert [path.name for path in (PCI / one.vf / "physfn/net").glob(one.netdev)]
    switch_id = link(here, nic.netdev)["phys_switch_id"]
    assert switch_id
    assert link(here, nic.netdev)["phys_port_name"] == "p0"
    for number, one in enumerate(representors):
        assert link(here, one.netdev)["phys_port_name"] == f"pf0vf{number}"
        assert (NET / one.netdev / "phys_switch_id").read_text().strip() == switch_id
        assert "phys_switch_id" not in link(here, one.far)


def test_the_nic_has_no_switch_without_its_representors(nic: Nic, here: GuestItself) -> None:
    assert "phys_switch_id" not in link(here, nic.netdev)


def test_what_enters_a_far_end_comes_out_of_the_representor(
    representors: tuple[Representor, ...], end_in: EndIn
) -> None:
    end_in(representors[1].netdev, "10.2.0.1/24")
    assert reaches(end_in(representors[1].far, "10.2.0.2/24"), "10.2.0.1")


def test_kernel_switch_joins_representors(
    switch: Switch, representors: tuple[Representor, ...], end_in: EndIn, here: GuestItself
) -> None:
    switch.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=system")
    for one in representors[:2]:
        here.run("ip", "link", "set", one.netdev, "up")
        switch.vsctl("add-port", "br-int", one.netdev)
        assert int(switch.get("Interface", one.netdev, "ofport")) > 0
    end_in(representors[0].far, "10.3.0.1/24")
    assert reaches(end_in(representors[1].far, "10.3.0.2/24"), "10.3.0.1")
    datapath = switch.appctl("dpctl/show", "system@ovs-system")
    assert representors[0].netdev in datapath
    assert representors[1].netdev in datapath


def test_netdevsim_is_a_switch_with_settings_of_virtual_functions(
    netdevsim: Simulated, here: GuestItself
) -> None:
    assert netdevsim.ports.keys() == {"p1", "p2", "pf0vf0", "pf0vf1"}
    ids = {(NET / name / "phys_switch_id").read_text() for name in netdevsim.ports.values()}
    assert len(ids) == 1
    uplink, mac = netdevsim.ports["p1"], "52:54:00:12:00:01"
    words = f"ip link set {uplink} vf 1 mac {mac} vlan 9 spoofchk on trust on state enable"
    here.run(*words.split())
    vf = link(here, uplink)["vfinfo_list"][1]
    assert (vf["address"], vf["spoofchk"], vf["trust"]) == (mac, True, True)
    assert (vf["vlan_list"], vf["link_state"]) == ([{"vlan": 9}], "enable")
