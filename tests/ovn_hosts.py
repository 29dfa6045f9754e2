# SPDX-License-Identifier: Apache-2.0
"""Several hosts with OVN between them: a centre, chassis, an underlay, and a wire to the outside.

Each host is a network namespace with a switch and an ovn-controller of its own. Its ``eth1`` is on
the underlay, where the tunnels are (Geneve), and its ``eth2`` on the outside wire, which OVN knows
as ``physnet1``. Somebody outside sits on that wire, too.

All is on the datapath in userspace; so checksums must be whole (see
:func:`tests.openvswitch.no_offload`), and a guest's frames are relayed with their virtio headers.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from tests import guest, switch_witness, vifs
from tests.conftest import PrivateHost
from tests.kernel_guest import KernelGuest
from tests.openvswitch import PATIENCE, Switch, no_offload
from tests.ovn import Centre, Chassis

OUTSIDE, OUTSIDE6 = "203.0.113.1", "2001:db8:ff::1"
PHYSICAL = "physnet1"
UNDERLAYS = {4: ("172.31.0.", 24), 6: ("fd00:31::", 64)}
"""By version of IP how addresses of hosts begin, and the length of their prefix."""
MTU = 1442
"""Bytes of a guest's packet that go through a tunnel on an underlay of 1500."""


class Host:
    """One of the hosts.

    :ivar name: its system-id, as ``requested-chassis`` has it
    :ivar private: its network namespace
    """

    def __init__(self, hosts: Hosts, name: str, number: int) -> None:
        self.name = name
        self.private = PrivateHost()
        self._closing = contextlib.ExitStack()
        self._closing.callback(self.private.close)
        underlay, prefix = UNDERLAYS[hosts.underlay]
        address = f"{underlay}{10 + number}"
        try:
            for end, bridge in (("eth1", "underlay"), ("eth2", "wire")):
                hosts.wire(self.private, end, bridge, number)
            self.switch = Switch(self.private, tree=hosts.switch_tree)
            self._closing.callback(self.switch.close)
            for bridge, end in (("br-phy", "eth1"), ("br-ex", "eth2")):
                self.switch.vsctl(
                    *("add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev"),
                    *("--", "add-port", bridge, end),
                )
            own = ("ip", "address", "add", f"{address}/{prefix}", "dev", "br-phy")
            self.private.run(*own, *("nodad",) * (hosts.underlay == 6))
            self.private.run("ip", "link", "set", "br-phy", "up")
            with self.private.enter():
                no_offload("br-phy")
            self.chassis = Chassis(
                *(hosts.centre, self.private, self.switch, name, address),
                tree=hosts.tree,
                ovn_bridge_mappings=f"{PHYSICAL}:br-ex",
            )
            self._closing.callback(self.chassis.close)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def enter(self, **options: Any) -> Iterator[None]:
        """Have the calling thread, and the library in it, act here.

        :param options: of the plugin ``ovs``
        """
        asked: dict[str, Any] = {"ovs_vsctl_timeout": int(PATIENCE), "wait_for": "ovn", **options}
        with (
            vifs.configured("ovs", ovsdb_connection=self.switch.remote, **asked),
            self.private.enter(),
        ):
            yield

    def open(self, vif: Any) -> int:
        """Return the guest's end of a VIF that is plugged here, as a hypervisor opens it."""
        with self.private.enter():
            return guest.Guest(vif.vif_name, vif.address).descriptor

    def close(self) -> None:
        """End all that runs here."""
        self._closing.close()


