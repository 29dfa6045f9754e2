# SPDX-License-Identifier: Apache-2.0
"""What the guest's devices are to a test; the fixtures in ``conftest.py`` make them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import PrivateHost

PCI = Path("/sys/bus/pci/devices")
NET = Path("/sys/class/net")
VFS = 7
"""As many as igb has."""

EndIn = Callable[[str, str], PrivateHost]
"""Type of the fixture ``end_in``."""


class GuestItself(PrivateHost):
    """The guest's first network namespace, used as other tests use a private one."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    def close(self) -> None:
        """Do nothing: it ends with the guest."""


def only_netdev(device: Path) -> str:
    """Return the name of the one network device of a PCI device."""
    (netdev,) = (device / "net").iterdir()
    return netdev.name


@dataclass(frozen=True)
class Nic:
    """A NIC's physical function (PF), with as many VFs as it can have.

    :ivar pf: PCI address of the PF
    :ivar netdev: the PF's network device
    :ivar vfs: PCI addresses of the VFs, by number
    :ivar wire: network device of another NIC, on the wire that the PF's port is on
    """

    pf: str
    netdev: str
    vfs: tuple[str, ...]
    wire: str

    def vf_netdev(self, number: int) -> str:
        """Return the network device of a VF that igbvf drives."""
        return only_netdev(PCI / self.vfs[number])


@dataclass(frozen=True)
class Representor:
    """What stands for a VF in the host's switch.

    :ivar netdev: the representor's network device
    :ivar far: what the guest of the VF would see: a frame sent into one comes out of the other
    :ivar vf: the VF's PCI address
    """

    netdev: str
    far: str
    vf: str


@dataclass(frozen=True)
class Simulated:
    """A netdevsim in switchdev mode with two ports and two VFs.

    :ivar name: as devlink has it
    :ivar ports: network devices by phys_port_name: ``p1``, ``p2``, ``pf0vf0`` and ``pf0vf1``
    """

    name: str
    ports: dict[str, str]


def reaches(host: PrivateHost, address: str, seconds: float = 30.0) -> bool:
    """Whether an address answers to ping before the time is over.

    ping itself would end with the first error, and links take their time to come up: igb's ten
    seconds.
    """
    deadline = time.monotonic() + seconds
    while host.run("ping", "-c", "1", "-W", "1", address, check=False).returncode:
        if time.monotonic() > deadline:
            return False
    return True
