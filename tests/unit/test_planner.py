# SPDX-License-Identifier: Apache-2.0
"""Who owns what, what is in the way, and in which order things are done: one case each."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from os_vif import exception
from os_vif.engine import planner
from os_vif.engine.draft import Known
from os_vif.engine.observed import Host
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Resource, Topology
from os_vif.host.forwarding.questions import FORWARDING
from os_vif.host.forwarding.resources import ForwardRules
from os_vif.host.links.questions import SHARED_MARK, UNFINISHED_GROUP
from os_vif.host.links.resources import Bridge, Tap, Uplink, VethEnd, Vlan
from os_vif.host.routes.questions import Address, Route
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour
from tests import vifs
from tests.modelled import World
from tests.seen import asks

OWNER = Mark(vifs.vif_id(1), "test", "guest")
NAME = vifs.tap_name(1)
MAC, HOST_MAC = "52:54:00:00:00:01", "fe:54:00:00:00:01"
TAP = Tap(name=NAME, mac=HOST_MAC, mtu=1500, bridge="br0", known_macs=frozenset({MAC, HOST_MAC}))
LONE = dataclasses.replace(TAP, bridge=None)
SINGLE = dataclasses.replace(LONE, multi_queue=False)
BRIDGE = Bridge(name="br0")
UPLINK = Uplink(name="eth0", bridge="br0", mtu=1500)
RULES = ForwardRules(bridge="br0", ipv6=False, rules=(("-i", "br0", "-j", "ACCEPT"),))


@pytest.fixture
def world() -> World:
    return World()


def look(world: World, topology: Topology) -> Host:
    return world.seen(planner.questions(topology))


def plug(world: World, *resources: Resource, mark: Mark = OWNER) -> list[Step]:
    topology = Topology(mark, resources)
    return planner.plan_plug(topology, look(world, topology)).steps


def unplug(world: World, *resources: Resource) -> list[Step]:
    topology = Topology(OWNER, resources)
    return planner.plan_unplug(topology, look(world, topology)).steps


def run(world: World, todo: list[Step]) -> None:
    for kind, args in todo:
        world.handlers()[kind](args)


def kinds(todo: list[Step]) -> list[str]:
    return [step.kind for step in todo]


def sets(todo: list[Step]) -> dict[str, Any]:
    """Return the attributes of the only step, which must be a set_link."""
    [step] = todo
    assert step.kind == "set_link"
    return dict(step.args["attributes"])


# --- only what is needed is asked -----------------------------------------------------------------


def test_questions_are_names_never_everything() -> None:
    asked = planner.questions(
        Topology(
            OWNER,
            (
                Vlan(name="vlan7", link="eth0", vlan_id=7),
                BRIDGE,
                Uplink(name="vlan7", bridge="br0", mtu=1500),
                RULES,
                TAP,
                HostRoute(device=NAME, destination="10.0.0.1/32"),
                ProxyNeighbour(device=NAME, address="2001:db8::1"),
            ),
        )
    )
    assert asks(asked, "links") == {"vlan7", "eth0", "br0", NAME}
    assert asks(asked, "moves") == {("vlan7", "br0")}
    assert asks(asked, "routes_to") == {"10.0.0.1/32"}
    assert asks(asked, "proxies") == {(NAME, "2001:db8::1")}
    assert asks(asked, "forwarding") == {(f"os-vif vif={OWNER.vif_id} bridge=br0", False)}


# --- taps: whose are they -------------------------------------------------------------------------


def test_a_new_tap_is_marked_from_the_first(world: World) -> None:
    [step] = plug(world, LONE)
    assert step.kind == "create_link"
    assert step.args["attributes"]["alias"] == str(OWNER)
    assert step.args["attributes"]["disable_ipv6"] is True


def test_one_with_the_mark_is_ours_whatever_it_looks_like(world: World) -> None:
    world.add_link(NAME, "tap", str(OWNER), mac="02:00:00:00:00:99", mtu=9000, group=7)
    assert sets(plug(world, LONE)) == {
        "up": True,
        "group": 0,
        "mac": HOST_MAC,
        "mtu": 1500,
        "disable_ipv6": True,
    }
    assert kinds(unplug(world, LONE)) == ["delete_links"]


def test_another_guest_of_the_same_vif_is_written_into_the_mark(world: World) -> None:
    before = dataclasses.replace(OWNER, instance="before")
    run(world, plug(world, LONE, mark=before))
    assert sets(plug(world, LONE)) == {"alias": str(OWNER)}
    run(world, plug(world, LONE))
    nobody = dataclasses.replace(OWNER, instance="")
    assert plug(world, LONE, mark=nobody) == [], "a caller who names none does not erase it"


@pytest.mark.parametrize(
    ("name", "attributes"),
    [(NAME, {}), ("vnet0", {"mac": HOST_MAC}), ("vnet0", {"mac": MAC})],
    ids=["name from the id", "libvirt's MAC", "the guest's MAC"],
)
def test_an_unmarked_tap_that_evidently_is_ours_is_adopted(
    world: World, name: str, attributes: dict[str, Any]
) -> None:
    world.add_link(name, "tap", "", **attributes)
    tap = dataclasses.replace(LONE, name=name)
    assert sets(plug(world, tap))["alias"] == str(OWNER)
    assert kinds(unplug(world, tap)) == ["delete_links"]


@pytest.mark.parametrize(
    ("name", "kind", "alias", "attributes"),
    [
        ("vnet0", "tap", "", {"mac": "fe:54:00:00:00:02"}),
        ("vnet0", "tap", str(Mark("other", "test")), {"mac": HOST_MAC}),
        (NAME, "tap", str(Mark("other", "test")), {}),
        (NAME, "tun", "", {}),
        (NAME, "veth", "", {"mac": MAC}),
        (NAME, "", "", {"mac": MAC}),
        (NAME, "bridge", "", {"mac": MAC}),
        (NAME, "bridge", SHARED_MARK, {}),
    ],
)
def test_anything_else_is_in_the_way_and_never_touched(
    world: World, name: str, kind: str, alias: str, attributes: dict[str, Any]
) -> None:
    world.add_link(name, kind, alias, **attributes)
    tap = dataclasses.replace(LONE, name=name)
    with pytest.raises(exception.ResourceConflict) as caught:
        plug(world, tap)
    assert f"device {name} is in the way" in str(caught.value)
    assert OWNER.vif_id in str(caught.value), "whose need it is"
    if "other" in alias:
        assert "of VIF other" in str(caught.value)
    assert unplug(world, tap) == []


def test_a_short_id_derives_no_names(world: World) -> None:
    """Or a VIF with the id 'a' would own every tap with an 'a' in its name."""
    short = Mark("tap", "test")
    world.add_link("tap0", "tap", "")
    with pytest.raises(exception.ResourceConflict):
        plug(world, dataclasses.replace(LONE, name="tap0"), mark=short)


def test_where_the_hypervisor_makes_the_taps_none_is_adopted(world: World) -> None:
    world.add_link(NAME, "tap", "", mac=HOST_MAC)
    assert unplug(world, dataclasses.replace(LONE, adopt=False)) == []


def test_a_hypervisors_tap_is_left_in_its_bridge_and_once_that_is_gone(world: World) -> None:
    world.add_link("qbr0", "bridge", "")
    world.add_link(NAME, "tap", "", mac=HOST_MAC, master="qbr0")
    topology = Topology(OWNER, (dataclasses.replace(LONE, spared_in="qbr0"),))
    known = Known()
    for _look in range(2):
        assert planner.plan_unplug(topology, look(world, topology), known).steps == []
        world.links[NAME].attributes["master"] = None
    assert kinds(planner.plan_unplug(topology, look(world, topology)).steps) == ["delete_links"]
    world.links[NAME].attributes["master"] = "qbr0"
    world.links[NAME].alias = str(OWNER)
    assert kinds(planner.plan_unplug(topology, look(world, topology)).steps) == ["delete_links"]


# --- veths that somebody else has made ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "alias", "goes"),
    [
        (NAME, "veth", "", (True, True)),
        ("web0", "veth", "", (False, True)),
        ("web0", "veth", str(OWNER), (True, True)),
        (NAME, "veth", str(Mark(vifs.vif_id(2), "test")), (False, False)),
        (NAME, "bridge", "", (False, False)),
        (NAME, "", "", (False, False)),
    ],
)
def test_a_veth_goes_if_it_is_evidently_the_vifs(
    world: World, name: str, kind: str, alias: str, goes: tuple[bool, bool]
) -> None:
    """By its name or its mark; or because it was under a port of the VIF's."""
    world.add_link(name, kind, alias)
    topology = Topology(OWNER, (VethEnd(name=name),))
    assert plug(world, *topology.resources) == []
    done = tuple(
        kinds(planner.plan_unplug(topology, look(world, topology), known).steps) == ["delete_links"]
        for known in (Known(), Known(shown={name}))
    )
    assert done == goes
    if not alias:
        kept = Known(kept={name: "another's port"}, shown={name})
        assert planner.plan_unplug(topology, look(world, topology), kept).steps == []


