# SPDX-License-Identifier: Apache-2.0
"""Guests on a bridge are served by one dnsmasq: what they are told, and how long it lives."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from os_vif import exception
from os_vif.engine import inventory
from os_vif.host.dnsmasq.system import folders, servers, written
from os_vif.system import processes
from tests import dnsmasq, vifs, witness
from tests.functional import served
from tests.functional.killing import killed
from tests.functional.served import (
    BRIDGE,
    GATEWAY,
    GATEWAY6,
    IPV4,
    IPV6,
    MTU,
    client,
    inside_of,
    plug,
    topology,
    unplug,
    wrong,
)
from tests.guest_questions import AAAA, ask_dns, lease6
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.functional

SLAAC = dataclasses.replace(IPV6, dhcp=False)
UPSTREAM = "192.0.2.53"


@pytest.fixture(autouse=True)
def host_with_dnsmasq(request: Any) -> Iterator[Any]:
    program = dnsmasq.command()  # fetched before the test is on its host
    inside = request.getfixturevalue("inside")
    # Nobody waits to see whether others have an address.
    Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
    with dnsmasq.available(program):
        yield inside


def kill(pid: int) -> None:
    """Kill a process, and wait until it has closed what it had open."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: not processes.started(pid))


# --- what guests are told -------------------------------------------------------------------------


def test_a_guest_gets_what_is_reserved_and_nobody_else_does() -> None:
    routes = (("10.9.0.0/16", "10.7.0.5"),)
    subnet = dataclasses.replace(IPV4, cidr="10.7.0.0/29", routes=routes)
    anna = topology(1, ("10.7.0.3",), "anna", subnets=(subnet,))
    plug(anna, *(topology(number, subnets=(subnet,)) for number in (2, 3, 4)))
    assert len(dnsmasq.running()) == 1
    given = set()
    for number in (2, 3, 4):
        with client(number) as other:
            given.add(other.lease().address)
    assert given == {"10.7.0.2", "10.7.0.4", "10.7.0.6"}, "all that is nobody's"
    with client(1, name="what-it-calls-itself") as its:
        told = its.lease()
    assert (told.address, told.prefix_length) == ("10.7.0.3", 29)
    assert (told.name, told.domain) == ("anna", "guests.internal")
    assert (told.mtu, told.routers, told.dns) == (MTU, [GATEWAY], [GATEWAY])
    assert told.routes == [("10.9.0.0/16", "10.7.0.5"), ("0.0.0.0/0", GATEWAY)]
    assert wrong(anna) == []


