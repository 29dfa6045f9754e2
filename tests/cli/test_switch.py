# SPDX-License-Identifier: Apache-2.0
"""The command and a real Open vSwitch: where it looks for one, and what it shows of one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import OsVif
from tests.openvswitch import Switch

pytestmark = pytest.mark.functional

ID = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
PORT = (
    f"type: openvswitch\nbridge: br-int\ndatapath: netdev\nname: tap0\nid: {ID}\n"
    "mac: 52:54:00:12:34:56\n"
)
HYBRID = (
    "type: openvswitch-hybrid\nbridge: br-int\ndatapath: netdev\n"
    "id: b679325f-ca89-4ee0-a8be-6db1409b69ea\nmac: 52:54:00:12:34:57\n"
)
DEVICES = ["qbrb679325f-ca", "qvbb679325f-ca", "qvob679325f-ca"]


@pytest.fixture
def switch(osvif: OsVif, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switch]:
    """Return a switch on the command's host, where the command finds it by itself."""
    running = Switch(osvif.host, tcp=True)
    from tests.cli import conftest

    monkeypatch.setitem(conftest.ENVIRONMENT, "OVS_RUNDIR", str(running.folder))
    yield running
    running.close()


def test_from_nothing_to_nothing(osvif: OsVif, switch: Switch) -> None:
    files = osvif.file(PORT, "port.yaml"), osvif.file(HYBRID, "hybrid.yaml")
    plugged = osvif.json("plug", *files)["vifs"]
    assert [vif["state"] for vif in plugged] == ["plugged", "plugged"]
    assert [vif["devices"] for vif in plugged] == [["tap0"], DEVICES]
    assert int(switch.get("Interface", "tap0", "ofport")) > 0
    again = osvif.json("plug", *files)["vifs"]
    assert [vif["state"] for vif in again] == ["already_plugged"] * 2
    gone = osvif.json("unplug", *files)["vifs"]
    assert [vif["devices"] for vif in gone] == [["tap0"], DEVICES]
    assert [vif["state"] for vif in gone] == ["unplugged", "unplugged"]
    assert [vif["state"] for vif in osvif.json("unplug", *files)["vifs"]] == ["not_plugged"] * 2
    assert switch.vsctl("list-ports", "br-int") == ""


def test_confined_as_the_units_for_boot_are(osvif: OsVif, switch: Switch) -> None:
    osvif("install", "--root", "root", "--prefix", "/")
    units = osvif.folder / "root/lib/systemd/system"
    files = osvif.file(PORT, "port.yaml"), osvif.file(HYBRID, "hybrid.yaml")
    assert "2 plugged" in osvif.confined(str(units / "os-vif.service"), "plug", *files).stdout
    assert int(switch.get("Interface", "tap0", "ofport")) > 0
    said = osvif.confined(str(units / "os-vif-check.service"), "check", *files).stdout
    assert said.count("healthy") == 2


def test_list_tells_ports(osvif: OsVif, switch: Switch) -> None:
    osvif("plug", osvif.file(PORT))
    [vif] = osvif.json("list")["vifs"]
    [port] = vif["ports"]
    ofport = int(switch.get("Interface", "tap0", "ofport"))
    assert port == {
        "name": "tap0",
        "bridge": "br-int",
        "type": "",
        "iface_id": ID,
        "ofport": ofport,
        "error": None,
        "bound": False,
    }
    assert (vif["state"], vif["bridges"], vif["plugin"]) == ("up", [], "ovs")
    assert "tap0 on br-int" in osvif("list").stdout
    assert "BOUND" not in osvif("list").stdout
    switch.vsctl("set", "Interface", "tap0", "external_ids:ovn-installed=true")
    osvif("plug", osvif.file("type: tap\nname: tap1\nmac: 52:54:00:12:34:57\n", "other.yaml"))
    for words in (["-v"], ["-o", "wide"]):
        titles, *rows = (line.split() for line in osvif("list", *words).stdout.splitlines())
        at = titles.index("BOUND")
        assert sorted(row[at] for row in rows) == ["-", "yes"]


