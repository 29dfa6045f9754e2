# SPDX-License-Identifier: Apache-2.0
"""From what the host and Open vSwitch hold of a VIF back to what was said of it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from os_vif.engine.checks import vlan_ranges
from os_vif.host.openvswitch import resources as openvswitch
from os_vif.plugins.types.anti_spoofing import tell_addresses
from os_vif.specs import NotTold, Told, access_of, told_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from os_vif.engine.plugged import Held
    from os_vif.host.openvswitch.questions import PortRow

_NOTE = "os-vif-set"
_VHOST_USER = {"dpdkvhostuserclient": "server", "dpdkvhostuser": "client"}
"""The guest's part at the socket, by the interface's type."""


def port_of(held: Held) -> Told | None:
    """Return what type ``openvswitch`` says of a VIF."""
    if _is_hybrid(held) or any(port.type in (*_VHOST_USER, "dpdk") for port in held["ports"]):
        return None
    taps = [link for link in held["links"] if link.kind == "tap"]
    if held["links"] and not taps:
        return None
    own = {bridge.name for bridge in held["bridges"] if not bridge.name.startswith("tbr-")}
    port = device = _one_of([it for it in held["ports"] if it.bridge not in own])
    if own:
        # What the network is told stands at the patch that joins its bridge, the rest at the tap.
        device = _one_of([it for it in held["ports"] if it.bridge in own and it.type != "patch"])
    told = _told(held, port, name=device.name, create_tap=None if taps else False)
    told.values |= _settings(device)
    told.options["per_port_bridge"] = bool(own)
    if taps:
        tap = taps[0]
        told.values.setdefault("mac", tap.attributes["mac"])
        told.values |= {key: value for key, value in access_of(tap).items() if value is not None}
        told.network(mtu=tap.attributes.get("mtu"))
        tell_addresses(held, told)
    else:
        told.doubts.append("the MTU of the device, which the hypervisor makes")
    return told


def hybrid_of(held: Held) -> Told | None:
    """Return what type ``openvswitch-hybrid`` says of a VIF."""
    if not _is_hybrid(held):
        return None
    told = _told(held, the_port(held))
    mtus = [link.attributes.get("mtu") for link in held["links"] if link.kind == "veth"]
    told.network(mtu=next(iter(mtus), None))
    told.doubts.append("the name of the tap, which the hypervisor makes, unless the id tells it")
    return told


def vhost_user_of(held: Held) -> Told | None:
    """Return what type ``openvswitch-vhostuser`` says of a VIF."""
    if not any(port.type in _VHOST_USER for port in held["ports"]):
        return None
    port = the_port(held)
    path = port.options.get("vhost-server-path")
    told = _told(held, port, name=port.name, mode=_VHOST_USER[port.type], path=path)
    told.network(mtu=port.mtu_request)
    return told


def host_device_of(held: Held) -> Told | None:
    """Return what type ``openvswitch-hostdev`` says of a VIF."""
    if not held["represented"] and not any(port.type == "dpdk" for port in held["ports"]):
        lent = [link.name for link in held["links"] if not link.kind]
        if lent:
            raise NotTold(f"which virtual function is behind {lent[0]} cannot be seen here")
        return None
    if not held["represented"]:
        raise NotTold("which virtual function is behind its port of DPDK, no mark tells")
    port = the_port(held)
    address, name, own_name, mtu = held["represented"][0]
    told = _told(held, port, device=address, name=name if name != own_name else None)
    told.network(mtu=mtu)
    return told


def _is_hybrid(held: Held) -> bool:
    return any(link.kind == "bridge" for link in held["links"])


def the_port(held: Held) -> PortRow:
    """Return the one port of a VIF's.

    :raises NotTold: there is none, or there are several
    """
    return _one_of(held["ports"])


def _one_of(found: Sequence[PortRow]) -> PortRow:
    if len(found) != 1:
        raise NotTold(f"it has {len(found) or 'no'} ports of Open vSwitch here, and one is its own")
    return found[0]


def _told(held: Held, port: PortRow, **values: Any) -> Told:
    ids = port.external_ids
    datapath = _datapath(held, port.bridge)
    told = told_of(
        held,
        bridge=port.bridge,
        mac=ids.get("attached-mac"),
        interface_id=None if ids.get("iface-id") == held.mark.vif_id else ids.get("iface-id"),
        datapath=datapath,
        **values,
        **_settings(port),
    )
    if datapath is None:
        told.doubts.append(f"the datapath of {port.bridge}, which somebody else made")
    return told


def _datapath(held: Held, bridge: str) -> str | None:
    rows = [row for row in held["bridges"] if row.name == bridge]
    shared = [it for it in held.shared.get(bridge, ()) if isinstance(it, openvswitch.OvsBridge)]
    found = [*rows, *shared]
    return (found[0].datapath_type or "system") if found else None


def _settings(port: PortRow) -> dict[str, Any]:
    """Return the settings that plugging made: agents set the same columns."""
    noted: Any = {}
    with contextlib.suppress(ValueError):
        noted = json.loads(port.external_ids.get(_NOTE, "{}"))
    said = {key: value for key, value in port.settings.items() if key in noted}
    names = {"tag": "vlan", "vlan_mode": "vlan_mode"}
    found: dict[str, Any] = {name: said[key] for key, name in names.items() if key in said}
    if said.get("trunks"):
        found["trunks"] = [
            first if first == last else f"{first}-{last}"
            for first, last in vlan_ranges(said["trunks"])
        ]
    if "max_rate" in said:
        found["rate_to_guest"] = said["max_rate"]
    if "ingress_policing_rate" in said:
        found["rate_from_guest"] = said["ingress_policing_rate"] * 1000
        found["burst_from_guest"] = said.get("ingress_policing_burst", 0) * 125
    return found
