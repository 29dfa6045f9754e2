# SPDX-License-Identifier: Apache-2.0
"""The acts: ``python -m tests.demo_ovn.story FOLDER``, in a private network that it makes itself.

What os-vif does is done by the command, as one would type it; guests and their pings are what a
hypervisor and its guests would do.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from pathlib import Path

from os_vif.cli.demo.story import Story
from os_vif.cli.session import Session
from tests import dhcp, guest, ovn_hosts, stage
from tests.kernel_guest import KernelGuest
from tests.ovn_hosts import PATIENCE, Host, Hosts
from tests.pings import Ping

OS_VIF = str(Path(sys.executable).with_name("os-vif"))
EVERY = 0.005
"""Seconds between two pings, while the guest moves."""

FILE = """\
owner: demo
networks:
  - label: blue
    mtu: 1442
    subnets:
      - {cidr: 10.5.0.0/24, gateway: 10.5.0.1, dns: [192.0.2.53]}
vifs:
  - type: openvswitch
    bridge: br-int
    datapath: netdev
    name: tap-anna
    mac: 52:54:00:00:00:01
    wait_for: ovn
    instance: {name: anna}
    network: {label: blue, addresses: [10.5.0.11]}
  - type: openvswitch
    bridge: br-int
    datapath: netdev
    name: tap-ben
    mac: 52:54:00:00:00:02
    wait_for: ovn
    instance: {name: ben}
    network: {label: blue, addresses: [10.5.0.12]}
