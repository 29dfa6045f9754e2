# SPDX-License-Identifier: Apache-2.0
"""What is plugged, written as a file that plugs it again: the same host, type by type."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest
import yaml

from tests.cli.conftest import BRIDGE, TAP, OsVif
from tests.debian import CACHE, locked
from tests.openvswitch import Switch

pytestmark = pytest.mark.functional

ID = "id: 5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea\n"
MAC = "mac: 52:54:00:12:34:56\n"
GUEST = "instance: {uuid: b679325f-ca89-4ee0-a8be-6db1409b69ea}\n"

LINUX = {
    "bridge": BRIDGE,
    "a guest of its own": BRIDGE + GUEST,
    "rules": BRIDGE.replace("filtered: true\n", ""),
    "MTU": BRIDGE + "network: {mtu: 9000}\n",
    "uplink": BRIDGE + "network: {uplink: eth1}\n",
    "port": BRIDGE + "isolated: true\nlearning: false\n",
    "MAC of OpenStack": BRIDGE.replace("52:54:00", "fa:16:3e"),
    "MAC that the id tells": BRIDGE.replace("name: tap0\n", "").replace("52:54:00", "a6:11:22"),
    "MAC that begins so": BRIDGE.replace("52:54:00", "fe:11:22"),
    "tap": TAP,
    "limits": TAP + "rate_to_guest: 10 Mbit\nburst_to_guest: 1 MiB\n",
    "kept to its MAC address": TAP + "anti_spoofing: mac\n",
    "kept to addresses": BRIDGE
    + "anti_spoofing: ip\nallowed_addresses: [192.0.2.5, 10.42.0.0/24, 00:00:5e:00:01:07]\n",
    "owner": TAP + "owner: 1234\nmulti_queue: true\nnetwork: {mtu: 1400}\n",
    "group": TAP + "group: 1234\n",
    "owner and group": TAP + "owner: root\ngroup: 1234\n",
    "everybody": TAP + "owner: ''\n",
    "routed": TAP
    + "options: {tap: {routed: true}}\nnetwork:\n  subnets:\n"
    + "  - {cidr: 192.0.2.0/24, gateway: 192.0.2.1, addresses: [192.0.2.10, 192.0.2.11],\n"
    + "     routes: [{to: 10.7.0.0/16, via: 192.0.2.11}, {to: 0.0.0.0/0, via: 192.0.2.1}]}\n"
    + "  - {cidr: '2001:db8::/64', gateway: '2001:db8::1', addresses: ['2001:db8::10'],\n"
    + "     routes: [{to: '2001:db8:7::/64', via: '2001:db8::10'}]}\n"
    + "  - {cidr: '2001:db8:1::/64', gateway: 'fe80::1'}\n",
    "routed, of IPv4 alone": TAP
    + "options: {tap: {routed: true}}\nnetwork:\n  subnets:\n"
    + "  - {cidr: 192.0.2.0/24, addresses: [192.0.2.10]}\n",
}


def again(osvif: OsVif, text: str, look, *more: str) -> list[dict]:
    """Plug, export, take away, plug what was exported; return that, once the host is the same."""
    osvif("plug", osvif.file(text), *more)
    before = look()
    written = osvif.file(osvif("export").stdout, "all.yaml")
    assert [vif["drifts"] for vif in osvif.json("check", written, *more)["vifs"]] == [[]]
    osvif("gc", "--keep-none", "--bridges", "--yes")
    assert look() != before
    osvif("plug", written, *more)
    assert look() == before
    osvif("check", "vif.yaml", *more)
    [vif] = yaml.safe_load((osvif.folder / written).read_text())["vifs"]
    assert osvif.json("export")["vifs"] == [vif]
    return vif


@pytest.mark.parametrize("said", LINUX)
def test_a_host_again(osvif, said):
    osvif.host.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "wire")
    osvif.host.run("ip", "link", "set", "eth1", "up")

    def look():
        shown = json.loads(osvif.host.run("ip", "-d", "-j", "link", "show").stdout)
        rules = osvif.host.run("iptables", "-S", "FORWARD").stdout
        rules += osvif.host.run("nft", "list", "tables", "netdev").stdout
        for family in ("-4", "-6"):
            rules += osvif.host.run("ip", family, "route", "show", "proto", "static").stdout
        rules += osvif.host.run("ip", "neigh", "show", "proxy").stdout
        return osvif.json("list")["vifs"], {it["ifname"]: steady(it) for it in shown}, rules

    again(osvif, LINUX[said], look)


def steady(link: dict) -> dict:
    """Return what ip link shows of a device, without what is of a moment."""
    info = link.get("linkinfo", {})
    told = {key: link.get(key) for key in ("mtu", "master", "ifalias", "address")}
    told["up"] = "UP" in link["flags"]
    told["port"] = {
        key: info.get("info_slave_data", {}).get(key) for key in ("isolated", "learning")
    }
    if info.get("info_kind") == "tun":
        told["tap"] = info["info_data"]
    return told


@pytest.fixture
def switch(osvif: OsVif, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switch]:
    """Return a switch on the command's host, where the command finds it by itself."""
    running = Switch(osvif.host, tcp=True)
    from tests.cli import conftest

    monkeypatch.setitem(conftest.ENVIRONMENT, "OVS_RUNDIR", str(running.folder))
    yield running
    running.close()


