# SPDX-License-Identifier: Apache-2.0
"""Guests on a network of the host's own: addresses, names, each other, and the world outside."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import dhcp, dnsmasq, guest, witness
from tests.command import ForkServer
from tests.conftest import PrivateHost
from tests.guest_questions import ask_dns
from tests.kernel_guest import KernelGuest, kernel_guest
from tests.waiting import until

pytestmark = pytest.mark.functional

SERVER = ForkServer(os.environ)
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bridge-internet.yaml"
WEB, DB = ("tap-web", "52:54:00:12:34:67"), ("tap-db", "52:54:00:12:34:68")
GATEWAY, GATEWAY6 = "10.42.0.1", "fd42::1"
OUTSIDE, OUTSIDE6 = "203.0.113.9", "2001:db8:f::9"
OWN, OWN6 = "203.0.113.1", "2001:db8:f::1"
FOUND = "198.51.100.7"
GROUPS = ("239.1.2.3", "ff02::4:2")


ONE = """\
type: bridge
bridge: br-guests
name: tap-web
mac: 52:54:00:12:34:67
instance: {name: web}
network:
  nat: true
  subnets:
  - {cidr: 10.42.0.0/24, gateway: 10.42.0.1, dhcp: true}
"""


class SeenAs(PrivateHost):
    """A host as programs see it that have mounts of their own.

    :param host: lives as long as this.
    :param script: what mounts.
    """

    def __init__(self, host: PrivateHost, script: str) -> None:
        own = ("unshare", "--mount", "--propagation", "private", "--")
        self._hold(*host.argv(*own, "sh", "-c", f"{script} && echo ready && exec cat >/dev/null"))

    def argv(self, *command: str) -> list[str]:
        """Return the command line that runs ``command`` here."""
        place = f"/proc/{self.pid}/ns"
        return ["nsenter", f"--net={place}/net", f"--mount={place}/mnt", "--wd=.", "--", *command]


class Host:
    """A host that reaches the world outside, and the command on it."""

    def __init__(self, host: PrivateHost, outside: PrivateHost) -> None:
        self.own, self.outside = host, outside
        self.seen_as: PrivateHost = host
        self.environment = os.environ | {"PATH": f"{dnsmasq.folder()}:{os.environ['PATH']}"}
        host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wire0")
        host.run("ip", "link", "set", "wire0", "netns", str(outside.pid), "name", "eth0")
        for it, number in ((host, 1), (outside, 9)):
            it.run(
                *("ip", "-batch", "-"),
                input="link set eth0 up\n"
                f"addr add 203.0.113.{number}/24 dev eth0\n"
                f"addr add 2001:db8:f::{number}/64 dev eth0 nodad\n",
            )
        host.run("ip", "route", "add", "default", "via", OUTSIDE)
        host.run("ip", "route", "add", "default", "via", OUTSIDE6)

    def __call__(self, *words: str, code: int = 0) -> Any:
        done = SERVER.run(self.seen_as, *words, env=self.environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def seen(self) -> Mapping[str, Any]:
        """Return what others see of it: the packet filter's tables, and who serves DHCP, too."""
        with self.own.enter():
            tables = witness.run("nft", "list", "tables").splitlines()
            listening = witness.run("ss", "-Hlnu")
            # Those of iptables are made when it is asked.
            ours = [it for it in tables if it.split()[-1] != "filter"]
            return {**witness.snapshot(), "nft": ours, "sockets": listening.splitlines()}


@pytest.fixture
def run(host: PrivateHost) -> Iterator[Host]:
    with contextlib.closing(PrivateHost()) as outside:
        yield Host(host, outside)
        left = host.python(dnsmasq.running)
        host.python(dnsmasq.end)
        assert left == [], "a server is left"


@contextlib.contextmanager
def inside_of(run: Host, tap: str, mac: str) -> Iterator[KernelGuest]:
    """Provide a guest with a real kernel on a tap of the host's."""
    with run.own.enter():
        opened = guest.Guest(tap, mac)
    with kernel_guest(opened.descriptor, mac, hasty=True) as made:
        yield made


