# SPDX-License-Identifier: Apache-2.0
"""Gateways of bridges: made by who comes first, taken away by who goes last, with all traces."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif.cli.drift import drifts_in
from os_vif.engine import dispatch, planner
from os_vif.engine.observed import Host
from os_vif.engine.place import LINUX_BRIDGE, Place
from os_vif.host.gateways.questions import ROUTING, TABLES
from os_vif.host.gateways.system import serving
from os_vif.host.routes.questions import ADDRESSES
from os_vif.system import nf_tables, sysctl
from os_vif.verbs import describe
from tests import vifs, witness
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.functional.killing import killed
from tests.gateways import BR0, BR1, changed, gateways, outside, ruleset, whole

pytestmark = pytest.mark.functional


@pytest.fixture(autouse=True)
def taps() -> Iterator[None]:
    with vifs.configured("linux_bridge", create_tap=True):
        yield


@pytest.fixture(params=["each device", "the whole host"])
def ipv6(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the kernel forwards IPv6: before Linux 6.17 the whole host does, or nobody."""
    if request.param == "the whole host":
        read = sysctl.read_at

        def missing(path: str) -> int | None:
            return None if path.endswith("/force_forwarding") else read(path)

        monkeypatch.setattr(sysctl, "read_at", missing)
    return str(request.param)


@pytest.fixture
def uplinked(inside: Any) -> Iterator[Any]:
    with outside(inside), gateways(BR0):
        yield inside


def on_br1(number: int = 2) -> Any:
    return vifs.bridge_vif(number, bridge_name="br1", network=vifs.network(bridge="br1"))


def words(vif: Any) -> list[str]:
    [found] = os_vif.examine([(vif, vifs.instance())])
    assert found.error is None
    return [it.words for it in drifts_in(found)]


def dissolved(*plugged: Any) -> None:
    found = os_vif.unplug_many([(it, vifs.instance()) for it in plugged], with_bridge=True)
    assert [str(it.error) for it in found if it.error] == []


def forwarding() -> dict[str, str]:
    return {
        path: witness.sysctl(path)
        for path in ("ipv4/conf/br0/forwarding", "ipv4/conf/eth0/forwarding")
    }


def test_the_first_makes_it_and_the_last_takes_it_away(uplinked: Any, ipv6: str) -> None:
    before = whole()
    one, two = vifs.bridge_vif(1), vifs.bridge_vif(2)
    plug(one)
    assert witness.addresses("br0") == ["10.7.0.1/24"]
    assert "fd00:7::1/64" in witness.addresses("br0", "-6")
    assert set(forwarding().values()) == {"1"}
    assert (witness.sysctl("ipv6/conf/all/forwarding") == "1") == (ipv6 == "the whole host")
    plug(two)
    assert (steps_left(one), steps_left(two)) == ([], [])
    served = whole()
    plug(one)
    assert changed(served) == []
    unplug(one)
    assert steps_left(two) == []
    assert witness.addresses("br0") == ["10.7.0.1/24"]
    unplug(two)
    assert witness.addresses("br0") == []
    assert ruleset() == before["nft"]
    missing = "is not the gateway that its guests need"
    assert [it for it in words(two) if "gateway" in it or "guests" in it] == [missing]
    dissolved(two)
    assert changed(before) == []


def test_what_was_there_stays(uplinked: Any, ipv6: str) -> None:
    """A stranger's bridge with the address, a host that forwards, others' tables and settings."""
    witness.ip(
        "link add br0 address 52:00:00:00:00:01 up type bridge\naddr add 10.7.0.1/24 dev br0"
    )
    witness.run("nft", "add table inet os-vif; add table ip nat; add chain ip nat mine")
    for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path(f"/proc/sys/net/{path}").write_text("1")
    Path("/proc/sys/net/ipv6/conf/eth0/accept_ra").write_text("2")
    before = whole()
    vif = vifs.bridge_vif()
    plug(vif)
    assert steps_left(vif) == []
    unplug(vif)
    assert changed(before) == []


def test_routers_and_listeners_stay_so(uplinked: Any, ipv6: str) -> None:
    """With the whole host the kernel sets each device, and takes all of them back."""
    witness.ip("link add router0 type veth peer name quiet0")
    conf = Path("/proc/sys/net/ipv6/conf")
    (conf / "router0/forwarding").write_text("1")
    (conf / "quiet0/accept_ra").write_text("0")
    before = whole()
    vif = vifs.bridge_vif()
    plug(vif)
    if ipv6 == "the whole host":
        accepts = {it: witness.sysctl(f"ipv6/conf/{it}/accept_ra") for it in ("eth0", "quiet0")}
        assert accepts == {"eth0": "2", "quiet0": "0"}
        (conf / "eth0/accept_ra").write_text("1")
        assert words(vif) == ["net/ipv6/conf/eth0/accept_ra is not as the gateway needs it"]
        plug(vif)
        assert witness.sysctl("ipv6/conf/eth0/accept_ra") == "2"
    unplug(vif)
    dissolved(vif)
    assert changed(before) == []


