# SPDX-License-Identifier: Apache-2.0
"""Every file of examples/ is run for real, as its reader would run it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from os_vif.host.links.questions import is_shared
from os_vif.host.port_profiles.system import vdp
from os_vif.host.vhost_user.system import testpmd
from tests import dnsmasq, dpdk
from tests.command import ForkServer
from tests.conftest import HostWithRun, PrivateHost
from tests.lldpad import PROBES, Lldpad, agree, until
from tests.openvswitch import Switch
from tests.port_responder import ASSOCIATE, DISASSOCIATE, PortResponder

pytestmark = pytest.mark.functional

ROOT = Path(__file__).resolve().parents[2]
SERVER = ForkServer(os.environ)
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*") if path.is_file())
"""The package below them has its tests in test_family.py."""
NEED_VLAN = {"bridge-vlan.yaml"}
NEED_FILTERING = {"bridge-vlans.yaml"}
_MODES = ("", "-own-bridge", "-hybrid", "-vlans", "-limits")
NEED_SWITCH = {f"openvswitch{mode}.yaml" for mode in _MODES}
NEED_CHASSIS = {"ovn-networks.yaml"}
NEED_DPDK = {"openvswitch-vhostuser.yaml"}
NEED_CARD = {
    "openvswitch-hostdev.yaml": ["rep-web", "representor of 0000:03:00.2"],
    "sriov.yaml": ["0000:03:10.2", "MAC 52:54:00:12:34:61", "VLAN 5"],
}
NEED_LLDPAD = {"macvtap-vepa-vsi.yaml"}
NEED_PROFILES = {"macvtap-profile.yaml"}
NEED_TESTPMD = {"fastpath-bridge.yaml", "fastpath-tap.yaml"}
NEED_FP_VDEV = {"fastpath-openvswitch.yaml"}
NEED_SOCKET = {"vhostuser.yaml"}
NEED_DNSMASQ = {"bridge-internet.yaml"}
NEEDS = (
    NEED_VLAN
    | NEED_FILTERING
    | NEED_TESTPMD
    | NEED_FP_VDEV
    | NEED_SOCKET
    | NEED_DNSMASQ
    | NEED_SWITCH
    | NEED_CHASSIS
    | NEED_DPDK
    | NEED_LLDPAD
    | NEED_PROFILES
    | NEED_CARD.keys()
)


@pytest.fixture
def run(host):
    # The uplink that some of them name.
    host.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far1")
    host.run("ip", "link", "set", "eth1", "up")
    host.run("ip", "link", "set", "far1", "up")
    # The kernel tells of a carrier a moment later; what is compared must not change by itself.
    until(lambda: not any("NO-CARRIER" in link["flags"] for link in host.links().values()))

    def run(*words, code=0):
        # Where Open vSwitch's own tools look for it; no test meets the machine's.
        environment = os.environ | {"OVS_RUNDIR": run.folder} | run.environment
        done = run.server.run(run.seen, *words, env=environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    run.host = run.seen = host
    run.folder = "/nowhere"
    run.environment = {}
    run.server = SERVER
    yield run
    if run.seen is not host:
        run.seen.close()
    if run.server is not SERVER:
        run.server.close()


@pytest.fixture
def switched(run):
    """Return what starts a switch beside the command."""
    switches = []

    def start(**options):
        switches.append(Switch(run.host, **options))
        run.folder = str(switches[0].folder)
        run.switch = switches[0]
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


def has_vlan_filtering(host):
    host.run("ip", "link", "add", "probe", "type", "bridge")
    words = ("ip", "link", "set", "probe", "type", "bridge", "vlan_filtering", "1")
    made = host.run(*words, check=False)
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
        assert device in ("br-int", "ovs-netdev") or is_shared(left[device]["ifalias"])
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


@pytest.mark.parametrize("name", sorted(NEED_CHASSIS))
def test_an_example_on_a_chassis_of_ovn(switched, name):
    run = switched()
    # There is one: ovn-controller makes it.
    run.switch.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
    plays(run, ROOT / "examples" / name)


@pytest.mark.parametrize("name", sorted(NEED_DPDK))
def test_an_example_on_open_vswitch_with_dpdk(switched, name):
    plays(switched(dpdk=True), ROOT / "examples" / name)


@pytest.mark.parametrize("name", sorted(NEED_DNSMASQ))
def test_an_example_with_dnsmasq(run, name):
    run.environment = {"PATH": f"{dnsmasq.folder()}:{os.environ['PATH']}"}
    try:
        plays(run, ROOT / "examples" / name)
        assert "os-vif" not in run.host.run("nft", "list", "tables").stdout
        assert run.host.python(dnsmasq.running) == []
    finally:
        run.host.python(dnsmasq.end)


@pytest.mark.parametrize("name", sorted(NEED_DNSMASQ))
def test_an_example_where_there_is_no_dnsmasq(run, name):
    before = run.host.links()
    example = str(ROOT / "examples" / name)
    said = run("plug", "--set", "dnsmasq.command=/nowhere/dnsmasq", example, code=1).stderr
    assert "there is no command /nowhere/dnsmasq on this host; install" in said
    assert run.host.links() == before


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
    assert all(words in drawn for words in NEED_CARD[name])
    before = run.host.links()
    said = run("plug", example, code=1).stderr
    assert "this host has no such PCI device" in said
    assert run.host.links() == before


# --- vhost-user -----------------------------------------------------------------------------------

FP_VDEV = """\
#!/bin/sh
case "$1 $3 $5" in
"add --sockpath --sockmode") ip tuntap add dev "$2" mode tap ;;
"del  ") ip link delete "$2" ;;
*) exit 2 ;;
esac
"""
"""What stands in for the command of 6WIND's, which is not public."""


