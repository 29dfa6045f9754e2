# SPDX-License-Identifier: Apache-2.0
"""A fast path's port that cannot be had: refused beforehand, or taken back, and in plain words."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.host.vhost_user.system import testpmd
from tests import fast_path, vifs, witness
from tests.fast_path import assert_nothing_left, guest_of
from tests.functional.calls import plug, refused, steps_left, unplug

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("fast path")]


@pytest.fixture(autouse=True)
def back_end(fast_path_settings: Any) -> None:
    """Have the fast path be dpdk-testpmd."""


# --- wrong input ---------------------------------------------------------------------------------


def without(vif: Any, field: str) -> Any:
    delattr(vif, f"_obj_{field}")
    return vif


def _unnamed_bridge() -> Any:
    from os_vif.objects.vif import VIFPortProfileFPBridge

    return VIFPortProfileFPBridge()


def _unnamed_switch() -> Any:
    from os_vif.objects.vif import VIFPortProfileFPOpenVSwitch

    return VIFPortProfileFPOpenVSwitch(interface_id=vifs.vif_id(1), datapath_type="netdev")


PATH = "/run/vhu"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "path too long": ({"path": "/".ljust(108, "s")}, r"VIFVHostUser\.path: .* at most 107 bytes"),
    "path too long in UTF-8": ({"path": f"/{'é' * 54}"}, r"path: .* at most 107 bytes"),
    "relative path": ({"path": "run/vhu"}, r"path: 'run/vhu' .*absolute"),
    "no path": ({"path": ""}, r"path: '' .*a value"),
    "a comma": ({"path": "/run/vhu,client=1"}, r"path: .*DPDK"),
    "a blank": ({"path": "/run/v hu"}, r"path: .*DPDK"),
    "a line's end": ({"path": "/run/vhu\n"}, r"path: .*absolute"),
    "long frames": ({"mtu": 1600}, r"network\.mtu: 1600 .*1500 bytes"),
    "no bridge": ({"profile": _unnamed_bridge}, r"VIFPortProfileFPBridge\.bridge_name"),
    "no switch": ({"profile": _unnamed_switch}, r"VIFPortProfileFPOpenVSwitch\.bridge_name"),
    "bad name": ({"vif_name": "a" * 16}, r"vif_name: .*15 bytes"),
    "multicast": ({"address": "01:00:5e:00:00:01"}, r"VIFVHostUser\.address: .*multicast"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_touches_nothing(inside: Any, name: str) -> None:
    fields, words = dict(WRONG[name][0]), WRONG[name][1]
    profile = fields.pop("profile", lambda: fast_path.on_bridge(1, PATH).port_profile)
    vif = fast_path.vhost_user_vif(1, fields.pop("path", PATH), profile(), **fields)
    with refused(words):
        plug(vif)
    assert testpmd.devices() == []


@pytest.mark.parametrize("field", ["mode", "path", "address", "port_profile"])
def test_what_is_missing_touches_nothing(inside: Any, field: str) -> None:
    with refused(rf"VIFVHostUser\.{field}"):
        plug(without(fast_path.on_bridge(1, PATH), field))


def test_a_routed_guest_without_address(inside: Any) -> None:
    with vifs.configured("vhostuser_fp", routed=True), refused(r"network\.subnets"):
        plug(fast_path.by_itself(1, PATH))


# --- a start that fails --------------------------------------------------------------------------

FAILING: dict[str, tuple[dict[str, Any], str]] = {
    "no command": ({"testpmd_command": "no-such-command"}, "there is no command no-such-command"),
    "another program": ({"testpmd_command": "false"}, "dpdk-testpmd ended: it said nothing"),
    "many queues": ({"testpmd_queues": 16}, "dpdk-testpmd ended: .*Cannot send more than 8 FDs"),
    "no such core": ({"testpmd_cores": "999"}, "dpdk-testpmd ended: .*core 999 unavailable"),
    "silence": (
        {"testpmd_command": "sh -c 'echo Oh; sleep 60'", "back_end_timeout": 5},
        "dpdk-testpmd does not forward after 5 s: Oh",
    ),
    "no such user": (
        {"socket_owner": "nobody-at-all"},
        "socket_owner is 'nobody-at-all', and has to be .* user",
    ),
    "bad mode": ({"socket_mode": "rw-rw----"}, "socket_mode is 'rw-rw----', and has to be octal"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_start_that_fails_is_taken_back(inside: Any, sockets: str, name: str) -> None:
    options, words = FAILING[name]
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    with vifs.configured("vhostuser_fp", **options), refused(f"start the back end .*: .*{words}"):
        plug(vif)
    assert_nothing_left(vif)
    assert inside.links() == {}, "the bridge that was made for it too"


# --- the place of the socket ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_folder_that_is_missing(inside: Any, sockets: str, mode: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/missing/vhu", mode=mode)
    with refused(f"socket {vif.path}.*its folder does not exist"):
        plug(vif)
    unplug(vif)
    assert_nothing_left(vif)


def test_a_folder_that_is_open_to_all(inside: Any, sockets: str) -> None:
    os.chmod(sockets, 0o777)  # noqa: S103
    with refused(rf"every user may replace what is in {sockets}"):
        plug(fast_path.on_bridge(1, f"{sockets}/vhu", mode="client"))


@contextlib.contextmanager
def occupied(path: str, what: str) -> Iterator[None]:
    """Have a file, a folder, a link or a program's socket at a path, and see it stay."""
    if what == "server":
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(path)
            listener.listen()
            yield
            client.connect(path)
        return
    match what:
        case "file":
            Path(path).write_text("precious")
        case "folder":
            Path(path).mkdir()
        case "link":
            Path(path).symlink_to("elsewhere")
    before = os.lstat(path)
    yield
    assert os.lstat(path) == before


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("file", "a file is there"),
        ("folder", "a folder is there"),
        ("link", "a symbolic link is there"),
        ("server", "another process holds it"),
    ],
)
def test_a_place_that_is_taken(inside: Any, sockets: str, what: str, words: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    with occupied(vif.path, what):
        with refused(f"socket {vif.path}.*{words}"):
            plug(vif)
        unplug(vif)
    assert testpmd.devices() == []


def test_a_file_where_the_guest_should_listen(inside: Any, sockets: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="server")
    with occupied(vif.path, "file"), refused("a file is there"):
        plug(vif)


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_stale_socket(inside: Any, sockets: str, mode: str) -> None:
    """Where the process listens it is taken away; the guest's own is the guest's."""
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode=mode)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(vif.path)
    inode = os.stat(vif.path).st_ino
    plug(vif)
    assert steps_left(vif) == []
    if mode == "server":
        assert os.stat(vif.path).st_ino == inode
        os.unlink(vif.path)
    witness.ip("addr add 192.0.2.1/24 dev br0")
    with guest_of(vif) as one:
        one.start()
        assert one.arp_for("192.0.2.9", "192.0.2.1")
    unplug(vif)
    assert_nothing_left(vif)


# --- the device ----------------------------------------------------------------------------------


def test_a_device_of_somebody_else(inside: Any, sockets: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client", vif_name="fp0")
    witness.ip("link add fp0 type veth peer name wire0")
    with refused(f"device {vif.vif_name} is in the way"):
        plug(vif)
    unplug(vif)
    assert {vif.vif_name, "wire0"} <= inside.links().keys()


def test_a_name_that_another_vif_has(inside: Any, sockets: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    plug(vif)
    twin = fast_path.on_bridge(2, f"{sockets}/twin", mode="client", vif_name=vif.vif_name)
    with pytest.raises(exception.PlugException, match=f"a tap of VIF {vif.id}"):
        plug(twin)
    unplug(twin)
    assert steps_left(vif) == []
    assert [held.mark.vif_id for held in os_vif.list_vifs()] == [vif.id]
