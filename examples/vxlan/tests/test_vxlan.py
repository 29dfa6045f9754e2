# SPDX-License-Identifier: Apache-2.0
"""The promises of os-vif, kept by a family that is not its own.

Run as root in a network namespace of its own: unshare --net pytest
"""

import subprocess

import pytest

import os_vif
from os_vif import exception, testing, verbs

os_vif.initialize()

from os_vif_vxlan.resources import Vxlan

from os_vif.engine.steps import checked, describe
from os_vif.guest.card import Tap
from os_vif.objects.instance_info import InstanceInfo
from os_vif.objects.network import Network
from os_vif.objects.vif import VIFBridge

GUEST = InstanceInfo(uuid="0e2b1a52-4f5c-4d3e-8f5a-6b7c8d9e0f10", name="web")


def vif(number=1, vni=42):
    identity = f"{number:08x}-ca89-4ee0-a8be-6db1409b69ea"
    network = Network(id="8f5a9f0e-7a2c-4a0c-9d0e-5a1d2f3b4c5d", vlan=vni)
    return VIFBridge(
        id=identity,
        address=f"52:54:00:00:00:{number:02x}",
        vif_name=f"tap{number}",
        plugin="vxlan",
        network=network,
    )


TUNNEL = f"vx-{vif().id[:11]}"


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = testing.snapshot()
    yield
    os_vif.gc(())
    assert testing.snapshot() == before


def test_the_device_is_as_described():
    os_vif.plug(vif(), GUEST)
    shown = ip("-details", "link", "show", TUNNEL)
    assert "vxlan id 42 remote 192.0.2.2" in shown
    assert f"master br-{vif().id[:11]}" in shown


def test_what_a_hypervisor_is_told_of():
    assert os_vif.guest_card(vif(), GUEST).end == Tap(device="tap1", mtu=1450)


def test_it_converges_and_leaves_nothing():
    testing.assert_converges(vif(), GUEST)
    os_vif.unplug(vif(), GUEST)
    testing.assert_leaves_nothing(vif(), GUEST)


@pytest.mark.parametrize(
    "spoil",
    [
        ("link", "delete", TUNNEL),
        ("link", "set", TUNNEL, "nomaster"),
        ("link", "set", TUNNEL, "down"),
        ("link", "set", TUNNEL, "alias", ""),
    ],
    ids=" ".join,
)
def test_drift_is_seen_and_repaired(spoil):
    testing.assert_repairs(vif(), GUEST, lambda: ip(*spoil))


def test_a_changed_network_makes_it_anew():
    os_vif.plug(vif(), GUEST)
    words = [describe(step) for step in os_vif.check(vif(vni=43), GUEST)]
    assert words == [f"delete VXLAN {TUNNEL}", f"add VXLAN {TUNNEL}: VNI 43 to 192.0.2.2"]
    os_vif.plug(vif(vni=43), GUEST)
    assert "vxlan id 43" in ip("-details", "link", "show", TUNNEL)


def test_what_was_renamed_is_found_and_goes():
    os_vif.plug(vif(), GUEST)
    ip("link", "set", TUNNEL, "down", "name", "away0")
    assert "delete VXLAN away0" in [describe(step) for step in os_vif.check(vif(), GUEST)]
    os_vif.plug(vif(), GUEST)
    assert os_vif.check(vif(), GUEST) == []
    ip("link", "set", TUNNEL, "down", "name", "away0")
    os_vif.unplug(vif(), GUEST)
    assert "away0" not in ip("link", "show")


def test_a_failed_plug_is_undone():
    testing.assert_undone(vif(), GUEST)


def test_a_kill_at_every_step():
    testing.assert_survives_kills(vif(), GUEST)


def test_list_and_gc():
    os_vif.plug(vif(), GUEST)
    [item] = os_vif.list_vifs()
    assert {link.name for link in item["links"]} == {"tap1", f"br-{vif().id[:11]}", TUNNEL}
    assert [gone.mark.vif_id for gone in os_vif.gc(())] == [vif().id]
    assert os_vif.list_vifs() == []


def test_many_at_once():
    pairs = [(vif(number, vni=number), GUEST) for number in range(1, 9)]
    assert [outcome.error for outcome in os_vif.plug_many(pairs)] == [None] * 8
    assert all(not os_vif.check(*pair) for pair in pairs)
    assert [outcome.error for outcome in os_vif.unplug_many(pairs)] == [None] * 8


def test_a_stranger_in_the_way():
    ip("link", "add", TUNNEL, "type", "bridge")
    try:
        with pytest.raises(exception.PlugException, match=f"device {TUNNEL} is in the way"):
            os_vif.plug(vif(), GUEST)
        assert "tap1" not in ip("link", "show")
    finally:
        ip("link", "delete", TUNNEL)


def test_bad_values_are_refused_before_anything_is_touched():
    with pytest.raises(exception.InvalidField, match="vni"):
        verbs.describe(vif(vni=2**24), GUEST)
    with pytest.raises(exception.InvalidField, match="remote"):
        Vxlan(name="vx0", mac="f2:54:00:00:00:01", bridge="br0", vni=1, remote="; reboot")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../x"),
        ("mac", "x"),
        ("bridge", "a b"),
        ("vni", "1"),
        ("remote", "-help"),
        ("alias", "mine"),
    ],
)
def test_what_the_privileged_side_refuses(field, value):
    good = {
        "name": "vx0",
        "mac": "f2:54:00:00:00:01",
        "bridge": "br0",
        "vni": 1,
        "remote": "192.0.2.2",
        "alias": f"os-vif vif={vif().id} plugin=vxlan",
    }
    checked("add_vxlan", good)
    with pytest.raises(exception.InvalidField, match=field):
        checked("add_vxlan", good | {field: value})


def test_a_tunnel_that_leads_nowhere_is_warned_of():
    os_vif.plug(vif(), GUEST)
    [found] = os_vif.examine([(vif(), GUEST)])
    assert found.steps == ()
    [warning] = found.warnings
    assert (warning.device, "no route to 192.0.2.2" in warning.words) == (TUNNEL, True)
    ip("link", "add", "far", "type", "bridge")
    try:
        ip("link", "set", "far", "up")
        ip("route", "add", "192.0.2.2", "dev", "far")
        [found] = os_vif.examine([(vif(), GUEST)])
        assert found.warnings == ()
    finally:
        ip("link", "delete", "far")
