# SPDX-License-Identifier: Apache-2.0
"""os-vif 4.3.1 and 5.3.0: their own calls that make a tap and put it on a bridge.

os-vif's `linux_bridge` plugin leaves the tap to the hypervisor, so there is no os_vif.plug to
time.  Both releases make a tap for Open vSwitch, with its MAC, MTU and IPv6 off, and enslave a
device for the hybrid bridge; these two calls give the end state.  That is the least a caller of
os-vif pays: the plug call that comes before them is left out.
"""

from __future__ import annotations

import importlib

from benchmarks.drivers import Driver
from benchmarks.drivers.unprivileged import through_daemon
from benchmarks.port import BRIDGE, MTU, Port


class Reference(Driver):
    """Its privileged entry points; which side of the daemon they run on is decided before."""

    def __init__(self) -> None:
        # By name: this environment's vif_plug_ovs is not the one of this checkout.
        self._calls = importlib.import_module("vif_plug_ovs.linux_net")

    def plug(self, port: Port) -> None:
        self._calls.create_tap(port.name, MTU, port.host_mac)
        self._calls.add_bridge_port(BRIDGE, port.name)

    def unplug(self, port: Port) -> None:
        self._calls.delete_net_dev(port.name)


def connect(arguments: dict[str, str]) -> Driver:
    """``privilege`` is ``process`` (we are root: call directly) or ``daemon``."""
    from oslo_config import cfg

    privsep = importlib.import_module("vif_plug_ovs.privsep")
    cfg.CONF([], project="benchmarks")
    if arguments["privilege"] == "process":
        privsep.vif_plug.set_client_mode(False)
        return Reference()
    return through_daemon(Reference(), privsep.vif_plug, "vif_plug_ovs_privileged", arguments)
