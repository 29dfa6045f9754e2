# SPDX-License-Identifier: Apache-2.0
"""One VIF is in one place: what it has elsewhere is drift, goes with plug, and with unplug.

It has something elsewhere where it was plugged with another name, bridge, type or datapath before,
or where somebody renamed its device.
"""

from __future__ import annotations

from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import steps
from tests import guest, vifs, vifs_ovs, witness
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.openvswitch import Switch
from tests.switch_witness import assert_only_bridges, interfaces, make_bridge

pytestmark = pytest.mark.functional

NAME = vifs.tap_name(1)


@pytest.fixture
def making(inside: Any) -> Any:
    """Return a private host on which the plugin ``linux_bridge`` makes taps."""
    with vifs.configured("linux_bridge", create_tap=True):
        yield inside


def said(vif: Any) -> list[str]:
    return [steps.describe(step) for step in steps_left(vif)]


def links() -> set[str]:
    return {link["ifname"] for link in witness.ask("link show")} - {"lo"}


def moved(before: Any, after: Any) -> list[str]:
    """Plug one description and then another of the same VIF; return what check said between."""
    plug(before)
    words = said(after)
    assert words, "what is elsewhere is drift"
    plug(after)
    assert said(after) == []
    return words


# --- devices --------------------------------------------------------------------------------------


def test_another_name(inside: Any) -> None:
    words = moved(vifs.tap_vif(vif_name="tap-old"), vifs.tap_vif(vif_name="tap-new"))
    assert words[0] == "delete tap-old"
    assert links() == {"tap-new"}
    unplug(vifs.tap_vif(vif_name="tap-new"))
    assert links() == set()


def test_unplugged_by_another_name(inside: Any) -> None:
    plug(vifs.tap_vif(vif_name="tap-old"))
    unplug(vifs.tap_vif(vif_name="tap-new"))
    assert links() == set()


def test_renamed_underneath(inside: Any) -> None:
    vif = vifs.tap_vif()
    plug(vif)
    witness.ip(f"link set {NAME} down\nlink set {NAME} name away0\nlink set away0 up")
    assert "delete away0" in said(vif)
    plug(vif)
    assert said(vif) == []
    assert links() == {NAME}
    witness.ip(f"link set {NAME} down\nlink set {NAME} name away0")
    unplug(vif)
    assert links() == set()


def test_a_guest_on_it_keeps_it(inside: Any) -> None:
    plug(vifs.tap_vif(vif_name="tap-old"))
    with (
        guest.guests(("tap-old", vifs.guest_mac(1))),
        refused("tap tap-old is in the way: .* a program has it open; stop the guest first"),
    ):
        plug(vifs.tap_vif(vif_name="tap-new"))
    plug(vifs.tap_vif(vif_name="tap-new"))
    assert links() == {"tap-new"}


def test_another_bridge_and_name(making: Any) -> None:
    moved(
        vifs.bridge_vif(bridge="br0", vif_name="t0"), vifs.bridge_vif(bridge="br1", vif_name="t1")
    )
    assert links() == {"br0", "br1", "t1"}, "the bridge is others' too"
    assert witness.ask("link show dev t1")[0]["master"] == "br1"


def test_a_bridge_vif_becomes_a_plain_tap(making: Any) -> None:
    moved(vifs.bridge_vif(vif_name="t0"), vifs.tap_vif(vif_name="t1"))
    assert links() == {"br0", "t1"}
    unplug(vifs.bridge_vif(vif_name="t2"))
    assert links() == {"br0"}


def test_a_tap_becomes_a_macvtap_and_back(uplink: Any) -> None:
    tap, macvtap = vifs.tap_vif(vif_name="t0"), vifs.direct_vif(vif_name="m0")
    moved(tap, macvtap)
    assert links() == {"eth0", "wire0", "m0"}
    moved(macvtap, tap)
    assert links() == {"eth0", "wire0", "t0"}