class Hosts:
    """A centre and its hosts.

    :ivar hosts: by name: ``h1``, ``h2``, ...
    :ivar outside: somebody on the outside wire, with :data:`OUTSIDE` and :data:`OUTSIDE6`
    """

    def __init__(
        self,
        count: int = 3,
        tree: str = "ovn",
        switch_tree: str = "openvswitch",
        *,
        underlay: int = 4,
    ) -> None:
        """Start all.

        :param tree: whose OVN, of :mod:`tests.debian`
        :param switch_tree: whose Open vSwitch
        :param underlay: the version of IP that tunnels go over
        """
        self.tree, self.switch_tree, self.underlay = tree, switch_tree, underlay
        self.hosts: dict[str, Host] = {}
        self._closing = contextlib.ExitStack()
        try:
            self._wires = PrivateHost()
            self._closing.callback(self._wires.close)
            for bridge in ("underlay", "wire"):
                self._wires.run("ip", "link", "add", bridge, "up", "type", "bridge")
            self.outside = PrivateHost()
            self._closing.callback(self.outside.close)
            self.wire(self.outside, "eth0", "wire", 0)
            for address in (f"{OUTSIDE}/24", f"{OUTSIDE6}/64"):
                nodad = ("nodad",) * (":" in address)
                self.outside.run("ip", "address", "add", address, "dev", "eth0", *nodad)
            self.centre = Centre(tree)
            self._closing.callback(self.centre.close)
            for _number in range(count):
                self.join()
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def join(self) -> Host:
        """Start one host more, and wait until OVN knows it."""
        number = len(self.hosts) + 1
        made = Host(self, f"h{number}", number)
        self.hosts[made.name] = made
        self._closing.callback(made.close)
        deadline = time.monotonic() + PATIENCE
        while made.name not in self.chassis():
            assert time.monotonic() < deadline, f"{made.name} does not join"
            time.sleep(0.02)
        return made

    def wire(self, host: PrivateHost, end: str, bridge: str, number: int) -> None:
        """Lead a cable from a host to one of the bridges."""
        plug = f"{bridge}{number}"
        self._wires.run(
            *("ip", "link", "add", plug, "mtu", "1500", "type", "veth"),
            *("peer", "name", end, "netns", str(host.pid)),
        )
        self._wires.run("ip", "link", "set", plug, "master", bridge, "up")
        host.run("ip", "link", "set", end, "up")
        for where, device in ((self._wires, plug), (host, end)):
            with where.enter():
                no_offload(device)

    # --- asking OVN ---------------------------------------------------------------------------

    def chassis(self) -> dict[str, str]:
        """Return the UUIDs of all chassis by their names."""
        return {row["name"]: row["_uuid"] for row in self._southbound("Chassis", "name", "_uuid")}

    def binding(self, port: str) -> dict[str, Any]:
        """Return where a logical port is: ``chassis``, ``additional`` (names), ``up``, ``options``.

        :returns: nothing, if there is no such port
        """
        columns = ("chassis", "additional_chassis", "up", "options", "logical_port")
        for row in self._southbound("Port_Binding", *columns):
            if row["logical_port"] == port:
                names = {uuid: name for name, uuid in self.chassis().items()}
                return {
                    "chassis": [names.get(uuid, uuid) for uuid in _set(row["chassis"])],
                    "additional": [
                        names.get(uuid, uuid) for uuid in _set(row["additional_chassis"])
                    ],
                    "up": row["up"],
                    "options": row["options"],
                }
        return {}

    def until(self, port: str, **wanted: Any) -> None:
        """Wait until a logical port is so, by :meth:`binding`'s words."""
        deadline = time.monotonic() + PATIENCE
        while any(self.binding(port).get(key) != value for key, value in wanted.items()):
            assert time.monotonic() < deadline, f"{port} is {self.binding(port)}, and not {wanted}"
            time.sleep(0.02)

    def _southbound(self, table: str, *columns: str) -> list[dict[str, Any]]:
        said = self.centre.sbctl("--format=json", f"--columns={','.join(columns)}", "list", table)
        return switch_witness.rows(said)

    def close(self) -> None:
        """End everything."""
        self._closing.close()


def _set(value: Any) -> list[Any]:
    """Return the items of a column that OVSDB writes as one item where there is one."""
    return value if isinstance(value, list) else [value]


def running(host: Host, vif: Any, *addresses: str) -> KernelGuest:
    """Return a guest with a real kernel on a VIF that is plugged on a host."""
    return KernelGuest(host.open(vif), vif.address, *addresses)
