# SPDX-License-Identifier: Apache-2.0
"""libvirt's own macvtaps: a network card hot-plugged into a guest by ``virsh attach-device``.

``virsh`` is one long-lived process: no time is lost with starting it or with connecting.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.drivers import Driver
from benchmarks.port import CARD, Port
from tests.libvirtd import Libvirt

# Stopped at its first instruction.  On a USB bus, for there QEMU lets go of a device by itself;
# on PCI it asks the guest first.
_GUEST = """\
<domain type='qemu'>
  <name>bench</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='qemu-xhci'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""
_FOLDER = "/run/cards"
_SOURCES = {
    "macvtap": f"<interface type='direct'><source dev='{CARD}' mode='bridge'/>",
    "none": "<interface type='user'>",
}


class Cards(Driver):
    """A guest that does not run, and a shell of libvirt's."""

    def __init__(self, tree: Path, device: str) -> None:
        self._libvirt = Libvirt(tree)
        self._source = _SOURCES[device]
        self._libvirt.begin_start(_GUEST)
        self._libvirt.end()

    def prepare(self, ports: Sequence[Port]) -> None:
        for port in ports:
            self._libvirt.write(
                f"{_FOLDER}/{port.name}.xml",
                f"{self._source}<mac address='{port.mac}'/><target dev='{port.name}'/>"
                "<model type='usb-net'/></interface>\n",
            )

    def plug(self, port: Port) -> None:
        self._libvirt.virsh(f"attach-device bench {_FOLDER}/{port.name}.xml")

    def unplug(self, port: Port) -> None:
        self._libvirt.virsh(f"detach-device bench {_FOLDER}/{port.name}.xml")


def connect(arguments: dict[str, str]) -> Driver:
    """``libvirt`` is the tree, ``device`` is ``macvtap`` or ``none``, for a card without one."""
    os.chdir("/")
    return Cards(Path(arguments["libvirt"]), arguments["device"])
