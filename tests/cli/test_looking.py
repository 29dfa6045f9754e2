# SPDX-License-Identifier: Apache-2.0
"""list, show, gc, types, schema, validate, host-info, completion, help."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.guest import Guest

from .conftest import BRIDGE, COMMAND, ENVIRONMENT, TAP

pytestmark = pytest.mark.functional


def test_list(osvif):
    assert "no VIF is plugged" in osvif("list").stdout
    assert osvif.json("list")["vifs"] == []
    osvif("plug", osvif.file(BRIDGE + "instance: {name: web}\n---\n" + TAP))
    head, *rows = [line.split("  ") for line in osvif("list").stdout.splitlines()]
    words = [word.strip() for word in head if word]
    assert words == ["VIF", "STATE", "OPEN", "DEVICES", "PLUGIN", "GUEST"]
    assert sorted(row[-1].strip() for row in rows) == ["-", "web"]
    osvif.host.run("ip", "link", "set", "tap1", "down")
    found = {vif["devices"][0]["name"]: vif for vif in osvif.json("list")["vifs"]}
    assert found["tap0"]["state"] == "up"
    assert found["tap0"]["devices"][0]["master"] == "br0"
    assert found["tap0"]["instance"]
    assert (found["tap0"]["guest"], found["tap1"]["guest"]) == ("web", None)
    assert (found["tap1"]["state"], found["tap1"]["plugin"]) == ("down", "tap")


def test_list_tells_what_a_program_has_open(osvif):
    osvif("plug", osvif.file(BRIDGE + "---\n" + TAP))
    found = {vif["devices"][0]["name"]: vif for vif in osvif.json("list")["vifs"]}
    assert [(vif["open"], vif["carrier"]) for vif in found.values()] == [(False, False)] * 2
    # A tap that is open stays so, whichever namespace the program goes to then.
    with osvif.host.enter():
        guest = Guest("tap0", "52:54:00:12:34:56")
    with contextlib.closing(guest):
        found = {vif["devices"][0]["name"]: vif for vif in osvif.json("list")["vifs"]}
        for name, there in (("tap0", True), ("tap1", False)):
            [device] = found[name]["devices"]
            assert (found[name]["open"], found[name]["carrier"]) == (there, there)
            assert (device["open"], device["carrier"]) == (there, there)
        titles, *rows = [line.split() for line in osvif("list", "-o", "wide").stdout.splitlines()]
        assert titles[1:6] == ["STATE", "OPEN", "CARRIER", "BOUND", "DEVICES"]
        assert {row[5]: row[2:5] for row in rows} == {
            "tap0": ["yes", "yes", "-"],
            "tap1": ["no", "no", "-"],
        }
        assert listed(osvif, "open=yes") == ["tap0"]
    assert listed(osvif, "open=yes") == []
    assert listed(osvif, "open=no") == ["tap0", "tap1"]


NAMED = TAP + "instance: {uuid: 0e2b1a52-4f5c-4d3e-8f5a-6b7c8d9e0f10, name: Web 1}\n"
OTHER = NAMED.replace("tap1", "tap2").replace("12:34:57", "12:34:58").replace("0e2b", "0e2c")


def test_a_guest_by_its_name(osvif):
    """Also one that has an id of its own, as Nova's have; it is told apart from its namesake."""
    osvif("plug", osvif.file(NAMED))
    assert listed(osvif, "guest=Web 1") == ["tap1"]
    assert listed(osvif, "guest=web") == []
    assert "Web 1" in osvif("show", "Web 1").stdout
    osvif("plug", osvif.file(OTHER))
    said = osvif("unplug", "Web 1", code=2).stderr
    assert "'Web 1' is the name of several guests: 0e2b1a52-" in said
    osvif("unplug", "0e2c1a52-4f5c-4d3e-8f5a-6b7c8d9e0f10")
    osvif("unplug", "Web 1")
    assert osvif.host.links() == {}


