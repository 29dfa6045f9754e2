# SPDX-License-Identifier: Apache-2.0
"""Specifications of VIFs on Open vSwitch: what they become, and their mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

import os_vif
from os_vif.cli import configuration
from os_vif.cli.specs import reader
from os_vif.cli.specs.refused import BadInput
from os_vif.host.functions.resources import Representor
from os_vif.host.links.resources import Bridge, Tap, Veth
from os_vif.host.openvswitch.resources import OvsBridge, OvsPort
from os_vif.objects.vif import DatapathOffloadRepresentor, VIFBase
from os_vif.specs.problems import Problem

ID = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
OTHER_ID = "b679325f-ca89-4ee0-a8be-6db1409b69ea"
PORT = f"type: openvswitch\nbridge: br-int\nid: {ID}\nmac: 52:54:00:12:34:56\n"
HYBRID = PORT.replace("openvswitch", "openvswitch-hybrid")
SOCKET = (
    PORT.replace("openvswitch", "openvswitch-vhostuser") + "mode: server\npath: /run/web.sock\n"
)
DEVICE = PORT.replace("openvswitch", "openvswitch-hostdev") + 'device: "0000:03:00.2"\n'


@pytest.fixture(autouse=True)
def as_the_command_has_it() -> Iterator[None]:
    os_vif.initialize()
    for (group, name), value in configuration.COMMAND_DEFAULTS.items():
        cfg.CONF.set_default(name, value, group=group)
    yield
    for group, name in configuration.COMMAND_DEFAULTS:
        cfg.CONF.clear_default(name, group=group)
    forget_options()


def forget_options() -> None:
    rates = ("rates_to_guest", "rates_from_guest", "bursts_from_guest", "bursts_to_guest")
    for name in ("port_vlans", "port_trunks", "port_vlan_modes", *rates):
        cfg.CONF.clear_override(name, group="os_vif_ovs")


def described(text: str) -> tuple[VIFBase, list[Any]]:
    batch = reader.Batch()
    reader.read_text("f.yaml", text, batch)
    if batch.problems:
        raise BadInput(batch.problems)
    configuration.apply({}, [], batch.said)
    [request] = reader.describe_all(batch)
    assert request is not None
    return batch.entries[0].vif, list(request.topology.resources)


def problem_of(text: str) -> Problem:
    with pytest.raises(BadInput) as caught:
        described(text)
    [problem] = caught.value.problems
    return problem


def test_the_shortest_port() -> None:
    vif, [tap, switch, port] = described(PORT)
    assert (vif.obj_name(), vif.plugin, vif.port_profile.interface_id) == (
        "VIFOpenVSwitch",
        "ovs",
        ID,
    )
    assert (type(tap), tap.name, tap.multi_queue) == (Tap, "tap5f4ab6c1-ca", None)
    assert switch == OvsBridge(name="br-int")
    assert (type(port), port.name, port.attached) == (OvsPort, "tap5f4ab6c1-ca", True)


def test_everything_a_port_can_say() -> None:
    _vif, [tap, switch, port] = described(
        PORT
        + f"name: tap0\ninterface_id: {OTHER_ID}\ndatapath: netdev\nmulti_queue: yes\n"
        + "instance: {name: web}\nnetwork: {label: lan, mtu: 9000}\n"
    )
    assert (tap.name, tap.mtu, tap.multi_queue) == ("tap0", 9000, True)
    assert switch.datapath_type == "netdev"
    assert port.external_ids["iface-id"] == OTHER_ID
    assert "vm-uuid" in port.external_ids


def test_a_tap_of_the_hypervisors() -> None:
    _vif, [_switch, port] = described(PORT + "create_tap: false\n")
    assert not port.attached


def test_a_port_of_the_hypervisors() -> None:
    assert described(PORT + "create_port: false\n")[1] == [OvsBridge(name="br-int")]


def test_hybrid() -> None:
    vif, [bridge, veth, _switch, port] = described(HYBRID)
    assert (vif.obj_name(), vif.plugin) == ("VIFBridge", "ovs")
    assert (type(bridge), bridge.name) == (Bridge, "qbr5f4ab6c1-ca")
    assert (type(veth), veth.name, veth.peer) == (Veth, "qvb5f4ab6c1-ca", "qvo5f4ab6c1-ca")
    assert port.name == "qvo5f4ab6c1-ca"


def test_vhost_user() -> None:
    vif, [switch, port] = described(SOCKET)
    assert (vif.obj_name(), vif.plugin) == ("VIFVHostUser", "ovs")
    assert switch.datapath_type == "netdev"
    assert (port.name, port.type) == ("vhu5f4ab6c1-ca", "dpdkvhostuserclient")
    assert port.options == {"vhost-server-path": "/run/web.sock"}
    client = SOCKET.replace("mode: server\npath: /run/web.sock", "mode: client")
    assert described(client)[1][1].type == "dpdkvhostuser"


def test_a_host_device() -> None:
    vif, [representor, switch, port] = described(DEVICE + "name: rep0\n")
    assert (vif.obj_name(), vif.plugin, vif.dev_type) == ("VIFHostDevice", "ovs", "ethernet")
    offload = vif.port_profile.datapath_offload
    assert isinstance(offload, DatapathOffloadRepresentor)
    assert (offload.representor_name, offload.representor_address) == ("rep0", "0000:03:00.2")
    assert (type(representor), representor.name) == (Representor, "rep0")
    assert switch.datapath_type == "system"
    assert (port.name, port.behind) == ("rep0", "0000:03:00.2")


@pytest.mark.parametrize("text", [PORT, HYBRID])
def test_limits(text: str) -> None:
    said = text + "rate_to_guest: 1.5 Mbit\nrate_from_guest: 80 Mbit\n"
    assert described(said)[1][-1].settings == {
        "max_rate": 1_500_000,
        "ingress_policing_rate": 80_000,
        "ingress_policing_burst": 8_000,
    }
    port = described(said + "burst_from_guest: 200 kB\n")[1][-1]
    assert port.settings["ingress_policing_burst"] == 1_600


@pytest.mark.parametrize("text", [PORT, HYBRID, SOCKET, DEVICE])
def test_vlans(text: str) -> None:
    said = text + "vlan: 7\ntrunks: [8, 10-12]\nvlan_mode: native-tagged\n"
    port = described(said)[1][-1]
    assert isinstance(port, OvsPort)
    expected = {"tag": 7, "trunks": [8, 10, 11, 12], "vlan_mode": "native-tagged"}
    assert port.settings == expected
    other = text.replace(ID, OTHER_ID)
    assert described(other)[1][-1].settings == {}, "they are one VIF's"


@pytest.mark.parametrize(
    "text", [PORT, HYBRID, SOCKET, DEVICE], ids=["port", "hybrid", "socket", "device"]
)
def test_without_an_id_it_is_derived_and_is_the_logical_port_too(text: str) -> None:
    vif, _resources = described(text.replace(f"id: {ID}\n", ""))
    assert vif.id == "73813942-a9a0-52d6-905c-51af55881044"
    assert vif.port_profile.interface_id == vif.id


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        (PORT + "datapath: kernel", "datapath", "expected system or netdev"),
        (PORT + "interface_id: 5", "interface_id", "a UUID"),
        (PORT + "create_port: no\ncreate_tap: yes", "create_tap", "create_port: false"),
        (PORT + "create_port: no\nmulti_queue: yes", "multi_queue", "create_port: false"),
        (PORT + "multiqueue: yes", "multiqueue", "did you mean 'multi_queue'?"),
        (PORT + "mtu: 1400", "mtu", "did you mean 'network.mtu'?"),
        (PORT.replace("type: openvswitch", "type: openvswich"), "type", "mean 'openvswitch'?"),
        (HYBRID + "create_tap: no", "create_tap", "unknown field"),
        (PORT + "vlan: 0", "vlan", "from 1 to 4094"),
        (PORT + "vlan: 4095", "vlan", "from 1 to 4094"),
        (PORT + "trunks: 7", "trunks", "write [7]"),
        (PORT + "trunks: [7, 9-8]", "trunks[1]", "as in 10 20-29"),
        (PORT + "trunks: [4095]", "trunks[0]", "from 0 to 4094"),
        (PORT + "vlan: 7\ntrunks: [8]", "vlan_mode", "native-tagged or native-untagged"),
        (PORT + "vlan: 7\nvlan_mode: trunk", "vlan", "none with vlan_mode trunk"),
        (PORT + "trunks: [7]\nvlan_mode: access", "vlan", "a VLAN id, for vlan_mode access"),
        (PORT + "vlan: 7\ntrunks: [7]\nvlan_mode: access", "trunks", "none with vlan_mode acc"),
        (PORT + "vlan_mode: native-tagged", "vlan", "a VLAN id, for vlan_mode native-tagged"),
        (PORT + "vlan_mode: hybrid", "vlan_mode", "access or trunk"),
        (PORT + "rate_to_guest: 10 MB", "rate_to_guest", "as in 100 Mbit"),
        (PORT + "rate_from_guest: 10", "rate_from_guest", "from 8 kbit to 1000 Gbit"),
        (PORT + "burst_from_guest: 64 KiB", "burst_from_guest", "a rate_from_guest beside it"),
        (PORT + "burst_to_guest: 64 KiB", "burst_to_guest", "unknown field"),
        (SOCKET + "rate_to_guest: 10 Mbit", "rate_to_guest", "unknown field"),
        (PORT + "inbound: 10 Mbit", "inbound", "did you mean 'rate_to_guest'?"),
        (PORT + "tag: 7", "tag", "did you mean 'vlan'?"),
        (SOCKET.replace("mode: server\n", ""), "mode", "client or server"),
        (SOCKET.replace("mode: server", "mode: both"), "mode", "expected client or server"),
        (SOCKET.replace("path: /run/web.sock\n", ""), "path", "at which socket"),
        (SOCKET.replace(" /run/web.sock", ""), "path", "at which socket"),
        (SOCKET.replace("/run/web.sock", "web.sock"), "path", "an absolute path"),
        (SOCKET.replace("/run/web.sock", "/" + 107 * "x"), "path", "at most 107 bytes"),
        (SOCKET + "datapath: system", "datapath", "expected netdev"),
        (DEVICE.replace("0000:03:00.2", "eth0"), "device", "as in 0000:3b:00.2"),
        (DEVICE + "representor_name: r", "representor_name", "did you mean 'name'?"),
    ],
)
def test_a_mistake(text: str, field: str, said: str) -> None:
    problem = problem_of(text)
    assert problem.field == field
    assert said in problem.message


def test_a_socket_of_the_longest_path_is_taken() -> None:
    path = "/" + 106 * "x"
    _vif, [_switch, port] = described(SOCKET.replace("/run/web.sock", path))
    assert port.options["vhost-server-path"] == path


def test_the_server_of_an_option_is_checked_before_anything_is_touched() -> None:
    cfg.CONF.set_override("ovsdb_connection", "br-int", group="os_vif_ovs")
    try:
        assert "unix:FILE" in problem_of(PORT).message
    finally:
        cfg.CONF.clear_override("ovsdb_connection", group="os_vif_ovs")
