# SPDX-License-Identifier: Apache-2.0
"""Many VIFs at once on the real kernel; what is listed, and what gc may take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from tests import vifs, witness

pytestmark = pytest.mark.functional


@pytest.fixture(autouse=True)
def taps() -> Iterator[None]:
    with vifs.configured("linux_bridge", create_tap=True):
        yield


def pairs(*many: Any) -> list[tuple[Any, Any]]:
    return [(vif, vifs.instance()) for vif in many]


def mine(*numbers: int) -> list[Any]:
    return [vifs.bridge_vif(number) for number in numbers]


def test_one_report_each_in_the_callers_order(inside: Any) -> None:
    many = mine(3, 1, 2)
    outcomes = os_vif.plug_many(pairs(*many))
    assert [outcome.vif.id for outcome in outcomes] == [vif.id for vif in many]
    assert all(outcome.error is None and outcome.steps for outcome in outcomes)
    again = os_vif.plug_many(pairs(*many))
    assert all(outcome.error is None and not outcome.steps for outcome in again)
    assert {name for name in inside.links() if name != "br0"} == {vif.vif_name for vif in many}
    gone = os_vif.unplug_many(pairs(*many))
    assert all(outcome.error is None and outcome.steps for outcome in gone)
    assert list(inside.links()) == ["br0"]
    assert all(not outcome.steps for outcome in os_vif.unplug_many(pairs(*many)))


def test_none_at_all(inside: Any) -> None:
    assert os_vif.plug_many([]) == []
    assert os_vif.unplug_many([]) == []


def _of_another_class() -> Any:
    vif = vifs.tap_vif(7)
    vif.plugin = "linux_bridge"
    return vif


def _of_no_plugin() -> Any:
    vif = vifs.tap_vif(7)
    vif.plugin = "nonsense"
    return vif


BAD = [
    ("a name that cannot be", lambda: vifs.bridge_vif(7, vif_name="a/b"), "vif_name"),
    ("refused by the planner", lambda: vifs.bridge_vif(7, "taken"), "a bridge of this name"),
    (
        "refused by the kernel",
        lambda: vifs.bridge_vif(7, network=vifs.network(mtu=65535)),
        "could not create tap",
    ),
    ("of another class", _of_another_class, "VIFGeneric"),
    ("of no plugin", _of_no_plugin, "nonsense"),
]


@pytest.mark.usefixtures("kernel_refuses")
@pytest.mark.parametrize(("bad", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_one_bad_among_many(inside: Any, bad: Any, words: str) -> None:
    witness.ip("link add taken type veth peer name other")
    many = [*mine(1, 2), bad(), *mine(3)]
    outcomes = os_vif.plug_many(pairs(*many))
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]
    assert isinstance(outcomes[2].error, exception.ExceptionBase)
    assert words in str(outcomes[2].error)
    assert outcomes[2].steps == ()
    assert set(inside.links()) == {"br0", "taken", "other", *map(vifs.tap_name, (1, 2, 3))}
    for vif in mine(1, 2, 3):
        assert os_vif.check(vif, vifs.instance()) == []


@pytest.mark.usefixtures("kernel_refuses")
@pytest.mark.parametrize(("bad", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
@pytest.mark.parametrize("place", [0, 2, 3])
def test_all_or_nothing(inside: Any, bad: Any, words: str, place: int) -> None:
    witness.ip("link add taken type veth peer name other")
    os_vif.plug(*pairs(*mine(1))[0])
    witness.ip(f"link set {vifs.tap_name(1)} mtu 1300")
    before = witness.snapshot()
    many = mine(1, 2, 3)
    many.insert(place, bad())
    outcomes = os_vif.plug_many(pairs(*many), together=True)
    assert words in str(outcomes[place].error)
    for number, outcome in enumerate(outcomes):
        if number != place:
            assert isinstance(outcome.error, exception.NotAttempted)
            assert outcome.steps == ()
    assert witness.differences(before, witness.snapshot()) == []


def test_all_and_everything_works(inside: Any) -> None:
    outcomes = os_vif.plug_many(pairs(*mine(1, 2, 3)), together=True)
    assert all(outcome.error is None and outcome.steps for outcome in outcomes)
    for vif in mine(1, 2, 3):
        assert os_vif.check(vif, vifs.instance()) == []


@pytest.mark.usefixtures("kernel_refuses")
def test_the_first_of_a_bridge_fails_and_the_second_makes_it(inside: Any) -> None:
    bad = vifs.bridge_vif(1, network=vifs.network(mtu=65535))
    outcomes = os_vif.plug_many(pairs(bad, *mine(2)))
    assert [outcome.error is None for outcome in outcomes] == [False, True]
    assert os_vif.check(vifs.bridge_vif(2), vifs.instance()) == []
    assert set(inside.links()) == {"br0", vifs.tap_name(2)}


def test_the_same_vif_twice(inside: Any) -> None:
    outcomes = os_vif.plug_many(pairs(*mine(1, 1)))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert os_vif.check(vifs.bridge_vif(1), vifs.instance()) == []
    outcomes = os_vif.unplug_many(pairs(*mine(1, 1)))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert list(inside.links()) == ["br0"]


def test_two_vifs_with_one_device_name(inside: Any) -> None:
    twin = vifs.bridge_vif(2, vif_name=vifs.tap_name(1))
    outcomes = os_vif.plug_many(pairs(*mine(1), twin))
    assert outcomes[0].error is None
    assert f"a tap of VIF {vifs.vif_id(1)}" in str(outcomes[1].error)
    outcomes = os_vif.unplug_many(pairs(twin))
    assert outcomes[0].error is None
    assert vifs.tap_name(1) in inside.links(), "it is the other's"


def test_several_plugins_at_once(inside: Any) -> None:
    from os_vif.objects.vif import VIFVHostUser

    nobody = VIFVHostUser(id=vifs.vif_id(9), plugin="noop")
    many = [*mine(1), vifs.tap_vif(2), nobody]
    assert [outcome.error for outcome in os_vif.plug_many(pairs(*many))] == [None] * 3
    assert set(inside.links()) == {"br0", vifs.tap_name(1), vifs.tap_name(2)}
    assert [outcome.error for outcome in os_vif.unplug_many(pairs(*many))] == [None] * 3
    assert list(inside.links()) == ["br0"]


def test_more_than_one_message_buffer_holds(inside: Any) -> None:
    numbers = range(1, 151)
    outcomes = os_vif.plug_many(pairs(*mine(*numbers)))
    assert all(outcome.error is None for outcome in outcomes)
    assert len(inside.links()) == 151
    outcomes = os_vif.unplug_many(pairs(*mine(*numbers)))
    assert all(outcome.error is None for outcome in outcomes)
    assert list(inside.links()) == ["br0"]


def test_bulk_unplug_waits_once(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from os_vif.system import netlink, notices

    os_vif.plug_many(pairs(*mine(*range(1, 31))))
    deletions = 0
    request = notices.request

    def counted(message: Any, *options: Any) -> Any:
        nonlocal deletions
        deletions += message.type == netlink.RTM_DELLINK
        return request(message, *options)

    monkeypatch.setattr(notices, "request", counted)
    os_vif.unplug_many(pairs(*mine(*range(1, 31))))
    assert deletions == 1
    assert list(inside.links()) == ["br0"]


def test_nobody_reads_the_marks_of_all_others(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each VIF's against each other's would be four hundred."""
    from os_vif.host.links.rules import strays

    read = 0
    parse_mark = strays.parse_mark

    def counted(alias: str) -> Any:
        nonlocal read
        read += 1
        return parse_mark(alias)

    monkeypatch.setattr(strays, "parse_mark", counted)
    for verb in (os_vif.plug_many, os_vif.plug_many, os_vif.unplug_many):
        assert all(outcome.error is None for outcome in verb(pairs(*mine(*range(1, 21)))))
        assert read <= 20
    assert list(inside.links()) == ["br0"]


