# SPDX-License-Identifier: Apache-2.0
"""vhost-user ports of a real Open vSwitch with DPDK, with guests that speak the protocol."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from os_vif import exception
from tests import guest, vifs, vifs_ovs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.test_ovs_packets import assert_both_ways, passes
from tests.openvswitch import Switch
from tests.switch_witness import (
    assert_only_bridges,
    bridges,
    ids,
    interface,
    interfaces,
    make_bridge,
    refused,
)
from tests.vhost_user import FrontEnd

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("dpdk switch")]

JUMBO = 3000
NAME = vifs_ovs.name("vhu")
MODES = ["client", "server"]


@dataclasses.dataclass(frozen=True)
class Place:
    """A switch, and where the sockets of its guests are."""

    switch: Switch
    guests: Path

    def vif(self, mode: str, number: int = 1, **fields: Any) -> Any:
        """Return a VIFVHostUser; Open vSwitch makes its sockets in a folder of its choice."""
        name = vifs_ovs.name("vhu", number)
        folder = self.guests if mode == "server" else self.switch.folder
        return vifs_ovs.vhost_user(
            number, mode=mode, path=fields.pop("path", f"{folder}/{name}"), **fields
        )

    @contextlib.contextmanager
    def guest(self, vif: Any) -> Iterator[FrontEnd]:
        """Run the guest, which is not connected yet."""
        made = FrontEnd(vif.path, vif.address, server=vif.mode == "server")
        with contextlib.closing(made):
            yield made

    @contextlib.contextmanager
    def running(self, vif: Any) -> Iterator[Any]:
        """Run a guest and connect it, whichever kind of port it has."""
        if vif.obj_name() == "VIFVHostUser":
            with self.guest(vif) as made:
                made.start()
                yield made
        else:
            with guest.guests((vif.vif_name, vif.address)) as [tapped]:
                yield tapped

    def until_link_is(self, state: str, name: str = NAME) -> None:
        """Wait until Open vSwitch says that a guest is there (up), or is not (down)."""
        deadline = time.monotonic() + 30
        while (seen := self.switch.get("Interface", name, "link_state")) != state:
            assert time.monotonic() < deadline, f"the link of {name} is {seen}"
            time.sleep(0.02)

    def sockets(self) -> set[str]:
        """Return the sockets of Open vSwitch's and of the guests', but those of the bridges."""
        return {
            path.name
            for folder in (self.switch.folder, self.guests)
            for path in folder.iterdir()
            if path.is_socket() and not path.name.startswith(vifs_ovs.BRIDGE)
        }


@pytest.fixture
def place(dpdk_switch: Switch) -> Place:
    folder = dpdk_switch.folder / "guests"
    folder.mkdir()
    return Place(dpdk_switch, folder)


# --- the port ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_port_and_its_guest(place: Place, mode: str) -> None:
    vif = place.vif(mode)
    before = place.sockets()
    plug(vif)
    row = interface(place.switch, NAME)
    assert row is not None
    assert row["attached"]
    assert row["error"] == []
    assert row["bridge"] == vifs_ovs.BRIDGE
    assert row["type"] == ("dpdkvhostuserclient" if mode == "server" else "dpdkvhostuser")
    assert row["options"] == ({"vhost-server-path": vif.path} if mode == "server" else {})
    assert row["mtu_request"] == vifs_ovs.MTU
    assert ids(place.switch, NAME) == vifs_ovs.ids()
    assert Path(vif.path).exists() == (mode == "client"), "the server makes the socket"
    assert witness.link(NAME) is None
    assert steps_left(vif) == [], "whether or not the guest is there"
    place.until_link_is("down")
    with place.guest(vif) as one:
        one.start()
        place.until_link_is("up")
        assert place.switch.get("Interface", NAME, "mtu") == str(vifs_ovs.MTU)
        assert steps_left(vif) == []
        unplug(vif)
        with pytest.raises(ConnectionError):
            list(one.frames())
        assert_only_bridges(place.switch, vifs_ovs.BRIDGE)
    assert place.sockets() == before
    unplug(vif)


def test_the_bridge_is_in_userspace_unless_told(place: Place) -> None:
    from os_vif.objects.vif import VIFPortProfileOpenVSwitch

    profile = VIFPortProfileOpenVSwitch(interface_id=vifs.vif_id(1))
    plug(place.vif("server", port_profile=profile))
    assert bridges(place.switch)[vifs_ovs.BRIDGE]["datapath_type"] == "netdev"


@pytest.mark.parametrize("mode", MODES)
def test_again(place: Place, mode: str) -> None:
    vif, other = place.vif(mode), vifs_ovs.plain(2)
    plug(vif)
    plug(other)
    with place.running(vif) as one, place.running(other) as two:
        assert_both_ways(one, two)
        before = interfaces(place.switch)
        plug(vif)
        now = interfaces(place.switch)
        for row in (*before.values(), *now.values()):
            del row["mtu"]  # DPDK's comes a while after the guest
        assert now == before, "nothing is made anew"
        assert passes(one, two, b"the guest has not noticed")
    unplug(vif)
    plug(vif)
    with place.running(vif) as one, place.running(other) as two:
        assert_both_ways(one, two)


def test_from_one_mode_to_the_other(place: Place) -> None:
    """As when Neutron's agent is configured anew and the guest is rebooted hard."""
    other = vifs_ovs.plain(2)
    plug(other)
    before = place.sockets()
    for mode in ("client", "server", "client"):
        vif = place.vif(mode)
        plug(vif)
        assert steps_left(vif) == []
        with place.running(vif) as one, place.running(other) as two:
            assert_both_ways(one, two)
    unplug(vif)
    assert place.sockets() == before