def test_list_with_drift(osvif):
    file = osvif.file(TAP + "---\n" + TAP.replace("tap1", "tap2").replace("34:57", "34:58"))
    osvif("plug", file)
    osvif.file((osvif.folder / file).read_text() + "---\n" + BRIDGE.replace("tap0", "tap9"), file)
    osvif("plug", osvif.file(BRIDGE.replace("34:56", "34:59"), "other.yaml"))
    osvif.host.run("ip", "link", "set", "tap2", "down", "mtu", "1400")
    titles, *rows = [line.split() for line in osvif("list", "--check", file).stdout.splitlines()]
    assert titles[1:4] == ["STATE", "DRIFT", "OPEN"]
    assert " ".join(rows.pop()).startswith("1 VIF of the files is not plugged;")
    assert {row[4]: row[2] for row in rows} == {"tap0": "-", "tap1": "no", "tap2": "2"}
    found = osvif.json("list", "--check", file)["vifs"]
    drift = {vif["devices"][0]["name"]: vif["drift"] for vif in found}
    assert (drift["tap0"], drift["tap1"]) == (None, [])
    assert {"device": "tap2", "words": "MTU is 1400, should be 1500"} in drift["tap2"]
    assert "drift" not in osvif.json("list")["vifs"][0]
    said = osvif("list", "--check", code=2).stderr
    assert "/etc/os-vif/vifs.d" in said


def listed(osvif, *filters):
    words = [word for wanted in filters for word in ("--filter", wanted)]
    return sorted(vif["devices"][0]["name"] for vif in osvif.json("list", *words)["vifs"])


def test_list_only_some(osvif):
    osvif("plug", osvif.file(BRIDGE + "instance: {name: web}\n---\n" + TAP))
    osvif.host.run("ip", "link", "set", "tap1", "down")
    [instance] = [vif["instance"] for vif in osvif.json("list")["vifs"] if vif["instance"]]
    for wanted in (
        *("plugin=linux_bridge", "state=up", "bridge=br0", "guest=web"),
        *(f"guest={instance}", f"guest={instance[:5]}"),
    ):
        assert listed(osvif, wanted) == ["tap0"], wanted
    assert listed(osvif, "plugin=tap") == listed(osvif, "state=down") == ["tap1"]
    assert listed(osvif, "plugin=tap", "state=up") == []
    assert "tap1" not in osvif("list", "--filter", "bridge=br0").stdout
    said = osvif("list", "--filter", "state=upp").stdout
    assert said == "no VIF has state=upp; there is: down, up\n"
    said = osvif("list", "--filter", "plugin=tap", "--filter", "state=up").stdout
    assert said == "no VIF has all of these\n"
    assert "did you mean 'plugin'?" in osvif("list", "--filter", "plugn=tap", code=2).stderr
    assert "expected KEY=VALUE" in osvif("list", "--filter", "plugin", code=2).stderr


def test_show_a_file(osvif):
    name = osvif.file(BRIDGE + "instance: {name: web}\n")
    drawn = osvif("show", name).stdout
    assert "! missing" in drawn
    assert "╎" in drawn
    assert "! missing" not in osvif("show", "--no-check", name).stdout
    osvif("plug", name)
    healthy = osvif("show", name).stdout
    assert "!" not in healthy
    assert [word for word in ("web", "tap0", "br0") if word in healthy] == ["web", "tap0", "br0"]
    osvif.host.run("ip", "link", "set", "tap0", "mtu", "1400")
    assert "! MTU is 1400, should be 1500" in osvif("show", name).stdout


def test_show_what_is_plugged(osvif):
    assert "no VIF is plugged" in osvif("show").stdout
    osvif("plug", osvif.file(BRIDGE + "---\n" + TAP))
    everything = osvif("show").stdout
    assert "tap0" in everything
    assert "tap1" in everything
    identity = osvif.json("list")["vifs"][0]["id"]
    for target in ("tap0", identity, identity[:8]):
        osvif("show", target)
    assert "tap0" not in osvif("show", "tap1").stdout
    assert "did you mean 'tap0'?" in osvif("show", "tpa0", code=2).stderr
    [error] = osvif.json("show", "tpa0", code=2)["errors"]
    assert error["type"] == "BadInput"
    parts = {part["key"]: part for part in osvif.json("show", "tap0")["parts"]}
    assert parts["tap0"]["below"] == "br0"


