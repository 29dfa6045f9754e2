# SPDX-License-Identifier: Apache-2.0
"""Every file of examples/ is run for real, as its reader would run it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.openvswitch import Switch

pytestmark = pytest.mark.functional

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).parent / "os-vif")
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*") if path.is_file())
NEED_VLAN = {"bridge-vlan.yaml"}
NEED_SWITCH = {f"openvswitch{mode}.yaml" for mode in ("", "-own-bridge", "-hybrid")}
NEED_DPDK = {"openvswitch-vhostuser.yaml"}
NEED_CARD = {"openvswitch-hostdev.yaml"}
NEEDS = NEED_VLAN | NEED_SWITCH | NEED_DPDK | NEED_CARD


@pytest.fixture
def run(host):
    # The uplink that some of them name.
    host.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far1")
    host.run("ip", "link", "set", "eth1", "up")
    host.run("ip", "link", "set", "far1", "up")

    def run(*words, code=0):
        # Where Open vSwitch's own tools look for it; no test meets the machine's.
        environment = os.environ | {"OVS_RUNDIR": run.folder}
        done = host.run(COMMAND, *words, check=False, env=environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    run.host = host
    run.folder = "/nowhere"
    return run


@pytest.fixture
def switched(run):
    """Return what starts a switch beside the command."""
    switches = []

    def start(**options):
        switches.append(Switch(run.host, **options))
        run.folder = str(switches[0].folder)
        return run

    yield start
    for switch in switches:
        switch.close()


def has_vlan(host):
    host.run("ip", "link", "add", "probe", "type", "veth", "peer", "name", "eborp")
    made = host.run(
        "ip", "link", "add", "link", "probe", "probe.9", "type", "vlan", "id", "9", check=False
    )
    host.run("ip", "link", "delete", "probe")
    return made.returncode == 0


def test_all_files_are_examples_with_a_comment():
    assert len(EXAMPLES) >= 7
    for path in EXAMPLES:
        assert path.suffix == ".yaml", f"{path.name} is not run: only .yaml is"
        assert path.read_text().startswith("# "), f"{path.name} does not say what it shows"
    assert {path.name for path in EXAMPLES} >= NEEDS


def plays(run, example):
    name = str(example)
    before = set(run.host.links())
    count = len(json.loads(run("validate", "--json", name).stdout)["vifs"])
    run("plan", name)
    run("check", name, code=3)
    plugged = json.loads(run("plug", "--json", name).stdout)["vifs"]
    assert [vif["state"] for vif in plugged] == ["plugged"] * count
    links = run.host.links()
    held = {vif["id"]: vif for vif in json.loads(run("list", "--json").stdout)["vifs"]}
    for vif in plugged:
        ports = {port["name"]: port for port in held[vif["id"]]["ports"]}
        for device in vif["devices"]:
            assert device in links or device in ports
            if device in ports:
                assert ports[device]["ofport"] > 0
            if device in links:
                assert vif["id"] in links[device]["ifalias"]
                assert "UP" in links[device]["flags"]
    again = json.loads(run("plug", "--json", name).stdout)["vifs"]
    assert [vif["state"] for vif in again] == ["already_plugged"] * count
    run("check", name)
    drawn = run("show", name).stdout
    assert all(device in drawn for vif in plugged for device in vif["devices"])
    assert "!" not in drawn
    assert len(json.loads(run("list", "--json").stdout)["vifs"]) == count
    gone = json.loads(run("unplug", "--json", name).stdout)["vifs"]
    assert [vif["state"] for vif in gone] == ["unplugged"] * count
    assert json.loads(run("list", "--json").stdout)["vifs"] == []
    left = run.host.links()
    for device in left.keys() - before:
        # The bridges stay, for others; in user space they are taps of ovs-vswitchd's own.
        assert device in ("br-int", "ovs-netdev") or left[device]["ifalias"] == "os-vif shared"
    assert "os-vif" not in run.host.run("iptables", "-S").stdout


@pytest.mark.parametrize(
    "example",
    [path for path in EXAMPLES if path.name not in NEEDS],
    ids=lambda path: path.name,
)
def test_an_example(run, example):
    plays(run, example)


@pytest.mark.parametrize("name", sorted(NEED_SWITCH))
def test_an_example_on_open_vswitch(switched, name):
    plays(switched(), ROOT / "examples" / name)


@pytest.mark.parametrize("name", sorted(NEED_DPDK))
def test_an_example_on_open_vswitch_with_dpdk(switched, name):
    plays(switched(dpdk=True), ROOT / "examples" / name)


@pytest.mark.parametrize("name", sorted(NEED_SWITCH | NEED_DPDK))
def test_an_example_where_no_switch_runs(run, name):
    before = run.host.links()
    example = ROOT / "examples" / name
    said = run("plug", "--set", "ovs.ovs_vsctl_timeout=3", str(example), code=1).stderr
    assert "/nowhere/db.sock: No such file or directory" in said
    assert "is Open vSwitch running" in said
    assert run.host.links() == before


@pytest.mark.parametrize("name", sorted(NEED_CARD))
def test_an_example_with_a_network_card(switched, name):
    """See what it asks for; this host has no such card, which the error must say."""
    run, example = switched(), str(ROOT / "examples" / name)
    run("validate", example)
    drawn = run("show", "--no-check", example).stdout
    assert "rep-web" in drawn
    assert "representor of 0000:03:00.2" in drawn
    before = run.host.links()
    said = run("plug", example, code=1).stderr
    assert "0000:03:00.2" in said
    assert run.host.links() == before


@pytest.mark.parametrize("name", sorted(NEED_VLAN))
def test_an_example_with_a_vlan(run, name):
    """Run it where the kernel has VLANs; elsewhere see that the error names what is missing."""
    example = ROOT / "examples" / name
    if has_vlan(run.host):
        plays(run, example)
        return
    before = run.host.links()
    said = run("plug", str(example), code=1).stderr
    assert "this kernel cannot make a vlan device" in said
    assert "8021q" in said
    assert run.host.links() == before


@pytest.mark.lab
@pytest.mark.parametrize("name", sorted(NEED_VLAN))
def test_an_example_with_a_vlan_in_the_lab(run, name):
    plays(run, ROOT / "examples" / name)
