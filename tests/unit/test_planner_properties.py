# SPDX-License-Identifier: Apache-2.0
"""For any description, any state of the host and any interruption: the road ends where it should.

The hosts are modelled (tests/modelled.py), so thousands of them cost nothing.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from os_vif import exception
from os_vif.engine import families, planner, steps
from os_vif.engine.draft import Plan
from os_vif.engine.observed import Host
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Resource, Topology
from os_vif.host.forwarding.questions import FORWARDING
from os_vif.host.forwarding.resources import ForwardRules
from os_vif.host.functions.questions import VFS, FunctionMark, marks_on
from os_vif.host.functions.resources import NO_MAC, PciDevice, VirtualFunction
from os_vif.host.links.questions import (
    FUNCTIONS,
    LINKS,
    SHARED_MARK,
    UNFINISHED_GROUP,
    Function,
    raising_mark,
)
from os_vif.host.links.resources import Bridge, Macvtap, Tap, Uplink, Vlan, host_side_mac
from os_vif.host.routes.questions import ADDRESSES, ROUTES, Address, Route
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour
from os_vif.host.vhost_user.questions import BackEndState
from os_vif.host.vhost_user.resources import BackEnd, FastPathDevice
from tests.modelled import World, half_made
from tests.seen import asks
from tests.vifs import guest_mac, tap_name, vif_id

settings.register_profile(
    "planner",
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("planner")

ROUTED_CONF = {"forwarding": 1, "proxy_arp": 1, "rp_filter": 1}
RULES = (("-i", "br0", "-j", "ACCEPT"), ("-o", "br0", "-j", "ACCEPT"))


# --- any description ------------------------------------------------------------------------------


def mark(number: int) -> Mark:
    return Mark(vif_id(number), "linux_bridge", "guest")


@st.composite
def bridged(draw: st.DrawFn, number: int = 1) -> Topology:
    """A VIF on a bridge, with or without tap, uplink, VLAN and rules."""
    resources: list[Resource] = []
    uplink = draw(st.sampled_from(["", "eth0", "vlan7"]))
    least = draw(st.sampled_from([None, 1400, 2000]))
    if uplink == "vlan7":
        resources.append(Vlan(name="vlan7", link="eth0", vlan_id=7, mtu=least))
    ageing_time, mtu = draw(st.sampled_from([None, 0])), draw(st.sampled_from([None, 1400, 9000]))
    resources.append(Bridge(name="br0", ageing_time=ageing_time, mtu=mtu))
    if uplink:
        resources.append(Uplink(name=uplink, bridge="br0", mtu=least))
    for ipv6 in draw(st.sampled_from([(), (False,), (False, True)])):
        resources.append(ForwardRules(bridge="br0", ipv6=ipv6, rules=RULES))
    if draw(st.booleans()):
        resources.append(bridge_tap(number, mtu=draw(st.sampled_from([None, 1400, 1500]))))
    return Topology(mark(number), tuple(resources))


def bridge_tap(number: int, *, mtu: int | None = 1500, name: str = "") -> Tap:
    mac = guest_mac(number)
    return Tap(
        name=name or tap_name(number),
        mac=host_side_mac(mac),
        mtu=mtu,
        bridge="br0",
        known_macs=frozenset({mac, host_side_mac(mac)}),
    )


@st.composite
def routed(draw: st.DrawFn, number: int = 1) -> Topology:
    """A VIF that the host routes to, or a plain tap."""
    name = tap_name(number)
    mac = guest_mac(number)
    routes = draw(st.integers(0, 3))
    tap = Tap(
        name=name,
        mac=host_side_mac(mac),
        mtu=1500,
        multi_queue=draw(st.booleans()),
        known_macs=frozenset({mac}),
        disable_ipv6=not routes,
        conf=ROUTED_CONF if routes else {},
    )
    resources: list[Resource] = [tap]
    if routes:
        resources.append(HostRoute(device=name, destination=f"10.0.0.{number}/32"))
    if routes > 1:
        resources.append(
            HostRoute(device=name, destination="10.9.0.0/24", gateway=f"10.0.0.{number}")
        )
        resources.append(ProxyNeighbour(device=name, address="2001:db8::1"))
    if routes > 2:
        resources.append(HostRoute(device=name, destination=f"2001:db8::{number}/128"))
    return Topology(mark(number), tuple(resources))


@st.composite
def direct(draw: st.DrawFn, number: int = 1) -> Topology:
    """A VIF that shares the card ``eth2``, a VLAN on it, or has it for itself."""
    lower = draw(st.sampled_from(["eth2", "vlan9"]))
    resources: list[Resource] = []
    if lower == "vlan9":
        resources.append(Vlan(name="vlan9", link="eth2", vlan_id=9, stays=False))
    macvtap = Macvtap(
        name=f"mv{number}",
        mac=guest_mac(number),
        mode=draw(st.sampled_from(["vepa", "bridge", "passthru"])),
        mtu=draw(st.sampled_from([None, 1400])),
        link=lower,
    )
    return Topology(mark(number), (*resources, macvtap))


FUNCTION, NETDEV = "0000:03:10.1", "eth3"
NOTHING: dict[str, Any] = {
    "mac": NO_MAC,
    "vlan": 0,
    "qos": 0,
    "vlan_proto": 0x8100,
    "trust": False,
}


@st.composite
def given_away(draw: st.DrawFn, number: int = 1) -> Topology:
    """A VIF that has a virtual function: set for it, or as it is."""
    mac = draw(st.sampled_from(["", guest_mac(number)]))
    driver = draw(st.sampled_from(["", "vfio-pci"]))
    resources: list[Resource] = [PciDevice(address=FUNCTION, driver=driver, mac=mac)]
    if mac:
        trust = draw(st.sampled_from([None, True]))
        vlan = draw(st.sampled_from([0, 5]))
        resources.append(VirtualFunction(address=FUNCTION, mac=mac, vlan=vlan, trust=trust))
    return Topology(mark(number), tuple(resources))


@st.composite
def fast(draw: st.DrawFn, number: int = 1) -> Topology:
    """A VIF on a fast path: the device is 6WIND's, or a tap with a process."""
    name, path, listens = fast_name(number), f"/run/vhost/{number}", draw(st.booleans())
    mac = host_side_mac(guest_mac(number))
    mtu = draw(st.sampled_from([1400, 1500]))
    bridge = draw(st.sampled_from([None, "br0"]))
    resources: list[Resource] = [Bridge(name="br0")] if bridge else []
    if draw(st.booleans()):
        device = FastPathDevice(
            name=name, path=path, listens=listens, mac=mac, mtu=mtu, bridge=bridge
        )
        return Topology(mark(number), (*resources, device))
    tap = Tap(name=name, mac=mac, mtu=mtu, multi_queue=True, bridge=bridge)
    process = BackEnd(name=name, path=path, listens=listens, mac=mac, mtu=mtu)
    return Topology(mark(number), (*resources, tap, process))


