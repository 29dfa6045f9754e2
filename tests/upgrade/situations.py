# SPDX-License-Identifier: Apache-2.0
"""VIFs as services say them, and guests on them that talk to somebody outside the host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import guest, vifs, vifs_ovs, witness
from tests.conftest import PrivateHost
from tests.kernel_guest import KernelGuest
from tests.openvswitch import Switch
from tests.pings import Ping

GUEST = {"class": "InstanceInfo", "uuid": vifs.instance().uuid, "name": "guest1"}
ID, MAC, TAP = vifs.vif_id(1), vifs.guest_mac(1), vifs.tap_name(1)
QBR, VHU = vifs_ovs.name("qbr"), vifs_ovs.name("vhu")
OUTSIDE, HOST, INSIDE = "192.0.2.1", "192.0.2.10", "192.0.2.20"


def network(bridge: str = vifs_ovs.BRIDGE, **fields: Any) -> dict[str, Any]:
    return {"class": "Network", "id": vifs.NETWORK_ID, "bridge": bridge, "mtu": 1500, **fields}


def profile(**fields: Any) -> dict[str, Any]:
    return {
        "class": "VIFPortProfileOpenVSwitch",
        "interface_id": ID,
        "datapath_type": "netdev",
        **fields,
    }


def vif(kind: str = "VIFOpenVSwitch", **fields: Any) -> dict[str, Any]:
    """Return a VIF for the plugin ``ovs``; a field that is None is left out."""
    said = {
        "class": kind,
        "id": ID,
        "address": MAC,
        "plugin": "ovs",
        "network": network(),
        "port_profile": profile(create_port=True, create_tap=True),
        "vif_name": TAP,
        **fields,
    }
    return {key: value for key, value in said.items() if value is not None}


def hybrid(**fields: Any) -> dict[str, Any]:
    return vif("VIFBridge", bridge_name=QBR, **{"port_profile": profile(), **fields})


def provided(**fields: Any) -> dict[str, Any]:
    """Return a network for which a host has the bridge ``br0`` on its ``eth0``."""
    return network("br0", should_provide_bridge=True, bridge_interface="eth0", **fields)


def on_bridge(**fields: Any) -> dict[str, Any]:
    """Return a VIF for the plugin ``linux_bridge``, whose uplink is the host's ``eth0``."""
    return vif(
        "VIFBridge",
        **{
            "plugin": "linux_bridge",
            "bridge_name": "br0",
            "port_profile": None,
            "network": provided(),
            "has_traffic_filtering": True,
            **fields,
        },
    )


@contextlib.contextmanager
def uplink() -> Iterator[PrivateHost]:
    """Provide ``eth0`` of the host that the test is on, and somebody at the other end of it."""
    outside = PrivateHost()
    try:
        witness.ip(f"link add eth0 type veth peer name eth0 netns {outside.pid}")
        witness.ip("link set eth0 address 52:54:00:00:0e:00 up")
        outside.run("ip", "address", "add", f"{OUTSIDE}/24", "dev", "eth0")
        outside.run("ip", "link", "set", "eth0", "up")
        yield outside
    finally:
        outside.close()


def on_switch(switch: Switch) -> None:
    """Put the uplink into the switch, as the network's agent does."""
    bridge = vifs_ovs.BRIDGE
    switch.vsctl(
        "--may-exist", "add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev"
    )
    switch.vsctl("add-port", bridge, "eth0")


def hypervisors_tap(bridge: str) -> None:
    """Make the tap and put it into a Linux bridge, as libvirt does."""
    witness.ip(
        f"""
        tuntap add {TAP} mode tap vnet_hdr
        link set {TAP} address fe{MAC[2:]} master {bridge} up
        """
    )


@contextlib.contextmanager
def running_guest(folder: Path) -> Iterator[Ping]:
    """Provide a guest on the tap, that pings somebody outside."""
    with contextlib.ExitStack() as stack:
        running = KernelGuest(guest.Guest(TAP, MAC).descriptor, MAC, f"{INSIDE}/24")
        stack.callback(running.close)
        assert running.reaches(OUTSIDE)
        ping = Ping(running.host, OUTSIDE, folder)
        stack.callback(ping.close)
        ping.more()
        yield ping
