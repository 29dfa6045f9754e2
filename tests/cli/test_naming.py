# SPDX-License-Identifier: Apache-2.0
"""One VIF of many: ``--only``, ``unplug`` without the file, ``exec`` of a file of several."""

from __future__ import annotations

import json
import sys

import pytest

from .conftest import OsVif

pytestmark = pytest.mark.functional

WEB = "b4a76d1c-94e7-564d-a93e-c9da9d79d521"
GUESTS = """\
vifs:
  - {type: bridge, bridge: br0, name: tap-web, mac: "52:54:00:12:34:56", instance: {name: web}}
  - {type: bridge, bridge: br0, name: tap-db, mac: "52:54:00:12:34:57", instance: {name: db}}
  - {type: tap, name: tap-db2, mac: "52:54:00:12:34:58", instance: {name: db}}
"""
NAMES = {
    "tap-web": {"tap-web"},
    WEB: {"tap-web"},
    "b4a7": {"tap-web"},
    "web": {"tap-web"},
    "db": {"tap-db", "tap-db2"},
}


@pytest.fixture
def guests(osvif: OsVif) -> OsVif:
    osvif.file(GUESTS, "guests.yaml")
    return osvif


def taps(osvif: OsVif) -> set[str]:
    return {name for name in osvif.host.links() if name.startswith("tap")}


ALL = {"tap-web", "tap-db", "tap-db2"}


@pytest.mark.parametrize("name", NAMES)
def test_plug_and_unplug_only_what_is_named(guests, name):
    guests("plug", "--only", name, "guests.yaml")
    assert taps(guests) == NAMES[name]
    guests("plug", "guests.yaml")
    guests("unplug", "--only", name, "guests.yaml")
    assert taps(guests) == ALL - NAMES[name]


def test_plan_and_check_only_what_is_named(guests):
    guests("plug", "--only", "tap-web", "guests.yaml")
    assert "create tap tap-db2" in guests("plan", "guests.yaml", "--only", "tap-db2").stdout
    assert [vif["id"] for vif in guests.json("check", "--only", WEB, "guests.yaml")["vifs"]] == [
        WEB
    ]
    guests("check", "guests.yaml", code=3)
    said = guests("plan", "--unplug", "--only", "web", "guests.yaml").stdout
    assert "delete tap-web" in said
    assert "tap-db" not in said
    found = guests.json("plan", "--only", "tap-db2", "--only", "web", "guests.yaml")["vifs"]
    assert [vif["devices"] for vif in found] == [["tap-web"], ["tap-db2"]], "in the file's order"


@pytest.mark.parametrize("command", ["plug", "check", "plan", "unplug"])
def test_a_name_that_fits_none_is_bad_input(guests, command):
    with guests.nothing_changed():
        said = guests(command, "--only", "tap-wbe", "guests.yaml", code=2).stderr
        assert "--only tap-wbe: no VIF of the files has such an id, device or guest" in said
        assert "did you mean 'tap-web'?" in said
        guests(command, "--only", "", "guests.yaml", code=2)


def test_a_mistake_in_another_vif_is_told_all_the_same(guests):
    guests.file(GUESTS.replace("52:54:00:12:34:57", "01:54:00:12:34:57"), "guests.yaml")
    assert "unicast" in guests("plug", "--only", "tap-web", "guests.yaml", code=2).stderr


@pytest.mark.parametrize("name", NAMES)
def test_unplug_without_the_file(guests, name):
    guests("plug", "guests.yaml")
    (guests.folder / "guests.yaml").unlink()
    rules = guests.host.run("iptables", "-S", "FORWARD").stdout
    said = guests("unplug", name).stdout
    assert taps(guests) == ALL - NAMES[name]
    for tap in NAMES[name]:
        assert any(line.startswith("unplugged") and tap in line for line in said.splitlines())
    # What is on the host of the others is as it was.
    after = guests.host.run("iptables", "-S", "FORWARD").stdout.splitlines()
    gone = [line for line in rules.splitlines() if line not in after]
    assert all((WEB in line) == ("tap-web" in NAMES[name]) for line in gone)
    assert "br0" in guests.host.links()


