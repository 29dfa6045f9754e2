# SPDX-License-Identifier: Apache-2.0
"""A guest that moves from host to host, pinged from three places all the while.

From another host, over the router from another subnet, and from outside at its floating address.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from os_vif import exception
from tests import guest, ovn_hosts, ovn_networks, witness
from tests.kernel_guest import KernelGuest, reaches
from tests.ovn_hosts import PATIENCE, Hosts
from tests.ovn_networks import FLOATING, PLACES, File, Guests
from tests.pings import Ping

pytestmark = [pytest.mark.functional, pytest.mark.hosts]

EVERY = 0.005
"""Seconds between two pings."""
FEW = 40
"""Lost pings that are a blink (0.2 s), however busy the machine is; 0 to 3 are usual."""
BEN, TAP = "10.5.0.12", "tap-ben"


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    made = Hosts(3)
    yield made
    made.close()


@pytest.fixture(scope="module")
def file(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[File]:
    made = File(hosts, tmp_path_factory.mktemp("file"))
    made.apply()
    yield made
    made.delete()


@pytest.fixture
def guests(hosts: Hosts, file: File) -> Iterator[Guests]:
    """Run all guests, each on its host."""
    file.place(TAP)
    with file.running(PLACES) as made:
        hosts.until(file.vif(TAP).id, chassis=["h2"])
        assert made["tap-anna"].reaches(BEN)
        yield made


class Pings:
    """From all three places."""

    def __init__(self, hosts: Hosts, guests: Guests, folder: Path) -> None:
        places = {
            "h1": (guests["tap-anna"].host, BEN),
            "router": (guests["tap-cleo"].host, BEN),
            "outside": (hosts.outside, FLOATING),
        }
        self.all = {
            name: Ping(host, address, folder, EVERY) for name, (host, address) in places.items()
        }

    def more(self, count: int = 100) -> None:
        """Wait until so many more were answered in each place."""
        for ping in self.all.values():
            ping.more(count)

    def silent(self, seconds: float) -> bool:
        """Tell whether nobody is answered for so long."""
        before = {name: len(ping.answered()) for name, ping in self.all.items()}
        time.sleep(seconds)
        return {name: len(ping.answered()) for name, ping in self.all.items()} == before

    def during(self, seconds: float) -> tuple[int, int]:
        """Return how many were lost meanwhile in all, and how many answered."""
        before = {name: ping.answered() for name, ping in self.all.items()}
        time.sleep(seconds)
        self.more(1)
        lost, answered = 0, 0
        for name, ping in self.all.items():
            numbers = ping.answered()[len(before[name]) :]
            lost += max(numbers) - max(before[name]) - len(set(numbers))
            answered += len(set(numbers))
        return lost, answered

    def lost(self) -> dict[str, int]:
        return {name: len(ping.lost()) for name, ping in self.all.items()}

    def close(self) -> None:
        for ping in self.all.values():
            ping.close()


@contextlib.contextmanager
def pinged(hosts: Hosts, guests: Guests, folder: Path) -> Iterator[Pings]:
    pings = Pings(hosts, guests, folder)
    try:
        pings.more()
        yield pings
    finally:
        pings.close()


@contextlib.contextmanager
def also_on(file: File, host: str, **options: str) -> Iterator[None]:
    """Have ben's VIF plugged on a second host."""
    file.plug(TAP, host, **options)
    try:
        yield
    finally:
        file.unplug(TAP, host)


def test_it_moves(hosts: Hosts, file: File, guests: Guests, tmp_path: Path) -> None:
    """Placed on both, plugged there, moved; its RARP opens the port, and nobody notices."""
    vif, ben = file.vif(TAP), guests[TAP]
    with pinged(hosts, guests, tmp_path) as pings:
        file.place(TAP, "h2", "h3", activation="rarp")
        with also_on(file, "h3"):
            hosts.until(vif.id, chassis=["h2"], additional=["h3"])
            pings.more()
            ben.move(hosts["h3"].open(vif), guest.rarp(vif.address))
            hosts.until(vif.id, options={"additional-chassis-activated": "h3"} | asked(hosts, vif))
            pings.more()
            file.place(TAP, "h3")
            hosts.until(vif.id, chassis=["h3"], additional=[])
            file.unplug(TAP, "h2")
            pings.more()
            # A file that does not say where it is leaves it where it was placed.
            file.apply()
            assert file.check(TAP, "h3")[0] == []
            pings.more()
            lost = pings.lost()
            assert max(lost.values()) <= FEW, lost
            back(hosts, file, ben)


