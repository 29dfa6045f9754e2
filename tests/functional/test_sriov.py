# SPDX-License-Identifier: Apache-2.0
"""Devices that the host uses are not given away, the others are marked.

PCI is made up here, everything else is the kernel's.  What cards do is tried in the lab,
tests/lab/devices/test_sriov.py.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif.host.functions.questions import FunctionMark
from os_vif.host.links.system import altnames, sysfs
from os_vif.host.links.system import devices as links
from tests import vifs, vifs_sriov, witness
from tests.fake_sysfs import FakeSysfs
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.functional.killing import killed

pytestmark = pytest.mark.functional

CARD, FUNCTION = "0000:03:00.0", "0000:03:10.0"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSysfs:
    monkeypatch.setattr(sysfs, "ROOT", tmp_path)
    return FakeSysfs(tmp_path)


def device(where: str = CARD) -> Any:
    return vifs_sriov.device(1, where, kind="generic")


def test_a_card_that_the_host_uses(uplink: Any, fake: FakeSysfs) -> None:
    fake.netdev(fake.function(CARD, driver="igb"), "eth0")
    with refused("its device eth0 has the address 192.0.2.10/24"):
        os_vif.plug(device(), None)
    witness.ip("addr flush dev eth0\nroute add default dev eth0")
    with refused("its device eth0 carries the default route"):
        os_vif.plug(device(), None)
    witness.ip("route del default dev eth0\nroute replace ::/0 dev eth0")
    with refused("its device eth0 carries the default route"):
        os_vif.plug(device(), None)
    witness.ip("route del ::/0 dev eth0")
    before = witness.snapshot()
    os_vif.plug(device(), None)
    os_vif.unplug(device(), None)
    assert witness.differences(before, witness.snapshot()) == []


def test_a_netdev_that_went_elsewhere_is_no_hindrance(inside: Any, fake: FakeSysfs) -> None:
    fake.netdev(fake.function(CARD, driver="igb"), "moved")
    assert [step.kind for step in os_vif.check(device(), None)] == ["mark_function"]


def test_a_card_whose_driver_does_not_tell(uplink: Any, fake: FakeSysfs) -> None:
    card = fake.function(CARD, driver="veth")
    fake.netdev(card, "eth0")
    fake.virtual(card, 3, FUNCTION)
    with refused("driver veth of eth0 does not tell of a virtual function 3"):
        os_vif.plug(vifs_sriov.device(1, FUNCTION), None)


def test_a_card_in_another_namespace(inside: Any, fake: FakeSysfs) -> None:
    card = fake.function(CARD, driver="igb")
    fake.netdev(card, "elsewhere")
    fake.virtual(card, 0, FUNCTION)
    with refused("elsewhere"):
        os_vif.plug(vifs_sriov.device(1, FUNCTION), None)
    os_vif.unplug(vifs_sriov.device(1, FUNCTION), None)


# --- marks ----------------------------------------------------------------------------------------


def names(device: str) -> list[str]:
    """Return the alternative names of a device as ip shows them."""
    return (witness.link(device) or {}).get("altnames", [])


def mark_of(number: int, where: str = CARD) -> str:
    return f"os-vif,pci={where.replace(':', '-')},vif={vifs.vif_id(number)},instance={UUID}"


UUID = vifs.instance().uuid


def test_a_mark_comes_and_goes(inside: Any, fake: FakeSysfs) -> None:
    fake.function(CARD)
    witness.ip("link property add dev lo altname the-operators")
    plug(device())
    assert sorted(names("lo")) == sorted([mark_of(1), "the-operators"])
    assert steps_left(device()) == []
    unplug(device())
    assert names("lo") == ["the-operators"]
    unplug(device())


def test_a_lost_mark_is_drift(inside: Any, fake: FakeSysfs) -> None:
    fake.function(CARD)
    plug(device())
    witness.ip(f"link property del dev lo altname {mark_of(1)}")
    [step] = steps_left(device())
    assert (step.kind, step.args["mark"]) == ("mark_function", mark_of(1))
    plug(device())
    assert names("lo") == [mark_of(1)]


def test_another_function_is_given_back(inside: Any, fake: FakeSysfs) -> None:
    for address in (CARD, FUNCTION):
        fake.function(address)
    before, after = device(), vifs_sriov.device(1, FUNCTION, kind="generic")
    plug(before)
    assert steps_left(after)
    plug(after)
    assert names("lo") == [mark_of(1, FUNCTION)]
    assert steps_left(after) == []
    unplug(before)
    assert names("lo") == []
    plug(before)
    plug(vifs.tap_vif())
    assert names("lo") == [mark_of(1)], "who is no function's any more is not looked for there"
    unplug(vifs.tap_vif())
    unplug(before)


def test_they_are_listed_and_given_back(inside: Any, fake: FakeSysfs) -> None:
    fake.function(CARD, driver="igb")
    fake.function(FUNCTION)
    plug(device())
    plug(vifs_sriov.device(2, FUNCTION, kind="generic"))
    # Of a card that is gone.
    witness.ip("link add eth7 type veth peer name eth8")
    witness.ip(f"link property add dev eth7 altname {mark_of(3, GONE)}")
    found = os_vif.list_vifs()
    assert [(item.mark.vif_id, item.mark.plugin, item.mark.instance) for item in found] == [
        (vifs.vif_id(number), "sriov", UUID) for number in (1, 2, 3)
    ]
    given = [function for item in found for function in item["functions"]]
    assert [(item.mark.address, item.device) for item in given] == [
        (CARD, "lo"),
        (FUNCTION, "lo"),
        (GONE, "eth7"),
    ]
    assert given[0].function is not None
    assert given[0].function.driver == "igb"
    assert given[2].function is None
    assert os_vif.gc([vifs.vif_id(2)]) == [found[0], found[2]]
    assert (names("lo"), names("eth7")) == ([mark_of(2, FUNCTION)], [])


GONE = "0000:07:00.0"


@pytest.mark.parametrize("finish", ["plug", "unplug", "gc"])
def test_killed_while_it_is_handed_over(inside: Any, fake: FakeSysfs, finish: str) -> None:
    fake.function(CARD)
    old, new = device(), vifs_sriov.device(2, CARD, kind="generic")
    for number in range(10):
        plug(old)
        came_to_it = killed(lambda: plug(new), number)
        assert names("lo"), "never without a mark"
        if finish == "plug":
            plug(new)
            assert names("lo") == [mark_of(2)]
            unplug(new)
        elif finish == "unplug":
            unplug(old)
            unplug(new)
        else:
            os_vif.gc([])
        assert names("lo") == []
        if not came_to_it:
            assert number == 2, "one mark comes, the other goes"
            return
    pytest.fail("the plug made more changes than it may")


def test_twice_is_once(inside: Any) -> None:
    mark = str(FunctionMark(CARD, "v" * 64, "vfio-pci", "i" * 9))
    assert len(mark) == 127, "as long as may be"
    assert [altnames.add("lo", mark), altnames.add("lo", mark)] == [True, False]
    assert list(links.look_up(["lo"])["lo"].altnames) == [mark]  # type: ignore[union-attr]
    assert [altnames.remove("lo", mark), altnames.remove("lo", mark)] == [True, False]
    assert not altnames.remove("nosuch", mark)
    with pytest.raises(OSError, match="No such device") as caught:
        altnames.add("nosuch", mark)
    assert caught.value.errno == errno.ENODEV


def test_a_name_that_another_device_has(inside: Any) -> None:
    mark = mark_of(1)
    witness.ip("link add eth7 type veth peer name eth8")
    altnames.add("eth7", mark)
    with pytest.raises(OSError, match="another device than lo has it"):
        altnames.add("lo", mark)


def test_a_kernel_without_alternative_names(
    inside: Any, fake: FakeSysfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types of messages that no kernel knows are refused as an older one refuses these."""
    fake.function(CARD)
    monkeypatch.setattr(altnames, "RTM_NEWLINKPROP", 4096 - 4)
    with refused("this kernel knows no alternative names .*; that takes Linux 5.5"):
        os_vif.plug(device(), None)
