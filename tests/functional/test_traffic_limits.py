# SPDX-License-Identifier: Apache-2.0
"""Limits of taps and macvtaps: set, seen, taken back, and what gets through.

What comes in is limited by parts that not every kernel has. Where they are missing, that is an
error which leaves nothing. What they do, tests/lab shows.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import os_vif
from os_vif import verbs
from os_vif.engine import steps
from tests import guest, rates, vifs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.functional.killing import killed

pytestmark = pytest.mark.functional

KBIT = 4000
TAP = vifs.tap_name(1)

MAKE: dict[str, Callable[..., Any]] = {
    "linux_bridge": vifs.bridge_vif,
    "tap": vifs.tap_vif,
    "macvtap": vifs.direct_vif,
}
OUT = {"linux_bridge": "to_guest", "tap": "to_guest", "macvtap": "from_guest"}
"""What goes out of the device."""


@pytest.fixture(params=MAKE)
def plugin(request: Any, inside: PrivateHost) -> Iterator[str]:
    witness.ip("link add eth0 up type veth peer name wire0\nlink set wire0 up")
    with creating():
        yield request.param


def creating() -> Any:
    return vifs.configured("linux_bridge", create_tap=True)


def limited(plugin: str, way: str = "", rate: Any = KBIT * 1000, burst: Any = None) -> Any:
    way = way or OUT[plugin]
    options = {f"rates_{way}": {vifs.vif_id(1): rate}}
    if burst is not None:
        options[f"bursts_{way}"] = {vifs.vif_id(1): burst}
    return vifs.configured(plugin, **options)


def qdiscs(device: str = TAP) -> list[dict[str, Any]]:
    """Return what somebody has put on a device; the kernel's own have no handle."""
    said = json.loads(witness.run("tc", "-json", "qdisc", "show", "dev", device))
    return [item for item in said if item["handle"] != "0:"]


