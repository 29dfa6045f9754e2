# SPDX-License-Identifier: Apache-2.0
"""What ovs-vsctl sees of the switch; none of it is our own OVSDB code."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from os_vif import exception
from tests import vifs_ovs, witness
from tests.openvswitch import Switch

_COLUMNS = {
    "Bridge": ("_uuid", "name", "datapath_type", "external_ids", "ports", "fail_mode"),
    "Port": ("_uuid", "name", "interfaces", "tag", "vlan_mode", "trunks", "qos", "external_ids"),
    "Interface": (
        "_uuid",
        "name",
        "type",
        "options",
        "external_ids",
        "mtu",
        "mtu_request",
        "mac_in_use",
        "ofport",
        "error",
    ),
    "QoS": ("_uuid", "type", "queues", "other_config"),
}

MARK_KEY = "os-vif"

Rows = dict[str, dict[str, Any]]
Tables = dict[str, list[dict[str, Any]]]


def _plain(value: Any) -> Any:
    """Return a value of OVSDB's JSON (RFC 7047, 5.1) as Python has it."""
    if isinstance(value, list) and len(value) == 2:
        kind, content = value
        if kind == "map":
            return dict(content)
        if kind == "set":
            return [_plain(item) for item in content]
        if kind == "uuid":
            return content
    return value


def rows(said: str) -> list[dict[str, Any]]:
    """Return the rows of what OVSDB's programs print with ``--format=json``."""
    table = json.loads(said)
    return [dict(zip(table["headings"], map(_plain, row), strict=True)) for row in table["data"]]


def _tables(switch: Switch) -> Tables:
    asked: list[str] = []
    for table, columns in _COLUMNS.items():
        asked += ["--", f"--columns={','.join(columns)}", "list", table]
    said = switch.vsctl("--no-wait", "--format=json", *asked[1:])
    return {table: rows(line) for table, line in zip(_COLUMNS, said.splitlines(), strict=True)}


def interface(switch: Switch, name: str) -> dict[str, Any] | None:
    """Return an interface with the columns of its port, and the names of bridge and QoS type."""
    return interfaces(switch).get(name)


def interfaces(switch: Switch) -> Rows:
    """Return all of them by name, those of bridges' own ports left out."""
    return _interfaces(_tables(switch))


def _interfaces(tables: Tables) -> Rows:
    by_uuid = {row["_uuid"]: row for row in tables["Interface"]}
    found = {}
    bridges = {row["name"] for row in tables["Bridge"]}
    for port in tables["Port"]:
        if port["name"] in bridges:
            continue
        row = by_uuid[port["interfaces"]]
        [bridge] = [
            item["name"] for item in tables["Bridge"] if port["_uuid"] in _many(item["ports"])
        ]
        types = [item["type"] for item in tables["QoS"] if item["_uuid"] == port["qos"]]
        found[row["name"]] = {
            **row,
            "bridge": bridge,
            "tag": port["tag"],
            "vlan_mode": port["vlan_mode"],
            "trunks": port["trunks"],
            "qos": types[0] if types else None,
            "attached": isinstance(row["ofport"], int) and row["ofport"] > 0,
        }
    return found


def ids(switch: Switch, name: str) -> dict[str, str]:
    """Return an interface's external_ids without our own mark, and the guest's name beside it."""
    row = interface(switch, name)
    assert row is not None, f"no port {name}"
    ours = (MARK_KEY, f"{MARK_KEY}-guest")
    return {key: value for key, value in row["external_ids"].items() if key not in ours}


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def bridges(switch: Switch) -> Rows:
    """Return the bridges by name."""
    return {row["name"]: row for row in _tables(switch)["Bridge"]}


def qos_rows(switch: Switch) -> list[str]:
    """Return the type of each row of table QoS, of a port's or left over."""
    return sorted(row["type"] for row in _tables(switch)["QoS"])


_CHOSEN = "52:54:00"
"""How the MACs of :mod:`tests.vifs` begin; others are the kernel's or Open vSwitch's choice."""


def _without_random_mac(row: dict[str, Any], key: str) -> dict[str, Any]:
    return row if str(row.get(key, "")).startswith(_CHOSEN) else {**row, key: "random"}


def snapshot(switch: Switch) -> dict[str, Any]:
    """Return the switch and the host, without what a port gets anew each time it is made."""
    host = witness.snapshot()
    tables = _tables(switch)
    return {
        **host,
        "links": [_without_random_mac(link, "address") for link in host["links"]],
        "switch": {
            "bridges": {
                row["name"]: {
                    key: row[key] for key in ("datapath_type", "external_ids", "fail_mode")
                }
                for row in tables["Bridge"]
            },
            "interfaces": {
                name: {
                    key: value
                    for key, value in _without_random_mac(row, "mac_in_use").items()
                    if key not in ("_uuid", "ofport")
                }
                for name, row in _interfaces(tables).items()
            },
            "qos": sorted(row["type"] for row in tables["QoS"]),
        },
    }


@contextlib.contextmanager
def refused(switch: Switch, words: str) -> Iterator[None]:
    """Expect plugging to fail with these words, and host and switch to be as they were."""
    before = snapshot(switch)
    with pytest.raises(exception.PlugException, match=words) as caught:
        yield
    assert isinstance(caught.value.__cause__, exception.ExceptionBase), repr(caught.value)
    assert witness.differences(before, snapshot(switch)) == []


def assert_only_bridges(switch: Switch, *names: str) -> None:
    """Fail unless these bridges, without ports, are all that is on the switch and the host."""
    assert sorted(bridges(switch)) == sorted(names)
    assert interfaces(switch) == {}
    assert qos_rows(switch) == []
    own = {*names, "ovs-netdev", "lo"}
    assert [link["ifname"] for link in witness.ask("link show") if link["ifname"] not in own] == []


def make_bridge(switch: Switch, name: str = vifs_ovs.BRIDGE) -> None:
    """Add a bridge as the network's agent does."""
    switch.vsctl("add-br", name, "--", "set", "Bridge", name, "datapath_type=netdev")
