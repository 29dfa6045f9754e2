# SPDX-License-Identifier: Apache-2.0
"""Gateways as they are described, planned and written down."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from os_vif import exception
from os_vif.engine import planner
from os_vif.engine.claims import conflicts_of
from os_vif.engine.observed import Host
from os_vif.engine.topology import Mark, Topology
from os_vif.host.gateways.questions import (
    Routing,
    Served,
    Setting,
    Taken,
    comment_of,
    networks_of,
    noted_on,
    noted_settings,
    row_of,
    served_of,
    settings_of,
)
from os_vif.host.gateways.questions.tables import (
    BASE,
    FORWARD,
    INSIDE,
    NOTES,
    VIFS,
    chains_of,
    is_whole,
    told_by,
)
from os_vif.host.gateways.resources import Gateway, own_address
from os_vif.host.routes.questions import Address
from tests import vifs
from tests.seen import seen

ONE, TWO = (Mark(f"{number}-vif", "linux_bridge", "a-guest") for number in "12")
BR0 = Gateway(bridge="br0", addresses=("10.7.0.1/24", "fd00:7::1/64"), nat=("10.7.0.0/24",))
BOTH = dataclasses.replace(BR0, nat=("10.7.0.0/24", "fd00:7::/64"))
WAYS = {4: "eth0", 6: "eth1"}
BEFORE = {
    "ipv4/conf/br0/forwarding": 0,
    "ipv4/conf/eth0/forwarding": 0,
    "ipv6/conf/all/forwarding": 0,
    "ipv6/conf/br0/disable_ipv6": 1,
    "ipv6/conf/br0/accept_ra": 1,
    "ipv6/conf/br0/forwarding": 0,
    "ipv6/conf/eth0/accept_ra": 1,
    "ipv6/conf/eth0/forwarding": 0,
    "ipv6/conf/eth1/accept_ra": 2,
    "ipv6/conf/eth1/forwarding": 0,
    "ipv6/conf/eth2/accept_ra": 1,
    "ipv6/conf/eth2/forwarding": 1,
    "ipv6/conf/default/accept_ra": 1,
    "ipv6/conf/default/forwarding": 0,
}
FORCED = BEFORE | {
    f"ipv6/conf/{device}/force_forwarding": 0 for device in ("default", "br0", "eth1")
}


# --- described ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["10.7.0.1/24", "10.7.0.254/8", "fd00:7::1/64", "fd00::2/126"])
def test_addresses_that_a_bridge_can_have(value: str) -> None:
    assert str(own_address(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        *("", "10.7.0.1", "10.7.0.0/24", "10.7.0.255/24", "10.7.0.1/31", "10.7.0.1/32"),
        *("0.0.0.0/24", "127.0.0.1/8", "224.0.0.1/24", "169.254.0.1/16", "010.7.0.1/24"),
        *("fd00:7::/64", "fd00:7::1/128", "fd00:07::1/64", "fe80::1/64", "ff02::1/64", "::1/64"),
        *("fd00::1%eth0/64", "10.7.0.1/7", 10, None, b"10.7.0.1/24", "10.7.0.1/255.255.255.0"),
    ],
)
def test_addresses_that_it_cannot(value: Any) -> None:
    with pytest.raises(exception.InvalidField, match="here"):
        own_address(value, "here")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("bridge", {"bridge": "a/b"}),
        ("gateway", {"addresses": ("10.7.0.1/24", "10.7.0.129/25")}),
        ("gateway", {"addresses": ("10.7.0.1/24", "10.7.0.2/24")}),
        ("nat", {"nat": ("10.7.0.0/25",)}),
        ("nat", {"nat": ("10.7.0.1/24",)}),
        ("nat", {"addresses": ()}),
    ],
)
def test_what_is_no_gateway(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(exception.InvalidField, match=f"^{field}: "):
        dataclasses.replace(BR0, **change)


# --- settings -------------------------------------------------------------------------------------


def test_what_the_kernel_asks_for() -> None:
    """IPv4: where a packet comes in.  IPv6: on both sides, or the whole host."""
    none = Gateway(bridge="br0", addresses=("10.7.0.1/24",))
    assert settings_of(none, BEFORE, WAYS) == []
    ipv4 = [("ipv4/conf/br0/forwarding", 1), ("ipv4/conf/eth0/forwarding", 1)]
    quiet = [("ipv6/conf/br0/disable_ipv6", 0), ("ipv6/conf/br0/accept_ra", 0)]
    assert settings_of(BR0, BEFORE, WAYS) == [*ipv4, *quiet]
    assert settings_of(BOTH, FORCED, WAYS) == [
        *ipv4,
        *quiet,
        ("ipv6/conf/br0/forwarding", 1),
        ("ipv6/conf/br0/force_forwarding", 1),
        ("ipv6/conf/eth1/force_forwarding", 1),
    ]
    whole = [("ipv6/conf/all/forwarding", 1), ("ipv6/conf/br0/forwarding", 1)]
    # Who listens to routers goes on, and so does who is one; eth1 listens in any case.
    others = [("ipv6/conf/eth0/accept_ra", 2), ("ipv6/conf/eth2/forwarding", 1)]
    assert settings_of(BOTH, BEFORE, WAYS) == [*ipv4, *quiet, *others, *whole]
    on = BEFORE | {"ipv6/conf/all/forwarding": 1}
    assert settings_of(BOTH, on, WAYS) == [*ipv4, *quiet, *whole]
    assert settings_of(BOTH, on, {}) == [ipv4[0], *quiet, *whole]
    noted = [
        Setting("ipv6/conf/eth0/accept_ra", 2, 1),
        Setting("ipv6/conf/gone0/accept_ra", 2, 1),
        Setting("ipv4/conf/eth0/forwarding", 1),
    ]
    assert settings_of(BOTH, on, {}, noted) == [others[0], ipv4[0], *quiet, *whole]
    assert settings_of(BR0, on, {}, noted) == [ipv4[0], *quiet], "nothing of IPv6 is forwarded"


def test_what_was_there_is_noted_once() -> None:
    todo = settings_of(BOTH, BEFORE, WAYS)
    first = noted_settings(Served("br0"), todo, BEFORE)
    was = {it.path: it.was for it in first}
    assert was["ipv4/conf/br0/forwarding"] == 0
    assert was["ipv6/conf/eth0/accept_ra"] == 1
    assert was["ipv6/conf/eth2/forwarding"] == 1, "the kernel turns it off with that of all"
    after = BEFORE | dict(todo)
    again = settings_of(BOTH, after, WAYS, first)
    assert noted_settings(Served("br0", settings=first), again, after) == first
    shared = noted_settings(Served("br1"), [("ipv4/conf/eth0/forwarding", 1)], after)
    assert shared == (Setting("ipv4/conf/eth0/forwarding", 1, None),), "another gives it back"


# --- tables ---------------------------------------------------------------------------------------

SERVED = Served(
    "br0",
    users=(str(ONE), str(TWO)),
    addresses=BOTH.addresses,
    nat=BOTH.nat,
    outs=("eth0", "eth1"),
    added=("10.7.0.1/24", "10.6.0.1/24"),
    settings=(Setting("ipv6/conf/br0/accept_ra", 0, 1), Setting("ipv6/conf/all/forwarding", 1)),
)


def networks(*texts: str) -> list[Any]:
    return list(map(ipaddress.ip_network, texts))


@given(
    users=st.lists(st.sampled_from([str(ONE), str(TWO)]), unique=True),
    addresses=st.lists(st.sampled_from([*BOTH.addresses, "10.1.0.1/16"]), unique=True),
    added=st.sets(st.sampled_from(["10.7.0.1/24", "fd00:7::1/64", "10.2.0.1/16"])),
    data=st.data(),
)
def test_a_table_tells_what_was_written(
    users: list[str], addresses: list[str], added: set[str], data: Any
) -> None:
    outs = data.draw(st.lists(st.sampled_from(["eth0", "br.7"]), unique=True))
    was = data.draw(st.sampled_from([None, 0, 1, 2, -1]))
    own = list(map(str, networks_of(addresses)))
    served = Served(
        "br0",
        users=tuple(users),
        addresses=tuple(addresses),
        nat=tuple(data.draw(st.lists(st.sampled_from(own), unique=True))) if own else (),
        outs=tuple(outs),
        added=tuple(sorted(added, key=lambda it: [*addresses, it].index(it))),
        settings=(Setting("ipv6/conf/br.7-x/accept_ra", 2, was),),
    )
    every = networks("10.8.0.0/24", *own)
    chains = chains_of(served, every)
    told = told_by("br0", comment_of("br0"), chains)
    assert dataclasses.replace(told, added=tuple(sorted(told.added))) == dataclasses.replace(
        served, added=tuple(sorted(served.added))
    )
    assert is_whole(told, chains, every)
    assert served_of("br0", row_of(served)) == served
    if served.nat:
        assert not is_whole(told, {**chains, INSIDE: []}, every)
        assert not is_whole(told, {**chains, BASE: chains[BASE][1:]}, every)
        assert is_whole(told, {**chains, FORWARD: []}, every) == (not outs)


def test_what_strangers_write_into_a_table_tells_nothing() -> None:
    assert not told_by("br0", "", chains_of(SERVED, ())).ours
    assert not told_by("br0", comment_of("br1"), chains_of(SERVED, ())).ours
    said = [
        *("sets kernel/core_pattern 1 was 0", "sets ipv6/conf/../../x/forwarding 1 was 0"),
        *("sets ipv4/conf/eth0/forwarding 1 was -1000", "sets ipv4/conf/eth0/rp_filter 0"),
        *("added 10.7.0.1", "added all", "nat 0.0.0.0/0", "has", ""),
    ]
    chains = {NOTES: [[f"say {it}"] for it in said], VIFS: [["say os-vif vif="], ["accept"]]}
    assert told_by("br0", comment_of("br0"), chains) == Served("br0")


def test_what_leaves_for_elsewhere_is_masqueraded() -> None:
    every = networks("10.7.0.0/24", "10.8.0.0/24", "fd00:8::/64")
    chains = chains_of(dataclasses.replace(SERVED, nat=BR0.nat), every)
    words = [" ".join(rule) for rule in chains[INSIDE]]
    assert [it for it in words if "0a080000" in it], "another network of ours"
    assert not [it for it in words if "fd00" in it], "IPv6, of which nothing is masqueraded"
    name = b"br0".ljust(16, b"\0").hex()
    assert chains[BASE][0] == ["meta oifname", f"is {name}", "accept"]
    assert [rule[-1] for rule in chains[BASE]] == ["accept", f"jump {INSIDE}", "masquerade"]
    assert len(chains[FORWARD]) == len(SERVED.outs)


# --- planned --------------------------------------------------------------------------------------


def host(served: Served | None = None, **more: Any) -> Host:
    found = {
        "gateways": {"br0": served},
        "gateway_routing": {"br0": Routing(FORCED)},
        "ways_out": {False: ("eth0", False), True: ("eth1", False)},
        "addresses": {"br0": ()},
    }
    return seen(**(found | more))


def plan(model: Host, wanted: Gateway = BOTH, mark: Mark = ONE) -> list[str]:
    return [it.kind for it in planner.plan_plug(Topology(mark, (wanted,)), model).steps]


def test_the_model_foretells_what_is_planned_next() -> None:
    model = host()
    assert plan(model) == ["set_gateway"]
    assert plan(model) == []
    assert plan(model, mark=TWO) == ["set_gateway"]
    remains = Gateway(bridge="br0")
    for mark, left in ((ONE, True), (TWO, False)):
        found = planner.plan_unplug(Topology(mark, (remains,)), model)
        assert [it.kind for it in found.steps] == ["leave_gateways"]
        assert (plan_addresses(model) != []) == left
        again = planner.plan_unplug(Topology(mark, (remains,)), model)
        assert again.steps == []
    assert model == host()


def test_what_another_guest_loses_is_told_before() -> None:
    def warned(wanted: Gateway, mark: Mark = ONE) -> list[str]:
        topology = Topology(mark, (wanted,))
        return [it.words for it in planner.plan_plug(topology, host(SERVED)).cautions]

    assert warned(BOTH) == []
    assert warned(BR0)[0].startswith("VIF 2-vif uses NAT for fd00:7::/64 there")
    other = Gateway(bridge="br0", addresses=("10.8.0.1/24", "fd00:7::1/64"))
    [words] = warned(other, mark=Mark("3-vif", "linux_bridge"))
    nats = "NAT for 10.7.0.0/24, NAT for fd00:7::/64"
    assert words.startswith(f"VIF 1-vif and 1 more use 10.7.0.1/24, {nats} there, which goes")


@pytest.mark.parametrize(("network", "fits"), [("10.8.0.0/24", True), ("10.0.0.0/8", False)])
def test_two_bridges_of_one_call_have_networks_of_their_own(network: str, fits: bool) -> None:
    asked = dict.fromkeys(("10.7.0.0/24", "fd00:7::/64", network), ())
    address = f"{ipaddress.ip_network(network)[1]}/{network.partition('/')[2]}"
    model = host(gateways={"br0": None, "br1": None}, gateway_networks=asked)
    assert plan(model) == ["set_gateway"]
    other = Gateway(bridge="br1", addresses=(address,))
    if fits:
        assert plan(model, other, TWO) == ["set_gateway"]
    else:
        with pytest.raises(exception.ResourceConflict, match=r"the route 10\.7\.0\.0/24 dev br0"):
            plan(model, other, TWO)


def test_two_of_one_call_describe_one_gateway_alike() -> None:
    def refused(other: Gateway) -> dict[int, str]:
        named = {
            number: (vifs.bridge_vif(number), Topology(mark, (wanted,)))
            for number, mark, wanted in ((1, ONE, BOTH), (2, TWO, other))
        }
        return {number: str(error) for number, error in conflicts_of(named).items()}

    assert refused(BOTH) == refused(dataclasses.replace(BOTH, bridge="br1")) == {}
    [(number, words)] = refused(BR0).items()
    assert number == 2
    assert words.startswith("the gateway on br0 is in the way: VIF ")
    assert words.endswith(" of the same call describes it otherwise")


def plan_addresses(model: Host) -> list[str]:
    from os_vif.host.routes.questions import ADDRESSES

    return [it.local for it in model[ADDRESSES].get("br0", ())]


def test_an_address_that_the_bridge_had_stays() -> None:
    model = host(addresses={"br0": (Address("10.7.0.1/24"),)})
    plan(model)
    planner.plan_unplug(Topology(ONE, (Gateway(bridge="br0"),)), model)
    assert plan_addresses(model) == ["10.7.0.1/24"]


REFUSED = {
    "overlap": (
        {"gateway_networks": {"10.7.0.0/24": (Taken("10.0.0.0/8", "tun0", "route"),)}},
        "the host has the route 10.0.0.0/8 dev tun0",
    ),
    "way out": ({"ways_out": {False: ("br0", True)}}, "own way out for IPv4 is by br0"),
    "stranger": ({"gateways": {"br0": Served("br0", ours=False)}}, "somebody else has made it"),
    "read-only": (
        {"gateway_routing": {"br0": Routing(FORCED, writable=False)}},
        "net/ipv4/conf/br0/forwarding must be 1",
    ),
    "no IPv6": ({"gateway_routing": {"br0": Routing({})}}, "this kernel has no IPv6"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_before_anything_is_touched(case: str) -> None:
    more, said = REFUSED[case]
    model, same = host(**more), host(**more)
    with pytest.raises(exception.ExceptionBase, match=said):
        plan(model)
    assert model == same


def test_a_read_only_host_that_is_as_it_must_be_is_fine() -> None:
    ready = FORCED | dict(settings_of(BOTH, FORCED, WAYS))
    model = host(gateway_routing={"br0": Routing(ready, writable=False)})
    assert plan(model) == ["set_gateway"]


def test_a_note_tells_of_a_gateway() -> None:
    assert noted_on(f"{ONE} gateway=br0 guest=web") == ["br0"]
    assert noted_on("somebody's gateway=br0") == []