@pytest.mark.usefixtures("kernel_refuses")
def test_what_cannot_be_plugged_gives_back_what_was_elsewhere(inside: Any) -> None:
    plug(vifs.tap_vif(vif_name="tap-old"))
    witness.ip("link add br9 type bridge")
    with refused("tap-old|MTU"), vifs.configured("tap", network_device_mtu=65535):
        plug(vifs.tap_vif(vif_name="tap-new"))
    assert "tap-old" in links()


def test_another_vif_is_left_alone(inside: Any) -> None:
    plug(vifs.tap_vif(2))
    moved(vifs.tap_vif(vif_name="tap-old"), vifs.tap_vif(vif_name="tap-new"))
    unplug(vifs.tap_vif(vif_name="tap-new"))
    assert links() == {vifs.tap_name(2)}
    assert said(vifs.tap_vif(2)) == []


def test_one_that_was_plugged_before_there_were_tags(inside: Any) -> None:
    vif = vifs.tap_vif()
    plug(vif)
    [tag] = witness.ask(f"link show dev {NAME}")[0]["altnames"]
    witness.ip(f"link property del dev {NAME} altname {tag}")
    assert os_vif.check(vif, vifs.instance()) == [], "it is as described"
    plug(vif)
    assert witness.ask(f"link show dev {NAME}")[0]["altnames"] == [tag]
    plug(vifs.tap_vif(vif_name="tap-new"))
    assert links() == {"tap-new"}