@contextlib.contextmanager
def upstream(answer: str) -> Iterator[None]:
    """Have a name server on the host's loopback that knows one address for every name."""
    witness.ip(f"link set lo up\naddr add {UPSTREAM}/32 dev lo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as serving:
        serving.bind((UPSTREAM, 53))

        def serve() -> None:
            while (asked := serving.recvfrom(1000))[0] != b"end":
                question, sender = asked
                end = question.index(b"\0", 12) + 5
                head = question[:2] + bytes([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0])
                record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(answer)
                serving.sendto(head + question[12:end] + record, sender)

        running = threading.Thread(target=serve)
        running.start()
        try:
            yield
        finally:
            serving.sendto(b"end", (UPSTREAM, 53))
            running.join()


def test_names_of_guests_and_of_others() -> None:
    subnet = dataclasses.replace(IPV4, dns=(UPSTREAM,))
    plug(topology(1, ("10.7.0.50",), "anna", subnets=(subnet,)), topology(2, subnets=(subnet,)))
    with client(1) as its:
        its.lease()
    with upstream("198.51.100.7"), inside_of(2, "10.7.0.60/24") as other, other.host.enter():
        assert ask_dns(GATEWAY, "anna") == (0, ["10.7.0.50"])
        assert ask_dns(GATEWAY, "anna.guests.internal") == (0, ["10.7.0.50"])
        assert ask_dns(GATEWAY, "bert.guests.internal") == (3, []), "and nobody else is asked"
        assert ask_dns(GATEWAY, "www.example.org") == (0, ["198.51.100.7"])


def test_a_guest_that_makes_its_address_itself() -> None:
    """What a real kernel does with the advertisement."""
    mac = vifs.guest_mac(1)
    own = "fd00:7::5054:ff:fe00:1"
    assert mac == "52:54:00:00:00:01"
    anna = topology(1, (own,), "anna", subnets=(IPV4, SLAAC))
    plug(anna)
    with inside_of(1) as made, made.host.enter():
        found = until(
            lambda: [it for it in witness.addresses("eth0", "-6") if it.startswith("fd00:7:")]
        )
        assert found == [f"{own}/64"]
        [default] = witness.ask("-6 route show default")
        assert (default["protocol"], default["dev"]) == ("ra", "eth0")
        assert witness.sysctl("ipv6/conf/eth0/mtu") == str(MTU)
        with contextlib.suppress(TimeoutError):
            lease6(mac, seconds=1)  # it asks for more than there is
        assert ask_dns(GATEWAY6, "www.guests.internal", AAAA)[0] == 3


def test_a_guest_that_asks_for_its_ipv6_address() -> None:
    """It has the one that was promised, and makes none itself; when it is gone, that is free."""
    promised, subnets = ("10.7.0.50", "fd00:7::50"), (IPV4, IPV6)
    anna = topology(1, promised, "anna", subnets=subnets)
    plug(anna, topology(2, subnets=subnets))
    with client(1) as its:
        assert its.lease().address == "10.7.0.50"
    with inside_of(1) as made, made.host.enter():
        assert lease6(vifs.guest_mac(1)) == "fd00:7::50"
        until(lambda: witness.ask("-6 route show default"))
        assert witness.addresses("eth0", "-6") == []
    with inside_of(2, "10.7.0.60/24") as other:
        with other.host.enter():
            given = lease6(vifs.guest_mac(2))
            assert given not in ("fd00:7::50", GATEWAY6)
            witness.ip(f"addr add {given}/64 dev eth0 nodad")
            assert ask_dns(GATEWAY6, "anna.guests.internal", AAAA) == (0, ["fd00:7::50"])
            assert ask_dns(GATEWAY, "anna.guests.internal") == (0, ["10.7.0.50"])
        unplug(anna)  # and it has given nothing back
        with other.host.enter():
            until(lambda: ask_dns(GATEWAY, "anna.guests.internal") == (3, []))
    plug(topology(3, promised, "anna", subnets=subnets))
    with client(3) as its:
        assert its.lease().address == "10.7.0.50"
    with inside_of(3) as made, made.host.enter():
        assert lease6(vifs.guest_mac(3)) == "fd00:7::50"


def test_a_firewall_that_lets_no_guest_ask() -> None:
    anna = topology(1, subnets=(IPV4, SLAAC))
    asked = "DHCP (UDP port 67) and DNS by IPv4 (port 53)"
    words = f"the chain INPUT of iptables drops what its guests ask this host for: {asked}"
    assert [it for it in served.warnings(anna) if "guests ask" in it] == []
    witness.run("iptables", "-w", "-P", "INPUT", "DROP")
    plug(anna)
    with client(1) as its, pytest.raises(TimeoutError):
        its.discover(0.5)
    [said] = [it for it in served.warnings(anna) if "guests ask" in it]
    assert said == f"{BRIDGE}: {words}; let that in from {BRIDGE}"
    witness.run("iptables", "-w", "-A", "INPUT", "-i", BRIDGE, "-p", "udp", "-j", "ACCEPT")
    assert [it for it in served.warnings(anna) if "guests ask" in it] == []
    with client(1) as its:
        its.lease()


# --- how long it lives ----------------------------------------------------------------------------


def test_it_is_found_dead_and_mended_and_keeps_what_it_gave() -> None:
    anna, bert = topology(1, name="anna"), topology(2)
    assert plug(anna).count("start_dnsmasq") == 1
    assert "start_dnsmasq" not in plug(bert)
    with client(1) as its:
        before = its.lease().address
        [pid] = dnsmasq.running()
        kill(pid)
        assert wrong(anna) == [f"{BRIDGE}: its dnsmasq does not run"]
        assert plug(bert) == ["start_dnsmasq"]
        assert wrong(anna) == []
        assert its.again(before).address == before
        assert (its.lease().address, len(dnsmasq.running())) == (before, 1)


def test_other_subnets_restart_it_and_leases_stay() -> None:
    plug(topology(1))
    other = dataclasses.replace(IPV4, dns=("192.0.2.1",))
    with client(1) as its:
        before = its.lease().address
        anna = topology(1, subnets=(other,))
        assert wrong(anna) == [f"{BRIDGE}: its dnsmasq serves 10.7.0.0/24 otherwise than described"]
        assert plug(anna) == ["start_dnsmasq"]
        assert wrong(anna) == []
        assert its.again(before).address == before
    assert "tells MTU 1400, and 1300" in str(wrong(topology(1, subnets=(other,), mtu=1300)))


def test_a_reservation_that_is_gone_is_missed() -> None:
    anna = topology(1, ("10.7.0.50",), "anna")
    plug(anna)
    Path(folders.path(BRIDGE), "hosts", vifs.vif_id(1)).unlink()
    words = f"its dnsmasq has not reserved 10.7.0.50, anna for {vifs.guest_mac(1)}"
    assert wrong(anna) == [f"{BRIDGE}: {words}"]
    assert plug(anna) == ["set_reservation"]
    changed = topology(1, ("10.7.0.51",), "bert")
    assert "10.7.0.51, bert" in str(wrong(changed))
    assert plug(changed) == ["set_reservation"]
    with client(1) as its:
        assert (told := its.lease()).address == "10.7.0.51"
        assert told.name == "bert"


def test_one_that_moves_to_another_bridge_leaves_nothing() -> None:
    plug(topology(1, ("10.7.0.50",), "anna"))
    there = dataclasses.replace(IPV4, cidr="10.8.0.0/24", gateway="10.8.0.1")
    moved = topology(1, ("10.8.0.50",), "anna", subnets=(there,), bridge="br1")
    plug(moved)
    assert wrong(moved) == []
    assert len(dnsmasq.running()) == 1
    assert list(served.left()) == ["br1"]
    with client(1) as its:
        assert its.lease().address == "10.8.0.50"


def test_what_is_left_of_the_dead_is_given_back_too() -> None:
    """Its lease, where no server runs that could be told."""
    plug(topology(1, ("10.7.0.50",), "anna"), topology(2))
    with client(1) as its:
        its.lease()
    kill(*dnsmasq.running())
    unplug(topology(1))
    plug(topology(3, ("10.7.0.50",)))
    with client(3) as its:
        assert its.lease().address == "10.7.0.50"


def test_many_at_once_start_one(inside: Any) -> None:
    failed: list[BaseException] = []

    def act(number: int) -> None:
        try:
            inside.python(lambda: plug(topology(number)))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failed, len(dnsmasq.running())) == ([], 1)
    assert len(servers.look(BRIDGE)["reserved"]) == 6


