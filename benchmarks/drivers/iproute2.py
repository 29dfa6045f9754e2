# SPDX-License-Identifier: Apache-2.0
"""The `ip` command, as a shell script would use it: one process a command, or one `-batch`.

`ip` has no word for disable_ipv6; the script around it writes the sysctl file, which is cheaper
than one more process.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from benchmarks.drivers import Driver
from benchmarks.port import BRIDGE, CARD, MTU, Port

GROUP = "28531"


def _ip(*arguments: str, lines: Sequence[str] = ()) -> None:
    subprocess.run(
        ["ip", *arguments],
        input="\n".join(lines) + "\n",
        text=True,
        check=True,
        capture_output=True,
    )


class Tap:
    """A tap on the bridge: the words that make it, and those that do the rest."""

    def add(self, port: Port) -> str:
        return f"tuntap add dev {port.name} mode tap vnet_hdr"

    def set(self, port: Port) -> str:
        return (
            f"link set dev {port.name} address {port.host_mac} mtu {MTU} master {BRIDGE}"
            f" alias {port.vif_id} up"
        )


class Macvtap(Tap):
    """A macvtap on the card."""

    def add(self, port: Port) -> str:
        return (
            f"link add link {CARD} name {port.name} address {port.mac} mtu {MTU}"
            " type macvtap mode bridge"
        )

    def set(self, port: Port) -> str:
        return f"link set dev {port.name} alias {port.vif_id} up"


def _disable_ipv6(port: Port) -> None:
    with open(f"/proc/sys/net/ipv6/conf/{port.name}/disable_ipv6", "w") as sysctl:
        sysctl.write("1")


class Separate(Driver):
    """A process a command, the sysctl between the two, where it belongs."""

    def __init__(self, device: Tap) -> None:
        self._device = device

    def plug(self, port: Port) -> None:
        _ip(*self._device.add(port).split())
        _disable_ipv6(port)
        _ip(*self._device.set(port).split())

    def unplug(self, port: Port) -> None:
        _ip("link", "delete", "dev", port.name)


class Batch(Driver):
    """One process for everything; the sysctl can only be written once the device is there."""

    def __init__(self, device: Tap) -> None:
        self._device = device

    def plug(self, port: Port) -> None:
        self.plug_many([port])

    def unplug(self, port: Port) -> None:
        _ip("-batch", "-", lines=[f"link delete dev {port.name}"])

    def plug_many(self, ports: Sequence[Port]) -> None:
        words = (self._device.add, self._device.set)
        _ip("-batch", "-", lines=[line(port) for port in ports for line in words])
        for port in ports:
            _disable_ipv6(port)

    def unplug_many(self, ports: Sequence[Port]) -> None:
        lines = [f"link set dev {port.name} group {GROUP}" for port in ports]
        _ip("-batch", "-", lines=[*lines, f"link delete group {GROUP}"])


def connect(arguments: dict[str, str]) -> Driver:
    """``mode`` is ``batch`` or ``separate``; ``device`` is ``macvtap``, or else it is a tap."""
    device = Macvtap() if arguments.get("device") == "macvtap" else Tap()
    return {"batch": Batch, "separate": Separate}[arguments["mode"]](device)