OVS = f"bridge: br-int\ndatapath: netdev\n{ID}{MAC}"
SWITCHED = {
    "port": f"type: openvswitch\nname: tap0\n{OVS}{GUEST}",
    "logical port": f"type: openvswitch\nname: tap0\n{OVS}"
    "interface_id: 437c6db5-4e6f-4b43-b64b-ed6a11ee5ba7\nnetwork: {mtu: 1400}\n",
    "VLAN": f"type: openvswitch\nname: tap0\n{OVS}vlan: 5\n",
    "trunk": f"type: openvswitch\nname: tap0\n{OVS}trunks: [10, 20-29]\n",
    "all VLANs": f"type: openvswitch\nname: tap0\n{OVS}vlan_mode: trunk\n",
    "native VLAN": f"type: openvswitch\nname: tap0\n{OVS}vlan: 5\ntrunks: [7]\n"
    "vlan_mode: native-tagged\n",
    "limits": f"type: openvswitch\nname: tap0\n{OVS}rate_to_guest: 10 Mbit\n",
    "waiting": f"type: openvswitch\nname: tap0\n{OVS}create_tap: false\n",
    "a bridge of its own": f"type: openvswitch\nname: tap0\n{OVS}vlan: 5\nrate_to_guest: 10 Mbit\n"
    "options: {ovs: {per_port_bridge: true}}\n",
    "waiting on a bridge of its own": f"type: openvswitch\nname: tap0\n{OVS}create_tap: false\n"
    "options: {ovs: {per_port_bridge: true}}\n",
    "hybrid": f"type: openvswitch-hybrid\n{OVS}vlan: 5\n",
}


@pytest.mark.parametrize("said", SWITCHED)
def test_a_switch_again(osvif, switch, said):
    def look():
        columns = "name,tag,trunks,vlan_mode"
        found = switch.vsctl("--columns", columns, "-f", "csv", "list", "Port")
        columns = "name,type,options,external_ids,mtu_request,ingress_policing_rate"
        columns += ",ingress_policing_burst"
        bridges = switch.vsctl("--columns", "name,datapath_type", "-f", "csv", "list", "Bridge")
        interfaces = switch.vsctl("--columns", columns, "-f", "csv", "list", "Interface")
        return (
            sorted(found.splitlines()),
            sorted(interfaces.splitlines()),
            sorted(bridges.splitlines()),
            switch.vsctl("--columns", "type,other_config", "-f", "csv", "list", "QoS"),
            sorted(
                (vif["id"], vif["instance"], it["name"], it["kind"], it["mtu"], it["master"])
                for vif in osvif.json("list")["vifs"]
                for it in vif["devices"]
            ),
        )

    again(osvif, SWITCHED[said], look)


