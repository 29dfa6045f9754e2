# SPDX-License-Identifier: Apache-2.0
"""The example with a virtual function, on a network card that has them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.devices.conftest import OVSDB_PATIENCE
from tests.lab.devices.nics import GuestItself, Representor
from tests.openvswitch import Switch

pytestmark = pytest.mark.lab

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "openvswitch-hostdev.yaml"
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
