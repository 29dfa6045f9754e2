# SPDX-License-Identifier: Apache-2.0
"""As in a container: CAP_NET_ADMIN, no CAP_SYS_ADMIN, and a /proc/sys that cannot be written.

The host outside sees the same devices, in the same network namespace, and may write its /proc/sys.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import socket
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif.engine import steps
from tests import guest, vifs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.killing import killed
from tests.functional.test_macvtap import LOWER

pytestmark = pytest.mark.functional

_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
_PR_CAPBSET_DROP = 24
_CAP_SYS_ADMIN = 21
_LIBC = ctypes.CDLL(None, use_errno=True)


def _done(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _enter() -> None:
    _done(_LIBC.unshare(_CLONE_NEWNS))
    _done(_LIBC.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
    _done(_LIBC.mount(b"/proc/sys", b"/proc/sys", None, _MS_BIND, None))
    flags = _MS_BIND | _MS_REMOUNT | _MS_RDONLY
    _done(_LIBC.mount(b"none", b"/proc/sys", None, flags, None))
    _done(_LIBC.prctl(_PR_CAPBSET_DROP, _CAP_SYS_ADMIN, 0, 0, 0))
    header = struct.pack("=Ii", 0x20080522, 0)  # capset(2)
    data = ctypes.create_string_buffer(24)
    _done(_LIBC.capget(header, data))
    held = list(struct.unpack("=6I", data.raw))
    held[:3] = [word & ~(1 << _CAP_SYS_ADMIN) for word in held[:3]]
    _done(_LIBC.capset(header, struct.pack("=6I", *held)))


def in_container(act: Callable[[], Any]) -> None:
    """Run ``act`` in a child that is in a container, and fail with what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _enter()
            act()
            status = 0
        except BaseException:
            os.write(writing, traceback.format_exc()[-4000:].encode())
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading) as said:
        words = said.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, words