def fast_name(number: int) -> str:
    return f"vhu{vif_id(number)[:11]}"


def remains(topology: Topology) -> Topology:
    """Return the description with what any back end could have made, as its plugin has it."""
    made = [item for item in topology.resources if isinstance(item, FastPathDevice | BackEnd)]
    if not made:
        return topology
    own = {field: getattr(made[0], field) for field in ("name", "path", "listens", "mac", "mtu")}
    tap = Tap(name=own["name"], mac=own["mac"], mtu=own["mtu"], multi_queue=True)
    return Topology(topology.mark, (FastPathDevice(**own), tap, BackEnd(**own)))


topologies = st.one_of(bridged(), routed(), direct(), given_away(), fast())


# --- any host -------------------------------------------------------------------------------------

OF_THE_HOST = (
    Address("192.0.2.10/24", broadcast="192.0.2.255", label="eth0"),
    Address("192.0.2.11/24", label="eth0:1"),
    Address("192.0.2.12/24", valid=300, preferred=200),
    Address("10.66.0.7/32", peer="10.66.0.8/32"),
    Address("2001:db8:1::a/64"),
    Address("2001:db8:1::b/64", valid=300, preferred=200, flags=0x100),
)
WAYS = (
    Route("0.0.0.0/0", gateway="198.51.100.1"),
    Route("198.51.100.1/32", scope=253),
    Route("203.0.113.0/24", gateway="192.0.2.1", source="192.0.2.10", priority=50),
    Route("172.16.0.0/12", gateway="192.0.2.2", table=100, onlink=True),
    Route("::/0", gateway="2001:db8:1::1", priority=1024),
)


