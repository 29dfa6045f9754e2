# SPDX-License-Identifier: Apache-2.0
"""What Nova has written down: plugged, checked and taken away as it is."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.functional

ID = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
NOVA = {
    "id": ID,
    "address": "fa:16:3e:12:34:56",
    "type": "bridge",
    "devname": "tap5f4ab6c1-ca",
    "details": {"port_filter": True},
    "network": {"bridge": "br0", "meta": {"mtu": 1442, "should_create_bridge": True}},
}


def test_novas_network_info_there_and_back(osvif):
    name = osvif.file(json.dumps([NOVA]), "nova.json")
    osvif("validate", name)
    assert "br0" in osvif("plan", name).stdout
    [vif] = osvif.json("plug", name)["vifs"]
    assert (vif["state"], vif["id"], vif["devices"]) == ("plugged", ID, ["tap5f4ab6c1-ca"])
    links = osvif.host.links()
    assert links["tap5f4ab6c1-ca"]["mtu"] == 1442
    assert links["tap5f4ab6c1-ca"]["master"] == "br0"
    assert osvif("check", name).stdout.startswith("healthy")
    assert "tap5f4ab6c1-ca" in osvif("show", name).stdout
    osvif("unplug", "--with-bridge", name)
    assert osvif.host.links() == {}


def test_what_cannot_be_is_refused_and_nothing_touched(osvif):
    name = osvif.file(json.dumps([NOVA, NOVA | {"type": "ivs"}]), "nova.json")
    with osvif.nothing_changed():
        said = osvif("plug", name, code=2).stderr
    assert "[1].type: nothing here plugs what Nova calls 'ivs'" in said


def test_another_tools_file_is_told(osvif):
    said = osvif("plug", osvif.file("<domain>\n</domain>\n", "web.xml"), code=2).stderr
    assert "web.xml:1:1: this is XML, as libvirt has it; a file of os-vif begins so" in said
    assert "\n    bridge: br0\n" in said
