# SPDX-License-Identifier: Apache-2.0
"""OVN's Northbound database: many who write at once, writers and servers that are killed, TLS."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ovs.jsonrpc
import pytest

from os_vif import exception, network
from os_vif.host.ovn.resources import Northbound
from os_vif.system import ovsdb
from os_vif.testing import killing
from tests import certificates, ovn
from tests import northbound as rows
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.functional


@pytest.fixture
def server(only_server: ovn.Server) -> Iterator[ovn.Server]:
    yield only_server
    network.gc([], rows.OWNER, rows.nb(only_server), force=True)


def at_once(*acts: Callable[[], Any]) -> list[str]:
    """Run each in a process of its own, all from the same moment; return how they failed."""
    ready, go = os.pipe()
    children = []
    for act in acts:
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(ready, 1)
            try:
                act()
            except BaseException as error:
                os.write(tell, repr(error).encode())
            os._exit(0)
        os.close(tell)
        children.append((child, told))
    os.close(ready)
    os.close(go)
    said = []
    for child, told in children:
        with open(told, "rb") as words:
            said.append(words.read().decode())
        os.waitpid(child, 0)
    return [words for words in said if words]


# --- many at once ---------------------------------------------------------------------------------

WRITERS = 8


SOME_ROUNDS = [2, pytest.param(50, marks=pytest.mark.long)]
"""More of them take long, and are for who asks for them."""


@pytest.mark.parametrize("rounds", SOME_ROUNDS)
def test_many_who_make_the_same(server: ovn.Server, rounds: int) -> None:
    nb = rows.nb(server)
    wanted = [rows.network(ports=6), rows.router()]
    for _round in range(rounds):
        assert at_once(*[lambda: network.apply(wanted, nb)] * WRITERS) == []
        assert set(rows.rows(server)) == rows.wanted(*wanted)
        assert [it.steps for it in network.check(wanted, nb)] == [(), ()]
        assert at_once(*[lambda: network.delete(wanted, nb)] * WRITERS) == []
        assert rows.rows(server) == {}


def test_many_who_make_some_of_the_same(server: ovn.Server) -> None:
    nb = rows.nb(server)
    files = [
        [rows.network("blue", 4, first=1 + 2 * number), rows.network(f"own-{number}", 1)]
        for number in range(WRITERS)
    ]
    assert at_once(*[lambda its=its: network.apply(its, nb) for its in files]) == []
    assert set(rows.rows(server)) == rows.wanted(*(it for its in files for it in its))
    for its in files:
        assert [it.steps for it in network.check(its, nb)] == [(), ()]


@pytest.mark.parametrize("rounds", SOME_ROUNDS)
def test_some_who_make_and_some_who_remove(server: ovn.Server, rounds: int) -> None:
    """It ends as one of them wants it: all, or nothing."""
    nb, wanted = rows.nb(server), [rows.network(ports=4), rows.router()]
    acts = [lambda: network.apply(wanted, nb), lambda: network.delete(wanted, nb)]
    for _round in range(rounds):
        assert at_once(*acts * (WRITERS // 2)) == []
        assert set(rows.rows(server)) in (set(), rows.wanted(*wanted))


def test_many_who_add_to_a_network_that_they_know(server: ovn.Server) -> None:
    nb, wanted = rows.nb(server), [rows.network(ports=0)]
    network.apply(wanted, nb)
    network.check(wanted, nb)
    files = [[rows.network("blue", 4, first=1 + 2 * number)] for number in range(WRITERS)]
    assert at_once(*[lambda its=its: network.apply(its, nb) for its in files]) == []
    assert set(rows.rows(server)) == rows.wanted(*(it for its in files for it in its))
    for its in files:
        assert [it.steps for it in network.check(its, nb)] == [()]


def test_many_threads_of_one_process(server: ovn.Server) -> None:
    nb = rows.nb(server)
    files = [[rows.network("blue", 4, first=1 + 2 * number)] for number in range(WRITERS)]
    failed: list[Exception] = []

    def apply(wanted: Any) -> None:
        try:
            network.apply(wanted, nb)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=apply, args=(its,)) for its in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert set(rows.rows(server)) == rows.wanted(*(it for its in files for it in its))


# --- the writer is killed -------------------------------------------------------------------------

MOMENTS = (
    killing.Change(ovs.jsonrpc.Connection, "send"),
    killing.Change(ovsdb.Connection, "_receive"),
    killing.Change(ovsdb.Connection, "_wait"),
)


def test_killed_at_each_message(server: ovn.Server) -> None:
    """All rows are there or none are; again makes what is left, and nothing twice."""
    nb, wanted = rows.nb(server), [rows.network(ports=4), rows.router()]
    every = rows.wanted(*wanted)
    number, was_killed, seen = 0, True, set()
    while was_killed:
        ovsdb._idle.clear()
        was_killed = killing.killed(lambda: network.apply(wanted, nb), number, MOMENTS)
        there = set(rows.rows(server))
        assert there in (set(), every), number
        seen.add(bool(there))
        network.apply(wanted, nb)
        assert set(rows.rows(server)) == every, number
        assert [it.steps for it in network.check(wanted, nb)] == [(), ()]
        killing.killed(lambda: network.delete(wanted, nb), number, MOMENTS)
        assert set(rows.rows(server)) in (set(), every), number
        network.delete(wanted, nb)
        assert rows.rows(server) == {}
        number += 1
    assert number >= 4
    assert seen == {True, False}


def test_killed_where_nothing_is_looked_at_first(server: ovn.Server) -> None:
    nb, ground, wanted = rows.nb(server), [rows.network(ports=0)], [rows.network(ports=4)]
    network.apply(ground, nb)
    number, was_killed, seen = 0, True, set()
    while was_killed:
        network.check(ground, nb)
        ovsdb._idle.clear()
        was_killed = killing.killed(lambda: network.apply(wanted, nb), number, MOMENTS)
        there = set(rows.rows(server))
        assert there in (rows.wanted(*ground), rows.wanted(*wanted)), number
        seen.add(len(there))
        network.apply(wanted, nb)
        assert set(rows.rows(server)) == rows.wanted(*wanted), number
        assert [it.steps for it in network.check(wanted, nb)] == [()]
        network.gc(ground, "lab", nb)
        number += 1
    assert number >= 2
    assert len(seen) == 2


# --- servers --------------------------------------------------------------------------------------


def test_a_server_that_goes_and_comes(server: ovn.Server) -> None:
    nb = rows.nb(server, 20)
    for number in range(6):
        wanted = [rows.network("blue", 4, first=1 + number)]

        def restart() -> None:
            server.end(ovn.NORTHBOUND)
            server.start_server(ovn.NORTHBOUND)

        timer = threading.Timer(number / 1000, restart)
        timer.start()
        network.apply(wanted, nb)
        timer.join()
        assert [it.steps for it in network.check(wanted, nb)] == [()]


class Answering:
    """A server that says what it is told to, whatever it is asked; None to go on listening."""

    def __init__(self, path: Path, answer: bytes | None) -> None:
        self.remote = f"unix:{path}"
        self._answer = answer
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listening.accept()
                self._clients.append(client)
                if self._answer is not None:
                    client.recv(65536)
                    client.sendall(self._answer)
                    client.close()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for client in self._clients:
            client.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "no answer within 1 s"),
        (b"", "connection was lost|no answer within 1 s"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is no OVSDB: it is not JSON"),
        (b'{"id": 0, "error": null, "result": [{"rows": 7}]}', "is no OVSDB"),
        (b'{"id": 0, "error": "go away", "result": null}', "the server answered go away"),
    ],
    ids=["hangs", "hangs up", "another kind", "nonsense", "refuses"],
)
def test_a_server_that_is_none(tmp_path: Path, answer: bytes | None, words: str) -> None:
    ovsdb._idle.clear()
    with contextlib.closing(Answering(tmp_path / "s", answer)) as none:
        # Who says something has time for it.
        nb, began = Northbound(none.remote, 30 if answer else 1), time.monotonic()
        with pytest.raises(OSError, match=words):
            network.apply([rows.network(ports=1)], nb)
        assert time.monotonic() - began < 5
        if answer:
            for act in (network.plan, network.check, network.delete):
                with pytest.raises(OSError, match=words):
                    act([rows.network(ports=1)], nb)
            with pytest.raises(OSError, match=words):
                network.gc([], "lab", nb)


def test_one_of_several_hangs(
    server: ovn.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another is asked, by all who come, and by those who have a connection to the one."""
    monkeypatch.setattr(ovsdb, "SILENCE_S", 0.2)
    with contextlib.closing(Answering(tmp_path / "s", None)) as none:
        nb, began = Northbound(f"{none.remote},{server.northbound}", 120), time.monotonic()
        network.apply([rows.network()], nb)
        assert 0.4 <= time.monotonic() - began < PATIENCE_S, "long before the time limit"
        assert set(rows.rows(server)) == rows.wanted(rows.network())
        began = time.monotonic()
        ovsdb._idle.clear()
        with monkeypatch.context() as patch:
            patch.setattr(ovsdb, "SILENCE_S", PATIENCE_S)
            network.check([rows.network()], nb)
        assert time.monotonic() - began < PATIENCE_S, "it is not the first to be asked any more"
        # One that answers and then hangs: its idle connection is lent once, and no more.
        server.signal(ovn.NORTHBOUND, signal.SIGSTOP)
        threading.Timer(1, server.signal, (ovn.NORTHBOUND, signal.SIGCONT)).start()
        network.check([rows.network()], nb)