def test_show_a_guest_that_is_kept_to_its_addresses(osvif):
    """By its file, and by what the host has of it."""
    name = osvif.file(f"{TAP}anti_spoofing: mac\n")
    osvif("plug", name)
    for what in (name, "tap1"):
        assert "guest sends from own MAC address only" in osvif("show", what).stdout


def test_show_as_svg(osvif):
    name = osvif.file(BRIDGE)
    osvif("show", name, "--svg", "out.svg")
    root = ElementTree.parse(osvif.folder / "out.svg").getroot()  # noqa: S314  (our own)
    assert "tap0" in [item.text for item in root.iter("{http://www.w3.org/2000/svg}text")]
    assert osvif("show", name, "--svg", "-").stdout.startswith("<svg ")
    assert "No such file" in osvif("show", name, "--svg", "no/x.svg", code=1).stderr


@pytest.mark.parametrize(
    ("environment", "ascii_only"),
    [
        ({"LC_ALL": "C"}, True),
        ({"LC_ALL": "POSIX"}, True),
        ({"PYTHONIOENCODING": "latin-1"}, True),
        ({"LC_ALL": "C.UTF-8"}, False),
        ({"LC_ALL": ""}, False),
    ],
)
def test_a_terminal_that_knows_ascii_alone(osvif, environment, ascii_only):
    drawn = osvif("show", "--no-check", osvif.file(BRIDGE), env=environment).stdout
    assert drawn.isascii() == ascii_only


def test_what_a_vif_has_elsewhere(osvif):
    known = "id: 5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea\n"
    before, after = (
        osvif.file(f"{TAP}{known}".replace("tap1", name), f"{name}.yaml")
        for name in ("tap8", "tap9")
    )
    osvif("plug", before)
    osvif("check", before)
    said = osvif("check", after, code=3).stdout
    assert "tap8  still there, of an earlier description or renamed  (for tap9)" in said
    drawn = osvif("show", after).stdout
    assert "tap8" in drawn
    assert "still there, of an earlier" in drawn
    said = osvif("gc", "--keep", after, "--dry-run").stdout
    assert said.startswith("would remove  tap8")
    assert "which is elsewhere now" in said
    assert "nothing to remove" in osvif("gc", "--keep", before, "--dry-run").stdout
    osvif("gc", "--keep", after, "--yes")
    assert osvif.host.links() == {}
    osvif("plug", before)
    osvif("plug", after)
    assert [it["name"] for it in osvif.json("list")["vifs"][0]["devices"]] == ["tap9"]
    osvif("unplug", before)
    assert osvif.host.links() == {}


def test_gc_keeps_what_it_is_told(osvif):
    keep, other = osvif.file(BRIDGE, "keep.yaml"), osvif.file(TAP, "other.yaml")
    osvif("plug", keep, other)
    with osvif.nothing_changed():
        said = osvif("gc", "--keep", keep, "--dry-run").stdout
        assert said.startswith("would remove  tap1  VIF ")
        [gone] = osvif.json("gc", "--keep", keep, "--dry-run")["would_remove"]
        assert "say --yes" in osvif("gc", "--keep", keep, code=2).stderr
    assert osvif.json("gc", "--keep", keep, "--yes")["removed"] == [gone]
    assert set(osvif.host.links()) == {"br0", "tap0"}
    assert "nothing to remove" in osvif("gc", "--keep", keep, "--yes").stdout
    [kept] = osvif.json("list")["vifs"]
    osvif("gc", "--keep-id", kept["id"], "--yes")
    assert "tap0" in osvif.host.links()
    osvif("gc", "--keep-none", "--yes")
    assert set(osvif.host.links()) == {"br0"}


