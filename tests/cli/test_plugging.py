# SPDX-License-Identifier: Apache-2.0
"""plug, unplug, plan, check: said, and seen on the host by others."""

from __future__ import annotations

import pytest

from tests.waiting import until

from .conftest import BRIDGE, TAP

pytestmark = pytest.mark.functional

SOCKET = """\
vif:
  versioned_object.name: VIFVHostUser
  versioned_object.namespace: os_vif
  versioned_object.version: "1.1"
  versioned_object.data:
    id: 5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea
    plugin: noop
    address: 52:54:00:12:34:56
    vif_name: vhu0
instance: {name: web}
"""


@pytest.mark.parametrize("apart", [False, True], ids=["served", "installed"])
def test_there_and_back(osvif, apart):
    osvif.apart = apart
    name = osvif.file(BRIDGE)
    assert osvif("plug", name).stdout.startswith("plugged  tap0  VIF ")
    links = osvif.host.links()
    assert set(links) == {"br0", "tap0"}
    assert links["tap0"]["master"] == "br0"
    assert links["tap0"]["address"] == "fe:54:00:12:34:56"
    assert osvif("plug", name).stdout.startswith("already plugged  tap0")
    assert osvif("check", name).stdout.startswith("healthy  tap0")
    assert osvif("unplug", name).stdout.startswith("unplugged  tap0")
    assert set(osvif.host.links()) == {"br0"}
    assert osvif("unplug", name).stdout.startswith("was not plugged  tap0")


def test_a_plugin_that_does_nothing(osvif):
    name = osvif.file(SOCKET)
    for _time in range(2):
        assert osvif("plug", name).stdout.startswith("already plugged  vhu0  VIF ")
    assert [vif["state"] for vif in osvif.json("plug", name)["vifs"]] == ["already_plugged"]
    assert osvif("check", name).stdout.startswith("healthy  vhu0")
    for _time in range(2):
        assert osvif("unplug", name).stdout.startswith("was not plugged  vhu0  VIF ")


def test_from_standard_input(osvif):
    osvif("plug", "-", input=TAP)
    assert set(osvif.host.links()) == {"tap1"}
    assert "only once" in osvif("plug", "-", "-", code=2, input=TAP).stderr


def test_two_mtus_on_one_uplink_and_what_it_is_raised_to(osvif):
    osvif.host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wire0")
    uplinked = BRIDGE + "network: {uplink: eth0, uplink_mtu: 4000, mtu: 1400}\n"
    other = uplinked.replace("tap0", "tap1").replace(":56", ":58").replace("1400", "4000")
    name = osvif.file(f"{uplinked}---\n{other}")
    assert "2 plugged in " in osvif("plug", name).stdout
    links = osvif.host.links()
    assert [links[device]["mtu"] for device in ("eth0", "br0", "tap0", "tap1")] == [
        *(4000, 4000, 1400, 4000)
    ]
    assert osvif("check", name).stdout.count("healthy") == 2
    assert osvif("plug", name).stdout.count("already plugged") == 3
    assert "uplink_mtu" in osvif("types", "bridge").stdout
    assert "uplink_mtu" in osvif("schema", "bridge").stdout


UPLINKED = BRIDGE + "network: {uplink: eth0, uplink_mtu: 4000}\n"


def a_host_with_an_uplink(osvif):
    for words in (
        "link add eth0 type veth peer name wire0",
        "link set wire0 up",
        "link set eth0 up",
        "addr add 192.0.2.7/24 dev eth0",
        "route add default via 192.0.2.1",
    ):
        osvif.host.run("ip", *words.split())
    # When both are up.
    until(lambda: osvif.host.run("ip", "-br", "addr").stdout.count(" fe80::") >= 2)
    return [osvif.host.run("ip", *words).stdout for words in (("route",), ("-br", "addr"))]


def test_unplug_with_the_bridge(osvif):
    before = a_host_with_an_uplink(osvif)
    name = osvif.file(UPLINKED)
    osvif("plug", name)
    with osvif.nothing_changed():
        said = osvif("plan", "--unplug", "--with-bridge", name).stdout
        assert "delete br0" not in osvif("plan", "--unplug", name).stdout
    steps = [line.split(". ", 1)[1] for line in said.splitlines() if line.startswith("   ")]
    assert steps[0] == "delete tap0"
    assert "add address 192.0.2.7/24 to eth0" in steps
    assert steps[-1] == "delete br0, which nobody uses any more"
    assert "goes with --unplug" in osvif("plan", "--with-bridge", name, code=2).stderr
    done = osvif("unplug", "-v", "--with-bridge", name).stdout
    assert done.startswith("unplugged  tap0")
    assert "set eth0: MTU 1500" in done
    assert [
        osvif.host.run("ip", *words).stdout for words in (("route",), ("-br", "addr"))
    ] == before
    assert osvif("unplug", "--with-bridge", name).stdout.startswith("was not plugged")