@st.composite
def hosts(draw: st.DrawFn) -> World:
    """A host with an uplink, on which anything may be there already, whole, drifted or not ours."""
    world = World()
    uplink = world.add_link("eth0", up=draw(st.booleans()), mtu=draw(st.sampled_from([1500, 9000])))
    world.add_link("eth1", up=True)
    carrier = draw(st.sampled_from(["eth0", "vlan7"]))
    if carrier == "vlan7":
        world.add_link("vlan7", "vlan", SHARED_MARK, link="eth0", vlan_id=7)
    addresses = draw(st.lists(st.sampled_from(OF_THE_HOST), unique=True))
    world.addresses[carrier] = [*addresses, Address("192.0.2.1/24")]
    world.addresses[carrier] += [Address("2001:db8:1::ff/64")]
    ordered = draw(st.permutations(WAYS))
    link_routes = WAYS[1] in ordered[: draw(st.integers(0, len(WAYS)))]
    world.routes[carrier] = [
        route for route in ordered if link_routes or route not in (WAYS[0], WAYS[1])
    ]
    world.links[carrier].attributes["up"] = True
    if draw(st.booleans()):
        alias, attributes = draw(
            st.sampled_from(
                [
                    (SHARED_MARK, {"stp_state": 1}),
                    (SHARED_MARK, {"up": True, "arp_ignore": 1}),
                    ("", half_made("bridge")),
                    ("", {"stp_state": 1}),
                    ("the operator's", {"up": False}),
                ]
            )
        )
        world.add_link("br0", "bridge", alias, **attributes)
        if draw(st.booleans()):
            uplink.attributes["master"] = "br0"
    for number in (1, 2):
        how = draw(st.sampled_from(["", "", "ours", "adoptable", "multi", "renamed guest"]))
        if how == "ours":
            world.add_link(tap_name(number), "tap", str(mark(number)), mtu=1300, up=False)
        elif how == "adoptable":
            world.add_link(tap_name(number), "tap", "", up=True)
        elif how == "multi":
            world.add_link(tap_name(number), "tap", str(mark(number)), multi_queue=True)
            guest_route = Route(f"10.0.0.{number}/32", protocol=4, scope=253)
            world.routes[tap_name(number)] = [guest_route]
            world.proxies[tap_name(number)] = {"2001:db8::1"}
        elif how == "renamed guest":
            other = dataclasses.replace(mark(number), instance="another")
            world.add_link(tap_name(number), "tap", str(other), group=77)
    _fast_paths(draw, world)
    _cards(draw, world)
    _functions(draw, world)
    world.rules["os-vif someone else", False] = RULES
    if draw(st.booleans()):
        world.rules[comment_of(world, 1), False] = (("-i", "br0", "-j", "DROP"),)
    return world


def _fast_paths(draw: st.DrawFn, world: World) -> None:
    """Add a fast path's device or tap: the VIF's, marked or not, or another's."""
    name = fast_name(1)
    there = draw(st.sampled_from(["", "device", "unmarked", "tap", "gone", "stranger"]))
    if there in ("device", "unmarked"):
        alias = f"{mark(1)} made-by=fp-vdev" if there == "device" else ""
        world.add_link(name, "", alias, mtu=1300)
    elif there == "tap":
        # Whatever else drifted, its process has set it up, and does so again.
        queues = draw(st.integers(0, 1))
        world.add_link(name, "tap", str(mark(1)), multi_queue=True, queues=queues, up=True)
    elif there == "stranger":
        world.add_link(name, "", str(mark(9)))
    if there in ("tap", "gone"):
        path = draw(st.sampled_from(["/run/vhost/1", "/run/vhost/old"]))
        world.back_ends[name] = BackEndState(path, draw(st.booleans()), draw(st.booleans()))


