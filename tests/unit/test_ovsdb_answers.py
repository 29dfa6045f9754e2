# SPDX-License-Identifier: Apache-2.0
"""Whatever an OVSDB server answers: who reads it gets what it can read, or an error of ours."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from os_vif import exception
from os_vif.engine import planner, steps
from os_vif.engine.observed import Host
from os_vif.host.openvswitch.system import changes, rows
from os_vif.host.ovn.questions import CHILDREN, NAMES, ROWS, Addressed
from os_vif.host.ovn.resources import Absent
from os_vif.host.ovn.system import neighbours
from os_vif.host.ovn.system import rows as of_ovn
from os_vif.system import ovsdb, ovsdb_answers, ovsdb_calls
from os_vif.system import ovsdb_wire as wire
from tests import northbound, vifs

UUID = ["uuid", "d1a9b1f8-31f0-4b8f-8c6e-0c4c4f8d2b11"]
COLUMNS: dict[str, Any] = {
    "_uuid": UUID,
    "name": vifs.tap_name(1),
    "type": "",
    "datapath_type": "netdev",
    "external_ids": ["map", [["iface-id", vifs.vif_id(1)], ["os-vif", "x"]]],
    "options": ["map", []],
    "interfaces": UUID,
    "tag": ["set", []],
    "trunks": ["set", [1, 2]],
    "vlan_mode": "access",
    "qos": UUID,
    "mtu_request": 1500,
    "ingress_policing_rate": 0,
    "ingress_policing_burst": 8,
    "other_config": ["map", [["max-rate", "8000"]]],
    "ofport": 7,
    "error": ["set", []],
    "next_cfg": 3,
    "cur_cfg": 3,
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def well(operation: dict[str, Any], columns: dict[str, Any] = COLUMNS) -> dict[str, Any]:
    """Return what a server might answer."""
    if operation["op"] == "select":
        return {"rows": [{key: copy.deepcopy(columns[key]) for key in operation["columns"]}]}
    return {"uuid": list(UUID)} if operation["op"] == "insert" else {"count": 1}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    for key, item in inner:
        here = (*path, key)
        found += places(item, here) if isinstance(item, dict | list) else [here]
    return found


class Message:
    type = ovsdb.ovs.jsonrpc.Message.T_REPLY
    id = 1
    error = None

    def __init__(self, result: Any) -> None:
        self.result = result


class Server:
    """A connection whose answer of one number is changed at one place."""

    def __init__(self, number: int, data: st.DataObject, columns: dict[str, Any] = COLUMNS) -> None:
        self._columns = columns
        self._left = number
        self._data = data

    def transact(self, operations: Any, _deadline: Any) -> Any:
        results: Any = [well(operation, self._columns) for operation in operations]
        if self._left == 0:
            *before, last = self._data.draw(st.sampled_from(places(results)))
            there = results
            for key in before:
                there = there[key]
            if self._data.draw(st.booleans()):
                there[last] = self._data.draw(ANYTHING)
            else:
                del there[last]
        self._left -= 1
        return ovsdb._results(operations, Message(results), "Open vSwitch 2.6")


@given(st.data(), st.integers(0, 3))
def test_looking_up(data: st.DataObject, number: int) -> None:
    server: Any = Server(number, data)
    name = COLUMNS["name"]
    with contextlib.suppress(ovsdb_calls.OvsdbError):  # and nothing else
        wanted = rows.Wanted(["br0"], [name], [vifs.vif_id(1)], ["os-vif vif=x plugin=ovs"])
        rows._look_up(server, wanted, ovsdb_calls.Deadline(0))
        rows._marked(server, ovsdb_calls.Deadline(0))


OF_OVN: dict[str, Any] = {
    **COLUMNS,
    "addresses": "52:54:00:00:00:01 10.5.0.1",
    "up": ["set", [True]],
    "enabled": ["set", []],
    "cidr": "10.5.0.0/24",
    "ip_prefix": "0.0.0.0/0",
    "nexthop": "10.5.0.1",
    "external_ip": "203.0.113.1",
    "logical_ip": "10.5.0.0/24",
    "logical_port": ["set", []],
    "chassis_name": "h1",
    "priority": 1,
    "networks": ["set", ["10.5.0.1/24", "fd00::1/64"]],
    "mac": "52:54:00:00:00:01",
    "port_security": ["set", []],
    "dhcpv4_options": UUID,
    "dhcpv6_options": ["set", []],
    "ports": UUID,
    "nat": ["set", []],
    "static_routes": ["set", [UUID]],
    "gateway_chassis": UUID,
    "ipv6_ra_configs": ["map", [["mtu", "1442"]]],
    "nb_cfg": 1,
    "sb_cfg": 1,
}


@given(st.data(), st.integers(0, 6))
def test_looking_up_rows_of_ovn(data: st.DataObject, number: int) -> None:
    """What is read is planned on, too; what a row holds may make it anybody's."""
    server: Any = Server(number, data, OF_OVN)
    blue, edge = northbound.network(ports=1), northbound.router()
    doomed = [Absent.of(row) for row in northbound.described(blue, edge)][::-1]
    absent = dataclasses.replace(blue, resources=tuple(doomed))
    with contextlib.suppress(ovsdb_calls.OvsdbError, exception.ExceptionBase):
        for topologies in ([blue, edge], [absent]):
            asked = [item for it in topologies for item in planner.questions(it)]
            wanted = [item.about for item in asked if item.question is ROWS]
            host, deadline = Host(), ovsdb_calls.Deadline(0)
            found = of_ovn.look_up(server, wanted, [], None, deadline)
            host[ROWS].update(found.rows)
            host[NAMES].update(found.names)
            host[CHILDREN].update(found.children)
            before = copy.deepcopy(host)
            for topology in topologies:
                for step in planner.plan_plug(topology, host).steps:
                    change = steps.change(before, step)
                    assert steps.describe(step, change.before)
                    assert steps.tells_drift(step, [step])
        of_ovn.owned("", server, deadline)
        of_ovn.central(server, deadline)
        port = Addressed(UUID[1], UUID[1], ("10.5.0.1",))
        neighbours.look_up([port], server, deadline)


