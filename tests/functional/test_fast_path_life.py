# SPDX-License-Identifier: Apache-2.0
"""A fast path's port on dpdk-testpmd: plugged again, disturbed, listed, removed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.host.vhost_user.system import testpmd
from os_vif.system import processes
from tests import fast_path, vifs, witness
from tests.conftest import PrivateHost
from tests.fast_path import assert_nothing_left, guest_of, kill, pid_of
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.test_concurrency import in_processes
from tests.vhost_user import FrontEnd

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("fast path")]

MODES = ["server", "client"]
HOST = "192.0.2.1"


@pytest.fixture(autouse=True)
def back_end(fast_path_settings: Any) -> None:
    """Have the fast path be dpdk-testpmd."""


@pytest.fixture
def bridge(inside: PrivateHost) -> str:
    """Return the address of the host's bridge, which has a MAC of its own."""
    witness.ip(
        f"""
        link add br0 address 52:00:00:00:0b:00 type bridge
        link set br0 up
        addr add {HOST}/24 dev br0
        """
    )
    return "52:00:00:00:0b:00"


def reaches_the_host(one: FrontEnd, bridge: str) -> None:
    assert one.arp_for("192.0.2.9", HOST) == bridge


def kinds(vif: Any) -> list[str]:
    return [step.kind for step in steps_left(vif)]


# --- plugged again -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_again_and_a_guest_that_comes_back(bridge: str, sockets: str, mode: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode=mode)
    plug(vif)
    pid = pid_of(vif)
    for _boot in range(2):
        with guest_of(vif) as one:
            one.start()
            reaches_the_host(one, bridge)
            [outcome] = os_vif.plug_many([(vif, vifs.instance())])
            assert (outcome.steps, outcome.error) == ((), None)
            reaches_the_host(one, bridge)
        assert steps_left(vif) == [], "a guest that ended is no drift"
    assert pid_of(vif) == pid
    unplug(vif)
    assert_nothing_left(vif)


def test_another_socket(bridge: str, sockets: str) -> None:
    """What the VIF says counts: the process is started anew, and its tap stays."""
    former = fast_path.on_bridge(1, f"{sockets}/one", mode="client")
    plug(former)
    index = witness.ask(f"link show dev {former.vif_name}")[0]["ifindex"]
    for fields in (
        {"path": f"{sockets}/two", "mode": "client"},
        {"path": f"{sockets}/two", "mode": "server"},
    ):
        vif = fast_path.on_bridge(1, **fields)
        assert kinds(vif)[:3] == ["set_link", "stop_back_end", "start_back_end"]
        pid = pid_of(vif)
        plug(vif)
        assert pid_of(vif) != pid
        assert steps_left(vif) == []
        assert not os.path.lexists(former.path)
        assert witness.ask(f"link show dev {vif.vif_name}")[0]["ifindex"] == index
        with guest_of(vif) as one:
            one.start()
            reaches_the_host(one, bridge)
    unplug(former)
    assert_nothing_left(vif)


# --- disturbed -----------------------------------------------------------------------------------


def _halt(vif: Any) -> None:
    os.kill(pid_of(vif), signal.SIGSTOP)


def _delete_tap(vif: Any) -> None:
    witness.ip(f"link del {vif.vif_name}")


def _replace_tap(vif: Any) -> None:
    _delete_tap(vif)
    witness.ip(f"tuntap add {vif.vif_name} mode tap multi_queue")


DISTURBANCES: dict[str, Callable[[Any], None]] = {
    "killed": kill,
    "halted": _halt,
    "tap deleted": _delete_tap,
    "tap replaced": _replace_tap,
}


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("killed", "server"),
        ("killed", "client"),
        ("halted", "client"),
        ("tap deleted", "server"),
        ("tap replaced", "client"),
    ],
)
def test_disturbed(bridge: str, sockets: str, name: str, mode: str) -> None:
    """Seen by check, put right by plug, and the guest goes on once it connected again."""
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode=mode, mtu=1400)
    with guest_of(vif) as one:
        plug(vif)
        one.start()
        reaches_the_host(one, bridge)
        former = pid_of(vif)
        DISTURBANCES[name](vif)
        assert "start_back_end" in kinds(vif)
        plug(vif)
        assert steps_left(vif) == []
        assert pid_of(vif) != former
        assert not processes.started(former)
        device = witness.ask(f"link show dev {vif.vif_name}")[0]
        assert (device["master"], device["mtu"]) == ("br0", 1400)
        one.start()
        reaches_the_host(one, bridge)
    unplug(vif)
    assert_nothing_left(vif)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["killed", "tap deleted"])
def test_disturbed_and_unplugged(inside: PrivateHost, sockets: str, name: str, mode: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode=mode)
    plug(vif)
    former = pid_of(vif)
    DISTURBANCES[name](vif)
    unplug(vif)
    assert_nothing_left(vif)
    assert not processes.started(former)
    assert set(inside.links()) == {"br0"}