def test_doctor_names_what_mends(osvif: OsVif, switch: Switch, tmp_path: Path) -> None:
    said = osvif("doctor", "ovn", code=3).stdout
    assert re.search("^wrong  br-int +there is no such bridge", said, re.MULTILINE)
    assert "\n       ovs-vsctl add-br br-int -- set Bridge br-int fail-mode=secure\n" in said
    found = osvif.json("doctor", "ovn", code=3)["findings"]
    assert next(it["about"] for it in found if not it["well"]) == "system-id"
    assert "'ovm' cannot be examined; expected one of ovn" in osvif("doctor", "ovm", code=2).stderr
    said = osvif("doctor", "ovn", "--ovsdb", f"unix:{tmp_path}/none", code=1).stderr
    assert f"{tmp_path}/none: No such file or directory" in said


def test_a_port_with_an_error_is_told_and_drawn(osvif: OsVif, switch: Switch) -> None:
    waiting = osvif.file(PORT + "create_tap: false\n")
    osvif("plug", waiting)
    [vif] = osvif.json("list")["vifs"]
    assert vif["state"] == "port_error"
    assert "No such device" in vif["ports"][0]["error"]
    assert "port error" in osvif("list").stdout
    drawn = osvif("show").stdout
    assert "! could not open network device tap0 (No such device)" in drawn
    assert "╎" in drawn


def test_a_bridge_of_its_own_is_shown_and_collected(osvif: OsVif, switch: Switch) -> None:
    osvif("plug", "--set", "ovs.per_port_bridge=true", osvif.file(PORT))
    own = f"pb{ID[:12]}"
    [vif] = osvif.json("list")["vifs"]
    assert vif["bridges"] == [own]
    assert [port["bridge"] for port in vif["ports"]].count(own) == 2
    parts = {part["key"]: part for part in osvif.json("show", "tap0")["parts"]}
    way = ["tap0", own, f"pbp{ID}", f"ibp{ID}", "br-int"]
    assert [parts[key]["below"] for key in way] == [*way[1:], None]
    assert parts[own]["kind"] == "switch"
    removed = osvif.json("gc", "--keep-none", "--yes")["removed"]
    assert [vif["id"] for vif in removed] == [ID]
    assert switch.vsctl("list-br") == "br-int\n"
    assert switch.vsctl("list-ports", "br-int") == ""
    assert "tap0" not in osvif.host.links()


def test_a_hybrid_is_drawn_as_it_is(osvif: OsVif, switch: Switch) -> None:
    osvif("plug", osvif.file(HYBRID))
    parts = {part["key"]: part for part in osvif.json("show", "qvob679325f-ca")["parts"]}
    [guest] = [part for part in parts.values() if part["kind"] == "guest"]
    assert guest["below"] == DEVICES[0]
    assert [parts[key]["below"] for key in DEVICES] == [*DEVICES[1:], "br-int"]
    assert not any(part["faults"] for part in parts.values())


def test_gc_keeps_what_it_is_told_to(osvif: OsVif, switch: Switch) -> None:
    port, hybrid = osvif.file(PORT, "port.yaml"), osvif.file(HYBRID, "hybrid.yaml")
    osvif("plug", port, hybrid)
    said = osvif("gc", "--keep", port, "--yes").stdout
    assert "qvob679325f-ca on br-int" in said
    assert switch.vsctl("list-ports", "br-int") == "tap0\n"
    assert osvif("check", port).stdout.startswith("healthy")


