# SPDX-License-Identifier: Apache-2.0
"""Whose an MTU is: a guest's mtu is its own device's, and the host keeps what it had."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import os_vif
from tests import vifs, vifs_ovs, witness
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.openvswitch import Switch
from tests.switch_witness import interface

pytestmark = pytest.mark.functional


@pytest.fixture(autouse=True)
def taps() -> Iterator[None]:
    with vifs.configured("linux_bridge", create_tap=True):
        yield


def mtu(device: str) -> int:
    found = witness.link(device)
    assert found is not None, f"no device {device}"
    return int(found["mtu"])


def notes(device: str) -> list[str]:
    found = witness.link(device)
    assert found is not None
    return list(found.get("altnames", ()))


def on_uplink(number: int = 1, size: int | None = None, **fields: Any) -> Any:
    fields = {"bridge_interface": "eth0", "mtu": size, **fields}
    return vifs.bridge_vif(number, network=vifs.network(**fields))


def plug_all(pairs: Sequence[Any]) -> None:
    for outcome in os_vif.plug_many([(vif, vifs.instance()) for vif in pairs]):
        assert outcome.error is None


def plug_each(pairs: Sequence[Any]) -> None:
    for vif in pairs:
        plug(vif)


# --- an uplink -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 1450, 9000])
def test_an_uplink_keeps_its_mtu_and_the_bridge_has_it(uplink: Any, size: int | None) -> None:
    """The reference lowers it, for the host too, and leaves it so."""
    witness.ip("link set eth0 mtu 4000\nlink set wire0 mtu 4000")
    vif = on_uplink(size=size)
    plug(vif)
    assert (mtu("eth0"), mtu("br0"), mtu(vif.vif_name)) == (4000, 4000, size or 1500)
    assert notes("eth0") == []
    assert steps_left(vif) == []
    unplug(vif)
    assert (mtu("eth0"), mtu("br0")) == (4000, 4000)


@pytest.mark.parametrize("order", list(itertools.permutations((9000, 1500, 1400))))
@pytest.mark.parametrize("how", [plug_all, plug_each])
def test_guests_of_several_mtus_on_one_uplink(uplink: Any, order: Sequence[int], how: Any) -> None:
    witness.ip("link set eth0 mtu 1500")
    guests = [on_uplink(size, size) for size in order]
    how(guests)
    for vif, size in zip(guests, order, strict=True):
        assert mtu(vif.vif_name) == size
        assert steps_left(vif) == [], size
    assert (mtu("eth0"), mtu("br0")) == (1500, 1500)
    healthy = witness.snapshot()
    how(guests)
    assert witness.differences(healthy, witness.snapshot()) == []


def test_jumbo_frames_of_the_host_pass_beside_a_small_guest(uplink: Any) -> None:
    """Through a bridge and its port, to a neighbour that answers."""
    witness.ip(
        """
        link set eth0 mtu 9000
        link set wire0 mtu 9000
        link add wires type bridge
        link set wire0 master wires
        link add far type veth peer name far0
        link set far0 mtu 9000 master wires up
        link set wires up
        """
    )
    witness.run("ip", "netns", "add", "far")
    try:
        witness.ip("link set far netns far")
        witness.run("ip", "-n", "far", "link", "set", "far", "mtu", "9000", "up")
        witness.run("ip", "-n", "far", "addr", "add", "192.0.2.1/24", "dev", "far")
        plug(on_uplink())
        said = witness.run(
            "ping", "-I", "br0", "-c", "3", "-i", "0.2", "-W", "30", "-M", "do", "-s", "8972",
            "192.0.2.1",
        )  # fmt: skip
        assert " 0% packet loss" in said
    finally:
        witness.run("ip", "netns", "del", "far")


def test_uplink_mtu_raises_notes_and_never_lowers(uplink: Any) -> None:
    vif, other = on_uplink(1), on_uplink(2, 1450)
    with vifs.configured("linux_bridge", uplink_mtu={"eth0": 9000}):
        plug(vif)
        plug(other)
        assert (mtu("eth0"), mtu("br0"), mtu(vif.vif_name)) == (9000, 9000, 1500)
        assert notes("eth0") == ["os-vif,mtu=1500,eth0"]
        assert steps_left(vif) == steps_left(other) == []
    assert steps_left(vif) == [], "who does not ask for it leaves it"
    with vifs.configured("linux_bridge", uplink_mtu={"eth0": 1400, "br0": 68}):
        assert steps_left(vif) == []
    with vifs.configured("linux_bridge", uplink_mtu={"eth0": 9600}):
        plug(vif)
    assert (mtu("eth0"), mtu("br0")) == (9600, 9600)
    assert notes("eth0") == ["os-vif,mtu=1500,eth0"], "what it had at first"


def test_an_uplink_that_cannot_be_raised(uplink: Any) -> None:
    witness.ip("link add eth9 type vxlan id 7 dstport 4789 dev lo\nlink set eth9 up")
    with (
        vifs.configured("linux_bridge", uplink_mtu={"eth9": 65535}),
        refused("could not set eth9: .*MTU"),
    ):
        plug(on_uplink(bridge_interface="eth9"))
    assert notes("eth9") == []


# --- bridges -------------------------------------------------------------------------------------


@pytest.mark.parametrize("create", [True, False])
def test_a_strangers_bridge_keeps_its_mtu(inside: Any, create: bool) -> None:
    witness.ip(
        """
        link add eth0 type veth peer name wire0
        link add br0 type bridge
        link set eth0 mtu 9000 master br0 up
        link set br0 up
        """
    )
    assert mtu("br0") == 9000, "the kernel has it follow its port"
    guests = [
        vifs.bridge_vif(number, network=vifs.network(mtu=size, should_provide_bridge=create))
        for number, size in ((1, None), (2, 1400), (3, 9000))
    ]
    for how in (plug_each, plug_all):
        how(guests)
        for vif in guests:
            assert mtu("br0") == 9000
            assert steps_left(vif) == []
    guests[2].network.mtu = 1300
    plug(guests[2])
    assert mtu("br0") == 9000, "of a tap that is smaller than it was, too"
    for vif in guests:
        unplug(vif)
        assert mtu("br0") == 9000


def test_an_uplink_of_a_strangers_bridge_and_a_smaller_tap(uplink: Any) -> None:
    witness.ip("link set eth0 mtu 4000\nlink add br0 type bridge")
    vif = on_uplink()
    plug(vif)
    assert (mtu("eth0"), mtu("br0"), mtu(vif.vif_name)) == (4000, 4000, 1500)
    assert steps_left(vif) == []


@pytest.mark.parametrize("order", list(itertools.permutations((9000, 1500, 1400))))
def test_a_bridge_without_uplink_has_room_for_all(inside: Any, order: Sequence[int]) -> None:
    guests = [vifs.bridge_vif(size, network=vifs.network(mtu=size)) for size in order]
    plug_each(guests)
    for vif in guests:
        assert steps_left(vif) == []
    assert mtu("br0") == 9000
    for vif in guests:
        unplug(vif)
        assert mtu("br0") == 9000, "and it does not follow them"


def test_a_new_bridge_has_an_mtu_of_its_own(inside: Any) -> None:
    """The kernel would have it follow its first port, whatever it was made with."""
    plug(vifs.bridge_vif(network=vifs.network(mtu=1500)))
    witness.ip("tuntap add small mode tap\nlink set small mtu 1280 master br0")
    assert mtu("br0") == 1500
    assert steps_left(vifs.bridge_vif(network=vifs.network(mtu=1500))) == []


@pytest.mark.parametrize("size", [68, 65535])
def test_the_least_and_the_largest_bridge(inside: Any, size: int) -> None:
    vif = vifs.bridge_vif(network=vifs.network(mtu=size))
    with vifs.configured("linux_bridge", create_tap=False):
        plug(vif)
        assert mtu("br0") == size
        assert steps_left(vif) == []


# --- Open vSwitch --------------------------------------------------------------------------------


@pytest.mark.parametrize("per_port_bridge", [False, True])
def test_a_port_on_a_device_of_another_mtu(switch: Switch, per_port_bridge: bool) -> None:
    vif = vifs_ovs.plain(tap=False)
    witness.ip(f"tuntap add {vif.vif_name} mode tap\nlink set {vif.vif_name} mtu 1300 up")
    with vifs.configured("ovs", per_port_bridge=per_port_bridge):
        [drift] = [step for step in steps_left(vif) if step.kind == "set_link"]
        assert drift.args["attributes"] == {"mtu": vifs_ovs.MTU}
        plug(vif)
        assert mtu(vif.vif_name) == vifs_ovs.MTU
        row = interface(switch, vif.vif_name)
        assert row is not None
        assert row["mtu"] == vifs_ovs.MTU
        assert steps_left(vif) == []
        witness.ip(f"link set {vif.vif_name} mtu 1200")
        assert steps_left(vif)
        plug(vif)
        assert mtu(vif.vif_name) == vifs_ovs.MTU
        unplug(vif)
