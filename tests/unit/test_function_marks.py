# SPDX-License-Identifier: Apache-2.0
"""Whose a PCI function is: the mark as text, and what follows from it, on a model of a card."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from os_vif import exception
from os_vif.engine.topology import Mark
from os_vif.host.functions.questions import FunctionMark, parse_function_mark
from tests import vifs_sriov
from tests.network_card import (
    NIC,
    PF,
    UNSET,
    Card,
    address,
    kinds,
    marked,
    plan,
    plug,
    unplug,
)

WORDS = st.from_regex(r"\A[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")
OWNERS = st.one_of(st.just(""), st.from_regex(r"\A[0-9A-Za-z][0-9A-Za-z._-]{0,23}\Z"))
DRIVERS = st.one_of(st.just(""), st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z"))


# --- as text --------------------------------------------------------------------------------------


@given(WORDS, DRIVERS, st.one_of(st.just(""), WORDS), OWNERS)
def test_a_mark_is_read_back_and_fits(vif_id: str, driver: str, instance: str, owner: str) -> None:
    try:
        mark = FunctionMark.of(NIC, Mark(vif_id, "sriov", instance, owner), driver)
    except exception.InvalidField:
        taken = len(vif_id) + len(driver) + len(owner)
        assert taken > 64, "a driver of usual length always has room"
        return
    text = str(mark)
    assert parse_function_mark(text) == mark
    assert len(text) <= 127, "ALTIFNAMSIZ"
    assert not set(text) & set(":/ "), "the kernel takes none of these"
    assert mark.instance in ("", instance)
    assert mark.owner == owner, "it decides who may take the function back"


def test_marks_are_known_to_operators() -> None:
    uuid = "b679325f-ca89-4ee0-a8be-6db1409b69ea"
    whole = FunctionMark.of("0000:03:10.2", Mark(uuid, "sriov", uuid), "vfio-pci")
    assert str(whole) == (f"os-vif,pci=0000-03-10.2,vif={uuid},driver=vfio-pci,instance={uuid}")
    longer = FunctionMark.of("0000:03:10.2", Mark(uuid, "sriov", uuid), "mlx5_vfio_pci")
    assert longer.instance == "", "no room"
    owned = FunctionMark.of("0000:03:10.2", Mark(uuid, "sriov", uuid, "rack7"), "vfio-pci")
    assert str(owned) == f"os-vif,pci=0000-03-10.2,vif={uuid},driver=vfio-pci,owner=rack7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "enp3s0",
        "os-vif",
        "os-vif,pci=0000-03-10.2",
        "os-vif,pci=0000:03:10.2,vif=1",
        "os-vif,pci=0000-03-10.8,vif=1",
        "os-vif,pci=0000-03-20.0,vif=1",
        "os-vif,pci=0000-03-10.2,vif=",
        "os-vif,pci=0000-03-10.2,vif=../1",
        "os-vif,pci=0000-03-10.2,vif=1,",
        "os-vif,pci=0000-03-10.2,vif=1\n",
        "os-vif,pci=0000-03-10.2,vif=1,instance=",
        "os-vif,pci=0000-03-10.2,vif=1,instance=2,driver=vfio-pci",
        "os-vif,pci=0000-03-10.2,vif=1,driver=a/b",
        "os-vif,pci=0000-03-10.2,vif=1,vif=2",
        "os-vif,pci=0000-03-10.2,vif=1,more",
        "my-os-vif,pci=0000-03-10.2,vif=1",
        f"os-vif,pci=0000-03-10.2,vif={'1' * 64},instance={'2' * 64}",
    ],
)
def test_what_is_no_mark(text: str) -> None:
    assert parse_function_mark(text) is None


# --- whose it is ----------------------------------------------------------------------------------


@pytest.fixture
def card() -> Card:
    return Card()


def test_a_guest_that_took_another_address_does_not_escape(card: Card) -> None:
    before = card.picture()
    vif = vifs_sriov.device(1, address(0), vlan=5)
    plug(card, vif, trust=True, bind_driver="vfio-pci")
    card.vfs[0]["mac"] = "02:00:00:00:00:99"
    unplug(card, vif)
    assert card.picture() == before


def test_the_driver_goes_back_whatever_the_configuration_says_now(card: Card) -> None:
    before = card.picture()
    vif = vifs_sriov.device(1, NIC, kind="generic")
    plug(card, vif, bind_driver="vfio-pci")
    assert card.marks == {"lo": [marked(1, NIC, "vfio-pci")], "eth0": []}
    assert plan(card, vif).steps == [], "the mark still says what is to be taken back"
    unplug(card, vif)
    assert card.picture() == before


def test_a_driver_that_nobody_gave_for_the_vif_stays(card: Card) -> None:
    card.alter(NIC, driver="vfio-pci", override="vfio-pci")
    before = card.picture()
    vif = vifs_sriov.device(1, NIC, kind="generic")
    plug(card, vif)
    assert kinds(unplug(card, vif, bind_driver="vfio-pci")) == ["unmark_function"]
    assert card.picture() == before
    assert unplug(card, vif, bind_driver="vfio-pci") == [], "not the VIF's any more"


@pytest.mark.parametrize("old_kind", ["ethernet", "generic"])
@pytest.mark.parametrize("new_kind", ["ethernet", "generic"])
@pytest.mark.parametrize("binding", [{}, {"bind_driver": "vfio-pci"}])
def test_handed_over(card: Card, old_kind: str, new_kind: str, binding: dict[str, Any]) -> None:
    old = vifs_sriov.device(1, address(0), kind=old_kind, vlan=5)
    new = vifs_sriov.device(2, address(0), kind=new_kind, vlan=6)
    plug(card, old, bind_driver="vfio-pci")
    before = card.picture()
    todo = plan(card, new, **binding)
    marking = [kind for kind in kinds(todo.steps) if "mark" in kind]
    assert marking == ["mark_function", "unmark_function"], "never without a mark"
    card.run(todo.steps)
    taken = card.picture()
    assert unplug(card, old, bind_driver="vfio-pci") == []
    assert card.picture() == taken
    card.run([step for step in reversed(todo.undo) if step])
    assert card.picture() == before
    plug(card, new, **binding)
    unplug(card, new, **binding)
    assert card.functions[address(0)].driver == "igbvf", "whoever gave it away"
    assert card.marks == {"lo": [], "eth0": []}
    assert card.vfs[0] == UNSET, "nothing stays of either guest"


@pytest.mark.parametrize("kind", ["ethernet", "generic"])
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
@pytest.mark.parametrize("count", range(5))
def test_killed_while_handed_over_and_both_unplugged(
    card: Card, kind: str, order: tuple[int, int], count: int
) -> None:
    before = card.picture()
    both = [vifs_sriov.device(number, address(0), kind=kind, vlan=number) for number in (1, 2)]
    plug(card, both[0], bind_driver="vfio-pci")
    card.run(plan(card, both[1], bind_driver="vfio-pci").steps[:count])
    for number in order:
        unplug(card, both[number - 1], bind_driver="vfio-pci")
    assert card.picture() == before


def test_a_lost_mark_is_put_back(card: Card) -> None:
    vif = vifs_sriov.device(1, address(0), vlan=5)
    plug(card, vif, bind_driver="vfio-pci")
    whole = card.picture()
    card.marks["eth0"].clear()
    assert kinds(plug(card, vif, bind_driver="vfio-pci")) == ["mark_function"]
    assert card.picture() == whole


def test_without_a_mark_the_address_tells(card: Card) -> None:
    before = card.picture()
    one, other = (vifs_sriov.device(number, address(0)) for number in (1, 2))
    plug(card, one, bind_driver="vfio-pci")
    card.marks["eth0"].clear()
    assert unplug(card, other, bind_driver="vfio-pci") == []
    assert kinds(unplug(card, one, bind_driver="vfio-pci")) == ["set_vf", "bind_driver"]
    assert card.picture() == before


def test_without_a_mark_a_whole_device_is_nobodys(card: Card) -> None:
    card.alter(NIC, driver="vfio-pci", override="vfio-pci")
    vif = vifs_sriov.device(1, NIC, kind="generic")
    assert unplug(card, vif, bind_driver="vfio-pci") == []


def test_without_a_mark_and_an_address_it_is_nobodys(card: Card) -> None:
    """The operator gave it to vfio-pci for good, or somebody else uses it."""
    card.alter(address(0), driver="vfio-pci", override="vfio-pci")
    assert unplug(card, vifs_sriov.device(1, address(0)), bind_driver="vfio-pci") == []


def test_a_driver_is_given_back_by_whoever_has_it_in_the_end(card: Card) -> None:
    before = card.picture()
    card.marks["eth0"] = [marked(2, address(0)), marked(3, address(0), "vfio-pci")]
    card.alter(address(0), driver="", override="vfio-pci")
    vif = vifs_sriov.device(1, address(0))
    plug(card, vif)
    assert card.marks["eth0"] == [marked(1, address(0), "vfio-pci")]
    unplug(card, vif)
    assert card.picture() == before


def test_a_mark_of_a_device_that_is_gone(card: Card) -> None:
    vif = vifs_sriov.device(1, NIC, kind="generic")
    plug(card, vif)
    del card.functions[NIC]
    assert kinds(unplug(card, vif)) == ["unmark_function"]


def test_another_instance_is_another_mark(card: Card) -> None:
    vif = vifs_sriov.device(1, NIC, kind="generic")
    card.marks["lo"] = [marked(1, NIC, instance=False), marked(1, PF)]
    assert kinds(plug(card, vif)) == ["mark_function", "unmark_function"]
    assert card.marks["lo"] == [marked(1, PF), marked(1, NIC)]


@pytest.mark.filterwarnings("ignore:.* is an invalid UUID:FutureWarning")  # on purpose
def test_a_mark_without_room(card: Card) -> None:
    vif = vifs_sriov.device(1, NIC, kind="generic")
    vif.id = "v" * 64
    card.drivers.add("d" * 64)
    with pytest.raises(exception.InvalidField, match="leaves room in a mark of 127 bytes"):
        plan(card, vif, bind_driver="d" * 64)