# --- taps: queues ---------------------------------------------------------------------------------


def test_queues_are_fixed_at_creation_so_it_is_made_anew(world: World) -> None:
    link = world.add_link(NAME, "tap", str(OWNER), multi_queue=True)
    todo = plug(world, SINGLE)
    assert kinds(todo) == ["delete_links", "create_link"]
    assert todo[0].args["links"] == [[NAME, link.index]]
    assert todo[1].args["attributes"]["multi_queue"] is False


def test_queues_that_nobody_described_stay(world: World) -> None:
    run(world, plug(world, dataclasses.replace(LONE, multi_queue=True)))
    assert plug(world, LONE) == []
    world.links[NAME].attributes["owner_group"] = 6  # which the kernel does not take away again
    todo = plug(world, LONE)
    assert kinds(todo) == ["delete_links", "create_link"]
    assert todo[1].args["attributes"]["multi_queue"] is True


def test_but_not_while_somebody_has_it_open(world: World) -> None:
    world.add_link(NAME, "tap", str(OWNER), multi_queue=True, queues=1)
    with pytest.raises(exception.ResourceConflict, match="stop the guest first"):
        plug(world, SINGLE)


def test_before_that_its_routes_go_so_that_they_can_come_back(world: World) -> None:
    world.add_link(NAME, "tap", "", multi_queue=True)
    world.routes[NAME] = [Route("10.0.0.1/32", scope=253)]
    todo = plug(world, SINGLE, HostRoute(device=NAME, destination="10.0.0.1/32"))
    assert kinds(todo) == ["set_link", "delete_route", "delete_links", "create_link", "add_route"]
    assert todo[0].args["attributes"] == {"alias": str(OWNER)}


