# SPDX-License-Identifier: Apache-2.0
"""Networks as rows of OVN's Northbound database: planned, applied, checked, taken away."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

import os_vif
from os_vif import exception, network
from os_vif.cli.drift import drifts_in
from os_vif.engine import dispatch, planner, steps
from os_vif.engine.draft import Draft
from os_vif.engine.observed import Host
from os_vif.engine.place import DEFAULT, Place
from os_vif.engine.topology import Topology
from os_vif.host.ovn.questions import ROWS
from os_vif.host.ovn.resources import Row, derived_uuid
from os_vif.host.ovn.rules import RULES
from os_vif.host.ovn.system import guesses, transactions
from os_vif.system import ovsdb
from tests import northbound as rows
from tests import ovn, strangers

pytestmark = pytest.mark.functional

BLUE = derived_uuid("Logical_Switch", "lab-blue")


@pytest.fixture
def server(only_server: ovn.Server) -> ovn.Server:
    """Return the server, with nothing in its database but NB_Global."""
    schema = json.loads(Path(only_server.tree, "usr/share/ovn/ovn-nb.ovsschema").read_text())
    gone = [name for name, it in schema["tables"].items() if it.get("isRoot")]
    gone.remove("NB_Global")
    idle = {"op": "update", "table": "NB_Global", "where": [], "row": {"options": ["map", []]}}
    # What refers to a row must be gone before it.
    for names in (["Logical_Router", "Logical_Switch"], gone):
        deleted = [{"op": "delete", "table": name, "where": []} for name in names]
        answers = strangers.transact(only_server, *deleted, idle)
        assert not [answer for answer in answers if "error" in answer]
    guesses._seen.clear()
    return only_server


def said(found: network.Findings) -> list[str]:
    return [f"{drift.device}: {drift.words}" for drift in drifts_in(found)]


def done(applied: list[network.Applied]) -> int:
    return sum(len(it.steps) for it in applied)


def changed(topology: Topology, at: int, **other: Any) -> Topology:
    """Return a topology with one of its rows otherwise."""
    found = list(topology.resources)
    row = found[at]
    assert isinstance(row, Row)
    if "columns" in other:
        other["columns"] = {**row.columns, **other["columns"]}
    found[at] = dataclasses.replace(row, **other)
    return dataclasses.replace(topology, resources=tuple(found))


# --- apply ----------------------------------------------------------------------------------------


def test_applied_once_and_again(server: ovn.Server) -> None:
    wanted = [rows.network("blue", 3), rows.network("red", 1, first=9), rows.router("edge")]
    nb = rows.nb(server)
    planned = network.plan(wanted, nb)
    assert rows.rows(server) == {}, "a plan writes nothing"
    assert [len(it.steps) for it in planned] == [5, 3, 6]
    assert [it.error for it in planned] == [None] * 3
    words = [steps.describe(step) for step in planned[0].steps]
    assert words[2] == (
        "add port blue-1 to network blue: name=blue-1, "
        "addresses=52:54:00:00:00:01 10.5.0.1, port_security=52:54:00:00:00:01 10.5.0.1, "
        "enabled=true, dhcpv4_options=DHCP of 10.5.0.0/16, "
        'options:hostname="blue-1"'
    )
    applied = network.apply(wanted, nb)
    assert [it.topology for it in applied] == wanted
    assert [it.steps for it in applied] == [it.steps for it in planned]
    there = rows.rows(server)
    assert set(there) == rows.wanted(*wanted)
    assert len(rows.ports(server, BLUE)) == 4
    port = there[derived_uuid("Logical_Switch_Port", "blue-2")]
    assert port["addresses"] == "52:54:00:00:00:02 10.5.0.2"
    assert port["dhcpv4_options"] == [
        "uuid",
        derived_uuid("DHCP_Options", "lab-blue", "10.5.0.0/16"),
    ]
    assert port["enabled"] is True
    assert port["external_ids"] == ["map", [["os-vif", "vif=blue-2"], ["os-vif-owner", "lab"]]]
    asked = there_before(server)
    assert done(network.apply(wanted, nb)) == 0
    found = network.check(wanted, nb)
    assert [(it.steps, it.warnings, it.error) for it in found] == [((), (), None)] * 3
    assert found[0].waiting == ("port blue-1", "port blue-2", "port blue-3")
    assert found[2].waiting == (), "a router's port waits for no host"
    assert there_before(server) == asked, "nothing was written the second time"


def there_before(server: ovn.Server) -> dict[str, Any]:
    return {**strangers.ours(server), **strangers.theirs(server)}


def test_only_what_is_described_is_compared_and_written(server: ovn.Server) -> None:
    nb, wanted = rows.nb(server), [rows.network()]
    network.apply(wanted, nb)
    server.nbctl("lsp-set-options", "blue-1", "requested-chassis=h1", 'hostname="blue-1"')
    server.nbctl("set", "Logical_Switch", "os-vif-lab-blue", "other_config:mcast_snoop=true")
    server.nbctl("set", "Logical_Switch_Port", "blue-1", "external_ids:theirs=x", "tag=7")
    before = there_before(server)
    assert done(network.apply(wanted, nb)) == 0
    assert there_before(server) == before
    # And when a key of the same maps is set, those of others stay.
    server.nbctl("remove", "Logical_Switch_Port", "blue-1", "options", "hostname")
    server.nbctl("set", "Logical_Switch_Port", "blue-1", "external_ids:os-vif-owner=lab")
    assert done(network.apply(wanted, nb)) == 1
    port = rows.rows(server)[derived_uuid("Logical_Switch_Port", "blue-1")]
    assert dict(port["options"][1]) == {"requested-chassis": "h1", "hostname": '"blue-1"'}
    assert dict(port["external_ids"][1])["theirs"] == "x"
    assert port["tag"] == 7


def test_a_key_that_is_not_to_be_there_is_taken_away(server: ovn.Server) -> None:
    nb = rows.nb(server)
    gone = {"options": {"hostname": None}, "external_ids": OURS}
    network.apply([rows.network()], nb)
    wanted = [changed(rows.network(), 2, keys=gone)]
    [found] = network.check(wanted, nb)
    assert said(found) == ['port blue-1: options:hostname should be nothing; is "blue-1"']
    network.apply(wanted, nb)
    port = rows.rows(server)[derived_uuid("Logical_Switch_Port", "blue-1")]
    assert port["options"] == ["map", []]
    assert said(network.check(wanted, nb)[0]) == []


OURS = {"os-vif": "vif=blue-1", "os-vif-owner": "lab"}


def test_each_drift_is_said_and_put_right(server: ovn.Server) -> None:
    nb, wanted = rows.nb(server), [rows.network(), rows.router()]
    network.apply(wanted, nb)
    healthy = rows.told(server)
    server.nbctl("lsp-set-addresses", "blue-1", "unknown")
    server.nbctl("clear", "Logical_Switch_Port", "blue-1", "dhcpv4_options")
    server.nbctl("clear", "Logical_Switch_Port", "blue-2", "external_ids")
    server.nbctl("lsp-del", "os-vif-lab-edge-blue-lsp")
    server.nbctl("set", "Logical_Router", "os-vif-lab-edge", "options:dynamic_neigh_routers=false")
    server.nbctl("set", "Logical_Router_Port", "os-vif-lab-edge-blue", 'networks="10.9.0.1/16"')
    blue, edge = network.check(wanted, nb)
    assert said(blue) == [
        "port blue-1: addresses should be 52:54:00:00:00:01 10.5.0.1; is unknown",
        "port blue-1: dhcpv4_options should be DHCP of 10.5.0.0/16; is nothing",
        "port blue-2: lacks the mark of its owner",
    ]
    assert said(edge) == [
        "router edge: options:dynamic_neigh_routers should be true; is false",
        "Logical_Router_Port of router edge: networks should be 10.5.0.1/16; is 10.9.0.1/16",
        "Logical_Switch_Port of router edge: Logical_Switch_Port is missing",
    ]
    assert done(network.apply(wanted, nb)) == 5
    assert rows.told(server) == healthy


def test_what_anybody_may_have_written_is_told_without_harm(server: ovn.Server) -> None:
    nb, wanted = rows.nb(server), [rows.network("blue", 1), rows.network("red", 1, first=5)]
    network.apply(wanted, nb)
    evil = "\x1b[2J" + "x" * 500
    found = {"op": "update", "table": "Logical_Switch", "where": [["name", "==", "os-vif-lab-red"]]}
    red = {"name": evil, "external_ids": ["map", [[evil, evil]]]}
    port = {"op": "update", "table": "Logical_Switch_Port", "where": [["name", "==", "blue-1"]]}
    strangers.transact(server, {**found, "row": red}, {**port, "row": {"addresses": evil}})
    blue, other = network.check(wanted, nb)
    [words] = said(blue)
    assert words.startswith(
        "port blue-1: addresses should be 52:54:00:00:00:01 10.5.0.1; is '\\x1b[2Jxx"
    )
    assert said(other)[0].startswith("network red: name should be os-vif-lab-red; is '\\x1b[2Jxx")
    assert all(text.isprintable() for it in (blue, other) for text in said(it))
    with pytest.raises(exception.HeldByAnother) as caught:
        network.delete([wanted[1]], nb)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_what_a_router_still_holds_of_an_earlier_description(server: ovn.Server) -> None:
    nb, edge = rows.nb(server), rows.router()
    network.apply([rows.network(), edge], nb)
    server.nbctl("lr-nat-add", "os-vif-lab-edge", "dnat", "203.0.113.77", "10.5.0.77")
    assert [it.warnings for it in network.check([rows.network(), edge], nb)] == [(), ()]
    less = dataclasses.replace(edge, resources=edge.resources[:3])
    [found] = network.check([less], nb)
    assert [(it.device, it.words.partition(", which is")[0]) for it in found.warnings] == [
        ("router edge", "still holds Logical_Router_Static_Route 0.0.0.0/0 10.5.0.254"),
        ("router edge", "still holds NAT snat 203.0.113.9 10.5.0.0/16"),
        ("Logical_Router_Port of router edge", "still holds Gateway_Chassis h1"),
    ]
    assert found.warnings[0].words.endswith("gc for owner lab removes it")
    network.gc([rows.network(), less], "lab", nb)
    assert network.check([less], nb)[0].warnings == ()
    assert "203.0.113.77" in server.nbctl("lr-nat-list", "os-vif-lab-edge"), "it is a stranger's"


def test_two_ports_of_one_address(server: ovn.Server) -> None:
    both = ("52:54:00:00:00:01 10.5.0.1 fd00::1",)
    nb, wanted = rows.nb(server), [rows.network(), rows.network("red", 1, addresses=both)]
    network.apply(wanted, nb)
    assert [it.warnings for it in network.check(wanted, nb)] == [(), ()], "these are two networks"
    server.nbctl("lsp-add", "os-vif-lab-blue", "theirs")
    theirs = "52:54:00:00:00:AA 10.5.0.2 fd00::1"
    server.nbctl("set", "Logical_Switch_Port", "theirs", f'addresses="{theirs}"')
    server.nbctl("lsp-add", "os-vif-lab-blue", "unknown")
    server.nbctl("lsp-set-addresses", "unknown", "unknown")
    blue, red = network.check(wanted, nb)
    assert [(it.device, it.words) for it in blue.warnings] == [
        (
            "port blue-2",
            "shares 10.5.0.2 with another port of its network: "
            "Logical_Switch_Port theirs is not os-vif's (external_ids: none)",
        )
    ]
    assert red.warnings == ()
    assert network.check(wanted, nb, neighbours=False)[0].warnings == ()
    server.nbctl("lsp-add", "os-vif-lab-red", "other")
    server.nbctl("set", "Logical_Switch_Port", "other", 'addresses="52:54:00:00:00:01 FD00:0::1"')
    _blue, red = network.check(wanted, nb)
    assert [it.words.partition(" with")[0] for it in red.warnings] == [
        "shares 52:54:00:00:00:01",
        "shares fd00::1",
    ]


def test_the_same_addresses_in_many_networks(server: ovn.Server, monkeypatch: Any) -> None:
    nb, labels = rows.nb(server), [f"n{number}" for number in range(6)]
    wanted = [rows.network(label, 3) for label in labels]
    network.apply(wanted, nb)
    server.nbctl("lsp-add", "os-vif-lab-n4", "theirs")
    server.nbctl("lsp-set-addresses", "theirs", "52:54:00:00:00:03 10.5.0.77")
    asked: list[Any] = []
    transact = ovsdb.Connection.transact

    def counted(connection: Any, operations: Any, deadline: Any) -> Any:
        asked.extend(operations)
        return transact(connection, operations, deadline)

    monkeypatch.setattr(ovsdb.Connection, "transact", counted)
    found = network.check(wanted, nb)
    beside = len(asked)
    asked.clear()
    network.check(wanted, nb, neighbours=False)
    assert [len(it.warnings) for it in found] == [0, 0, 0, 0, 1, 0]
    assert beside - len(asked) == 1 + len(labels) + 1, "all addresses, the networks, and the one"


def test_half_of_a_network_deleted_by_a_stranger_comes_back_with_the_same_ids(
    server: ovn.Server,
) -> None:
    nb, wanted = rows.nb(server), [rows.network(ports=4), rows.router()]
    network.apply(wanted, nb)
    healthy = rows.told(server)
    server.nbctl("ls-del", "os-vif-lab-blue")
    missing = [drift for it in network.check(wanted, nb) for drift in said(it)]
    assert len(missing) == 6, missing
    assert all("missing" in words or "dhcp" in words for words in missing)
    network.apply(wanted, nb)
    assert rows.told(server) == healthy


def test_a_port_that_moves_is_in_one_network_at_a_time(server: ovn.Server) -> None:
    nb = rows.nb(server)
    network.apply([rows.network("blue"), rows.network("red", 0)], nb)
    red = derived_uuid("Logical_Switch", "lab-red")
    moved = changed(rows.network("blue"), 2, parent=("Logical_Switch", red, "ports"))
    wanted = [rows.network("red", 0), moved]
    [_red, found] = network.check(wanted, nb)
    assert said(found) == ["port blue-1: should be in network red; is in network blue"]
    assert steps.describe(found.steps[0]) == "set port blue-1: move it to network red"
    network.apply(wanted, nb)
    port = derived_uuid("Logical_Switch_Port", "blue-1")
    assert rows.ports(server, red) == {port}
    assert port not in rows.ports(server, BLUE)


def test_what_a_row_is_to_be_in_must_be_there(server: ovn.Server) -> None:
    blue = rows.network()
    alone = dataclasses.replace(blue, resources=blue.resources[2:])
    with pytest.raises(
        exception.UnusableDevice, match=r"port blue-1 .*Logical_Switch .* not there"
    ):
        network.apply([alone], rows.nb(server))
    assert rows.rows(server) == {}


def test_more_rows_than_one_transaction_takes(server: ovn.Server, monkeypatch: Any) -> None:
    monkeypatch.setattr(transactions, "ROWS_AT_ONCE", 10)
    nb, wanted = rows.nb(server), [rows.network(ports=23), rows.router()]
    assert done(network.apply(wanted, nb)) == 31
    assert set(rows.rows(server)) == rows.wanted(*wanted)
    assert done(network.apply(wanted, nb)) == 0
    assert done(network.delete(wanted, nb)) == 31
    assert rows.rows(server) == {}
    # What cannot be written keeps what comes before it, and says so.
    bad = changed(rows.network(ports=23), 22, columns={"tag": 5000})
    words = "could not add port blue-21: .*5000.*; 20 rows before it are done, and applying again"
    with pytest.raises(exception.StepFailed, match=words):
        network.apply([bad, rows.router()], nb)
    assert len(rows.rows(server)) == 20
    assert done(network.apply(wanted, nb)) == 11


def test_the_log_says_what_was_done(server: ovn.Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", "os_vif.engine.journal"):
        network.apply([rows.network(ports=0), rows.router()], rows.nb(server))
    lines = [line.partition(": ")[::2] for line in caplog.messages]
    assert {who for who, _what in lines} == {"network lab-blue", "router lab-edge"}
    assert lines[1][1].startswith("add DHCP of 10.5.0.0/16: cidr=")


def test_what_is_asked(server: ovn.Server, monkeypatch: Any) -> None:
    """One trip to look, one to write; and no port takes longer for the others of its network."""
    trips: list[Any] = []
    transact = ovsdb.Connection.transact

    def counted(connection: Any, operations: Any, deadline: Any) -> Any:
        trips.append(operations)
        return transact(connection, operations, deadline)

    def asked(act: Any) -> list[Any]:
        trips.clear()
        act()
        assert not any("ports" in it.get("columns", ()) for trip in trips for it in trip)
        return list(trips)

    monkeypatch.setattr(ovsdb.Connection, "transact", counted)
    nb = rows.nb(server)
    many, one = [rows.network(ports=30), rows.router()], [rows.network(ports=1)]
    assert len(asked(lambda: network.apply(many, nb))) == 2
    assert len(asked(lambda: network.apply(many, nb))) == 1
    assert len(asked(lambda: network.check(many, nb, neighbours=False))) == 1
    [alone] = asked(lambda: network.check(one, nb, neighbours=False))
    assert len(alone) == len(rows.wanted(*one)) + 1
    look, more, write = asked(lambda: network.apply([rows.network(ports=31)], nb))
    assert (len(look), len(more)) == (33 + 1, 1), "all that are there are asked for at once"
    assert [it["op"] for it in write] == ["insert", "wait", "mutate"]
    look, where, write = asked(lambda: network.delete([rows.network(ports=31), many[1]], nb))
    assert [it["op"] for it in where] == ["select"] * (31 + 5)


@pytest.fixture
def known(server: ovn.Server, monkeypatch: Any) -> list[list[str]]:
    """Return what will be asked, after a network was looked at that has two ports."""
    trips: list[list[str]] = []
    transact = ovsdb.Connection.transact

    def counted(connection: Any, operations: Any, deadline: Any) -> Any:
        trips.append([it["op"] for it in operations])
        return transact(connection, operations, deadline)

    network.apply([rows.network()], rows.nb(server))
    network.check([rows.network()], rows.nb(server))
    monkeypatch.setattr(ovsdb.Connection, "transact", counted)
    return trips


MORE = [rows.network(ports=2, first=11)]
"""Others in the same network."""
LOOK = ["select"] * (2 + 2 + 1)


def test_new_ports_in_a_network_that_is_known(server: ovn.Server, known: Any) -> None:
    """They are made without a look; that all is as it was the transaction says itself."""
    nb = rows.nb(server)
    assert done(network.apply(MORE, nb)) == 2
    assert known == [["wait", "wait", "insert", "insert", "mutate"]]
    assert set(rows.rows(server)) == rows.wanted(rows.network(), *MORE)
    known.clear()
    assert done(network.apply(MORE, nb)) == 0
    assert known == [LOOK], "what was made is not made again"
    network.gc([rows.network()], "lab", nb)
    known.clear()
    network.apply(MORE, nb)
    assert len(known) == 1
    known.clear()
    [found] = network.plan([rows.network(ports=2, first=21)], nb)
    assert len(found.steps) == 2
    assert known[0] == LOOK, "who only tells has looked"


@pytest.mark.parametrize("all_of_them", [True, False])
def test_new_ports_that_somebody_has_made(
    server: ovn.Server, known: Any, all_of_them: bool
) -> None:
    nb, ports = rows.nb(server), 2 if all_of_them else 1
    network.apply([rows.network(ports=ports, first=11)], nb)
    for seen in guesses._seen.values():
        seen.children.clear()  # by another process
    known.clear()
    assert done(network.apply(MORE, nb)) == 2 - ports
    assert known[1] == LOOK
    assert [it.steps for it in network.check(MORE, nb)] == [()]


@pytest.mark.parametrize(
    ("act", "steps"),
    [
        ("set Logical_Switch os-vif-lab-blue other_config:theirs=1", 2),
        ("set Logical_Switch os-vif-lab-blue name=other", 3),
        ("set DHCP_Options {dhcp} options:router=10.5.0.9", 3),
        ("clear Logical_Switch os-vif-lab-blue external_ids", 3),
        ("ls-del os-vif-lab-blue", 3),
    ],
)
def test_a_network_that_is_not_as_it_was(
    server: ovn.Server, known: Any, act: str, steps: int
) -> None:
    nb = rows.nb(server)
    server.nbctl(*act.format(dhcp=derived_uuid("DHCP_Options", "lab-blue", "10.5.0.0/16")).split())
    assert done(network.apply(MORE, nb)) == steps
    assert known[1] == LOOK
    assert [it.steps for it in network.check(MORE, nb)] == [()]
    if "theirs" in act:
        assert "theirs" in server.nbctl("get", "Logical_Switch", "os-vif-lab-blue", "other_config")
    known.clear()
    network.apply([rows.network(ports=1, first=21)], nb)
    network.apply([rows.network(ports=1, first=22)], nb)
    assert [len(trip) for trip in known][-1] == 4, "it is known again"


def test_a_network_that_is_anothers_since(server: ovn.Server, known: Any) -> None:
    nb = rows.nb(server)
    server.nbctl("set", "Logical_Switch", "os-vif-lab-blue", "external_ids:os-vif-owner=other")
    before = there_before(server)
    with pytest.raises(exception.ResourceConflict, match="of owner other"):
        network.apply(MORE, nb)
    assert there_before(server) == before
    server.nbctl("set", "Logical_Switch", "os-vif-lab-blue", "external_ids:os-vif-owner=lab")
    assert done(network.apply(MORE, nb)) == 2, "what it was is not held against anybody"


def test_new_ports_that_are_refused(server: ovn.Server, known: Any) -> None:
    nb, before = rows.nb(server), there_before(server)
    with pytest.raises(exception.StepFailed, match=r"vifs\[11\].vlan: .*5000 is not in the valid"):
        network.apply([rows.network(ports=2, first=11, tag=5000)], nb)
    server.nbctl("ls-add", "theirs", "--", "lsp-add", "theirs", "blue-12")
    with pytest.raises(
        exception.ResourceConflict, match=r"port blue-12 .*name is taken.*in theirs"
    ):
        network.apply(MORE, nb)
    server.nbctl("ls-del", "theirs")
    assert there_before(server) == before


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"tag": 5000}, r"vifs\[1\].vlan: .*5000 is not in the valid range"),
        ({"addresses": (7,)}, r"could not add port blue-1: syntax error: expected string$"),
        ({"no_such_column": "x"}, r"no_such_column is not a valid column name.*OVN 20.03 or later"),
    ],
)
def test_what_the_server_refuses_is_said_with_the_field_and_nothing_is_written(
    server: ovn.Server, columns: dict[str, Any], words: str
) -> None:
    nb = rows.nb(server)
    with pytest.raises((exception.StepFailed, OSError), match=words):
        network.apply([changed(rows.network(), 2, columns=columns)], nb)
    assert rows.rows(server) == {}


def test_a_name_that_another_has(server: ovn.Server) -> None:
    strangers.write(server, "Neutron", followed=False)
    taken = next(row["name"] for row in strangers.theirs(server).values() if row.get("tag") == 200)
    wanted = [changed(rows.network(), 2, columns={"name": taken})]
    before = strangers.theirs(server)
    words = rf"port blue-1 is in the way: .*{taken} is not os-vif's.*in neutron-.*, Neutron's"
    with pytest.raises(exception.ResourceConflict, match=words):
        network.apply(wanted, rows.nb(server))
    [found] = network.plan(wanted, rows.nb(server))
    assert re.search(words, str(found.error))
    assert strangers.theirs(server) == before
    assert strangers.ours(server) == {}


def test_what_a_row_is_to_be_in_must_be_ours(server: ovn.Server) -> None:
    strangers.write(server, "Incus", followed=False)
    before = strangers.theirs(server)
    theirs = next(key.split()[1] for key in before if key.startswith("Logical_Switch "))
    wanted = [changed(rows.network(), 2, parent=("Logical_Switch", theirs, "ports"))]
    for act in (network.plan, network.apply):
        words = "port blue-1 is in the way: it is to be in Logical_Switch incus-"
        with pytest.raises(exception.ResourceConflict, match=words):
            raise next(filter(None, (it.error for it in act(wanted, rows.nb(server)))))
    assert strangers.theirs(server) == before
    assert strangers.ours(server) == {}


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ("os-vif-owner=other", "os-vif's, of owner other"),
        ('"neutron:network_name"=blue', "Neutron's"),
        ("incus_network=blue", "Incus's"),
        ('"k8s.ovn.org/owner-type"=Namespace', "ovn-kubernetes's"),
        ("vendor=kube-ovn", "kube-ovn's"),
    ],
)
def test_a_row_of_another_with_our_uuid(server: ovn.Server, ids: str, words: str) -> None:
    nb, wanted = rows.nb(server), [rows.network()]
    network.apply(wanted, nb)
    server.nbctl("clear", "Logical_Switch", BLUE, "external_ids")
    server.nbctl("set", "Logical_Switch", BLUE, f"external_ids:{ids}")
    server.nbctl("lsp-del", "blue-1")
    before = there_before(server)
    with pytest.raises(exception.ResourceConflict, match=f"network blue is in the way: .*{words}"):
        network.apply(wanted, nb)
    assert there_before(server) == before
    if "owner" in ids:
        words = f"port blue-2 cannot go: it is in Logical_Switch .*{words}"
        with pytest.raises(exception.HeldByAnother, match=words):
            network.delete(wanted, nb)


def test_two_owners_in_one_database(server: ovn.Server) -> None:
    nb = rows.nb(server)
    mine = rows.network("blue", owner="lab")
    theirs = rows.network("green", owner="other", first=7)
    network.apply([mine], nb)
    network.apply([theirs], nb)
    kept = strangers.ours(server)
    gone = network.gc([], "lab", nb)
    assert {it.uuid for it in gone} == rows.wanted(mine)
    assert set(rows.rows(server)) == rows.wanted(theirs)
    assert all(kept[key] == row for key, row in strangers.ours(server).items()), "untouched"


# --- delete and gc --------------------------------------------------------------------------------


def test_delete(server: ovn.Server) -> None:
    nb, wanted = rows.nb(server), [rows.network(), rows.network("red", first=5), rows.router()]
    network.apply(wanted, nb)
    planned = network.plan(wanted, nb, deleting=True)
    assert [len(it.steps) for it in planned] == [4, 4, 6]
    deleted = network.delete(wanted, nb)
    assert [it.steps for it in deleted] == [it.steps for it in planned]
    assert steps.describe(deleted[0].steps[0]) == "delete port blue-2 from network blue"
    assert rows.rows(server) == {}
    assert done(network.delete(wanted, nb)) == 0


def up(server: ovn.Server, *ports: str) -> None:
    for port in ports:
        server.nbctl("set", "Logical_Switch_Port", port, "up=true")


def test_a_port_that_is_plugged_is_not_deleted(server: ovn.Server) -> None:
    nb, wanted = rows.nb(server), [rows.network()]
    network.apply(wanted, nb)
    up(server, "blue-2")
    before = rows.told(server)
    with pytest.raises(exception.HeldByAnother, match="port blue-2 cannot go: it is plugged"):
        network.delete(wanted, nb)
    [found] = network.plan(wanted, nb, deleting=True)
    assert isinstance(found.error, exception.HeldByAnother)
    assert rows.told(server) == before
    assert done(network.delete(wanted, nb, force=True)) == 4


def test_a_router_of_another_file_keeps_its_network(server: ovn.Server) -> None:
    nb, blue, edge = rows.nb(server), rows.network(), rows.router()
    network.apply([blue, edge], nb)
    before = rows.told(server)
    words = "network blue cannot go: .*os-vif-lab-edge-blue-lsp .*router=lab-edge.*gc for owner lab"
    for force in (False, True):
        with pytest.raises(exception.HeldByAnother, match=words):
            network.delete([blue], nb, force=force)
    [found] = network.plan([blue], nb, deleting=True)
    assert re.search(words, str(found.error))
    assert rows.told(server) == before
    network.delete([edge], nb)
    network.delete([blue], nb)
    assert rows.rows(server) == {}


def test_a_strangers_port_in_our_network_is_not_deleted_with_it(server: ovn.Server) -> None:
    nb, blue = rows.nb(server), rows.network()
    network.apply([blue], nb)
    server.nbctl("lsp-add", "os-vif-lab-blue", "theirs")
    before = there_before(server)
    with pytest.raises(exception.HeldByAnother, match=r"network blue cannot go: .*theirs is not"):
        network.delete([blue], nb, force=True)
    with pytest.raises(exception.HeldByAnother):
        network.gc([], "lab", nb)
    assert there_before(server) == before


def test_gc(server: ovn.Server) -> None:
    nb, keep = rows.nb(server), [rows.network(ports=2)]
    network.apply([rows.network(ports=4), rows.network("red", first=9), rows.router()], nb)
    wanted = rows.wanted(*keep)
    assert wanted == rows.wanted(*keep)
    would = network.gc(keep, "lab", nb, dry_run=True)
    assert len(would) == 2 + 4 + 6
    assert set(rows.rows(server)) > wanted
    assert network.gc(keep, "lab", nb) == would
    assert set(rows.rows(server)) == wanted
    assert network.gc(keep, "lab", nb) == []
    assert network.gc([], "nobody", nb) == []
    assert done(network.apply(keep, nb)) == 0
    with pytest.raises(exception.InvalidField, match="owner"):
        network.gc([], "", nb)


def test_gc_leaves_what_is_plugged(server: ovn.Server) -> None:
    nb = rows.nb(server)
    network.apply([rows.network(ports=3)], nb)
    up(server, "blue-2")
    gone = network.gc([], "lab", nb)
    kept = {it.what for it in gone if it.kept}
    assert kept == {
        "Logical_Switch_Port blue-2",
        "Logical_Switch os-vif-lab-blue",
        "DHCP_Options network=lab-blue",
    }
    assert len(rows.rows(server)) == 3
    assert network.gc([], "lab", nb, force=True)
    assert rows.rows(server) == {}


def test_list(server: ovn.Server) -> None:
    nb = rows.nb(server)
    network.apply([rows.network(ports=1), rows.router()], nb)
    network.apply([rows.network("red", 0, owner="other")], nb)
    strangers.write(server, followed=False)
    up(server, "blue-1")
    found = network.list_rows(nb, owner="lab")
    assert {it.uuid for it in found} == rows.wanted(rows.network(ports=1), rows.router())
    by_name = {it.what: it for it in found}
    port = by_name["Logical_Switch_Port blue-1"]
    assert (port.up, port.mark, port.owner) == (True, "vif=blue-1", "lab")
    assert port.parent == ("Logical_Switch", BLUE, "ports")
    assert port.columns["addresses"] == ["52:54:00:00:00:01 10.5.0.1"]
    assert by_name["Logical_Switch_Port os-vif-lab-edge-blue-lsp"].up is None
    assert by_name["Gateway_Chassis lab-edge-h1"].parent
    every = network.list_rows(nb)
    assert {it.owner for it in every} == {"lab", "other"}
    assert len(every) == len(found) + 2


# --- strangers ------------------------------------------------------------------------------------


def test_what_others_keep_is_as_it_was_after_each_verb(server: ovn.Server) -> None:
    nb = rows.nb(server)
    strangers.write(server, followed=False)
    before = strangers.theirs(server)
    wanted = [rows.network(ports=5), rows.router()]
    network.apply(wanted, nb)
    assert strangers.theirs(server) == before
    server.nbctl("lsp-set-addresses", "blue-1", "unknown")
    network.apply(wanted, nb)
    network.check(wanted, nb)
    network.place("blue-1", ["h1"], nb)
    network.gc([rows.network(ports=2)], "lab", nb, force=True)
    assert strangers.theirs(server) == before
    network.apply(wanted, nb)
    network.delete(wanted, nb)
    assert strangers.theirs(server) == before
    assert strangers.ours(server) == {}


# --- place ----------------------------------------------------------------------------------------


def options(server: ovn.Server, port: str = "blue-1") -> dict[str, str]:
    row = rows.rows(server, "Logical_Switch_Port")[derived_uuid("Logical_Switch_Port", port)]
    return dict(row["options"][1])


def runs(server: ovn.Server, version: str) -> None:
    server.nbctl("set", "NB_Global", ".", f'options:northd_internal_version="{version}"')


def test_place(server: ovn.Server) -> None:
    nb, wanted = rows.nb(server), [rows.network()]
    network.apply(wanted, nb)
    own = {"hostname": '"blue-1"'}
    runs(server, "23.03.1-20.27.0-70.6")
    assert len(network.place("blue-1", ["h1", "h2"], nb, activation="rarp")) == 1
    moving = {**own, "requested-chassis": "h1,h2", "activation-strategy": "rarp"}
    assert options(server) == moving
    assert network.place("blue-1", ["h1", "h2"], nb, activation="rarp") == []
    assert done(network.apply(wanted, nb)) == 0, "it is not apply's"
    assert options(server) == moving
    network.place("blue-1", ["h2"], nb)
    assert options(server) == {**own, "requested-chassis": "h2"}
    network.place("blue-1", [], nb)
    assert options(server) == own
    with pytest.raises(exception.UnusableDevice, match=r"port nix .*no logical port"):
        network.place("nix", ["h1"], nb)


@pytest.mark.parametrize(
    ("version", "activation", "refused"),
    [
        ("22.03.1-20.21.0-58.3", "", "22.06; this is 22.03"),
        ("22.06.0-20.23.0-63.0", "rarp", "22.09 with rarp; this is 22.06"),
        ("22.06.0-20.23.0-63.0", "", ""),
        ("22.09.0-20.24.0-65.2", "rarp", ""),
        ("nonsense", "rarp", ""),
    ],
)
def test_two_chassis_need_an_ovn_that_can(
    server: ovn.Server, version: str, activation: str, refused: str
) -> None:
    nb = rows.nb(server)
    network.apply([rows.network()], nb)
    runs(server, version)
    if not refused:
        assert network.place("blue-1", ["h1", "h2"], nb, activation=activation)
        return
    with pytest.raises(exception.UnusableDevice, match=refused):
        network.place("blue-1", ["h1", "h2"], nb, activation=activation)
    assert "requested-chassis" not in options(server)
    assert network.place("blue-1", ["h2"], nb), "one is as ever"


@pytest.mark.parametrize(
    ("chassis", "activation", "field"),
    [
        (["h1,h2"], "", "chassis"),
        (["h 1"], "", "chassis"),
        ([""], "", "chassis"),
        (["h1", "h1"], "", "chassis"),
        (["h1", "h2", "h3"], "", "chassis"),
        (["h1"], "rarp", "activation_strategy"),
        (["h1", "h2"], "garp", "activation_strategy"),
    ],
)
def test_a_place_that_cannot_be(chassis: list[str], activation: str, field: str) -> None:
    with pytest.raises(exception.InvalidField) as caught:
        network.place("blue-1", chassis, rows.Northbound("unix:/nowhere"), activation=activation)
    assert caught.value.kwargs["field"] == field


def test_a_strangers_port_is_not_placed(server: ovn.Server) -> None:
    strangers.write(server, "kube-ovn", followed=False)
    before = strangers.theirs(server)
    with pytest.raises(exception.ResourceConflict, match=r"web\.default is kube-ovn's"):
        network.place("web.default", ["h1"], rows.nb(server))
    assert strangers.theirs(server) == before


# --- waiting --------------------------------------------------------------------------------------


def test_nobody_follows(server: ovn.Server) -> None:
    nb, wanted = rows.nb(server, 1), [rows.network()]
    with pytest.raises(OSError, match=r"ovn-northd has not followed within 1 s .*rows are there"):
        network.apply(wanted, nb, wait=True)
    with pytest.raises(OSError, match=r"plugged on no host within 1 s: port blue-1, port blue-2"):
        network.apply(wanted, nb, wait_up=True)
    assert set(rows.rows(server)) == rows.wanted(*wanted)


def test_nb_cfg_is_counted_only_to_be_waited_for(server: ovn.Server) -> None:
    def count() -> int:
        return int(server.nbctl("get", "NB_Global", ".", "nb_cfg"))

    nb, wanted, before = rows.nb(server, 1), [rows.network()], count()
    network.apply(wanted, nb)
    assert count() == before
    server.nbctl("set", "NB_Global", ".", f"sb_cfg={before + 1}")
    network.delete(wanted, nb, wait=True)
    assert count() == before + 1
    network.apply([], nb, wait=True)
    assert count() == before + 1, "nothing was written"
    up_later = [rows.network(ports=1)]
    network.apply(up_later, nb)
    up(server, "blue-1")
    network.apply(up_later, nb, wait_up=True)
    disabled = [changed(rows.network(ports=2), 3, columns={"enabled": False})]
    network.apply(disabled, nb, wait_up=True)


@pytest.mark.parametrize(("timeout", "least_s"), [(100, 90), (0, 10**5)])
def test_the_server_waits_as_long_as_the_call_may_take(
    server: ovn.Server, monkeypatch: Any, timeout: int, least_s: int
) -> None:
    wanted = [rows.network(ports=1)]
    network.apply(wanted, rows.nb(server))
    up(server, "blue-1")
    asked: list[Any] = []
    transact = ovsdb.Connection.transact

    def counted(connection: Any, operations: Any, deadline: Any) -> Any:
        asked.extend(operations)
        return transact(connection, operations, deadline)

    monkeypatch.setattr(ovsdb.Connection, "transact", counted)
    network.apply(wanted, rows.nb(server, timeout), wait_up=True)
    assert asked[-1]["op"] == "wait"
    assert asked[-1]["timeout"] > least_s * 1000


# --- apart from plugging --------------------------------------------------------------------------


def test_who_plugs_never_asks(server: ovn.Server, monkeypatch: Any) -> None:
    network.apply([rows.network()], rows.nb(server))

    asked: list[str] = []
    connect = ovsdb._connect

    def connecting(database: Any, *arguments: Any, **more: Any) -> Any:
        asked.append(database.name)
        return connect(database, *arguments, **more)

    monkeypatch.setattr(ovsdb, "_connect", connecting)
    ovsdb._idle.clear()
    network.northbound()  # it brings its options
    cfg.CONF.set_override("nb_connection", server.northbound, network.GROUP)
    try:
        os_vif.initialize()
        assert os_vif.list_vifs("blue-1") == []
        assert os_vif.gc(["blue-1"], dry_run=True) == []
        assert set(asked) <= {"Open_vSwitch"}
        network.check([], None)
        network.check([rows.network()], None)
        assert asked[-1] == "OVN_Northbound"
    finally:
        cfg.CONF.clear_override("nb_connection", network.GROUP)


def test_no_daemon_runs_such_a_step(server: ovn.Server) -> None:
    [found] = network.plan([rows.network()], rows.nb(server))
    for step in found.steps:
        with pytest.raises(exception.InvalidField):
            steps.checked(step.kind, step.args)


# --- somebody is faster, between the look and the transaction -------------------------------------


@pytest.fixture
def just_before(monkeypatch: Any) -> Iterator[Any]:
    """Return what has something done once, after all was looked at and before it is written."""
    commit, todo = transactions._commit, []

    def later(*arguments: Any, **more: Any) -> None:
        if todo:
            todo.pop()()
        commit(*arguments, **more)

    monkeypatch.setattr(transactions, "_commit", later)
    yield todo.append
    assert todo == [], "nothing was written"


def test_faster_with_the_same(server: ovn.Server, just_before: Any) -> None:
    nb, wanted = rows.nb(server), [rows.network(), rows.router()]
    just_before(lambda: network.apply(wanted, nb))
    assert done(network.apply(wanted, nb)) == 0
    just_before(lambda: network.delete(wanted, nb))
    assert done(network.delete(wanted, nb)) == 0


def test_faster_with_a_part(server: ovn.Server, just_before: Any) -> None:
    nb = rows.nb(server)
    just_before(lambda: network.apply([rows.network(ports=1)], nb))
    wanted = [rows.network(ports=3)]
    assert done(network.apply(wanted, nb)) == 2
    assert set(rows.rows(server)) == rows.wanted(*wanted)


def test_the_network_is_gone_when_a_port_is_written(server: ovn.Server, just_before: Any) -> None:
    nb, wanted = rows.nb(server), [rows.network()]
    network.apply(wanted, nb)
    server.nbctl("lsp-del", "blue-2")
    just_before(lambda: server.nbctl("ls-del", "os-vif-lab-blue"))
    network.apply(wanted, nb)
    assert [it.steps for it in network.check(wanted, nb)] == [()]
    assert set(rows.rows(server)) == rows.wanted(*wanted)


@pytest.mark.parametrize("which", ["Logical_Switch", "Logical_Switch_Port"])
def test_a_row_is_anothers_when_it_is_written(
    server: ovn.Server, just_before: Any, which: str
) -> None:
    nb, wanted = rows.nb(server), [rows.network()]
    network.apply(wanted, nb)
    row = {"Logical_Switch": "os-vif-lab-blue", "Logical_Switch_Port": "blue-1"}[which]
    server.nbctl("lsp-set-addresses", "blue-1", "unknown")
    server.nbctl("lsp-del", "blue-2")
    seen: list[Any] = []

    def take() -> None:
        server.nbctl("set", which, row, "external_ids:os-vif-owner=other")
        seen.append(there_before(server))

    just_before(take)
    with pytest.raises(exception.ResourceConflict, match="of owner other"):
        network.apply(wanted, nb)
    assert there_before(server) == seen[0]
    seen.clear()
    server.nbctl("set", which, row, "external_ids:os-vif-owner=lab")
    just_before(take)
    with contextlib.suppress(exception.HeldByAnother):
        network.delete(wanted, nb)
    assert {key: it for key, it in there_before(server).items() if row in str(it)}


def test_a_row_without_mark_is_anothers_when_it_is_written(
    server: ovn.Server, just_before: Any
) -> None:
    nb, wanted = rows.nb(server), [rows.network()]
    network.apply(wanted, nb)
    server.nbctl("clear", "Logical_Switch_Port", "blue-1", "external_ids")
    ids = 'external_ids:"neutron:port_name"=web'
    just_before(lambda: server.nbctl("set", "Logical_Switch_Port", "blue-1", ids))
    with pytest.raises(exception.ResourceConflict, match=r"port blue-1 .*Neutron's"):
        network.apply(wanted, nb)
    port = rows.rows(server)[derived_uuid("Logical_Switch_Port", "blue-1")]
    assert port["external_ids"] == ["map", [["neutron:port_name", "web"]]]


def test_a_port_is_plugged_when_it_is_deleted(server: ovn.Server, just_before: Any) -> None:
    nb, wanted = rows.nb(server), [rows.network()]
    network.apply(wanted, nb)
    just_before(lambda: up(server, "blue-2"))
    with pytest.raises(exception.HeldByAnother, match="port blue-2 cannot go: it is plugged"):
        network.delete(wanted, nb)
    assert set(rows.rows(server)) == rows.wanted(*wanted)


def test_a_stranger_comes_when_a_network_is_deleted(server: ovn.Server, just_before: Any) -> None:
    nb, wanted = rows.nb(server), [rows.network()]
    network.apply(wanted, nb)
    just_before(lambda: server.nbctl("lsp-add", "os-vif-lab-blue", "theirs"))
    with pytest.raises(exception.HeldByAnother, match=r"network blue cannot go: .*theirs"):
        network.delete(wanted, nb)
    assert set(rows.rows(server)) > rows.wanted(*wanted)


def test_a_name_is_taken_when_it_is_written(server: ovn.Server, just_before: Any) -> None:
    nb = rows.nb(server)
    just_before(lambda: server.nbctl("ls-add", "theirs", "--", "lsp-add", "theirs", "blue-2"))
    with pytest.raises(exception.ResourceConflict, match=r"port blue-2 .*name is taken.*in theirs"):
        network.apply([rows.network()], nb)
    assert strangers.ours(server) == {}


def test_two_rows_of_a_call_that_want_one_name(server: ovn.Server) -> None:
    twice = changed(rows.network(), 3, columns={"name": "blue-1"})
    words = "port blue-2 is in the way: its name is taken: Logical_Switch_Port blue-1"
    with pytest.raises(exception.ResourceConflict, match=words):
        network.apply([twice], rows.nb(server))
    assert rows.rows(server) == {}
    [found] = network.plan([twice], rows.nb(server))
    assert re.search(words, str(found.error))


# --- whatever was there before --------------------------------------------------------------------

NETWORKS = st.builds(
    rows.network,
    st.sampled_from(["blue", "red"]),
    st.integers(0, 3),
    first=st.integers(1, 3),
    enabled=st.booleans(),
    tag=st.sampled_from([(), 7]),
    addresses=st.sampled_from([(), ("unknown",), ("52:54:00:00:00:07", "unknown")]),
)


@st.composite
def files(draw: st.DrawFn) -> list[Topology]:
    """Return networks of two labels, and maybe a router that is in all of them."""
    found = draw(st.lists(NETWORKS, max_size=2, unique_by=lambda it: it.mark.vif_id))
    labels = [it.mark.vif_id.removeprefix("lab-") for it in found]
    with_router = bool(labels) and draw(st.booleans())
    return [*found, *([rows.router("edge", labels)] if with_router else [])]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=files(), after=files())
def test_one_file_after_another(
    server: ovn.Server, before: list[Topology], after: list[Topology]
) -> None:
    """What the second wants, with gc, is what it makes of an empty database."""
    nb = rows.nb(server)
    network.apply(after, nb)
    wanted = rows.told(server)
    network.gc([], "lab", nb)
    assert rows.rows(server) == {}
    network.apply(before, nb)
    network.apply(after, nb)
    network.gc(after, "lab", nb)
    assert rows.told(server) == wanted
    assert [it.steps for it in network.check(after, nb)] == [()] * len(after)
    network.delete(after, nb)
    assert rows.rows(server) == {}


def looked_at(topologies: list[Topology], nb: Any) -> Host:
    asked = {item for it in topologies for item in planner.questions(it)}
    return dispatch.observe(asked, Place(DEFAULT, nb), with_daemon=False)


def as_told(host: Host) -> dict[str, Any]:
    """Return rows without what no description has, and sets in one order."""
    told: dict[str, Any] = {}
    for uuid, row in host[ROWS].items():
        columns = row.columns if row is not None else {}
        told[uuid] = row and {
            "parents": {it[:3] for it in row.parents},
            **{
                name: sorted(it, key=repr) if isinstance(it, list) else it
                for name, it in columns.items()
            },
        }
        for name in ("up", "type", "name") if row else ():
            told[uuid].pop(name, None)
    return told


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=files(), after=files())
def test_the_model_is_what_becomes_of_it(
    server: ovn.Server, before: list[Topology], after: list[Topology]
) -> None:
    nb = rows.nb(server)
    network.gc([], "lab", nb)
    network.apply(before, nb)
    model = looked_at(after, nb)
    todo = [step for it in after for step in planner.plan_plug(it, model).steps]
    assert done(network.apply(after, nb)) == len(todo)
    assert as_told(looked_at(after, nb)) == as_told(model)
    network.gc(after, "lab", nb)
    # And of a plan that nothing becomes of, nothing is left on the model.
    absent = [network._without(it, force=False) for it in reversed(after)]
    model = looked_at(absent, nb)
    told = as_told(model)
    drafts = [Draft(it, model, undoable=True) for it in absent]
    for draft in drafts:
        for resource in draft.topology.resources:
            RULES[type(resource)].plug(draft, resource)
    assert not any(as_told(model).values())
    for draft in reversed(drafts):
        draft.abandon()
    assert as_told(model) == told
