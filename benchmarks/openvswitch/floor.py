# SPDX-License-Identifier: Apache-2.0
"""The floor: one hand-written transaction, and the fewest requests to the kernel.

It knows all it needs beforehand and asks nothing: which rows are there, whose they are, and
which port number the new one got.  It remembers the rows it made, so unplugging asks nothing
either.  Numbers are from linux/if_link.h, linux/if_bridge.h and linux/veth.h.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks import floor
from benchmarks.drivers import Driver
from benchmarks.floor import RTM_DELLINK, RTM_NEWLINK, attribute, u32
from benchmarks.openvswitch.modes import (
    HYBRID,
    OWN_BRIDGE,
    SWITCH,
    TAP,
    VHOST_USER,
    device,
)
from benchmarks.openvswitch.ovsdb import Ovsdb, add_to, insert, take_from
from benchmarks.port import MTU, Port

IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 18, 1, 2, 1
IFLA_BR_FORWARD_DELAY, IFLA_BR_AGEING_TIME, IFLA_BR_STP_STATE = 1, 4, 5
IFLA_BR_MCAST_SNOOPING = 23

Operations = list[dict[str, Any]]


def _kind(name: str, data: bytes) -> bytes:
    what = attribute(IFLA_INFO_KIND, name.encode()) + attribute(IFLA_INFO_DATA, data)
    return attribute(IFLA_LINKINFO, what)


def _name(name: str) -> bytes:
    return attribute(floor.IFLA_IFNAME, name.encode() + b"\0")


def _ids(iface_id: str, mac: str) -> list[Any]:
    ids = {"iface-id": iface_id, "iface-status": "active", "attached-mac": mac}
    return ["map", [list(item) for item in ids.items()]]


class _Rows:
    """The operations that make ports; references are by name within the transaction."""

    def __init__(self) -> None:
        self.operations: Operations = []
        self.made: dict[int, tuple[Port, str]] = {}
        """Which operation makes a row that unplugging has to take away, and from which table."""

    def _row(self, table: str, row: dict[str, Any]) -> str:
        name = f"row{len(self.operations)}"
        self.operations.append(insert(table, name, row))
        return name

    def port(self, port: Port, name: str, bridge: str, **fields: Any) -> None:
        interface = self._row("Interface", {"name": name, **fields})
        row = self._row("Port", {"name": name, "interfaces": ["named-uuid", interface]})
        if bridge == SWITCH:
            self.made[len(self.operations) - 1] = (port, "ports")
        self.operations.append(add_to("Bridge", [["name", "==", bridge]], "ports", row))

    def bridge(self, port: Port, name: str) -> None:
        interface = self._row("Interface", {"name": name, "type": "internal"})
        inner = self._row("Port", {"name": name, "interfaces": ["named-uuid", interface]})
        row = {"name": name, "datapath_type": "netdev", "ports": ["named-uuid", inner]}
        bridge = self._row("Bridge", row)
        self.made[len(self.operations) - 1] = (port, "bridges")
        self.operations.append(add_to("Open_vSwitch", [], "bridges", bridge))


class SwitchFloor(Driver):
    """One socket to the kernel and one to OVSDB."""

    def __init__(self, path: str) -> None:
        self._kernel = floor.Floor()
        self._ovsdb = Ovsdb(path)
        self._mode = TAP
        self._made: dict[str, dict[str, list[Any]]] = {}
        """By port's name: the rows it has, by the column that refers to them."""

    def choose(self, mode: str) -> None:
        self._mode = mode

    def prepare(self, ports: Sequence[Port]) -> None:
        self._ovsdb.catch_up()

    def plug(self, port: Port) -> None:
        self.plug_many([port])

    def unplug(self, port: Port) -> None:
        self.unplug_many([port])

    def plug_many(self, ports: Sequence[Port]) -> None:
        rows = _Rows()
        for port in ports:
            if self._mode == HYBRID:
                self._hybrid(port)
            elif self._mode != VHOST_USER:
                self._tap(port)
            self._describe(rows, port)
        results = self._ovsdb.transact(rows.operations)
        for position, (port, column) in rows.made.items():
            mine = self._made.setdefault(port.name, {})
            mine.setdefault(column, []).append(results[position]["uuid"])

    def _describe(self, rows: _Rows, port: Port) -> None:
        ids = _ids(port.vif_id, port.mac)
        if self._mode == TAP:
            rows.port(port, port.name, SWITCH, external_ids=ids)
        elif self._mode == HYBRID:
            rows.port(port, device("qvo", port), SWITCH, external_ids=ids)
        elif self._mode == OWN_BRIDGE:
            own, inner, outer = device("pb", port), device("pbp", port, 64), device("ibp", port, 64)
            rows.bridge(port, own)
            for name, bridge, peer, more in (
                (inner, own, outer, {}),
                (outer, SWITCH, inner, {"external_ids": ids}),
            ):
                options = ["map", [["peer", peer]]]
                rows.port(port, name, bridge, type="patch", options=options, **more)
            rows.port(port, port.name, own)
        else:
            rows.port(
                port,
                device("vhu", port),
                SWITCH,
                type="dpdkvhostuserclient",
                options=["map", [["vhost-server-path", f"/run/{port.name}"]]],
                mtu_request=MTU,
                external_ids=ids,
            )

    def unplug_many(self, ports: Sequence[Port]) -> None:
        gone: dict[str, list[Any]] = {}
        for port in ports:
            for column, uuids in self._made.pop(port.name).items():
                gone.setdefault(column, []).extend(["uuid", uuid[1]] for uuid in uuids)
        operations = []
        if "ports" in gone:
            where = [["name", "==", SWITCH]]
            operations.append(take_from("Bridge", where, "ports", gone["ports"]))
        if "bridges" in gone:
            operations.append(take_from("Open_vSwitch", [], "bridges", gone["bridges"]))
        self._ovsdb.transact(operations)
        if self._mode == HYBRID:
            self._delete(device(prefix, port) for port in ports for prefix in ("qbr", "qvb"))
        elif self._mode != VHOST_USER:
            self._delete(port.name for port in ports)

    # --- the kernel's part ----------------------------------------------------------------------

    def _tap(self, port: Port) -> None:
        floor.make_tap(port.name)
        self._kernel.request(
            RTM_NEWLINK,
            _name(port.name)
            + attribute(floor.IFLA_ADDRESS, bytes.fromhex(port.mac.replace(":", "")))
            + u32(floor.IFLA_MTU, MTU)
            + attribute(floor.IFLA_IFALIAS, port.vif_id.encode()),
            up=True,
        )

    def _hybrid(self, port: Port) -> None:
        bridge, near, far = (device(prefix, port) for prefix in ("qbr", "qvb", "qvo"))
        options = u32(IFLA_BR_STP_STATE, 0) + u32(IFLA_BR_FORWARD_DELAY, 0)
        options += u32(IFLA_BR_AGEING_TIME, 0) + attribute(IFLA_BR_MCAST_SNOOPING, b"\0")
        alias = attribute(floor.IFLA_IFALIAS, port.vif_id.encode())
        self._kernel.create(_name(bridge) + _kind("bridge", options) + alias)
        floor.write_sysctl(f"ipv4/conf/{bridge}/arp_ignore", b"1")
        floor.write_sysctl(f"ipv4/conf/{bridge}/arp_announce", b"2")
        mtu = u32(floor.IFLA_MTU, MTU)
        peer = floor.IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _name(far) + mtu
        master = u32(floor.IFLA_MASTER, socket.if_nametoindex(bridge))
        veth = _kind("veth", attribute(VETH_INFO_PEER, peer))
        self._kernel.create(_name(near) + mtu + master + alias + veth)
        for name in (bridge, near, far):
            floor.write_sysctl(f"ipv6/conf/{name}/disable_ipv6", b"1")
            self._kernel.request(RTM_NEWLINK, _name(name), up=True)

    def _delete(self, names: Iterable[str]) -> None:
        links = list(names)
        if len(links) == 1:
            self._kernel.request(RTM_DELLINK, _name(links[0]))
            return
        # The kernel waits for its RCU callbacks once per delete request, not once per link.
        group = u32(floor.IFLA_GROUP, floor.GROUP)
        for name in links:
            self._kernel.request(RTM_NEWLINK, _name(name) + group)
        self._kernel.request(RTM_DELLINK, group)


def connect(arguments: dict[str, str]) -> Driver:
    """Connect to the switch of the namespace the process is in; ``remote`` is ``unix:FILE``."""
    return SwitchFloor(arguments["remote"].removeprefix("unix:"))
