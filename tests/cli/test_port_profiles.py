# SPDX-License-Identifier: Apache-2.0
"""802.1Qbg and 802.1Qbh with the command: from a file to the switch, and what a file gets wrong."""

from __future__ import annotations

import contextlib

import pytest

from tests.conftest import HostWithRun
from tests.functional.vsi import Station
from tests.vdp_bridge import ASSOCIATE, DISASSOCIATE, VdpBridge

from .conftest import OsVif

pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("vsi")]

VIF = """\
type: macvtap
id: b679325f-ca89-4ee0-a8be-6db1409b69ea
name: macvtap0
mac: 52:54:00:00:00:01
network: {uplink: eth0}
"""
VSI = VIF + "vsi: {manager: 3, type: 5, version: 2}\n"

NIL = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def station():
    with contextlib.closing(Station()) as made:
        yield made


def test_from_the_file_to_the_switch(station, tmp_path):
    # The command looks for lldpad in /run.
    seen = HostWithRun(station.host, str(station.lldpad.pid_file.parent))
    command = OsVif(seen, tmp_path)
    name = command.file(VSI)
    with (
        contextlib.closing(seen),
        contextlib.closing(VdpBridge(station.beside, "wire0")) as bridge,
    ):
        station.agreed()
        bridge.asked.clear()
        said = command("plan", name).stdout
        assert "associate VSI b679325f-ca89-4ee0-a8be-6db1409b69ea (manager 3" in said
        assert bridge.asked == []
        command("plug", name)
        [heard] = bridge.asked
        assert (heard.mode, heard.instance, heard.version) == (
            *(ASSOCIATE, "b679325f-ca89-4ee0-a8be-6db1409b69ea", 2),
        )
        assert "already plugged" in command("plug", name).stdout
        command("check", name)
        bridge.take_back(heard)
        said = command("check", name, code=3).stdout
        assert "VSI b679325f-ca89-4ee0-a8be-6db1409b69ea is not associated" in said
        command("plug", name)
        command("gc", "--keep-none", "--yes")
        modes = [asked.mode for asked in bridge.asked]
        # lldpad says again that a VSI is there, when it is slow.
        assert modes[:2] == [ASSOCIATE, ASSOCIATE]
        assert modes.count(DISASSOCIATE) == 1

        bridge.answer = 2
        with command.nothing_changed():
            said = command("plug", name, code=1).stderr
        assert "insufficient resources (VDP error 2)" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (VSI.replace("eth0", "eth0, vlan: 1"), ["vif.yaml:5:31: network.vlan: 1", "2 to 4094"]),
        (
            VSI.replace("type: 5", "type: 16777216"),
            ["vif.yaml:6:25: vsi.type: '16777216'", "16777215"],
        ),
        (VSI.replace("version: 2", "version: 256"), ["vsi.version: '256'", "from 0 to 255"]),
        (
            VSI.replace("version: 2", f"version: 2, instance: {NIL}"),
            ["vsi.instance: '00000000-", "a UUID that is not nil"],
        ),
        (VIF + f"profile: {'a' * 40}\n", ["vif.yaml:6:10: profile: 'aaaa", "at most 39 bytes"]),
        (VSI + "profile: gold\n", ["vif.yaml:7:10: profile: a port has one profile"]),
        (VSI.replace("version: 2", "versoin: 2"), ["did you mean 'version'?"]),
    ],
    ids=["VLAN 1", "type", "version", "nil UUID", "name", "both", "unknown"],
)
def test_a_bad_file(osvif, text, said):
    name = osvif.file(text)
    with osvif.nothing_changed():
        done = osvif("plug", name, code=2)
    for words in said:
        assert words in done.stderr
    assert "nothing was touched" in done.stderr