def test_another_path(place: Place) -> None:
    """Open vSwitch does not look at the path of a port that it has."""
    plug(place.vif("server"))
    vif, other = place.vif("server", path=f"{place.guests}/elsewhere"), vifs_ovs.plain(2)
    assert steps_left(vif) != []
    plug(vif)
    assert steps_left(vif) == []
    plug(other)
    with place.running(vif) as one, place.running(other) as two:
        assert_both_ways(one, two)


# --- frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"), [*itertools.combinations_with_replacement([*MODES, "tap"], 2)][:-1]
)
def test_between_two_guests(place: Place, first: str, second: str) -> None:
    pair = [place.vif(first), vifs_ovs.plain(2) if second == "tap" else place.vif(second, 2)]
    for vif in pair:
        plug(vif)
    with place.running(pair[0]) as one, place.running(pair[1]) as two:
        assert_both_ways(one, two)
        assert [steps_left(vif) for vif in pair] == [[], []]


def test_a_guest_that_is_there_first(place: Place) -> None:
    vif, other = place.vif("server"), vifs_ovs.plain(2)
    plug(other)
    with place.guest(vif) as one, place.running(other) as two:
        plug(vif)
        one.start()
        assert_both_ways(one, two)


@pytest.mark.parametrize("mode", MODES)
def test_a_guest_that_comes_back(place: Place, mode: str) -> None:
    vif, other = place.vif(mode), vifs_ovs.plain(2)
    plug(vif)
    plug(other)
    with place.running(other) as two:
        for _boot in range(3):
            with place.running(vif) as one:
                assert_both_ways(one, two)
            place.until_link_is("down")
            assert steps_left(vif) == []


@pytest.mark.parametrize("mode", MODES)
def test_another_mtu(place: Place, mode: str) -> None:
    """A frame that is too long for a port is dropped by the switch, so the port's MTU is real."""

    def pair(mtu: int) -> list[Any]:
        network = vifs.network(vifs_ovs.BRIDGE, mtu=mtu)
        return [place.vif(mode, number, network=network) for number in (1, 2)]

    def fits(length: int) -> bool:
        mark = b"%d bytes are sent" % length
        one.send(guest.ethernet(two.mac, one.mac, guest.ETH_ARP, mark.ljust(length, b".")))
        return any(mark in frame for frame in two.frames(0.3))

    for vif in pair(vifs_ovs.MTU):
        plug(vif)
    jumbo = pair(JUMBO)
    with place.running(jumbo[0]) as one, place.running(jumbo[1]) as two:
        one.wait_for(two)
        assert fits(vifs_ovs.MTU)
        assert not fits(vifs_ovs.MTU + 100)
        for vif in jumbo:
            assert steps_left(vif) != []
            plug(vif)
            assert steps_left(vif) == []
            row = interface(place.switch, vif.vif_name)
            assert row is not None
            assert row["mtu_request"] == JUMBO
        # The port is there all the time, and Open vSwitch gives it other buffers by and by.
        assert any(fits(JUMBO) for _attempt in range(10))
        assert not fits(JUMBO + 100)


