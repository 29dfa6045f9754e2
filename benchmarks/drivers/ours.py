# SPDX-License-Identifier: Apache-2.0
"""This library: os_vif.plug and its bulk calls.

The VIF is a VIFBridge, with the tap made by us, or a VIFDirect, which is a macvtap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import os_vif
from benchmarks.drivers import Driver
from benchmarks.drivers.unprivileged import through_daemon
from benchmarks.port import BRIDGE, CARD, MTU, Port

NETWORK = "0f1a9a44-11d3-4c3c-9d3b-2a8c9f6f5e01"


def _check(outcomes: Sequence[Any]) -> None:
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


class Ours(Driver):
    """The public functions, as any caller has them."""

    def __init__(self) -> None:
        from os_vif.objects import instance_info

        self._instance = instance_info.InstanceInfo(
            uuid="b8d7b9a2-2f0d-4f0a-9d4f-6d5e0c1a7b10", name="guest"
        )
        self._network = self._make_network()
        self._vifs: dict[str, Any] = {}

    def _make_network(self) -> Any:
        from os_vif.objects import network

        return network.Network(
            id=NETWORK,
            bridge=BRIDGE,
            mtu=MTU,
            multi_host=False,
            should_provide_bridge=True,
            should_provide_vlan=False,
        )

    def _make_vif(self, port: Port) -> Any:
        from os_vif.objects import vif

        # has_traffic_filtering: the network manager filters, so no forwarding rules from us.
        return vif.VIFBridge(
            id=port.vif_id,
            address=port.mac,
            network=self._network,
            plugin="linux_bridge",
            active=True,
            preserve_on_delete=False,
            has_traffic_filtering=True,
            vif_name=port.name,
            bridge_name=BRIDGE,
        )

    def prepare(self, ports: Sequence[Port]) -> None:
        self._vifs = {port.name: self._make_vif(port) for port in ports}

    def plug(self, port: Port) -> None:
        os_vif.plug(self._vifs[port.name], self._instance)

    def unplug(self, port: Port) -> None:
        os_vif.unplug(self._vifs[port.name], self._instance)

    def plug_many(self, ports: Sequence[Port]) -> None:
        _check(os_vif.plug_many([(self._vifs[port.name], self._instance) for port in ports]))

    def unplug_many(self, ports: Sequence[Port]) -> None:
        _check(os_vif.unplug_many([(self._vifs[port.name], self._instance) for port in ports]))


class Direct(Ours):
    """The same with macvtaps."""

    def _make_network(self) -> Any:
        from os_vif.objects import network

        return network.Network(id=NETWORK, bridge_interface=CARD, mtu=MTU)

    def _make_vif(self, port: Port) -> Any:
        from os_vif.objects import vif

        return vif.VIFDirect(
            id=port.vif_id,
            address=port.mac,
            network=self._network,
            plugin="macvtap",
            vif_name=port.name,
            mode="bridge",
        )


def connect(arguments: dict[str, str]) -> Driver:
    """``privilege`` is ``process`` (we are root) or ``daemon`` (through oslo.privsep).

    ``device`` is ``macvtap``, or else it is a tap.
    """
    from oslo_config import cfg

    cfg.CONF([], project="benchmarks")
    os_vif.initialize()
    cfg.CONF.set_override("create_tap", True, "os_vif_linux_bridge")
    macvtap = arguments.get("device") == "macvtap"
    driver = Direct() if macvtap else Ours()
    if arguments["privilege"] == "process":
        return driver
    from os_vif.engine import privilege

    context = privilege.default if macvtap else privilege.linux_bridge
    return through_daemon(driver, context, context.cfg_section, arguments)