def test_two_gateways_share_what_the_host_gives(uplinked: Any, ipv6: str) -> None:
    """What one had turned on stays as long as the other needs it, and goes with that."""
    one, two = vifs.bridge_vif(1), on_br1()
    witness.ip("link add br1 address 52:00:00:00:00:01 up type bridge")
    before = whole()
    with gateways(BR0, BR1):
        plug(one)
        plug(two)
        assert (steps_left(one), steps_left(two)) == ([], [])
        unplug(one)
        assert forwarding()["ipv4/conf/eth0/forwarding"] == "1"
        assert steps_left(two) == []
        assert "10.7.0" not in ruleset()
        unplug(two)
        dissolved(one, two)
    assert changed(before) == []


def test_a_table_that_is_made_anew_beside_another(uplinked: Any) -> None:
    one, two = vifs.bridge_vif(1), on_br1()
    with gateways(BR0, BR1):
        plug(one)
        plug(two)
        witness.run("nft", "flush", "chain", "inet", "os-vif-br0", "inside")
        assert (words(one) != [], words(two)) == (True, [])
        plug(one)
        assert (steps_left(one), steps_left(two)) == ([], [])


def seen(host: Host) -> tuple[Any, ...]:
    """Return what can be compared of a look, and the settings."""
    tables = [it for it in host[TABLES].values() if it is not None]
    told = {it.bridge: dataclasses.replace(it, settings=()) for it in tables}
    noted = {(it.bridge, one.path): one.was for it in tables for one in it.settings}
    held = {bridge: [it.key for it in found] for bridge, found in host[ADDRESSES].items() if found}
    settings = {path: value for it in host[ROUTING].values() for path, value in it.settings.items()}
    return (told, noted, held), settings


def test_the_kernel_does_what_the_model_says(uplinked: Any, ipv6: str) -> None:
    """Bridge by bridge; the first one's leaving takes with it what only it needs."""
    one, two = vifs.bridge_vif(1), on_br1()
    place = Place(LINUX_BRIDGE)
    witness.ip("link add br0 up type bridge\nlink add br1 up type bridge")
    with gateways(BR0, BR1), vifs.configured("linux_bridge", create_tap=False):
        for vif, unplugging in ((one, False), (two, False), (one, True), (two, True)):
            both = [describe(it, vifs.instance()).topology for it in (one, two)]
            topology = describe(vif, vifs.instance(), unplugging=unplugging).topology
            asked = set().union(*map(planner.questions, (topology, *both)))
            model = dispatch.observe(asked, place, with_daemon=True)
            plan = planner.plan_unplug if unplugging else planner.plan_plug
            groups = [[(step, None) for step in plan(topology, model).steps]]
            [report] = dispatch.run(place, groups, together=False)
            assert report["error"] is None
            (told, foretold), (found, settings) = map(
                seen, (model, dispatch.observe(asked, place, with_daemon=True))
            )
            assert told == found
            assert {path: settings.get(path, foretold[path]) for path in foretold} == foretold


def test_another_network_comes_in_its_place(uplinked: Any) -> None:
    before = whole()
    one, two = vifs.bridge_vif(1), vifs.bridge_vif(2)
    plug(one)
    plug(two)
    other = dataclasses.replace(BR0, addresses=("10.9.0.1/24",), nat=("10.9.0.0/24",))
    with gateways(other):
        assert "the gateway's address 10.9.0.1/24 is missing" in words(one)
        pairs = [(it, vifs.instance()) for it in (one, two)]
        both = os_vif.examine(pairs)
        assert [it.warnings for it in both] == [(), ()], "all who use it say so in one call"
        [warned] = os_vif.examine(pairs[:1])[0].warnings
        assert warned.words.startswith(f"VIF {two.id} uses 10.7.0.1/24, fd00:7::1/64, NAT for ")
        [done] = os_vif.plug_many(pairs[:1])
        assert (done.error, done.warnings) == (None, (warned,))
        assert steps_left(one) == []
        assert witness.addresses("br0") == ["10.9.0.1/24"]
        assert "10.7.0" not in ruleset()
        plug(two)
        dissolved(one, two)
    assert changed(before) == []