def test_drift_of_the_device(bridge: str, sockets: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client", mtu=1400)
    plug(vif)
    pid = pid_of(vif)
    witness.ip(f"link set {vif.vif_name} nomaster mtu 1280 address 52:54:00:99:00:01")
    os.chmod(vif.path, 0o600)
    assert kinds(vif) == ["hold_mtu", "set_link", "start_back_end"]
    plug(vif)
    assert steps_left(vif) == []
    assert os.stat(vif.path).st_mode & 0o777 == 0o660
    assert pid_of(vif) == pid, "it need not start anew for that"
    os.chmod(vif.path, 0o600)
    [outcome] = os_vif.plug_many([(vif, vifs.instance())])
    assert [step.kind for step in outcome.steps] == ["start_back_end"], "it says what it did"
    assert pid_of(vif) == pid
    with guest_of(vif) as one:
        one.start()
        reaches_the_host(one, bridge)


def test_the_configuration_changes(bridge: str, sockets: str) -> None:
    """Unplugging finds what the former back end made."""
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    plug(vif)
    with vifs.configured("vhostuser_fp", back_end="6wind", fp_vdev_command="/nonexistent"):
        unplug(vif)
    assert_nothing_left(vif)


# --- several of us -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_two_processes_plug_the_same(bridge: str, sockets: str, mode: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode=mode)
    with guest_of(vif) as one:
        in_processes(2, lambda _number: plug(vif))
        assert steps_left(vif) == []
        assert testpmd.devices() == [vif.vif_name]
        one.start()
        reaches_the_host(one, bridge)
        in_processes(2, lambda _number: unplug(vif))
    assert_nothing_left(vif)


def test_two_vifs_with_one_socket(bridge: str, sockets: str) -> None:
    """The second is refused, and the first goes on."""
    first = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    second = fast_path.on_bridge(2, f"{sockets}/vhu", mode="client")
    plug(first)
    with guest_of(first) as one:
        one.start()
        with pytest.raises(exception.PlugException, match="another process holds it"):
            plug(second)
        assert witness.link(second.vif_name) is None
        unplug(second)
        assert steps_left(first) == []
        reaches_the_host(one, bridge)


def test_all_or_nothing(bridge: str, sockets: str) -> None:
    good = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    bad = fast_path.on_bridge(2, f"{sockets}/missing/vhu", mode="client")
    pairs = [(vif, vifs.instance()) for vif in (good, bad)]
    outcomes = os_vif.plug_many(pairs, together=True)
    assert isinstance(outcomes[0].error, exception.NotAttempted)
    assert isinstance(outcomes[1].error, exception.UnusableDevice)
    assert_nothing_left(good)
    assert [outcome.error is None for outcome in os_vif.plug_many(pairs)] == [True, False]
    assert steps_left(good) == []


# --- listed and removed --------------------------------------------------------------------------


@pytest.mark.parametrize("killed", [False, True])
def test_listed_and_removed(inside: PrivateHost, sockets: str, killed: bool) -> None:
    """With the socket, which a killed process leaves: the tap's alias tells where."""
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    plug(vif)
    [held] = os_vif.list_vifs()
    assert (held.mark.vif_id, held.mark.plugin) == (vif.id, "vhostuser_fp")
    assert [link.name for link in held["links"]] == [vif.vif_name]
    os_vif.gc([vif.id])
    assert steps_left(vif) == []
    [gone] = os_vif.gc([], dry_run=True)
    assert gone.mark == held.mark
    assert steps_left(vif) == []
    if killed:
        kill(vif)
        assert os.path.lexists(vif.path)
    assert os_vif.gc([])[0].mark == held.mark
    assert_nothing_left(vif)
    assert set(inside.links()) == {"br0"}


@pytest.mark.parametrize("live", [False, True])
def test_removed_when_its_tap_is_gone(inside: PrivateHost, sockets: str, live: bool) -> None:
    """Without its tap a process is of no use to anybody, and nothing says whose it was."""
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    other = fast_path.on_bridge(2, f"{sockets}/other", mode="client")
    plug(vif)
    plug(other)
    pid, others = pid_of(vif), pid_of(other)
    _delete_tap(vif)
    os_vif.gc([], dry_run=True)
    assert pid_of(vif) == pid
    os_vif.gc([vif.id, other.id] if live else [other.id])
    assert not processes.started(pid)
    assert_nothing_left(vif)
    assert pid_of(other) == others
    assert steps_left(other) == []


def test_what_a_killed_process_left_is_removed(inside: PrivateHost, sockets: str) -> None:
    """Its runtime folder and its socket, once the tap is gone too."""
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="server")
    plug(vif)
    kill(vif)
    _delete_tap(vif)
    assert testpmd.devices() == [vif.vif_name]
    os_vif.gc([])
    assert testpmd.devices() == []