# --- bridges --------------------------------------------------------------------------------------


def test_a_bridge_is_made_by_whoever_comes_first(world: World) -> None:
    run(world, plug(world, BRIDGE, TAP))
    assert world.links["br0"].alias == SHARED_MARK
    assert plug(world, BRIDGE, mark=Mark("other", "test")) == []
    assert kinds(unplug(world, BRIDGE, TAP)) == ["delete_links"], "the tap; others use the bridge"


def test_ours_is_corrected_a_strangers_is_used_as_it_is(world: World) -> None:
    run(world, plug(world, BRIDGE))
    world.links["br0"].attributes.update(stp_state=1, up=False)
    assert sets(plug(world, BRIDGE)) == {"up": True, "stp_state": 0}
    world.links["br0"].alias = ""
    assert sets(plug(world, BRIDGE)) == {"up": True}
    world.links["br0"].attributes["up"] = True
    assert plug(world, BRIDGE) == []


def test_a_half_made_one_is_finished(world: World) -> None:
    world.add_link("br0", "bridge", "", group=UNFINISHED_GROUP)
    topology = Topology(OWNER, (BRIDGE,))
    todo = planner.plan_plug(topology, look(world, topology))
    assert sets(todo.steps)["alias"] == SHARED_MARK
    assert todo.undo == [None], "its maker may have finished it, and others use it"


@pytest.mark.parametrize("own", [False, True])
def test_what_is_half_made_has_no_mac_yet(world: World, own: bool) -> None:
    """The kernel shows one, which changes with the ports."""
    bridge = Bridge(name="br0", own=own)
    world.add_link("br0", "bridge", "", group=UNFINISHED_GROUP)
    chosen = sets(plug(world, bridge))["mac"]
    world.links["br0"].attributes["mac"] = chosen
    assert sets(plug(world, bridge))["mac"] == chosen, "one that is shown may be nobody's choice"
    run(world, plug(world, bridge))
    world.links["br0"].attributes["mac"] = "02:00:00:00:00:01"
    assert plug(world, bridge) == [], "one that was chosen stays, whoever chose it"


