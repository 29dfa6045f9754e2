# SPDX-License-Identifier: Apache-2.0
"""The planner reasons on a model; here the kernel shows that it does what the model says."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

import os_vif
from os_vif.engine import dispatch, families, planner, runner, steps
from os_vif.engine.observed import Host
from os_vif.engine.place import Place
from os_vif.engine.step import KERNEL as BY_KERNEL
from os_vif.engine.topology import Topology
from os_vif.host.bridge_ports.questions import FILTERS, PORT
from os_vif.host.forwarding.questions import FORWARDING
from os_vif.host.links.questions import LINKS
from os_vif.host.routes.questions import ADDRESSES, PROXIES, ROUTES, ROUTES_TO, Route
from os_vif.host.routes.system import addresses
from os_vif.verbs import describe
from tests import vifs
from tests.functional.test_kill import LONG, MODES, Mode, machine
from tests.seen import asks

pytestmark = pytest.mark.functional

KERNEL = 2
"""RTPROT_KERNEL: routes the kernel adds and deletes with an address, before anybody asks."""


def look(topology: Topology) -> Host:
    asked = planner.questions(topology)
    host = dispatch.observe(asked, Place("os_vif_privileged"), with_daemon=False)
    for pair in asks(asked, "moves"):
        for device in pair:
            if host[LINKS][device] is not None:
                host[ADDRESSES][device] = addresses.of_device(device)
                host[ROUTES][device] = addresses.routes_of(device)
    return host


def picture(host: Host, moving: Collection[str], *, whole: bool) -> dict[str, Any]:
    """Return what can be compared: without indices, seconds, and what the kernel chooses."""
    return {
        "links": {name: link and (link.kind, link.alias) for name, link in host[LINKS].items()},
        "addresses": {
            device: [
                # Without a label of its own an IPv4 address shows the device's name.
                (item.key, item.scope, item.label or device, item.flags, item.valid is None)
                for item in sorted(found, key=lambda item: item.local)
            ]
            for device, found in host[ADDRESSES].items()
            if found
        },
        "routes": {
            device: shown
            for device, found in host[ROUTES].items()
            if device in moving and (shown := sorted(map(str, _chosen(found, whole=whole))))
        },
        "routes_to": host[ROUTES_TO],
        "proxies": {device: found for device, found in host[PROXIES].items() if found},
        "forwarding": host[FORWARDING],
    }


def _chosen(routes: tuple[Route, ...], *, whole: bool) -> list[Route]:
    return [route for route in routes if whole or route.protocol != KERNEL]


def assert_agree(model: Host, seen: Host, *, whole: bool = False) -> None:
    moving = seen[ROUTES].keys()
    assert picture(model, moving, whole=whole) == picture(seen, moving, whole=whole)
    for name, link in model[LINKS].items():
        real = seen[LINKS][name]
        if link is None or real is None:
            continue
        # A bridge follows its ports in what nobody gave it, and makes them promiscuous; a
        # descriptor's end and a carrier show some later.
        ignored = {
            "queues",
            "promiscuity",
            "carrier",
            *(("mac", "mtu") if link.kind == "bridge" else ()),
        }
        told = {key: value for key, value in link.attributes.items() if key not in ignored}
        assert {key: real.attributes.get(key) for key in told} == told, name
    for name, filters in model[FILTERS].items():
        if filters is not None and model[LINKS][name] is not None:
            assert seen[FILTERS][name] == filters, name
    for name, port in model[PORT].items():
        link, real_port = model[LINKS][name], seen[PORT][name]
        # Of one that has joined the kernel knows more; one that left is looked at no more.
        if port is not None and link is not None and link.attributes["master"] == port.bridge:
            assert real_port is not None, name
            found = {key: real_port.attributes.get(key) for key in port.attributes}
            assert (real_port.bridge, found) == (port.bridge, port.attributes), name


def plugged(mode: Mode) -> tuple[Topology, planner.Plan]:
    topology = describe(mode.vif(), vifs.instance()).topology
    return topology, planner.plan_plug(topology, look(topology))


@pytest.mark.parametrize("name", MODES)
def test_every_step_of_a_plug_and_its_undo(name: str) -> None:
    with machine(MODES[name]):
        topology, todo = plugged(MODES[name])
        before = look(topology)
        model = look(topology)
        for step in todo.steps:
            steps.apply(model, step)
            runner.handler_of(step.kind)(step.args)
            assert_agree(model, look(topology))
        assert_agree(model, look(topology), whole=True)
        for undo in reversed(todo.undo):
            if undo is not None:
                steps.apply(model, undo)
                runner.handler_of(undo.kind)(undo.args)
                assert_agree(model, look(topology))
        for link in before[LINKS].values():
            if link is not None and link.attributes.get("owner", 0) is None:
                del link.attributes["owner"]  # the kernel takes none away again
        assert_agree(before, look(topology), whole=True)


@pytest.mark.parametrize("name", MODES)
def test_every_step_of_an_unplug(name: str) -> None:
    with machine(MODES[name]):
        vif = MODES[name].vif()
        os_vif.plug(vif, vifs.instance())
        topology = describe(vif, vifs.instance(), unplugging=True).topology
        model = look(topology)
        for step in planner.plan_unplug(topology, look(topology)).steps:
            steps.apply(model, step)
            runner.handler_of(step.kind)(step.args)
            assert_agree(model, look(topology))


WITH_BRIDGE = ["rules", LONG]
"""Each does all that a bridge and a tap, and an uplink, would do without the rest."""


def way_back(mode: Mode) -> tuple[Topology, planner.Plan]:
    """Plug, and take away the VIF alone; return what it shares, and what takes that away."""
    vif = mode.vif()
    os_vif.plug(vif, vifs.instance())
    os_vif.unplug(vif, vifs.instance())
    topology = describe(vif, vifs.instance()).topology
    asked = planner.dissolve_questions(topology)
    host = dispatch.observe(asked, Place(""), with_daemon=True)
    return topology, planner.plan_dissolve(topology, host)


@pytest.mark.parametrize("name", WITH_BRIDGE)
def test_every_step_of_a_way_back_and_its_undo(name: str) -> None:
    with machine(MODES[name]):
        topology, todo = way_back(MODES[name])
        before, model = look(topology), look(topology)
        assert todo.steps
        for step in todo.steps:
            steps.apply(model, step)
            runner.handler_of(step.kind)(step.args)
            assert_agree(model, look(topology))
        for undo in reversed(todo.undo):
            if undo is not None:
                steps.apply(model, undo)
                runner.handler_of(undo.kind)(undo.args)
                assert_agree(model, look(topology))
        assert_agree(before, look(topology), whole=True)


def test_every_kind_of_step_was_among_them() -> None:
    seen: set[str] = set()
    for name, mode in MODES.items():
        with machine(mode):
            todo = plugged(mode)[1]
            seen.update(step.kind for step in [*todo.steps, *filter(None, todo.undo)])
        if name in WITH_BRIDGE:
            with machine(mode):
                seen.update(step.kind for step in way_back(mode)[1].steps)
    # Network cards are in the lab (and in test_sriov.py), Open vSwitch has a model of its own.
    of_kernel = {kind for kind, row in families.kinds().items() if row.by == BY_KERNEL}
    marks = {"mark_function", "unmark_function"}
    # These take a switch: test_vsi_wire.py and test_qbh.py have them.
    told = {"associate_vsi", "disassociate_vsi", "set_port_profile", "clear_port_profile"}
    # These take a fast path: test_fp_vdev.py and test_fast_path.py have them.
    fast = families.load("vhost_user").kinds.keys()
    # All network namespaces have one /dev, which takes numbers of one's own: test_tap_access.py.
    others = {"rename_link", "set_vf", "bind_driver", "give_node"}
    # These take a tap that was tagged by nobody, and a chain that drops: test_one_place.py and
    # test_linux_bridge.py have them.
    others |= {"tag_link", "set_forwarding_where_dropped"}
    # This takes a VIF of an earlier release: test_guest_name.py.
    others |= {"note_guest"}
    # Not every kernel's bridges know VLANs: tests/lab/guest/test_bridge_vlans.py.
    others |= {"filter_vlans", "add_vlans"}
    # Nor limit guests in both directions: test_traffic_limits.py, here and in tests/lab/guest.
    others |= {"set_limits"}
    # What guests may send has tests of its own: test_anti_spoofing.py.
    others |= {"set_guest_filter", "remove_guest_filters"}
    # Gateways, too: test_gateways.py.
    others |= {"set_gateway", "leave_gateways"}
    # And what guests are served: test_dnsmasq.py.
    others |= families.load("dnsmasq").kinds.keys()
    assert seen == of_kernel - others - marks - told - fast


@pytest.mark.parametrize("name", MODES)
def test_steps_done_already_are_harmless(name: str) -> None:
    """Another process may have been faster; only making a device twice is refused."""
    with machine(MODES[name]):
        topology, todo = plugged(MODES[name])
        for step in todo.steps:
            runner.handler_of(step.kind)(step.args)
        after = look(topology)
        for step in todo.steps:
            if step.kind == "create_link":
                with pytest.raises(OSError, match=r"exists|busy"):
                    runner.handler_of(step.kind)(step.args)
            else:
                runner.handler_of(step.kind)(step.args)
        gone = {
            name
            for step in todo.steps
            if step.kind == "delete_links"
            for name, _ in step.args["links"]
        }
        if not gone:
            assert_agree(after, look(topology), whole=True)