@pytest.fixture
def with_sockets(run, tmp_path):
    """Return a command that has a /run of its own, with the folder that the examples name."""
    (tmp_path / "run" / "vhost").mkdir(parents=True)
    run.seen = HostWithRun(run.host, str(tmp_path / "run"))
    run.sockets = tmp_path / "run" / "vhost"
    return run


def configured(run, folder, **options):
    """Have the command read these options of the fast path, from where a user has them."""
    (folder / ".os-vif").mkdir()
    lines = [f"{name} = {value}\n" for name, value in options.items()]
    (folder / ".os-vif" / "os-vif.conf").write_text("".join(["[os_vif_vhostuser_fp]\n", *lines]))
    run.environment = {"HOME": str(folder)}
    run.server = ForkServer(os.environ | run.environment)


def commands_of(settings):
    return {
        "testpmd_command": shlex.join(settings.command),
        "testpmd_eal": shlex.join(settings.eal),
    }


@pytest.mark.xdist_group("fast path")
@pytest.mark.parametrize("name", sorted(NEED_TESTPMD))
def test_an_example_with_testpmd(with_sockets, name, tmp_path):
    run, example = with_sockets, ROOT / "examples" / name
    configured(run, tmp_path, **commands_of(dpdk.settings()))
    with dpdk.turn():
        try:
            plays(run, example)
        finally:
            run("unplug", str(example))
    assert list(run.sockets.iterdir()) == []


@pytest.mark.parametrize("name", sorted(NEED_TESTPMD | NEED_FP_VDEV))
def test_an_example_where_no_back_end_is_installed(switched, with_sockets, name, tmp_path):
    run = switched()
    configured(
        run, tmp_path, fp_vdev_command="/nowhere/fp-vdev", testpmd_command="/nowhere/testpmd"
    )
    before = run.host.links()
    said = run("plug", str(ROOT / "examples" / name), code=1).stderr
    assert "/nowhere/" in said
    assert run.host.links().keys() - before.keys() <= {"br0", "br-int", "ovs-netdev"}


@pytest.mark.xdist_group("fast path")
@pytest.mark.parametrize("name", sorted(NEED_FP_VDEV))
def test_an_example_with_fp_vdev(switched, with_sockets, name, tmp_path):
    """Run it with a stand-in, and with the back end that there is for everybody."""
    run, example = switched(), ROOT / "examples" / name
    command = tmp_path / "fp-vdev"
    command.write_text(FP_VDEV)
    command.chmod(0o755)
    settings = dpdk.settings()
    configured(run, tmp_path, fp_vdev_command=command, **commands_of(settings))
    plays(run, example)
    with dpdk.turn():
        text = f"{example.read_text()}options:\n  vhostuser_fp: {{back_end: testpmd}}\n"
        open_one = tmp_path / name
        open_one.write_text(text)
        plays(run, open_one)


