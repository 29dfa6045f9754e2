# SPDX-License-Identifier: Apache-2.0
"""The plugin ``vhostuser_fp`` on 6WIND's fast path: what its command is asked, and what it gets."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.host.vhost_user.system import testpmd
from os_vif.host.vhost_user.system.testpmd_words import Settings
from tests import fast_path, fp_vdev, switch_witness, vifs, vifs_ovs, witness
from tests.conftest import PrivateHost
from tests.fp_vdev import FpVdev
from tests.functional import calls
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.killing import killed

pytestmark = pytest.mark.functional

DEV = f"vhu{vifs.vif_id(1)[:11]}"
MTU = 1400


@pytest.fixture
def command(inside: Any, tmp_path: Path) -> Iterator[FpVdev]:
    with fp_vdev.on_fp_vdev(tmp_path) as made:
        yield made


@pytest.fixture
def path(sockets: str) -> str:
    return f"{sockets}/guest"


def added(path: str, mode: str = "client") -> str:
    return f"add {DEV} --sockpath {path} --sockmode {mode}"


def device() -> dict[str, Any]:
    found = witness.link(DEV)
    assert found is not None, f"no device {DEV}"
    return found


def a_listener(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(path)
    made.listen()
    return made


# --- the profiles ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "opposite"), [("server", "client"), ("client", "server")])
def test_on_a_bridge(command: FpVdev, path: str, mode: str, opposite: str) -> None:
    vif = fast_path.on_bridge(1, path, mode=mode, mtu=MTU)
    plug(vif)
    assert command.calls() == [added(path, opposite)]
    assert device()["master"] == "br0"
    assert device()["mtu"] == MTU
    assert "UP" in device()["flags"]
    assert device()["address"] not in (vif.address, witness.link(fp_vdev.far(DEV))["address"])
    assert witness.sysctl(f"ipv6/conf/{DEV}/disable_ipv6") == "1"
    assert f"vif={vif.id}" in device()["ifalias"]
    assert steps_left(vif) == []
    plug(vif)
    assert command.calls() == []
    unplug(vif)
    assert command.calls() == [f"del {DEV}"]
    unplug(vif)
    assert command.calls() == []
    assert {link["ifname"] for link in witness.ask("link show")} == {"lo", "br0"}


@pytest.mark.parametrize("hybrid", [False, True])
def test_on_open_vswitch(switch: Any, command: FpVdev, path: str, hybrid: bool) -> None:
    vif = fast_path.on_switch(1, path, vifs_ovs.BRIDGE, hybrid=hybrid, mtu=MTU)
    plug(vif)
    port = vifs_ovs.name("qvo") if hybrid else DEV
    row = switch_witness.interface(switch, port)
    assert row is not None
    assert (row["bridge"], row["attached"], row["error"]) == (vifs_ovs.BRIDGE, True, [])
    assert switch_witness.ids(switch, port).items() >= {"iface-id": vif.id}.items()
    assert list(switch_witness.interfaces(switch)) == [port]
    if hybrid:
        assert device()["master"] == vif.port_profile.bridge_name
        assert witness.link(vifs_ovs.name("qvb"))["master"] == vif.port_profile.bridge_name
    assert (device()["mtu"], row["mtu"]) == (MTU, MTU)
    assert "UP" in device()["flags"]
    assert steps_left(vif) == []
    plug(vif)
    assert command.calls() == [added(path)]
    unplug(vif)
    assert command.calls() == [f"del {DEV}"]
    switch_witness.assert_only_bridges(switch, vifs_ovs.BRIDGE)
    assert os_vif.list_vifs() == []


def test_the_port_goes_before_its_device(switch: Any, command: FpVdev, path: str) -> None:
    vif = fast_path.on_switch(1, path, vifs_ovs.BRIDGE)
    plug(vif)
    command.be("the guest is busy", "del")
    with pytest.raises(exception.UnplugException, match="the guest is busy"):
        unplug(vif)
    assert switch_witness.interface(switch, DEV) is None
    assert device()
    command.be("", "del")
    unplug(vif)
    assert witness.link(DEV) is None


def test_the_fast_path_was_started_anew(switch: Any, command: FpVdev, path: str) -> None:
    """Its devices are gone then, and Open vSwitch must let go of what it holds."""
    vif = fast_path.on_switch(1, path, vifs_ovs.BRIDGE)
    plug(vif)
    witness.ip(f"link del {DEV}")
    assert [step.kind for step in steps_left(vif)][:2] == ["del_port", "add_fp_device"]
    plug(vif)
    assert steps_left(vif) == []
    row = switch_witness.interface(switch, DEV)
    assert row is not None
    assert row["attached"]
    assert device()["promiscuity"] > 0, "the switch has the former device"
    assert command.calls() == [added(path)] * 2
    unplug(vif)


def test_by_itself(command: FpVdev, path: str) -> None:
    vif = fast_path.by_itself(1, path, mac="02:00:00:00:00:aa", mtu=MTU)
    plug(vif)
    assert "master" not in device()
    assert (device()["address"], device()["mtu"]) == ("02:00:00:00:00:aa", MTU)
    assert "UP" in device()["flags"]
    assert steps_left(vif) == []
    unplug(vif)
    assert command.calls() == [added(path), f"del {DEV}"]


def test_the_host_routes(command: FpVdev, path: str) -> None:
    vif = fast_path.by_itself(1, path, subnets=[vifs.subnet("10.65.0.0/16", ["10.65.0.1"])])
    with vifs.configured("vhostuser_fp", routed=True):
        plug(vif)
        assert ("10.65.0.1", DEV) in {(to, dev) for to, _via, dev in witness.routes()}
        assert witness.sysctl(f"ipv4/conf/{DEV}/proxy_arp") == "1"
        assert steps_left(vif) == []
    unplug(vif)
    assert witness.link(DEV) is None


# --- plan, check, list, gc -----------------------------------------------------------------------


def test_a_plan_touches_nothing(command: FpVdev, path: str) -> None:
    vif = fast_path.on_bridge(1, path)
    kinds = [step.kind for step in os_vif.plan(vif, vifs.instance())]
    assert kinds == ["create_link", "add_fp_device", "set_link"]
    assert command.calls() == []
    assert witness.link(DEV) is None


def test_drift_is_told_and_mended(command: FpVdev, path: str) -> None:
    vif = fast_path.on_bridge(1, path, mtu=MTU)
    plug(vif)
    witness.ip(f"link set {DEV} mtu 1300 down nomaster")
    [step] = steps_left(vif)
    assert step.args["attributes"] == {"up": True, "mtu": MTU, "master": "br0"}
    plug(vif)
    assert steps_left(vif) == []
    assert command.calls() == [added(path)], "the device is there: nothing is added"


def test_unplugged_on_another_configuration(command: FpVdev, path: str) -> None:
    vif = fast_path.on_bridge(1, path)
    plug(vif)
    with vifs.configured("vhostuser_fp", back_end="testpmd"):
        unplug(vif)
    assert command.calls() == [added(path), f"del {DEV}"]
    assert witness.link(DEV) is None


def test_to_the_other_back_end_and_back(
    command: FpVdev, path: str, testpmd_settings: Settings
) -> None:
    """A guest that has a network keeps it, until its VIF is unplugged."""
    vif = fast_path.on_bridge(1, path, mode="client")
    with fast_path.on_testpmd(testpmd_settings):
        plug(vif)
        assert device()["linkinfo"]["info_kind"] == "tun"
    with calls.refused("dpdk-testpmd serves it, and back_end is 6wind now"):
        plug(vif)
    assert testpmd.look(DEV) is not None
    unplug(vif)
    plug(vif)
    assert (testpmd.look(DEV), command.calls()) == (None, [added(path, "server")])
    assert steps_left(vif) == []
    with fast_path.on_testpmd(testpmd_settings), calls.refused("6WIND's fast path made it"):
        plug(vif)
    assert device()
    unplug(vif)
    assert (testpmd.look(DEV), witness.link(DEV)) == (None, None)
    assert command.calls() == [f"del {DEV}"]


def test_list_and_gc(switch: Any, command: FpVdev, path: str) -> None:
    one, two = fast_path.on_bridge(1, path), fast_path.on_switch(2, f"{path}2", vifs_ovs.BRIDGE)
    plug(one)
    plug(two)
    [found, other] = os_vif.list_vifs()
    assert (found.mark.vif_id, found.mark.plugin) == (one.id, "vhostuser_fp")
    assert [link.name for link in found["links"]] == [DEV]
    assert [port.name for port in other["ports"]] == [two.vif_name]
    command.calls()
    assert [item.mark.vif_id for item in os_vif.gc([one.id])] == [two.id]
    assert command.calls() == [f"del {two.vif_name}"]
    assert switch_witness.interface(switch, two.vif_name) is None
    assert steps_left(one) == []
    os_vif.gc([])
    assert command.calls() == [f"del {DEV}"]
    assert os_vif.list_vifs() == []


# --- bad days ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", ["no memory for a port", "half of it was made, then no memory"])
def test_it_refuses(command: FpVdev, path: str, mood: str) -> None:
    vif = fast_path.on_bridge(1, path)
    command.be(mood)
    with calls.refused(mood):
        plug(vif)
    asked = command.calls()
    assert asked[0] == added(path)
    assert (f"del {DEV}" in asked) == mood.startswith("half")
    assert "get sockmode" in asked
    command.be("")
    plug(vif)
    unplug(vif)


def test_it_says_how_it_is_set_up(command: FpVdev, path: str) -> None:
    command.be("it cannot be")
    command.set_up(folder="/run/fast-path", mode="server")
    folder = os.path.dirname(path)
    with calls.refused(
        rf"it cannot be \(fp-vdev get sockmode says server, and the VIF needs client; "
        rf"fp-vdev get sockfolder says /run/fast-path, and the VIF needs {folder}\)"
    ):
        plug(fast_path.on_bridge(1, path))
    command.set_up(folder=f"{folder}/", mode="client")
    with calls.refused(r"fp-vdev add: it cannot be$"):
        plug(fast_path.on_bridge(1, path))


def test_it_hangs(command: FpVdev, path: str) -> None:
    command.be("hang")
    with (
        vifs.configured("vhostuser_fp", back_end_timeout=5),
        calls.refused("did not end within 5 s"),
    ):
        plug(fast_path.on_bridge(1, path))
    assert command.calls() == [added(path)]


def test_it_hangs_when_it_should_delete(command: FpVdev, path: str) -> None:
    vif = fast_path.on_bridge(1, path)
    plug(vif)
    command.be("hang", "del")
    with (
        vifs.configured("vhostuser_fp", back_end_timeout=5),
        pytest.raises(exception.UnplugException, match="del did not end within 5 s"),
    ):
        unplug(vif)
    assert [item.mark.vif_id for item in os_vif.list_vifs()] == [vif.id]
    command.be("", "del")
    unplug(vif)
    assert os_vif.list_vifs() == []


def test_it_says_nothing_and_does_nothing(command: FpVdev, path: str) -> None:
    vif = fast_path.on_bridge(1, path)
    command.be("silent")
    with calls.refused(f"there is no device {DEV}"):
        plug(vif)
    command.be("")
    plug(vif)
    command.be("silent", "del")
    with pytest.raises(exception.UnplugException, match=f"the device {DEV} is still there"):
        unplug(vif)


def test_a_later_step_fails(switch: Any, command: FpVdev, path: str) -> None:
    """The device is deleted by who made it."""
    switch_witness.make_bridge(switch)
    vif = fast_path.on_switch(1, path, vifs_ovs.BRIDGE)
    switch.pause()
    try:
        with vifs.configured("ovs", ovs_vsctl_timeout=5), pytest.raises(exception.PlugException):
            plug(vif)
    finally:
        switch.resume()
    assert command.calls() == [added(path), f"del {DEV}"]
    switch_witness.assert_only_bridges(switch, vifs_ovs.BRIDGE)


# --- what is in the way --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "words"),
    [
        ("", "it is a veth that is not this VIF's"),
        (f"os-vif vif={vifs.vif_id(7)} plugin=tap", f"it is a veth of VIF {vifs.vif_id(7)}"),
    ],
)
def test_a_device_of_another_s(command: FpVdev, path: str, alias: str, words: str) -> None:
    witness.ip("link add fp0 type veth peer name far0")
    if alias:
        witness.run("ip", "link", "set", "fp0", "alias", alias)
    vif = fast_path.on_bridge(1, path, vif_name="fp0")
    with calls.refused(words):
        plug(vif)
    unplug(vif)
    assert witness.link("fp0")
    assert command.calls() == []


def test_one_left_by_an_earlier_release(command: FpVdev, path: str) -> None:
    """It carries no mark, but the VIF's name."""
    witness.ip(f"link add {DEV} type veth peer name {fp_vdev.far(DEV)}")
    vif = fast_path.on_bridge(1, path)
    plug(vif)
    assert command.calls() == []
    assert steps_left(vif) == []
    unplug(vif)
    assert command.calls() == [f"del {DEV}"]


