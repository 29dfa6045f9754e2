# SPDX-License-Identifier: Apache-2.0
"""Who takes part, in which environment, and what can be asked of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import environments

FLOOR = "floor"
OURS, OURS_DAEMON = "ours", "ours-daemon"
OLD, OLD_DAEMON = "4.3.1", "4.3.1-daemon"
NEW, NEW_DAEMON = "5.3.0", "5.3.0-daemon"
CNI = "cni"
IP_BATCH = "ip-batch"
LIBVIRT, LIBVIRT_CARD = "libvirt", "libvirt-card"
SCRIPT, RUN, RUN_BEGUN = "script", "os-vif run", "run-begun"

_SWITCH_FLOOR = "benchmarks.openvswitch.floor"
_RUNNING = "benchmarks.running.driver"


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the tables.

    :ivar key: what ``--only`` takes
    :ivar label: what the tables show
    :ivar driver: module with ``connect``, run inside `environment`
    :ivar environment: a virtual environment of `benchmarks.environments`; None is our caller's
    :ivar arguments: passed to ``connect``
    :ivar tap: False where the end state is not a tap with IPv6 off, or not a macvtap
    :ivar alias: whether it marks the device with the VIF's id
    :ivar bulk: whether it has a bulk call
    """

    key: str
    label: str
    driver: str
    environment: str | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    tap: bool = True
    alias: bool = False
    bulk: bool = False

    @property
    def interpreter(self) -> Path:
        """The Python that runs the worker."""
        if self.environment is None:
            return Path(sys.executable)
        return environments.python(self.environment)

    def install(self) -> None:
        """Have everything on disk.

        :raises environments.SetupError: naming what is missing
        """
        if self.environment == environments.OURS:
            environments.install_ours()
        elif self.environment is not None:
            environments.install_reference(self.environment)
        elif self.key == CNI:
            environments.install_cni()
        elif self.key in (LIBVIRT, LIBVIRT_CARD):
            environments.install_libvirt()
        elif self.driver == _SWITCH_FLOOR:
            environments.install_openvswitch()
        elif self.driver == _RUNNING:
            environments.install_libvirt()


def _os_vif(
    key: str, label: str, driver: str, environment: str, privilege: str, **more: bool
) -> Contender:
    return Contender(key, label, driver, environment, {"privilege": privilege}, **more)


_REFERENCE = "benchmarks.drivers.reference"
_OURS = "benchmarks.drivers.ours"
_OLD_VENV, _NEW_VENV = "os-vif-4.3.1", "os-vif-5.3.0"

CONTENDERS = (
    Contender(
        FLOOR,
        "floor (bare netlink)",
        "benchmarks.floor",
        alias=True,
        bulk=True,
    ),
    _os_vif(
        OURS,
        "os-vif 6",
        _OURS,
        environments.OURS,
        "process",
        alias=True,
        bulk=True,
    ),
    _os_vif(
        OURS_DAEMON,
        "os-vif 6, daemon",
        _OURS,
        environments.OURS,
        "daemon",
        alias=True,
        bulk=True,
    ),
    _os_vif(OLD, "os-vif 4.3.1", _REFERENCE, _OLD_VENV, "process"),
    _os_vif(OLD_DAEMON, "os-vif 4.3.1, daemon", _REFERENCE, _OLD_VENV, "daemon"),
    _os_vif(NEW, "os-vif 5.3.0", _REFERENCE, _NEW_VENV, "process"),
    _os_vif(NEW_DAEMON, "os-vif 5.3.0, daemon", _REFERENCE, _NEW_VENV, "daemon"),
    Contender(
        IP_BATCH,
        "ip -batch",
        "benchmarks.drivers.iproute2",
        arguments={"mode": "batch"},
        alias=True,
        bulk=True,
    ),
    Contender(
        "ip",
        "ip, two commands",
        "benchmarks.drivers.iproute2",
        arguments={"mode": "separate"},
        alias=True,
    ),
    Contender(CNI, "CNI bridge (a veth)", "benchmarks.drivers.cni", tap=False),
)

_SWITCH = "benchmarks.drivers.switch_plugin"

SWITCH_CONTENDERS = (
    Contender(FLOOR, "floor (one transaction)", _SWITCH_FLOOR, bulk=True),
    _os_vif(OURS, "os-vif 6", _SWITCH, environments.OURS, "own", bulk=True),
    _os_vif(NEW, "os-vif 5.3.0", _SWITCH, _NEW_VENV, "direct"),
)
"""Who plugs ports of Open vSwitch."""

_LIBVIRT = "benchmarks.drivers.libvirt"

MACVTAP_CONTENDERS = (
    replace(CONTENDERS[0], driver="benchmarks.macvtap.floor"),
    *(
        replace(each, arguments={**each.arguments, "device": "macvtap"})
        for each in CONTENDERS
        if each.key in (OURS, OURS_DAEMON, IP_BATCH, "ip")
    ),
    Contender(LIBVIRT, "libvirt, a card with a macvtap", _LIBVIRT, arguments={"device": "macvtap"}),
    Contender(
        LIBVIRT_CARD,
        "libvirt, a card without a device",
        _LIBVIRT,
        arguments={"device": "none"},
        tap=False,
    ),
)
"""Who plugs macvtaps."""

RUNNING_CONTENDERS = (
    Contender(SCRIPT, "ip tuntap and QEMU, a script", _RUNNING, arguments={"how": "script"}),
    Contender(
        RUN_BEGUN,
        "os-vif run, its own start aside",
        _RUNNING,
        environments.OURS,
        {"how": "begun"},
        alias=True,
    ),
    Contender(RUN, "os-vif run", _RUNNING, environments.OURS, {"how": "run"}, alias=True),
)
"""Who starts guests."""
