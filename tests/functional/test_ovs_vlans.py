# SPDX-License-Identifier: Apache-2.0
"""VLANs of a port of Open vSwitch: set, seen, taken back, and what they do to frames."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from os_vif.engine import steps
from tests import guest, vifs, vifs_ovs
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.killing import killed
from tests.guest import Guest
from tests.openvswitch import Switch
from tests.switch_witness import assert_only_bridges, interface, make_bridge

pytestmark = pytest.mark.functional

TAP = vifs.tap_name(1)
QUIET = 0.3
"""Seconds without the frame that are taken as: it will not come."""
TAGGED = 0x8100


def given(number: int = 1, **said: Any) -> Any:
    """Set options of the plugin for one VIF: ``tag``, ``trunks``, ``vlan_mode``."""
    names = {"tag": "port_vlans", "trunks": "port_trunks", "vlan_mode": "port_vlan_modes"}
    return vifs.configured(
        "ovs", **{names[key]: {vifs.vif_id(number): value} for key, value in said.items()}
    )


def columns(switch: Switch, name: str = TAP) -> tuple[Any, Any, Any]:
    row = interface(switch, name)
    assert row is not None
    return row["tag"], row["trunks"], row["vlan_mode"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"tag": 7}, (7, [], "access")),
        ({"tag": "7"}, (7, [], "access")),
        ({"trunks": "30 10-12"}, ([], [10, 11, 12, 30], "trunk")),
        ({"trunks": [12]}, ([], 12, "trunk")),
        ({"vlan_mode": "trunk"}, ([], [], "trunk")),
        ({"tag": 7, "vlan_mode": "native-tagged"}, (7, [], "native-tagged")),
        (
            {"tag": 7, "trunks": [0, 4094], "vlan_mode": "native-untagged"},
            (7, [0, 4094], "native-untagged"),
        ),
        ({"tag": 7, "vlan_mode": "dot1q-tunnel"}, (7, [], "dot1q-tunnel")),
    ],
)
def test_set_seen_and_taken_back(switch: Switch, said: Any, expected: Any) -> None:
    vif = vifs_ovs.plain()
    with given(**said):
        plug(vif)
        assert columns(switch) == expected
        assert steps_left(vif) == []
        for what in ("tag=9", "trunks=5", "vlan_mode=native-untagged tag=8"):
            switch.vsctl("clear", "Port", TAP, "tag", "trunks", "vlan_mode")
            switch.vsctl("set", "Port", TAP, *what.split())
            assert steps_left(vif) != []
            plug(vif)
            assert steps_left(vif) == []
            tag, trunks, mode = columns(switch)
            # What the mode makes the switch pass over stays as it was set.
            assert mode == expected[2]
            assert mode == "trunk" or tag == expected[0]
            assert mode in ("access", "dot1q-tunnel") or trunks == expected[1]
        switch.vsctl("clear", "Port", TAP, "tag", "trunks", "vlan_mode")
        plug(vif)
        # A port without anything is a trunk of all VLANs already.
        assert columns(switch) == expected or said == {"vlan_mode": "trunk"}
    assert steps_left(vif) != [], "not described any more, and still as plugging has set it"
    plug(vif)
    assert columns(switch) == ([], [], [])
    assert steps_left(vif) == []
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_words(switch: Switch) -> None:
    vif = vifs_ovs.plain()
    plug(vif)
    with given(tag=7):
        [said] = steps_left(vif)
        assert "tag=7, vlan_mode=access" in steps.describe(said)


def test_what_the_switch_takes_for_the_same(switch: Switch) -> None:
    plug(vifs_ovs.plain())
    switch.vsctl("set", "Port", TAP, "tag=7")
    with given(tag=7):
        assert steps_left(vifs_ovs.plain()) == [], "a port with a tag and no mode is access"
    with given(trunks=[7]):
        assert steps_left(vifs_ovs.plain()) != []
    switch.vsctl("clear", "Port", TAP, "tag", "--", "set", "Port", TAP, "trunks=7")
    with given(trunks=[7]):
        assert steps_left(vifs_ovs.plain()) == [], "one without a tag is a trunk"


def test_the_agents_tag_stays(switch: Switch) -> None:
    """Nobody described it; nor does it go with what is no longer described."""
    vif = vifs_ovs.plain()
    with given(tag=7):
        plug(vif)
    switch.vsctl("set", "Port", TAP, "tag=9")
    plug(vif)
    assert columns(switch)[0] == 9
    assert steps_left(vif) == []
    switch.vsctl("set", "Port", TAP, "tag=7")
    plug(vif)
    assert columns(switch)[0] == 7, "what is forgotten is not remembered again"


def test_a_described_tag_ends_isolation(switch: Switch) -> None:
    vif = vifs_ovs.plain()
    with vifs.configured("ovs", isolate_vif=True):
        plug(vif)
        assert columns(switch) == (4095, 4095, "trunk")
        with given(tag=7, vlan_mode="native-untagged"):
            plug(vif)
            assert columns(switch) == (7, [], "native-untagged")
        unplug(vif)
        with given(tag=7):
            plug(vif)
            assert columns(switch) == (7, [], "access")


def test_attached_anew_with_what_is_described(switch: Switch) -> None:
    vif = vifs_ovs.plain()
    make_bridge(switch, "br-other")
    with given(tag=7):
        plug(vif)
        move = f"del-port {TAP} -- add-port br-other {TAP} tag=9 -- set Interface {TAP}"
        switch.vsctl(*move.split(), f"external_ids:iface-id={vifs.vif_id(1)}")
        plug(vif)
        assert columns(switch)[0] == 7
        assert steps_left(vif) == []


@pytest.mark.parametrize(
    ("make", "name"),
    [
        pytest.param(vifs_ovs.plain, vifs_ovs.name("ibp", length=64), id="own bridge"),
        pytest.param(vifs_ovs.hybrid, vifs_ovs.name("qvo"), id="hybrid"),
    ],
)
def test_the_port_on_the_shared_bridge_has_it(switch: Switch, make: Any, name: str) -> None:
    own = make is vifs_ovs.plain
    with given(tag=7), vifs.configured("ovs", per_port_bridge=own):
        plug(make())
        assert columns(switch, name)[0] == 7
        assert steps_left(make()) == []
        if own:
            assert columns(switch)[0] == []


def test_killed(switch: Switch) -> None:
    vif, number, was_killed = vifs_ovs.plain(), 0, True
    plug(vif)
    with given(tag=7):
        while was_killed:
            switch.vsctl("clear", "Port", TAP, "tag", "vlan_mode")
            was_killed = killed(lambda: plug(vif), number)
            plug(vif)
            assert columns(switch) == (7, [], "access")
            assert steps_left(vif) == []
            number += 1
    unplug(vif)
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


# --- frames ---------------------------------------------------------------------------------------


def tagged(target: Guest, source: Guest, vlan: int, text: bytes) -> bytes:
    inner = struct.pack("!HH", vlan, guest.ETH_ARP) + text + b"\0" * 46
    return guest.ethernet(target.mac, source.mac, TAGGED, inner)


def arrives(target: Guest, text: bytes) -> int | None:
    """Return the VLAN whose tag a frame comes with, 0 without one; None if it does not come."""
    for frame in target.frames(QUIET):
        if text in frame:
            kind, vlan = struct.unpack("!HH", frame[12:16])
            return vlan if kind == TAGGED else 0
    return None


def test_frames(switch: Switch) -> None:
    """Guests of VLAN 7, of VLAN 8, on a trunk of 7 to 9, and on one whose own VLAN is 7."""
    numbers = (1, 2, 3, 4, 5)
    ids = [vifs.vif_id(number) for number in numbers]
    tags = dict(zip(ids, (7, 7, 8), strict=False)) | {ids[4]: 7}
    with vifs.configured(
        "ovs",
        port_vlans=tags,
        port_trunks={ids[3]: "7-9", ids[4]: [8]},
        port_vlan_modes={ids[4]: "native-untagged"},
    ):
        plugged = [vifs_ovs.plain(number) for number in numbers]
        for vif in plugged:
            plug(vif)
        with guest.guests(*((vif.vif_name, vif.address) for vif in plugged)) as guests:
            one, same, other, trunk, native = guests
            one.wait_for(same)

            def passes(source: Guest, target: Guest, vlan: int = 0) -> int | None:
                text = b"from %s in %d" % (source.mac.encode(), vlan)
                if vlan:
                    source.send(tagged(target, source, vlan, text))
                else:
                    source.send(guest.ethernet(target.mac, source.mac, guest.ETH_ARP, text * 3))
                return arrives(target, text)

            assert passes(one, other) is None
            assert passes(one, trunk) == 7
            assert passes(other, trunk) == 8
            assert passes(trunk, one, 7) == 0
            assert passes(trunk, other, 7) is None
            assert passes(trunk, one, 9) is None
            assert passes(trunk, one) is None, "0 is not among the trunk's"
            assert passes(one, native) == 0, "its own VLAN comes without a tag"
            assert passes(other, native) == 8
            assert passes(native, one) == 0
            assert passes(native, other, 8) == 0
            assert passes(one, same) == 0