def test_one_that_is_described_no_more_is_left(uplinked: Any) -> None:
    before = whole()
    vif = vifs.bridge_vif()
    plug(vif)
    assert "gateway=br0" in witness.link(vif.vif_name)["ifalias"]
    with gateways():
        assert words(vif) != []
        plug(vif)
        assert (steps_left(vif), witness.addresses("br0"), ruleset()) == ([], [], before["nft"])
        plug(vif)
    plug(vif)
    with gateways():
        dissolved(vif)
    assert changed(before) == []


def test_rules_that_somebody_flushes(uplinked: Any) -> None:
    """As each restart of nftables.service does: an address is known as ours by itself."""
    one, two = vifs.bridge_vif(1), vifs.bridge_vif(2)
    plug(one)
    plug(two)
    witness.run("nft", "flush", "ruleset")
    assert "what masquerades its guests is missing or differs" in words(one)
    plug(one)
    assert (steps_left(one), steps_left(two) != []) == ([], True)
    plug(two)
    unplug(one)
    unplug(two)
    assert (witness.addresses("br0"), ruleset()) == ([], "")


@pytest.mark.parametrize("meanwhile", ["plugged", "unplugged"])
def test_another_network_after_such_a_flush(uplinked: Any, meanwhile: str) -> None:
    vif = vifs.bridge_vif()
    plug(vif)
    witness.run("nft", "flush", "ruleset")
    if meanwhile == "unplugged":
        unplug(vif)
    with gateways(dataclasses.replace(BR0, addresses=("10.9.0.1/24",), nat=("10.9.0.0/24",))):
        plug(vif)
        assert (witness.addresses("br0"), steps_left(vif)) == (["10.9.0.1/24"], [])
        unplug(vif)
    assert (witness.addresses("br0"), ruleset()) == ([], "")


def test_a_bridge_that_somebody_deletes(uplinked: Any) -> None:
    before = whole()
    one, two, three = map(vifs.bridge_vif, (1, 2, 3))
    for vif in (one, two, three):
        plug(vif)
    witness.ip("link delete br0")
    unplug(one)
    assert "br0" not in uplinked.links(), "nobody asked for it"
    plug(two)
    assert steps_left(two) == []
    assert witness.addresses("br0") == ["10.7.0.1/24"]
    witness.ip("link delete br0")
    unplug(two)
    unplug(three)
    assert changed(before) == []


def test_by_its_marks_alone(uplinked: Any) -> None:
    before = whole()
    one, two = vifs.bridge_vif(1), vifs.bridge_vif(2)
    plug(one)
    plug(two)
    witness.ip(f"link delete {one.vif_name}")
    assert {it.mark.vif_id for it in os_vif.list_vifs()} == {one.id, two.id}
    assert [it.mark.vif_id for it in os_vif.gc([two.id])] == [one.id]
    assert steps_left(two) == []
    assert [it.name for it in os_vif.unused_bridges([])] == ["br0"]
    assert [it.name for it in os_vif.unused_bridges([two.id])] == []
    assert [it.mark.vif_id for it in os_vif.gc([], bridges=True)] == [two.id]
    assert changed(before) == []


DRIFTS = {
    "address": ("ip addr del 10.7.0.1/24 dev br0", "the gateway's address 10.7.0.1/24 is missing"),
    "forwarding": (
        "sysctl -w net.ipv4.conf.eth0.forwarding=0",
        "net/ipv4/conf/eth0/forwarding is not as the gateway needs it",
    ),
    "IPv6": (
        "sysctl -w net.ipv6.conf.br0.disable_ipv6=1",
        "the gateway's address fd00:7::1/64 is missing",
    ),
    "rules": (
        "nft flush chain inet os-vif-br0 inside",
        "what masquerades its guests is missing or differs",
    ),
    "hook": (
        "nft delete chain inet os-vif-br0 postrouting",
        "what masquerades its guests is missing or differs",
    ),
    "table": (
        "nft delete table inet os-vif-br0",
        "what masquerades its guests is missing or differs",
    ),
    "who may come in": (
        "nft flush chain inet os-vif-br0 forward",
        "what masquerades its guests is missing or differs",
    ),
    "user": ("nft flush chain inet os-vif-br0 vifs", "the gateway does not know its guest"),
}


@pytest.mark.parametrize("case", DRIFTS)
def test_drift_is_told_and_mended(uplinked: Any, case: str) -> None:
    done, said = DRIFTS[case]
    vif = vifs.bridge_vif()
    plug(vif)
    healthy = whole()
    witness.run(*done.split())
    assert said in words(vif)
    [outcome] = os_vif.plug_many([(vif, vifs.instance())])
    assert [it.kind for it in outcome.steps] == ["set_gateway"]
    assert steps_left(vif) == []
    assert changed(healthy, "/nft", "/routes") == []
    # Rules and what they say; what there was before, a table that was lost has told.
    assert ruleset().partition("chain inside")[2] == healthy["nft"].partition("chain inside")[2]


