# SPDX-License-Identifier: Apache-2.0
"""PCI functions and the network devices behind them, from sysfs.

Sources: Documentation/ABI/testing/sysfs-bus-pci (physfn, virtfn, driver_override, drivers_probe),
sysfs-class-net (phys_switch_id, phys_port_name), sysfs-kernel-iommu_groups,
Documentation/networking/devlink/devlink-port.rst for the port names.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from os_vif.host.links.questions import Function

ROOT = Path("/sys")

# What drivers call ports: p0 an uplink, pf0vf3 a virtual function's; vf3 and 3 in older ones.
_UPLINK = re.compile(r"p[0-9]+\Z")
_VIRTUAL = re.compile(r"(?:(?:c0)?pf(?P<physical>[0-9]+))?(?:vf)?(?P<number>[0-9]+)\Z")

_NO_OVERRIDE = "(null)"
"""How the kernel shows that there is none."""


def is_wireless(name: str, index: int) -> bool:
    """Tell whether a network device is a wireless card's (sysfs-class-net)."""
    folder = f"{ROOT}/class/net/{name}"
    if not (os.path.exists(f"{folder}/phy80211") or os.path.exists(f"{folder}/wireless")):
        return False
    # What is mounted here may show another network namespace's devices.
    return Path(folder, "ifindex").read_text().strip() == str(index)


def folder_of(address: str) -> Path:
    """Return the folder of a PCI function, which need not be there."""
    return ROOT / "bus/pci/devices" / address


def function(address: str) -> Function | None:
    """Return a PCI function; None where this host has none of that address."""
    folder = folder_of(address)
    if not folder.exists():
        return None
    netdevs = _netdevs(folder)
    group = folder / "iommu_group"
    members = sorted(group.glob("devices/*")) if group.exists() else []
    found = Function(
        address,
        virtual_functions=sum(1 for _ in folder.glob("virtfn*")),
        netdevs=tuple(netdev.name for netdev in netdevs),
        uppers=tuple(
            (netdev.name, upper.name.removeprefix("upper_"))
            for netdev in netdevs
            for upper in sorted(netdev.glob("upper_*"))
        ),
        driver=driver_of(folder),
        override=override_of(folder),
        iommu_group=group.resolve().name if group.exists() else "",
        group_members=tuple((it.name, driver_of(it)) for it in members if it.name != address),
    )
    physical = folder / "physfn"
    return _virtual(found, folder, physical.resolve()) if physical.exists() else found


def virtual_functions() -> list[str]:
    """Return the addresses of all virtual functions of this host."""
    return sorted(it.parent.name for it in (ROOT / "bus/pci/devices").glob("*/physfn"))


def _virtual(found: Function, folder: Path, physical: Path) -> Function:
    """Return a function with what its being a virtual one adds."""
    number = _number(physical, folder.resolve())
    uplink, switch_id = _uplink(physical)
    return dataclasses.replace(
        found,
        physical=physical.name,
        number=number,
        uplink=uplink,
        switch_id=switch_id,
        representor=_representor(physical, number, switch_id) if switch_id else "",
        physical_netdev=uplink or _own_port(physical),
        physical_driver=driver_of(physical),
    )


def driver_of(folder: Path) -> str:
    """Return the name of what drives a PCI function; '' for nothing."""
    driver = folder / "driver"
    return driver.resolve().name if driver.exists() else ""


def override_of(folder: Path) -> str:
    """Return the only driver that a PCI function may have; '' for the kernel's choice."""
    text = _read(folder / "driver_override")
    return "" if text == _NO_OVERRIDE else text


def has_driver(name: str) -> bool:
    """Tell whether the kernel has a PCI driver of this name, loaded or built in."""
    return (ROOT / "bus/pci/drivers" / name).exists()


def is_network(address: str) -> bool:
    """Tell whether a PCI function is a network controller (PCI class code 02)."""
    return _read(folder_of(address) / "class").startswith("0x02")


def virtual_at(physical: str, number: int) -> str:
    """Return the PCI address of a virtual function; '' for none.

    :param physical: netdev of its physical function
    """
    link = ROOT / "class/net" / physical / "device" / f"virtfn{number}"
    return link.resolve().name if link.exists() else ""


def pci_address_of(netdev: str) -> str:
    """Return the address of the PCI function behind a network device; '' for none."""
    device = (ROOT / "class/net" / netdev / "device").resolve()
    return device.name if folder_of(device.name).exists() else ""


def is_virtual(netdev: str) -> bool:
    """Tell whether a network device is a virtual function's own."""
    return (ROOT / "class/net" / netdev / "device/physfn").exists()


def is_representor(netdev: str) -> bool:
    """Tell whether a network device stands for a virtual function on its card's switch."""
    return _is_representor(ROOT / "class/net" / netdev)


def _netdevs(folder: Path) -> list[Path]:
    # A virtio NIC has a bus device of its own in between.
    found = sorted([*folder.glob("net/*"), *folder.glob("virtio*/net/*")])
    # The representors of its virtual functions are children of a physical one too.
    return [netdev for netdev in found if not _is_representor(netdev)]


def _is_representor(netdev: Path) -> bool:
    port = _read(netdev / "phys_port_name")
    return bool(_VIRTUAL.match(port) and _read(netdev / "phys_switch_id"))


def _number(physical: Path, virtual: Path) -> int | None:
    for link in physical.glob("virtfn*"):
        if link.readlink().name == virtual.name:
            return int(link.name.removeprefix("virtfn"))
    return None


def _uplink(physical: Path) -> tuple[str, str]:
    """Return the netdev of a physical function that is a switch's uplink, and the switch's id."""
    for netdev in sorted(physical.glob("net/*")):
        switch_id, port = _read(netdev / "phys_switch_id"), _read(netdev / "phys_port_name")
        if switch_id and (not port or _UPLINK.match(port)):
            return netdev.name, switch_id
    return "", ""


def _own_port(physical: Path) -> str:
    """Return the netdev of a physical function that is no port of a switch."""
    for netdev in sorted(physical.glob("net/*")):
        port = _read(netdev / "phys_port_name")
        if not port or _UPLINK.match(port):
            return netdev.name
    return ""


def _representor(physical: Path, number: int | None, switch_id: str) -> str:
    own = sorted(physical.glob("net/*"))
    for netdev in own:
        if _represents(netdev, physical, number, switch_id):
            return netdev.name
    # Most drivers make it a child of the physical function; the others take a longer search.
    for netdev in sorted(set((ROOT / "class/net").glob("*"))):
        if netdev.name not in {item.name for item in own} and _represents(
            netdev, physical, number, switch_id
        ):
            return netdev.name
    return ""


def _represents(netdev: Path, physical: Path, number: int | None, switch_id: str) -> bool:
    if _read(netdev / "phys_switch_id") != switch_id:
        return False
    port = _VIRTUAL.match(_read(netdev / "phys_port_name"))
    if port is None or int(port["number"]) != number:
        return False
    # A card has a physical function for each of its ports, numbered like the PCI function.
    return port["physical"] in (None, physical.name.rpartition(".")[2])


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # EOPNOTSUPP where the driver knows no such thing
        return ""
