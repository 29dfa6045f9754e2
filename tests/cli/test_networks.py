# SPDX-License-Identifier: Apache-2.0
"""Networks of files, as the command that touches a host has them."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.functional

FILE = """\
owner: lab
networks:
  - label: blue
    mtu: 1400
    subnets: [{cidr: 10.5.0.0/24, gateway: 10.5.0.1}]
  - label: outside
    physical: physnet1
    subnets: [{cidr: 203.0.113.0/24, gateway: 203.0.113.1, dhcp: false}]
routers:
  - label: edge
    networks: [blue]
    external: {network: outside, address: 203.0.113.10, chassis: [h1, h2]}
vifs:
  - type: bridge
    bridge: br0
    name: tap-anna
    mac: "52:54:00:00:00:01"
    network: {label: blue, addresses: [10.5.0.11]}
  - type: bridge
    bridge: br0
    name: tap-ben
    mac: "52:54:00:00:00:02"
    network: {label: blue, addresses: [10.5.0.12]}
"""


def test_a_vif_is_plugged_with_the_network_that_it_names(osvif):
    osvif.file(FILE)
    osvif("plug", "--only", "tap-anna", "vif.yaml")
    links = osvif.host.links()
    assert links["tap-anna"]["mtu"] == 1400
    assert "tap-ben" not in links
    osvif("check", "--only", "tap-anna", "vif.yaml")


def test_networks_alone_are_nothing_to_plug(osvif):
    osvif.file(FILE[: FILE.index("vifs:")])
    said = osvif("plug", "vif.yaml").stderr
    assert "there is no VIF in vif.yaml: nothing to do" in said


def test_validate_warns_of_what_ovn_would_take_without_a_word(osvif):
    osvif.file(FILE)
    found = json.loads(osvif("validate", "--json", "vif.yaml").stdout)
    assert [it["field"] for it in found["warnings"]] == [
        "vifs[0]",
        "vifs[1]",
        "routers[0].external.chassis",
    ]
    assert "two gateways do not fail over" in found["warnings"][2]["message"]
    osvif.file(FILE.replace("address: 203.0.113.10", "address: 203.0.113.1"))
    said = osvif("validate", "vif.yaml", code=2).stderr
    assert "routers[0].external.address: '203.0.113.1' cannot be used" in said