def test_a_stale_socket_is_cleared_away(command: FpVdev, path: str) -> None:
    a_listener(path).close()
    vif = fast_path.on_bridge(1, path, mode="client")
    plug(vif)
    assert not os.path.lexists(path), "fp-vdev has it for itself"
    unplug(vif)


def test_a_live_socket_is_not_taken(command: FpVdev, path: str) -> None:
    vif = fast_path.on_bridge(1, path, mode="client")
    with a_listener(path):
        with calls.refused("another process holds it"):
            plug(vif)
        assert os.path.lexists(path)
    assert command.calls() == []


@pytest.mark.parametrize("mode", ["client", "server"])
def test_bad_places(command: FpVdev, path: str, mode: str) -> None:
    with calls.refused("its folder does not exist"):
        plug(fast_path.on_bridge(1, f"{path}/no/guest", mode=mode))
    Path(path).write_text("mine")
    with calls.refused("a file is there"):
        plug(fast_path.on_bridge(1, path, mode=mode))
    assert Path(path).read_text() == "mine"
    assert command.calls() == []


# --- killed ---------------------------------------------------------------------------------------

Maker = Callable[..., Any]

KILLED: dict[str, Maker] = {
    "bridge": fast_path.on_bridge,
    "by itself": fast_path.by_itself,
    "switch": lambda number, path: fast_path.on_switch(number, path, vifs_ovs.BRIDGE),
    "hybrid": lambda number, path: fast_path.on_switch(number, path, vifs_ovs.BRIDGE, hybrid=True),
}