# --- refused --------------------------------------------------------------------------------------

TAKEN = {
    "route": (
        "route add 10.7.0.0/16 dev eth0",
        r"network 10.7.0.0/24.*br0 is to have it.* the host has the route 10.7.0.0/16 dev eth0",
    ),
    "route of a part": (
        "route add 10.7.0.128/25 via 192.0.2.1",
        "the route 10.7.0.128/25 dev eth0",
    ),
    "blackhole": ("route add blackhole fd00::/16", "network fd00:7::/64.* the route fd00::/16;"),
    "table": ("route add 10.7.0.0/24 dev eth0 table 7", "the route 10.7.0.0/24 dev eth0"),
    "address": (
        "addr add 10.7.0.9/24 dev eth0 noprefixroute",
        "the host has the address 10.7.0.0/24 dev eth0",
    ),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_network_that_the_host_has(uplinked: Any, case: str) -> None:
    command, said = TAKEN[case]
    witness.ip(command)
    with refused(said):
        plug(vifs.bridge_vif())


def test_one_network_on_two_bridges(uplinked: Any) -> None:
    one, two = vifs.bridge_vif(1), on_br1()
    with gateways(BR0, dataclasses.replace(BR0, bridge="br1")):
        plug(one)
        with refused("br1 is to have it, and the host has the route 10.7.0.0/24 dev br0"):
            plug(two)
        unplug(one)
        found = os_vif.plug_many([(one, None), (two, None)])
        assert [it.error is None for it in found] == [True, False]
        assert "the host has the route 10.7.0.0/24 dev br0" in str(found[1].error)


def test_two_networks_on_two_bridges_all_or_nothing(uplinked: Any) -> None:
    one, two = vifs.bridge_vif(1), on_br1()
    with gateways(BR0, BR1):
        both = [(vif, vifs.instance()) for vif in (one, two)]
        found = os_vif.plug_many(both, together=True)
        assert [it.error for it in found] == [None, None]
        assert steps_left(one) == steps_left(two) == []
        for vif in (one, two):
            unplug(vif)


def test_a_strangers_table(uplinked: Any) -> None:
    witness.run("nft", "add table inet os-vif-br0")
    before = ruleset()
    with refused("table inet os-vif-br0.*somebody else has made it"):
        plug(vifs.bridge_vif())
    assert ruleset() == before


def test_where_the_host_itself_goes_out_by_the_bridge(uplinked: Any) -> None:
    witness.ip("link add br0 up type bridge\nlink set eth0 master br0")
    witness.ip("addr add 192.0.2.10/24 dev br0\nroute replace default via 192.0.2.1 dev br0")
    with refused("the host's own way out for IPv4 is by br0"):
        plug(vifs.bridge_vif())


def test_what_fails_is_taken_back(uplinked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: Any) -> None:
        raise OSError(95, "no such thing in this kernel")

    for place, name in (
        (serving.addresses, "add"),
        (serving.sysctl, "write_at"),
        (nf_tables, "commit"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, fails)
            with refused("no such thing in this kernel"):
                plug(vifs.bridge_vif())
        assert ruleset() == ""


# --- killed ---------------------------------------------------------------------------------------


def told() -> tuple[Any, ...]:
    """Return what a gateway changes, without looking at all there is."""
    names = [path.name for path in Path("/proc/sys/net/ipv4/conf").iterdir()]
    paths = [f"ipv4/conf/{name}/forwarding" for name in names]
    paths += [
        f"ipv6/conf/{name}/{what}"
        for name in names
        for what in ("forwarding", "force_forwarding", "accept_ra", "disable_ipv6")
    ]
    settings = {path: witness.sysctl(path) for path in paths}
    return ruleset(), sorted(witness.addresses("br0") if "br0" in names else []), settings


def test_killed_anywhere(uplinked: Any) -> None:
    """And run again: as described, or as before.  Bridges have such a test of their own."""
    witness.ip("link add br0 up type bridge")
    all_before, before = whole(), told()
    vif, number = vifs.bridge_vif(), 0
    with vifs.configured("linux_bridge", create_tap=False):
        plug(vif)
        healthy = told()
        was_killed = True
        while was_killed:
            unplug(vif)
            assert told() == before, number
            was_killed = killed(lambda: plug(vif), number)
            unplug(vif)
            assert told() == before, number
            killed(lambda: plug(vif), number)
            plug(vif)
            assert told() == healthy, number
            assert steps_left(vif) == [], number
            killed(lambda: unplug(vif), number)
            number += 1
        unplug(vif)
        assert changed(all_before) == []
    assert number > 8, "that few changes?"