def test_a_host_full_of_others_is_not_read(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from os_vif.system import netlink

    plug(vifs.tap_vif(vif_name="tap-old"))
    monkeypatch.setattr(netlink, "dump", lambda *_words: pytest.fail("the host was read whole"))
    plug(vifs.tap_vif(vif_name="tap-new"))
    unplug(vifs.tap_vif(vif_name="tap-new"))


# --- rules ----------------------------------------------------------------------------------------


def test_rules_for_another_bridge(making: Any) -> None:
    before = vifs.bridge_vif(bridge="br0", has_traffic_filtering=False)
    after = vifs.bridge_vif(bridge="br1", has_traffic_filtering=False)
    moved(before, after)
    assert witness.rules()
    assert not any("br0" in rule for rule in witness.rules())
    unplug(before)
    assert witness.rules() == witness.rules("ip6tables") == []


def test_rules_of_one_that_is_no_bridge_vif_any_more(making: Any) -> None:
    moved(vifs.bridge_vif(has_traffic_filtering=False, vif_name="t0"), vifs.tap_vif(vif_name="t0"))
    assert witness.rules() == []


# --- Open vSwitch ---------------------------------------------------------------------------------


def one_port(switch: Switch, *names: str) -> None:
    """See that the VIF has just these ports, whoever asks for its iface-id or its mark."""
    found = {
        name
        for name, row in interfaces(switch).items()
        if "os-vif" in str(row) or vifs.vif_id(1) in str(row)
    }
    assert found == set(names)


def test_a_port_of_another_name(switch: Switch) -> None:
    make_bridge(switch)
    words = moved(vifs_ovs.plain(vif_name="t0"), vifs_ovs.plain(vif_name="t1"))
    assert words[0].startswith("delete port t0 from br-int")
    one_port(switch, "t1")
    assert "t0" not in links()
    unplug(vifs_ovs.plain(vif_name="t2"))
    assert_only_bridges(switch, vifs_ovs.BRIDGE)
    assert "t1" not in links()


def test_a_port_on_another_bridge_by_another_name(switch: Switch) -> None:
    moved(
        vifs_ovs.plain(bridge="br-a", vif_name="t0"), vifs_ovs.plain(bridge="br-b", vif_name="t1")
    )
    one_port(switch, "t1")
    unplug(vifs_ovs.plain(bridge="br-a", vif_name="t0"))
    assert_only_bridges(switch, "br-a", "br-b")


def test_a_port_for_another_interface_id(switch: Switch) -> None:
    make_bridge(switch)
    other = vifs_ovs.profile(1, create_port=True, create_tap=True, interface_id=vifs.NETWORK_ID)
    moved(vifs_ovs.plain(vif_name="t0"), vifs_ovs.plain(vif_name="t1", port_profile=other))
    one_port(switch, "t1")


def test_hybrid_becomes_plain_and_back(switch: Switch) -> None:
    make_bridge(switch)
    moved(vifs_ovs.hybrid(), vifs_ovs.plain())
    one_port(switch, NAME)
    assert {"qbr", "qvb", "qvo"}.isdisjoint(name[:3] for name in links())
    moved(vifs_ovs.plain(), vifs_ovs.hybrid())
    one_port(switch, vifs_ovs.name("qvo"))


def test_a_bridge_of_ones_own_no_more(switch: Switch) -> None:
    make_bridge(switch)
    with vifs.configured("ovs", per_port_bridge=True):
        plug(vifs_ovs.plain())
    words = said(vifs_ovs.plain())
    assert f"delete Open vSwitch bridge {vifs_ovs.name('pb')}" in words
    plug(vifs_ovs.plain())
    assert said(vifs_ovs.plain()) == []
    one_port(switch, NAME)
    unplug(vifs_ovs.plain())
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_a_port_without_a_device(switch: Switch) -> None:
    make_bridge(switch)
    moved(vifs_ovs.plain(tap=False, vif_name="t0"), vifs_ovs.plain(vif_name="t1"))
    one_port(switch, "t1")


def test_a_linux_bridges_tap_becomes_a_port_of_the_same_name(making: Any, switch: Switch) -> None:
    make_bridge(switch)
    moved(vifs.bridge_vif(), vifs_ovs.plain())
    assert "master" not in witness.ask(f"link show dev {NAME}")[0], "else both bridges are joined"
    one_port(switch, NAME)


def test_a_port_becomes_a_linux_bridges(making: Any, switch: Switch) -> None:
    make_bridge(switch)
    moved(vifs_ovs.plain(), vifs.bridge_vif())
    assert witness.ask(f"link show dev {NAME}")[0]["master"] == "br0"
    one_port(switch)
    unplug(vifs.bridge_vif())
    assert NAME not in links()


def test_unplugged_as_a_linux_bridges(making: Any, switch: Switch) -> None:
    make_bridge(switch)
    plug(vifs_ovs.plain(vif_name="t0"))
    unplug(vifs.bridge_vif(vif_name="t0"))
    assert "t0" not in links()
    assert_only_bridges(switch, vifs_ovs.BRIDGE)


def test_another_guests_before(switch: Switch) -> None:
    make_bridge(switch)
    other = vifs.instance(7)
    os_vif.plug(vifs_ovs.plain(vif_name="t0"), other)
    plug(vifs_ovs.plain(vif_name="t1"))
    one_port(switch, "t1")
    assert said(vifs_ovs.plain(vif_name="t1")) == []


def test_ours_in_anothers_hands_is_an_error(switch: Switch) -> None:
    make_bridge(switch)
    vif = vifs_ovs.plain(vif_name="t0")
    plug(vif)
    switch.vsctl("clear", "Interface", "t0", "external_ids")
    with pytest.raises(exception.UnplugException, match="device t0 is this VIF's, and cannot go"):
        unplug(vif)
    assert "t0" in links()
    switch.vsctl("del-port", "t0")
    unplug(vif)
    assert "t0" not in links()


def test_a_strangers_port_stays(switch: Switch) -> None:
    make_bridge(switch)
    switch.vsctl("add-port", vifs_ovs.BRIDGE, "p9", "--", "set", "Interface", "p9", "type=internal")
    moved(vifs_ovs.plain(vif_name="t0"), vifs_ovs.plain(vif_name="t1"))
    unplug(vifs_ovs.plain(vif_name="t1"))
    assert "p9" in interfaces(switch)