def test_hosts_with_bridges_of_one_name(other_host: Any) -> None:
    plug(topology(1))
    with other_host.enter(), dnsmasq.available(dnsmasq.command()):
        assert (dnsmasq.running(), served.left()) == ([], {})
        plug(topology(1))
        assert len(dnsmasq.running()) == 1
        unplug(topology(1))
        assert (dnsmasq.running(), served.left()) == ([], {})
    assert len(dnsmasq.running()) == 1


def test_what_was_begun_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    plug(served.unserved())
    unplug(served.unserved())

    def full(*_args: Any, **_options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(written, "reservation", full)
    with refused("have dnsmasq on br0 reserve .* No space left", exception.StepFailed):
        plug(topology(1))
    assert served.left() == {}


def test_a_bridge_that_is_made_anew_is_served() -> None:
    anna = topology(1, ("10.7.0.50",))
    plug(anna)
    witness.ip(f"link del {BRIDGE}")
    plug(anna)
    assert wrong(anna) == []
    with client(1) as its:
        assert its.lease().address == "10.7.0.50"


def test_fifty_reservations_restart_nothing() -> None:
    plug(topology(1, ("10.7.0.201",), "guest1"))
    running = dnsmasq.running()
    guests = [topology(it, (f"10.7.0.{200 + it}",), f"guest{it}") for it in range(2, 51)]
    more = [served.without_gateway(it) for it in guests]
    with client(1) as first:
        lease = first.lease()
        plug(*more)
        with client(50) as last:
            assert (told := last.lease()).address == "10.7.0.250"
            assert told.name == "guest50"
        assert first.renew(lease).address == lease.address
    unplug(*more)
    assert dnsmasq.running() == running


def test_it_goes_with_the_last_and_nothing_is_left() -> None:
    plug(served.unserved())
    unplug(served.unserved())
    before = witness.snapshot()
    anna, bert = topology(1, ("10.7.0.50",), "anna"), topology(2, ("10.7.0.51",))
    plug(anna, bert)
    [running] = dnsmasq.running()
    assert "stop_dnsmasq" not in unplug(anna)
    assert dnsmasq.running() == [running]
    assert unplug(bert).count("stop_dnsmasq") == 1
    assert (dnsmasq.running(), served.left()) == ([], {})
    assert witness.differences(before, witness.snapshot()) == []
    assert unplug(bert) == []


def test_what_is_left_of_vifs_that_are_gone_is_found_by_its_marks() -> None:
    plug(topology(1, ("10.7.0.50",), "anna"))
    [item] = inventory.plugged()
    [guest] = item["reservations"]
    assert (guest.reservation.addresses, guest.server.running) == (("10.7.0.50",), True)
    inventory.remove([item], "os_vif_privileged")
    assert (dnsmasq.running(), served.left()) == ([], {})


def test_one_that_nobody_uses_is_abandoned() -> None:
    plug(topology(1))
    servers.reserve(BRIDGE, vifs.vif_id(1), None)
    assert [it.name for it in inventory.abandoned()] == [BRIDGE]
    inventory.remove_abandoned()
    assert (dnsmasq.running(), served.left()) == ([], {})


# --- killed, wherever -----------------------------------------------------------------------------


@pytest.mark.parametrize("act", [plug, unplug], ids=lambda it: it.__name__)
def test_killed(act: Callable[..., Any]) -> None:
    # Somebody else sees to the bridge: only what is changed here is in between.
    anna = served.without_gateway(topology(1, ("10.7.0.50",), "anna"))
    plug(served.unserved(2))
    witness.ip(f"addr add {GATEWAY}/24 dev {BRIDGE}")
    number = 0
    while True:
        if act is unplug:
            plug(anna)
        if not killed(lambda: act(anna), number):
            break
        until(lambda: len(dnsmasq.running()) <= 1)
        plug(anna)
        assert wrong(anna) == []
        assert len(dnsmasq.running()) == 1
        unplug(anna)
        assert (dnsmasq.running(), served.left()) == ([], {}), f"killed before change {number}"
        number += 1
    assert number > 5


# --- refused --------------------------------------------------------------------------------------


@contextlib.contextmanager
def refused(words: str, kind: type[Exception] = exception.ResourceConflict) -> Iterator[None]:
    before, running = witness.snapshot(), dnsmasq.running()
    with pytest.raises(kind, match=words):
        yield
    assert witness.differences(before, witness.snapshot()) == []
    assert (dnsmasq.running(), served.left()) == (running, served.left())


@pytest.mark.parametrize(("port", "what"), [(67, "DHCP"), (53, "DNS"), (547, "DHCP")])
def test_somebody_else_has_the_port(port: int, what: str) -> None:
    six = port == 547
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("::" if six else "", port))
        me = rf"\(pid {os.getpid()}\) answers {what} on every device"
        with refused(f"port {port} on {BRIDGE} is in the way: .*{me}"):
            plug(topology(1, subnets=(IPV6 if six else IPV4,)))


