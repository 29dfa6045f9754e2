# SPDX-License-Identifier: Apache-2.0
"""From an earlier release to this one and back, under a guest that talks all the while."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests import witness
from tests.openvswitch import Switch
from tests.pings import Ping
from tests.switch_witness import assert_only_bridges, interfaces, make_bridge
from tests.upgrade import situations
from tests.upgrade.services import OURS, Services
from tests.upgrade.situations import GUEST, HOST, QBR, TAP

pytestmark = [pytest.mark.functional, pytest.mark.long]

ON_SWITCH = (situations.vif(), situations.hybrid())
Way = tuple[str, str]
WAYS = [
    pytest.param(("5.3.0", OURS), id="from 5.3.0"),
    pytest.param(("4.3.1", OURS), id="from 4.3.1"),
    pytest.param((OURS, "5.3.0"), id="back to 5.3.0"),
    pytest.param((OURS, "4.3.1"), id="back to 4.3.1"),
]


def healthy(services: Services, vif: Any) -> None:
    """Fail unless this release finds all as described, whichever has plugged."""
    assert services(OURS).ask("check", vif, GUEST, {}) == []


@pytest.mark.parametrize("way", WAYS)
def test_ports_of_open_vswitch(
    services: Services, switch: Switch, tmp_path: Path, way: Way
) -> None:
    before, after = way
    for vif in ON_SWITCH:
        is_hybrid = vif["class"] == "VIFBridge"
        with situations.uplink():
            situations.on_switch(switch)
            services(before).do("plug", vif, GUEST)
            if is_hybrid:
                situations.hypervisors_tap(QBR)
            ports = rows(switch)
            with situations.running_guest(tmp_path) as ping:
                services(after).do("plug", vif, GUEST)
                ping.more()
                services(after).do("plug", vif, GUEST)
                ping.more()
                assert ping.lost() == []
                healthy(services, vif)
            assert rows(switch) == ports, "nothing was made anew"
            # What a running guest keeps as it was is put right when it has stopped.
            services(OURS).do("plug", vif, GUEST)
            healthy(services, vif)
            services(after).do("unplug", vif, GUEST)
            if is_hybrid:
                witness.ip(f"link del {TAP}")
            switch.vsctl("del-port", "eth0")
            witness.ip("link del eth0")
            assert_only_bridges(switch, "br-int")


def rows(switch: Switch) -> dict[str, str]:
    return {name: row["_uuid"] for name, row in interfaces(switch).items()}


@pytest.mark.parametrize("way", WAYS[1::2])
@pytest.mark.parametrize("filtered", [True, False], ids=["no rules", "rules"])
def test_a_bridge_with_an_uplink(
    services: Services, tmp_path: Path, way: Way, filtered: bool
) -> None:
    before, after = way
    vif = situations.on_bridge(has_traffic_filtering=filtered)
    with situations.uplink() as outside:
        witness.ip(f"addr add {HOST}/24 dev eth0")
        services(before).do("plug", vif, GUEST)
        situations.hypervisors_tap("br0")
        to_host = Ping(outside, HOST, tmp_path)
        with contextlib.closing(to_host), situations.running_guest(tmp_path) as ping:
            to_host.more()
            services(after).do("plug", vif, GUEST)
            for one in (ping, to_host):
                one.more()
            services(after).do("plug", vif, GUEST)
            for one in (ping, to_host):
                one.more()
            assert (ping.lost(), to_host.lost()) == ([], [])
        healthy(services, vif)
        services(after).do("unplug", vif, GUEST)
        assert witness.addresses("br0") == [f"{HOST}/24"]
        assert witness.addresses("eth0") == []
        if after == OURS:
            assert not any(vif["id"] in rule for rule in witness.rules())


@pytest.mark.parametrize("release", ["5.3.0", "4.3.1"])
def test_what_one_has_plugged_the_other_unplugs(
    services: Services, switch: Switch, release: str
) -> None:
    """No mark tells whose an earlier release's things are; the names and ids do."""
    make_bridge(switch)
    for vif in ON_SWITCH:
        for plugging, unplugging in ((release, OURS), (OURS, release)):
            services(plugging).do("plug", vif, GUEST)
            services(unplugging).do("unplug", vif, GUEST)
            assert_only_bridges(switch, "br-int")
