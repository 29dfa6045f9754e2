# SPDX-License-Identifier: Apache-2.0
"""What macvtaps let in besides their own unicast, for guests with a real kernel."""

from __future__ import annotations

from typing import Any

import pytest

import os_vif
from os_vif import verbs
from tests import vifs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.test_macvtap import HAIRPIN, LOWER
from tests.kernel_guest import kernel_guest, reaches

pytestmark = pytest.mark.functional

MDNS = ("224.0.0.251", "ff02::fb")
# Not derived from the MAC address, so its solicitations go to a group of their own.
STATIC = ("192.0.2.7/24", "2001:db8::7:77/64")
NEIGHBOUR = ("192.0.2.8/24", "2001:db8::8:88/64")
MODES = ("bridge", "vepa", "passthrough")


@pytest.fixture
def wired(inside: Any) -> Any:
    """Return a host with a card, ``eth0``, at whose wire's other end somebody has addresses."""
    witness.ip(
        f"""
        {LOWER}
        link set eth0 up
        addr add 192.0.2.1/24 dev wire0
        addr add 2001:db8::1/64 dev wire0 nodad
        """
    )
    return inside


def bare(address: str) -> str:
    return address.partition("/")[0]


def counts(name: str = "eth0") -> tuple[Any, Any]:
    """Return how many have asked a device for all multicast, and for everything."""
    link = witness.link(name)
    assert link is not None
    return link["allmulti"], link["promiscuity"]


@pytest.mark.parametrize("mode", MODES)
def test_a_guest_is_found_and_hears_groups(wired: Any, mode: str) -> None:
    before = witness.snapshot()
    vif = vifs.direct_vif(mode=mode)
    plug(vif)
    macvtap = witness.link(vif.vif_name)
    assert macvtap is not None
    assert "ALLMULTI" in macvtap["flags"]
    assert steps_left(vif) == []
    [descriptor] = verbs.open_guest_end(vif)
    with kernel_guest(descriptor, vif.address, *STATIC) as guest:
        for address in STATIC:
            assert reaches(wired, bare(address)), address
        for group in MDNS:
            assert guest.hears(group, wired, "wire0"), group
    unplug(vif)
    assert witness.differences(before, witness.snapshot()) == []


@pytest.mark.parametrize("mode", ["bridge", "vepa"])
def test_neighbours_find_each_other(wired: Any, mode: str) -> None:
    if mode == "vepa":
        witness.ip(HAIRPIN)
    one, other = (vifs.direct_vif(number, mode=mode) for number in (1, 2))
    plug(one)
    plug(other)
    [first], [second] = verbs.open_guest_end(one), verbs.open_guest_end(other)
    with (
        kernel_guest(first, one.address, *STATIC) as a,
        kernel_guest(second, other.address, *NEIGHBOUR) as b,
    ):
        for address in STATIC:
            assert b.reaches(bare(address)), address
        for address in NEIGHBOUR:
            assert a.reaches(bare(address)), address
        for group in MDNS:
            assert a.hears(group, b.host, "eth0"), group


@pytest.mark.parametrize("mode", MODES)
def test_the_card_gets_back_what_it_had(wired: Any, mode: str) -> None:
    """In passthrough the kernel takes back nothing that was changed while the macvtap was up."""
    vif = vifs.direct_vif(mode=mode)
    with vifs.configured("macvtap", all_multicast=False):
        plug(vif)
    assert [step.args["attributes"] for step in steps_left(vif)] == [{"allmulticast": True}]
    plug(vif)
    assert steps_left(vif) == []
    assert counts() == ((0, 1) if mode == "passthrough" else (1, 1))
    # Whoever deletes it.
    witness.ip(f"link del {vif.vif_name}")
    assert counts() == (0, 0)
    plug(vif)
    unplug(vif)
    assert counts() == (0, 0)


def test_drift_is_seen_and_mended(wired: Any) -> None:
    vif = vifs.direct_vif()
    plug(vif)
    healthy = witness.snapshot()
    witness.ip(f"link set {vif.vif_name} down allmulticast off")
    [step] = steps_left(vif)
    assert step.args["attributes"] == {"up": True, "allmulticast": True}
    plug(vif)
    assert witness.differences(healthy, witness.snapshot()) == []


def test_left_to_the_hypervisor(wired: Any) -> None:
    vif = vifs.direct_vif()
    with vifs.configured("macvtap", all_multicast=False):
        plug(vif)
        macvtap = witness.link(vif.vif_name)
        assert macvtap is not None
        assert "ALLMULTI" not in macvtap["flags"]
        witness.ip(f"link set {vif.vif_name} allmulticast on")
        assert os_vif.check(vif, vifs.instance()) == []
        witness.ip(f"link set {vif.vif_name} allmulticast off")
        [descriptor] = verbs.open_guest_end(vif)
        with kernel_guest(descriptor, vif.address, *STATIC) as guest:
            assert reaches(wired, bare(STATIC[0])), "ARP is broadcast"
            # The kernel looks at a hash of 8 bits, so one group may get in for another's sake.
            groups = ("ff02::fb", "ff02::7:1", "ff02::7:2", "ff02::7:3")
            assert not all(guest.hears(group, wired, "wire0", 1) for group in groups)


def test_a_failure_takes_it_back(wired: Any) -> None:
    """The last step fails, after the device was changed while a guest may have had it."""
    vif = vifs.direct_vif(mode="passthrough")
    with vifs.configured("macvtap", all_multicast=False):
        plug(vif)
    before = witness.snapshot()
    [step] = steps_left(vif)
    from os_vif.engine import runner, steps
    from os_vif.engine.step import Step

    bad = Step("set_link", {"name": "nowhere", "attributes": {"up": True}})
    undo = Step("set_link", {"name": vif.vif_name, "attributes": {"allmulticast": False}})
    [report] = runner.run([[(step, undo), (bad, None)]], together=False)
    assert report["error"] is not None, steps.describe(bad)
    assert witness.differences(before, witness.snapshot()) == []