def test_somebody_else_has_the_port_of_another_device() -> None:
    witness.ip("link add other0 up type bridge")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"other0")
        other.bind(("", 67))
        plug(topology(1))
        with client(1) as its:
            its.lease()


def test_there_is_no_dnsmasq() -> None:
    words = "there is no command nonesuch on this host; install the package dnsmasq-base"
    with dnsmasq.available("nonesuch"), refused(words, exception.UnusableDevice):
        plug(topology(1))


def test_what_it_says_is_told() -> None:
    with (
        dnsmasq.available(f"{dnsmasq.command()} --nonesuch"),
        refused("dnsmasq ended: bad command line options", exception.StepFailed),
    ):
        plug(topology(1))
    assert served.left() == {}


def test_a_strangers_bridge() -> None:
    witness.ip(f"link add {BRIDGE} type bridge")
    with refused(f"bridge {BRIDGE} is in the way: somebody else made it"):
        plug(topology(1))


PROMISES = {
    ("10.8.0.5",): "expected an address of a subnet that is served on br0: 10.7.0.0/24",
    ("10.7.0.1",): "expected another address than the gateway's",
    ("10.7.0.5", "10.7.0.6"): "expected one address of 10.7.0.0/24",
    ("fd00:7::5",): "expected fd00:7::5054:ff:fe00:1, which the guest makes itself",
}


@pytest.mark.parametrize("addresses", PROMISES)
def test_what_cannot_be_promised(addresses: tuple[str, ...]) -> None:
    with refused(PROMISES[addresses].replace("[", r"\["), exception.InvalidField):
        plug(topology(1, addresses, subnets=(IPV4, SLAAC)))


