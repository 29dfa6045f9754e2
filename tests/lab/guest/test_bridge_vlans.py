# SPDX-License-Identifier: Apache-2.0
"""Bridges that filter VLANs, where the kernel has them: what is set, what is kept, what passes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.cli.drift import drifts_of
from os_vif.engine import planner, runner, steps
from os_vif.host.bridge_ports.questions import PORT
from os_vif.testing.killing import killed
from os_vif.verbs import describe
from tests import guest, vifs, witness
from tests.conftest import PrivateHost
from tests.functional.test_model import assert_agree, look

pytestmark = pytest.mark.lab

ACCESS, TRUNK = vifs.vif_id(1), vifs.vif_id(2)
VLANS: dict[str, Any] = {
    "create_tap": True,
    "vlan_filtering": {"br0": True},
    "port_vlans": {ACCESS: 10},
    "port_trunks": {TRUNK: "10 20-22"},
}
KIND = 0x88B5
_DRIFTED = f"""
    link set br0 type bridge vlan_filtering 0
    link set up0 nomaster
    link set up0 master br0
    link set {vifs.tap_name(1)} nomaster
    link set {vifs.tap_name(1)} master br0
"""


@pytest.fixture
def inside(host: PrivateHost) -> Iterator[PrivateHost]:
    os_vif.initialize()
    with host.enter(), vifs.configured("linux_bridge", **VLANS):
        yield host


def plug(vif: Any) -> None:
    os_vif.plug(vif, vifs.instance())


def words(vif: Any) -> list[str]:
    return [it.words for it in drifts_of(os_vif.check(vif, vifs.instance()))]


def vlans(device: str) -> list[tuple[int, int, tuple[str, ...]]]:
    """Return what bridge(8) tells: first and last of each range, and its flags."""
    found: list[tuple[int, int, tuple[str, ...]]] = []
    for item in json.loads(witness.run("bridge", "-j", "vlan", "show", "dev", device)):
        for it in item["vlans"]:
            vlan, flags = it["vlan"], tuple(sorted(it.get("flags", ())))
            if found and found[-1][1:] == (vlan - 1, flags):
                found[-1] = (found[-1][0], vlan, flags)
            else:
                found.append((vlan, it.get("vlanEnd", vlan), flags))
    return found


def filters(bridge: str) -> bool:
    link = witness.link(bridge)
    assert link is not None
    return bool(link["linkinfo"]["info_data"]["vlan_filtering"])


def tagged(vlan: int, target: str, source: str, text: bytes) -> bytes:
    inner = vlan.to_bytes(2, "big") + KIND.to_bytes(2, "big") + text
    return guest.ethernet(target, source, 0x8100, inner)


UNTAGGED = ("Egress Untagged", "PVID")
_OF_ACCESS = [(10, 10, UNTAGGED)]
_OF_TRUNK = [(10, 10, ()), (20, 22, ())]


def test_ports_are_in_their_vlans_and_in_no_other(inside: PrivateHost) -> None:
    access, trunk = vifs.bridge_vif(1), vifs.bridge_vif(2)
    for vif in (access, trunk):
        plug(vif)
        assert words(vif) == []
    assert filters("br0")
    assert vlans(access.vif_name) == _OF_ACCESS, "the bridge's own VLAN 1 is left"
    assert vlans(trunk.vif_name) == _OF_TRUNK
    assert vlans("br0") == [(1, 1, UNTAGGED)]
    with vifs.configured("linux_bridge", port_vlans={ACCESS: 11}, port_trunks={ACCESS: "10-12"}):
        assert words(access) == ["should be in VLAN 11 untagged, VLAN 10 12 tagged"]
        plug(access)
        assert vlans(access.vif_name) == [(10, 10, ()), (11, 11, UNTAGGED), (12, 12, ())]
        assert words(access) == []


def test_what_is_not_described_is_left(inside: PrivateHost) -> None:
    vif = vifs.bridge_vif(3)
    plug(vif)
    assert vlans(vif.vif_name) == [(1, 1, UNTAGGED)]
    witness.run("bridge", "vlan", "add", "dev", vif.vif_name, "vid", "77")
    assert words(vif) == []
    plug(vif)
    assert vlans(vif.vif_name) == [(1, 1, UNTAGGED), (77, 77, ())]


@pytest.mark.parametrize(
    "drift",
    [
        "bridge vlan add dev {} vid 5",
        "bridge vlan add dev {} vid 5 pvid untagged",
        "bridge vlan add dev {} vid 10 pvid",
        "bridge vlan add dev {} vid 10",
        "bridge vlan del dev {} vid 10",
        "ip link set {} nomaster",
    ],
)
def test_drift_is_told_and_mended(inside: PrivateHost, drift: str) -> None:
    vif = vifs.bridge_vif(1)
    plug(vif)
    witness.run(*drift.format(vif.vif_name).split())
    assert "should be in VLAN 10 untagged" in words(vif)
    plug(vif)
    assert vlans(vif.vif_name) == _OF_ACCESS
    assert words(vif) == []


def test_a_bridge_that_stopped_filtering(inside: PrivateHost) -> None:
    vif = vifs.bridge_vif(1)
    plug(vif)
    witness.ip("link set br0 type bridge vlan_filtering 0")
    assert words(vif) == ["should filter VLANs"]
    plug(vif)
    assert filters("br0")


def test_a_bridge_of_ours_that_others_use_filters_from_then_on(inside: PrivateHost) -> None:
    other, vif = vifs.bridge_vif(3), vifs.bridge_vif(1)
    with vifs.configured("linux_bridge", vlan_filtering={}):
        plug(other)
        assert not filters("br0")
        with pytest.raises(exception.PlugException, match="say vlan_filtering: true"):
            plug(vif)
        assert witness.link(vif.vif_name) is None
    with vifs.configured("linux_bridge", vlan_filtering={"br0": True}):
        [found] = os_vif.examine([(vif, None)])
        assert [it.device for it in found.warnings] == ["br0"]
        plug(vif)
    assert filters("br0")
    assert words(other) == []


def test_a_strangers_bridge(inside: PrivateHost) -> None:
    vif = vifs.bridge_vif(1)
    witness.ip("link add br0 type bridge")
    with pytest.raises(exception.PlugException, match="br0 is in the way: it does not filter"):
        plug(vif)
    assert not filters("br0")
    assert witness.link(vif.vif_name) is None
    witness.ip("link set br0 type bridge vlan_filtering 1 vlan_default_pvid 0")
    plug(vif)
    assert vlans(vif.vif_name) == _OF_ACCESS
    assert words(vif) == []


def test_a_failure_takes_all_back(inside: PrivateHost) -> None:
    one = vifs.bridge_vif(1)
    bad = vifs.bridge_vif(2, "br1", network=vifs.network("br1", bridge_interface="eth0"))
    bad.id = vifs.vif_id(3)
    witness.ip("link add eth0 type vxlan id 7 dstport 4789 dev lo")
    plug(one)
    witness.ip("link set br0 type bridge vlan_filtering 0")
    witness.run("bridge", "vlan", "add", "dev", one.vif_name, "vid", "1", "untagged")
    witness.run("bridge", "vlan", "del", "dev", one.vif_name, "vid", "10")
    witness.run("bridge", "vlan", "add", "dev", one.vif_name, "vid", "5", "pvid")
    before = vlans(one.vif_name)
    with vifs.configured("linux_bridge", uplink_mtu={"eth0": 65535}):
        outcomes = os_vif.plug_many([(one, None), (bad, None)], together=True)
    assert "could not set eth0: " in str(outcomes[1].error)
    assert vlans(one.vif_name) == before == [(1, 1, ("Egress Untagged",)), (5, 5, ("PVID",))]
    assert not filters("br0")


def test_killed_anywhere_and_plugged_again(inside: PrivateHost) -> None:
    witness.ip("link add up0 type veth peer name far0\nlink set far0 up")
    number = 0
    was_killed = True
    while was_killed:
        vif = vifs.bridge_vif(1, network=vifs.network(bridge_interface="up0"))
        was_killed = killed(lambda vif=vif: plug(vif), number)  # type: ignore[misc]
        plug(vif)
        assert words(vif) == []
        assert filters("br0")
        assert vlans(vif.vif_name) == _OF_ACCESS
        assert vlans("up0") == [(1, 1, UNTAGGED), (10, 10, ())]
        [outcome] = os_vif.unplug_many([(vif, None)], with_bridge=True)
        assert outcome.error is None
        assert inside.links().keys() == {"up0", "far0"}
        number += 1
    assert number >= 5, "that few changes?"


@pytest.mark.parametrize("setup", ["link add up0 type veth peer name far0", _DRIFTED])
def test_each_step_and_its_undo_are_as_the_model_says(inside: PrivateHost, setup: str) -> None:
    vif = vifs.bridge_vif(1, network=vifs.network(bridge_interface="up0"))
    if setup == _DRIFTED:
        witness.ip("link add up0 type veth peer name far0")
        plug(vif)
    witness.ip(setup)
    topology = describe(vif, vifs.instance()).topology
    todo = planner.plan_plug(topology, look(topology))
    assert {"filter_vlans", "add_vlans"} <= {step.kind for step in todo.steps}
    before, model = look(topology), look(topology)
    for step in todo.steps:
        steps.apply(model, step)
        runner.handler_of(step.kind)(step.args)
        assert_agree(model, look(topology))
    assert vlans(vif.vif_name) == _OF_ACCESS
    for undo in reversed(todo.undo):
        if undo is not None:
            steps.apply(model, undo)
            runner.handler_of(undo.kind)(undo.args)
            assert_agree(model, look(topology))
    # What the uplink has got to carry it keeps, unless it leaves again.
    before[PORT].pop("up0", None)
    assert_agree(before, look(topology))


@contextlib.contextmanager
def guests(*pairs: Any) -> Iterator[list[guest.Guest]]:
    with guest.guests(*((vif.vif_name, vif.address) for vif in pairs)) as opened:
        yield opened


def passes(sender: guest.Guest, frame: bytes, hearing: guest.Guest) -> bytes:
    """Send a frame until it arrives, and return what arrived: ports forward some time after."""
    for _attempt in range(300):
        sender.send(frame)
        for found in hearing.frames(0.1):
            if found.endswith(frame[-3:]):
                return found
    raise TimeoutError("no frame ever arrived")


def test_what_passes_between_ports_and_an_uplink(inside: PrivateHost) -> None:
    """An access port of VLAN 10, a trunk, a guest of whom nothing is said, and the wire."""
    witness.ip("link add up0 type veth peer name far0\nlink set up0 up\nlink set far0 up")
    network = vifs.network(bridge_interface="up0")
    access, trunk, other = (vifs.bridge_vif(number, network=network) for number in (1, 2, 3))
    for vif in (access, trunk, other):
        plug(vif)
    assert vlans("up0") == [(1, 1, UNTAGGED), (10, 10, ()), (20, 22, ())]
    with guests(access, trunk, other) as (in_10, with_tags, in_1):
        everybody = guest.BROADCAST
        frame = passes(in_10, guest.ethernet(everybody, access.address, KIND, b"x10"), with_tags)
        assert frame[12:16] == b"\x81\x00\x00\x0a", "with its tag"
        frame = passes(with_tags, tagged(10, everybody, trunk.address, b"x10"), in_10)
        assert frame[12:14] == KIND.to_bytes(2, "big"), "without a tag"
        witness.ip("addr add 192.0.2.9/24 dev br0")
        assert in_1.arp_for("192.0.2.3", "192.0.2.9"), "the host is in VLAN 1"
        # What must not pass, and behind it what does.
        with_tags.send(tagged(20, everybody, trunk.address, b"stray into 20"))
        with_tags.send(tagged(99, everybody, trunk.address, b"stray into 99"))
        with_tags.send(guest.ethernet(everybody, trunk.address, KIND, b"stray without"))
        in_10.send(tagged(20, everybody, access.address, b"stray by tag"))
        in_1.send(guest.ethernet(everybody, other.address, KIND, b"stray of 1"))
        with_tags.send(tagged(10, everybody, trunk.address, b"the end"))
        assert not any(b"stray" in frame for frame in in_10.until(b"the end"))
        in_10.send(guest.ethernet(everybody, access.address, KIND, b"the end of 10"))
        assert not any(b"stray" in frame for frame in with_tags.until(b"the end of 10"))
        wire = inside.python(lambda: _sent_on_the_wire(in_10, access.address))
        assert wire[12:16] == b"\x81\x00\x00\x0a"


def _sent_on_the_wire(sender: guest.Guest, mac: str) -> bytes:
    """Return what arrives beyond the uplink of a frame that a guest sends."""
    import socket

    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)) as hearing:
        hearing.bind(("far0", 0))
        hearing.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the tag may be told beside it
        hearing.settimeout(30)
        sender.send(guest.ethernet(guest.BROADCAST, mac, KIND, b"to the wire"))
        while True:
            data, beside, _flags, _address = hearing.recvmsg(2048, 256)
            if b"to the wire" not in data:
                continue
            for level, kind, value in beside:
                tci = int.from_bytes(value[16:18], "little")
                if (level, kind) == (263, 8) and value[0] & 0x10:  # TP_STATUS_VLAN_VALID
                    return data[:12] + b"\x81\x00" + tci.to_bytes(2, "big") + data[12:]
            return data
