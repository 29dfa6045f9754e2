# SPDX-License-Identifier: Apache-2.0
"""What a specification says and nothing hears is told, with its place; what is heard is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

import os_vif
from os_vif.cli import configuration
from os_vif.cli.specs import reader
from os_vif.cli.specs.unused import unused

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _initialized() -> Iterator[None]:
    os_vif.initialize()
    yield
    cfg.CONF.reset()
    cfg.CONF.clear_override("routed", group="os_vif_tap")


def told(*texts: str) -> list[str]:
    batch = reader.Batch()
    for number, text in enumerate(texts):
        reader.read_text(f"f{number}.yaml", text, batch)
    assert batch.problems == []
    configuration.apply(batch.options, [])
    return [f"{problem.mark} {problem.field} {problem.message}" for problem in unused(batch)]


SUBNET = """\
mac: 52:54:00:00:00:01
network:
  subnets:
    - cidr: 192.0.2.0/24
      gateway: 192.0.2.1
      dns: [192.0.2.2]
      addresses: [192.0.2.9]
      dhcp_server: 192.0.2.3
      routes: [{to: 198.51.100.0/24, via: 192.0.2.9}]
"""
OF_SUBNET = {"gateway", "dns", "dhcp_server", "routes"}


@pytest.mark.parametrize(
    "head",
    [
        "type: bridge\nbridge: br0\n",
        "type: openvswitch\nbridge: br0\n",
        "type: openvswitch-hybrid\nbridge: br0\n",
        "type: tap\n",
        "type: fastpath-tap\nmode: server\npath: /run/x.sock\n",
        "type: fastpath-bridge\nbridge: br0\nmode: server\npath: /run/x.sock\n",
        "type: sriov\ndevice: '0000:03:00.2'\n",
    ],
)
def test_of_a_subnet(head: str) -> None:
    said = told(head + SUBNET)
    paths = [f"network.subnets[0].{name} reaches nothing: " for name in sorted(OF_SUBNET)]
    assert len(said) == len(paths)
    assert all(any(path in words for words in said) for path in paths)
    line = head.count("\n") + 5
    assert any(words.startswith(f"f0.yaml:{line}:16 network.subnets[0].gateway") for words in said)


def test_a_guest_that_the_host_routes_to_has_routes() -> None:
    said = told("type: tap\n" + SUBNET + "options: {tap: {routed: true}}\n")
    assert {words.split()[1].rpartition(".")[2] for words in said} == {"dns", "dhcp_server"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{type: openvswitch-vhostuser, mode: client, path: /x, bridge: b, %s}", "path reaches"),
        ("{type: openvswitch-vhostuser, mode: server, path: /x, bridge: b, %s}", ""),
        (
            "{type: openvswitch, bridge: b, create_port: false, %s, "
            "interface_id: 00000000-0000-4000-8000-00000000000a}",
            "interface_id reaches nothing: no port",
        ),
        (
            "{type: openvswitch, bridge: b, %s, "
            "interface_id: 00000000-0000-4000-8000-00000000000a}",
            "",
        ),
        ("{type: tap, %s, network: {mtu: 1400, label: x}}", ""),
    ],
)
def test_of_a_type(text: str, said: str) -> None:
    found = told(text % "mac: '52:54:00:00:00:01'")
    assert len(found) == bool(said)
    assert all(said in words for words in found)


def test_options_of_plugins_that_nothing_is_of() -> None:
    tap = "type: tap\nmac: 52:54:00:00:00:01\n"
    [said] = told(tap + "options: {linux_bridge: {use_ipv6: true}, tap: {multi_queue: true}}\n")
    assert said == (
        "f0.yaml:3:36 options.linux_bridge.use_ipv6 reaches nothing: no VIF of this call is of "
        "plugin linux_bridge"
    )
    port = "type: openvswitch\nbridge: b\nmac: 52:54:00:00:00:01\n"
    [said] = told(port + "options: {ovs: {ovsdb_interface: native, ovs_vsctl_timeout: 3}}\n")
    assert "options.ovs.ovsdb_interface reaches nothing: There is one way" in said
    fast = "type: fastpath-openvswitch\nbridge: b\nmode: server\npath: /x\nmac: 52:54:00:00:00:01\n"
    assert told(fast + "options: {ovs: {ovs_vsctl_timeout: 3}}\n") == []


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_say_nothing_in_vain(file: Path) -> None:
    assert told(file.read_text()) == []
