# SPDX-License-Identifier: Apache-2.0
"""The VLANs of single ports of Open vSwitch, as options say them.

Without a word here they are the network's agent's to set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from os_vif.engine.checks import vlan_ids
from os_vif.host.openvswitch.resources import vlan_settings

if TYPE_CHECKING:
    from os_vif.objects.vif import VIFBase

OPTS = (
    cfg.DictOpt(
        "port_vlans",
        default={},
        help="By the ids of VIFs, the VLAN of the port's frames without a tag: ID:VLAN,ID:VLAN. "
        "Ports that are not named keep what others set. In a file for the command: the field vlan.",
    ),
    cfg.DictOpt(
        "port_trunks",
        default={},
        help="By the ids of VIFs, the VLANs that the port carries with their tags: "
        "ID:10 20-29,ID:30. In a file for the command: the field trunks.",
    ),
    cfg.DictOpt(
        "port_vlan_modes",
        default={},
        help="By the ids of VIFs, the port's vlan_mode: access, trunk, native-tagged, "
        "native-untagged or dot1q-tunnel. In a file for the command: the field vlan_mode.",
    ),
)


def settings_of(config: Any, vif: VIFBase) -> dict[str, Any]:
    """Return the columns that make a VIF's port of the VLANs it was given; {} for none.

    :raises InvalidField: they cannot be used, or not together
    """
    tags, trunks, modes = config.port_vlans, config.port_trunks, config.port_vlan_modes
    if not (tags or trunks or modes):
        return {}
    tag, listed = tags.get(vif.id), trunks.get(vif.id)
    if isinstance(tag, str) and tag.isascii() and tag.isdigit():
        tag = int(tag)
    ids = vlan_ids(listed, least=0) if isinstance(listed, str) else listed
    return vlan_settings(tag, ids, modes.get(vif.id))