def _cards(draw: st.DrawFn, world: World) -> None:
    """Add a card with or without a VLAN and macvtaps: the VIFs', whole or drifted, or another's."""
    world.add_link("eth2", up=draw(st.booleans()))
    lower = draw(st.sampled_from(["eth2", "vlan9"]))
    if lower == "vlan9":
        alias, attributes = draw(
            st.sampled_from([(SHARED_MARK, {"up": False}), ("", half_made("vlan")), ("", {})])
        )
        world.add_link("vlan9", "vlan", alias, link="eth2", vlan_id=9, **attributes)
    there = draw(st.sampled_from(["", "passthru", "one", "both", "stranger", "half made"]))
    made = {"mac": guest_mac(1), "link": lower, "mode": draw(st.sampled_from(["vepa", "private"]))}
    if there in ("one", "both"):
        world.add_link("mv1", "macvtap", draw(st.sampled_from([str(mark(1)), ""])), **made)
    if there == "passthru":
        noted = draw(st.booleans())
        alias = raising_mark(str(mark(1))) if noted else str(mark(1))
        world.add_link("mv1", "macvtap", alias, **{**made, "mode": "passthru"})
        world.lend("mv1", lower)
    if there == "half made":
        world.add_link("mv1", "macvtap", "", **{**made, **half_made("macvtap")})
    if there == "both":
        other = {**made, "mac": guest_mac(2)}
        world.add_link("mv2", "macvtap", str(mark(2)), **other)
    if there == "stranger":
        world.add_link("mv9", "macvtap", "", link=lower, mode="bridge")


def _functions(draw: st.DrawFn, world: World) -> None:
    """Add a virtual function: nobody's, or of any VIFs as far as a kill or a guest left it so."""
    marks = draw(st.lists(st.sampled_from(FUNCTION_MARKS), unique=True, max_size=3))
    on_lo = draw(st.integers(0, 3))
    for name, mine in (("lo", marks[:on_lo]), (NETDEV, marks[on_lo:])):
        world.add_link(name, up=draw(st.booleans())).altnames = tuple(map(str, mine))
    driver, override = draw(
        st.sampled_from([("igbvf", ""), ("vfio-pci", "vfio-pci"), ("", "vfio-pci"), ("", "")])
    )
    world.own_drivers[FUNCTION] = "igbvf"
    world.functions[FUNCTION] = Function(
        FUNCTION,
        physical="0000:03:00.0",
        number=1,
        physical_netdev=NETDEV,
        driver=driver,
        override=override,
        iommu_group="1",
    )
    macs = st.sampled_from([NO_MAC, guest_mac(1), guest_mac(2), "02:00:00:00:00:99"])
    found = {"mac": draw(macs), "vlan": draw(st.sampled_from([0, 9])), "trust": draw(st.booleans())}
    world.vfs[NETDEV, 1] = {**NOTHING, **found}


FUNCTION_MARKS = [
    FunctionMark(FUNCTION, vif_id(1), "", "guest"),
    FunctionMark(FUNCTION, vif_id(1), "vfio-pci", "guest"),
    FunctionMark(FUNCTION, vif_id(2), "vfio-pci"),
    FunctionMark(FUNCTION, vif_id(9)),
    FunctionMark("0000:03:10.2", vif_id(1)),
]


def comment_of(_world: World, number: int) -> str:
    rules = ForwardRules(bridge="br0", ipv6=False, rules=())
    [(comment, _ipv6)] = asks(planner.questions(Topology(mark(number), (rules,))), "forwarding")
    return comment


def look(world: World, *wanted: Topology) -> Host:
    host = Host()
    for topology in wanted:
        seen = world.seen(planner.questions(topology))
        for question, found in seen.answers.items():
            host[question].update(found)
    return host


Planner = Callable[[Topology, Host], Plan]


def run(world: World, todo: list[Step]) -> None:
    handlers = world.handlers()
    for step in todo:
        daemons = families.kind_of(step.kind).daemons
        checked = steps.checked(step.kind, step.args, next(iter(daemons), ""))
        handlers[checked.kind](checked.args)


def settle(world: World, topology: Topology, plan: Planner = planner.plan_plug) -> int:
    """Plan and apply until there is nothing left to do; return how many rounds that took."""
    for rounds in range(4):
        todo = plan(topology, look(world, topology)).steps
        if not todo:
            return rounds
        run(world, todo)
    pytest.fail(f"still to do after 4 rounds: {[steps.describe(step) for step in todo]}")


def plannable(world: World, topology: Topology) -> None:
    """Leave out hosts on which the description is refused."""
    try:
        planner.plan_plug(topology, look(world, topology))
    except exception.ExceptionBase:
        assume(False)


