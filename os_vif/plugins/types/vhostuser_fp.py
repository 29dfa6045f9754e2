# SPDX-License-Identifier: Apache-2.0
"""The types of a fast path's vhost-user ports: on Open vSwitch, on a Linux bridge, on no switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from os_vif.plugins.types.ovs import DATAPATH, INTERFACE_ID, SWITCH
from os_vif.plugins.types.ovs_held import the_port
from os_vif.plugins.types.routing import tell_routes
from os_vif.plugins.types.unused import routed, switched
from os_vif.plugins.types.vhost_user import MODE, PATH, socket_of
from os_vif.specs import (
    BOOL,
    ID,
    INSTANCE,
    INTERFACE,
    MAC,
    MAC_ADDRESS,
    NETWORK,
    Field,
    NotTold,
    Told,
    Values,
    VIFType,
    check_addresses,
    identity_of,
    mac_of_guest,
    told_of,
)

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held
    from os_vif.objects.vif import VIFBase

_DEVICE_NAME = Field(
    "name",
    INTERFACE,
    "name of the fast path's device on the host, 15 characters at most",
    default="vhu and the first 11 characters of the id",
    known_as=("vif_name",),
)
_NETWORK = switched(Field("network", NETWORK, "the network behind the device"))


def _on_bridge(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFPortProfileFPBridge

    profile = VIFPortProfileFPBridge(bridge_name=values["bridge"])
    return socket_of(values, "vhostuser_fp", profile)


def _on_switch(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFPortProfileFPOpenVSwitch

    vif_id = identity_of(values, "vhu")["id"]
    hybrid = values.get("hybrid", False)
    profile = VIFPortProfileFPOpenVSwitch(
        interface_id=values.get("interface_id") or vif_id,
        datapath_type=values.get("datapath"),
        hybrid_plug=hybrid,
        bridge_name=f"qbr{vif_id[:11]}" if hybrid else values["bridge"],
    )
    return socket_of(values, "vhostuser_fp", profile)


def _by_itself(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFPortProfileFPTap

    profile = VIFPortProfileFPTap()
    if "host_mac" in values:
        profile.mac_address = values["host_mac"]
    return socket_of(values, "vhostuser_fp", profile)


# --- and back -----------------------------------------------------------------------------------


def _on_bridge_of(held: Held) -> Told | None:
    device, told = _device_of(held)
    master = device.attributes.get("master")
    if held["ports"] or master is None:
        return None
    told.values["bridge"] = master
    return told


def _on_switch_of(held: Held) -> Told | None:
    _device, told = _device_of(held)
    if not held["ports"]:
        return None
    port = the_port(held)
    iface_id = port.external_ids.get("iface-id", held.mark.vif_id)
    told.values["bridge"] = port.bridge
    if any(link.kind == "bridge" for link in held["links"]):
        told.values["hybrid"] = True
    if iface_id != held.mark.vif_id:
        told.values["interface_id"] = iface_id
    if "attached-mac" in port.external_ids:
        told.values["mac"] = port.external_ids["attached-mac"]
        told.doubts.clear()  # no more the first byte of a guessed one
    return told


def _by_itself_of(held: Held) -> Told | None:
    device, told = _device_of(held)
    if held["ports"] or device.attributes.get("master") is not None:
        return None
    tell_routes(held, told, device)
    return told


def _device_of(held: Held) -> tuple[Any, Told]:
    """Return the device of a VIF's port, and what it tells."""
    found = [link for link in held["links"] if link.kind not in ("bridge", "veth")]
    words = [word.partition("=") for link in found[:1] for word in link.alias.split(" ")]
    paths = [(key, path) for key, _, path in words if key in ("listens", "connects")]
    if len(found) != 1 or not paths:
        raise NotTold("its device, with a note of the socket, is not here")
    [device], [(role, path)] = found, paths[:1]
    mode = "client" if role == "listens" else "server"
    told = told_of(held, name=device.name, mode=mode, path=path)
    told.values["mac"] = mac_of_guest(device.attributes["mac"], told)
    told.network(mtu=device.attributes.get("mtu"))
    return device, told


_BRIDGE_EXAMPLE = """\
type: fastpath-bridge
bridge: br0
mode: server
path: /run/vhost/web.sock
mac: 52:54:00:12:34:56
"""

_SWITCH_EXAMPLE = """\
type: fastpath-openvswitch
bridge: br-int
mode: server
path: /run/vhost/web.sock
mac: 52:54:00:12:34:56
"""

_TAP_EXAMPLE = """\
type: fastpath-tap
mode: server
path: /run/vhost/web.sock
mac: 52:54:00:12:34:56
"""

TYPES = (
    VIFType(
        "fastpath-bridge",
        "a vhost-user port of a fast path, whose device is on a Linux bridge",
        "guests that share memory with a program, beside guests that do not",
        "vhostuser_fp",
        "VIFVHostUser",
        (
            Field(
                "bridge",
                INTERFACE,
                "the Linux bridge, which is made if it is missing",
                required=True,
                known_as=("bridge_name", "VIFPortProfileFPBridge.bridge_name"),
            ),
            MODE,
            PATH,
            MAC_ADDRESS,
            _DEVICE_NAME,
            ID,
            INSTANCE,
            _NETWORK,
        ),
        _on_bridge,
        _BRIDGE_EXAMPLE,
        check_addresses,
        rank=6,
        held=_on_bridge_of,
    ),
    VIFType(
        "fastpath-openvswitch",
        "a vhost-user port of a fast path, whose device is a port of Open vSwitch",
        "guests of OpenStack on hosts with 6WIND's fast path",
        "vhostuser_fp",
        "VIFVHostUser",
        (
            SWITCH,
            MODE,
            PATH,
            Field(
                "hybrid",
                BOOL,
                "put a Linux bridge between, where packets are filtered",
                default="false",
                known_as=("hybrid_plug",),
            ),
            MAC_ADDRESS,
            _DEVICE_NAME,
            ID,
            INSTANCE,
            INTERFACE_ID,
            DATAPATH,
            _NETWORK,
        ),
        _on_switch,
        _SWITCH_EXAMPLE,
        check_addresses,
        rank=6,
        held=_on_switch_of,
    ),
    VIFType(
        "fastpath-tap",
        "a vhost-user port of a fast path that is on no switch; the host may route to it (options: "
        "vhostuser_fp: routed: true)",
        "guests in layer-3 networks (Calico)",
        "vhostuser_fp",
        "VIFVHostUser",
        (
            MODE,
            PATH,
            MAC_ADDRESS,
            Field(
                "host_mac",
                MAC,
                "MAC address of the host's end",
                default="made from the guest's",
                known_as=("mac_address", "VIFPortProfileFPTap.mac_address"),
            ),
            _DEVICE_NAME,
            ID,
            INSTANCE,
            routed(
                Field("network", NETWORK, "the network, and the guest's addresses in it"),
                "os_vif_vhostuser_fp",
            ),
        ),
        _by_itself,
        _TAP_EXAMPLE,
        check_addresses,
        rank=6,
        held=_by_itself_of,
    ),
)
