# SPDX-License-Identifier: Apache-2.0
"""Ports of Linux bridges on the real kernel, and what guests notice.

VLANs are in the lab (tests/lab/guest/test_bridge_vlans.py): not every kernel's bridges know them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.cli.drift import drifts_of
from os_vif.engine import runner
from os_vif.host.bridge_ports.resources import FLAGS
from os_vif.host.bridge_ports.system import REFUSES
from tests import guest, vifs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.kernel_guest import KernelGuest, reaches

pytestmark = pytest.mark.functional

UNLIKE_NEW = {
    "isolated": True,
    "learning": False,
    "hairpin": True,
    "neigh_suppress": True,
    "flood": False,
    "mcast_flood": False,
    "bcast_flood": False,
}


@pytest.fixture(autouse=True)
def taps() -> Iterator[None]:
    with vifs.configured("linux_bridge", create_tap=True):
        yield


@contextlib.contextmanager
def settings(**flags: bool) -> Iterator[None]:
    with vifs.configured("linux_bridge", port_settings=flags):
        yield


def port(name: str) -> dict[str, bool]:
    """Return what bridge(8) tells of a port."""
    [found] = json.loads(witness.run("bridge", "-j", "-d", "link", "show", "dev", name))
    return {key: found[key] for key in FLAGS}


def words(vif: Any) -> list[str]:
    """Return the drift of a VIF in words."""
    return [it.words for it in drifts_of(steps_left(vif))]


# --- set, checked, kept ---------------------------------------------------------------------------


@pytest.mark.parametrize("also", [False, True])
def test_what_is_described_is_set(inside: Any, also: bool) -> None:
    vif = vifs.bridge_vif()
    wanted = {key: value is not also for key, value in UNLIKE_NEW.items()}
    with settings(**wanted):
        plug(vif)
        assert port(vif.vif_name) == wanted
        assert steps_left(vif) == []
        unplug(vif)
    assert list(inside.links()) == ["br0"]


def test_what_is_not_described_is_left(inside: Any) -> None:
    vif = vifs.bridge_vif()
    plug(vif)
    new = port(vif.vif_name)
    assert new == {key: not value for key, value in UNLIKE_NEW.items()}
    witness.run("bridge", "link", "set", "dev", vif.vif_name, "hairpin", "on", "cost", "77")
    assert steps_left(vif) == []
    with settings(isolated=True):
        assert words(vif) == ["isolated should be on"]
        plug(vif)
    assert port(vif.vif_name) == {**new, "hairpin": True, "isolated": True}
    plug(vif)
    assert port(vif.vif_name) == {**new, "hairpin": True, "isolated": True}


def test_drift_is_told_and_mended(inside: Any) -> None:
    vif = vifs.bridge_vif()
    with settings(isolated=True, mcast_flood=False):
        plug(vif)
        healthy = witness.snapshot()
        set_off = ("isolated", "off", "mcast_flood", "on")
        witness.run("bridge", "link", "set", "dev", vif.vif_name, *set_off)
        assert words(vif) == ["isolated should be on", "mcast_flood should be off"]
        plug(vif)
        assert witness.differences(healthy, witness.snapshot()) == []


@pytest.mark.parametrize("through", ["nomaster", "master br9"])
def test_a_port_that_was_taken_out_gets_them_again(inside: Any, through: str) -> None:
    vif = vifs.bridge_vif()
    witness.ip("link add br9 type bridge")
    with settings(isolated=True, learning=False):
        plug(vif)
        healthy = witness.snapshot()
        witness.ip(f"link set {vif.vif_name} {through}")
        assert "isolated should be on" in words(vif)
        plug(vif)
        assert steps_left(vif) == []
        found = witness.differences(healthy, witness.snapshot())
    assert [it for it in found if not it.startswith("/links/br9/")] == []


def test_a_tap_that_is_made_anew_gets_them_again(inside: Any) -> None:
    vif = vifs.bridge_vif()
    with settings(isolated=True):
        plug(vif)
        with vifs.configured("linux_bridge", multi_queue=True):
            assert [step.kind for step in steps_left(vif)][-1] == "set_port_of_bridge"
            plug(vif)
            assert port(vif.vif_name)["isolated"]
            assert steps_left(vif) == []


def test_a_single_port_has_its_own(inside: Any) -> None:
    one, other = vifs.bridge_vif(1), vifs.bridge_vif(2)
    with settings(**{"isolated": True, f"{other.id}/isolated": False}):
        plug(one)
        plug(other)
    assert (port(one.vif_name)["isolated"], port(other.vif_name)["isolated"]) == (True, False)


def test_a_failure_takes_them_back(inside: Any) -> None:
    """Of two that go together the kernel refuses the second, after the first one's port was set."""
    one = vifs.bridge_vif(1)
    bad = vifs.bridge_vif(2, "br1", network=vifs.network("br1", bridge_interface="eth0"))
    witness.ip("link add eth0 type vxlan id 7 dstport 4789 dev lo")
    plug(one)
    witness.run("bridge", "link", "set", "dev", one.vif_name, "hairpin", "on", "learning", "off")
    before = witness.snapshot()
    with (
        settings(isolated=True, hairpin=False),
        vifs.configured("linux_bridge", uplink_mtu={"eth0": 65535}),
    ):
        outcomes = os_vif.plug_many([(one, None), (bad, None)], together=True)
    assert "could not set eth0: " in str(outcomes[1].error)
    assert witness.differences(before, witness.snapshot()) == []