@pytest.mark.xdist_group("fast path")
@pytest.mark.parametrize("name", sorted(NEED_SOCKET))
def test_an_example_with_another_program(with_sockets, name, tmp_path):
    """Run it with a real back end that the test has started, where the example expects one."""
    run, example = with_sockets, str(ROOT / "examples" / name)
    assert "it is not there" in run("plug", example, code=1).stderr
    assert "it is not there" in run("check", example, code=3).stdout
    run.host.run("ip", "tuntap", "add", "dev", "other", "mode", "tap", "multi_queue")
    path = str(run.sockets / "switch.sock")
    with dpdk.turn(), run.host.enter():
        testpmd.start("other", path, listen=True, mac=None, settings=dpdk.settings())
        try:
            assert json.loads(run("plug", "--json", example).stdout)["vifs"][0]["state"]
            run("check", example)
            assert "!" not in run("show", example).stdout
            run("unplug", example)
            assert (run.sockets / "switch.sock").is_socket(), "it is another program's"
        finally:
            testpmd.stop("other")
    run("check", example, code=3)


# --- what the switch is told ----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(NEED_LLDPAD))
def test_an_example_with_lldpad(run, name, monkeypatch):
    """Run it with two real ones: the station's, and one that is the switch."""
    host, beside = run.host, PrivateHost()
    with contextlib.closing(beside), contextlib.ExitStack() as running:
        host.run("ip", "link", "set", "far1", "netns", str(beside.pid), "name", "wire0")
        beside.run("ip", "link", "set", "wire0", "up")
        station = running.enter_context(contextlib.closing(Lldpad(host, "eth1", "station")))
        far = running.enter_context(contextlib.closing(Lldpad(beside, "wire0", "bridge")))
        monkeypatch.setattr(vdp, "PID_FILE", station.pid_file)
        with host.enter():
            agree("eth1", iter(PROBES), lambda instance: instance in far.listed())
            until(lambda: not far.listed())
        # Its PID file is where lldpad has it, for the command as for itself.
        run.seen = HostWithRun(host, str(station.pid_file.parent))
        example = str(ROOT / "examples" / name)
        plugged = json.loads(run("plug", "--json", example).stdout)["vifs"]
        assert list(far.listed()) == [vif["id"] for vif in plugged], "the switch knows"
        run("unplug", example)
        until(lambda: not far.listed())
        plays(run, ROOT / "examples" / name)
        until(lambda: not far.listed())


@pytest.mark.parametrize("name", sorted(NEED_LLDPAD))
def test_an_example_where_no_lldpad_runs(run, name, tmp_path):
    before = run.host.links()
    run.seen = HostWithRun(run.host, str(tmp_path))
    said = run("plug", str(ROOT / "examples" / name), code=1).stderr
    assert "lldpad is not running" in said
    assert run.host.links() == before


@pytest.mark.parametrize("name", sorted(NEED_PROFILES))
def test_an_example_where_the_driver_knows_no_profiles(run, name):
    """The one thing about it that can be had without such a card: the kernel's own refusal."""
    before = run.host.links()
    said = run("plug", str(ROOT / "examples" / name), code=1).stderr
    assert 'could not give eth1 the port profile "gold"' in said
    assert "its driver veth has no such operation" in said
    assert run.host.links() == before


@pytest.mark.parametrize("name", sorted(NEED_PROFILES))
def test_an_example_with_a_port_profile(run, name, tmp_path):
    """Run it against what stands in for the driver; no such card has been tried."""
    with contextlib.closing(PortResponder(run.host)) as driver:
        stand_in = (
            f"#!{sys.executable}\nfrom os_vif.cli.main import main\n"
            "from os_vif.host.port_profiles.system import port_profile\n"
            f"port_profile.ADDRESSEE = {driver.port_id}\nmain()\n"
        )
        command = tmp_path / "os-vif"
        command.write_text(stand_in)
        command.chmod(0o755)
        run.server = ForkServer(os.environ, str(command))
        plays(run, ROOT / "examples" / name)
        assert [wish.request for wish in driver.wishes] == [ASSOCIATE, DISASSOCIATE]
        assert driver.wishes[0].profile == "gold"


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


@pytest.mark.parametrize("name", sorted(NEED_FILTERING))
def test_an_example_with_vlans_of_a_bridge(run, name):
    """Run it where bridges filter VLANs; elsewhere see that the error names what is missing."""
    example = ROOT / "examples" / name
    if has_vlan_filtering(run.host):
        plays(run, example)
        return
    before = run.host.links()
    said = run("plug", str(example), code=1).stderr
    assert "this kernel's bridges know no VLANs (CONFIG_BRIDGE_VLAN_FILTERING)" in said
    assert run.host.links() == before


@pytest.mark.lab
@pytest.mark.parametrize("name", sorted(NEED_VLAN | NEED_FILTERING))
def test_an_example_with_a_vlan_in_the_lab(run, name):
    plays(run, ROOT / "examples" / name)
