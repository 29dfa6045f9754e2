# SPDX-License-Identifier: Apache-2.0
"""What libvirt is told of a guest's card: it starts with that, and starts what was meant.

libvirt 9 and 11 each start a guest for each kind of card. It never runs: what counts is the command
line that QEMU was given, which devices it holds, and what is left on the host when it has gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest

import os_vif
from os_vif.guest import GuestOptions, compared, libvirt, qemu
from tests import vifs, witness
from tests.functional.calls import plug, steps_left
from tests.libvirt_guests import (
    KINDS,
    MTU,
    Kind,
    Place,
    alone,
    changes_since,
    domain,
    function,
    meant,
    on_card,
    on_switch,
)
from tests.libvirtd import LibvirtError
from tests.qemu_told import Told, told
from tests.switch_witness import ids, snapshot

pytestmark = [pytest.mark.functional, pytest.mark.qemu, pytest.mark.xdist_group("dpdk")]

PERMITTED: dict[str, dict[str, tuple[Any, Any]]] = {
    "QEMU waits for the back end all the same, at the netdev": {"chardev wait": ("off", None)},
    "QEMU 10 knows both, and libvirt 11 writes the newer": {
        "chardev reconnect": ("1", None),
        "chardev reconnect-ms": (None, "1000"),
    },
    "libvirt refuses an MTU of a vhost-user card, and QEMU does not": {
        "device host_mtu": (MTU, None)
    },
    "libvirt keeps to what QEMU 3.1 did, for migration": {
        "memory x-use-canonical-path-for-ramblock-id": (None, False)
    },
}
"""What we tell QEMU of a vhost-user card, and what libvirt does of our XML; and why."""


def held(place: Place) -> list[str]:
    """Return what the guest's QEMU holds, by its descriptors: taps' names, macvtaps' nodes."""
    process, found = place.libvirt.process(), []
    for each in sorted((process / "fd").iterdir()):
        name = each.readlink().name
        if name == "tun":
            said = (process / "fdinfo" / each.name).read_text()
            found.append(said.partition("iff:")[2].split()[0])
        elif name.startswith("tap"):
            found.append(name)
    return found


def meant_to_be_held(place: Place, kind: Kind, vif: Any) -> list[str]:
    name = place.node(vif.vif_name).name if kind.opens == "macvtap" else vif.vif_name
    return [name] * (kind.queues if kind.opens else 0)


def not_as_told(place: Place, kind: Kind, vif: Any) -> tuple[str, ...]:
    """Return how the guest differs from what libvirt was told."""
    domain_now = compared.domain_of(place.libvirt.shown())
    return compared.differences(os_vif.guest_card(vif), kind.guest, domain_now)


def until(there_is_none: Callable[[], list[Any]]) -> None:
    """Wait until nothing is wrong any more: others notice a guest a while after us."""
    deadline = time.monotonic() + 30
    while wrong := there_is_none():
        assert time.monotonic() < deadline, wrong
        time.sleep(0.05)


@pytest.mark.parametrize("name", KINDS)
def test_a_guest_starts_with_what_was_meant(place: Place, name: str) -> None:
    kind = KINDS[name]
    with kind.plugged(place) as vif:
        text = domain(kind.said(vif))
        assert place.libvirt.is_valid(text)
        assert steps_left(vif) == []
        if kind.lost:
            until(lambda: [] if "No such device" in error_of(place, vif) else ["not tried yet"])
        before = snapshot(place.switch)
        with place.libvirt.started(text):
            found = told(place.libvirt.arguments())
            assert (found.netdev, found.device) == meant(kind, vif)
            assert held(place) == meant_to_be_held(place, kind, vif)
            assert len(found.descriptors) == len(held(place))
            assert not_as_told(place, kind, vif) == ()
            if "bridge_name" in vif:
                assert bridge_of(place, vif) == vif.bridge_name
            until(lambda: steps_left(vif))
            if kind.ours or not kind.opens:
                as_we_tell_it(kind, vif, found)
        if kind.lost:
            assert steps_left(vif) != []
            plug(vif)
        until(lambda: changes_since(place, before))
        assert steps_left(vif) == []


def bridge_of(place: Place, vif: Any) -> str:
    """Return which bridge the VIF's tap is in; of a switch's, see that it is the VIF's port."""
    link = witness.link(vif.vif_name) or {}
    if "master" in link:
        return str(link["master"])
    assert ids(place.switch, vif.vif_name)["iface-id"] == vif.port_profile.interface_id
    return place.switch.vsctl("port-to-br", vif.vif_name).strip()


def error_of(place: Place, vif: Any) -> str:
    """Return what Open vSwitch says of a port."""
    return place.switch.get("Interface", vif.vif_name, "error")


def as_we_tell_it(kind: Kind, vif: Any, libvirts: Told) -> None:
    """See that we would tell QEMU what libvirt tells it."""
    ours = qemu.arguments(os_vif.guest_card(vif), kind.guest, libvirts.descriptors)
    one, two = told([*ours.memory, *ours.words]).flat(), libvirts.flat()
    if not ours.memory:
        two = {key: value for key, value in two.items() if not key.startswith("memory ")}
    others = {
        key: (one.get(key), two.get(key))
        for key in one.keys() | two.keys()
        if one.get(key) != two.get(key)
    }
    for permitted in PERMITTED.values():
        if not kind.opens and permitted.items() <= others.items():
            others = {key: pair for key, pair in others.items() if key not in permitted}
    assert others == {}


