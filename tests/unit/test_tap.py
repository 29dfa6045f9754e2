# SPDX-License-Identifier: Apache-2.0
"""From VIFGeneric and configuration to what the host should look like: no host needed."""

from __future__ import annotations

from typing import Any

import pytest

from os_vif import exception
from os_vif.engine import planner
from os_vif.engine.observed import Host
from os_vif.engine.topology import Mark, Resource, Topology
from os_vif.host.links.questions import ACCOUNTS, LINKS, Link
from os_vif.host.links.resources import Tap
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour
from os_vif.verbs import describe
from tests import vifs

NAME = vifs.tap_name(1)


def resources(vif: Any, *, unplugging: bool = False, **options: Any) -> tuple[Resource, ...]:
    with vifs.configured("tap", **options):
        return describe(vif, vifs.instance(), unplugging=unplugging).topology.resources


def routed(*subnets: Any) -> tuple[Resource, ...]:
    return resources(vifs.tap_vif(network=vifs.network(subnets=subnets)), routed=True)


def test_a_plain_tap() -> None:
    assert resources(vifs.tap_vif()) == (
        Tap(
            name=NAME,
            mac="fe:54:00:00:00:01",
            mtu=1500,
            known_macs=frozenset({"52:54:00:00:00:01", "fe:54:00:00:00:01"}),
        ),
    )


def test_options() -> None:
    [tap] = resources(vifs.tap_vif(), multi_queue=True, network_device_mtu=9000)
    assert isinstance(tap, Tap)
    assert tap.multi_queue
    assert tap.mtu == 9000
    [tap] = resources(
        vifs.tap_vif(network=vifs.network(mtu=1400), vif_name="vnet0"), network_device_mtu=9000
    )
    assert isinstance(tap, Tap)
    assert (tap.name, tap.mtu) == ("vnet0", 1400)


def test_without_a_network() -> None:
    [tap] = resources(vifs.tap_vif(network=None))
    assert isinstance(tap, Tap)
    assert tap.mtu == 1500


def test_routes_to_each_address() -> None:
    tap, *ways = routed(
        vifs.subnet(
            "10.0.0.0/24",
            ["10.0.0.1", "10.0.0.2"],
            gateway="10.0.0.254",
            routes=[("10.1.0.0/16", "10.0.0.2"), ("10.2.0.0/16", "10.0.0.77")],
        )
    )
    assert ways == [
        HostRoute(device=NAME, destination="10.0.0.1/32"),
        HostRoute(device=NAME, destination="10.0.0.2/32"),
        HostRoute(device=NAME, destination="10.1.0.0/16", gateway="10.0.0.2"),
    ], "what lies behind another gateway is the guest's business"
    assert isinstance(tap, Tap)
    assert tap.mac == "fe:54:00:00:00:01"
    assert tap.disable_ipv6 is True
    assert {key: tap.conf[key] for key in ("forwarding", "proxy_arp", "rp_filter")} == {
        "forwarding": 1,
        "proxy_arp": 1,
        "rp_filter": 1,
    }


def test_ipv6_has_a_gateway_to_answer_for() -> None:
    tap, *ways = routed(vifs.subnet("2001:db8::/64", ["2001:db8::1"], gateway="2001:db8::ff"))
    assert ways == [
        HostRoute(device=NAME, destination="2001:db8::1/128"),
        ProxyNeighbour(device=NAME, address="2001:db8::ff"),
    ]
    assert isinstance(tap, Tap)
    assert tap.disable_ipv6 is False
    assert tap.conf["proxy_ndp"] == 1
    assert tap.conf["accept_ra"] == 0


def test_a_guest_that_is_its_own_gateway_needs_no_proxy() -> None:
    _tap, *ways = routed(vifs.subnet("2001:db8::/64", ["2001:db8::1"], gateway="2001:db8::1"))
    assert not any(isinstance(way, ProxyNeighbour) for way in ways)


@pytest.mark.parametrize("subnets", [[], [vifs.subnet("10.0.0.0/24")]])
def test_routed_without_an_address(subnets: list[Any]) -> None:
    with pytest.raises(exception.InvalidField, match=r"network\.subnets"):
        routed(*subnets)


def test_remains_do_not_depend_on_the_configuration() -> None:
    plain = resources(vifs.tap_vif(), unplugging=True)
    other = resources(
        vifs.tap_vif(network=vifs.network(mtu=0)),
        unplugging=True,
        routed=True,
        multi_queue=True,
        network_device_mtu=7,
    )
    assert plain == other
    [tap] = plain
    assert isinstance(tap, Tap)
    assert (tap.name, tap.adopt) == (NAME, True)


