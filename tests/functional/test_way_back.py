# SPDX-License-Identifier: Apache-2.0
"""What was moved to a bridge moves back: unplug with the bridge, and gc of bridges nobody uses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import runner
from tests import vifs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.test_kill import host_is_reachable

pytestmark = pytest.mark.functional


@pytest.fixture(autouse=True)
def taps() -> Iterator[None]:
    with vifs.configured("linux_bridge", create_tap=True, uplink_mtu={"eth0": 4000}):
        yield


def uplinked(number: int = 1, **fields: Any) -> Any:
    return vifs.bridge_vif(number, network=vifs.network(bridge_interface="eth0"), **fields)


def back(*guests: Any) -> None:
    outcomes = os_vif.unplug_many([(vif, vifs.instance()) for vif in guests], with_bridge=True)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


def differences(before: dict[str, Any]) -> list[str]:
    """Return what is not as it was, in the end.

    The kernel's own route to an IPv6 address comes a moment after the address.
    """
    deadline = time.monotonic() + 30
    while left := witness.differences(before, witness.snapshot()):
        if time.monotonic() > deadline:
            return left
        time.sleep(0.05)
    return []


# --- an uplink gets back what it had -------------------------------------------------------------


def test_there_and_back(uplink: Any) -> None:
    before = witness.snapshot()
    vif = uplinked(has_traffic_filtering=False)
    plug(vif)
    assert set(uplink.links()) == {"br0", "eth0", "wire0", vif.vif_name, "lo"} - {"lo"}
    planned = os_vif.plan(vif, vifs.instance(), unplugging=True, with_bridge=True)
    kinds = [step.kind for step in planned]
    assert kinds[-1] == "delete_idle"
    assert kinds.index("add_address") < kinds.index("delete_address")
    back(vif)
    assert differences(before) == []
    assert os_vif.plan(vif, vifs.instance(), unplugging=True, with_bridge=True) == []
    back(vif)
    assert differences(before) == []
    plug(vif)
    assert steps_left(vif) == []
    back(vif)
    assert differences(before) == []


def test_the_order_of_addresses_and_their_labels(uplink: Any) -> None:
    before = {
        family: [
            {key: item.get(key) for key in ("local", "label", "secondary", "dynamic", "address")}
            for item in witness.ask(f"{family} addr show dev eth0")[0]["addr_info"]
            if item["scope"] != "link"
        ]
        for family in ("-4", "-6")
    }
    plug(uplinked())
    back(uplinked())
    for family, was in before.items():
        now = [
            {key: item.get(key) for key in was[0]}
            for item in witness.ask(f"{family} addr show dev eth0")[0]["addr_info"]
            if item["scope"] != "link"
        ]
        assert now == was


def test_the_host_is_never_without_address_and_route(uplink: Any) -> None:
    """Watched through rtnetlink events: not sampled, so no moment is missed."""
    import pyroute2

    plug(uplinked())
    index = {name: link["ifindex"] for name, link in uplink.links().items()}
    holders = {"address": {index["br0"]}, "route": {index["br0"]}}
    watcher = pyroute2.IPRoute(groups=0x7FF)
    watcher.bind()
    back(uplinked())
    lost: list[str] = []
    seen, done = 0, False
    while not done:
        for message in watcher.get():
            attributes = dict(message["attrs"])
            event = message["event"]
            who, device = None, None
            if event in ("RTM_NEWADDR", "RTM_DELADDR"):
                if attributes.get("IFA_LOCAL") == "192.0.2.10":
                    who, device = "address", message["index"]
            elif event in ("RTM_NEWROUTE", "RTM_DELROUTE"):
                if (message["dst_len"], attributes.get("RTA_TABLE"), message["family"]) == (
                    *(0, 254, 2),
                ):
                    who, device = "route", attributes.get("RTA_OIF")
            elif event == "RTM_DELLINK" and message["index"] == index["br0"]:
                done = True
            if who is None:
                continue
            seen += 1
            (holders[who].add if event.startswith("RTM_NEW") else holders[who].discard)(device)
            if not holders[who]:
                lost.append(str(message))
    watcher.close()
    assert seen >= 4
    assert lost == []


def test_an_address_that_came_later_moves_too(uplink: Any) -> None:
    plug(uplinked())
    witness.ip("addr add 203.0.113.9/24 dev br0\nroute add 10.20.0.0/16 via 203.0.113.1 dev br0")
    back(uplinked())
    assert "203.0.113.9/24" in witness.addresses("eth0")
    assert ("10.20.0.0/16", "203.0.113.1", "eth0") in witness.routes()


# --- who keeps the bridge ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        "tuntap add other mode tap\nlink set other master br0",
        "link add other type veth peer name elsewhere\nlink set other master br0",
        "link add link br0 name other type macvtap mode bridge",
    ],
)
def test_a_bridge_that_a_stranger_uses_stays(uplink: Any, made: str) -> None:
    plug(uplinked())
    witness.ip(made)
    healthy = witness.addresses("br0")
    back(uplinked())
    assert witness.addresses("br0") == healthy
    assert uplink.links()["eth0"]["master"] == "br0"
    assert os_vif.verbs.unused_bridges([]) == []


def test_the_last_of_several_takes_it_along(uplink: Any) -> None:
    before = witness.snapshot()
    one, two, three = uplinked(1), uplinked(2), uplinked(3)
    for vif in (one, two, three):
        plug(vif)
    back(one)
    assert "br0" in uplink.links()
    assert steps_left(two) == []
    back(two, three)
    assert differences(before) == []


def test_a_vif_without_a_tap_yet_is_known_by_its_rules(uplink: Any) -> None:
    with vifs.configured("linux_bridge", create_tap=False):
        one, two = (uplinked(number, has_traffic_filtering=False) for number in (1, 2))
        plug(one)
        plug(two)
        back(one)
        assert "br0" in uplink.links()
        assert len(witness.rules()) == 2
        back(two)
    assert "br0" not in uplink.links()
    assert witness.rules() == []


@pytest.mark.parametrize("alias", ["", "the operator's", "os-vif shared, they say"])
def test_an_operators_bridge_stays_with_all_it_has(uplink: Any, alias: str) -> None:
    witness.ip("link add br0 type bridge\nlink set br0 up")
    if alias:
        witness.run("ip", "link", "set", "br0", "alias", alias)
    plug(uplinked())
    addresses = witness.addresses("br0")
    back(uplinked())
    os_vif.gc([], bridges=True)
    assert witness.addresses("br0") == addresses
    assert uplink.links()["eth0"]["master"] == "br0"


def test_a_bridge_without_uplink_goes_unless_it_has_an_address(inside: Any) -> None:
    plug(vifs.bridge_vif())
    witness.ip("addr add 192.0.2.1/24 dev br0")
    back(vifs.bridge_vif())
    assert "br0" in inside.links(), "the operator gave it one"
    witness.ip("addr del 192.0.2.1/24 dev br0")
    back(vifs.bridge_vif())
    assert inside.links() == {}


def test_unplug_alone_leaves_the_bridge(uplink: Any) -> None:
    plug(uplinked())
    unplug(uplinked())
    assert uplink.links()["eth0"]["master"] == "br0"


# --- gc ------------------------------------------------------------------------------------------


def test_gc_of_bridges_that_nobody_uses(uplink: Any) -> None:
    before = witness.snapshot()
    plug(uplinked(1))
    plug(vifs.bridge_vif(2, "br1", network=vifs.network("br1")))
    plug(vifs.bridge_vif(3, "br2", network=vifs.network("br2")))
    live = [vifs.vif_id(3)]
    found = {item.name: item.uplinks for item in os_vif.verbs.unused_bridges(live)}
    assert found == {"br0": ("eth0",), "br1": ()}
    planned = witness.snapshot()
    os_vif.gc(live, dry_run=True, bridges=True)
    assert witness.differences(planned, witness.snapshot()) == []
    assert {item.mark.vif_id for item in os_vif.gc(live, bridges=True)} == {
        vifs.vif_id(1),
        vifs.vif_id(2),
    }
    assert "br2" in uplink.links()
    os_vif.gc([], bridges=True)
    assert differences(before) == []


def test_gc_keeps_the_bridges_unless_asked(uplink: Any) -> None:
    plug(uplinked())
    os_vif.gc([])
    assert "br0" in uplink.links()


def test_gc_of_what_cannot_move_says_so_and_does_the_rest(uplink: Any) -> None:
    plug(uplinked())
    unplug(uplinked())
    plug(vifs.bridge_vif(2, "br1", network=vifs.network("br1")))
    witness.ip(
        """
        link set wire0 nomaster
        addr add 198.51.100.10/24 dev wire0
        link set wire0 up
        route add 10.99.0.0/16 nexthop via 192.0.2.9 dev br0 nexthop via 198.51.100.9 dev wire0
        """
    )
    addresses = witness.addresses("br0")
    plug(uplinked(3))
    os_vif.gc([vifs.vif_id(3)], bridges=True)
    assert witness.addresses("br0") == addresses, "it is used, and nothing is to move"
    assert "br1" not in uplink.links()
    unplug(uplinked(3))
    plug(vifs.bridge_vif(2, "br1", network=vifs.network("br1")))
    with pytest.raises(exception.ExceptionBase, match=r"10\.99\.0\.0/16 .*several next hops"):
        os_vif.gc([], bridges=True)
    assert witness.addresses("br0") == addresses
    assert "br1" not in uplink.links()


# --- failures and kills --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_fault_at_any_step_is_taken_back(uplink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(uplinked())
    unplug(uplinked())
    healthy = witness.snapshot()
    position = 0
    while True:
        ran = 0
        broken = False

        def failing(kind: str, act: Any) -> Any:
            def handle(args: Any) -> Any:
                nonlocal ran, broken
                ran += 1
                if ran == position + 1 and not broken:  # noqa: B023
                    broken = True
                    raise OSError(5, "the disk of the network is full")
                return act(args)

            return handle

        with monkeypatch.context() as patch:
            handler_of = runner.handler_of
            patch.setattr(
                runner,
                "handler_of",
                lambda kind, had=handler_of: failing(kind, had(kind)),
            )
            [outcome] = os_vif.unplug_many([(uplinked(), vifs.instance())], with_bridge=True)
        if outcome.error is None:
            assert not broken
            break
        assert str(outcome.error).endswith("the disk of the network is full")
        assert differences(healthy) == [], position
        assert host_is_reachable(), position
        position += 1
    assert position > 20, "there are that many steps"


def test_whoever_joins_meanwhile_keeps_the_bridge(
    uplink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from os_vif.host.links.system import stacking

    plug(uplinked())
    delete_idle = stacking.delete_idle

    def late(name: str) -> None:
        witness.ip("tuntap add late mode tap\nlink set late master br0")
        monkeypatch.setattr(stacking, "delete_idle", delete_idle)
        delete_idle(name)

    monkeypatch.setattr(stacking, "delete_idle", late)
    addresses = witness.addresses("br0")
    back(uplinked())
    assert witness.addresses("br0") == addresses
    assert uplink.links()["eth0"]["master"] == "br0"
    assert uplink.links()["eth0"]["mtu"] == 4000
    witness.ip("link del late")
    back(uplinked())
    assert "br0" not in uplink.links()