def owned(world: World, number: int) -> list[str]:
    """Return everything on the host that is this VIF's alone."""
    found = [
        name
        for name, link in world.links.items()
        if f"vif={vif_id(number)} " in f"{link.alias} " or name == tap_name(number)
    ]
    found += [
        str(item)
        for link in world.links.values()
        for item in marks_on(link)
        if (item.address, item.vif_id) == (FUNCTION, vif_id(number))
    ]
    return found + [
        key[0] for key, rules in world.rules.items() if vif_id(number) in key[0] and rules
    ]


def strangers(world: World) -> dict[str, Any]:
    """Return what no VIF here has to do with."""
    return {
        "eth1": copy.deepcopy(world.links["eth1"]),
        "rules": world.rules["os-vif someone else", False],
        "marks": {
            item
            for link in world.links.values()
            for item in marks_on(link)
            if item.address != FUNCTION
        },
    }


# --- what holds -----------------------------------------------------------------------------------


@given(hosts(), topologies)
def test_after_a_plan_there_is_nothing_left_to_do(world: World, topology: Topology) -> None:
    plannable(world, topology)
    before = strangers(world)
    host = look(world, topology)
    todo = planner.plan_plug(topology, host).steps
    # On the model, which the plan has written its outcome on ...
    assert planner.plan_plug(topology, host).steps == []
    # ... and on the host, where one round is enough when nobody interferes.
    run(world, todo)
    assert planner.plan_plug(topology, look(world, topology)).steps == []
    assert strangers(world) == before


@given(hosts(), topologies)
def test_the_model_foretells_the_host(world: World, topology: Topology) -> None:
    plannable(world, topology)
    host = look(world, topology)
    run(world, planner.plan_plug(topology, host).steps)
    seen = look(world, topology)
    for name, link in host[LINKS].items():
        real = seen[LINKS][name]
        assert (link is None) == (real is None), name
        if link is not None and real is not None:
            assert (link.kind, link.alias) == (real.kind, real.alias)
            told = {key: real.attributes.get(key) for key in link.attributes}
            assert told == link.attributes, name
            assert set(link.altnames) == set(real.altnames)
    assert (host[VFS], host[FUNCTIONS]) == (seen[VFS], seen[FUNCTIONS])
    assert {k: sorted(map(str, v)) for k, v in seen[ADDRESSES].items() if v} == {
        k: sorted(map(str, v)) for k, v in host[ADDRESSES].items() if v
    }
    assert {k: sorted(map(str, v)) for k, v in seen[ROUTES].items() if v} == {
        k: sorted(map(str, v)) for k, v in host[ROUTES].items() if v and k in seen[ROUTES]
    }


def told(world: World) -> dict[str, Any]:
    """Return all there is, but what nobody knows of a device that was made and not yet marked."""
    picture = world.picture()
    for name, (kind, alias, attributes) in picture["links"].items():
        mark, made, _socket = alias.partition(" made-by=fp-vdev")
        picture["links"][name] = (kind, mark + made, attributes)
    return picture


@pytest.mark.parametrize("guest", ["guest", ""])
def test_a_mark_that_moves_is_never_away(guest: str) -> None:
    """It tells to which driver the function was given, and nothing else does."""
    driven = FunctionMark(FUNCTION, vif_id(1), "vfio-pci", guest)
    owner = dataclasses.replace(mark(1), instance=guest)
    topology = Topology(owner, (PciDevice(address=FUNCTION),))
    for kill in range(6):
        world = World()
        for name in ("lo", NETDEV):
            world.add_link(name)
        world.links[NETDEV].altnames = (str(driven),)
        world.functions[FUNCTION] = Function(
            FUNCTION, "0000:03:10.0", 1, physical_netdev=NETDEV, driver="vfio-pci"
        )
        run(world, planner.plan_plug(topology, look(world, topology)).steps[:kill])
        assert any(marks_on(link) for link in world.links.values())
        settle(world, topology)
        assert world.links["lo"].altnames == (str(driven),)
        assert world.links[NETDEV].altnames == ()


@given(hosts(), topologies, st.integers(0, 40))
def test_killed_anywhere_and_run_again(world: World, topology: Topology, kill: int) -> None:
    plannable(world, topology)
    undisturbed = copy.deepcopy(world)
    todo = planner.plan_plug(topology, look(world, topology)).steps
    run(world, todo[:kill])
    settle(world, topology)
    settle(undisturbed, topology)
    assert told(world) == told(undisturbed)


