# SPDX-License-Identifier: Apache-2.0
"""The `ovs` plugin of this library and of os-vif 5.3.0: the same VIFs, the same os_vif.plug."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from typing import Any

import os_vif
from benchmarks.drivers import Driver
from benchmarks.openvswitch.modes import (
    HYBRID,
    OWN_BRIDGE,
    SWITCH,
    TAP,
    VHOST_USER,
    device,
)
from benchmarks.port import MTU, Port

OPTIONS = "os_vif_ovs"
TIMEOUT = 60
"""Seconds until a call gives up; one that does ends the run."""


class SwitchPlugin(Driver):
    """The public functions, as any caller has them."""

    def __init__(self) -> None:
        from os_vif.objects import instance_info, network

        self._instance = instance_info.InstanceInfo(
            uuid="b8d7b9a2-2f0d-4f0a-9d4f-6d5e0c1a7b10", name="guest"
        )
        self._network = network.Network(
            id="0f1a9a44-11d3-4c3c-9d3b-2a8c9f6f5e01", bridge=SWITCH, mtu=MTU
        )
        self._vifs: dict[str, Any] = {}
        self._mode = TAP

    def choose(self, mode: str) -> None:
        from oslo_config import cfg

        self._mode = mode
        cfg.CONF.set_override("per_port_bridge", mode == OWN_BRIDGE, OPTIONS)

    def prepare(self, ports: Sequence[Port]) -> None:
        self._vifs = {port.name: self._vif(port) for port in ports}

    def _vif(self, port: Port) -> Any:
        from os_vif.objects import vif

        profile = vif.VIFPortProfileOpenVSwitch(
            interface_id=port.vif_id,
            datapath_type="netdev",
            create_port=self._mode in (TAP, OWN_BRIDGE),
            create_tap=self._mode in (TAP, OWN_BRIDGE),
        )
        fields = {
            "id": port.vif_id,
            "address": port.mac,
            "network": self._network,
            "plugin": "ovs",
            "port_profile": profile,
        }
        if self._mode == HYBRID:
            bridge = device("qbr", port)
            return vif.VIFBridge(vif_name=port.name, bridge_name=bridge, **fields)
        if self._mode == VHOST_USER:
            name, path = device("vhu", port), f"/run/{port.name}"
            return vif.VIFVHostUser(vif_name=name, path=path, mode="server", **fields)
        return vif.VIFOpenVSwitch(vif_name=port.name, bridge_name=SWITCH, **fields)

    def plug(self, port: Port) -> None:
        os_vif.plug(self._vifs[port.name], self._instance)

    def unplug(self, port: Port) -> None:
        os_vif.unplug(self._vifs[port.name], self._instance)

    def plug_many(self, ports: Sequence[Port]) -> None:
        self._all(os_vif.plug_many, ports)

    def unplug_many(self, ports: Sequence[Port]) -> None:
        self._all(os_vif.unplug_many, ports)

    def _all(self, call: Any, ports: Sequence[Port]) -> None:
        for outcome in call([(self._vifs[port.name], self._instance) for port in ports]):
            if outcome.error is not None:
                raise outcome.error


def connect(arguments: dict[str, str]) -> Driver:
    """``remote`` is how to reach OVSDB, ``privilege`` where the privileged part runs.

    ``own`` lets the library decide, and ours does it in process for root; ``direct`` tells
    os-vif 5.3.0 to do the same.
    """
    from oslo_config import cfg

    # A file, not overrides: os-vif 5.3.0 reads these once, while it loads its plugins.
    with tempfile.NamedTemporaryFile("w") as file:
        print(f"[{OPTIONS}]", file=file)
        print(f"ovsdb_connection = {arguments['remote']}", file=file)
        print(f"ovs_vsctl_timeout = {TIMEOUT}", file=file, flush=True)
        cfg.CONF(["--config-file", file.name], project="benchmarks")
        os_vif.initialize()
    if arguments["privilege"] == "direct":
        # By name: this environment's vif_plug_ovs is not the one of this checkout.
        importlib.import_module("vif_plug_ovs.privsep").vif_plug.set_client_mode(False)
    return SwitchPlugin()