# --- the switch ends -----------------------------------------------------------------------------


@pytest.mark.parametrize("end", [Switch.stop_vswitchd, Switch.kill_vswitchd])
def test_a_guest_that_outlives_the_switch(place: Place, end: Callable[[Switch], None]) -> None:
    """What mode server is for: the guest keeps its socket and takes the next connection."""
    vif, other = place.vif("server"), place.vif("server", 2)
    plug(vif)
    plug(other)
    with place.running(vif) as one, place.running(other) as two:
        assert_both_ways(one, two)
        end(place.switch)
        with pytest.raises(ConnectionError):
            list(one.frames())
        place.switch.start_vswitchd()
        assert steps_left(vif) == []
        for front in (one, two):
            front.start()
        assert_both_ways(one, two)


def test_a_socket_of_the_switch_that_ends(place: Place) -> None:
    vif, other = place.vif("client"), vifs_ovs.plain(2)
    before = place.sockets()
    plug(vif)
    place.switch.stop_vswitchd()
    place.switch.start_vswitchd()
    plug(vif)
    plug(other)
    assert steps_left(vif) == []
    with place.running(vif) as one, place.running(other) as two:
        assert_both_ways(one, two)
    unplug(vif)
    assert place.sockets() == before


def test_a_socket_of_a_killed_switch(place: Place) -> None:
    """Open vSwitch cannot take its place, and says no more than "Unknown error -1"."""
    vif = place.vif("client")
    plug(vif)
    place.switch.kill_vswitchd()
    place.switch.start_vswitchd()
    assert steps_left(vif) != []
    with pytest.raises(exception.PlugException, match=r"a socket of the port's name.*remove it"):
        plug(vif)
    (place.switch.folder / NAME).unlink()
    plug(vif)
    assert steps_left(vif) == []
    unplug(vif)
    assert_only_bridges(place.switch, vifs_ovs.BRIDGE)


# --- what cannot be ------------------------------------------------------------------------------


def path_of(folder: Path, length: int) -> str:
    """Return a path of so many bytes whose folders exist."""
    deep = folder
    while length - len(str(deep)) > 60:
        deep /= "d" * 40
        deep.mkdir()
    return f"{deep}/".ljust(length, "s")


def test_the_longest_path(place: Place) -> None:
    vif, other = place.vif("server", path=path_of(place.guests, 107)), vifs_ovs.plain(2)
    plug(vif)
    plug(other)
    with place.running(vif) as one, place.running(other) as two:
        assert_both_ways(one, two)


def test_a_path_that_no_socket_can_have(place: Place) -> None:
    make_bridge(place.switch)
    for path, words in (
        (path_of(place.guests, 108), r"path: .* at most 107 bytes"),
        (f"/{'é' * 54}", r"path: .* at most 107 bytes"),
        ("guests/vhu", r"path: 'guests/vhu' .*absolute"),
    ):
        with refused(place.switch, words):
            plug(place.vif("server", path=path))


@pytest.mark.parametrize("occupied_by", ["file", "server"])
def test_a_place_that_is_taken(place: Place, occupied_by: str) -> None:
    """Whatever is where Open vSwitch wants to listen stays, and works."""
    make_bridge(place.switch)
    vif = place.vif("client")
    with contextlib.ExitStack() as stack:
        if occupied_by == "file":
            Path(vif.path).write_text("precious")
        else:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(vif.path)
            listener.listen()
        with refused(place.switch, f"attach it: could not open network device {NAME}"):
            plug(vif)
        if occupied_by == "file":
            assert Path(vif.path).read_text() == "precious"
        else:
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(vif.path)
    Path(vif.path).unlink()
    plug(vif)
    assert steps_left(vif) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_switch_without_dpdk(switch: Switch, mode: str) -> None:
    make_bridge(switch)
    kind = "dpdkvhostuserclient" if mode == "server" else "dpdkvhostuser"
    vif = vifs_ovs.vhost_user(mode=mode)
    # The words of Open vSwitch, as it logs them.
    own = rf"could not open network device {NAME} \(Address family not supported by protocol\)"
    with refused(switch, f"could not add port {NAME} .*{kind}.*: {own}"):
        plug(vif)
    assert "could not open network device" in switch.log()
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)
