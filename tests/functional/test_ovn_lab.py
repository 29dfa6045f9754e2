# SPDX-License-Identifier: Apache-2.0
"""Networks over two hosts on OVN and Open vSwitch of Debian 12 and of Debian 13."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from os_vif import network
from tests import dhcp, guest, strangers
from tests.kernel_guest import reaches
from tests.ovn_hosts import MTU, OUTSIDE, PATIENCE, Hosts
from tests.ovn_networks import FLOATING, PLACES, File
from tests.pings import Ping

pytestmark = [pytest.mark.functional, pytest.mark.hosts]


@pytest.mark.parametrize(
    ("tree", "switch_tree"),
    [
        ("ovn", "openvswitch"),
        ("ovn25", "openvswitch"),
        ("ovn25", "ovn25"),
    ],
    ids=["OVN 23.03 on OVS 3.1", "OVN 25.03 on OVS 3.1", "OVN 25.03 on OVS 3.5"],
)
def test_networks_over_two_hosts(tree: str, switch_tree: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        hosts = Hosts(2, tree, switch_tree)
        stack.callback(hosts.close)
        strangers.write(hosts.centre)
        theirs = strangers.theirs(hosts.centre)
        file = File(hosts, tmp_path)
        file.apply()
        assert [it.steps for it in network.check(file.topologies, file.nb)] == [(), (), ()]
        with file.running(PLACES) as guests:
            anna, ben = guests["tap-anna"], guests["tap-ben"]
            with ben.host.enter(), dhcp.client() as client:
                lease = client.lease(PATIENCE)
            assert (lease.address, lease.mtu, lease.name) == ("10.5.0.12", MTU, "ben")
            assert ("0.0.0.0/0", "10.5.0.1") in lease.routes
            for address in ("10.5.0.12", "fd00:5::5054:ff:fe00:2", "10.6.0.13", OUTSIDE):
                assert anna.reaches(address), address
            assert reaches(hosts.outside, FLOATING)

            vif = file.vif("tap-ben")
            ping = Ping(anna.host, "10.5.0.12", tmp_path, 0.005)
            stack.callback(ping.close)
            ping.more(100)
            file.place("tap-ben", "h2", "h1", activation="rarp")
            file.plug("tap-ben", "h1")
            ben.move(hosts["h1"].open(vif), guest.rarp(vif.address))
            ping.more(100)
            file.place("tap-ben", "h1")
            hosts.until(vif.id, chassis=["h1"], additional=[])
            file.unplug("tap-ben", "h2")
            ping.more(100)
            assert len(ping.lost()) <= 40
            ben.close()
            file.unplug("tap-ben", "h1")
        file.delete()
        assert strangers.ours(hosts.centre) == {}
        assert strangers.theirs(hosts.centre) == theirs


def test_tunnels_over_ipv6(tmp_path: Path) -> None:
    """They take 20 bytes more of each packet: check says so, and what it says is right."""
    with contextlib.ExitStack() as stack:
        hosts = Hosts(2, underlay=6)
        stack.callback(hosts.close)
        file = File(hosts, tmp_path)
        file.apply()
        guests = stack.enter_context(file.running(PLACES[:2]))
        anna, fits = guests["tap-anna"], MTU - 20
        assert anna.reaches("10.5.0.12")
        words = f"br-phy needs 1520, or the network {fits}"
        assert any(words in it for it in file.check("tap-anna", "h1")[1])
        whole = ("ping", "-n", "-M", "do", "-c", "3", "-i", "0.2", "-W", "1", "10.5.0.12", "-s")
        assert "3 received" in anna.host.run(*whole, str(fits - 28)).stdout
        assert "0 received" in anna.host.run(*whole, str(fits - 28 + 1), check=False).stdout