SET = {"tag": 7, "ingress_policing_rate": None, "qos": "linux-htb", "max_rate": 8000}


@given(st.data(), st.integers(0, 2))
def test_committing(data: st.DataObject, number: int) -> None:
    server: Any = Server(number, data)
    port = {"name": COLUMNS["name"], "bridge": "br0", "type": "", "options": {}, "settings": {}}
    added = {**port, "external_ids": {"os-vif": "x"}, "mtu_request": 1500, "attached": True}
    added |= {"bound": True}
    todo = [
        changes.Step("add_port", {**added, "qos_type": None, "qos_row": ""}),
        changes.Step("set_port", {**port, "rows": ["", "", ""], "columns": SET, "why": ""}),
        changes.Step("del_port", {"name": "tap2", "bridge": "br0", "rows": ["", "", ""]}),
    ]
    with contextlib.suppress(ovsdb_calls.OvsdbError):
        done = changes._commit(server, todo, ovsdb_calls.Deadline(0))
        found = changes._await_config(server, done, todo[:1], ovsdb_calls.Deadline(0))
        changes._unattached(todo[:1], found, done.interfaces)


def test_what_is_well_has_no_fault() -> None:
    asked = [wire.select("Port", [], list(COLUMNS)), wire.insert("Port", "x", {})]
    assert ovsdb_answers.fault(asked, [well(it) for it in asked]) == ""
    told = well(asked[0])
    told["rows"][0]["tag"] = "seven" * 40
    words = ovsdb_answers.fault(asked[:1], [told])
    assert words.startswith("tag of a row of Port is 'sevenseven")
    assert len(words) < 100