def lease(of: KernelGuest) -> dhcp.Answer:
    """Ask for an address, and take it, with the router."""
    with of.host.enter(), dhcp.client() as client:
        told = client.lease()
        witness.ip(f"addr add {told.address}/{told.prefix_length} dev eth0")
        witness.ip(f"route add default via {told.routers[0]}")
    return told


def advertised(to: KernelGuest) -> str:
    """Wait for the address that the kernel makes of what the router advertises; return it."""
    with to.host.enter():
        until(lambda: witness.ask("-6 route show default"))
        [found] = until(lambda: witness.addresses("eth0", "-6"))
    return str(found).partition("/")[0]


def found(by: KernelGuest, name: str, server: str) -> list[str]:
    """Ask a name server for the IPv4 addresses of a name."""
    with by.host.enter():
        return ask_dns(server, name)[1]


def test_guests_from_the_first_to_the_last(run: Host, tmp_path: Path) -> None:
    before = run.seen()
    plugged = json.loads(run("plug", "--json", str(EXAMPLE)).stdout)["vifs"]
    words = [step["words"] for vif in plugged for step in vif["steps"]]
    assert not [it for it in words if it.startswith("set ") and "FORWARD" not in it], (
        "the second guest has nothing to put right"
    )
    exported = tmp_path / "exported.yaml"
    exported.write_text(run("export").stdout)
    for file in (EXAMPLE, exported):
        run("check", str(file))
    assert exported.read_text().count("nat: true") == 2
    with inside_of(run, *WEB) as web, inside_of(run, *DB) as db:
        told = lease(web)
        assert told.address.startswith("10.42.0.")
        assert told.address != "10.42.0.20"
        assert (told.prefix_length, told.routers, told.dns) == (24, [GATEWAY], [GATEWAY])
        assert lease(db).address == "10.42.0.20"
        mine, theirs = advertised(web), advertised(db)
        assert mine == "fd42::5054:ff:fe12:3467"
        assert found(web, "db", GATEWAY) == ["10.42.0.20"]
        assert found(db, "web", GATEWAY) == [told.address]
        assert found(web, "db", GATEWAY6) == ["10.42.0.20"]
        assert web.reaches("10.42.0.20")
        assert web.reaches(theirs)
        for group in GROUPS:
            assert db.hears(group, web.host, "eth0"), group
        for address in (OUTSIDE, OUTSIDE6):
            assert web.reaches(address)
            assert db.reaches(address)
        run("unplug", "--force", "--only", "tap-web", str(EXAMPLE))
        run("check", "--only", "tap-db", str(EXAMPLE))
        assert db.reaches(OUTSIDE)
        assert db.reaches(OUTSIDE6)
        assert found(db, "db", GATEWAY) == ["10.42.0.20"]
    run("unplug", "tap-db")
    with run.own.enter():
        assert witness.addresses("br-guests") == witness.addresses("br-guests", "-6") == []
    run("unplug", "--with-bridge", str(EXAMPLE))
    run("gc", "--keep-none", "--bridges", "--yes")
    assert witness.differences(before, run.seen()) == []


