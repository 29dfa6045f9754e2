# SPDX-License-Identifier: Apache-2.0
"""Networks on OVN over three hosts, as guests and somebody outside see them."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from os_vif import network
from tests import dhcp, strangers, witness
from tests.guest import Wire
from tests.kernel_guest import KernelGuest, reaches
from tests.ovn_hosts import MTU, OUTSIDE, PATIENCE, Hosts
from tests.ovn_networks import FLOATING, PLACES, File, Guests

pytestmark = [pytest.mark.functional, pytest.mark.hosts]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    made = Hosts(3)
    strangers.write(made.centre)
    yield made
    made.close()


@pytest.fixture(scope="module")
def file(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> File:
    return File(hosts, tmp_path_factory.mktemp("file"))


def looked_at(hosts: Hosts) -> dict[str, Any]:
    """Return what each host holds: devices, addresses, and the rows of its switch."""
    found: dict[str, Any] = {}
    for name, host in hosts.hosts.items():
        with host.private.enter():
            found[name] = witness.snapshot()
        found[f"{name}'s switch"] = sorted(host.switch.vsctl("list-ports", "br-int").split())
    return found


@pytest.fixture(scope="module")
def guests(hosts: Hosts, file: File) -> Iterator[Guests]:
    """Apply, plug and run all; afterwards nothing of it may be left, and others' rows untouched."""
    before, theirs = looked_at(hosts), strangers.theirs(hosts.centre)
    file.apply()
    with file.running(PLACES) as made:
        yield made
    file.delete()
    assert strangers.ours(hosts.centre) == {}
    assert strangers.theirs(hosts.centre) == theirs
    deadline = time.monotonic() + PATIENCE
    while (now := looked_at(hosts)) != before:
        assert time.monotonic() < deadline, witness.differences(before, now)
        time.sleep(0.1)


def test_what_is_applied_is_there(guests: Guests, file: File, hosts: Hosts) -> None:
    assert [it.steps for it in file.apply()] == [()] * len(file.topologies)
    found = network.check(file.topologies, file.nb)
    assert [(it.steps, it.waiting, it.error) for it in found] == [((), (), None)] * len(found)
    for name, host in PLACES:
        steps, warnings = file.check(name, host)
        assert steps == []
        # Of the datapath in userspace, whatever the network.
        assert [it for it in warnings if "leaves checksums to its card" not in it] == []
        assert hosts.binding(file.vif(name).id)["chassis"] == [host]


def leased(guest: KernelGuest, **options: Any) -> dhcp.Answer:
    with guest.host.enter(), dhcp.client(**options) as client:
        return client.lease(PATIENCE)


def test_a_guest_is_told_its_address(guests: Guests) -> None:
    lease = leased(guests["tap-ben"])
    assert (lease.address, lease.prefix_length) == ("10.5.0.12", 24)
    assert (lease.server, lease.routers, lease.seconds) == ("10.5.0.1", ["10.5.0.1"], 3600)
    assert (lease.mtu, lease.name) == (MTU, "ben")
    assert lease.dns == ["192.0.2.53", "192.0.2.54"]
    # Who heeds 121 does not look at 3 (RFC 3442), so that the way out is in it, too.
    assert lease.routes == [("198.51.100.0/24", "10.5.0.11"), ("0.0.0.0/0", "10.5.0.1")]


def test_a_route_is_not_told_to_whom_it_leads(guests: Guests) -> None:
    lease = leased(guests["tap-anna"])
    assert (lease.address, lease.routers) == ("10.5.0.11", ["10.5.0.1"])
    assert "198.51.100.0/24" not in dict(lease.routes)


def test_what_is_behind_a_guest(guests: Guests) -> None:
    """The router knows the way, and the guest's port lets pass what comes from there, no more."""
    anna, behind = guests["tap-anna"], ("198.51.100.7", "192.0.2.7")
    for address in behind:
        anna.host.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    assert guests["tap-ben"].reaches(behind[0]), "of the same subnet, over the router"
    assert guests["tap-cleo"].reaches(behind[0]), "of another one"
    for address, passes in zip(behind, (True, False), strict=True):
        saying = ("ping", "-I", address, "-c", "3", "-i", "0.2", "-W", "1", "10.5.0.12")
        guests["tap-ben"].host.run("ip", "route", "add", f"{address}/32", "via", "10.5.0.11")
        said = anna.host.run(*saying, check=False).stdout
        assert ("0 received" not in said) == passes, said
        guests["tap-ben"].host.run("ip", "route", "del", f"{address}/32")
        anna.host.run("ip", "address", "del", f"{address}/32", "dev", "lo")


def test_another_subnet_of_the_network(guests: Guests) -> None:
    lease = leased(guests["tap-cleo"])
    assert (lease.address, lease.server, lease.mtu) == ("10.6.0.13", "10.6.0.1", MTU)
    assert lease.dns == []


def test_from_host_to_host(guests: Guests) -> None:
    """Through the tunnel, in both families, with as much in a packet as the network says."""
    anna = guests["tap-anna"]
    for address in ("10.5.0.12", "fd00:5::5054:ff:fe00:2"):
        assert anna.reaches(address)
        head = 48 if ":" in address else 28
        whole = ("ping", "-M", "do", "-c", "1", "-w", "30", "-s", str(MTU - head), address)
        assert "1 received" in anna.host.run(*whole).stdout


def test_from_subnet_to_subnet(guests: Guests) -> None:
    assert guests["tap-anna"].reaches("10.6.0.13")
    assert guests["tap-cleo"].reaches("10.5.0.12")
    said = guests["tap-cleo"].host.run("ping", "-c", "1", "-w", "30", "10.5.0.11").stdout
    assert "ttl=63" in said, "over the router"


