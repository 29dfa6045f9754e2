# SPDX-License-Identifier: Apache-2.0
"""What bridges and ports of Open vSwitch look like: in ``show``, in ``list`` and in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.drawing.scene import Fault, Scene
from os_vif.engine.checks import spelled_vlans
from os_vif.engine.picture import Drawn, Picture, State
from os_vif.host.openvswitch.resources import DEAD_VLAN, OvsBridge, OvsPort

if TYPE_CHECKING:
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.topology import Resource
    from os_vif.host.openvswitch.questions import PortRow

# --- drawn ------------------------------------------------------------------------------------


def _bridge(scene: Scene, bridge: OvsBridge) -> None:
    lines = ["Open vSwitch bridge"]
    if bridge.datapath_type:
        lines.append(f"datapath {bridge.datapath_type}")
    if bridge.own:
        lines.append("this VIF's alone")
    part = scene.part(bridge.name, "switch", *lines)
    part.own = part.own or bridge.own


_PORT_LINES: Mapping[str, str] = {
    "patch": "patch port",
    "dpdk": "DPDK port",
    "dpdkvhostuser": "vhost-user: the switch listens",
    "dpdkvhostuserclient": "vhost-user: the guest listens at",
}
"""What a port is, by its interface's type."""


def _port(scene: Scene, port: OvsPort) -> None:
    kind = "socket" if port.type.startswith("dpdkvhostuser") else "port"
    lines = [_PORT_LINES[port.type]] if port.type in _PORT_LINES else []
    lines += [port.options[key] for key in ("vhost-server-path",) if key in port.options]
    if port.behind and port.type:
        lines.append(f"representor of {port.behind}")
    if not port.type and not port.attached:
        lines.append("the hypervisor's device")
    if port.mtu_request is not None:
        lines.append(f"MTU {port.mtu_request}")
    if "iface-id" in port.external_ids:
        # As much of it as tells it from others: the whole would make every box wide.
        lines.append(f"iface-id {port.external_ids['iface-id'][:8]}...")
    if port.settings:
        lines += _settings(port)
    elif port.isolate:
        lines.append(f"VLAN {DEAD_VLAN} until its agent comes")
    [key] = _key_of_port(port)
    part = scene.part(key, kind, *lines)
    part.below = port.bridge
    bridge = scene.part(port.bridge, "switch")
    if port.type == "patch" and bridge.own:
        # The way out of a bridge of the VIF's own: the other end is on the shared one.
        bridge.below = key
        part.below = port.options["peer"]
        part.carries = True
        scene.part(part.below, "port")


def _settings(port: OvsPort) -> list[str]:
    said, lines = port.settings, []
    if "vlan_mode" in said:
        words = f"tag {said['tag']}" if "tag" in said else ""
        words += f" trunks {spelled_vlans(said['trunks']) or 'all'}" if "trunks" in said else ""
        lines.append(f"{said['vlan_mode']} {words.strip()}")
    if "max_rate" in said:
        lines.append(f"to guest {said['max_rate'] // 1000} kbit/s at most")
    if "ingress_policing_rate" in said:
        lines.append(f"from guest {said['ingress_policing_rate']} kbit/s at most")
    return lines


def _key_of_port(port: OvsPort) -> Sequence[str]:
    # What a representor is called is seen on the host; it is one part with its port.
    return [port.name or f"representor of {port.behind}"]


# --- as the host holds it ---------------------------------------------------------------------


def _held(item: Plugged) -> list[Resource]:
    own = {bridge.name: bridge.datapath_type for bridge in item["bridges"]}
    names = dict.fromkeys([*own, *(port.bridge for port in item["ports"])])
    resources: list[Resource] = [
        OvsBridge(name=name, datapath_type=own.get(name, ""), own=name in own) for name in names
    ]
    for port in item["ports"]:
        resources.append(
            OvsPort(
                name=port.name,
                bridge=port.bridge,
                type=port.type,
                options=port.options,
                external_ids=port.external_ids,
                mtu_request=port.mtu_request,
                settings={} if port.isolated else port.settings,
                isolate=port.isolated,
            )
        )
    return resources


# --- listed -----------------------------------------------------------------------------------


def _json(item: Plugged) -> dict[str, list[Any]]:
    return {
        "ports": [
            {
                "name": port.name,
                "bridge": port.bridge,
                "type": port.type,
                "iface_id": port.external_ids.get("iface-id"),
                "ofport": port.ofport,
                "bound": port.bound,
                "error": port.error or None,
            }
            for port in item["ports"]
        ],
        "bridges": [bridge.name for bridge in item["bridges"]],
    }


def _names(item: Plugged) -> list[tuple[str, Any]]:
    bridges = [(bridge.name, None) for bridge in item["bridges"]]
    return [*bridges, *((port.name, port.bridge) for port in item["ports"])]


def _trouble(port: PortRow) -> str:
    """Return why Open vSwitch has not attached a port; '' if it has."""
    if port.ofport is not None and port.ofport > 0:
        return ""
    return port.error or "Open vSwitch has not attached it"


def _faults(item: Plugged) -> dict[str, Fault]:
    troubles = {port.name: _trouble(port) for port in item["ports"]}
    return {name: Fault(detached=True, notes=(why,)) for name, why in troubles.items() if why}


def _states(item: Plugged) -> list[State]:
    return [State("port error", 1)] if any(_trouble(port) for port in item["ports"]) else []


def _waiting(item: Plugged) -> tuple[str, ...]:
    there = {link.name for link in item["links"]}
    return tuple(
        port.name
        for port in item["ports"]
        if not port.type and port.name not in there and (port.ofport or -1) < 0
    )


def _bound(item: Plugged) -> str:
    """Return whether OVN has bound all ports that it may know, in a word."""
    told = [port.bound for port in item["ports"] if port.external_ids.get("iface-id")]
    return "" if not told else "yes" if all(told) else "no"


PICTURE = Picture(
    drawn={
        OvsBridge: Drawn(_bridge, lambda bridge: [bridge.name]),
        OvsPort: Drawn(_port, _key_of_port),
    },
    held=_held,
    faults=_faults,
    json=_json,
    names=_names,
    beside=lambda item: [port.bridge for port in item["ports"]],
    states=_states,
    columns={"BOUND": _bound},
    waiting=_waiting,
)