def test_one_that_only_waits_does_not_hang(
    server: ovn.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ovsdb, "SILENCE_S", 1)
    nb = Northbound(f"{server.northbound},unix:/nowhere", 60)
    wanted = [rows.network(ports=1)]
    network.apply(wanted, nb)
    words = ("set", "Logical_Switch_Port", "blue-1", "up=true")
    threading.Timer(4, server.nbctl, words).start()
    lost: list[Any] = []
    turn_away = ovsdb._turn_away
    monkeypatch.setattr(ovsdb, "_turn_away", lambda it: (lost.append(it), turn_away(it)))
    network.apply(wanted, nb, wait_up=True)
    assert lost == []


def test_nobody_listens(tmp_path: Path) -> None:
    nb = Northbound(f"unix:{tmp_path}/none", 1)
    with pytest.raises(OSError, match=r"none: No such file"):
        network.apply([rows.network()], nb)


def test_a_server_without_this_database(server: ovn.Server) -> None:
    nb = rows.nb(server, name="Open_vSwitch")
    with pytest.raises(OSError, match="unknown database"):
        network.apply([rows.network()], nb)


@pytest.fixture
def secured(inside: Any, tmp_path: Path) -> Iterator[tuple[ovn.Server, Path]]:
    """Return a server that listens for TLS on port 6641 of a host, and its certificates."""
    folder = tmp_path / "certificates"
    certificates.make(folder, ovn.debian.tree("ovn"))
    options = ("--remote=pssl:6641:127.0.0.1", *certificates.of_server(folder))
    with contextlib.closing(ovn.Server(*options, host=inside.argv())) as made:
        yield made, folder


