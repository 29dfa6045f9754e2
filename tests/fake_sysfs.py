# SPDX-License-Identifier: Apache-2.0
"""A sysfs made for a test: PCI functions, their drivers, IOMMU groups and network devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class FakeSysfs:
    """A folder with the layout of sysfs, as far as it is read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("bus/pci/devices", "bus/pci/drivers", "class/net", "kernel/iommu_groups"):
            (root / name).mkdir(parents=True)

    def function(self, address: str, *, driver: str = "", group: str = "") -> Path:
        real = self.root / "devices/pci0000:00" / address
        real.mkdir(parents=True)
        (self.root / "bus/pci/devices" / address).symlink_to(real)
        (real / "driver_override").write_text("(null)\n")
        if driver:
            self.drive(real, driver)
        if group:
            home = self.root / "kernel/iommu_groups" / group
            (home / "devices").mkdir(parents=True, exist_ok=True)
            (home / "devices" / address).symlink_to(real)
            (real / "iommu_group").symlink_to(home)
        return real

    def drive(self, function: Path, driver: str) -> None:
        home = self.root / "bus/pci/drivers" / driver
        home.mkdir(exist_ok=True)
        (function / "driver").symlink_to(home)

    def virtual(self, physical: Path, number: int, address: str, **options: Any) -> Path:
        made = self.function(address, **options)
        (made / "physfn").symlink_to(physical)
        (physical / f"virtfn{number}").symlink_to(made)
        return made

    def netdev(self, parent: Path | None, name: str, *, port: str = "", switch: str = "") -> Path:
        home = parent or self.root / "devices/virtual"
        made = home / "net" / name
        made.mkdir(parents=True)
        for file, text in (("phys_port_name", port), ("phys_switch_id", switch)):
            if text:
                (made / file).write_text(f"{text}\n")
        (self.root / "class/net" / name).symlink_to(made)
        return made