@contextlib.contextmanager
def capture() -> Iterator[Callable[[], list[bytes]]]:
    """Provide what returns the IPv6 frames that this host has sent by now, from any device."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)) as wire:

        def sent() -> list[bytes]:
            found = []
            while select.select([wire], [], [], 0)[0]:
                frame, place = wire.recvfrom(65536)
                outgoing = place[2] == socket.PACKET_OUTGOING
                if place[1] == guest.ETH_IPV6 and outgoing and place[0] != "lo":
                    found.append(frame)
            return found

        yield sent


def unwritable() -> None:
    with pytest.raises(OSError, match="Read-only"):
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("0")


def routed(*subnets: Any) -> Any:
    network = vifs.network(subnets=subnets, should_provide_bridge=False)
    return vifs.tap_vif(network=network)


WAYS = {
    "tap": ("tap", {}, vifs.tap_vif, ""),
    "several queues": ("tap", {"multi_queue": True}, vifs.tap_vif, ""),
    "bridge": ("linux_bridge", {"create_tap": True}, vifs.bridge_vif, ""),
    "macvtap": ("macvtap", {}, vifs.direct_vif, LOWER),
    "whole card": ("macvtap", {}, lambda: vifs.direct_vif(mode="passthrough"), LOWER),
    "routed": (
        "tap",
        {"routed": True},
        lambda: routed(vifs.subnet("10.65.0.0/16", ["10.65.0.1"], gateway="10.65.255.1")),
        "",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_plug_check_and_unplug(inside: Any, way: str) -> None:
    plugin, options, make, setup = WAYS[way]
    if setup:
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        witness.ip(setup)
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("0")
    vif = make()
    before = witness.snapshot()

    def plugged() -> None:
        unwritable()
        plug(vif)
        assert steps_left(vif) == []
        plug(vif)
        assert steps_left(vif) == []

    with vifs.configured(plugin, **options):
        with capture() as sent:
            in_container(plugged)
            for name in inside.links():
                if name not in ("eth0", "wire0"):
                    assert witness.sysctl(f"ipv6/conf/{name}/disable_ipv6") == "0"
                    assert witness.addresses(name, "-6") == []
            with (
                guest.guests((vif.vif_name, vif.address))
                if plugin != "macvtap" and (way != "several queues")
                else contextlib.nullcontext()
            ):
                time.sleep(1.5)  # the kernel's random delay before it speaks is a second at most
            assert sent() == []
        assert steps_left(vif) == [], "seen from outside"
        in_container(lambda: unplug(vif))
        unplug(vif)
    if "br0" in inside.links():
        witness.ip("link del br0")
    if way == "macvtap":
        witness.ip("link set eth0 down")
    assert witness.differences(before, witness.snapshot()) == []


def test_the_capture_would_see_it(inside: Any) -> None:
    witness.ip("tuntap add tap0 mode tap")
    with capture() as sent, guest.guests(("tap0", "52:54:00:00:00:01")):
        witness.ip("link set tap0 up")
        deadline = time.monotonic() + 30
        while not sent():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_speaking_again_is_drift(inside: Any) -> None:
    vif = vifs.tap_vif()

    def mended() -> None:
        [step] = steps_left(vif)
        assert step.args["attributes"] == {"disable_ipv6": True}, steps.describe(step)
        plug(vif)
        assert steps_left(vif) == []

    in_container(lambda: plug(vif))
    witness.ip(f"link set {vif.vif_name} down addrgenmode eui64")
    witness.ip(f"link set {vif.vif_name} up")
    with guest.guests((vif.vif_name, vif.address)):
        deadline = time.monotonic() + 30
        while not any("fe80" in str(found) for found in witness.ask("-6 addr show")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        in_container(mended)
        assert not any("fe80" in str(it) for it in witness.ask(f"-6 addr show {vif.vif_name}"))
    witness.ip(f"addr add 2001:db8::5/64 dev {vif.vif_name} nodad")
    in_container(mended)
    # Outside it can be turned off for good, and then the container sees that.
    Path(f"/proc/sys/net/ipv6/conf/{vif.vif_name}/disable_ipv6").write_text("1")
    in_container(lambda: plug(vif))
    assert steps_left(vif) == []


def test_somebody_elses_device_is_not_taken_for_silent(inside: Any) -> None:
    """Network managers make addresses themselves, and tell the kernel to make none."""
    witness.ip(f"tuntap add {vifs.tap_name(1)} mode tap")
    witness.ip(f"link set {vifs.tap_name(1)} addrgenmode none")
    vif = vifs.tap_vif()
    [step] = steps_left(vif)
    assert step.args["attributes"]["disable_ipv6"] is True
    plug(vif)
    assert witness.sysctl(f"ipv6/conf/{vif.vif_name}/disable_ipv6") == "1"


SIX = vifs.subnet("2001:db8:7::/64", ["2001:db8:7::1"], gateway="2001:db8:7::ff")


def test_what_cannot_be_set_is_named(inside: Any) -> None:
    before = witness.snapshot()
    vif = routed(SIX)

    def refused() -> None:
        words = (
            r"/proc/sys/net/ipv6/conf/\S+: Read-only file system, and the kernel takes it nowhere "
            r"else; a container can be started with it .*net\.ipv6\.conf\.default\.\w+="
        )
        with pytest.raises(os_vif.exception.PlugException, match=words):
            plug(vif)

    with vifs.configured("tap", routed=True):
        in_container(refused)
    assert witness.differences(before, witness.snapshot()) == []


def test_what_the_container_was_started_with(inside: Any) -> None:
    """``docker run --sysctl``: new devices have it already."""
    for setting, value in (("forwarding", 1), ("proxy_ndp", 1), ("accept_ra", 0)):
        Path(f"/proc/sys/net/ipv6/conf/default/{setting}").write_text(str(value))
    vif = routed(SIX)

    def plugged() -> None:
        plug(vif)
        assert steps_left(vif) == []

    with vifs.configured("tap", routed=True):
        in_container(plugged)
        assert steps_left(vif) == []


@pytest.mark.slow
def test_killed_anywhere(inside: Any) -> None:
    vif = vifs.bridge_vif()

    def plugged() -> None:
        _enter()
        plug(vif)

    with vifs.configured("linux_bridge", create_tap=True), capture() as sent:
        number = 1
        while killed(plugged, number):
            in_container(lambda: plug(vif))
            assert steps_left(vif) == [], number
            in_container(lambda: unplug(vif))
            witness.ip("link del br0")
            assert inside.links() == {}, number
            number += 1
        assert number > 3
        assert sent() == []


def advertise(one: guest.Guest) -> None:
    """Say that this guest is a router (RFC 4861, 4.2)."""
    source = "fe80::5054:ff:fe00:1"
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    one._icmp6(source, "ff02::1", "33:33:00:00:00:01", body)


@pytest.mark.parametrize("disabled", ["0", "1"])
def test_a_guest_that_advertises_itself(inside: Any, disabled: str) -> None:
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text(disabled)
    vif = vifs.bridge_vif()
    with vifs.configured("linux_bridge", create_tap=True):
        in_container(lambda: plug(vif))
        [seen] = os_vif.examine([(vif, vifs.instance())])
    assert seen.steps == ()
    with guest.guests((vif.vif_name, vif.address)) as [one]:
        deadline = time.monotonic() + (30 if disabled == "0" else 2)
        while not witness.ask("-6 route show default") and time.monotonic() < deadline:
            advertise(one)
            time.sleep(0.1)
    if disabled == "0":
        [caution] = seen.warnings
        assert (caution.device, "a route" in caution.words) == ("br0", True)
        assert witness.ask("-6 route show default"), "or the warning is wrong"
    else:
        assert seen.warnings == ()
        assert witness.ask("-6 route show default") == []
