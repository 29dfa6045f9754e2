# SPDX-License-Identifier: Apache-2.0
"""Macvtaps on VLAN devices, where the kernel has 802.1Q."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception, verbs
from tests import guest, vifs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, refused, steps_left, unplug

pytestmark = pytest.mark.lab

FAR = "52:00:00:00:0e:01"


@pytest.fixture
def card(host: PrivateHost) -> Iterator[PrivateHost]:
    os_vif.initialize()
    with host.enter():
        witness.ip(
            f"""
            link add eth0 type veth peer name wire0
            link set wire0 address {FAR} up
            link set eth0 address 52:00:00:00:0e:00 up
            """
        )
        yield host


def vif(number: int = 1, *, vlan: int = 42, **fields: Any) -> Any:
    return vifs.direct_vif(number, vlan=vlan, vlan_name=fields.pop("on", f"eth0.{vlan}"), **fields)


@pytest.mark.parametrize("mode", ["bridge", "vepa", "passthrough"])
def test_frames_carry_the_tag(card: PrivateHost, mode: str) -> None:
    before = witness.snapshot()
    plug(vif(mode=mode))
    assert steps_left(vif(mode=mode)) == []
    made = card.links()["eth0.42"]
    assert (made["linkinfo"]["info_data"]["id"], made["link"]) == (42, "eth0")
    assert made["ifalias"] == "os-vif shared"
    assert card.links()[vifs.tap_name(1)]["link"] == "eth0.42"
    witness.ip("link add link wire0 name far42 type vlan id 42\nlink set far42 up")
    [descriptor] = verbs.open_guest_end(vif())
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as far:
        far.bind(("far42", 0))
        far.settimeout(20)
        frame = guest.ethernet(FAR, vifs.guest_mac(1), 0x88B5, b"tagged" + b"\0" * 46)
        os.write(descriptor, guest.VNET_HEADER + frame)
        while b"tagged" not in far.recv(2000):
            pass
    os.close(descriptor)
    witness.ip("link del far42")
    unplug(vif(mode=mode))
    assert witness.differences(before, witness.snapshot()) == []


def test_it_goes_with_its_last_user(card: PrivateHost) -> None:
    before = witness.snapshot()
    plug(vif(1))
    plug(vif(2))
    assert len(card.links()) == 5
    unplug(vif(1))
    assert {"eth0.42", vifs.tap_name(2)} <= card.links().keys()
    unplug(vif(1))
    pairs = [(vif(number), vifs.instance()) for number in (1, 2, 3)]
    assert not any(outcome.error for outcome in os_vif.plug_many(pairs))
    assert not any(outcome.error for outcome in os_vif.unplug_many(pairs))
    assert witness.differences(before, witness.snapshot()) == []


def test_one_that_others_use_stays(card: PrivateHost) -> None:
    plug(vif())
    witness.ip("link add br9 type bridge\nlink set eth0.42 nomaster")
    witness.ip("addr add 192.0.2.1/24 dev eth0.42")
    unplug(vif())
    assert "eth0.42" in card.links()
    witness.ip("addr del 192.0.2.1/24 dev eth0.42")
    plug(vif())
    witness.ip("link add link eth0.42 name other type macvtap mode bridge")
    unplug(vif())
    assert {"eth0.42", "other"} <= card.links().keys()
    witness.ip("link del other\nlink set eth0.42 alias mine")
    plug(vif())
    unplug(vif())
    assert "eth0.42" in card.links(), "a stranger's"


def test_a_failed_plug_takes_the_vlan_back(card: PrivateHost) -> None:
    with refused("MAC 52:00:00:00:0e:00 is in the way: eth0.42 has it itself"):
        plug(vif(address="52:00:00:00:0e:00"))
    plug(vif(1, on="shared0"))
    with refused("has the MAC"):
        plug(vif(2, on="shared0", address=vifs.guest_mac(1)))
    with refused("passthrough needs it to itself"):
        plug(vif(2, on="shared0", mode="passthrough"))
    with refused("device shared0 is in the way: it is VLAN 42 on eth0; VLAN 43 on eth0 is needed"):
        plug(vif(2, on="shared0", vlan=43))
    with refused("1501 .*at most 1500 bytes, the MTU of eth0.44"):
        plug(vif(3, vlan=44, mtu=1501))


def test_from_the_whole_card_to_a_vlan_on_it_and_back(card: PrivateHost) -> None:
    witness.ip("link set eth0 down")
    whole = vifs.direct_vif(mode="passthrough")
    plug(whole)
    plug(vif(mode="vepa"))
    links = card.links()
    assert {links[name]["address"] for name in ("eth0", "eth0.42")} == {"52:00:00:00:0e:00"}
    assert all("UP" in links[name]["flags"] for name in ("eth0", "eth0.42"))
    assert steps_left(vif(mode="vepa")) == []
    with refused("eth0.42 uses it too"):
        plug(whole)


def test_passthrough_next_to_a_vlan_of_the_hosts(card: PrivateHost) -> None:
    witness.ip("link add link eth0 name eth0.9 type vlan id 9")
    with refused("eth0.9 uses it too, and passthrough needs it to itself"):
        plug(vifs.direct_vif(mode="passthrough"))


def test_the_guests_end_where_sys_shows_this_namespace() -> None:
    """Here, unlike in the other tests, /sys and /dev/tapN are this network namespace's."""
    os_vif.initialize()
    witness.ip("link add eth0 type veth peer name wire0\nlink set eth0 up")
    one = vifs.direct_vif(vif_name="mv0")
    try:
        os_vif.plug(one, vifs.instance())
        index = int(Path("/sys/class/net/mv0/ifindex").read_text())
        for node in (True, False):
            if not node:
                Path(f"/dev/tap{index}").unlink()
            for descriptor in verbs.open_guest_end(one, 3):
                os.close(descriptor)
        os_vif.unplug(one, vifs.instance())
        with pytest.raises(exception.UnusableDevice):
            verbs.open_guest_end(one)
    finally:
        witness.ip("link del eth0")