@pytest.mark.parametrize("together", [False, True])
def test_one_mac_address_on_one_bridge_is_one_vifs(inside: Any, together: bool) -> None:
    same = vifs.bridge_vif(2, address=vifs.guest_mac(1))
    other_bridge = vifs.bridge_vif(3, bridge="br1", address=vifs.guest_mac(1))
    outcomes = os_vif.plug_many(pairs(*mine(1), same, other_bridge, *mine(1, 4)), together=together)
    assert isinstance(outcomes[1].error, exception.ResourceConflict)
    assert str(outcomes[1].error) == (
        f"MAC address {vifs.guest_mac(1)!r} on br0 is in the way: VIF {vifs.vif_id(1)} of the same "
        "call has it"
    )
    if together:
        assert inside.links() == {}
        return
    assert [bool(outcome.error) for outcome in outcomes] == [False, True, False, False, False]
    assert vifs.tap_name(2) not in inside.links()
    assert [outcome.error for outcome in os_vif.unplug_many(pairs(*mine(1), same))] == [None, None]


# --- list and gc ----------------------------------------------------------------------------------


def test_the_host_is_the_only_database(inside: Any) -> None:
    rules = vifs.bridge_vif(2, has_traffic_filtering=False)
    os_vif.plug_many(pairs(*mine(1), rules, vifs.tap_vif(3)))
    witness.ip(f"link set {vifs.tap_name(1)} name renamed")
    listed = os_vif.list_vifs()
    assert [item.mark.vif_id for item in listed] == [vifs.vif_id(n) for n in (1, 2, 3)]
    assert [item.mark.plugin for item in listed] == ["linux_bridge", "linux_bridge", "tap"]
    assert {item.mark.instance for item in listed} == {vifs.instance().uuid}
    assert [link.name for link in listed[0]["links"]] == ["renamed"]
    assert listed[1]["comments"] == (f"os-vif vif={rules.id} bridge=br0",)
    assert [item.mark.vif_id for item in os_vif.list_vifs(rules.id)] == [rules.id]
    assert os_vif.list_vifs("nobody") == []