def test_pci_functions(osvif):
    """Marked by hand: what has a mark is a VIF's, whatever became of the device."""
    vif = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    mark = f"os-vif,pci=ffff-03-10.2,vif={vif},driver=vfio-pci"
    osvif.host.run("ip", "link", "add", "eth7", "type", "veth", "peer", "name", "eth8")
    osvif.host.run("ip", "link", "property", "add", "dev", "eth7", "altname", mark)
    row = osvif("list").stdout.splitlines()[1]
    assert row.split("  ")[:1] == [vif]
    for word in ("device gone", "ffff:03:10.2 on eth7", "sriov"):
        assert word in row
    [found] = osvif.json("list")["vifs"]
    assert (found["plugin"], found["state"], found["devices"]) == ("sriov", "device_gone", [])
    assert found["functions"] == [
        {
            "address": "ffff:03:10.2",
            "card": "eth7",
            "vf": None,
            "driver": None,
            "mac": None,
            "vlan": None,
        }
    ]
    assert "! missing" in osvif("show", "ffff:03:10.2").stdout
    assert "ffff:03:10.2 on eth7" in osvif("gc", "--keep-none", "--dry-run").stdout
    osvif("gc", "--keep-none", "--yes")
    assert "altname" not in osvif.host.run("ip", "link", "show", "eth7").stdout


TYPES = [
    "bridge",
    "tap",
    *(f"openvswitch{mode}" for mode in ("", "-hybrid", "-vhostuser", "-hostdev")),
    "macvtap",
    "sriov",
    *(f"fastpath-{profile}" for profile in ("bridge", "openvswitch", "tap")),
    "vhostuser",
]


def test_types(osvif):
    assert {"bridge", "tap"} <= set(osvif("types").stdout.split())
    assert "network.subnets[].routes[].via" in osvif("types", "bridge").stdout
    names = [row["name"] for row in osvif.json("types")["types"]]
    assert names == TYPES
    fields = {field["path"]: field for field in osvif.json("types", "tap")["types"][0]["fields"]}
    assert fields["mac"]["required"]


@pytest.mark.parametrize("name", TYPES)
def test_the_example_of_a_type_can_be_taken_as_it_is(osvif, name):
    [row] = osvif.json("types", name)["types"]
    osvif("validate", "-", input=row["example"])
    shown = osvif("types", name).stdout
    assert all(line in shown for line in row["example"].splitlines())


def test_schema(osvif):
    whole = json.loads(osvif("schema").stdout)
    assert list(whole["$defs"]) == [*TYPES, "vif", "wire"]
    assert set(osvif.json("schema", "tap")["schema"]["$defs"]) == {"tap", "vif", "wire"}


def test_validate(osvif):
    with osvif.nothing_changed():
        assert osvif("validate", osvif.file(BRIDGE)).stdout.startswith("valid  tap0  VIFBridge for")
        [vif] = osvif.json("validate", "vif.yaml")["vifs"]
    assert (vif["type"], vif["devices"]) == ("bridge", ["tap0"])


def test_host_info(osvif):
    assert "linux_bridge" in osvif("host-info").stdout
    info = osvif.json("host-info")["host_info"]
    assert info["versioned_object.name"] == "HostInfo"


SUBCOMMANDS = [
    *("plug", "unplug", "plan", "check", "list", "show", "gc"),
    *("validate", "types", "schema", "host-info", "completion", "demo", "doctor"),
]


def test_help_teaches(osvif):
    said = osvif("--help").stdout
    assert all(re.search(rf"(?m)^ +{name} ", said) for name in SUBCOMMANDS)
    for words in ("0  done", "1  failed", "2  bad input", "3  check found drift", "NO_COLOR"):
        assert words in said
    # The name of a command in the list is followed by all of its summary.
    assert "..." not in said.replace("FILE...", "").replace("[ARGS]...", "")


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_the_help_of_each_has_examples(osvif, name):
    said = osvif(name, "-h").stdout
    assert said.count(f"os-vif {name}") >= 3
    if name != "completion":
        assert "--json" in said
        assert "With --json:" in said


