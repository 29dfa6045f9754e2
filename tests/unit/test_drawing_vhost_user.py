# SPDX-License-Identifier: Apache-2.0
"""Pictures of vhost-user sockets, of what is behind them, and of what is wrong with either."""

from __future__ import annotations

import pytest

from os_vif.cli import held
from os_vif.cli.drift import drifts_of, faults_of
from os_vif.drawing import scene, text
from os_vif.drawing.scene import Guest
from os_vif.engine.plugged import Plugged
from os_vif.engine.step import HOST, Step
from os_vif.engine.topology import Mark, Topology
from os_vif.host.links.questions import Link
from os_vif.host.links.resources import Bridge, Tap, Veth
from os_vif.host.routes.resources import HostRoute
from os_vif.host.vhost_user.picture import unserved
from os_vif.host.vhost_user.resources import BackEnd, FastPathDevice, VhostSocket

MARK = Mark("5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea", "vhostuser_fp")
MAC = "fe:54:00:12:34:56"
PATH = "/run/web.sock"
PROCESS = BackEnd(name="vhu0", path=PATH, listens=False, mac=MAC, mtu=1500)


def drawn(*resources, steps=()):
    pair = (Topology(MARK, resources), Guest("web"))
    return scene.scene_of([pair], faults_of(drifts_of(steps)))


def way(picture):
    """Return the titles from the guest down."""
    part = next(part for part in picture.parts.values() if part.kind == "guest")
    titles = []
    while part is not None:
        titles.append(part.title)
        part = picture.parts.get(part.below)
    return titles


def test_a_process_between_a_socket_and_a_tap_on_a_bridge():
    picture = drawn(Bridge(name="br0"), Tap(name="vhu0", mac=MAC, bridge="br0"), PROCESS)
    assert way(picture) == ["web", PATH, "dpdk-testpmd", "vhu0", "br0"]
    assert picture.parts[PATH].lines == ["vhost-user socket", "the guest listens"]
    assert f"socket {PATH} (vhost-user socket; the guest listens) is attached to dpdk-testpmd" in (
        picture.description
    )


def test_a_device_of_the_fast_path_that_the_host_routes_to():
    device = FastPathDevice(name="vhu0", path=PATH, listens=True, mac=MAC, mtu=9000)
    picture = drawn(device, HostRoute(destination="192.0.2.1/32", device="vhu0"))
    assert way(picture) == ["web", PATH, "vhu0", HOST]
    assert picture.parts["vhu0"].lines == ["device of 6WIND's fast path", "MTU 9000"]
    assert picture.parts[PATH].lines[-1] == "the guest connects"


def test_a_bridge_before_the_switch_has_the_fast_paths_device():
    veth = Veth(name="qvb0", peer="qvo0", mtu=1500, bridge="qbr0")
    bridge = Bridge(name="qbr0", own=True)
    device = FastPathDevice(name="vhu0", path=PATH, listens=True, mac=MAC, mtu=1500, bridge="qbr0")
    picture = drawn(bridge, device, veth)
    assert way(picture) == ["web", PATH, "vhu0", "qbr0", "qvb0", "qvo0"]
    assert picture.parts["qbr0"].lines == ["bridge"]
    assert "the hypervisor's tap joins it" in drawn(bridge, veth).parts["qbr0"].lines


def test_a_process_that_ended_is_shown_where_it_should_be():
    args = {"name": "vhu0", "path": PATH, "listens": False, "mac": MAC, "why": "it was killed"}
    picture = drawn(Tap(name="vhu0"), PROCESS, steps=[Step("start_back_end", args)])
    faults = {part.title: part.fault.notes for part in picture.parts.values() if part.fault}
    assert faults == {"dpdk-testpmd": ("its back end does not run as it should: it was killed",)}


def test_another_programs_socket_that_is_missing():
    why = "it is not there"
    args = {"path": PATH, "listens": True, "user": "", "why": why}
    picture = drawn(VhostSocket(path=PATH, listens=True), steps=[Step("expect_socket", args)])
    assert way(picture) == ["web", PATH, "another program"]
    assert f"! {why}" in text.plain(text.draw(picture))


def test_a_plugged_device_of_the_fast_path_is_drawn_without_the_socket_nobody_tells_of():
    alias = f"os-vif vif={MARK.vif_id} plugin=vhostuser_fp made-by=fp-vdev"
    link = Link("vhu0", 7, "", alias, {"master": "br0", "mtu": 9000, "mac": MAC})
    picture = scene.scene_of([held.as_plugged(Plugged(MARK, {"links": (link,)}))])
    assert way(picture) == ["guest", "vhu0", "br0"]
    assert not any(part.kind == "socket" for part in picture.parts.values())


@pytest.mark.parametrize(("word", "who"), [("listens", "connects"), ("connects", "listens")])
def test_a_plugged_tap_is_drawn_with_the_process_that_has_it_open(word, who):
    alias = f"os-vif vif={MARK.vif_id} plugin=vhostuser_fp {word}={PATH}"
    found = {"master": "br0", "mtu": 1500, "mac": MAC, "queues": 1, "multi_queue": True}

    def plugged(**changed):
        link = Link("vhu0", 7, "tap", alias, {**found, **changed})
        return Plugged(MARK, {"links": (link,)})

    def drawn_with(**changed):
        return scene.scene_of([held.as_plugged(plugged(**changed))])

    picture = drawn_with()
    assert way(picture) == ["guest", PATH, "dpdk-testpmd", "vhu0", "br0"]
    assert picture.parts[PATH].lines[-1] == f"the guest {who}"
    assert way(drawn_with(mtu=9000)) == way(picture)
    assert unserved(plugged()) == ()
    assert unserved(plugged(queues=0)) == ("vhu0",)
