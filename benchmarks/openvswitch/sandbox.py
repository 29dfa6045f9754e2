# SPDX-License-Identifier: Apache-2.0
"""A private network namespace with an Open vSwitch of its own, its datapath in userspace."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.client import Worker, WorkerError
from benchmarks.contenders import NEW
from benchmarks.openvswitch.modes import HYBRID, OWN_BRIDGE, SWITCH, TAP, VHOST_USER, device
from benchmarks.port import MTU, Port
from benchmarks.sandbox import PREFIX, delete_namespaces, ip, uninterrupted
from tests.openvswitch import Switch

_PATIENCE = 10.0
"""Seconds, not counted, until ports that a contender has called plugged have to be."""


class SwitchSandbox:
    """One namespace where ovsdb-server, ovs-vswitchd and all contenders work.

    :ivar dpdk: with DPDK, for the sockets of vhost-user
    """

    def __init__(self, *, dpdk: bool = False) -> None:
        self.dpdk = dpdk
        self.host = f"{PREFIX}-{os.getpid()}-switch"
        self._switch: Switch | None = None

    def argv(self, *command: str) -> list[str]:
        """The command line that runs `command` here."""
        return ["ip", "netns", "exec", self.host, *command]

    @property
    def switch(self) -> Switch:
        """The running switch.

        :raises RuntimeError: the sandbox is not open
        """
        if self._switch is None:
            raise RuntimeError("the sandbox is not open")
        return self._switch

    @contextlib.contextmanager
    def open(self) -> Iterator[SwitchSandbox]:
        """Start it with an empty integration bridge, and end it again whatever happens."""
        # ovs-vswitchd holds a few files a port.
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        try:
            ip("netns", "add", self.host)
            ip("-n", self.host, "link", "set", "lo", "up")
            self._switch = Switch(self, dpdk=self.dpdk)
            self._switch.vsctl(
                *("add-br", SWITCH, "--", "set", "Bridge", SWITCH, "datapath_type=netdev")
            )
            yield self
        finally:
            with uninterrupted():
                if self._switch is not None:
                    self._switch.close()
                    self._switch = None
                delete_namespaces(self.host)

    def ports(self) -> int:
        """How many ports the integration bridge has."""
        return len(self.switch.vsctl("list-ports", SWITCH).split())

    def expect(self, worker: Worker, ports: int) -> None:
        """Look whether the integration bridge has so many ports, all with their numbers.

        :param worker: who is to have made it so
        :raises WorkerError: it has not
        """
        # os-vif 5.3.0 makes the port before its tap and does not wait for the second try.
        deadline = time.monotonic() + (_PATIENCE if worker.contender.key == NEW else 0)
        while True:
            found, unattached = self.ports(), self.unattached()
            if found == ports and not unattached:
                return
            if time.monotonic() >= deadline:
                raise WorkerError(
                    f"{worker.contender.label}: {found} ports, not {ports};"
                    f" {len(unattached)} without a number: {', '.join(unattached[:3])}"
                )
            time.sleep(0.1)

    @property
    def version(self) -> str:
        """Of Open vSwitch, as ovs-vswitchd says it."""
        return self.switch.appctl("version").splitlines()[0].rpartition(" ")[2]

    def unattached(self) -> list[str]:
        """The interfaces that have no port number of Open vSwitch's."""
        said = self.switch.vsctl("--format=json", "--columns=name,ofport", "list", "Interface")
        rows: list[tuple[str, object]] = json.loads(said)["data"]
        return [name for name, ofport in rows if not isinstance(ofport, int) or ofport < 1]

    def links(self) -> dict[str, dict[str, object]]:
        """The devices of the namespace by name, as `ip` sees them."""
        return {
            link["ifname"]: link
            for link in json.loads(ip("-n", self.host, "-json", "link", "show"))
        }

    def faults(self, port: Port, mode: str) -> list[str]:
        """What is wrong with a plugged port: a fast wrong answer is no answer."""
        row = {
            TAP: port.name,
            HYBRID: device("qvo", port),
            OWN_BRIDGE: device("ibp", port, 64),
            VHOST_USER: device("vhu", port),
        }[mode]
        faults = []
        ids = self.switch.get("Interface", row, "external_ids")
        if port.vif_id not in ids or port.mac not in ids:
            faults.append(f"{row} has external_ids {ids or 'none'}")
        if row not in self.switch.vsctl("list-ports", SWITCH).split():
            faults.append(f"{row} is not on {SWITCH}")
        faults += [f"{name} is not attached" for name in self.unattached()]
        devices = {HYBRID: [device(prefix, port) for prefix in ("qbr", "qvb", "qvo")]}
        links = self.links()
        devices[VHOST_USER] = []
        for name in devices.get(mode, [port.name]):
            link = links.get(name)
            if link is None or "UP" not in str(link["flags"]) or link["mtu"] != MTU:
                faults.append(f"{name} is {link and (link['flags'], link['mtu'])}")
                continue
            if name.startswith("qv"):
                continue  # os-vif 5.3.0 leaves IPv6 on at both ends of the veth
            disabled = Path("/proc/sys/net/ipv6/conf", name, "disable_ipv6")
            if ip("netns", "exec", self.host, "cat", str(disabled)).strip() != "1":
                faults.append(f"{name} speaks IPv6")
        return faults
