# SPDX-License-Identifier: Apache-2.0
"""What the host shows of PCI functions: their settings, drivers and marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.lab.devices.nics import PCI, GuestItself, Nic

NO_MAC = "00:00:00:00:00:00"
NOTHING = {
    "address": NO_MAC,
    "spoofchk": True,
    "trust": False,
    "vlan_list": [{}],
    "rate": {"max_tx": 0, "min_tx": 0},
}


def seen(here: GuestItself, device: str, number: int) -> dict[str, Any]:
    """Return the settings of a virtual function as ip shows them."""
    shown = here.run("ip", "-details", "-json", "link", "show", device).stdout
    (link,) = json.loads(shown)
    return dict(link["vfinfo_list"][number])


def assert_nothing(here: GuestItself, nic: Nic, number: int) -> None:
    found = seen(here, nic.netdev, number)
    assert {name: found.get(name) for name in NOTHING} == NOTHING


def marks(here: GuestItself, device: str) -> list[str]:
    """Return the marks of functions on a device as ip shows them."""
    (link,) = json.loads(here.run("ip", "-json", "link", "show", device).stdout)
    return [name for name in link.get("altnames", ()) if name.startswith("os-vif,")]


def assert_no_guest(here: GuestItself, nic: Nic, number: int) -> None:
    """See that nothing of a guest stayed; the host's driver may have chosen an address again."""
    found = seen(here, nic.netdev, number)
    assert not found["address"].startswith("52:54:")
    assert {**found, **NOTHING} == {**found, "address": NO_MAC}


def driver(address: str) -> str:
    path = PCI / address / "driver"
    return path.resolve().name if path.exists() else ""


def start_anew(address: str) -> None:
    """Load a function's driver again, as a guest does that gets it: it takes the MAC address."""
    for file in ("unbind", "bind"):
        Path("/sys/bus/pci/drivers/igbvf", file).write_text(address)