def test_a_port_that_is_gone_by_then(inside: Any) -> None:
    witness.ip("tuntap add tap0 mode tap")
    run = runner.handler_of("set_port_of_bridge")
    with pytest.raises(OSError, match="tap0 is no port of a bridge"):
        run({"name": "tap0", "attributes": {"isolated": True}})


def test_what_the_daemon_does_for_others(inside: Any) -> None:
    own = vifs.bridge_vif()
    plug(own)
    witness.ip(
        """
        link add br1 type bridge
        tuntap add tap-other mode tap
        link set tap-other master br1
        tuntap add tap-guest mode tap
        link set tap-guest master br0
        """
    )

    def refused(kind: str, name: str) -> str:
        return REFUSES[kind]({"name": name}, "")

    assert refused("set_port_of_bridge", own.vif_name) == ""
    assert refused("set_port_of_bridge", "tap-other") == "tap-other is no VIF's"
    assert refused("filter_vlans", "br0") == ""
    assert refused("filter_vlans", "br1") == "br1 is no bridge of ours"
    assert refused("add_vlans", "tap-guest") == ""
    assert refused("add_vlans", "tap-other") == "br1 is no bridge of ours"
    assert [refused(kind, "missing") for kind in REFUSES] == ["", "", ""]


# --- what guests notice ---------------------------------------------------------------------------


@contextlib.contextmanager
def kernel_guests(*vifs_: Any) -> Iterator[list[KernelGuest]]:
    with contextlib.ExitStack() as stack:
        made = []
        for number, vif in enumerate(vifs_, 1):
            opened = guest.Guest(vif.vif_name, vif.address)
            made.append(KernelGuest(opened.descriptor, vif.address, f"192.0.2.{number}/24"))
            stack.callback(made[-1].close)
        yield made


def test_isolated_guests_reach_the_host_and_not_each_other(inside: Any) -> None:
    """Also after somebody took one out of the bridge, and it was plugged again."""
    both = [vifs.bridge_vif(1), vifs.bridge_vif(2)]
    with settings(isolated=True):
        for vif in both:
            plug(vif)
        witness.ip("addr add 192.0.2.9/24 dev br0")
        with kernel_guests(*both) as (one, other):
            assert one.reaches("192.0.2.9")
            assert other.reaches("192.0.2.9")
            assert not reaches(one.host, "192.0.2.2", 2)
            witness.ip(
                f"link set {both[0].vif_name} nomaster\nlink set {both[0].vif_name} master br0"
            )
            assert one.reaches("192.0.2.2"), "a port that leaves loses it"
            plug(both[0])
            assert not reaches(one.host, "192.0.2.2", 2)
            assert one.reaches("192.0.2.9")


def test_frames_to_who_knows_where(inside: Any) -> None:
    """A guest whose port is not flooded gets what is for it, and nothing of others'."""
    spared, flooded, sender = (vifs.bridge_vif(number) for number in (1, 2, 3))
    with settings(**{f"{spared.id}/flood": False}):
        for vif in (spared, flooded, sender):
            plug(vif)
    pairs = [(vif.vif_name, vif.address) for vif in (spared, flooded, sender)]
    with guest.guests(*pairs) as (quiet, hears, says):
        for one, other in ((quiet, hears), (hears, says), (says, hears), (says, quiet)):
            one.wait_for(other)  # also: whose port learns where it is gets what is for it
        says.send(guest.ethernet("52:54:00:99:99:99", sender.address, 0x88B5, b"who knows where"))
        hears.until(b"who knows where")
        hears.send(guest.ethernet(guest.BROADCAST, flooded.address, 0x88B5, b"the end"))
        assert not any(b"who knows where" in frame for frame in quiet.until(b"the end"))


# --- bridges that filter VLANs --------------------------------------------------------------------


def can_filter() -> bool:
    """Tell whether this kernel's bridges know VLANs."""
    witness.ip("link add probe type bridge")
    said = witness.run(
        "ip", "link", "set", "probe", "type", "bridge", "vlan_filtering", "1", check=False
    )
    on = witness.link("probe")
    witness.ip("link del probe")
    assert on is not None
    return bool(on["linkinfo"]["info_data"]["vlan_filtering"]) and not said


def test_a_kernel_whose_bridges_know_no_vlans_says_so(inside: Any) -> None:
    vif = vifs.bridge_vif()
    options = {"vlan_filtering": {"br0": True}, "port_vlans": {vif.id: 10}}
    filters = can_filter()
    before = witness.snapshot()
    with vifs.configured("linux_bridge", **options):
        if filters:
            plug(vif)
            assert steps_left(vif) == []
            return
        with pytest.raises(exception.PlugException, match="CONFIG_BRIDGE_VLAN_FILTERING"):
            plug(vif)
    assert witness.differences(before, witness.snapshot()) == []


def test_vlans_on_a_strangers_bridge_that_filters_none(inside: Any) -> None:
    witness.ip("link add br0 type bridge")
    vif = vifs.bridge_vif()
    before = witness.snapshot()
    for options in ({"vlan_filtering": {"br0": True}}, {"port_trunks": {vif.id: "10"}}):
        with (
            vifs.configured("linux_bridge", **options),
            pytest.raises(exception.PlugException, match="br0 is in the way: it does not filter"),
        ):
            plug(vif)
        assert witness.differences(before, witness.snapshot()) == []