def seen_outside(hosts: Hosts, guest: KernelGuest) -> str:
    """Return the address that somebody outside sees of a guest that talks to it."""
    with hosts.outside.enter():
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with guest.host.enter():
        saying = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with listening, saying:
        listening.bind((OUTSIDE, 0))
        listening.settimeout(0.5)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            saying.sendto(b"who am I", listening.getsockname())
            with contextlib.suppress(TimeoutError):
                _said, (address, _port) = listening.recvfrom(100)
                return str(address)
    raise AssertionError("nothing arrives outside")


def test_to_the_outside(guests: Guests, hosts: Hosts) -> None:
    assert guests["tap-anna"].reaches(OUTSIDE)
    assert seen_outside(hosts, guests["tap-anna"]) == "203.0.113.10"
    assert seen_outside(hosts, guests["tap-cleo"]) == "203.0.113.10"


def test_a_floating_address(guests: Guests, hosts: Hosts) -> None:
    assert reaches(hosts.outside, FLOATING)
    assert seen_outside(hosts, guests["tap-ben"]) == FLOATING
    assert not reaches(hosts.outside, "203.0.113.21", 1), "nobody has it"


def test_too_long_from_outside(guests: Guests, hosts: Hosts) -> None:
    """The router says what fits (RFC 1191), and whoever sends heeds it."""
    hosts.outside.run("ip", "route", "replace", "10.6.0.0/24", "via", "203.0.113.10")
    ping = ("ping", "-M", "do", "-c", "50", "-i", "0.2", "-w", "10", "-s", str(1500 - 28))
    said = hosts.outside.run(*ping, "10.6.0.13", check=False).stdout
    assert f"From 203.0.113.10 icmp_seq=1 Frag needed and DF set (mtu = {MTU})" in said
    assert f"mtu {MTU}" in hosts.outside.run("ip", "route", "get", "10.6.0.13").stdout


def test_too_long_to_a_floating_address(guests: Guests, hosts: Hosts) -> None:
    """It is said there too, but of the guest's own address, which means nothing to the sender."""
    assert reaches(hosts.outside, FLOATING)
    with hosts.outside.enter():
        wire = Wire()
    ping = ("ping", "-M", "do", "-c", "1", "-W", "1", "-s", str(1500 - 28), FLOATING)
    with contextlib.closing(wire):
        hosts.outside.run(*ping, check=False)
        # ICMP 3/4 with the MTU; what is quoted begins behind it.
        pattern = re.compile(
            rb"^\x03\x04..\0\0" + re.escape(MTU.to_bytes(2)) + b"(.{20})", re.DOTALL
        )
        [quoted] = [found[1] for it in wire.frames(1.0) if (found := pattern.search(it[34:]))]
    assert socket.inet_ntoa(quoted[16:20]) == "10.5.0.12"
    fits = ("ping", "-M", "do", "-c", "1", "-w", "30", "-s", str(MTU - 28), FLOATING)
    assert "1 received" in hosts.outside.run(*fits).stdout


def test_router_advertisements(guests: Guests) -> None:
    """A guest that was told nothing makes its own address, and reaches others by it."""
    anna, ben = guests["tap-anna"].host, guests["tap-ben"]
    own = "fd00:5::5054:ff:fe00:1"
    anna.run("ip", "address", "del", f"{own}/64", "dev", "eth0")
    anna.run("ip", "-6", "route", "flush", "default")
    anna.run("ip", "link", "set", "eth0", "mtu", "1500")
    for name, value in (("accept_ra", "2"), ("forwarding", "0"), ("autoconf", "1")):
        anna.run("sysctl", "-qw", f"net.ipv6.conf.eth0.{name}={value}")
    anna.run("ip", "link", "set", "eth0", "down")
    anna.run("ip", "link", "set", "eth0", "up")
    deadline = time.monotonic() + PATIENCE
    while True:
        said = anna.run("ip", "-6", "address", "show", "dev", "eth0", "scope", "global").stdout
        routes = anna.run("ip", "-6", "route", "show", "default").stdout
        if own in said and "tentative" not in said and "proto ra" in routes:
            break
        assert time.monotonic() < deadline, said + routes
        time.sleep(0.1)
    assert anna.run("sysctl", "-n", "net.ipv6.conf.eth0.mtu").stdout.strip() == str(MTU)
    assert ben.reaches(own)
    # IPv4's route went with the link.
    anna.run("ip", "link", "set", "eth0", "mtu", str(MTU))
    anna.run("ip", "route", "replace", "default", "via", "10.5.0.1", "dev", "eth0")


@pytest.mark.parametrize("group", ["239.5.5.5", "ff05::5:5"])
def test_multicast(guests: Guests, group: str) -> None:
    assert guests["tap-ben"].hears(group, guests["tap-anna"].host, "eth0")
    assert guests["tap-anna"].hears(group, guests["tap-ben"].host, "eth0")


def test_an_address_of_another(guests: Guests) -> None:
    """A guest has its own addresses only, whatever it says."""
    anna = guests["tap-anna"]
    anna.host.run("ip", "address", "add", "10.5.0.77/24", "dev", "eth0")
    theft = ("ping", "-I", "10.5.0.77", "-c", "3", "-i", "0.2", "-W", "1", "10.5.0.12")
    said = anna.host.run(*theft, check=False).stdout
    anna.host.run("ip", "address", "del", "10.5.0.77/24", "dev", "eth0")
    assert "0 received" in said
    assert anna.reaches("10.5.0.12")
