# SPDX-License-Identifier: Apache-2.0
"""VLANs and limits of a port: what differs from the description, and what is to be taken back.

Only what is described is looked at, for agents set the same columns.  What plugging has set is
noted with the port, so that it goes when it is not described any more, unless somebody has set it
otherwise since.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from os_vif import exception
from os_vif.host.openvswitch.questions import SET_KEY, PortRow
from os_vif.host.openvswitch.resources import ISOLATED, SETTINGS, VLAN_SETTINGS, OvsPort


def of_new_port(wanted: OvsPort, before: PortRow) -> dict[str, Any]:
    """Return the settings of a port that is added, maybe again: what an agent gave it, it keeps."""
    settings = dict(before.settings)
    if wanted.isolate and not before.name and not wanted.has_vlan:
        settings |= ISOLATED
    settings |= {**wanted.settings, **_not_any_more(wanted, before)}
    return {key: value for key, value in settings.items() if value}


def differing(wanted: OvsPort, row: PortRow, qos_type: str | None) -> dict[str, Any]:
    """Return the columns that are not as described, and those to take back, with the note of them.

    :param qos_type: of the port's QoS row while nothing limits it; None for no row
    :raises ResourceConflict: a row that limits other ports too would have to be changed.
    """
    gone = _not_any_more(wanted, row)
    columns = {**_differing(wanted, row), **gone}
    noted = _noted(row.external_ids)
    if not columns and noted.keys() <= wanted.settings.keys():
        return {}
    if "max_rate" in columns:
        if row.qos_shared:
            raise exception.ResourceConflict(
                resource=f"the QoS row of Open vSwitch port {row.name}",
                reason="other ports have it too, and would be limited with this one; clear it "
                f"(ovs-vsctl clear Port {row.name} qos)",
            )
        columns["qos"] = "linux-htb" if columns["max_rate"] else qos_type
    return {**columns, "external_ids": {SET_KEY: note(wanted) or None}}


def note(wanted: OvsPort) -> str:
    """Return what is noted with a port of its settings; '' for none."""
    return json.dumps(wanted.settings, sort_keys=True) if wanted.settings else ""


def _noted(ids: Mapping[str, str]) -> dict[str, Any]:
    try:
        noted = json.loads(ids.get(SET_KEY, "{}"))
    except ValueError:
        return {}
    return noted if isinstance(noted, dict) else {}


def _differing(wanted: OvsPort, row: PortRow) -> dict[str, Any]:
    said = wanted.settings
    found = {key: said[key] for key in said if _of(row, key) != (said[key] or None)}
    if found.keys() & VLAN_SETTINGS and "vlan_mode" not in row.settings:
        # Unset, it would follow from what the next who comes sets.
        found["vlan_mode"] = said["vlan_mode"]
    return found


def _of(row: PortRow, key: str) -> Any:
    """Return a setting of a port; None for none."""
    if key == "vlan_mode" and key not in row.settings:
        return "access" if "tag" in row.settings else "trunk"  # what the switch takes it for
    return row.settings.get(key)


def _not_any_more(wanted: OvsPort, row: PortRow) -> dict[str, None]:
    noted = _noted(row.external_ids)
    return {
        key: None
        for key in SETTINGS
        if key in noted and key not in wanted.settings and row.settings.get(key) == noted[key]
    }