def asked(hosts: Hosts, vif: object) -> dict[str, str]:
    """Return the options of a port that are there whether it was activated or not."""
    found = dict(hosts.binding(vif.id)["options"])  # type: ignore[attr-defined]
    found.pop("additional-chassis-activated", None)
    return found


def back(hosts: Hosts, file: File, ben: KernelGuest) -> None:
    """Bring it back to where it was."""
    vif = file.vif(TAP)
    file.place(TAP, "h2")
    file.plug(TAP, "h2")
    ben.move(hosts["h2"].open(vif), guest.rarp(vif.address))


def test_the_port_is_shut_until_it_announces_itself(
    hosts: Hosts, file: File, guests: Guests, tmp_path: Path
) -> None:
    vif, ben = file.vif(TAP), guests[TAP]
    file.place(TAP, "h2", "h3", activation="rarp")
    with also_on(file, "h3"):
        hosts.until(vif.id, chassis=["h2"], additional=["h3"])
        with pinged(hosts, guests, tmp_path) as pings:
            ben.move(hosts["h3"].open(vif))
            # What it said of itself by then, and what is under way.
            time.sleep(0.2)
            assert pings.silent(1.0)
            assert "additional-chassis-activated" not in hosts.binding(vif.id)["options"]
            # Nobody has to wait for the RARP: to be placed there alone opens it, too.
            file.place(TAP, "h3")
            hosts.until(vif.id, chassis=["h3"], additional=[])
            pings.more()
            # ping goes more slowly while nobody answers.
            assert min(pings.lost().values()) > FEW
        back(hosts, file, ben)


def test_it_stays_after_all(hosts: Hosts, file: File, guests: Guests, tmp_path: Path) -> None:
    """Placed on both and plugged there, and the migration fails: nobody notices that, either."""
    vif = file.vif(TAP)
    with pinged(hosts, guests, tmp_path) as pings:
        file.place(TAP, "h2", "h3", activation="rarp")
        with also_on(file, "h3"):
            hosts.until(vif.id, chassis=["h2"], additional=["h3"])
            pings.more()
            file.place(TAP, "h2")
            hosts.until(vif.id, chassis=["h2"], additional=[])
        pings.more()
        lost = pings.lost()
        assert max(lost.values()) <= FEW, lost
    assert file.check(TAP, "h2")[0] == []