def test_set_seen_and_taken_back(plugin: str) -> None:
    vif = MAKE[plugin]()
    plug(vif)
    before = witness.snapshot()
    with limited(plugin, burst="100 kB"):
        said = "; ".join(steps.describe(step) for step in steps_left(vif))
        assert f"limit {TAP}: out 4 Mbit/s" in said
        plug(vif)
        assert steps_left(vif) == []
        [qdisc] = qdiscs()
        assert (qdisc["kind"], qdisc["options"]["rate"]) == ("tbf", KBIT * 1000 // 8)
        assert abs(qdisc["options"]["burst"] - 100_000) < 1000
        for what in (
            "del dev {} root",
            "change dev {} root handle 6f73: tbf rate 1mbit burst 9kb",
            "replace dev {} root noqueue",  # what libvirt does when a guest starts
        ):
            late = " latency 50ms" * ("tbf" in what)
            witness.run("tc", "qdisc", *f"{what.format(TAP)}{late}".split())
            assert steps_left(vif) != []
            plug(vif)
            assert qdiscs() == [qdisc]
    with limited(plugin, rate="10 Gbit"):
        plug(vif)
        assert qdiscs()[0]["options"]["rate"] == 10**10 // 8
        assert steps_left(vif) == []
    with limited(plugin, rate="100 Gbit"):
        plug(vif)
        assert qdiscs()[0]["options"]["rate"] == 10**11 // 8
        assert steps_left(vif) == []
    assert steps_left(vif) != []
    plug(vif)
    assert qdiscs() == []
    assert steps_left(vif) == []
    assert witness.differences(before, witness.snapshot()) == []
    unplug(vif)
    assert witness.link(TAP) is None


def test_what_goes_through_a_bridge(inside: PrivateHost) -> None:
    one, two = vifs.bridge_vif(1), vifs.bridge_vif(2)
    with creating():
        plug(two)
        with limited("linux_bridge"):
            plug(one)
            with guest.guests((one.vif_name, one.address), (two.vif_name, two.address)) as (a, b):
                b.wait_for(a)
                a.wait_for(b)
                rates.assert_about(rates.rate(b, a, KBIT), KBIT)
                assert rates.rate(a, b, 4 * KBIT) > 2 * KBIT, "the other way is free"
        plug(one)
        with guest.guests((one.vif_name, one.address), (two.vif_name, two.address)) as (a, b):
            b.wait_for(a)
            assert rates.rate(b, a, 4 * KBIT) > 2 * KBIT, "not described, not limited"


def test_what_a_guest_on_a_macvtap_sends(inside: PrivateHost) -> None:
    witness.ip("link add eth0 up type veth peer name wire0\nlink set wire0 up promisc on")
    vif = vifs.direct_vif()
    with limited("macvtap"), contextlib.ExitStack() as stack:
        plug(vif)
        [descriptor] = verbs.open_guest_end(vif)
        one = guest.Guest.__new__(guest.Guest)
        one.mac, one.descriptor = vif.address, descriptor
        stack.callback(one.close)
        witness.ip("tuntap add far mode tap vnet_hdr\nlink add br9 up type bridge")
        witness.ip("link set far up master br9\nlink set wire0 master br9")
        far = guest.Guest("far", "52:54:00:00:99:99")
        stack.callback(far.close)
        one.wait_for(far)
        rates.assert_about(rates.rate(one, far, KBIT), KBIT)


def test_another_has_limited_it(plugin: str) -> None:
    vif = MAKE[plugin]()
    plug(vif)
    witness.run("tc", "qdisc", "add", "dev", TAP, "root", "handle", "7:", "htb")
    with limited(plugin), refused("somebody else has a qdisc htb on it"):
        plug(vif)
    assert steps_left(vif) == [], "nobody asks where nothing is described"


def has_police() -> bool:
    """Tell whether this kernel can limit what comes in."""
    witness.ip("link add probe0 up type bridge")
    done = witness.run("tc", "qdisc", "add", "dev", "probe0", "ingress")
    words = "filter add dev probe0 ingress matchall action police rate 1mbit burst 9k drop"
    with contextlib.suppress(AssertionError):
        done = witness.run("tc", *words.split())
        witness.ip("link delete probe0")
        return done == ""
    witness.ip("link delete probe0")
    return False


def test_what_comes_in(plugin: str) -> None:
    """Either the kernel does it, or it says what it lacks, and nothing is left of the attempt."""
    vif, police = MAKE[plugin](), has_police()
    plug(vif)
    way = "from_guest" if OUT[plugin] == "to_guest" else "to_guest"
    with limited(plugin, way), limited(plugin):
        if not police:
            with refused("lacks cls_matchall and act_police"):
                plug(vif)
            assert qdiscs() == []
            return
        plug(vif)
        assert steps_left(vif) == []
        assert {item["kind"] for item in qdiscs()} == {"tbf", "ingress"}
    plug(vif)
    assert qdiscs() == []


def test_killed(plugin: str) -> None:
    vif, number, was_killed = MAKE[plugin](), 0, True
    while was_killed:
        with limited(plugin):
            was_killed = killed(lambda: plug(vif), number)
            plug(vif)
            assert (len(qdiscs()), steps_left(vif)) == (1, []), number
        killed(lambda: plug(vif), number)
        plug(vif)
        assert (qdiscs(), steps_left(vif)) == ([], []), number
        unplug(vif)
        assert os_vif.list_vifs() == [], number
        number += 1
    assert number >= 2


def test_a_hypervisors_tap_is_not_limited(inside: PrivateHost) -> None:
    with limited("linux_bridge"), refused("only a tap that is made here is limited"):
        plug(vifs.bridge_vif())


def test_a_tap_that_is_made_anew(plugin: str) -> None:
    vif = MAKE[plugin]()
    with limited(plugin):
        plug(vif)
        witness.ip(f"link delete {TAP}")
        plug(vif)
        assert (len(qdiscs()), steps_left(vif)) == (1, [])
    assert socket.if_nametoindex(TAP)