def test_what_check_finds_is_what_plug_repairs(osvif: OsVif, switch: Switch) -> None:
    name = osvif.file(PORT)
    osvif("plug", name)
    switch.vsctl("add-br", "br-old", "--", "set", "Bridge", "br-old", "datapath_type=netdev")
    moved = ["--", "add-port", "br-old", "tap0", "--", "set", "Interface", "tap0"]
    switch.vsctl("del-port", "tap0", *moved, f"external_ids:iface-id={ID}")
    assert "is on br-old, should be on br-int" in osvif("check", name, code=3).stdout
    assert osvif("plug", name).stdout.startswith("repaired")
    switch.vsctl("set", "Interface", "tap0", "external_ids:attached-mac=52:54:00:00:00:01")
    [vif] = osvif.json("check", name, code=3)["vifs"]
    [drift] = vif["drifts"]
    assert drift["words"] == (
        "external_ids:attached-mac is 52:54:00:00:00:01, should be 52:54:00:12:34:56"
    )
    assert (drift["attribute"], drift["expected"]) == (
        "external_ids:attached-mac",
        "52:54:00:12:34:56",
    )
    assert (drift["before"], drift["after"]) == ("52:54:00:00:00:01", drift["expected"])
    said = osvif("plan", name).stdout
    assert "external_ids:attached-mac=52:54:00:00:00:01 -> 52:54:00:12:34:56" in said
    osvif("plug", name)
    switch.vsctl("del-port", "tap0")
    drawn = osvif("show", name).stdout
    assert "! port of br-int is missing" in drawn
    assert "! missing" not in drawn  # the tap is there
    assert osvif("plug", name).stdout.startswith("repaired")
    assert osvif("check", name).stdout.startswith("healthy")


def test_another_server_is_named_on_the_command_line(osvif: OsVif, switch: Switch) -> None:
    name = osvif.file(PORT)
    nowhere = {"OVS_RUNDIR": "/nowhere"}
    osvif("plug", "--ovsdb", switch.tcp, name, env=nowhere)
    assert switch.vsctl("list-ports", "br-int") == "tap0\n"
    assert "tap0 on br-int" in osvif("list", "--ovsdb", switch.tcp, env=nowhere).stdout
    # Its tap is seen without the switch.
    assert "tap0 on br-int" not in osvif("list", env=nowhere).stdout


def test_the_configuration_file_wins_over_the_place_of_the_tools(
    osvif: OsVif, switch: Switch
) -> None:
    osvif.file(f"[os_vif_ovs]\novsdb_connection = {switch.tcp}\n", "host.conf")
    said = osvif(
        "plug", "--config-file", "host.conf", osvif.file(PORT), env={"OVS_RUNDIR": "/nowhere"}
    )
    assert said.stdout.startswith("plugged")


def test_a_server_that_is_none(osvif: OsVif) -> None:
    for words in (["plug", osvif.file(PORT)], ["list"]):
        said = osvif(*words, "--ovsdb", "br-int", code=2).stderr
        assert "unix:FILE, tcp:IP:PORT or ssl:IP:PORT" in said


def test_no_server_is_waited_for_as_long_as_was_said(osvif: OsVif, tmp_path: Path) -> None:
    words = ["--ovsdb", f"unix:{tmp_path}/none", "--set", "ovs.ovs_vsctl_timeout=2"]
    with osvif.nothing_changed():
        said = osvif("plug", *words, osvif.file(PORT), code=1).stderr
    assert f"{tmp_path}/none: No such file or directory" in said
    assert "is Open vSwitch running" in said
    assert osvif.json("list", *words)["vifs"] == []


def test_a_port_that_waits_for_the_hypervisor(osvif: OsVif, switch: Switch) -> None:
    file = osvif.file(f"{PORT}create_tap: false\n")
    assert "the hypervisor makes its device" in osvif("plan", file).stdout
    osvif("plug", file)
    assert osvif("check", file).stdout.startswith("waiting")
    [vif] = osvif.json("check", file)["vifs"]
    assert (vif["state"], vif["drifts"]) == ("waiting", [])
    osvif.host.run("ip", "tuntap", "add", "tap0", "mode", "tap")
    deadline = time.monotonic() + 30
    while osvif("check", file).stdout.startswith("waiting"):
        assert time.monotonic() < deadline
    assert osvif("check", file).stdout.startswith("healthy")
