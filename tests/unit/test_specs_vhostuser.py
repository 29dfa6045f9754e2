# SPDX-License-Identifier: Apache-2.0
"""Specifications of vhost-user ports that are not Open vSwitch's own, and their mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

import os_vif
from os_vif.cli import configuration
from os_vif.cli.specs import reader
from os_vif.cli.specs.refused import BadInput
from os_vif.host.links.resources import Bridge, Tap, Veth
from os_vif.host.openvswitch.resources import OvsBridge, OvsPort
from os_vif.host.vhost_user.resources import BackEnd, FastPathDevice, VhostSocket
from os_vif.objects.vif import VIFBase
from os_vif.specs.problems import Problem
from tests import vifs

ID = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
OTHER_ID = "b679325f-ca89-4ee0-a8be-6db1409b69ea"
SOCKET = f"id: {ID}\nmode: server\npath: /run/vhost/web.sock\nmac: 52:54:00:12:34:56\n"
ANY = "type: vhostuser\n" + SOCKET
BRIDGE = "type: fastpath-bridge\nbridge: br7\n" + SOCKET
SWITCH = "type: fastpath-openvswitch\nbridge: br-int\n" + SOCKET
TAP = "type: fastpath-tap\n" + SOCKET
ALL = {"any": ANY, "bridge": BRIDGE, "switch": SWITCH, "tap": TAP}


@pytest.fixture(autouse=True)
def as_the_command_has_it() -> Iterator[None]:
    os_vif.initialize()
    for (group, name), value in configuration.COMMAND_DEFAULTS.items():
        cfg.CONF.set_default(name, value, group=group)
    yield
    for group, name in configuration.COMMAND_DEFAULTS:
        cfg.CONF.clear_default(name, group=group)


@pytest.fixture
def six_wind() -> Iterator[None]:
    with vifs.configured("vhostuser_fp", back_end="6wind"):
        yield


def described(text: str) -> tuple[VIFBase, list[Any]]:
    batch = reader.Batch()
    reader.read_text("f.yaml", text, batch)
    if batch.problems:
        raise BadInput(batch.problems)
    [request] = reader.describe_all(batch)
    assert request is not None
    return batch.entries[0].vif, list(request.topology.resources)


def problem_of(text: str) -> Problem:
    with pytest.raises(BadInput) as caught:
        described(text)
    [problem] = caught.value.problems
    return problem


def test_any_program_s() -> None:
    vif, resources = described(ANY)
    assert (vif.obj_name(), vif.plugin, vif.mode, vif.path) == (
        "VIFVHostUser",
        "noop",
        "server",
        "/run/vhost/web.sock",
    )
    assert resources == []
    with vifs.configured("noop", verify_sockets=True, hypervisor_user="libvirt-qemu"):
        assert described(ANY)[1] == [
            VhostSocket(path="/run/vhost/web.sock", listens=False, user="libvirt-qemu")
        ]


def test_on_a_bridge(six_wind: None) -> None:
    vif, [bridge, device] = described(BRIDGE)
    assert (vif.plugin, vif.port_profile.obj_name()) == ("vhostuser_fp", "VIFPortProfileFPBridge")
    assert bridge == Bridge(name="br7", mtu=1500)
    assert isinstance(device, FastPathDevice)
    assert (device.name, device.bridge, device.listens) == ("vhu5f4ab6c1-ca", "br7", False)


def test_on_open_vswitch(six_wind: None) -> None:
    vif, [device, bridge, port] = described(SWITCH)
    assert vif.port_profile.obj_name() == "VIFPortProfileFPOpenVSwitch"
    assert isinstance(device, FastPathDevice)
    assert isinstance(bridge, OvsBridge)
    assert isinstance(port, OvsPort)
    assert (bridge.name, port.name) == ("br-int", device.name)
    assert port.external_ids["iface-id"] == ID


def test_behind_a_linux_bridge(six_wind: None) -> None:
    _vif, [bridge, device, veth, *_switch, port] = described(SWITCH + "hybrid: yes\n")
    assert (bridge.name, device.bridge) == ("qbr5f4ab6c1-ca", "qbr5f4ab6c1-ca")
    assert isinstance(veth, Veth)
    assert (port.name, port.bridge) == ("qvo5f4ab6c1-ca", "br-int")


def test_by_itself(six_wind: None) -> None:
    vif, [device] = described(TAP)
    assert vif.port_profile.obj_name() == "VIFPortProfileFPTap"
    assert (device.bridge, device.mac) == (None, "fe:54:00:12:34:56")
    assert described(TAP + "host_mac: 02:00:00:00:00:01\n")[1][0].mac == "02:00:00:00:00:01"


def test_everything_a_port_can_say(six_wind: None) -> None:
    more = "name: web0\ninstance: {name: web}\nnetwork: {label: lan, mtu: 9000}\n"
    for text in (BRIDGE, SWITCH, TAP):
        resources = described(text + more)[1]
        [device] = [item for item in resources if isinstance(item, FastPathDevice)]
        assert (device.name, device.mtu) == ("web0", 9000)
    vif, resources = described(SWITCH + f"interface_id: {OTHER_ID}\ndatapath: system\n")
    [bridge] = [item for item in resources if isinstance(item, OvsBridge)]
    assert bridge.datapath_type == "system"
    assert vif.port_profile.interface_id == OTHER_ID


def test_the_host_routes(six_wind: None) -> None:
    network = "network: {subnets: [{cidr: 10.65.0.0/16, addresses: [10.65.0.1]}]}\n"
    with vifs.configured("vhostuser_fp", routed=True):
        device, route = described(TAP + network)[1]
    assert device.conf["proxy_arp"] == 1
    assert route.destination == "10.65.0.1/32"


def test_on_the_other_back_end() -> None:
    with vifs.configured("vhostuser_fp", back_end="testpmd"):
        assert [type(item) for item in described(BRIDGE)[1]] == [Bridge, Tap, BackEnd]
        assert "at most 1500" in problem_of(BRIDGE + "network: {mtu: 9000}\n").message


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
@pytest.mark.parametrize("mode", ["client", "server"])
def test_both_parts_a_guest_can_play(text: str, mode: str) -> None:
    assert described(text.replace("mode: server", f"mode: {mode}"))[0].mode == mode


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
@pytest.mark.parametrize("field", ["mode", "path"])
def test_what_must_be_said(text: str, field: str) -> None:
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith(f"{field}:")]
    assert field in problem_of("".join(lines)).message


@pytest.mark.parametrize("text", [BRIDGE, SWITCH], ids=["bridge", "switch"])
def test_the_bridge_must_be_said(text: str) -> None:
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("bridge:")]
    assert "bridge" in problem_of("".join(lines)).message


@pytest.mark.parametrize(
    ("old", "new", "field", "words"),
    [
        ("mode: server", "mode: sever", "mode", "expected client or server"),
        ("/run/vhost/web.sock", "vhost/web.sock", "path", "absolute path"),
        ("/run/vhost/web.sock", "/" + 107 * "a", "path", "at most 107 bytes"),
        ("mac: 52:54", "mac: 53:54", "mac", "unicast"),
        ("mode: server", "moed: server\nmode: server", "moed", "did you mean 'mode'?"),
    ],
)
@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
def test_mistakes_are_shown_where_they_are(
    text: str, old: str, new: str, field: str, words: str
) -> None:
    problem = problem_of(text.replace(old, new))
    assert problem.field.endswith(field)
    assert words in problem.message
    assert problem.mark is not None


def test_what_is_another_type_s() -> None:
    for text, line in (
        (BRIDGE, "hybrid: yes"),
        (TAP, "bridge: br0"),
        (BRIDGE, "host_mac: 02:00:00:00:00:01"),
    ):
        problem = problem_of(f"{text}{line}\n")
        assert (problem.field, "unknown field" in problem.message) == (line.split(":")[0], True)
