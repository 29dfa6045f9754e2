# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a host as a chassis of OVN, whatever VIFs it has; with what mends it.

Sources: ovn-controller(8), ovs-vsctl(8).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from os_vif.engine.family import Diagnosis
from os_vif.host.openvswitch.questions import Chassis
from os_vif.host.openvswitch.rules.binding import NEEDED, integration_bridge, overhead

_TOLD = "ovs-vsctl set Open_vSwitch . external_ids:"

_MAPPINGS = "ovn-bridge-mappings"


def examine(chassis: Chassis) -> Iterator[Diagnosis]:
    """Return what is so of a chassis, in the order in which one thing hangs on another."""
    for key, example in NEEDED.items():
        if chassis.told.get(key):
            yield Diagnosis(key, chassis.told[key])
        else:
            yield Diagnosis(key, "ovn-controller was not told it", f"{_TOLD}{key}={example}")
    yield from _of_bridge(chassis)
    yield from _of_southbound(chassis)
    yield from _of_tunnels(chassis)
    yield from _of_mappings(chassis)


def _of_bridge(chassis: Chassis) -> Iterator[Diagnosis]:
    integration = integration_bridge(chassis.told)
    if integration in chassis.bridges:
        yield Diagnosis(integration, "OVN looks at the ports of this bridge")
    else:
        yield Diagnosis(
            integration,
            "there is no such bridge, and OVN looks at the ports of this one alone",
            f"ovs-vsctl add-br {shlex.quote(integration)} "
            f"-- set Bridge {shlex.quote(integration)} fail-mode=secure",
        )
    for name, bridge, _mtu in chassis.ports:
        if bridge != integration:
            yield Diagnosis(
                name,
                f"it has an iface-id and is on {bridge}, and OVN looks at the ports of "
                f"{integration} alone",
                f"plug it with the bridge {integration}; or, if all of OVN's ports are to be on "
                f"{bridge}: {_TOLD}ovn-bridge={shlex.quote(bridge)}",
            )


def _of_southbound(chassis: Chassis) -> Iterator[Diagnosis]:
    told = chassis.told
    if not told.get("ovn-remote") or not told.get("system-id"):
        return  # that is said
    about = "Southbound database"
    if chassis.silent:
        yield Diagnosis(
            about,
            f"it cannot be asked: {chassis.silent}",
            f"start it there, or name another: {_TOLD}ovn-remote={NEEDED['ovn-remote']}",
        )
    elif not chassis.known:
        yield Diagnosis(
            about,
            f"it knows no chassis {told['system-id']}: ovn-controller does not run here, or "
            f"{told['ovn-remote']} is another OVN's",
            "start ovn-controller (Debian: systemctl start ovn-host), or name another: "
            f"{_TOLD}ovn-remote={NEEDED['ovn-remote']}",
        )
    else:
        yield Diagnosis(about, f"it knows this chassis, {told['system-id']}")


def _of_tunnels(chassis: Chassis) -> Iterator[Diagnosis]:
    address = chassis.told.get("ovn-encap-ip", "")
    if not address:
        return
    if chassis.tunnels is None:
        yield Diagnosis(
            "tunnels",
            f"no device of this host has the address {address}",
            f"ip address add {shlex.quote(address)}/PREFIX dev DEVICE; or, where tunnels end at "
            f"another: {_TOLD}ovn-encap-ip={NEEDED['ovn-encap-ip']}",
        )
        return
    device, available = chassis.tunnels
    added = overhead(chassis.told)
    integration = integration_bridge(chassis.told)
    widest = max(
        ((mtu or 0, name) for name, bridge, mtu in chassis.ports if bridge == integration),
        default=(0, ""),
    )
    if widest[0] + added > available:
        yield Diagnosis(
            device,
            f"tunnels go over it, and it has MTU {available}: packets of {widest[1]} (MTU "
            f"{widest[0]}) to other hosts are lost without a word if they are longer than "
            f"{available - added}",
            f"ip link set dev {shlex.quote(device)} mtu {widest[0] + added}",
        )
    else:
        yield Diagnosis(
            device,
            f"tunnels go over it: its MTU {available} is enough for networks of "
            f"{available - added}",
        )


def _of_mappings(chassis: Chassis) -> Iterator[Diagnosis]:
    for entry in filter(None, chassis.told.get(_MAPPINGS, "").split(",")):
        network, colon, bridge = entry.partition(":")
        if not network or not colon or not bridge:
            yield Diagnosis(
                _MAPPINGS,
                f"{entry!r} is no mapping",
                f"{_TOLD}{_MAPPINGS}=NETWORK:BRIDGE (several with commas between)",
            )
        elif bridge not in chassis.bridges:
            yield Diagnosis(
                _MAPPINGS,
                f"{network} is to be on the bridge {bridge}, and there is none",
                f"ovs-vsctl add-br {shlex.quote(bridge)} -- add-port {shlex.quote(bridge)} DEVICE",
            )
        else:
            yield Diagnosis(_MAPPINGS, f"{network} is on {bridge}")