@contextlib.contextmanager
def name_server(host: PrivateHost) -> Iterator[None]:
    """Have somebody answer each question for an IPv4 address with one."""
    with host.enter():
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.bind((OUTSIDE, 53))

    def answer() -> None:
        while (said := own.recvfrom(512))[0]:
            asked, client = said
            question = asked[12 : asked.index(b"\0", 12) + 5]
            head = asked[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
            record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(FOUND)
            own.sendto(head + question + record, client)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is connected to nobody, and wakes the thread
            own.shutdown(socket.SHUT_RD)
        own.close()
        thread.join()


def test_names_outside_are_found_as_the_host_finds_them(run: Host, tmp_path: Path) -> None:
    servers = tmp_path / "resolv.conf"
    servers.write_text(f"nameserver {OUTSIDE}\n")
    file = tmp_path / "web.yaml"
    mounted = f"mount --bind {servers} $(readlink -f /etc/resolv.conf)"
    with contextlib.closing(SeenAs(run.own, mounted)) as run.seen_as, name_server(run.outside):
        kept = ONE.replace("dhcp: true", "dhcp: true, addresses: [10.42.0.10]")
        kept += "anti_spoofing: ip\n"
        file.write_text(kept)
        run("plug", str(file))
        with inside_of(run, *WEB) as web:
            assert lease(web).address == "10.42.0.10", "who is kept to an address is told it"
            assert web.reaches(OUTSIDE)
            assert found(web, "deb.example", GATEWAY) == [FOUND]
            assert found(web, "nobody", GATEWAY) == [], "of guests it knows itself"
            file.write_text(kept.replace("nat: true", "nat: false"))
            run("plug", str(file))
            assert found(web, "deb.example", GATEWAY) == [], "who is kept inside asks nobody"
        run("unplug", str(file))


# --- what cannot be -------------------------------------------------------------------------------


@contextlib.contextmanager
def a_second_network(run: Host, folder: Path) -> Iterator[None]:
    other = folder / "other.yaml"
    text = ONE.replace("br-guests", "br-others").replace("web", "db").replace(":67", ":68")
    other.write_text(text)
    run("plug", str(other))
    try:
        yield
    finally:
        run("unplug", str(other))


@contextlib.contextmanager
def a_route_there(run: Host, _folder: Path) -> Iterator[None]:
    run.own.run("ip", "route", "add", "10.42.0.128/25", "via", OUTSIDE)
    yield


@contextlib.contextmanager
def taken(run: Host, port: int) -> Iterator[None]:
    with run.own.enter():
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with contextlib.closing(other):
        other.bind(("", port))
        yield


@contextlib.contextmanager
def nothing_written(run: Host, _folder: Path) -> Iterator[None]:
    read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"
    with contextlib.closing(SeenAs(run.own, read_only)) as run.seen_as:
        yield


@contextlib.contextmanager
def nothing_else(_run: Host, _folder: Path) -> Iterator[None]:
    yield


CASES: dict[str, tuple[Any, tuple[str, str], tuple[str, ...], int, str]] = {
    "a gateway outside its subnet": (
        nothing_else,
        ("gateway: 10.42.0.1", "gateway: 10.43.0.1"),
        (),
        2,
        "network.subnets[0].gateway: '10.43.0.1' cannot be used; expected an address in 10.42",
    ),
    "two networks of one subnet": (
        a_second_network,
        ("", ""),
        (),
        1,
        "network 10.42.0.0/24 is in the way: br-guests is to have it, and the host has the route "
        "10.42.0.0/24 dev br-others; choose another network for the guests",
    ),
    "a route there": (
        a_route_there,
        ("", ""),
        (),
        1,
        "network 10.42.0.0/24 is in the way: br-guests is to have it, and the host has the route "
        "10.42.0.128/25 dev eth0; choose another network for the guests",
    ),
    "port 53 taken": (
        lambda run, _folder: taken(run, 53),
        ("", ""),
        (),
        1,
        "port 53 on br-guests is in the way: ",
    ),
    "port 67 taken": (
        lambda run, _folder: taken(run, 67),
        ("", ""),
        (),
        1,
        "port 67 on br-guests is in the way: ",
    ),
    "no dnsmasq": (
        nothing_else,
        ("", ""),
        ("--set", "dnsmasq.command=/nowhere/dnsmasq"),
        1,
        "there is no command /nowhere/dnsmasq on this host; install the package dnsmasq-base",
    ),
    "forwarding refused": (
        nothing_written,
        ("", ""),
        (),
        1,
        "/proc/sys",
    ),
    "a name with quotes": (
        nothing_else,
        ("{name: web}", "{name: 'we\"b'}"),
        (),
        2,
        "instance.name: 'we\"b' cannot be used; expected a host name without a domain",
    ),
    "a name with a newline": (
        nothing_else,
        ("{name: web}", '{name: "we\\nb"}'),
        (),
        2,
        "instance.name: 'we\\nb' cannot be used; expected text without control characters",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_leaves_the_host_as_it_was(name: str, run: Host, tmp_path: Path) -> None:
    stage, (old, new), words, code, expected = CASES[name]
    file = tmp_path / "web.yaml"
    file.write_text(ONE.replace(old, new))
    with stage(run, tmp_path):
        before = run.seen()
        said = run("plug", *words, str(file), code=code).stderr
        assert expected in said
        assert said.count("error: ") == 1
        assert "Traceback" not in said
        assert witness.differences(before, run.seen()) == []