def test_unplug_without_the_file_in_json(guests):
    guests("plug", "guests.yaml")
    [vif] = guests.json("unplug", "tap-web")["vifs"]
    assert (vif["id"], vif["state"], vif["file"], vif["devices"]) == (
        *(WEB, "unplugged", None),
        ["tap-web"],
    )
    assert "delete tap-web" in {step["words"] for step in vif["steps"]}
    assert "  1. " in guests("unplug", "-v", "tap-db2").stdout


def test_what_cannot_be_unplugged_by_name(guests):
    guests.file(f"type: tap\nid: {WEB[:-1]}0\nmac: 52:54:00:12:34:5a\nname: tap-z\n", "z.yaml")
    guests("plug", "guests.yaml", "z.yaml")
    with guests.nothing_changed():
        for command in ("unplug", "show"):
            said = guests(command, "b4a76d1c", code=2).stderr
            assert f"'b4a76d1c' may mean any of {WEB[:-1]}0, {WEB}" in said
            said = guests(command, "tap-wbe", code=2).stderr
            assert "neither a file nor the id, device or guest of a plugged VIF" in said
            assert "did you mean 'tap-web'?" in said
            guests(command, "tap-web", "tap-x", code=2)
            said = guests(command, "guests.yaml", "tap-web", code=2).stderr
            assert "tap-web: no such file; name files or plugged VIFs, not both" in said
            said = guests(command, "missing.yaml", code=2).stderr
            assert "missing.yaml: No such file" in said
        assert "name the VIFs alone" in guests("unplug", "--only", "x", "tap-web", code=2).stderr
        assert "gc --bridges" in guests("unplug", "--with-bridge", "tap-web", code=2).stderr
    assert "tap-web" in guests("show", "web").stdout


PROGRAM = """
import fcntl, json, os, sys
names = {
    number: fcntl.ioctl(int(number), 0x800454D2, bytes(40))[:16].rstrip(b"\\0").decode()
    for number in os.environ["OS_VIF_FDS"].split(":")
}
print(json.dumps([list(names.values()), *(names[word] for word in sys.argv[1:])]))
"""


def run(osvif, *words):
    done = osvif(
        "exec", *words[:-1], "guests.yaml", "--", sys.executable, "-c", PROGRAM, *words[-1]
    )
    return json.loads(done.stdout)


def test_exec_of_a_file_of_several(guests):
    guests("plug", "guests.yaml")
    everyone = ["tap-web", "tap-db", "tap-db2"]
    assert run(guests, []) == [everyone]
    assert run(guests, ["{fds:tap-db2}", "{fds:web}"]) == [everyone, "tap-db2", "tap-web"]
    assert run(guests, "--only", "tap-db", ["{fds}"]) == [["tap-db"], "tap-db"]


def test_what_exec_cannot_choose(guests):
    guests("plug", "--only", "tap-web", "guests.yaml")
    said = guests("exec", "guests.yaml", "--", "true", "fd={fds:db}", code=2).stderr
    assert "{fds:db} would be 2 VIFs'; choose with --only NAME" in said
    said = guests("exec", "guests.yaml", "--", "true", "fd={fds:tap-wbe}", code=2).stderr
    assert "{fds:tap-wbe}: no VIF of the files" in said
    assert "did you mean 'tap-web'?" in said
    said = guests("exec", "guests.yaml", "--", "true", code=1).stderr
    assert "is not plugged" in said
    assert "(for tap-db; --only NAME opens those that are named, not all)" in said


def test_a_dry_run_of_what_is_named(guests):
    guests("plug", "guests.yaml")
    with guests.nothing_changed():
        said = guests("unplug", "--dry-run", "tap-db2").stdout
        whole = guests("unplug", "--dry-run", "--only", "tap-db2", "guests.yaml").stdout
    assert "  1. delete tap-db2" in said
    assert "  1. delete tap-db2" in whole
    assert "tap-web" not in said + whole
