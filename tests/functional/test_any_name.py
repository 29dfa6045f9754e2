# SPDX-License-Identifier: Apache-2.0
"""Devices of the host's by an alternative name, of up to 127 bytes, with packets through them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from tests import guest, vifs, witness
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.functional.test_linux_bridge import HOST_V4, HOST_V6, uplinked
from tests.functional.test_macvtap import LOWER, OWN_MAC, Wire, running

pytestmark = pytest.mark.functional

LONG = ("enx" + "0123456789abcdef" * 8)[:127]
SHORT = "enp1s0f0"
GROUP = "33:33:00:00:00:fb"  # multicast DNS over IPv6


def name_it(*names: str, device: str = "eth0") -> None:
    for name in names:
        witness.ip(f"link property add dev {device} altname {name}")


@pytest.fixture
def card(inside: Any) -> Any:
    witness.ip(LOWER)
    name_it(LONG, SHORT)
    return inside


@pytest.fixture
def taps() -> Iterator[None]:
    with vifs.configured("linux_bridge", create_tap=True):
        yield


def rename(old: str, new: str) -> None:
    """Rename a device that may be up, as udev does."""
    witness.ip(f"link set {old} down\nlink set {old} name {new}\nlink set {new} up")


@pytest.mark.parametrize("name", [LONG, SHORT])
@pytest.mark.parametrize("mode", ["vepa", "bridge", "passthrough"])
def test_a_macvtap(card: Any, mode: str, name: str) -> None:
    witness.ip("link set eth0 up")
    before = witness.snapshot()
    vif = vifs.direct_vif(lower=name, mode=mode, mtu=1450)
    plug(vif)
    assert card.links()[vif.vif_name]["link"] == "eth0"
    assert steps_left(vif) == []
    plug(vif)
    with running(vif) as (inside, wire):
        for target, text in ((vif.address, b"to the guest"), (GROUP, b"to a group")):
            wire.say(target, text)
            inside.until(text)
        inside.say("52:00:00:00:0e:01", b"from the guest")
        assert wire.hears(b"from the guest")
    rename("eth0", "nic9")
    assert steps_left(vif) == [], "it is the same device"
    unplug(vif)
    rename("nic9", "eth0")
    assert witness.differences(before, witness.snapshot()) == []


def test_a_card_that_was_down_is_so_again(card: Any) -> None:
    before = witness.snapshot()
    vif = vifs.direct_vif(lower=LONG, mode="passthrough")
    plug(vif)
    assert card.links()["eth0"]["address"] == vif.address
    unplug(vif)
    assert card.links()["eth0"]["address"] == OWN_MAC
    assert witness.differences(before, witness.snapshot()) == []


@pytest.mark.parametrize("name", [LONG, SHORT])
def test_an_uplink_of_a_bridge(uplink: Any, taps: None, name: str) -> None:
    name_it(LONG, SHORT)
    before = witness.snapshot()
    vif = uplinked(bridge_interface=name)
    plug(vif)
    assert uplink.links()["eth0"]["master"] == "br0"
    assert witness.addresses("br0") == HOST_V4
    assert sorted(witness.addresses("br0", "-6")) == HOST_V6
    assert witness.addresses("eth0", "-6") == []
    assert witness.sysctl("ipv6/conf/eth0/disable_ipv6") == "1"
    assert steps_left(vif) == []
    assert steps_left(uplinked()) == [], "by its own name it is the same"
    wire = Wire()
    with guest.guests((vif.vif_name, vif.address)) as [inside]:
        assert inside.arp_for("192.0.2.99", "192.0.2.10") == uplink.links()["br0"]["address"]
        assert inside.solicit("2001:db8::99", "2001:db8::a") == uplink.links()["br0"]["address"]
        for target, text in ((guest.BROADCAST, b"to all"), (GROUP, b"to a group")):
            inside.send(guest.ethernet(target, inside.mac, 0x88B5, text + b"\0" * 46))
            assert wire.hears(text)
            wire.say(target, b"back " + text)
            inside.until(b"back " + text)
    wire.close()
    [outcome] = os_vif.unplug_many([(vif, vifs.instance())], with_bridge=True)
    assert outcome.error is None
    assert witness.differences(before, witness.snapshot()) == []


def test_an_uplink_that_was_renamed(uplink: Any, taps: None) -> None:
    name_it(LONG)
    vif = uplinked(bridge_interface=LONG)
    plug(vif)
    witness.ip("link set eth0 name nic9")
    assert steps_left(vif) == []
    assert uplink.links()["nic9"]["master"] == "br0"
    assert witness.addresses("br0") == HOST_V4
    [outcome] = os_vif.unplug_many([(vif, vifs.instance())], with_bridge=True)
    assert outcome.error is None
    assert "br0" not in uplink.links()
    assert witness.addresses("nic9") == HOST_V4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("enx" + "0" * 124, "Network interface enx0+ not found"),
        ("e" * 128, "bridge_interface: 'e+' .*at most 127 bytes"),
        ("../../../../etc/passwd", "bridge_interface: .*no '/', ':'"),
        ("e" * 20 + "\n", "bridge_interface: .*no '/', ':'"),
        ("é" * 10, "bridge_interface: .*letters, digits"),
    ],
)
@pytest.mark.parametrize("kind", ["macvtap", "bridge"])
def test_what_is_no_name(card: Any, kind: str, name: str, words: str) -> None:
    vif = vifs.direct_vif(lower=name) if kind == "macvtap" else uplinked(bridge_interface=name)
    with refused(words):
        plug(vif)


def test_the_vlan_of_one(card: Any) -> None:
    """Without the module the kernel refuses it, by the word for it and the card's own name."""
    vif = uplinked(bridge_interface=LONG, should_provide_vlan=True, vlan=42)
    steps = os_vif.plan(vif, vifs.instance())
    [made] = [step for step in steps if step.args.get("kind") == "vlan"]
    assert made.args["attributes"]["link"] == "eth0"


def test_a_device_whose_own_name_is_odd(card: Any) -> None:
    witness.run("ip", "link", "set", "eth0", "name", "e+b")
    vif = vifs.direct_vif(lower=LONG)
    with refused(r"device enx\w+ cannot be used: its own name \(ip link shows it\)"):
        plug(vif)
    unplug(vif)


def test_a_name_that_is_taken_away(card: Any) -> None:
    """What was plugged stays, and goes, when only the name is gone."""
    vif = vifs.direct_vif(lower=LONG, mode="passthrough")
    before = witness.snapshot()
    plug(vif)
    witness.ip(f"link property del dev eth0 altname {LONG}")
    with pytest.raises(exception.NetworkInterfaceNotFound):
        steps_left(vif)
    unplug(vif)
    name_it(LONG)
    assert witness.differences(before, witness.snapshot()) == []
