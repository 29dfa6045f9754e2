# SPDX-License-Identifier: Apache-2.0
"""Networks of a file in a real OVN: ovn-northd reads all of it, as it was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import os_vif
from os_vif import logical, network
from os_vif.cli.specs import wanted
from os_vif.engine.topology import Topology
from tests import northbound, ovn

pytestmark = pytest.mark.functional

LAB = """\
owner: lab
networks:
  - label: blue
    subnets:
      - cidr: 10.5.0.0/24
        gateway: 10.5.0.1
        dns: [192.0.2.53, 192.0.2.54]
        dhcp: {lease: 10m, domain: example.org}
        routes: [{to: 198.51.100.0/24, via: 10.5.0.11}]
      - {cidr: "fd00:5::/64", gateway: "fd00:5::1", dns: ["fd00::53"]}
  - label: outside
    physical: physnet1
    vlan: 200
    subnets: [{cidr: 203.0.113.0/24, gateway: 203.0.113.1, dhcp: false}]
routers:
  - label: edge
    networks: [blue]
    external:
      {network: outside, address: 203.0.113.10, chassis: [h1], snat: true, distributed: true}
vifs:
  - type: openvswitch
    bridge: br-int
    name: tap-anna
    mac: "52:54:00:00:00:01"
    network: {label: blue, addresses: [10.5.0.11]}
  - type: openvswitch
    bridge: br-int
    name: tap-ben
    mac: "52:54:00:00:00:02"
    instance: {name: ben}
    network:
      label: blue
      addresses: [10.5.0.12, "fd00:5::5054:ff:fe00:2"]
      floating: {10.5.0.12: [203.0.113.20]}
"""


def topologies(tmp_path: Path, text: str) -> list[Topology]:
    os_vif.initialize()
    (tmp_path / "lab.yaml").write_text(text)
    found = wanted.read([str(tmp_path / "lab.yaml")])
    assert found.warnings == []
    return logical.topologies(found.wanted)


def test_ovn_reads_what_was_meant(centre: ovn.Centre, tmp_path: Path) -> None:
    nb = northbound.nb(centre)
    made = topologies(tmp_path, LAB)
    network.apply(made, nb, wait=True)
    assert [step for it in network.apply(made, nb) for step in it.steps] == []
    assert set(northbound.rows(centre)) == northbound.wanted(*made)

    flows = centre.sbctl("lflow-list")
    offers = dict(re.findall(r"put_dhcp_opts\(offerip = ([0-9.]+), (.*?)\); next;", flows))
    ours = 'dns_server = {192.0.2.53, 192.0.2.54}, domain_name = "example.org", '
    rest = "lease_time = 600, mtu = 1442, netmask = 255.255.255.0, router = 10.5.0.1, "
    assert offers == {
        # A way by itself is told to no guest.
        "10.5.0.11": f"{ours}{rest}server_id = 10.5.0.1",
        "10.5.0.12": "classless_static_route = {198.51.100.0/24,10.5.0.11, 0.0.0.0/0,10.5.0.1}, "
        f'{ours}hostname = "ben", {rest}server_id = 10.5.0.1',
    }
    [advertised] = re.findall(r"put_nd_ra_opts\((.*?)\)", flows)
    assert advertised.startswith('addr_mode = "slaac", ')
    assert advertised.endswith("mtu = 1442, rdnss = fd00::53, prefix = fd00:5::/64")
    assert "check_pkt_larger(1456)" in flows  # with the header of Ethernet
    assert re.search(r"ip4\.dst == 198\.51\.100\.0/24.*reg0 = 10\.5\.0\.11;", flows)
    assert re.search(r"ip4\.src == 10\.5\.0\.0/24.*ct_snat\S*\(203\.0\.113\.10\)", flows)
    assert re.search(r"ip4\.dst == 203\.0\.113\.20.*ct_dnat\S*\(10\.5\.0\.12\)", flows)
    bound = centre.sbctl("--bare", "--columns=port_security", "list", "Port_Binding")
    assert "52:54:00:00:00:01 10.5.0.11 198.51.100.0/24" in bound
    log = (centre.folder / "northd.log").read_text()
    assert [line for line in log.splitlines() if "|WARN|" in line or "|ERR|" in line] == []


def test_what_a_file_says_no_more_is_left_to_gc(centre: ovn.Centre, tmp_path: Path) -> None:
    nb = northbound.nb(centre)
    network.apply(topologies(tmp_path, LAB), nb)
    text, _, _ben = LAB.partition("  - type: openvswitch\n    bridge: br-int\n    name: tap-ben")
    fewer = topologies(tmp_path, text)
    network.apply(fewer, nb)
    network.gc(fewer, "lab", nb)
    left = northbound.rows(centre)
    assert set(left) == northbound.wanted(*fewer)
    assert not any(row.get("external_ip") == "203.0.113.20" for row in left.values())