def test_tls(secured: tuple[ovn.Server, Path]) -> None:
    server, folder = secured
    remote, wanted = "ssl:127.0.0.1:6641", [rows.network()]
    nb = network.northbound(remote, timeout=60, **certificates.options(folder))
    network.apply(wanted, nb)
    assert set(rows.rows(server)) == rows.wanted(*wanted)
    for who, ca in (("stranger", "ca"), ("client", "stranger")):
        other = network.northbound(remote, timeout=5, **certificates.options(folder, who, ca))
        with pytest.raises(OSError, match="certificate"):
            network.check(wanted, other)
    with pytest.raises(exception.InvalidField, match=r"nb_connection: .*ssl_key_file"):
        network.northbound(remote)


# --- ovn-northd ---


def followed(centre: ovn.Centre) -> set[str]:
    """Return the ports that ovn-northd has told the chassis of."""
    return set(centre.sbctl("--bare", "--columns=logical_port", "list", "Port_Binding").split())


def test_ovn_northd_is_waited_for(centre: ovn.Centre) -> None:
    nb = rows.nb(centre, 30)
    network.apply([rows.network(ports=50)], nb, wait=True)
    assert len(followed(centre)) == 50
    # It is paused, and goes on while it is waited for.
    centre.signal("northd", signal.SIGSTOP)
    timer = threading.Timer(0.3, centre.signal, ("northd", signal.SIGCONT))
    timer.start()
    network.gc([], rows.OWNER, nb, wait=True)
    timer.join()
    assert followed(centre) == set()
    # Somebody else counts, too.
    counting = threading.Thread(target=lambda: centre.nbctl("--wait=sb", "sync"))
    counting.start()
    network.apply([rows.network(ports=3)], nb, wait=True)
    counting.join()
    assert len(followed(centre)) == 3
    centre.end("northd")
    with pytest.raises(OSError, match="ovn-northd has not followed within 1 s"):
        network.delete([rows.network(ports=3)], rows.nb(centre, 1), wait=True)
    assert rows.rows(centre) == {}