def test_plugged_twice_and_placed_nowhere(
    hosts: Hosts, file: File, guests: Guests, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both chassis take it from each other, for ever; plug and check say so, and what to do."""
    words = "has it: it is plugged there too, and both chassis will fight over it"
    with also_on(file, "h3"), pinged(hosts, guests, tmp_path) as pings:
        assert f"{TAP}: h2 {words}" in caplog.text
        deadline = time.monotonic() + PATIENCE
        # How long each has it is as it happens: whoever has not, says so.
        while not any(words in it for host in ("h2", "h3") for it in warnings(file, host)):
            assert time.monotonic() < deadline, "nobody warns"
        taken = {name: claims(hosts, name) for name in ("h2", "h3")}
        pings.during(3.0)
        assert all(claims(hosts, name) > before for name, before in taken.items()), taken
        # Its cure.
        file.place(TAP, "h2")
        hosts.until(file.vif(TAP).id, chassis=["h2"])
        assert "OVN wants it on h2; this is h3" in " ".join(warnings(file, "h3"))
        assert not any(words in it for it in warnings(file, "h2"))
        pings.more()


def warnings(file: File, host: str) -> list[str]:
    return file.check(TAP, host)[1]


def claims(hosts: Hosts, name: str) -> int:
    """Return how often a chassis has taken a port from another, or for the first time."""
    log = (hosts[name].chassis.folder / "controller.log").read_text()
    return len(re.findall(r"(Changing chassis for|Claiming) lport", log))


def test_on_the_wrong_host(hosts: Hosts, file: File) -> None:
    """It is not plugged, the reason is told, and the host is as it was."""
    file.place("tap-cleo", "h1")
    with hosts["h3"].private.enter():
        before = witness.snapshot()
    with pytest.raises(exception.PlugException, match="OVN wants it on h1; this is h3"):
        file.plug("tap-cleo", "h3", ovs_vsctl_timeout=2)
    deadline = time.monotonic() + PATIENCE
    with hosts["h3"].private.enter():
        while witness.snapshot() != before:
            assert time.monotonic() < deadline, witness.differences(before, witness.snapshot())
    file.place("tap-cleo")


def test_a_third_host_joins(tmp_path: Path) -> None:
    """Under traffic, of which nothing is lost; and guests can be there, too."""
    with contextlib.ExitStack() as stack:
        hosts = Hosts(2)
        stack.callback(hosts.close)
        file = File(hosts, tmp_path)
        file.apply()
        guests = stack.enter_context(file.running(PLACES[:2]))
        assert guests["tap-anna"].reaches(BEN)
        ping = Ping(guests["tap-anna"].host, BEN, tmp_path, EVERY)
        stack.callback(ping.close)
        ping.more()
        hosts.join()
        with file.running([("tap-cleo", "h3")]) as more:
            assert more["tap-cleo"].reaches(BEN)
            ping.more()
        ping.more()
        assert len(ping.lost()) <= 2


def test_the_gateway_fails(tmp_path: Path) -> None:
    """The next one takes over what leaves; with three of them, as one alone cannot tell."""
    with contextlib.ExitStack() as stack:
        hosts = Hosts(3)
        stack.callback(hosts.close)
        file = File(hosts, tmp_path)
        file.apply()
        file.plug(TAP, "h2")
        ben = file.guest(TAP, hosts["h2"])
        stack.callback(ben.close)
        assert ben.reaches(ovn_hosts.OUTSIDE)
        gateway = f"cr-{gateway_port(hosts)}"
        # A host that heard nothing of h1 for a moment has taken it, and gives it back.
        hosts.until(gateway, chassis=["h1"])
        ping = Ping(hosts.outside, FLOATING, tmp_path, 0.05)
        stack.callback(ping.close)
        ping.more()
        hosts["h1"].switch.kill_vswitchd()
        hosts["h1"].chassis.end("controller")
        hosts.until(gateway, chassis=["h2"])
        ping.more()
        assert ben.reaches(ovn_hosts.OUTSIDE)
        assert len(ping.lost()) * 0.05 < PATIENCE


def gateway_port(hosts: Hosts) -> str:
    """Return the name of the router's port that has gateways."""
    said = hosts.centre.nbctl(
        "--bare", "--columns=name", "find", "Logical_Router_Port", "networks=203.0.113.10/24"
    )
    return said.strip()


def test_a_floating_address_without_a_gateway_between(tmp_path: Path) -> None:
    """``distributed``: the guest's own host answers for it, and the gateway may be away."""
    with contextlib.ExitStack() as stack:
        hosts = Hosts(2)
        stack.callback(hosts.close)
        central = File(hosts, tmp_path)
        central.apply()
        text = ovn_networks.TEXT.replace("snat: true", "snat: true, distributed: true")
        file = File(hosts, tmp_path, text)
        guests = stack.enter_context(file.running([(TAP, "h2")]))
        assert guests[TAP].reaches(ovn_hosts.OUTSIDE)
        assert reaches(hosts.outside, FLOATING)
        [router] = addresses(hosts, "203.0.113.10")
        assert addresses(hosts, FLOATING) == [router]
        file.apply()
        hosts.outside.run("ip", "neighbour", "flush", "dev", "eth0")
        assert reaches(hosts.outside, FLOATING)
        [own] = addresses(hosts, FLOATING)
        assert own != router
        hosts["h1"].switch.kill_vswitchd()
        hosts["h1"].chassis.end("controller")
        ping = Ping(hosts.outside, FLOATING, tmp_path, EVERY)
        stack.callback(ping.close)
        ping.more()
        assert len(ping.lost()) <= FEW


def addresses(hosts: Hosts, address: str) -> list[str]:
    """Return which MAC address somebody outside has for an address."""
    assert reaches(hosts.outside, address)
    with hosts.outside.enter():
        said = witness.ask(f"neighbour show to {address}")
    return [it["lladdr"] for it in said if "lladdr" in it]