def test_what_is_promised_to_another() -> None:
    plug(topology(1, ("10.7.0.50",), "anna"))
    # Nobody looks whether it is touched: who has a tap open, and lets go, changes what is seen.
    in_the_way = functools.partial(pytest.raises, exception.ResourceConflict)
    with in_the_way(match="address 10.7.0.50 on br0 is in the way: it is reserved for VIF"):
        plug(topology(2, ("10.7.0.50",)))
    with in_the_way(match="host name Anna on br0 is in the way"):
        plug(topology(2, name="Anna"))
    with client(1) as its, guest_of(9) as stranger:
        its.lease()
        held = stranger.lease().address
        words = f"address {held} on br0 is in the way: {vifs.guest_mac(9)} has it by DHCP"
        with in_the_way(match=words):
            plug(topology(3, (held,)))


@contextlib.contextmanager
def guest_of(number: int) -> Iterator[Any]:
    """Provide the DHCP client of a card on the bridge that is no VIF's."""
    from tests import dhcp, guest

    name, mac = f"tap{number}", vifs.guest_mac(number)
    witness.ip(f"tuntap add {name} mode tap vnet_hdr\nlink set {name} master {BRIDGE} up")
    with guest.guests((name, mac)) as [one]:
        yield dhcp.Client(one)


def test_another_process_is_not_taken_for_it() -> None:
    """The number that is noted may be another's by now."""
    anna = topology(1)
    plug(anna)
    [pid] = dnsmasq.running()
    kill(pid)
    with folders.found(BRIDGE) as folder:
        assert folder is not None
        noted = folders.record(folder)
        folders.note(folder, {**noted, "pid": os.getpid()})
    assert wrong(anna) == [f"{BRIDGE}: its dnsmasq does not run"]
    unplug(anna)  # and we live on
    assert served.left() == {}


@pytest.mark.parametrize("field", ["mtu", "subnets"])
def test_what_can_be_no_server_is_not_taken_for_one(field: str) -> None:
    """Each part of what is noted may be as we write it, and the whole is nothing to serve."""
    anna = topology(1)
    plug(anna)
    kill(dnsmasq.running()[0])
    with folders.found(BRIDGE) as folder:
        assert folder is not None
        noted = folders.record(folder)
        changed = {"mtu": 0, "subnets": 2 * noted["subnets"]}
        folders.note(folder, {**noted, field: changed[field]})
    assert wrong(anna) == [f"{BRIDGE}: its dnsmasq does not run"]
    plug(anna)
    assert (len(dnsmasq.running()), wrong(anna)) == (1, [])


def test_one_of_a_container_that_was_started_anew() -> None:
    """Its number says nothing here; who hears on the bridge is seen from everywhere."""
    anna = topology(1)
    plug(anna)
    [pid] = dnsmasq.running()
    with folders.found(BRIDGE) as folder:
        assert folder is not None
        folders.note(folder, {**folders.record(folder), "pid_namespace": 1})
    with pytest.raises(ProcessLookupError, match="in another PID namespace"):
        servers.look(BRIDGE)
    assert [it.mark.vif_id for it in inventory.plugged()] == [anna.mark.vif_id]
    kill(pid)
    assert wrong(anna) == [f"{BRIDGE}: its dnsmasq does not run"]
    plug(anna)
    assert (len(dnsmasq.running()), wrong(anna)) == (1, [])


def test_one_that_nothing_is_noted_of_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that is just being started is waited for."""
    plug(topology(1))
    [pid] = dnsmasq.running()
    folders.remove(BRIDGE)
    monkeypatch.setattr(servers, "_START_S", 2 * PATIENCE_S)
    monkeypatch.setattr(processes, "age", lambda _its: 2 * PATIENCE_S + 1)
    began = time.monotonic()
    assert {told[2].partition(" ")[2] for told in servers.look(BRIDGE)["taken"]} == {f"(pid {pid})"}
    assert time.monotonic() - began < PATIENCE_S


def test_a_folder_of_another_user_is_not_believed() -> None:
    plug(topology(1))
    os.chown(folders.path(BRIDGE), 65534, -1)
    try:
        with pytest.raises(OSError, match="it belongs to another user"):
            servers.look(BRIDGE)
    finally:
        os.chown(folders.path(BRIDGE), 0, -1)