def test_no_two_hosts_give_their_bridges_one_mac(world: World) -> None:
    macs = set()
    for host_id, bridge in (("one", BRIDGE), ("other", BRIDGE), ("one", BRIDGE)):
        world.host_id = host_id
        [made] = plug(world, bridge)
        assert made.args["attributes"]["mac"].startswith("02:")
        macs.add(made.args["attributes"]["mac"])
    assert len(macs) == 2


def test_a_half_made_vlan_has_no_mac_of_its_own_yet(world: World) -> None:
    """The kernel shows that of the card, and changes it with the card's."""
    mac = world.add_link("eth0", "", up=True).attributes["mac"]
    made = {"link": "eth0", "vlan_id": 7, "group": UNFINISHED_GROUP, "mac": mac}
    world.add_link("vlan7", "vlan", "", **made)
    assert sets(plug(world, Vlan(name="vlan7", link="eth0", vlan_id=7)))["mac"] == mac
    lent = Vlan(name="vlan7", link="eth0", vlan_id=7, stays=False)
    assert "mac" not in sets(plug(world, lent)), "one that goes again follows its card"


@pytest.mark.parametrize("kind", ["tap", "veth", "", "vlan"])
def test_a_bridge_name_that_is_something_else(world: World, kind: str) -> None:
    world.add_link("br0", kind)
    with pytest.raises(exception.ResourceConflict, match="a bridge of this name is needed"):
        plug(world, BRIDGE, TAP)


def test_one_that_must_be_there_already(world: World) -> None:
    there = Bridge(name="br0", create=False)
    with pytest.raises(exception.NetworkInterfaceNotFound, match="br0"):
        plug(world, there)
    world.add_link("br0", "bridge", SHARED_MARK, up=True, stp_state=1)
    assert plug(world, there) == []


def test_ipv6_of_a_bridge_with_addresses_is_left_on(world: World) -> None:
    world.add_link("br0", "bridge", SHARED_MARK, **BRIDGE.attributes())
    world.links["br0"].attributes["disable_ipv6"] = False
    assert sets(plug(world, BRIDGE)) == {"disable_ipv6": True}
    world.addresses["br0"] = [Address("2001:db8::1/64")]
    assert plug(world, BRIDGE) == []


# --- uplinks --------------------------------------------------------------------------------------


def uplinked(world: World, *routes: Route, master: str | None = None) -> None:
    world.add_link("eth0", "", up=True, mac="52:00:00:00:0e:00", master=master)
    world.addresses["eth0"] = [
        Address("192.0.2.10/24", label="eth0"),
        Address("192.0.2.11/24", label="eth0:web"),
        Address("2001:db8::a/64"),
    ]
    world.routes["eth0"] = list(routes)


def test_add_first_remove_last(world: World) -> None:
    uplinked(world, Route("0.0.0.0/0", gateway="192.0.2.1"))
    todo = plug(world, BRIDGE, UPLINK)
    assert kinds(todo) == [
        "create_link",
        *["add_address"] * 3,
        "add_route",
        "set_link",
        "delete_route",
        *["delete_address"] * 3,
        "set_link",
    ]
    assert todo[-1].args["attributes"] == {"disable_ipv6": True}, "what is left of IPv6 there"
    labels = [step.args["address"]["label"] for step in todo if step.kind == "add_address"]
    assert labels == ["", "br0:web", ""]
    gone = [step.args["address"]["local"] for step in todo if step.kind == "delete_address"]
    assert gone[-1] == "192.0.2.10/24", "the primary one last, or the kernel takes the others too"
    made = todo[0].args["attributes"]
    assert made["mac"] == "52:00:00:00:0e:00"
    assert made["disable_ipv6"] is False, "it has an IPv6 address now"


def test_what_a_gateway_is_reached_by_comes_before_it(world: World) -> None:
    uplinked(
        world,
        Route("0.0.0.0/0", gateway="198.51.100.1"),
        Route("198.51.100.1/32", scope=253),
    )
    todo = plug(world, BRIDGE, UPLINK)
    added = [step.args["route"]["gateway"] for step in todo if step.kind == "add_route"]
    deleted = [step.args["route"]["gateway"] for step in todo if step.kind == "delete_route"]
    assert added == ["", "198.51.100.1"]
    assert deleted == ["198.51.100.1", ""]


