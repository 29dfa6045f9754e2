# SPDX-License-Identifier: Apache-2.0
"""PCI functions and the network devices behind them, from sysfs.

Sources: Documentation/ABI/testing/sysfs-bus-pci (physfn, virtfn), sysfs-class-net (phys_switch_id,
phys_port_name), Documentation/networking/devlink/devlink-port.rst for the port names.
"""

from __future__ import annotations

import re
from pathlib import Path

from os_vif.host.observed import Function

ROOT = Path("/sys")

# What drivers call ports: p0 an uplink, pf0vf3 a virtual function's; vf3 and 3 in older ones.
_UPLINK = re.compile(r"p[0-9]+\Z")
_VIRTUAL = re.compile(r"(?:(?:c0)?pf(?P<physical>[0-9]+))?(?:vf)?(?P<number>[0-9]+)\Z")


def function(address: str) -> Function | None:
    """Return a PCI function; None where this host has none of that address."""
    folder = ROOT / "bus/pci/devices" / address
    if not folder.exists():
        return None
    physical = folder / "physfn"
    if not physical.exists():
        return Function(address)
    physical = physical.resolve()
    number = _number(physical, folder.resolve())
    uplink, switch_id = _uplink(physical)
    return Function(
        address,
        physical=physical.name,
        number=number,
        uplink=uplink,
        switch_id=switch_id,
        representor=_representor(physical, number, switch_id) if switch_id else "",
    )


def _number(physical: Path, virtual: Path) -> int | None:
    for link in physical.glob("virtfn*"):
        if link.resolve() == virtual:
            return int(link.name.removeprefix("virtfn"))
    return None


def _uplink(physical: Path) -> tuple[str, str]:
    """Return the netdev of a physical function that is a switch's uplink, and the switch's id."""
    for netdev in sorted(physical.glob("net/*")):
        switch_id, port = _read(netdev / "phys_switch_id"), _read(netdev / "phys_port_name")
        if switch_id and (not port or _UPLINK.match(port)):
            return netdev.name, switch_id
    return "", ""


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
