# SPDX-License-Identifier: Apache-2.0
"""Whatever an OVSDB server answers: who reads it gets what it can read, or an error of ours."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from os_vif.host.openvswitch.system import changes, rows
from os_vif.system import ovsdb, ovsdb_answers
from tests import vifs

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


def well(operation: dict[str, Any]) -> dict[str, Any]:
    """Return what a server might answer."""
    if operation["op"] == "select":
        return {"rows": [{key: copy.deepcopy(COLUMNS[key]) for key in operation["columns"]}]}
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

    def __init__(self, number: int, data: st.DataObject) -> None:
        self._left = number
        self._data = data

    def transact(self, operations: Any, _deadline: Any) -> Any:
        results: Any = [well(operation) for operation in operations]
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
        return ovsdb._results(operations, Message(results), 1)


@given(st.data(), st.integers(0, 3))
def test_looking_up(data: st.DataObject, number: int) -> None:
    server: Any = Server(number, data)
    name = COLUMNS["name"]
    with contextlib.suppress(ovsdb.OvsdbError):  # and nothing else
        wanted = rows.Wanted(["br0"], [name], [vifs.vif_id(1)], ["os-vif vif=x plugin=ovs"])
        rows._look_up(server, wanted, ovsdb.Deadline(0))
        rows._marked(server, ovsdb.Deadline(0))


@given(st.data(), st.integers(0, 2))
def test_committing(data: st.DataObject, number: int) -> None:
    server: Any = Server(number, data)
    port = {"name": COLUMNS["name"], "bridge": "br0", "type": "", "options": {}, "vlan": {}}
    added = {**port, "external_ids": {"os-vif": "x"}, "mtu_request": 1500, "attached": True}
    todo = [
        changes.Step("add_port", {**added, "qos_type": None, "qos_row": ""}),
        changes.Step("del_port", {"name": "tap2", "bridge": "br0", "rows": ["", "", ""]}),
    ]
    with contextlib.suppress(ovsdb.OvsdbError):
        done = changes._commit(server, todo, ovsdb.Deadline(0))
        found = changes._await_config(server, done, todo[:1], ovsdb.Deadline(0))
        changes._unattached(todo[:1], found, done.interfaces)


def test_what_is_well_has_no_fault() -> None:
    asked = [ovsdb.select("Port", [], list(COLUMNS)), ovsdb.insert("Port", "x", {})]
    assert ovsdb_answers.fault(asked, [well(it) for it in asked]) == ""
    told = well(asked[0])
    told["rows"][0]["tag"] = "seven" * 40
    words = ovsdb_answers.fault(asked[:1], [told])
    assert words.startswith("tag of a row of Port is 'sevenseven")
    assert len(words) < 100