@pytest.mark.xdist_group("dpdk switch")
@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_socket_of_the_switch_again(osvif, monkeypatch, mode):
    from tests.cli import conftest

    with (
        locked(CACHE / "dpdk-switch.lock"),
        contextlib.closing(Switch(osvif.host, tcp=True, dpdk=True)) as running,
    ):
        monkeypatch.setitem(conftest.ENVIRONMENT, "OVS_RUNDIR", str(running.folder))
        path = f"path: {osvif.folder}/vhu\n" if mode == "server" else ""
        said = f"type: openvswitch-vhostuser\nmode: {mode}\n{path}{OVS}network: {{mtu: 1400}}\n"
        columns = "name,type,options,external_ids,mtu_request"
        bridges = ("--columns", "name,datapath_type", "-f", "csv", "list", "Bridge")

        def look():
            found = running.vsctl("--columns", columns, "-f", "csv", "list", "Interface")
            return sorted(found.splitlines()), running.vsctl(*bridges)

        vif = again(osvif, said, look)
        assert (vif["mode"], "path" in vif) == (mode, mode == "server")


def test_what_an_agent_has_set_is_not_exported(osvif, switch):
    osvif("plug", osvif.file(SWITCHED["port"]))
    switch.vsctl("set", "Port", "tap0", "tag=9")
    [vif] = osvif.json("export")["vifs"]
    assert "vlan" not in vif


def test_a_vif_of_which_too_little_is_known_is_named(osvif, switch):
    own = "options: {ovs: {per_port_bridge: true}}\n"
    osvif("plug", osvif.file(SWITCHED["port"] + own), osvif.file(TAP, "tap.yaml"))
    [patch] = switch.vsctl("list-ports", "br-int").split()
    switch.vsctl("del-port", "br-int", patch)
    done = osvif("export", code=1)
    assert "error: " in done.stderr
    assert "it has no ports of Open vSwitch here, and one is its own" in done.stderr
    assert [vif["name"] for vif in yaml.safe_load(done.stdout)["vifs"]] == ["tap1"]
    found = osvif.json("export", code=1)
    assert [vif["name"] for vif in found["vifs"]] == ["tap1"]
    assert [error["type"] for error in found["errors"]] == ["NotTold"]


ROUTED = TAP + "network: {subnets: [{cidr: 192.0.2.0/24, addresses: [192.0.2.10]}]}\n"


def test_ports_with_and_without_bridges_of_their_own(osvif, switch):
    own = "options: {ovs: {per_port_bridge: true}}\n"
    osvif("plug", osvif.file(SWITCHED["port"] + own))
    osvif("plug", osvif.file(SWITCHED["port"].replace("tap0", "tap2").replace("5f4ab", "6f4ab")))
    done = osvif("export", code=1)
    assert "it takes per_port_bridge: true (options: ovs)" in done.stderr
    assert [vif["name"] for vif in yaml.safe_load(done.stdout)["vifs"]] == ["tap2"]
    [alone] = yaml.safe_load_all(osvif("export", "tap0").stdout)
    assert alone["options"] == {"ovs": {"per_port_bridge": True}}


def test_routes_to_a_guest_are_not_guessed(osvif):
    osvif("plug", osvif.file(ROUTED + "options: {tap: {routed: true}}\n"))
    osvif.host.run("ip", "route", "delete", "192.0.2.10/32")
    said = osvif("export", code=1).stderr
    assert "tap1: not exported: the host answers for others on tap1" in said


