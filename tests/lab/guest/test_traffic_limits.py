# SPDX-License-Identifier: Apache-2.0
"""What comes into a tap or a macvtap is limited, where the kernel has the parts for it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import verbs
from tests import guest, rates, vifs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, steps_left, unplug

pytestmark = pytest.mark.lab

KBIT = 800
TAP = vifs.tap_name(1)


@pytest.fixture
def inside(host: PrivateHost) -> Iterator[PrivateHost]:
    os_vif.initialize()
    with host.enter(), vifs.configured("linux_bridge", create_tap=True):
        yield host


def limited(plugin: str, way: str, rate: Any = KBIT * 1000) -> Any:
    return vifs.configured(plugin, **{f"rates_{way}": {vifs.vif_id(1): rate}})


def police(device: str = TAP) -> list[tuple[str, str]]:
    """Return rate and burst of each policing action, as tc tells."""
    said = witness.run("tc", "filter", "show", "dev", device, "ingress")
    return re.findall(r"police .*rate (\S+) burst (\S+) .*action drop", said)


def kinds(device: str = TAP) -> set[str]:
    said = json.loads(witness.run("tc", "-json", "qdisc", "show", "dev", device))
    return {item["kind"] for item in said if item["handle"] != "0:"}


def test_what_a_guest_on_a_bridge_sends(inside: PrivateHost) -> None:
    one, two = vifs.bridge_vif(1), vifs.bridge_vif(2)
    plug(two)
    with (
        limited("linux_bridge", "from_guest"),
        limited("linux_bridge", "to_guest", 2 * KBIT * 1000),
    ):
        plug(one)
        assert steps_left(one) == []
        assert kinds() == {"tbf", "ingress"}
        with guest.guests((one.vif_name, one.address), (two.vif_name, two.address)) as (a, b):
            a.wait_for(b)
            b.wait_for(a)
            # What may come at once is more than a second's: it must be over.
            rates.rate(a, b, KBIT, 3)
            rates.assert_about(rates.rate(a, b, KBIT, 4), KBIT)
            rates.assert_about(rates.rate(b, a, 2 * KBIT, 4), 2 * KBIT)
    plug(one)
    assert kinds() == set()
    assert steps_left(one) == []
    with guest.guests((one.vif_name, one.address), (two.vif_name, two.address)) as (a, b):
        a.wait_for(b)
        assert rates.rate(a, b, 2 * KBIT, 4) > 1.5 * KBIT, "not described, not limited"
    unplug(one)


def test_what_a_guest_on_a_macvtap_is_sent(inside: PrivateHost) -> None:
    witness.ip("link add eth0 up type veth peer name wire0\nlink set wire0 up promisc on")
    vif = vifs.direct_vif()
    with limited("macvtap", "to_guest"), contextlib.ExitStack() as stack:
        plug(vif)
        [descriptor] = verbs.open_guest_end(vif)
        one = guest.Guest.__new__(guest.Guest)
        one.mac, one.descriptor = vif.address, descriptor
        stack.callback(one.close)
        witness.ip("tuntap add far mode tap vnet_hdr\nlink add br9 up type bridge")
        witness.ip("link set far up master br9\nlink set wire0 master br9")
        far = guest.Guest("far", "52:54:00:00:99:99")
        stack.callback(far.close)
        far.wait_for(one)
        rates.rate(far, one, KBIT, 3)
        rates.assert_about(rates.rate(far, one, KBIT, 4), KBIT)


@pytest.mark.parametrize("rate", ["8 kbit", "2.5 Mbit", "10 Gbit", "100 Gbit"])
def test_set_seen_and_taken_back(inside: PrivateHost, rate: str) -> None:
    vif = vifs.tap_vif()
    plug(vif)
    before = witness.snapshot()
    with limited("tap", "from_guest", rate):
        plug(vif)
        [(told, burst)] = police()
        expected = {"8 kbit": "8Kbit", "2.5 Mbit": "2500Kbit", "10 Gbit": "10Gbit"}
        assert told == expected.get(rate, "100Gbit")
        assert burst in ("128Kb", "131070b", "131071b", "125000000b") or rate == "100 Gbit"
        assert steps_left(vif) == []
        witness.run("tc", "qdisc", "del", "dev", TAP, "ingress")
        assert steps_left(vif) != []
        plug(vif)
        assert len(police()) == 1
    plug(vif)
    assert kinds() == set()
    assert witness.differences(before, witness.snapshot()) == []


def test_filters_of_others_stay(inside: PrivateHost) -> None:
    vif = vifs.tap_vif()
    plug(vif)
    witness.run("tc", "qdisc", "add", "dev", TAP, "clsact")
    others = f"filter add dev {TAP} ingress prio 1 protocol ip matchall action ok"
    witness.run("tc", *others.split())
    with limited("tap", "from_guest"):
        plug(vif)
        assert steps_left(vif) == []
        assert len(police()) == 1
    plug(vif)
    assert police() == []
    assert kinds() == {"clsact"}
    assert "gact" in witness.run("tc", "filter", "show", "dev", TAP, "ingress")