ROUTER = "fe80::1"
LEARNED = Route("::/0", gateway=ROUTER, protocol=9, priority=1024, expires=15)


def learning(world: World, **settings: Any) -> None:
    """A host that learns IPv6 on its uplink."""
    world.add_link("eth0", "", up=True, mac="52:00:00:00:0e:00")
    world.addresses["eth0"] = [Address("2001:db8::a/64", flags=0x100, valid=40, preferred=30)]
    world.routes["eth0"] = [LEARNED]
    world.how["default"] = {"accept_ra": 1, "forwarding": 0, "addr_gen_mode": 0, "use_tempaddr": 0}
    world.how["eth0"] = {**world.how["default"], "token": "::", **settings}


def test_what_a_router_advertised_is_not_taken_from_the_kernel(world: World) -> None:
    learning(world)
    todo = plug(world, BRIDGE, UPLINK)
    [route] = [step.args["route"] for step in todo if step.kind == "add_route"]
    assert (route["priority"], route["expires"]) == (1025, 15), (
        "it does until the kernel has its own"
    )
    assert not any(step.kind == "set_ipv6" for step in todo), "all is as on each new device"
    run(world, todo)
    assert plug(world, BRIDGE, UPLINK) == []
    world.routes["br0"].append(LEARNED)
    world.addresses["br0"].clear()
    assert plug(world, BRIDGE, UPLINK) == []


def test_a_learned_route_that_comes_back_is_not_taken_from_the_kernel_either(world: World) -> None:
    learning(world)
    topology = Topology(OWNER, (BRIDGE, UPLINK))
    todo = planner.plan_plug(topology, look(world, topology))
    run(world, todo.steps)
    run(world, [step for step in reversed(todo.undo) if step is not None])
    assert [route.priority for route in world.routes["eth0"]] == [1025]
    assert world.links["eth0"].attributes["disable_ipv6"] is False
    # The kernel has learned it anew by now; what stood in for it need not be moved.
    world.routes["eth0"].append(LEARNED)
    run(world, plug(world, BRIDGE, UPLINK))
    assert [route.priority for route in world.routes["br0"]] == [1025]
    assert not world.routes["eth0"]


def test_how_ipv6_is_learned_is_taken_over(world: World) -> None:
    learning(world, accept_ra=2, forwarding=1, use_tempaddr=2)
    world.how["eth0"]["token"] = "::5"
    todo = plug(world, BRIDGE, UPLINK)
    first, last = (number for number, step in enumerate(todo) if step.kind == "set_ipv6")
    assert todo[first].args["settings"] == {"accept_ra": 2, "forwarding": 1, "token": "::5"}
    assert first < kinds(todo).index("add_address"), "before IPv6 begins there"
    assert todo[last].args["settings"] == {"use_tempaddr": 2}
    assert last > kinds(todo).index("set_link"), "once there is a carrier"
    run(world, todo)
    assert plug(world, BRIDGE, UPLINK) == []


@pytest.mark.parametrize(
    ("settings", "taken"),
    [
        ({"addr_gen_mode": 1}, {}),
        ({"addr_gen_mode": 2}, {"addr_gen_mode": 2}),
        ({"accept_ra": 0, "token": "::5"}, {"accept_ra": 0}),
        ({"forwarding": 1, "token": "::5"}, {"forwarding": 1}),
    ],
)
def test_what_of_it_a_bridge_can_take_over(
    world: World, settings: dict[str, Any], taken: dict[str, Any]
) -> None:
    learning(world, **settings)
    steps = [
        step.args["settings"] for step in plug(world, BRIDGE, UPLINK) if step.kind == "set_ipv6"
    ]
    assert steps == ([taken] if taken else [])


@pytest.mark.parametrize("alias", [SHARED_MARK, ""])
def test_a_bridge_that_speaks_ipv6_already_keeps_its_settings(world: World, alias: str) -> None:
    learning(world, accept_ra=2)
    world.add_link("br0", "bridge", alias, up=True)
    world.addresses["br0"] = [Address("2001:db8:1::1/64")]
    assert "set_ipv6" not in kinds(plug(world, BRIDGE, UPLINK))
    world.addresses["br0"].clear()
    assert "set_ipv6" in kinds(plug(world, BRIDGE, UPLINK))