def test_what_counts_for_a_whole_call_is_written_of_most(osvif):
    """What differs is named; by itself it is exported, even where this host's own file says so."""
    osvif("plug", osvif.file(ROUTED + "options: {tap: {routed: true}}\n"))
    osvif("plug", osvif.file(TAP.replace("tap1", "tap2").replace(":57", ":58")))
    done = osvif("export", code=1)
    assert "error: tap1: not exported: it takes routed: true (options: tap)" in done.stderr
    assert "options" not in yaml.safe_load(done.stdout)
    alone = yaml.safe_load(osvif("export", "tap1").stdout)
    assert alone["options"] == {"tap": {"routed": True}}
    assert osvif.json("export", "tap1")["options"] == alone["options"]
    here = osvif.file("[os_vif_tap]\nrouted = true\n", "own.conf")
    done = osvif("export", "tap2", "--config-file", here)
    assert (done.stderr, yaml.safe_load(done.stdout)["options"]) == ("", {"tap": {"routed": False}})
    written = osvif.file(done.stdout, "again.yaml")
    assert "healthy" in osvif("check", "--config-file", here, written).stdout


def test_what_is_not_known_is_said(osvif):
    osvif("plug", osvif.file(BRIDGE))
    text = osvif("export").stdout
    assert "# not told here: id, label and subnets of the network" in text
    assert (
        "# not told here: the first byte of mac: the tap on the host has fe:54:00:12:34:56" in text
    )
    found = osvif.json("export")
    assert found["unknown"][found["vifs"][0]["id"]][1].startswith("the first byte of mac")


def test_one_of_many(osvif):
    osvif("plug", osvif.file(BRIDGE + "---\n" + TAP))
    assert [vif["name"] for vif in osvif.json("export", "tap1")["vifs"]] == ["tap1"]
    assert "did you mean 'tap1'?" in osvif("export", "tpa1", code=2).stderr


def test_each_owner_keeps_what_is_its_own(osvif):
    file = osvif.file(
        "owner: 'null'\nvifs:\n- {type: tap, name: tap1, mac: '52:54:00:12:34:57'}\n---\n"
        "vifs:\n- {type: tap, name: tap2, mac: '52:54:00:12:34:58', instance: {name: db}}\n"
    )
    osvif("plug", file)
    found = osvif.json("export")
    assert list(found["owners"].values()) == ["null"]
    assert found["warnings"] == []
    text = osvif("export").stdout
    assert {it.get("owner") for it in yaml.safe_load_all(text)} == {"null", None}
    again = osvif.file(text, "again.yaml")
    assert "healthy" in osvif("check", again).stdout
    with osvif.nothing_changed():
        osvif("plug", again)
    assert [vif["name"] for vif in osvif.json("export", "db")["vifs"]] == ["tap2"]


def test_nothing_is_plugged(osvif):
    assert yaml.safe_load(osvif("export").stdout) == {"vifs": []}


def test_what_has_drifted_is_told(osvif):
    osvif("plug", osvif.file(TAP))
    osvif.host.run("ip", "link", "set", "tap1", "down")
    done = osvif("export")
    assert "plugging it again would change this" in done.stderr
    assert yaml.safe_load(done.stdout)["vifs"][0]["name"] == "tap1"


def test_a_bridge_of_the_hosts_own(osvif):
    osvif.host.run("ip", "link", "add", "br0", "type", "bridge")
    osvif("plug", osvif.file(BRIDGE + "create_bridge: false\n"))
    [vif] = osvif.json("export")["vifs"]
    assert vif["create_bridge"] is False


def test_a_mark_of_another_plugin(osvif):
    osvif.host.run("ip", "tuntap", "add", "tap5", "mode", "tap")
    osvif.host.run("ip", "link", "set", "tap5", "address", "fe:54:00:12:34:56")
    osvif.host.run("ip", "link", "set", "tap5", "alias", "os-vif vif=x.y plugin=tap")
    said = osvif("export", code=1).stderr
    assert "tap5: not exported: id: 'x.y' cannot be used; expected a UUID" in said
    osvif.host.run("ip", "link", "set", "tap5", "alias", "os-vif vif=x.y plugin=theirs")
    said = osvif("export", code=1).stderr
    assert "tap5: not exported: no type tells what plugin 'theirs' has plugged" in said