# --- a cluster ------------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Iterator[ovn.Cluster]:
    made = ovn.Cluster()
    yield made
    made.close()


def written_while_leaders_die(
    cluster: ovn.Cluster, *, kills: int, writes: int, how: signal.Signals = signal.SIGKILL
) -> float:
    """Write a port at a time while leaders are killed; return how long the longest write took.

    Each write is a network with one port more.  At the end exactly these are there.

    :param how: SIGKILL, or SIGSTOP for one that hangs for a while
    """
    nb = Northbound(",".join(cluster.remotes), 60)
    every = writes // (kills + 1)
    longest = 0.0
    for number in range(1, writes + 1):
        killer = None
        if number % every == 0 and kills:
            kills -= 1
            leader = cluster.leader()
            act = cluster.end if how == signal.SIGKILL else cluster.signal
            killer = threading.Timer(0.001, act, (leader, how))
            killer.start()
        began = time.monotonic()
        network.apply([rows.network("blue", 1, first=number)], nb)
        longest = max(longest, time.monotonic() - began)
        if killer is not None:
            killer.join()
            network.apply([rows.network("blue", 1, first=number)], nb)
            if how == signal.SIGKILL:
                cluster.start_member(leader)
            else:
                cluster.signal(leader, signal.SIGCONT)
            cluster.until_member(leader)
    wanted = [rows.network("blue", writes)]
    for remote in cluster.remotes:
        there = network.list_rows(Northbound(remote, 20), owner=rows.OWNER)
        assert {it.uuid for it in there} == rows.wanted(*wanted)
        assert [it.steps for it in network.check(wanted, Northbound(remote, 20))] == [()]
    return longest


def test_the_leader_dies_while_many_write(cluster: ovn.Cluster) -> None:
    assert written_while_leaders_die(cluster, kills=1, writes=8) < 30


@pytest.mark.long
@pytest.mark.timeout(900)
def test_leaders_die_again_and_again(cluster: ovn.Cluster) -> None:
    assert written_while_leaders_die(cluster, kills=20, writes=200) < 30


@pytest.mark.long
@pytest.mark.timeout(900)
def test_leaders_hang_again_and_again(cluster: ovn.Cluster) -> None:
    longest = written_while_leaders_die(cluster, kills=4, writes=20, how=signal.SIGSTOP)
    assert longest < 2 * ovsdb.SILENCE_S + 30