@pytest.fixture(params=KILLED)
def vif(request: Any, command: FpVdev, path: str) -> Any:
    if request.param in ("switch", "hybrid"):
        request.getfixturevalue("switch")
    return KILLED[request.param](1, path)


def nothing_of_ours(host: PrivateHost) -> None:
    assert set(host.links()) <= {"br0", vifs_ovs.BRIDGE, "ovs-netdev"}
    assert os_vif.list_vifs() == []


@pytest.mark.slow
def test_plug_killed(inside: Any, vif: Any) -> None:
    number, was_killed = 0, True
    while was_killed:
        was_killed = killed(lambda: plug(vif), number)
        if number % 2:
            plug(vif)
            assert steps_left(vif) == [], number
        unplug(vif)
        nothing_of_ours(inside)
        was_killed = killed(lambda: plug(vif), number)
        if not number % 2:
            plug(vif)
            assert steps_left(vif) == [], number
        unplug(vif)
        nothing_of_ours(inside)
        number += 1
    assert number >= 3, "that few changes?"


@pytest.mark.slow
def test_unplug_killed(inside: Any, vif: Any) -> None:
    number, was_killed = 0, True
    while was_killed:
        plug(vif)
        was_killed = killed(lambda: unplug(vif), number)
        unplug(vif)
        nothing_of_ours(inside)
        number += 1
    assert number >= 2, "that few changes?"


@pytest.mark.slow
def test_killed_and_cleaned_up(inside: Any, vif: Any) -> None:
    """What has no mark yet a clean-up does not know; plugging or unplugging the VIF does."""
    number, was_killed = 0, True
    while was_killed:
        was_killed = killed(lambda: plug(vif), number)
        os_vif.gc([])
        assert os_vif.list_vifs() == []
        left = witness.link(DEV)
        assert left is None or "ifalias" not in left, number
        unplug(vif)
        nothing_of_ours(inside)
        number += 1