"""
MACS = {"tap-anna": "52:54:00:00:00:01", "tap-ben": "52:54:00:00:00:02"}
BEN = "10.5.0.12"


class Play:
    """The demo on its stage: a folder with the file that is the same on every host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.story = Story(Session())
        (folder / "lab.yaml").write_text(FILE)

    def play(self) -> None:
        """Play all acts.

        :raises Failure: something does not come out as it should
        """
        with contextlib.ExitStack() as stack:
            self.begin(stack)
            with self.story.act("One file, the same on every host: os-vif network apply"):
                self.story.tell("$ cat lab.yaml")
                for line in FILE.splitlines():
                    self.story.tell((line, "quiet"))
                self.os_vif("centre", "network", "apply", "lab.yaml")
            with self.story.act("Plug each guest where it is, until OVN has bound it"):
                self.os_vif("h1", "plug", "--only", "tap-anna", "lab.yaml")
                self.os_vif("h2", "plug", "--only", "tap-ben", "lab.yaml")
            with contextlib.ExitStack() as running:
                guests = {
                    "anna": self.boot(running, "h1", "tap-anna"),
                    "ben": self.boot(running, "h2", "tap-ben"),
                }
                with self.story.act("The guests ask for an address, by DHCP"):
                    for name, each in guests.items():
                        self.ask_for_address(name, each)
                with self.story.act("Ping from host to host, through a tunnel"):
                    self.ping(guests["anna"])
                with self.story.act("Where it all sits"):
                    self.os_vif("centre", "network", "show", "lab.yaml")
                    self.os_vif("centre", "network", "check", "lab.yaml")
                with self.story.act("Ben moves from h2 to h1, and is pinged all the while"):
                    self.move(guests["anna"], guests["ben"])
            with self.story.act("Switch the guests off, unplug, delete: nothing is left"):
                self.end()

    def begin(self, stack: contextlib.ExitStack) -> None:
        """Start the hosts."""
        with self.story.act("Two hosts, and OVN between them"):
            self.hosts = Hosts(2, switch_tree="ovn")
            stack.callback(self.hosts.close)
            self.ports = {name: self.ports_of(host) for name, host in self.hosts.hosts.items()}
            said = self.hosts.centre.run("usr/bin/ovn-nbctl", "--version").splitlines()[0]
            self.story.tell(f"{said}: its databases and ovn-northd at the centre,")
            self.story.tell("on h1 and h2 Open vSwitch in userspace, with an ovn-controller each")

    def ports_of(self, host: Host) -> list[str]:
        """Return the ports of a host's integration bridge."""
        return sorted(host.switch.vsctl("list-ports", "br-int").split())

    def os_vif(self, where: str, *words: str) -> str:
        """Run the command on a host or at the centre, and show both; return what it said.

        They share this host's files; so each is told which database is its own.

        :raises Failure: it fails
        """
        self.story.tell(f"{where}$ {shlex.join(['os-vif', *words])}")
        command = [OS_VIF, *words]
        environment = {**os.environ, "OVN_NB_DB": self.hosts.centre.northbound}
        if where != "centre":
            host = self.hosts[where]
            told = ["--ovsdb", host.switch.remote]
            command = host.private.argv(OS_VIF, *told, *words)
        return stage.run_and_tell(self.story, "os-vif", command, cwd=self.folder, env=environment)

    def boot(self, stack: contextlib.ExitStack, where: str, tap: str) -> KernelGuest:
        """Run a guest on a tap: a kernel's network stack, which opens it as a hypervisor does."""
        running = KernelGuest(self.open(where, tap), MACS[tap])
        stack.callback(running.close)
        return running

    def open(self, where: str, tap: str) -> int:
        """Return the guest's end of a tap on a host."""
        with self.hosts[where].private.enter():
            return guest.Guest(tap, MACS[tap]).descriptor

    def ask_for_address(self, name: str, running: KernelGuest) -> None:
        """Have a guest ask, and heed what it is told."""
        with running.host.enter(), dhcp.client() as client:
            lease = client.lease(PATIENCE)
        self.story.tell(
            (f"{name}: ", "guest"),
            f"{lease.address}/{lease.prefix_length} for {lease.seconds} s, router "
            f"{' '.join(lease.routers)}, DNS {' '.join(lease.dns)}, MTU {lease.mtu}, "
            f"my name is {lease.name}",
        )
        self.story.expect(lease.name == name, "that is not its name")
        address = f"{lease.address}/{lease.prefix_length}"
        running.host.run("ip", "link", "set", "eth0", "mtu", str(lease.mtu))
        running.host.run("ip", "address", "add", address, "dev", "eth0")

    def ping(self, anna: KernelGuest) -> None:
        """Ping ben, with as much in a packet as the network carries."""
        # The switch asks for the other host's address first, and drops what it would have sent.
        self.story.expect(anna.reaches(BEN), "ben does not answer")
        words = ["ping", "-n", "-c", "3", "-i", "0.2", "-w", str(int(PATIENCE))]
        words += ["-M", "do", "-s", str(ovn_hosts.MTU - 28), BEN]
        self.story.tell(("anna: ", "guest"), f"$ {shlex.join(words)}")
        said = anna.host.run(*words, check=False).stdout
        for line in said.splitlines()[1:]:
            if line:
                self.story.tell(("anna: ", "guest"), line)
        self.story.expect(" 0% packet loss" in said, "ben does not answer")

    def move(self, anna: KernelGuest, ben: KernelGuest) -> None:
        """Move ben: both hosts may have its port, the second one shut until it announces itself."""
        ping = Ping(anna.host, BEN, self.folder, EVERY)
        try:
            ping.more(20)
            self.os_vif("centre", "network", "place", "tap-ben", "h2,h1")
            self.os_vif("h1", "plug", "--only", "tap-ben", "lab.yaml")
            ben.move(self.open("h1", "tap-ben"), guest.rarp(MACS["tap-ben"]))
            self.story.tell("the guest is on h1 now; its hypervisor sends a RARP, as QEMU does")
            ping.more(20)
            self.os_vif("centre", "network", "place", "tap-ben", "h1")
            self.os_vif("h2", "unplug", "--only", "tap-ben", "lab.yaml")
            ping.more(20)
            lost = ping.lost()
            sent = ping.answered()[-1]
        finally:
            ping.close()
        # Some few may be lost on a busy machine; without "place" it would be most of them.
        self.story.tell(f"of {sent} pings, one every {EVERY * 1000:g} ms, {len(lost)} were lost")
        self.story.expect(len(lost) <= sent * 0.05, "that is not a migration that nobody notices")
        found = self.hosts["h1"].switch.get("Interface", "tap-ben", "external_ids:iface-id")
        self.story.expect(self.hosts.binding(found)["chassis"] == ["h1"], "ben is not on h1")

    def end(self) -> None:
        """Take all away, and see that it is."""
        self.os_vif("h1", "unplug", "lab.yaml")
        self.os_vif("h2", "list")
        for name, host in self.hosts.hosts.items():
            deadline = time.monotonic() + PATIENCE
            while self.ports_of(host) != self.ports[name]:  # tunnels go when nobody needs them
                left = set(self.ports_of(host)) - set(self.ports[name])
                self.story.expect(time.monotonic() < deadline, f"{name} still has {left}")
                time.sleep(0.05)
        self.os_vif("centre", "network", "delete", "lab.yaml")
        self.os_vif("centre", "network", "list", "--owner", "demo")
        left = self.hosts.centre.nbctl("--bare", "--columns=name", "list", "Logical_Switch")
        self.story.expect(not left.strip(), f"OVN still has {left}")


def main(folder: str) -> int:
    """Make the private network, and play; return the exit code."""
    return stage.play(lambda: Play(Path(folder)).play(), "hosts, guests and private network")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