def test_gc_of_bridges(osvif):
    before = a_host_with_an_uplink(osvif)
    name = osvif.file(UPLINKED)
    osvif("plug", name)
    with osvif.nothing_changed():
        said = osvif("gc", "--keep-none", "--bridges", "--dry-run").stdout
        assert "would remove  br0  nobody uses it any more; eth0 gets back what it had" in said
        found = osvif.json("gc", "--keep-none", "--bridges", "--dry-run")
        assert found["would_remove_bridges"] == [{"name": "br0", "uplinks": ["eth0"]}]
        found = osvif.json("gc", "--keep", name, "--bridges", "--dry-run")
        assert found["would_remove_bridges"] == found["would_remove"] == []
    said = osvif("gc", "--keep-none", "--yes").stdout
    assert "br0  nobody" not in said
    assert "br0" in osvif.host.links()
    assert "say --yes" in osvif("gc", "--keep-none", "--bridges", code=2).stderr
    found = osvif.json("gc", "--keep-none", "--bridges", "--yes")
    assert (found["removed"], found["bridges"]) == ([], [{"name": "br0", "uplinks": ["eth0"]}])
    assert [
        osvif.host.run("ip", *words).stdout for words in (("route",), ("-br", "addr"))
    ] == before


def test_several_files_and_documents(osvif):
    first, second = osvif.file(BRIDGE + "---\n" + TAP, "a"), osvif.file(TAP.replace("1", "2"), "b")
    done = osvif("plug", first, second)
    assert len(osvif.host.links()) == 4
    assert "3 plugged in " in done.stdout


def test_steps_with_v_and_nothing_with_q(osvif):
    name = osvif.file(BRIDGE)
    assert osvif("plug", "-q", name).stdout == ""
    assert osvif("plug", "-q", name, "--set", "linux_bridge.create_tap=false").stdout == ""
    assert "  1. delete tap0" in osvif("unplug", "-v", name).stdout


def test_plan_numbers_its_steps_and_touches_nothing(osvif):
    name = osvif.file(BRIDGE + "---\n" + BRIDGE.replace("tap0", "tap1").replace(":56", ":58"))
    with osvif.nothing_changed():
        said = osvif("plan", name).stdout
    numbered = [line.split(":")[0].strip() for line in said.splitlines() if line.startswith("   ")]
    assert numbered == ["1. create bridge br0", "2. create tap tap0", "3. create tap tap1"]
    osvif("plug", name)
    assert osvif("plan", name).stdout.count("already plugged: nothing to do") == 2
    with osvif.nothing_changed():
        said = osvif("plan", "--unplug", name).stdout
    assert "1. delete tap0" in said


def test_a_plan_in_json(osvif):
    found = osvif.json("plan", osvif.file(BRIDGE))
    [vif] = found["vifs"]
    assert (vif["state"], vif["devices"], vif["line"]) == ("to_do", ["tap0"], 1)
    assert [step["kind"] for step in vif["steps"]] == ["create_link", "create_link"]
    assert vif["steps"][0]["words"].startswith("create bridge br0")


def test_check_finds_each_drift_and_plug_repairs_it(osvif):
    name = osvif.file(BRIDGE)
    osvif("plug", name)
    osvif.host.run("ip", "link", "set", "tap0", "nomaster", "mtu", "1400")
    with osvif.nothing_changed():
        said = osvif("check", name, code=3).stdout.splitlines()
    assert sorted(said) == [
        "drift    tap0  MTU is 1400, should be 1500",
        "drift    tap0  should be a port of br0",
    ]
    [vif] = osvif.json("check", name, code=3)["vifs"]
    assert vif["state"] == "drifted"
    assert {(item["attribute"], item["expected"]) for item in vif["drifts"]} == {
        ("mtu", 1500),
        ("master", "br0"),
    }
    assert {(item["attribute"], item["before"], item["after"]) for item in vif["drifts"]} == {
        ("mtu", 1400, 1500),
        ("master", None, None),
    }
    assert osvif("plug", name).stdout.startswith("repaired  tap0")
    osvif("check", name)


def test_before_and_after_are_told(osvif):
    name = osvif.file(BRIDGE)
    osvif("plug", name)
    osvif.host.run("ip", "link", "add", "br1", "type", "bridge")
    change = ("master", "br1", "mtu", "900", "address", "fe:54:00:00:00:01", "down")
    osvif.host.run("ip", "link", "set", "tap0", *change)
    with osvif.nothing_changed():
        said = osvif("plan", name).stdout.splitlines()
    [step] = [line.partition("set tap0: ")[2].split(", ") for line in said[1:]]
    assert sorted(step) == [
        "MAC fe:54:00:00:00:01 -> fe:54:00:12:34:56",
        "MTU 900 -> 1500",
        "down -> up",
        "port of br1 -> br0",
    ]
    [vif] = osvif.json("plan", name)["vifs"]
    [told] = vif["steps"]
    was = {"master": "br1", "mtu": 900, "up": False, "mac": "fe:54:00:00:00:01"}
    assert told["before"] == was
    assert told["after"] == told["args"]["attributes"]
    assert told["after"].keys() == was.keys()
    assert sorted(osvif("check", name, code=3).stdout.splitlines()) == [
        "drift    tap0  MAC is fe:54:00:00:00:01, should be fe:54:00:12:34:56",
        "drift    tap0  MTU is 900, should be 1500",
        "drift    tap0  is a port of br1, should be a port of br0",
        "drift    tap0  is down",
    ]