@given(hosts(), topologies, st.integers(0, 40))
def test_killed_anywhere_and_unplugged(world: World, topology: Topology, kill: int) -> None:
    plannable(world, topology)
    before = strangers(world)
    run(world, planner.plan_plug(topology, look(world, topology)).steps[:kill])
    topology = remains(topology)
    settle(world, topology, planner.plan_unplug)
    devices = {r.name for r in topology.resources if isinstance(r, Tap | Macvtap)}
    rules = {r.ipv6 for r in topology.resources if isinstance(r, ForwardRules)}
    given = any(isinstance(resource, PciDevice) for resource in topology.resources)
    left = [
        item
        for item in owned(world, 1)
        if item in devices
        or (item.startswith("os-vif ") and rules)
        or (item.startswith("os-vif,") and given)
    ]
    left += [name for name in world.back_ends if name in devices]
    assert left == []
    assert planner.plan_unplug(topology, look(world, topology)).steps == []
    assert strangers(world) == before


@given(hosts(), topologies, st.integers(0, 40))
def test_undoing_any_beginning_brings_all_back(
    world: World, topology: Topology, executed: int
) -> None:
    described = {r.destination for r in topology.resources if isinstance(r, HostRoute)}
    proxied = {r.address for r in topology.resources if isinstance(r, ProxyNeighbour)}
    for name in (tap_name(1), tap_name(2)):
        # A tap made anew loses what nobody described, as when it is deleted by hand.
        here = world.routes.get(name, [])
        here[:] = [route for route in here if route.destination in described]
        world.proxies[name] = world.proxies.get(name, set()) & proxied
    plannable(world, topology)
    before = world.picture()
    todo = planner.plan_plug(topology, look(world, topology))
    run(world, todo.steps[:executed])
    run(world, [undo for undo in reversed(todo.undo[:executed]) if undo is not None])
    after = world.picture()
    for name in ("br0", "vlan9", "mv1"):
        if name in before["links"] and before["links"][name][2]["group"] == UNFINISHED_GROUP:
            # What somebody left half made may stay whole.
            before["links"][name] = after["links"].get(name)
    for name in before["back_ends"].keys() - before["links"].keys():
        # One that has lost its tap is of no use to anybody.
        for picture in (before, after):
            picture["back_ends"].pop(name, None)
    assert _without_kernels_choice(after) == _without_kernels_choice(before)


def _without_kernels_choice(picture: dict[str, Any]) -> dict[str, Any]:
    """A tap made again has what it had where somebody can choose it."""
    picture = copy.deepcopy(picture)
    for _kind, _alias, attributes in picture["links"].values():
        attributes.pop("queues", None)
    for name, process in picture["back_ends"].items():
        # One that hung is started anew.
        picture["back_ends"][name] = (process.path, process.listens)
    return picture


@given(hosts(), topologies)
def test_a_refused_description_leaves_the_model_alone(world: World, topology: Topology) -> None:
    world.add_link("vlan7x", "vlan")
    world.links.pop("vlan7", None)
    world.add_link("vlan7", "", up=True)
    for device in world.addresses:
        world.addresses[device] = []
    host = look(world, topology)
    before = copy.deepcopy(host)
    with contextlib.suppress(exception.ExceptionBase):
        planner.plan_plug(topology, host)
        return
    # Names that were only planned are known to be absent; nothing else may have changed.
    assert host[LINKS] == before[LINKS]
    assert {k: v for k, v in host[ADDRESSES].items() if v} == {
        k: v for k, v in before[ADDRESSES].items() if v
    }
    assert host[FORWARDING] == before[FORWARDING]


@given(hosts(), bridged(1), bridged(2))
def test_unplugging_one_leaves_its_neighbour_healthy(
    world: World, one: Topology, other: Topology
) -> None:
    plannable(world, one)
    settle(world, one)
    plannable(world, other)
    settle(world, other)
    settle(world, one)
    assume(not planner.plan_plug(other, look(world, other)).steps)
    settle(world, one, planner.plan_unplug)
    assert planner.plan_plug(other, look(world, other)).steps == []