# --- what is different where ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("tap", "tap of two queues", "bridge, libvirt's tap", "macvtap, two queues"),
        *("switch, libvirt's port", "vhost-user server", "vhost-user client"),
    ],
)
def test_into_a_guest_that_is_there(place: Place, name: str) -> None:
    kind = KINDS[name]
    with kind.plugged(place) as vif:
        said = kind.said(vif)
        before = snapshot(place.switch)
        with place.libvirt.started(domain(dataclasses.replace(said, xml=""))):
            assert not_as_told(place, kind, vif) != ()
            place.libvirt.write("/tmp/card.xml", said.xml)
            place.libvirt.virsh("attach-device guest /tmp/card.xml")
            assert held(place) == meant_to_be_held(place, kind, vif)
            assert not_as_told(place, kind, vif) == ()
            until(lambda: steps_left(vif))
            if kind.opens:  # a socket has no such state
                place.libvirt.virsh(f"domif-setlink guest {vif.address} down")
                assert not_as_told(place, kind, vif) == ("its link is down",)
        until(lambda: changes_since(place, before))


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_start_waits_for_the_back_end(place: Place, mode: str) -> None:
    kind = KINDS[f"vhost-user {mode}"]
    vif = kind.vif(place)
    place.libvirt.begin_start(domain(kind.said(vif)))
    with pytest.raises(LibvirtError, match="not done"):
        place.libvirt.end(patience=3)
    with kind.plugged(place):
        place.libvirt.end()
        found = told(place.libvirt.arguments())
        assert (found.netdev, found.device) == meant(kind, vif)
        place.libvirt.virsh("destroy guest")


def test_what_waits_on_a_tap_is_free_again_until_it_is_plugged_again(place: Place) -> None:
    """libvirt takes every limit away when it starts a guest."""
    limited = {"rates_to_guest": {vifs.vif_id(1): 4_000_000}}
    kind = Kind(alone, limited)
    with kind.plugged(place) as vif, place.libvirt.started(domain(kind.said(vif))):
        assert [step.kind for step in steps_left(vif)] == ["set_limits"]
        plug(vif)
        assert steps_left(vif) == []
        assert "qdisc tbf" in witness.run("tc", "qdisc", "show", "dev", vif.vif_name)


def test_open_vswitch_does_not_notice_that_a_limit_is_gone(place: Place) -> None:
    limited = {"rates_to_guest": {vifs.vif_id(1): 4_000_000}}
    kind = Kind(on_switch(), limited)
    with kind.plugged(place) as vif:
        until(lambda: [] if "htb" in qdiscs(vif) else ["no limit"])
        with place.libvirt.started(domain(kind.said(vif))):
            assert "htb" not in qdiscs(vif)
            assert steps_left(vif) == []


def qdiscs(vif: Any) -> str:
    return witness.run("tc", "qdisc", "show", "dev", vif.vif_name)


def test_libvirts_own_macvtap(place: Place) -> None:
    """In the place of a VIFDirect that is plugged: there with the guest, and gone with it."""
    vif = on_card(place)
    said = libvirt.interface(
        os_vif.guest_card(vif), GuestOptions(domain_type="qemu", libvirt_makes_it=True)
    )
    before = snapshot(place.switch)
    assert place.libvirt.is_valid(domain(said))
    with contextlib.ExitStack() as stack:
        for _attempt in range(10):  # its number may be that of another namespace's, see Place.node
            with contextlib.suppress(LibvirtError):
                stack.enter_context(place.libvirt.started(domain(said)))
                break
        else:
            pytest.fail(place.libvirt.said())
        found = told(place.libvirt.arguments())
        assert found.device["mac"] == vif.address
        assert "host_mtu" not in found.device
        [made] = [it for it in witness.ask("-d link show") if kind_of(it) == "macvtap"]
        assert (made["link"], made["address"]) == ("eth0", vif.address)
        assert made["linkinfo"]["info_data"]["mode"] == vif.mode
    assert changes_since(place, before) == []


def kind_of(link: dict[str, Any]) -> str:
    return str(link.get("linkinfo", {}).get("info_kind", ""))


@pytest.mark.parametrize("kind", ["ethernet", "generic"])
def test_a_function_is_valid_and_taken_note_of(place: Place, kind: str) -> None:
    """This host has none to give away, so its guest does not start."""
    text = domain(function(kind))
    assert place.libvirt.is_valid(text)
    place.libvirt.write("/tmp/guest.xml", text)
    place.libvirt.virsh("define /tmp/guest.xml")
    try:
        shown = place.libvirt.virsh("dumpxml guest")
        assert "domain='0x0000' bus='0x3b' slot='0x00' function='0x2'" in shown
        assert "managed='yes'" in shown
        with pytest.raises(LibvirtError, match=r"passthrough of host PCI devices|0000:3b:00\.2"):
            place.libvirt.virsh("start guest")
    finally:
        place.libvirt.virsh("undefine guest")
