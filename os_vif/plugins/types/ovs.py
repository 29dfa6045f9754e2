# SPDX-License-Identifier: Apache-2.0
"""The types on Open vSwitch: a port with a tap, behind a Linux bridge, a socket, a function."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from os_vif.plugins.types.access import GROUP, MULTI_QUEUE, OWNER, options_of
from os_vif.plugins.types.anti_spoofing import ADDRESSES, options_of_addresses
from os_vif.plugins.types.limits import (
    BURST_FROM_GUEST,
    RATE_FROM_GUEST,
    RATE_TO_GUEST,
    limit_options,
)
from os_vif.plugins.types.ovs_held import host_device_of, hybrid_of, port_of, vhost_user_of
from os_vif.plugins.types.ovs_vlans import VLANS, without_port
from os_vif.plugins.types.unused import switched
from os_vif.specs import (
    BOOL,
    ID,
    INSTANCE,
    INTERFACE,
    MAC_ADDRESS,
    NAME,
    NETWORK,
    PCI,
    SOCKET,
    UUID,
    Field,
    Reading,
    Values,
    VIFType,
    check_addresses,
    identity_of,
    network_of,
    one_of,
)

if TYPE_CHECKING:
    from os_vif.objects.vif import VIFBase, VIFPortProfileOpenVSwitch


SWITCH = Field(
    "bridge",
    INTERFACE,
    "the Open vSwitch bridge, which is made if it is missing (OpenStack's and OVN's is br-int)",
    required=True,
    known_as=("bridge", "bridge_name"),
)
INTERFACE_ID = Field(
    "interface_id",
    UUID,
    "the logical port, by which Neutron and OVN know it (external_ids:iface-id)",
    default="the VIF's id",
    known_as=("port_profile.interface_id", "interface_id", "iface_id"),
    unused=without_port,
)
DATAPATH = Field(
    "datapath",
    one_of("system", "netdev"),
    "the bridge's datapath: the kernel's (system) or the one in user space (netdev)",
    default="that of the bridge; system for one that is made",
    known_as=("datapath_type",),
)
_NETWORK = switched(Field("network", NETWORK, "the network behind the bridge"))


def _without_tap(said: Mapping[str, Any]) -> str:
    made = said.get("create_tap", said.get("create_port", True))
    return "" if made else "the hypervisor makes the tap, and says whose it is"


_WAIT_FOR = Field(
    "wait_for",
    one_of("attached", "ovn"),
    "what plug waits for: Open vSwitch has attached the port, or OVN has bound it and installed "
    "its flows too",
    default="the plugin's option wait_for",
    unused=without_port,
)
_LIMITS = tuple(
    dataclasses.replace(field, unused=without_port)
    for field in (RATE_TO_GUEST, RATE_FROM_GUEST, BURST_FROM_GUEST)
)

# --- what fields may say together ----------------------------------------------------------------


def _check_port(values: Values, into: Reading) -> None:
    check_addresses(values, into)
    if values.get("create_port", True):
        return
    for field in ("create_tap", "multi_queue"):
        if values.get(field):
            message = "without a port no tap is made; leave out this field, or create_port: false"
            into.problem(into.marks[field], field, message)


def _check_socket(values: Values, into: Reading) -> None:
    check_addresses(values, into)
    told = any(problem.field == into.path("path") for problem in into.problems)
    if values.get("mode") == "server" and "path" not in values and not told:
        message = "missing; where the guest listens (mode: server), say at which socket"
        into.problem(into.marks[""], "path", message)


_IN_OPTIONS = {
    "vlan": "port_vlans",
    "trunks": "port_trunks",
    "vlan_mode": "port_vlan_modes",
    "wait_for": "waits_for",
}


def _options(values: Values) -> dict[str, tuple[str, str, Any]]:
    vif_id = identity_of(values)["id"]
    options = {**options_of(values), **limit_options(values), **options_of_addresses(values)}
    for field, option in _IN_OPTIONS.items():
        if field in values:
            said = values[field]
            value = [vlan for part in said for vlan in part] if field == "trunks" else said
            options[field] = (option, vif_id, value)
    return options


# --- objects ------------------------------------------------------------------------------------


def _profile(values: Values, identity: Values) -> VIFPortProfileOpenVSwitch:
    from os_vif.objects.vif import VIFPortProfileOpenVSwitch

    return VIFPortProfileOpenVSwitch(
        interface_id=values.get("interface_id") or identity["id"],
        datapath_type=values.get("datapath"),
    )


def _port(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFOpenVSwitch

    identity = identity_of(values)
    profile = _profile(values, identity)
    profile.create_port = values.get("create_port", True)
    profile.create_tap = values.get("create_tap", profile.create_port)
    if "multi_queue" in values:
        profile.multiqueue = values["multi_queue"]
    return VIFOpenVSwitch(
        **identity,
        plugin="ovs",
        bridge_name=values["bridge"],
        network=network_of(values, bridge=values["bridge"]),
        port_profile=profile,
    )


def _hybrid(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFBridge

    identity = identity_of(values)
    return VIFBridge(
        **identity,
        plugin="ovs",
        bridge_name=f"qbr{identity['id'][:11]}",
        has_traffic_filtering=True,
        network=network_of(values, bridge=values["bridge"]),
        port_profile=_profile(values, identity),
    )


def _vhost_user(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFVHostUser

    identity = identity_of(values, "vhu")
    return VIFVHostUser(
        **identity,
        plugin="ovs",
        mode=values["mode"],
        path=values.get("path", ""),
        network=network_of(values, bridge=values["bridge"]),
        port_profile=_profile(values, identity),
    )


def _host_device(values: Values) -> VIFBase:
    from os_vif.objects.vif import DatapathOffloadRepresentor, VIFHostDevice

    identity = identity_of(values)
    del identity["vif_name"]
    profile = _profile(values, identity)
    profile.datapath_offload = DatapathOffloadRepresentor(
        representor_name=values.get("name"), representor_address=values["device"]
    )
    return VIFHostDevice(
        **identity,
        plugin="ovs",
        dev_type="ethernet",
        dev_address=values["device"],
        network=network_of(values, bridge=values["bridge"]),
        port_profile=profile,
    )


_PORT_EXAMPLE = """\
type: openvswitch
bridge: br-int
name: tap-web
mac: 52:54:00:12:34:56
"""

_HYBRID_EXAMPLE = """\
type: openvswitch-hybrid
bridge: br-int
id: 5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea
mac: 52:54:00:12:34:56
"""

_VHOST_USER_EXAMPLE = """\
type: openvswitch-vhostuser
bridge: br-int
mode: server
path: /run/vhost/web.sock
mac: 52:54:00:12:34:56
"""

_HOST_DEVICE_EXAMPLE = """\
type: openvswitch-hostdev
bridge: br-int
device: "0000:03:00.2"
mac: 52:54:00:12:34:56
"""

TYPES = (
    VIFType(
        "openvswitch",
        "a tap that is a port of an Open vSwitch bridge",
        "guests of OpenStack and OVN, and all others on Open vSwitch",
        "ovs",
        "VIFOpenVSwitch",
        (
            SWITCH,
            MAC_ADDRESS,
            NAME,
            ID,
            INSTANCE,
            INTERFACE_ID,
            DATAPATH,
            _WAIT_FOR,
            *VLANS,
            *_LIMITS,
            _NETWORK,
            Field(
                "create_port",
                BOOL,
                "make the port; otherwise the hypervisor does (libvirt, with a virtualport)",
                default="true",
            ),
            Field(
                "create_tap",
                BOOL,
                "make the tap; otherwise the hypervisor does, and the port waits for it",
                default="true, where the port is made",
            ),
            *(dataclasses.replace(field, unused=_without_tap) for field in (OWNER, GROUP)),
            MULTI_QUEUE,
            *ADDRESSES,
        ),
        _port,
        _PORT_EXAMPLE,
        _check_port,
        rank=3,
        options=_options,
        held=port_of,
    ),
    VIFType(
        "openvswitch-hybrid",
        "a Linux bridge for the guest's tap, and a veth from it to Open vSwitch",
        "guests whose traffic iptables filters (Neutron's firewall driver iptables_hybrid)",
        "ovs",
        "VIFBridge",
        (
            SWITCH,
            MAC_ADDRESS,
            Field(
                "name",
                INTERFACE,
                "name of the tap that the hypervisor makes on the Linux bridge",
                default="tap and the first 11 characters of the id",
                known_as=("vif_name", "tap"),
            ),
            ID,
            INSTANCE,
            INTERFACE_ID,
            DATAPATH,
            _WAIT_FOR,
            *VLANS,
            *_LIMITS,
            _NETWORK,
        ),
        _hybrid,
        _HYBRID_EXAMPLE,
        check_addresses,
        rank=3,
        options=_options,
        held=hybrid_of,
    ),
    VIFType(
        "openvswitch-vhostuser",
        "a vhost-user port of Open vSwitch with DPDK: guest and switch share memory",
        "guests with many small packets, on hosts that give processors to the switch",
        "ovs",
        "VIFVHostUser",
        (
            SWITCH,
            Field(
                "mode",
                one_of("client", "server"),
                "the guest's part: server listens at path, client connects to a socket of Open "
                "vSwitch's (which does not survive a restart of the switch)",
                required=True,
                known_as=("mode",),
            ),
            Field(
                "path",
                SOCKET,
                "the socket that the guest listens at",
                default="with mode client, Open vSwitch's own: its run folder and the port's name",
                known_as=("path",),
                unused=lambda said: (
                    "where the guest connects (mode: client) the socket is Open vSwitch's own"
                    if said["mode"] == "client"
                    else ""
                ),
            ),
            MAC_ADDRESS,
            Field(
                "name",
                INTERFACE,
                "name of the port, 15 characters at most",
                default="vhu and the first 11 characters of the id",
                known_as=("vif_name",),
            ),
            ID,
            INSTANCE,
            INTERFACE_ID,
            Field(
                "datapath",
                one_of("netdev"),
                "the bridge's datapath, which can only be the one in user space",
                default="netdev",
                known_as=("datapath_type",),
            ),
            _WAIT_FOR,
            *VLANS,
            _NETWORK,
        ),
        _vhost_user,
        _VHOST_USER_EXAMPLE,
        _check_socket,
        rank=3,
        options=_options,
        held=vhost_user_of,
    ),
    VIFType(
        "openvswitch-hostdev",
        "a virtual function given to the guest whole; its representor is the port",
        "guests on network cards in switchdev mode, where the card itself switches",
        "ovs",
        "VIFHostDevice",
        (
            SWITCH,
            Field(
                "device",
                PCI,
                "PCI address of the virtual function",
                required=True,
                known_as=("dev_address", "representor_address"),
            ),
            MAC_ADDRESS,
            Field(
                "name",
                INTERFACE,
                "name for the representor while it is plugged, 15 characters at most",
                default="its own",
                known_as=("representor_name",),
            ),
            ID,
            INSTANCE,
            INTERFACE_ID,
            DATAPATH,
            _WAIT_FOR,
            *VLANS,
            _NETWORK,
        ),
        _host_device,
        _HOST_DEVICE_EXAMPLE,
        check_addresses,
        rank=3,
        options=_options,
        held=host_device_of,
    ),
)