@given(hosts(), given_away(1), given_away(2), st.integers(0, 10), st.booleans())
def test_a_function_is_handed_over(
    world: World, one: Topology, other: Topology, kill: int, old_first: bool
) -> None:
    settle(world, one)
    run(world, planner.plan_plug(other, look(world, other)).steps[:kill])
    if kill == 10:
        settle(world, other)
        before = world.picture()
        settle(world, one, planner.plan_unplug)
        assert world.picture() == before, "it is the other's by now"
    for topology in (one, other) if old_first else (other, one):
        settle(world, topology, planner.plan_unplug)
    left = owned(world, 1) + owned(world, 2)
    assert not any(item.startswith("os-vif,") for item in left)
    if any(isinstance(resource, VirtualFunction) for resource in one.resources):
        assert world.vfs[NETDEV, 1] == NOTHING, "of neither guest anything stays"


def test_a_vlan_device_of_a_batch_has_its_cards_mtu_of_that_moment() -> None:
    world = World()
    world.add_link("eth0")
    one, other = (
        Topology(
            mark(number),
            (
                Vlan(name="vlan7", link="eth0", vlan_id=7, mtu=mtu),
                Bridge(name="br0"),
                Uplink(name="vlan7", bridge="br0", mtu=mtu),
            ),
        )
        for number, mtu in ((1, None), (2, 2000))
    )
    host = look(world, one, other)
    run(world, planner.plan_plug(one, host).steps + planner.plan_plug(other, host).steps)
    assert [planner.plan_plug(it, look(world, it)).steps for it in (one, other)] == [[], []]


@given(hosts(), bridged(1), bridged(2))
def test_a_batch_is_planned_on_what_those_before_will_do(
    world: World, one: Topology, other: Topology
) -> None:
    plannable(world, one)
    host = look(world, one, other)
    first = planner.plan_plug(one, host).steps
    try:
        second = planner.plan_plug(other, host).steps
    except exception.ExceptionBase:
        assume(False)
    run(world, first + second)
    assert planner.plan_plug(other, look(world, other)).steps == []


@given(hosts(), st.sampled_from(["eth0", "vlan7"]))
def test_the_hosts_addresses_and_routes_are_always_somewhere(world: World, uplink: str) -> None:
    resources: list[Resource] = []
    if uplink == "vlan7":
        resources.append(Vlan(name="vlan7", link="eth0", vlan_id=7))
    resources += [Bridge(name="br0"), Uplink(name=uplink, bridge="br0", mtu=1500)]
    topology = Topology(mark(1), tuple(resources))
    plannable(world, topology)
    kept = {item.local for item in world.addresses.get(uplink, ())}
    ways = {(item.destination, item.gateway) for item in world.routes.get(uplink, ())}

    def watch(now: World) -> None:
        here = {item.local for device in (uplink, "br0") for item in now.addresses.get(device, ())}
        assert kept <= here
        there = {
            (item.destination, item.gateway)
            for device in (uplink, "br0")
            for item in now.routes.get(device, ())
        }
        assert ways <= there

    world.watch = watch
    todo = planner.plan_plug(topology, look(world, topology))
    run(world, todo.steps)
    assert not world.addresses.get(uplink)
    assert not world.routes.get(uplink)
    run(world, [undo for undo in reversed(todo.undo) if undo is not None])
    assert {item.local for item in world.addresses.get(uplink, ())} == kept


@given(hosts(), topologies, st.booleans())
def test_unplug_touches_nothing_of_strangers(world: World, topology: Topology, twice: bool) -> None:
    stranger = Mark(vif_id(9), "linux_bridge")
    world.links.pop(tap_name(1), None)
    world.add_link(tap_name(1), "tap", str(stranger), up=True)
    world.add_link(fast_name(1), "", str(stranger))
    world.handlers()["delete_links"]({"links": [["mv1", 0]]})
    lower = "vlan9" if "vlan9" in world.links else "eth2"
    world.add_link("mv1", "macvtap", str(stranger), link=lower, mode="vepa")
    world.links["lo"].altnames = ()
    world.links[NETDEV].altnames = (str(FunctionMark(FUNCTION, vif_id(9))),)
    before = copy.deepcopy(world)
    for _ in range(1 + twice):
        run(world, planner.plan_unplug(topology, look(world, topology)).steps)
    assert world.links == before.links
    assert world.addresses == before.addresses
    assert world.routes == before.routes
    assert (world.vfs, world.functions) == (before.vfs, before.functions)