def test_rules_alone_are_listed(inside: Any) -> None:
    with vifs.configured("linux_bridge", create_tap=False):
        vif = vifs.bridge_vif(1, has_traffic_filtering=False)
        os_vif.plug(vif, vifs.instance())
        [item] = os_vif.list_vifs()
        assert (item.mark.vif_id, item["links"]) == (vif.id, ())
        os_vif.unplug(vif, vifs.instance())
        assert os_vif.list_vifs() == []


def test_gc_takes_the_dead_and_nobody_elses(inside: Any) -> None:
    witness.ip(
        """
        tuntap add vnet0 mode tap
        tuntap add vnet1 mode tap
        link set vnet1 alias "os-vif is great"
        link add eth0 type veth peer name wire0
        link set eth0 alias "os-vif vif= plugin=tap"
        """
    )
    rule = ("-i", "br0", "-m", "comment", "--comment", "os-vif or not", "-j", "ACCEPT")
    witness.run("iptables", "-w", "-I", "FORWARD", *rule)
    strangers = {"vnet0", "vnet1", "eth0", "wire0"}
    dead = vifs.bridge_vif(2, has_traffic_filtering=False)
    os_vif.plug_many(pairs(*mine(1), dead, vifs.tap_vif(3)))
    before = witness.snapshot()
    told = os_vif.gc([vifs.vif_id(1)], dry_run=True)
    assert [item.mark.vif_id for item in told] == [vifs.vif_id(2), vifs.vif_id(3)]
    assert witness.differences(before, witness.snapshot()) == []
    gone = os_vif.gc([vifs.vif_id(1)])
    assert [item.mark.vif_id for item in gone] == [vifs.vif_id(2), vifs.vif_id(3)]
    assert set(inside.links()) == {"br0", vifs.tap_name(1), *strangers}
    assert len(witness.rules()) == 1
    assert "os-vif or not" in witness.rules()[0]
    assert os_vif.gc([vifs.vif_id(1)]) == []
    assert os_vif.check(vifs.bridge_vif(1), vifs.instance()) == []
    os_vif.gc(set())
    assert set(inside.links()) == {"br0", *strangers}


def test_plan_touches_nothing(inside: Any) -> None:
    before = witness.snapshot()
    vif = vifs.bridge_vif(1, has_traffic_filtering=False)
    todo = os_vif.plan(vif, vifs.instance())
    assert [step.kind for step in todo] == ["create_link", "set_forwarding", "create_link"]
    assert os_vif.plan(vif, vifs.instance(), unplugging=True) == []
    assert witness.differences(before, witness.snapshot()) == []
    os_vif.plug(vif, vifs.instance())
    healthy = witness.snapshot()
    assert os_vif.plan(vif, vifs.instance()) == []
    undone = os_vif.plan(vif, vifs.instance(), unplugging=True)
    assert [step.kind for step in undone] == ["delete_links", "set_forwarding"]
    assert witness.differences(healthy, witness.snapshot()) == []