def test_other_classes_are_refused() -> None:
    vif = vifs.bridge_vif()
    vif.plugin = "tap"
    with pytest.raises(exception.NoMatchingVIFClass):
        resources(vif)


# --- who may open it ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "whose"),
    [
        ({}, ("root", "")),
        ({"tap_owner": "qemu"}, ("qemu", "")),
        ({"tap_group": "kvm"}, ("", "kvm")),
        ({"tap_owner": "107", "tap_group": "kvm"}, ("107", "kvm")),
        ({"tap_owner": ""}, ("", "")),
    ],
)
def test_whose_a_tap_is(options: dict[str, str], whose: tuple[str, str]) -> None:
    [tap] = resources(vifs.tap_vif(), **options)
    assert isinstance(tap, Tap)
    assert (tap.owner, tap.group) == whose


@pytest.mark.parametrize("field", ["tap_owner", "tap_group"])
@pytest.mark.parametrize("value", ["a b", "-1", "4294967295", "x" * 40, "0x10", "../x"])
def test_whose_it_cannot_be(field: str, value: str) -> None:
    with pytest.raises(exception.InvalidField, match=rf"{field}: .*name or number of a"):
        resources(vifs.tap_vif(), **{field: value})


def host_with(link: Link | None, **accounts: int) -> Host:
    host = Host()
    host[LINKS][NAME] = link
    host[ACCOUNTS].update({("user", name): number for name, number in accounts.items()})
    return host


def plan_of(tap: Tap, **attributes: Any) -> list[tuple[str, Any]]:
    """Return the steps for a tap of ours with these attributes, each with its own."""
    mark = Mark(vifs.vif_id(1), "tap")
    have = {**tap.attributes(), "multi_queue": tap.multi_queue, "queues": 0, **attributes}
    host = host_with(Link(NAME, 7, "tap", str(mark), have), qemu=107)
    todo = planner.plan_plug(Topology(mark, (tap,)), host)
    return [(step.kind, step.args.get("attributes")) for step in todo.steps]


BY_NAME = Tap(name=NAME, owner="qemu")


@pytest.mark.parametrize(
    ("tap", "attributes", "steps"),
    [
        (BY_NAME, {"owner": 107, "owner_group": None}, []),
        (BY_NAME, {"owner": None, "owner_group": None}, [("set_link", {"owner": 107})]),
        (BY_NAME, {"owner": 0, "owner_group": None}, [("set_link", {"owner": 107})]),
        (BY_NAME, {"owner": 0, "owner_group": None, "queues": 1}, []),
        (Tap(name=NAME, owner=""), {"owner": 5, "owner_group": 6}, []),
        (
            Tap(name=NAME, owner="qemu", multi_queue=True),
            {"owner": 0, "owner_group": None, "queues": 1},
            [("set_link", {"owner": 107})],
        ),
        (
            Tap(name=NAME, owner="qemu", multi_queue=True),
            {"owner": 0, "owner_group": 6, "queues": 1},
            [],
        ),
    ],
)
def test_a_tap_changes_hands(tap: Tap, attributes: Any, steps: Any) -> None:
    assert plan_of(tap, **attributes) == steps


def test_what_cannot_be_taken_away_is_made_anew() -> None:
    found = plan_of(BY_NAME, owner=107, owner_group=6)
    assert [kind for kind, _attributes in found] == ["delete_links", "create_link"]
    assert (found[1][1]["owner"], found[1][1]["owner_group"]) == (107, None)


def test_only_names_are_looked_up() -> None:
    mark = Mark(vifs.vif_id(1), "tap")

    def asked(**fields: str) -> set[Any]:
        found = planner.questions(Topology(mark, (Tap(name=NAME, **fields),)))
        return {item.about for item in found if item.question is ACCOUNTS}

    assert asked() == asked(owner="107", group="root") == set()
    assert asked(owner="qemu", group="kvm") == {("user", "qemu"), ("group", "kvm")}


def test_an_account_that_is_not_there() -> None:
    mark = Mark(vifs.vif_id(1), "tap")
    with pytest.raises(exception.InvalidField, match="tap_owner: 'qemu'"):
        planner.plan_plug(Topology(mark, (BY_NAME,)), host_with(None))