@pytest.mark.parametrize("there", ["", SHARED_MARK, "stranger"])
def test_a_route_by_a_link_local_gateway_and_no_address(world: World, there: str) -> None:
    world.add_link("eth0", "", up=True, mac="52:00:00:00:0e:00")
    world.routes["eth0"] = [Route("::/0", gateway=ROUTER)]
    if there:
        alias = there if there == SHARED_MARK else ""
        world.add_link("br0", "bridge", alias, up=True, disable_ipv6=True)
    run(world, plug(world, BRIDGE, UPLINK))
    assert [route.gateway for route in world.routes["br0"]] == [ROUTER]
    assert not world.routes["eth0"]
    assert plug(world, BRIDGE, UPLINK) == []


def test_killed_before_the_last_of_it(world: World) -> None:
    """Without addresses nothing else shows that routes are left on the uplink."""
    world.add_link("eth0", "", up=True, mac="52:00:00:00:0e:00")
    world.routes["eth0"] = [Route("::/0", gateway=ROUTER)]
    todo = plug(world, BRIDGE, UPLINK)
    for number in range(len(todo)):
        if todo[number].kind == "delete_route":
            break
        run(world, [todo[number]])
    assert kinds(plug(world, BRIDGE, UPLINK)) == ["delete_route", "set_link"]


def test_ipv6_stays_on_while_nothing_is_advertised(world: World) -> None:
    """Whoever comes next may not name the uplink."""
    learning(world)
    run(world, plug(world, BRIDGE, UPLINK))
    for table in (world.addresses, world.routes):
        table["br0"].clear()  # type: ignore[attr-defined]
    assert plug(world, BRIDGE, UPLINK) == []
    assert plug(world, BRIDGE) == []


def test_only_the_rest_of_a_half_done_move_is_done(world: World) -> None:
    uplinked(world, Route("0.0.0.0/0", gateway="192.0.2.1"))
    todo = plug(world, BRIDGE, UPLINK)
    for done in range(len(todo)):
        again = World()
        uplinked(again, Route("0.0.0.0/0", gateway="192.0.2.1"))
        run(again, todo[:done])
        assert plug(again, BRIDGE, UPLINK) == todo[done:], done


def test_an_uplink_of_another_bridge_is_not_stolen(world: World) -> None:
    world.add_link("br9", "bridge")
    uplinked(world, master="br9")
    with pytest.raises(exception.ResourceConflict, match="it is a port of br9; take it out first"):
        plug(world, BRIDGE, UPLINK)


@pytest.mark.parametrize(
    ("kind", "alias", "mac"),
    [
        ("bridge", "", "52:00:00:00:0e:00"),
        ("tap", str(Mark("other", "test")), "52:00:00:00:0e:00"),
        ("", "", "00:00:00:00:00:00"),
        ("ipoib", "", ":".join(["80"] * 20)),
    ],
)
def test_what_cannot_be_an_uplink(world: World, kind: str, alias: str, mac: str) -> None:
    world.add_link("eth0", kind, alias, mac=mac)
    with pytest.raises(exception.ResourceConflict, match="eth0"):
        plug(world, BRIDGE, UPLINK)


def test_a_missing_uplink_is_named(world: World) -> None:
    with pytest.raises(exception.NetworkInterfaceNotFound, match="eth0"):
        plug(world, BRIDGE, UPLINK)
    assert unplug(world, BRIDGE, UPLINK) == []


# --- VLANs ----------------------------------------------------------------------------------------

VLAN = Vlan(name="vlan7", link="eth0", vlan_id=7)


def test_a_vlan_and_its_lower_device(world: World) -> None:
    world.add_link("eth0", "", mac="52:00:00:00:0e:00")
    todo = plug(world, VLAN, BRIDGE, Uplink(name="vlan7", bridge="br0", mtu=1500))
    assert kinds(todo) == ["set_link", "create_link", "create_link", "set_link"]
    assert todo[0].args == {"name": "eth0", "attributes": {"up": True}}
    assert todo[1].args["attributes"]["vlan_id"] == 7
    assert todo[1].args["attributes"]["alias"] == SHARED_MARK
    run(world, todo)
    assert plug(world, VLAN, BRIDGE, Uplink(name="vlan7", bridge="br0", mtu=1500)) == []


