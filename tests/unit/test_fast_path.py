# SPDX-License-Identifier: Apache-2.0
"""VIFs on a fast path: what is described, what is planned on any host, and what takes it back."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import families, planner, steps
from os_vif.engine.observed import Host, by_question
from os_vif.engine.place import AS_ROOT
from os_vif.engine.step import KERNEL, Step
from os_vif.engine.topology import Mark, Topology, parse_mark
from os_vif.host.links.questions import DELAYS, LINKS, Link
from os_vif.host.links.resources import Bridge, Tap, Veth
from os_vif.host.openvswitch.resources import OvsBridge, OvsPort
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour
from os_vif.host.vhost_user import system
from os_vif.host.vhost_user.questions import SOCKETS, BackEndState, SocketState, trouble
from os_vif.host.vhost_user.resources import BackEnd, FastPathDevice, VhostSocket
from os_vif.host.vhost_user.rules import deleting, stopping
from os_vif.host.vhost_user.steps import stop_back_end
from os_vif.verbs import describe
from tests import fast_path, vifs
from tests.seen import seen as seen_host

PATH = "/run/vhost/1"
OWNER = Mark(vifs.vif_id(1), "vhostuser_fp", "guest")
NAME = f"vhu{vifs.vif_id(1)[:11]}"
GUEST, HOST_MAC = vifs.guest_mac(1), "fe:54:00:00:00:01"
DEVICE = FastPathDevice(name=NAME, path=PATH, listens=False, mac=HOST_MAC, mtu=1500)
TAP = Tap(name=NAME, mac=HOST_MAC, mtu=1500, multi_queue=True)
PROCESS = BackEnd(name=NAME, path=PATH, listens=True, mac=HOST_MAC, mtu=1500)
MADE = f"{OWNER} made-by=fp-vdev"
FREE = SocketState("nothing")


@contextlib.contextmanager
def back_end(name: str, **options: Any) -> Iterator[None]:
    with vifs.configured("vhostuser_fp", back_end=name, **options):
        yield


def described(vif: Any, *, unplugging: bool = False) -> list[Any]:
    os_vif.initialize()
    topology = describe(vif, vifs.instance(), unplugging=unplugging).topology
    assert topology.mark.plugin == "vhostuser_fp"
    return list(topology.resources)


# --- what is described ----------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "listens"), [("client", True), ("server", False)])
def test_the_back_end_plays_the_other_part(mode: str, listens: bool) -> None:
    vif = fast_path.by_itself(1, PATH, mode=mode, mtu=1400)
    with back_end("6wind"):
        [device] = described(vif)
    wanted = dataclasses.replace(DEVICE, listens=listens, mtu=1400)
    assert device == wanted
    with back_end("testpmd"):
        [tap, process] = described(vif)
    assert process == dataclasses.replace(PROCESS, listens=listens, mtu=1400)
    assert (tap.name, tap.mac, tap.mtu, tap.multi_queue) == (NAME, HOST_MAC, 1400, True)
    assert GUEST in tap.known_macs


def test_on_a_bridge() -> None:
    vif = fast_path.on_bridge(1, PATH, "br7")
    with back_end("6wind"):
        assert described(vif) == [
            Bridge(name="br7", mtu=DEVICE.mtu),
            dataclasses.replace(DEVICE, bridge="br7"),
        ]
    with back_end("testpmd"):
        [bridge, tap, process] = described(vif)
    assert (bridge, tap.bridge) == (Bridge(name="br7", mtu=DEVICE.mtu), "br7")
    assert isinstance(process, BackEnd)


def test_on_open_vswitch() -> None:
    with back_end("6wind"):
        [device, bridge, port] = described(fast_path.on_switch(1, PATH))
    assert device == DEVICE
    assert bridge == OvsBridge(name="br-int", datapath_type="netdev")
    assert (port.name, port.type, port.bridge) == (NAME, "", "br-int")
    with back_end("testpmd"):
        kinds = [type(item) for item in described(fast_path.on_switch(1, PATH))]
    assert kinds == [Tap, BackEnd, OvsBridge, OvsPort]


@pytest.mark.parametrize("name", ["6wind", "testpmd"])
def test_behind_a_bridge_of_its_own(name: str) -> None:
    vif = fast_path.on_switch(1, PATH, hybrid=True)
    with back_end(name):
        found = described(vif)
    [qbr, device] = found[:2]
    assert (qbr.name, qbr.own) == (vif.port_profile.bridge_name, True)
    assert device.bridge == qbr.name
    [veth] = [item for item in found if isinstance(item, Veth)]
    [port] = [item for item in found if isinstance(item, OvsPort)]
    assert (veth.bridge, port.name) == (qbr.name, veth.peer)
    assert port.bridge == "br-int", "the network says which, as the profile names the Linux bridge"


@pytest.mark.parametrize("name", ["6wind", "testpmd"])
def test_the_host_routes(name: str) -> None:
    subnets = [
        vifs.subnet("10.65.0.0/16", ["10.65.0.1"]),
        vifs.subnet("2001:db8:7::/64", ["2001:db8:7::1"], gateway="2001:db8:7::ff"),
    ]
    vif = fast_path.by_itself(1, PATH, subnets=subnets)
    with back_end(name):
        assert not [item for item in described(vif) if isinstance(item, HostRoute)]
    with back_end(name, routed=True):
        device, *rest = described(vif)
    assert device.conf["proxy_arp"] == 1
    assert not device.disable_ipv6
    destinations = {item.destination for item in rest if isinstance(item, HostRoute)}
    assert destinations == {"10.65.0.1/32", "2001:db8:7::1/128"}
    assert ProxyNeighbour(device=NAME, address="2001:db8:7::ff") in rest


def test_the_profile_names_the_host_s_address() -> None:
    with back_end("6wind"):
        [device] = described(fast_path.by_itself(1, PATH, mac="02:00:00:00:00:AA"))
    assert device.mac == "02:00:00:00:00:aa"


def test_a_device_without_a_name() -> None:
    vif = fast_path.on_bridge(1, PATH)
    del vif.vif_name
    with back_end("6wind"):
        assert described(vif)[1].name == NAME


def test_the_network_s_mtu_or_the_configured_one() -> None:
    with back_end("6wind", network_device_mtu=9000):
        assert described(fast_path.by_itself(1, PATH))[0].mtu == 9000
        assert described(fast_path.by_itself(1, PATH, network=None))[0].mtu == 9000


@pytest.mark.parametrize("name", ["6wind", "testpmd"])
@pytest.mark.parametrize("profile", ["bridge", "switch", "hybrid", "tap"])
def test_what_remains_is_told_whatever_the_configuration_is(name: str, profile: str) -> None:
    vif = {
        "bridge": fast_path.on_bridge(1, PATH),
        "switch": fast_path.on_switch(1, PATH),
        "hybrid": fast_path.on_switch(1, PATH, hybrid=True),
        "tap": fast_path.by_itself(1, PATH),
    }[profile]
    with back_end(name):
        remains = described(vif, unplugging=True)
    kinds = {type(item) for item in remains}
    assert {FastPathDevice, Tap, BackEnd} <= kinds
    assert ({OvsPort, Veth, Bridge} <= kinds) == (profile in ("switch", "hybrid"))
    if profile in ("switch", "hybrid"):
        ports = {item.name for item in remains if isinstance(item, OvsPort)}
        assert ports == {NAME, f"qvo{vifs.vif_id(1)[:11]}"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": "vhost.sock"}, "an absolute path"),
        ({"path": "/" + 107 * "a"}, "at most 107 bytes"),
        ({"mode": None}, "mode"),
        ({"address": "01:00:5e:00:00:01"}, "a unicast address"),
        ({"vif_name": "a/b"}, "letters, digits"),
    ],
)
def test_what_cannot_be_described(changes: dict[str, Any], words: str) -> None:
    vif = fast_path.on_bridge(1, PATH)
    for field, value in changes.items():
        if value is None:
            delattr(vif, field)
        else:
            setattr(vif, field, value)
    with back_end("6wind"), pytest.raises(exception.ExceptionBase, match=words):
        described(vif)


def test_a_profile_without_its_bridge() -> None:
    vif = fast_path.on_bridge(1, PATH)
    del vif.port_profile.bridge_name
    with pytest.raises(exception.ExceptionBase, match="bridge_name"):
        described(vif)


def test_no_profile_at_all() -> None:
    vif = fast_path.on_bridge(1, PATH)
    del vif.port_profile
    with pytest.raises(exception.ExceptionBase, match="VIFPortProfileFPBridge"):
        described(vif)


def test_testpmd_has_limits_of_its_own() -> None:
    with back_end("testpmd"):
        with pytest.raises(exception.InvalidField, match="at most 1500 bytes"):
            described(fast_path.by_itself(1, PATH, mtu=9000))
        with pytest.raises(exception.InvalidField, match="DPDK's limits"):
            described(fast_path.by_itself(1, "/run/a b"))


# --- what is planned ------------------------------------------------------------------------------


def host(link: Link | None = None, **more: Any) -> Host:
    more = {"back_ends": {NAME: None}, "sockets": {PATH: FREE}, **more}
    return seen_host(links={NAME: link}, **more)


def device(alias: str = MADE, kind: str = "", **attributes: Any) -> Link:
    return Link(
        NAME, 7, kind, alias, {"master": None, "owner": 0, **DEVICE.attributes(), **attributes}
    )


def tap(alias: str = str(OWNER), kind: str = "tap", **attributes: Any) -> Link:
    return device(alias, kind, multi_queue=True, **{**TAP.attributes(), **attributes})


def plug(there: Host, *resources: Any) -> list[Step]:
    """Return the steps of a plug; each passes the gate, and so does what takes it back."""
    todo = planner.plan_plug(Topology(OWNER, resources), there)
    for step in [*todo.steps, *filter(None, todo.undo)]:
        row = families.kind_of(step.kind)
        if row.by == KERNEL:
            assert steps.checked(step.kind, step.args, AS_ROOT) == step
        assert all(ok(step.args[name]) for name, ok in row.fields.items())
        assert steps.describe(step)
    assert planner.plan_plug(Topology(OWNER, resources), there).steps == []
    return todo.steps


def unplug(there: Host) -> list[Step]:
    todo = planner.plan_unplug(Topology(OWNER, (DEVICE, TAP, PROCESS)), there).steps
    for step in todo:
        assert steps.checked(step.kind, step.args, AS_ROOT) == step
    assert planner.plan_unplug(Topology(OWNER, (DEVICE, TAP, PROCESS)), there).steps == []
    return todo


def kinds(todo: list[Step]) -> list[str]:
    return [step.kind for step in todo]


def test_a_device_is_made_and_marked() -> None:
    added, changed = plug(host(), DEVICE)
    assert added == Step("add_fp_device", {"name": NAME, "path": PATH, "listens": False})
    alias = f"{MADE} connects={PATH}"
    assert changed.args["attributes"] == {**DEVICE.attributes(), "alias": alias}
    assert parse_mark(MADE) == OWNER


def test_what_it_is_asked_about() -> None:
    asked = planner.questions(Topology(OWNER, (DEVICE,)))
    assert by_question(asked)[LINKS] == {NAME}
    assert by_question(asked)[SOCKETS] == {(PATH, "", True)}
    routed = dataclasses.replace(DEVICE, conf={"proxy_delay": 0})
    assert by_question(planner.questions(Topology(OWNER, (routed,))))[DELAYS] == {NAME}


@pytest.mark.parametrize("alias", [MADE, MADE.replace(" instance=guest", ""), ""])
def test_a_device_that_is_there_is_not_made_again(alias: str) -> None:
    todo = plug(host(device(alias)), DEVICE)
    assert kinds(todo) == ([] if alias == MADE else ["set_link"])


def test_without_a_guest_its_mark_stays() -> None:
    nobody = dataclasses.replace(OWNER, instance="")
    assert planner.plan_plug(Topology(nobody, (DEVICE,)), host(device())).steps == []


@pytest.mark.parametrize("alias", [f"os-vif vif={vifs.vif_id(2)} plugin=tap", ""])
def test_a_device_of_another_s(alias: str) -> None:
    link = dataclasses.replace(device(alias), name="fp0")
    wanted = dataclasses.replace(DEVICE, name="fp0")
    with pytest.raises(exception.ResourceConflict, match="needs a fast-path device"):
        planner.plan_plug(Topology(OWNER, (wanted,)), seen_host(links={"fp0": link}))
    todo = planner.plan_unplug(Topology(OWNER, (wanted,)), seen_host(links={"fp0": link}))
    assert todo.steps == []


def test_a_process_starts_after_its_tap() -> None:
    todo = plug(host(), dataclasses.replace(TAP, mtu=1400), dataclasses.replace(PROCESS, mtu=1400))
    assert kinds(todo) == ["create_link", "start_back_end", "set_link"]
    assert todo[2].args["attributes"] == {"mtu": 1400}, "the process leaves 1500"


RUNS = BackEndState(PATH, listens=True)


@pytest.mark.parametrize(
    ("state", "queues", "wanted"),
    [
        (RUNS, 1, []),
        (None, 0, ["start_back_end"]),
        (dataclasses.replace(RUNS, handed=False), 1, ["start_back_end"]),
        (dataclasses.replace(RUNS, forwards=False), 1, ["stop_back_end", "start_back_end"]),
        (dataclasses.replace(RUNS, path="/run/old"), 1, ["stop_back_end", "start_back_end"]),
        (dataclasses.replace(RUNS, listens=False), 1, ["stop_back_end", "start_back_end"]),
        (RUNS, 0, ["stop_back_end", "start_back_end"]),
    ],
    ids=["well", "gone", "not handed over", "halted", "other path", "other part", "lost its tap"],
)
def test_a_process_that_runs_already(
    state: BackEndState | None, queues: int, wanted: list[str]
) -> None:
    there = host(tap(queues=queues), back_ends={NAME: state})
    assert kinds(plug(there, TAP, PROCESS)) == wanted


def test_a_process_that_ran_before_is_not_taken_back() -> None:
    there = host(tap(queues=1), back_ends={NAME: dataclasses.replace(RUNS, handed=False)})
    assert planner.plan_plug(Topology(OWNER, (TAP, PROCESS)), there).undo == [None]


def test_a_process_that_was_replaced_is_taken_back() -> None:
    there = host(tap(queues=1), back_ends={NAME: dataclasses.replace(RUNS, path="/run/old")})
    [again, stop] = planner.plan_plug(Topology(OWNER, (TAP, PROCESS)), there).undo
    assert stop == stop_back_end(NAME)
    assert again is not None
    assert (again.kind, again.args["path"]) == ("start_back_end", "/run/old")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (SocketState("no folder"), "its folder does not exist"),
        (SocketState("other", "a file"), "a file is there"),
        (SocketState("error", "it is odd"), f"^socket {PATH} cannot be used: it is odd$"),
        (SocketState("live"), "another process holds it"),
        (SocketState("nothing", unsafe="every user may replace it"), "every user may"),
    ],
)
def test_a_place_where_no_socket_can_be(place: SocketState, words: str) -> None:
    for resources in ((dataclasses.replace(DEVICE, listens=True),), (TAP, PROCESS)):
        with pytest.raises(exception.ExceptionBase, match=words):
            plug(host(sockets={PATH: place}), *resources)


@pytest.mark.parametrize(
    "place", [SocketState("live"), SocketState("stale"), SocketState("nothing", unsafe="x"), None]
)
def test_a_guest_that_listens_may_be_there_or_not(place: SocketState | None) -> None:
    sockets = {} if place is None else {PATH: place}
    assert "add_fp_device" in kinds(plug(host(sockets=sockets), DEVICE))


# --- another configuration than before ------------------------------------------------------------


def test_a_tap_with_a_process_is_not_the_other_fast_paths() -> None:
    there = host(tap(queues=1), back_ends={NAME: RUNS}, sockets={PATH: SocketState("live")})
    with pytest.raises(exception.ResourceConflict, match="dpdk-testpmd serves it, and back_end is"):
        plug(there, dataclasses.replace(DEVICE, listens=True))


def test_the_other_fast_paths_device_is_no_tap() -> None:
    with pytest.raises(exception.ResourceConflict, match="fast path made it, and back_end is"):
        plug(host(device()), TAP, PROCESS)


def test_a_device_that_only_looks_like_one_with_a_process() -> None:
    for link in (tap(kind="veth"), tap(alias=str(dataclasses.replace(OWNER, plugin="ovs")))):
        assert stopping(link) == []
        assert "delete_links" not in kinds(plug(host(link), DEVICE))


@pytest.mark.parametrize("link", [None, device()])
def test_a_process_that_has_lost_its_tap_ends_for_the_other_fast_path(link: Link | None) -> None:
    there = host(link, back_ends={NAME: RUNS}, sockets={PATH: SocketState("live")})
    todo = plug(there, dataclasses.replace(DEVICE, listens=True))
    assert todo[0] == stop_back_end(NAME)
    assert kinds(todo)[1:] == ([] if link else ["add_fp_device", "set_link"])


# --- what is taken away ---------------------------------------------------------------------------


def test_a_device_is_deleted_by_who_made_it() -> None:
    assert unplug(host(device())) == [Step("del_fp_device", {"name": NAME})]
    assert unplug(host(device(""))) == [Step("del_fp_device", {"name": NAME})]
    assert unplug(host()) == []


def test_a_process_ends_before_its_tap_goes() -> None:
    there = host(tap(queues=1), back_ends={NAME: RUNS}, sockets={PATH: SocketState("live")})
    assert kinds(unplug(there)) == ["stop_back_end", "delete_links"]


@pytest.mark.parametrize(
    "vif",
    [fast_path.on_bridge(1, PATH, mtu=9000), fast_path.on_bridge(1, "/run/g h", mode="client")],
    ids=["MTU", "path"],
)
def test_what_testpmd_could_not_have_made_can_be_taken_away(vif: Any) -> None:
    """Whatever back end it is now, it may have been the other one then."""
    for name in ("6wind", "testpmd"):
        with back_end(name):
            resources = tuple(described(vif, unplugging=True))
        topology, there = Topology(OWNER, resources), host(device(), sockets={})
        assert kinds(planner.plan_unplug(topology, there).steps) == ["del_fp_device"]


def test_what_only_the_other_side_can_see() -> None:
    assert kinds(unplug(host(tap(), back_ends={}))) == ["stop_back_end", "delete_links"]


def test_by_the_marks_alone() -> None:
    assert deleting(device()) == [Step("del_fp_device", {"name": NAME})]
    assert stopping(device()) == []
    assert deleting(tap()) == []
    assert [step.kind for step in stopping(tap())] == ["stop_back_end"]
    for link in (device(""), device("made-by=fp-vdev")):
        assert deleting(link) == stopping(link) == []
    assert system.deleting is deleting


# --- another program's socket ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "listens", "words"),
    [
        (SocketState("live"), True, ""),
        (SocketState("nothing"), False, ""),
        (SocketState("stale"), False, ""),
        (SocketState("nothing"), True, "it is not there"),
        (SocketState("stale"), True, "no process holds it"),
        (SocketState("other", "a folder"), False, "a folder is there"),
        (SocketState("no folder"), False, "its folder does not exist"),
        (SocketState("error", "it is odd"), True, "it is odd"),
        (SocketState("live", unusable="qemu may not connect"), True, "qemu may not connect"),
    ],
)
def test_a_socket_that_is_only_looked_at(place: SocketState, listens: bool, words: str) -> None:
    assert words in trouble(place, listens=listens)
    wanted = VhostSocket(path=PATH, listens=listens, user="qemu")
    todo = plug(host(sockets={PATH: place}), wanted)
    assert [words in step.args["why"] for step in todo] == ([True] if words else [])
    assert plug(host(sockets={}), wanted) == [], "nobody could look"
