# SPDX-License-Identifier: Apache-2.0
"""VLANs, limits and QoS of a port, as operations on the database (ovs-vswitchd.conf.db(5))."""

from __future__ import annotations

import uuid
from typing import Any

from os_vif.engine.step import Args
from os_vif.host.openvswitch.questions import MARK_KEY
from os_vif.system import ovsdb_wire as wire

_NEVER_EMPTY = ("ingress_policing_rate", "ingress_policing_burst")

_MAX_RATE = "max-rate"
"""Of a QoS row of type linux-htb, in ``other_config``: what goes out of the port, in bit/s."""

_QOS_NAMESPACE = uuid.UUID("68da264a-847f-42a8-8ab0-5e774aee3d95")
"""Of the ids by which os-vif 3 to 5 find the QoS row of a port."""


def column(name: str, value: Any) -> Any:
    """Return the wire form of what a step has for a column."""
    if isinstance(value, dict):
        return wire.to_map(value)
    if value is None:
        return 0 if name in _NEVER_EMPTY else wire.to_set([])
    return wire.to_set(value) if isinstance(value, list) else value


def qos_row(port: str, qos_type: str, max_rate: int | None, mark: str | None) -> wire.Row:
    """Return the QoS row of a new port, or of one that had none."""
    ids = {} if mark is None else {MARK_KEY: mark}
    # For an earlier release that has to take the port away.
    ids |= {"id": str(uuid.uuid5(_QOS_NAMESPACE, port)), "_type": qos_type}
    row: wire.Row = {"type": qos_type, "external_ids": wire.to_map(ids)}
    if max_rate is not None:
        row["other_config"] = wire.to_map({_MAX_RATE: str(max_rate)})
    return row


def limit(qos: str, qos_type: str, max_rate: int | None) -> list[wire.Operation]:
    """Return what limits a port that has a QoS row of its own, or does so no more."""
    keys = {_MAX_RATE: None if max_rate is None else str(max_rate)}
    return [
        wire.update("QoS", wire.by_uuid(qos), {"type": qos_type}),
        wire.mutate("QoS", wire.by_uuid(qos), wire.set_keys("other_config", keys)),
    ]


def of_qos(
    args: Args, qos_type: str | None, max_rate: int | None, row_id: str
) -> tuple[list[wire.Operation], wire.Row]:
    """Return what limits a port that is there, or does so no more, and its column then.

    :param args: of the step
    :param row_id: for a row that must be made
    """
    port, _interface, qos = args["rows"]
    if qos and qos_type is not None:
        return limit(qos, qos_type, max_rate), {}
    if qos_type is not None:
        row = qos_row(args["name"], qos_type, max_rate, None)
        return [wire.insert("QoS", row_id, row)], {"qos": ["named-uuid", row_id]}
    if not qos:
        return [], {}
    # The reference goes first, for the server looks for such before it drops rows nobody holds.
    none = {"qos": wire.to_set([])}
    return [
        wire.update("Port", wire.by_uuid(port), none),
        wire.delete("QoS", wire.by_uuid(qos)),
    ], {}