@pytest.mark.parametrize(
    ("kind", "attributes", "found"),
    [
        ("vlan", {"link": "eth0", "vlan_id": 8}, "VLAN 8 on eth0"),
        ("vlan", {"link": "eth1", "vlan_id": 7}, "VLAN 7 on eth1"),
        ("veth", {}, "a veth"),
        ("", {}, "a NIC of the host"),
    ],
)
def test_a_vlan_name_that_is_something_else(
    world: World, kind: str, attributes: dict[str, Any], found: str
) -> None:
    world.add_link("eth0", "")
    world.add_link("vlan7", kind, **attributes)
    with pytest.raises(exception.ResourceConflict, match=f"{found}.*; VLAN 7 on eth0 is needed"):
        plug(world, VLAN)


# --- routes, neighbours, rules --------------------------------------------------------------------


def test_a_route_that_leads_elsewhere(world: World) -> None:
    world.add_link("eth0", "")
    world.routes["eth0"] = [Route("10.0.0.1/32")]
    with pytest.raises(exception.ResourceConflict, match="it leads to eth0"):
        plug(world, LONE, HostRoute(device=NAME, destination="10.0.0.1/32"))


def test_rules_are_set_whole_and_only_when_they_differ(world: World) -> None:
    [step] = plug(world, RULES)
    run(world, [step])
    assert plug(world, RULES) == []
    comment = step.args["comment"]
    world.rules[comment, False] = ()
    assert plug(world, RULES) == [step]
    # iptables adds what a target has by default.
    world.rules[comment, False] = (("-i", "br0", "-j", "ACCEPT", "--reject-with", "x"),)
    assert plug(world, RULES) == []
    [gone] = unplug(world, RULES)
    assert gone.args["rules"] == []
    run(world, [gone])
    assert unplug(world, RULES) == []


def test_without_iptables_there_is_nothing_to_pass(world: World) -> None:
    topology = Topology(OWNER, (RULES,))
    host = look(world, topology)
    host[FORWARDING].update(dict.fromkeys(host[FORWARDING]))
    assert planner.plan_plug(topology, host).steps == []
    assert planner.plan_unplug(topology, host).steps == []


# --- MTUs -----------------------------------------------------------------------------------------


def test_the_lower_of_a_vlan_is_raised_with_it_and_noted_once(world: World) -> None:
    world.add_link("eth0", "", up=True)
    seven = (
        Vlan(name="vlan7", link="eth0", vlan_id=7, mtu=9000),
        BRIDGE,
        Uplink(name="vlan7", bridge="br0", mtu=9000),
    )
    run(world, plug(world, *seven))
    assert [world.links[name].attributes["mtu"] for name in ("eth0", "vlan7")] == [9000, 9000]
    assert world.links["eth0"].altnames == ("os-vif,mtu=1500,eth0",)
    assert world.links["vlan7"].altnames == (), "it is ours"
    assert plug(world, *seven) == []
    eight = (
        Vlan(name="vlan8", link="eth0", vlan_id=8),
        Bridge(name="br8", mtu=1500),
        Uplink(name="vlan8", bridge="br8"),
    )
    run(world, plug(world, *eight))
    assert world.links["br8"].attributes["mtu"] == 9000, "as its uplink, which nobody asked for"
    assert plug(world, *eight) == []


def test_a_vlan_device_of_before_is_raised_too(world: World) -> None:
    world.add_link("eth0", "", up=True, mtu=9000)
    world.add_link("vlan7", "vlan", SHARED_MARK, link="eth0", vlan_id=7, up=True, mtu=1500)
    todo = plug(world, VLAN, BRIDGE, Uplink(name="vlan7", bridge="br0", mtu=4000))
    assert todo[0].args["attributes"]["mtu"] == 4000, "the bridge has what its uplink will have"
    assert sets(todo[1:]) == {"master": "br0", "mtu": 4000}


def test_words_behind_the_shared_mark_stay(world: World) -> None:
    uplinked(world)
    world.add_link("br0", "bridge", f"{SHARED_MARK} uplink=eth7", **BRIDGE.attributes())
    run(world, plug(world, BRIDGE, UPLINK))
    assert world.links["br0"].alias == f"{SHARED_MARK} uplink=eth7 uplink=eth0"
    assert plug(world, BRIDGE) == [], "another VIF, without uplink"
