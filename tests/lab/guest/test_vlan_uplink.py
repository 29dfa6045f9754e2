# SPDX-License-Identifier: Apache-2.0
"""VLAN networks of the linux_bridge plugin, where the kernel has 802.1Q."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import os_vif
from os_vif import exception
from os_vif.objects.network import Network
from os_vif.objects.vif import VIFBridge
from tests.conftest import PrivateHost
from tests.vifs import configured

pytestmark = pytest.mark.lab

VIF_ID = "b679325f-ca89-4ee0-a8be-6db1409b69ea"


def run(host: PrivateHost, words: str) -> str:
    return host.run(*words.split()).stdout


def vif(vlan: int = 42, uplink: str = "up0") -> VIFBridge:
    os_vif.initialize()
    network = Network(
        id="0f3ad6f6-8d3c-4a1c-9e84-5ab8b4f0b4a5",
        bridge="br0",
        should_provide_bridge=True,
        should_provide_vlan=True,
        bridge_interface=uplink,
        vlan=vlan,
        mtu=1400,
    )
    return VIFBridge(
        id=VIF_ID,
        plugin="linux_bridge",
        address="52:54:00:00:00:01",
        vif_name="tap0",
        bridge_name="br0",
        has_traffic_filtering=True,
        network=network,
    )


@contextmanager
def wired(host: PrivateHost) -> Iterator[None]:
    """Give the host an uplink ``up0`` whose far end, ``far``, speaks VLAN 42 in a namespace."""
    host.run("ip", "netns", "add", "peer")
    try:
        run(host, "ip link add up0 type veth peer name far netns peer")
        run(host, "ip -n peer link set far up")
        run(host, "ip -n peer link add link far name far.42 type vlan id 42")
        run(host, "ip -n peer addr add 10.9.0.2/24 dev far.42")
        run(host, "ip -n peer link set far.42 up")
        yield
    finally:
        host.run("ip", "netns", "delete", "peer")


def test_a_vlan_network_reaches_its_vlan(host: PrivateHost) -> None:
    with wired(host):
        with host.enter():
            os_vif.plug(vif(), None)
        links = host.links()
        vlan = links["vlan42"]
        assert vlan["link"] == "up0"
        assert vlan["linkinfo"]["info_data"]["id"] == 42
        assert vlan["master"] == "br0"
        assert vlan["mtu"] == links["br0"]["mtu"] == 1500, "1400 is the guest's"
        assert (vlan["ifalias"], links["br0"]["ifalias"]) == (
            *("os-vif shared", "os-vif shared uplink=vlan42"),
        )
        assert {"UP"} <= set(vlan["flags"]) & set(links["br0"]["flags"]) & set(
            links["up0"]["flags"]
        )
        # The bridge speaks for a guest: what it sends reaches the far end inside VLAN 42 only.
        run(host, "ip addr add 10.9.0.1/24 dev br0")
        run(host, "ping -c 2 -W 5 10.9.0.2")
        with host.enter():
            assert os_vif.check(vif()) == []
            os_vif.unplug(vif(), None)
        assert {"vlan42", "br0", "up0"} <= host.links().keys()


def test_the_lower_device_is_raised_and_all_goes_back(host: PrivateHost) -> None:
    with wired(host):
        before = {name: link["mtu"] for name, link in host.links().items()}
        other = vif(43)
        other.id, other.bridge_name = f"{VIF_ID[:-1]}b", "br1"
        with host.enter(), configured("linux_bridge", uplink_mtu={"up0": 4000}):
            os_vif.plug(vif(), None)
            os_vif.plug(other, None)
            links = host.links()
            raised = ("up0", "vlan42", "vlan43", "br0", "br1")
            assert [links[name]["mtu"] for name in raised] == [4000] * 5
            assert os_vif.check(vif()) == os_vif.check(other) == []
            [outcome] = os_vif.unplug_many([(vif(), None)], with_bridge=True)
            assert outcome.error is None
            links = host.links()
            assert "vlan42" not in links
            assert links["up0"]["mtu"] == 4000, "the other VLAN needs it"
            os_vif.gc([], bridges=True)
        links = host.links()
        assert {name: link["mtu"] for name, link in links.items()} == before
        assert "altnames" not in links["up0"]


def test_a_drifted_vlan_is_found_and_mended(host: PrivateHost) -> None:
    with wired(host):
        with host.enter():
            os_vif.plug(vif(), None)
        run(host, "ip link set vlan42 nomaster")
        run(host, "ip link set vlan42 down")
        with host.enter():
            assert any("vlan42" in str(step.args) for step in os_vif.check(vif()))
            os_vif.plug(vif(), None)
            assert os_vif.check(vif()) == []
        assert host.links()["vlan42"]["master"] == "br0"


def test_addresses_on_the_vlan_move_to_the_bridge(host: PrivateHost) -> None:
    with wired(host):
        run(host, "ip link set up0 up")
        run(host, "ip link add link up0 name vlan42 type vlan id 42")
        run(host, "ip link set vlan42 up")
        run(host, "ip addr add 10.9.0.1/24 dev vlan42")
        run(host, "ip route add default via 10.9.0.2")
        with host.enter():
            os_vif.plug(vif(), None)
        assert "10.9.0.1/24" in run(host, "ip addr show dev br0")
        assert "10.9.0.1" not in run(host, "ip addr show dev vlan42")
        assert "dev br0" in run(host, "ip route show default")
        run(host, "ping -c 2 -W 5 10.9.0.2")


def test_a_device_of_the_name_with_another_id_is_in_the_way(host: PrivateHost) -> None:
    with wired(host):
        run(host, "ip link add link up0 name vlan42 type vlan id 43")
        before = host.run("ip", "-d", "link").stdout
        with host.enter(), pytest.raises(exception.PlugException, match="VLAN 43 on up0"):
            os_vif.plug(vif(), None)
        assert host.run("ip", "-d", "link").stdout == before


def test_an_id_taken_under_another_name_is_said_and_undone(host: PrivateHost) -> None:
    with wired(host):
        run(host, "ip link set up0 up")
        run(host, "ip link add link up0 name mine type vlan id 42")
        with (
            host.enter(),
            pytest.raises(exception.PlugException, match="VLAN device already exists"),
        ):
            os_vif.plug(vif(), None)
        assert host.links().keys() == {"up0", "mine"}


def test_a_missing_lower_device_is_named(host: PrivateHost) -> None:
    with host.enter(), pytest.raises(exception.PlugException, match="nowhere0"):
        os_vif.plug(vif(uplink="nowhere0"), None)
    assert host.links() == {}
