# SPDX-License-Identifier: Apache-2.0
"""Rows of OVN's Northbound database: what they may hold, and their derived uuids."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from os_vif import network
from os_vif.exception import InvalidField
from os_vif.host.ovn.resources import Northbound, Ref, Row, derived_uuid

SWITCH = derived_uuid("Logical_Switch", "blue")
PORT = derived_uuid("Logical_Switch_Port", "vif-1")
OURS = {"external_ids": {"os-vif": "network=blue", "os-vif-owner": "lab"}}


def row(**other):
    given = {"table": "Logical_Switch", "uuid": SWITCH, "what": "network blue", "keys": OURS}
    return Row(**(given | other))


def port(**other):
    given = {"table": "Logical_Switch_Port", "uuid": PORT, "what": "port tap-anna"}
    return row(**(given | {"parent": ("Logical_Switch", SWITCH, "ports")} | other))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text()), st.lists(st.text()))
def test_two_lists_of_words_have_one_uuid_only_if_they_are_the_same(one, other):
    assert (derived_uuid("NAT", *one) == derived_uuid("NAT", *other)) == (one == other)
    assert str(uuid.UUID(derived_uuid("NAT", *one))) == derived_uuid("NAT", *one)


def test_the_uuid_of_a_thing_never_changes_as_rows_that_are_there_have_it():
    assert derived_uuid("Logical_Switch", "blue") == "3b707846-ace6-5fab-b0d2-7984eec1a864"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"table": "NB_Global"}, "table"),
        ({"table": "Logical_Switch\0"}, "table"),
        ({"uuid": SWITCH.upper()}, "uuid"),
        ({"uuid": f"{SWITCH}\n"}, "uuid"),
        ({"uuid": None}, "uuid"),
        ({"what": "port \x1b[2J"}, "what"),
        ({"columns": {"_uuid": SWITCH}}, "columns"),
        ({"columns": {"Name": "x"}}, "columns"),
        ({"columns": {"name\n": "x"}}, "columns"),
        ({"columns": {"ports": ()}}, "columns"),
        ({"columns": {"external_ids": ()}}, "keys"),
        ({"columns": {"name": "a\0b"}}, "network blue: name"),
        ({"columns": {"name": "\ud800"}}, "network blue: name"),
        ({"columns": {"name": 1.5}}, "network blue: name"),
        ({"columns": {"name": "x" * 70000}}, "network blue: name"),
        ({"columns": {"tag": 2**63}}, "network blue: tag"),
        ({"columns": {"addresses": ("a", None)}}, "network blue: addresses"),
        ({"keys": {}}, "external_ids:os-vif"),
        ({"keys": {"external_ids": {"os-vif": "network=blue"}}}, "owner"),
        ({"keys": {"external_ids": {"os-vif": "x", "os-vif-owner": "two words"}}}, "owner"),
        ({"keys": {**OURS, "options": {"mtu": 1442}}}, "network blue: options:mtu"),
        ({"parent": ("Logical_Router", SWITCH, "ports")}, "parent"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_field(given, field):
    with pytest.raises(InvalidField) as caught:
        row(**given)
    assert caught.value.kwargs["field"] == field


@pytest.mark.parametrize(
    "parent", [None, ("Logical_Switch", "x", "ports"), ("Logical_Router", SWITCH, "ports")]
)
def test_what_is_no_root_says_which_row_refers_to_it(parent):
    assert port().parent
    with pytest.raises(InvalidField, match="parent"):
        port(parent=parent)


def test_a_field_is_called_as_in_the_file_it_comes_from():
    told = row(fields={"name": "networks[0].id", "options:mtu": "networks[0].mtu"})
    names = [told.field("name"), told.field("options", "mtu"), told.field("options", "router")]
    assert names == ["networks[0].id", "networks[0].mtu", "network blue: options:router"]


def test_a_row_tells_whose_it_is():
    assert port(columns={"dhcpv4_options": Ref(uuid=SWITCH)}).owner == "lab"
    with pytest.raises(InvalidField, match="uuid"):
        Ref(uuid="blue")


def test_a_remote_that_cannot_be_is_refused_by_the_option_that_holds_it():
    assert Northbound("unix:/run/ovn/ovnnb_db.sock").name == "OVN_Northbound"
    for told, field in ((("host",), "nb_connection"), (("tcp:[::1]:6641", -1), "timeout")):
        with pytest.raises(InvalidField) as caught:
            Northbound(*told)
        assert caught.value.kwargs["field"] == field


def test_where_the_database_is(monkeypatch):
    monkeypatch.delenv("OVN_NB_DB", raising=False)
    assert network.northbound().remote == "unix:/run/ovn/ovnnb_db.sock"
    assert network.northbound().timeout == 30
    monkeypatch.setenv("OVN_NB_DB", "tcp:192.0.2.1:6641")
    assert network.northbound().remotes == ["tcp:192.0.2.1:6641"]
    files = {name: f"/etc/{name}" for name in ("ssl_key_file", "ssl_cert_file", "ssl_ca_cert_file")}
    told = {"nb_connection": "ssl:192.0.2.2:6641,ssl:192.0.2.3:6641", "timeout": 7, **files}
    for name, value in told.items():
        cfg.CONF.set_override(name, value, network.GROUP)
    try:
        found = network.northbound()
        assert (found.remotes[1], found.timeout) == ("ssl:192.0.2.3:6641", 7)
        assert [found.private_key, found.certificate, found.ca_cert] == list(files.values())
        here = network.northbound("unix:/x", timeout=0, ssl_key_file="/other")
        assert (here.remote, here.timeout, here.private_key) == ("unix:/x", 0, "/other")
    finally:
        for name in told:
            cfg.CONF.clear_override(name, network.GROUP)


def test_so_many_rows_are_so_many_transactions() -> None:
    most = network.ROWS_AT_ONCE
    counted = [network.transactions_of(rows) for rows in (0, 1, most, most + 1)]
    assert counted == [0, 1, 1, 2]
