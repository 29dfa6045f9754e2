# SPDX-License-Identifier: Apache-2.0
"""The examples with a virtual function, on a network card that has them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.devices.conftest import OVSDB_PATIENCE
from tests.lab.devices.nics import GuestItself, Nic, Representor
from tests.openvswitch import Switch

pytestmark = pytest.mark.lab

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
EXAMPLE = EXAMPLES / "openvswitch-hostdev.yaml"
ADDRESS = "0000:03:00.2"


def test_the_example_with_a_virtual_function(
    here: GuestItself, switch: Switch, representors: tuple[Representor, ...], tmp_path: Path
) -> None:
    text = EXAMPLE.read_text()
    assert ADDRESS in text
    file = tmp_path / "device.yaml"
    # Where the card is, depends on the machine.
    file.write_text(text.replace(ADDRESS, representors[0].vf))
    command = str(Path(sys.executable).parent / "os-vif")
    patience = f"ovs.ovs_vsctl_timeout={OVSDB_PATIENCE}"

    def run(verb: str) -> Any:
        words = [command, verb, "--json", "--set", patience, str(file)]
        done = here.run(*words, env=os.environ | {"OVS_RUNDIR": str(switch.folder)})
        [vif] = json.loads(done.stdout)["vifs"]
        return vif

    before = here.links()[representors[0].netdev]
    plugged = run("plug")
    assert (plugged["state"], plugged["devices"]) == ("plugged", ["rep-web"])
    assert int(switch.get("Interface", "rep-web", "ofport")) > 0
    assert "UP" in here.links()["rep-web"]["flags"]
    assert run("check")["state"] == "healthy"
    assert run("plug")["state"] == "already_plugged"
    assert run("unplug")["state"] == "unplugged"
    after = here.links()
    assert "rep-web" not in after
    assert after[representors[0].netdev]["ifindex"] == before["ifindex"]
    assert switch.vsctl("list-ports", "br-int") == ""


def test_the_example_with_a_card_that_switches(here: GuestItself, nic: Nic, tmp_path: Path) -> None:
    text = (EXAMPLES / "sriov.yaml").read_text()
    assert "0000:03:10.2" in text
    file = tmp_path / "sriov.yaml"
    file.write_text(text.replace("0000:03:10.2", nic.vfs[1]))
    command = str(Path(sys.executable).parent / "os-vif")

    def run(verb: str) -> Any:
        [vif] = json.loads(here.run(command, verb, "--json", str(file)).stdout)["vifs"]
        return vif

    def seen() -> Any:
        shown = here.run("ip", "-details", "-json", "link", "show", nic.netdev).stdout
        return json.loads(shown)[0]["vfinfo_list"][1]

    plugged = run("plug")
    assert (plugged["state"], plugged["devices"]) == ("plugged", [nic.vfs[1]])
    assert (seen()["address"], seen()["vlan_list"]) == ("52:54:00:12:34:61", [{"vlan": 5}])
    here.run(*f"ip link set {nic.netdev} vf 1 vlan 6".split())
    assert run("plug")["state"] == "repaired"
    assert run("unplug")["state"] == "unplugged"
    assert (seen()["address"], seen()["vlan_list"]) == ("00:00:00:00:00:00", [{}])
