# SPDX-License-Identifier: Apache-2.0
"""PCI functions out of a sysfs that was made for the test."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from os_vif.host.functions.system import pci_drivers
from os_vif.host.links.questions import Function, Link
from os_vif.host.links.system import stacking, sysfs
from tests.fake_sysfs import FakeSysfs

PF, PF1 = "0000:03:00.0", "0000:03:00.1"
VF = "0000:03:10.{}"
SWITCH = "52540012"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSysfs:
    monkeypatch.setattr(sysfs, "ROOT", tmp_path)
    return FakeSysfs(tmp_path)


def found(address: str) -> Function:
    function = sysfs.function(address)
    assert function is not None
    return function


@pytest.fixture
def card(fake: FakeSysfs) -> Path:
    """Return a physical function with two virtual ones, no switch."""
    physical = fake.function(PF, driver="igb", group="7")
    fake.netdev(physical, "eth0")
    for number in (0, 1):
        fake.virtual(physical, number, VF.format(number), driver="igbvf", group=f"1{number}")
    return physical


# --- what there is --------------------------------------------------------------------------------


def test_no_such_function(fake: FakeSysfs) -> None:
    assert sysfs.function(PF) is None


def test_a_bare_device(fake: FakeSysfs) -> None:
    fake.function(PF)
    assert found(PF) == Function(PF)


def test_a_physical_function(fake: FakeSysfs, card: Path) -> None:
    assert found(PF) == Function(
        PF, virtual_functions=2, netdevs=("eth0",), driver="igb", iommu_group="7"
    )


def test_a_virtual_function(fake: FakeSysfs, card: Path) -> None:
    fake.netdev(card.parent / VF.format(1), "eth2")
    assert found(VF.format(1)) == Function(
        VF.format(1),
        physical=PF,
        number=1,
        physical_netdev="eth0",
        physical_driver="igb",
        netdevs=("eth2",),
        driver="igbvf",
        iommu_group="11",
    )


def test_what_stands_on_its_devices(fake: FakeSysfs, card: Path) -> None:
    netdev = fake.netdev(card.parent / VF.format(0), "eth1")
    (netdev / "upper_br0").symlink_to(card)
    (netdev / "lower_x").symlink_to(card)
    assert found(VF.format(0)).uppers == (("eth1", "br0"),)


def test_a_card_on_virtio_has_its_device_one_bus_further_down(fake: FakeSysfs) -> None:
    made = fake.function(PF, driver="virtio-pci")
    (made / "virtio3").mkdir()
    fake.netdev(made / "virtio3", "ens3")
    assert found(PF).netdevs == ("ens3",)


def test_an_override(fake: FakeSysfs) -> None:
    made = fake.function(PF)
    (made / "driver_override").write_text("vfio-pci\n")
    assert found(PF).override == "vfio-pci"


def test_the_rest_of_its_iommu_group(fake: FakeSysfs) -> None:
    fake.function(PF, group="4", driver="igb")
    fake.function(PF1, group="4", driver="e1000e")
    fake.function("0000:02:00.0", group="4")
    fake.function("0000:05:00.0", group="5", driver="nvme")
    assert found(PF).iommu_group == "4"
    assert found(PF).group_members == (("0000:02:00.0", ""), (PF1, "e1000e"))


def test_a_physical_function_without_driver(fake: FakeSysfs) -> None:
    physical = fake.function(PF)
    fake.virtual(physical, 0, VF.format(0))
    seen = found(VF.format(0))
    assert (seen.number, seen.physical_netdev, seen.physical_driver) == (0, "", "")


# --- representors ---------------------------------------------------------------------------------


@pytest.fixture
def switch(fake: FakeSysfs) -> Path:
    """Return a physical function in switchdev mode, with virtual ones but no representor yet."""
    physical = fake.function(PF, driver="mlx5_core")
    fake.netdev(physical, "p0", port="p0", switch=SWITCH)
    for number in (0, 1):
        fake.virtual(physical, number, VF.format(number))
    return physical


@pytest.mark.parametrize("port", ["pf0vf1", "c0pf0vf1", "vf1", "1"])
@pytest.mark.parametrize("child", [True, False], ids=["in the PF's folder", "elsewhere"])
def test_a_representor_by_any_name(fake: FakeSysfs, switch: Path, port: str, child: bool) -> None:
    fake.netdev(switch if child else None, "rep1", port=port, switch=SWITCH)
    seen = found(VF.format(1))
    assert (seen.uplink, seen.switch_id, seen.representor) == ("p0", SWITCH, "rep1")
    assert seen.physical_netdev == "p0"
    assert found(VF.format(0)).representor == ""


@pytest.mark.parametrize("port", ["pf1vf1", "pf0vf11", "pf0vf0", "pf0sf1", "p1", "vf", "c1pf0vf1"])
def test_other_ports_of_the_switch(fake: FakeSysfs, switch: Path, port: str) -> None:
    fake.netdev(switch, "other", port=port, switch=SWITCH)
    assert found(VF.format(1)).representor == ""


@pytest.mark.parametrize("switch_id", ["52540013", ""])
def test_a_port_of_another_switch(fake: FakeSysfs, switch: Path, switch_id: str) -> None:
    fake.netdev(None, "other", port="pf0vf1", switch=switch_id)
    assert found(VF.format(1)).representor == ""


def test_two_physical_functions_of_one_switch(fake: FakeSysfs, switch: Path) -> None:
    second = fake.function(PF1, driver="mlx5_core")
    fake.netdev(second, "p1", port="p1", switch=SWITCH)
    fake.virtual(second, 1, "0000:03:18.1")
    for netdev, port in (("a", "pf1vf1"), ("b", "pf0vf1")):
        fake.netdev(switch, netdev, port=port, switch=SWITCH)
    assert found(VF.format(1)).representor == "b"
    assert found("0000:03:18.1").representor == "a"
    assert found("0000:03:18.1").uplink == "p1"


def test_a_switch_whose_uplink_has_no_port_name(fake: FakeSysfs) -> None:
    physical = fake.function(PF, driver="ice")
    fake.netdev(physical, "ens1", switch=SWITCH)
    fake.virtual(physical, 0, VF.format(0))
    fake.netdev(physical, "ens1r0", port="pf0vf0", switch=SWITCH)
    assert found(VF.format(0)).uplink == "ens1"
    assert found(VF.format(0)).representor == "ens1r0"


def test_no_switch(fake: FakeSysfs, card: Path) -> None:
    fake.netdev(None, "other", port="pf0vf1", switch=SWITCH)
    seen = found(VF.format(1))
    assert (seen.uplink, seen.switch_id, seen.representor) == ("", "", "")


def test_a_physical_function_has_no_representor(fake: FakeSysfs, switch: Path) -> None:
    seen = found(PF)
    assert (seen.number, seen.representor) == (None, "")


# --- drivers --------------------------------------------------------------------------------------


class FakeBus:
    """What the kernel does when the files of a PCI bus are written, one at a time."""

    def __init__(self, fake: FakeSysfs, *, own: str = "igbvf", refuses: str = "") -> None:
        self.fake = fake
        self.own = own
        self.refuses = refuses
        self.log: list[str] = []

    def write(self, path: Path, text: str) -> None:
        self.log.append(f"{path.name} {text.strip()}".strip())
        if path.name == "driver_override":
            path.write_text(text if text.strip() else "(null)\n")
        elif path.name == "unbind":
            path.parent.unlink()
        elif path.name == "drivers_probe":
            function = sysfs.folder_of(text)
            driver = sysfs.override_of(function) or self.own
            if driver != self.refuses and not (function / "driver").exists():
                self.fake.drive(function.resolve(), driver)


@pytest.fixture
def bus(fake: FakeSysfs, card: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeBus:
    made = FakeBus(fake)
    monkeypatch.setattr(pci_drivers, "_write", made.write)
    monkeypatch.setattr(pci_drivers, "DEV", tmp_path / "dev")
    return made


def state(address: str) -> tuple[str, str]:
    return found(address).driver, found(address).override


def test_there_and_back(bus: FakeBus) -> None:
    address = VF.format(0)
    pci_drivers.bind(address, "vfio-pci", "vfio-pci")
    assert state(address) == ("vfio-pci", "vfio-pci")
    assert bus.log == ["driver_override vfio-pci", f"unbind {address}", f"drivers_probe {address}"]
    bus.log.clear()
    pci_drivers.bind(address, "vfio-pci", "vfio-pci")
    assert bus.log == []
    pci_drivers.bind(address, None, "")
    assert state(address) == ("igbvf", "")


def test_back_to_the_very_driver_there_was(bus: FakeBus) -> None:
    address = VF.format(0)
    pci_drivers.bind(address, "uio", "uio")
    pci_drivers.bind(address, "vfio-pci", "vfio-pci")
    pci_drivers.bind(address, "uio", "")
    assert state(address) == ("uio", "")
    pci_drivers.bind(address, "", "")
    assert state(address) == ("", "")


def test_a_driver_that_does_not_take_it(bus: FakeBus) -> None:
    bus.refuses = "vfio-pci"
    with pytest.raises(OSError, match=r"the driver vfio-pci does not take 0000:03:10\.0") as caught:
        pci_drivers.bind(VF.format(0), "vfio-pci", "vfio-pci")
    assert caught.value.errno == errno.ENOTSUP
    pci_drivers.bind(VF.format(0), "igbvf", "")
    assert state(VF.format(0)) == ("igbvf", "")


def test_a_function_that_is_gone(bus: FakeBus) -> None:
    with pytest.raises(OSError, match="no PCI device") as caught:
        pci_drivers.bind("0000:09:00.0", "vfio-pci", "")
    assert caught.value.errno == errno.ENODEV


def test_a_guest_that_holds_it_is_not_waited_for(
    bus: FakeBus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = VF.format(0)
    pci_drivers.bind(address, "vfio-pci", "vfio-pci")
    opened = []

    def busy(path: Path, _flags: int) -> int:
        opened.append(path)
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", busy)
        with pytest.raises(OSError, match="dev/vfio/10 open; stop the guest first"):
            pci_drivers.bind(address, None, "")
    assert opened == [tmp_path / "dev/vfio/10"]
    assert state(address) == ("vfio-pci", "vfio-pci")


# --- what goes meanwhile --------------------------------------------------------------------------


def test_nobody_stands_on_what_has_just_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacking, "ROOT", str(tmp_path))
    monkeypatch.setattr(stacking, "is_shown", lambda *_: True)
    assert stacking.users_of(Link("gone0", 7, "vlan", alias="", attributes={})) == ()