def test_help_comes_at_once():
    """It takes its time from what is imported, and that is little."""
    code = (
        "import atexit, sys, os_vif.cli.main as command;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); command.main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "os-vif plug web.yaml" in done.stdout
    seen = done.stderr.split()
    assert "os_vif.cli.main" in seen
    heavy = {"eventlet", "oslo_privsep", "oslo_versionedobjects", "ovs", "rich"}
    assert not (heavy | {"os_vif.engine.converge"}).intersection(seen)


def test_version(osvif):
    assert osvif("--version").stdout.startswith("os-vif, version 6.")


def test_global_options_may_come_first(osvif):
    assert osvif("--json", "list").stdout.startswith("{")
    assert osvif("-q", "list").stdout == ""


def test_a_named_namespace(osvif, named_namespace):
    osvif("--netns", named_namespace, "plug", osvif.file(TAP))
    assert osvif.host.links() == {}
    assert "tap1" in osvif("list", "--netns", named_namespace).stdout
    said = osvif("list", "--netns", named_namespace[:-1], code=2).stderr
    assert f"did you mean '{named_namespace}'?" in said


def test_what_is_no_namespace(osvif, named_namespace):
    impostor = Path("/run/netns", f"{named_namespace}-file")
    impostor.touch()
    try:
        said = osvif("list", "--netns", impostor.name, code=2).stderr
    finally:
        impostor.unlink()
    assert "is not a network namespace" in said


def test_a_reader_that_goes_away(osvif):
    osvif.file(TAP)
    script = f"{COMMAND} plug -v vif.yaml | true; echo ${{PIPESTATUS[0]}}"
    done = osvif.host.run("bash", "-c", script, cwd=osvif.folder, env=ENVIRONMENT)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")
    assert "tap1" in osvif.host.links()


@pytest.mark.parametrize("words", ["schema", "types", "export", "completion bash", "--help"])
def test_a_reader_that_never_was(osvif, words):
    script = f"{COMMAND} {words} | true; echo ${{PIPESTATUS[0]}}"
    done = osvif.host.run("bash", "-c", script, cwd=osvif.folder, env=ENVIRONMENT)
    assert (done.stderr, done.stdout.strip()) in (("", "0"), ("", "141"))


ODD = [
    b"tap=0",
    b"-tap",
    b"tap+",
    b"t[bold]p",
    "\u00e9\u4e2d\u202e".encode(),
    b"t\xff\xfep",
    b"t\x1b[31mp\x07",
    b"$(reboot)",
    b"tap0;\"'&",
]
"""What the kernel takes for a name, and no tool of ours would give.  A % it never takes."""


def test_devices_with_odd_names(osvif):
    """Somebody has renamed them: all the others are shown, listed and removed as ever."""
    osvif("plug", osvif.file(BRIDGE))
    for number, name in enumerate([*ODD, b"br{},9"]):
        mark = f"os-vif vif=odd-{number} plugin=tap"
        bridge = name.startswith(b"br")
        made = ("link", "add") if bridge else ("tuntap", "add")
        kind = ("type", "bridge") if bridge else ("mode", "tap")
        osvif.host.run("ip", *made, f"odd{number}", *kind)
        osvif.host.run("ip", "link", "set", f"odd{number}", "alias", mark)
        osvif.host.run(sys.executable, "-c", _RENAME, f"odd{number}", name.hex())
    osvif.host.run("ip", "link", "set", "tap0", "nomaster")
    osvif.host.run(sys.executable, "-c", _RENAME, "br0", b"br+0".hex())
    osvif.host.run("ip", "link", "set", "tap0", "master", "br+0")
    listed = osvif("list").stdout
    assert all(f"odd-{number} " in listed for number in range(len(ODD)))
    assert "\x1b[31m" not in listed
    assert len(osvif.json("list")["vifs"]) == len(ODD) + 2
    drawn = osvif("show").stdout
    assert "tap0" in drawn
    assert "\x1b[31m" not in drawn
    osvif("show", "tap0")
    osvif("show", "odd-5")
    ElementTree.fromstring(osvif("show", "--svg", "-").stdout)  # noqa: S314  (our own)
    osvif("gc", "--keep-none", "--yes")
    assert osvif.json("list")["vifs"] == []


_RENAME = """if True:
    import fcntl, socket, struct, sys
    request = struct.pack("16s16s", sys.argv[1].encode(), bytes.fromhex(sys.argv[2]))
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8923, request)  # SIOCSIFNAME
"""
