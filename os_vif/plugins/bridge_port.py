# SPDX-License-Identifier: Apache-2.0
"""How a Linux bridge treats the port of a VIF's tap, as the options of a plugin say it.

Without a word here a port is as the kernel makes it, or as others set it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oslo_config import cfg, types

from os_vif import exception
from os_vif.engine.checks import vlan_ids
from os_vif.host.bridge_ports.resources import FLAGS, BridgePort, Trunk, VlanFiltering

if TYPE_CHECKING:
    from os_vif.engine.topology import Resource

OPTS = (
    cfg.Opt(
        "port_settings",
        type=types.Dict(types.Boolean(), bounds=False),
        default={},
        help=f"Settings of the taps' ports: {', '.join(FLAGS)}, as bridge(8) has them; each "
        "NAME:true or NAME:false, of a single VIF ID/NAME:true. Others are left as they are. In a "
        "file for the command: the fields of these names.",
    ),
    cfg.Opt(
        "port_vlans",
        type=types.Dict(types.Integer(min=1, max=4094), bounds=False),
        default={},
        help="By the ids of VIFs, the VLAN of the port's frames without a tag: ID:VLAN,ID:VLAN. In "
        "a file for the command: the field vlan.",
    ),
    cfg.DictOpt(
        "port_trunks",
        default={},
        help="By the ids of VIFs, the VLANs of the port's frames with a tag: ID:10 20-29,ID:30. In "
        "a file for the command: the field trunks.",
    ),
    cfg.Opt(
        "vlan_filtering",
        type=types.Dict(types.Boolean(), bounds=False),
        default={},
        help="By the names of bridges, whether those that are made here filter VLANs, as VLANs of "
        "ports need it: br0:true. Others are left as they are. In a file for the command: the "
        "field vlan_filtering.",
    ),
)


def filtering(config: Any, bridge: str) -> list[Resource]:
    """Return what makes a bridge filter VLANs, if it is to."""
    return [VlanFiltering(name=bridge)] if config.vlan_filtering.get(bridge) else []


def port(config: Any, vif_id: str, tap: str, bridge: str, uplinks: list[str]) -> list[Resource]:
    """Return what is said of the port of a VIF's tap, and which VLANs uplinks carry for it.

    :raises InvalidField: a setting or a VLAN is none.
    """
    settings, vlan = config.port_settings, config.port_vlans.get(vif_id)
    trunks = config.port_trunks.get(vif_id)
    if not settings and vlan is None and not trunks:
        return []
    found = BridgePort(
        name=tap,
        bridge=bridge,
        flags=_flags(settings, vif_id),
        vlan=vlan,
        trunks=frozenset(vlan_ids(trunks or "", "port_trunks")),
    )
    if not found.attributes():
        return []
    carrying = uplinks if found.vlans else ()
    return [*(Trunk(name=it, bridge=bridge, vlans=found.vlans) for it in carrying), found]


def _flags(settings: dict[str, bool], vif_id: str) -> dict[str, bool]:
    """Return the settings of one VIF's port: its own, and those of all that it has no own of."""
    for key in settings:
        if key.rpartition("/")[2] not in FLAGS:
            expected = f"one of {', '.join(FLAGS)}, or a VIF's id, a slash and one of these"
            raise exception.InvalidField(field="port_settings", value=key, expected=expected)
    said = ((name, settings.get(f"{vif_id}/{name}", settings.get(name))) for name in FLAGS)
    return {name: value for name, value in said if value is not None}