def test_of_what_is_only_planned_there_is_no_before(osvif):
    osvif.host.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "wire")
    osvif.host.run("ip", "link", "set", "eth1", "up")
    name = osvif.file(BRIDGE + "network: {uplink: eth1, vlan: 7}\n")
    said = osvif("plan", name).stdout
    assert "set vlan7: port of br0" in said
    assert "->" not in said
    made = osvif.json("plan", name)["vifs"][0]["steps"]
    assert all(step["before"] == step["after"] == {} for step in made)


def test_check_of_what_is_not_plugged(osvif):
    said = osvif("check", osvif.file(BRIDGE), code=3).stdout.splitlines()
    assert said == [
        "drift    br0  bridge is missing  (for tap0)",
        "drift    tap0  tap is missing",
    ]


def test_what_two_share_is_told_once_and_neither_is_healthy(osvif):
    other = BRIDGE.replace("tap0", "tap9").replace(":56", ":99")
    assert other != BRIDGE
    name = osvif.file(BRIDGE + "---\n" + other)
    assert osvif("plan", name).stdout.count("create bridge br0") == 1
    osvif("plug", name)
    osvif.host.run("ip", "link", "set", "br0", "down")
    first, second = osvif("check", name, code=3).stdout.splitlines()
    assert first.startswith("drift    br0  ")
    assert first.endswith("(for tap0)")
    assert second.startswith("drift    tap9  VIF ")
    assert second.endswith("  as told of br0")
    one, two = osvif.json("check", name, code=3)["vifs"]
    assert (one["state"], two["state"]) == ("drifted", "drifted")
    assert one["drifts"] == two["drifts"] != []
    osvif.host.run("ip", "link", "delete", "br0")
    said = osvif("check", name, code=3).stdout.splitlines()
    assert [line.partition("tap")[0] for line in said] == [
        "drift    br0  bridge is missing  (for ",
        "drift    ",
        "drift    ",
    ]


def test_one_that_fails_does_not_stop_the_others(osvif):
    osvif.host.run("ip", "link", "add", "tap1", "type", "bridge")
    name = osvif.file(BRIDGE + "---\n" + TAP)
    done = osvif("plug", name, code=1)
    assert "vif.yaml:7: tap1: device tap1 is in the way" in done.stderr
    assert "1 plugged, 1 failed" in done.stdout
    assert "tap0" in osvif.host.links()
    found = osvif.json("plug", name, code=1)
    assert [vif["state"] for vif in found["vifs"]] == ["already_plugged", "failed"]
    assert found["errors"][0]["vif"] == found["vifs"][1]["id"]


def test_all_or_nothing(osvif):
    osvif.host.run("ip", "link", "add", "tap1", "type", "bridge")
    name = osvif.file(BRIDGE + "---\n" + TAP)
    with osvif.nothing_changed():
        found = osvif.json("plug", "--all-or-nothing", name, code=1)
    assert [vif["state"] for vif in found["vifs"]] == ["not_attempted", "failed"]


def test_an_edited_file_moves_the_vif(osvif):
    osvif("plug", osvif.file(BRIDGE))
    osvif("plug", osvif.file(BRIDGE.replace("br0", "br1")))
    assert osvif.host.links()["tap0"]["master"] == "br1"


def test_the_command_makes_taps_unless_told_otherwise(osvif):
    name = osvif.file(BRIDGE)
    osvif("plug", "--set", "linux_bridge.create_tap=false", name)
    assert set(osvif.host.links()) == {"br0"}


def test_a_configuration_file(osvif):
    conf = osvif.file("[os_vif_linux_bridge]\ncreate_tap = false\n", "os-vif.conf")
    osvif("plug", "--config-file", conf, osvif.file(BRIDGE))
    assert set(osvif.host.links()) == {"br0"}


def test_options_in_the_file_and_on_the_command_line(osvif):
    name = osvif.file(TAP + "options: {tap: {multi_queue: true}}\n")
    osvif("plug", name)
    assert osvif.host.links()["tap1"]["linkinfo"]["info_data"]["multi_queue"]
    osvif("plug", name, "--set", "tap.multi_queue=false")
    assert not osvif.host.links()["tap1"]["linkinfo"]["info_data"]["multi_queue"]


def test_five_hundred(osvif):
    lines = [
        f"- {{type: bridge, bridge: br0, name: tap{n}, filtered: true,"
        f" mac: 52:54:00:01:{n >> 8:02x}:{n & 255:02x}}}"
        for n in range(500)
    ]
    name = osvif.file("\n".join(lines))
    said = osvif("plug", name).stdout.splitlines()
    assert len(said) == 1
    assert said[0].startswith("500 plugged in ")
    assert len(osvif.host.links()) == 501
    assert osvif("unplug", name).stdout.startswith("500 unplugged in ")
    assert len(osvif.host.links()) == 1
