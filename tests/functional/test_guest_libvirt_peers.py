# SPDX-License-Identifier: Apache-2.0
"""What virt-install writes of the same cards, where it has words for them."""

from __future__ import annotations

import contextlib
from typing import Any
from xml.etree import ElementTree

import pytest

import os_vif
from os_vif.guest import GuestOptions, libvirt
from tests import debian, vifs_ovs
from tests.libvirt_guests import KINDS, MTU, flat, on_card
from tests.libvirtd import Libvirt

pytestmark = [pytest.mark.functional, pytest.mark.qemu]

BRIDGED = f"bridge=%s,target.dev=%s,mtu.size={MTU},driver.name=qemu"
SOCKET = "type=vhostuser,source.type=unix,source.path=%s,source.mode=%s"
TWO = "driver.queues=2"
PORT = "virtualport.type=openvswitch,virtualport.parameters.interfaceid=%s"

PERMITTED = {
    "rom enabled": "virt-install has no word for it",
    "source/reconnect enabled": "the same",
    "source/reconnect timeout": "the same",
}
"""What we say and virt-install does not, and why."""


def cards() -> dict[str, tuple[Any, GuestOptions, str]]:
    """Return VIF, options and virt-install's words for each card."""
    plain, two = (GuestOptions(domain_type="qemu", queues=queues) for queues in (1, 2))
    bridge, switch, hybrid = (
        KINDS[name].vif(None)
        for name in ("bridge, libvirt's tap", "switch, libvirt's port", "hybrid")
    )
    client, server = (vifs_ovs.vhost_user(mode=mode) for mode in ("client", "server"))
    direct = on_card(None)
    on_bridge = BRIDGED % (bridge.bridge_name, bridge.vif_name)
    on_switch = BRIDGED % (switch.bridge_name, switch.vif_name)
    port = PORT % switch.port_profile.interface_id
    made = GuestOptions(domain_type="qemu", libvirt_makes_it=True)
    return {
        "bridge": (bridge, plain, on_bridge),
        "two queues": (bridge, two, f"{on_bridge},{TWO}"),
        "hybrid": (hybrid, plain, BRIDGED % (hybrid.bridge_name, hybrid.vif_name)),
        "switch": (switch, plain, f"{on_switch},{port}"),
        "client": (client, plain, SOCKET % (client.path, "client")),
        "server": (server, two, f"{SOCKET % (server.path, 'server')},{TWO}"),
        "direct": (direct, made, "type=direct,source=eth0,source.mode=bridge,driver.name=qemu"),
    }


def test_virt_install_agrees() -> None:
    os_vif.initialize()
    networks = []
    for vif, _options, words in cards().values():
        networks += ["--network", f"{words},mac={vif.address},model=virtio"]
    with contextlib.closing(Libvirt(debian.tree("libvirt9"))) as daemon:
        done = daemon.run(
            *("/usr/bin/python3", "/usr/bin/virt-install", "--connect", "qemu:///system"),
            *("--virt-type", "qemu", "--name", "guest", "--memory", "64", "--import"),
            *("--disk", "none", "--graphics", "none", "--osinfo", "detect=off,require=off"),
            *(*networks, "--print-xml"),
        )
    assert done.returncode == 0, done.stderr
    domain = ElementTree.fromstring(done.stdout)  # noqa: S314 - what virt-install has written
    theirs = domain.findall("devices/interface")
    for (name, (vif, options, _words)), their in zip(cards().items(), theirs, strict=True):
        ours = libvirt.interface(os_vif.guest_card(vif), options).xml
        one, two = flat(ours), flat(ElementTree.tostring(their, encoding="unicode"))
        assert {key: one[key] for key in one if key not in PERMITTED} == two, name
