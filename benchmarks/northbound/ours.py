# SPDX-License-Identifier: Apache-2.0
"""The library's verbs, as any caller has them; what is wanted is made before the clock starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import os_vif
from benchmarks.drivers import Driver
from benchmarks.northbound.rows import ADD, CHECK, FRESH, NEIGHBOURS, OWNER, SWITCH, address, need
from benchmarks.port import Port


class Network(Driver):
    """The public functions."""

    def __init__(self, remote: str) -> None:
        os_vif.initialize()
        from os_vif import network

        self._verbs = network
        self._nb = network.northbound(remote, timeout=120)
        self._mode = ADD
        self._one: dict[str, Any] = {}
        self._ports: Sequence[Port] = ()
        self._all: Any = None

    def choose(self, mode: str) -> None:
        self._mode = mode

    def prepare(self, ports: Sequence[Port]) -> None:
        self._all = self._topology(ports)
        self._one = {port.name: self._topology([port]) for port in ports}

    @staticmethod
    def _topology(ports: Sequence[Port]) -> Any:
        from os_vif import logical, objects

        subnet = objects.subnet.Subnet(cidr="10.0.0.0/8")
        network = objects.network.Network(
            id=SWITCH,
            label="bench",
            subnets=objects.subnet.SubnetList(objects=[subnet]),
        )
        wanted = []
        for port in ports:
            ip = objects.fixed_ip.FixedIP(address=address(port).split()[1], floating_ips=[])
            own = objects.subnet.Subnet(
                cidr="10.0.0.0/8", ips=objects.fixed_ip.FixedIPList(objects=[ip])
            )
            vif = objects.vif.VIFOpenVSwitch(
                id=port.vif_id,
                vif_name=port.name,
                address=port.mac,
                network=objects.network.Network(
                    id=SWITCH, subnets=objects.subnet.SubnetList(objects=[own])
                ),
            )
            wanted.append(logical.Port(vif=vif))
        [found] = logical.topologies(
            logical.Wanted(
                owner=OWNER,
                networks=(logical.LogicalNetwork(network=network),),
                ports=tuple(wanted),
            )
        )
        return found

    def plug(self, port: Port) -> None:
        topology = self._one[port.name]
        if self._mode in (CHECK, NEIGHBOURS):
            neighbours = self._mode == NEIGHBOURS
            [found] = self._verbs.check([topology], self._nb, neighbours=neighbours)
            need(not found.steps)
            return
        if self._mode == FRESH:
            from os_vif.system import ovsdb

            for connection in ovsdb._idle.pop(self._nb, []):
                connection.close()
        self._verbs.apply([topology], self._nb)

    def unplug(self, port: Port) -> None:
        self._verbs.delete([self._without_switch(self._one[port.name])], self._nb)

    def plug_many(self, ports: Sequence[Port]) -> None:
        if self._mode == CHECK:
            [found] = self._verbs.check([self._all], self._nb, neighbours=False)
            need(not found.steps)
            return
        self._verbs.apply([self._all], self._nb)

    def unplug_many(self, ports: Sequence[Port]) -> None:
        self._verbs.delete([self._without_switch(self._all)], self._nb)

    @staticmethod
    def _without_switch(topology: Any) -> Any:
        return dataclasses.replace(topology, resources=topology.resources[1:])


def connect(arguments: Mapping[str, str]) -> Driver:
    """Reach the database that the arguments name."""
    return Network(f"unix:{arguments['path']}")
