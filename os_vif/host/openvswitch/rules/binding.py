# SPDX-License-Identifier: Apache-2.0
"""Why OVN has not bound a port, and what else of OVN may keep a guest from its network.

ovn-controller binds a port whose ``iface-id`` is the name of a logical port, and writes
``ovn-installed`` beside it once the port's flows are there.  Where it does not, it says so in its
log at best.  Sources: ovn-controller(8), ovn-sb(5), ovn-architecture(7).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from os_vif.engine.family import Caution
from os_vif.host.links.resources import Tap
from os_vif.host.openvswitch.questions import BINDINGS, Binding, Logical
from os_vif.host.openvswitch.resources import OvsPort

if TYPE_CHECKING:
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Mark, Topology

NEEDED = {
    "system-id": "NAME",
    "ovn-remote": "tcp:ADDRESS:6642",
    "ovn-encap-type": "geneve",
    "ovn-encap-ip": "ADDRESS",
}
"""What ovn-controller must be told, each with what may stand there."""

_OVERHEAD = {4: 58, 6: 78}
"""Bytes that geneve adds to a frame's payload, by the version of IP that tunnels go over: Ethernet
14, IP 20 or 40, UDP 8, Geneve 8 and its option for OVN 8 (RFC 8926; ovn-architecture(7))."""


def why_not(binding: Binding) -> str:
    """Return why OVN has not bound a port, in words."""
    port, told = binding.port, binding.told
    if missing := [key for key in NEEDED if not told.get(key)]:
        settings = " ".join(f"external_ids:{key}={NEEDED[key]}" for key in missing)
        return (
            f"ovn-controller was not told {' and '.join(missing)}: "
            f"ovs-vsctl set Open_vSwitch . {settings}"
        )
    if port is None:
        return "the port is gone"
    integration = integration_bridge(told)
    if port.bridge != integration:
        return f"it is on {port.bridge}, and OVN looks at the ports of {integration} alone"
    iface_id = port.external_ids.get("iface-id", "")
    if not iface_id:
        return "it has no external_ids:iface-id, by which OVN knows a port"
    if binding.silent:
        return (
            "what this host was told is in order; whether OVN has a logical port "
            f"{iface_id} could not be seen: {binding.silent}"
        )
    if binding.logical is None:
        return (
            f"there is no logical port {iface_id} in this OVN "
            f"(Southbound database {told['ovn-remote']}); was its network made?"
        )
    return _of_logical(binding, binding.logical, port.external_ids.get("iface-id-ver", ""))


def integration_bridge(told: Mapping[str, str]) -> str:
    """Return the name of the bridge whose ports OVN looks at."""
    return told.get("ovn-bridge") or "br-int"


def overhead(told: Mapping[str, str]) -> int:
    """Return how many bytes tunnels add to the MTU of a network."""
    return _OVERHEAD[6 if ":" in told.get("ovn-encap-ip", "") else 4]


def _of_logical(binding: Binding, logical: Logical, version: str) -> str:
    here = binding.told["system-id"]
    if logical.iface_id_ver and logical.iface_id_ver != version:
        return (
            f"its external_ids:iface-id-ver is {version or 'not set'}, and OVN wants "
            f"{logical.iface_id_ver}"
        )
    if words := elsewhere(logical, binding.told):
        return words
    if not binding.known:
        return (
            f"the Southbound database {binding.told['ovn-remote']} knows no chassis {here}: "
            "ovn-controller does not run here, or that is another OVN's"
        )
    if logical.chassis == here:
        return f"{here} has it, and ovn-controller has not installed its flows yet; does it run?"
    return "nothing is in the way that can be seen; does ovn-controller run? Its log may tell more"


def elsewhere(logical: Logical, told: Mapping[str, str]) -> str:
    """Return, in words, that a port is another chassis's; '' if it may be this one's.

    ``ovn-installed`` does not tell: ovn-controller leaves it as it is where it loses a port.  Of a
    port that may be on any, each chassis takes it from the other for as long as both have it.

    :param told: the host's own external_ids
    """
    here = told["system-id"]
    requested = [name.strip() for name in logical.requested.split(",") if name.strip()]
    if requested and not {here, told.get("hostname", "")}.intersection(requested):
        return f"OVN wants it on {' and '.join(requested)}; this is {here}"
    if requested or logical.chassis in ("", here):
        return ""
    return (
        f"{logical.chassis} has it: it is plugged there too, and both chassis will fight over it; "
        "unplug it there, or say where it belongs (requested-chassis)"
    )


def watch_binding(port: OvsPort, _mark: Mark) -> list[Asked]:
    """Return what to ask about a port that OVN is to bind."""
    return [BINDINGS(port.name)] if port.bound else []


def warn_of_binding(topology: Topology, host: Host, wanted: OvsPort) -> Iterator[Caution]:
    """Warn of a port that OVN has not bound, and of tunnels too narrow for its frames."""
    binding = host[BINDINGS].get(wanted.name)
    if binding is None:
        return
    port = binding.port
    if port is not None and (port.ofport or 0) > 0 and not port.bound:
        yield Caution(wanted.name, f"OVN has not bound it: {why_not(binding)}")
    elif binding.logical and (words := elsewhere(binding.logical, binding.told)):
        yield Caution(wanted.name, words)
    mtu = _mtu(topology, wanted)
    if binding.tunnels is None or mtu is None:
        return
    device, available = binding.tunnels
    needed = mtu + overhead(binding.told)
    if available < needed:
        yield Caution(
            wanted.name,
            f"its network has MTU {mtu}, and {device}, which OVN's tunnels go over, has "
            f"{available}: longer packets to other hosts are lost without a word; {device} needs "
            f"{needed}, or the network {mtu - (needed - available)}",
        )


def _mtu(topology: Topology, port: OvsPort) -> int | None:
    taps = [it.mtu for it in topology.resources if isinstance(it, Tap) and it.name == port.name]
    return next(iter(taps), None) or port.device_mtu or port.mtu_request
