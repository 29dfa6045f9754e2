# SPDX-License-Identifier: Apache-2.0
"""Steps on Open vSwitch.

All of a batch become one OVSDB transaction, in the caller's own process; none crosses the
privilege boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from os_vif.engine.observed import Asked, Host
from os_vif.engine.step import TRANSACTION, Args, Drift, Kind, Step, from_to
from os_vif.host.links.questions import LINKS
from os_vif.host.openvswitch.questions import (
    BRIDGES,
    GUEST_KEY,
    INSTALLED_KEY,
    MARK_KEY,
    OF_CONTROLLER,
    PORTS,
    SET_KEY,
    BridgeRow,
    PortRow,
)
from os_vif.host.openvswitch.resources import SETTINGS


def _add_br(host: Host, args: Args) -> None:
    row = BridgeRow(args["name"], args["datapath_type"], mark=args["mark"])
    host[BRIDGES][args["name"]] = row


def _undo_del_br(host: Host, args: Args) -> Step | None:
    row = host[BRIDGES].get(args["name"])
    if row is None:
        return None
    again = {"name": row.name, "datapath_type": row.datapath_type, "mark": row.mark}
    return Step("add_br", again)


def _del_br(host: Host, args: Args) -> None:
    host[BRIDGES][args["name"]] = None
    for name, port in host[PORTS].items():
        if port and port.bridge == args["name"]:
            host[PORTS][name] = None


def _port_of(args: Args) -> dict[str, Any]:
    return {
        "type": args["type"],
        "options": dict(args["options"]),
        "external_ids": dict(args["external_ids"]),
        "mtu_request": args["mtu_request"],
        "settings": dict(args["settings"]),
        "qos": args["qos_type"],
        "qos_uuid": args["qos_row"],
    }


def _add_port(host: Host, args: Args) -> None:
    # Whether Open vSwitch could attach it is seen afterwards; the plan is that it can.
    row = PortRow(args["name"], args["bridge"], **_port_of(args), ofport=1)
    host[PORTS][args["name"]] = row
    _bind(row, args)


def _bind(row: PortRow, args: Args) -> None:
    if args["bound"]:
        row.external_ids[INSTALLED_KEY] = "true"


def _del_port(host: Host, args: Args) -> None:
    host[PORTS][args["name"]] = None


def _undo_del_port(host: Host, args: Args) -> Step | None:
    row = host[PORTS].get(args["name"])
    if row is None:
        return None
    deleted = args["rows"][2]
    return Step(
        "add_port",
        {
            "name": row.name,
            "bridge": row.bridge,
            "type": row.type,
            "options": dict(row.options),
            "external_ids": {
                key: text for key, text in row.external_ids.items() if key not in OF_CONTROLLER
            },
            "mtu_request": row.mtu_request,
            "settings": dict(row.settings),
            "qos_type": row.qos,
            "qos_row": "" if deleted else row.qos_uuid,
            "attached": False,
            "bound": False,
        },
    )


def _existing(host: Host, name: str) -> PortRow:
    row = host[PORTS].get(name)
    if row is None:
        raise LookupError(f"a step for port {name}, which is not there")
    return row


def _set_port(host: Host, args: Args) -> None:
    row = _existing(host, args["name"])
    for key, value in args["columns"].items():
        if key == "external_ids":
            for name, text in value.items():
                if text is None:
                    row.external_ids.pop(name, None)
                else:
                    row.external_ids[name] = text
        elif key not in SETTINGS:
            setattr(row, key, value)
        elif value:
            row.settings[key] = value
        else:
            row.settings.pop(key, None)
    _bind(row, args)


def _shows(host: Host, args: Args) -> dict[str, Any]:
    row = _existing(host, args["name"])
    shown: dict[str, Any] = {}
    for key, value in args["columns"].items():
        if key == "external_ids":
            shown[key] = {name: row.external_ids.get(name) for name in value}
        elif key in SETTINGS:
            shown[key] = row.settings.get(key)
        else:
            there = getattr(row, key)
            shown[key] = dict(there) if isinstance(there, dict) else there
    return shown


def _unset_port(host: Host, args: Args) -> Step:
    row = _existing(host, args["name"])
    before = _shows(host, args)
    # A QoS row that the step makes is known when it is there.
    rows = args["rows"] if row.qos_uuid or "qos" not in before else ["", "", ""]
    waiting = {"attached": False, "bound": False}
    return Step("set_port", {**args, "rows": rows, "columns": before, **waiting})


def del_port(row: PortRow, why: str = "") -> Step:
    """Return the step that deletes a port.

    :param why: it is to come again, and this is why, in words; its QoS row waits for it
    """
    rows = rows_of(row)
    if why:
        rows[2] = ""
    return Step("del_port", {"name": row.name, "bridge": row.bridge, "rows": rows, "why": why})


def del_br(row: BridgeRow) -> Step:
    """Return the step that deletes a bridge."""
    return Step("del_br", {"name": row.name, "rows": [row.uuid]})


def rows_of(row: PortRow) -> list[str]:
    """Return the rows that make up a port: Port, Interface and a QoS of its own, '' for unknown."""
    return [row.uuid, row.interface, "" if row.qos_shared else row.qos_uuid]


def _columns(columns: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    said = []
    for key, value in columns.items():
        if isinstance(value, dict):
            there = _keyed(before.get(key))
            said += [f"{key}:{name}={_becomes(there, name, text)}" for name, text in value.items()]
        else:
            said.append(f"{key}={_becomes(before, key, 'none' if value is None else value)}")
    return ", ".join(said)


def _keyed(there: Any) -> Mapping[str, Any]:
    return there if isinstance(there, dict) else {}


def _becomes(before: Mapping[str, Any], key: str, value: Any) -> str:
    return from_to("" if before.get(key) is None else str(before[key]), str(value))


def _set(args: Args) -> str:
    columns = _columns(args["columns"], args.get("before", {}))
    awaited = "wait until OVN has bound it" if args["bound"] else "attach it"
    return f"set port {args['name']}: {columns or awaited}"


def _fields(*names: str) -> Mapping[str, Callable[[Any], bool]]:
    # They hold what the resources checked, and never come from another process.
    return dict.fromkeys(names, lambda _value: True)


def _shown(args: Args) -> dict[str, Any]:
    # That a new port gets its mark, and what is noted beside it, goes without saying.
    hidden = (MARK_KEY, SET_KEY, GUEST_KEY)
    ids = {key: text for key, text in args["external_ids"].items() if key not in hidden}
    keys = ("type", "options", "mtu_request", "qos_type")
    said = {key: args[key] for key in keys if args[key]}
    return {**said, **args["settings"], "external_ids": ids}


# --- what must hold -------------------------------------------------------------------------------


def _is_attached(args: Args) -> bool:
    # That a port got its number, in the end, shows its device to be there.
    return bool(args["attached"])


def _doubts(args: Args) -> list[Asked]:
    # A port that came, went and came again while ovs-vswitchd looked away has a number, but holds
    # the device it had before.
    return [LINKS(args["name"])] if args["attached"] and not args["type"] else []


def _holds(args: Args, host: Host) -> bool:
    """Tell whether the switch has open what it says it has attached."""
    if not _doubts(args):
        return True
    link = host[LINKS].get(args["name"])
    return link is None or bool(link.attributes.get("promiscuity"))


# --- what is wrong where a step is left -----------------------------------------------------------


def _port_missing(args: Args, every: Sequence[Step]) -> list[Drift]:
    if _of_port("del_port", args["name"], every) is not None:
        return []  # it is there, and must be attached anew
    # The device of one that is attached at once is there, or is missed by itself.
    alone = bool(args["type"]) or not args["attached"]
    words = f"port of {args['bridge']} is missing"
    return [Drift(args["name"], words, alone, "port", args["bridge"], detached=True)]


def _new_port(args: Args, every: Sequence[Step]) -> list[str]:
    """Return the port, unless it was there and is only moved, or attached anew."""
    name = args["name"]
    return [name] if _of_port("del_port", name, every) is None else []


def _port_differs(args: Args, _every: Sequence[Step]) -> list[Drift]:
    found = []
    for column, value in args["columns"].items():
        there = args.get("before", {}).get(column)
        keyed = value.items() if isinstance(value, dict) else [("", value)]
        for key, wanted in keyed:
            if (column, key) == ("external_ids", GUEST_KEY):
                continue  # it is for people
            attribute = f"{column}:{key}" if key else column
            before = _keyed(there).get(key) if key else there
            former = "" if before is None else f"is {before}, "
            should = "not be set" if wanted is None else f"be {wanted}"
            words = f"{attribute} {former}should {should}"
            if (column, key) == ("external_ids", MARK_KEY):
                words = "the port lacks the mark of its owner"
            if (column, key) == ("external_ids", SET_KEY):
                if args["columns"].keys() != {column}:
                    continue  # it goes with what is set
                words = "the port has a note of settings that are not described"
            found.append(Drift(args["name"], words, False, attribute, wanted, before=before))
    if args["bound"] and not args["why"]:
        attribute = f"external_ids:{INSTALLED_KEY}"
        found.append(Drift(args["name"], "OVN has not bound it", False, attribute, "true"))
    elif not args["columns"] or args["why"]:
        words = "Open vSwitch has not attached it" + (f" ({args['why']})" if args["why"] else "")
        found.append(Drift(args["name"], words, attribute="port", detached=True))
    return found


def _port_astray(args: Args, every: Sequence[Step]) -> list[Drift]:
    again = _of_port("add_port", args["name"], every)
    if again is None:
        return [Drift(args["name"], f"should not be on {args['bridge']}", astray=True)]
    words = f"is on {args['bridge']}, should be on {again['bridge']}"
    if args["bridge"] == again["bridge"]:
        words = f"must be attached anew: {args['why']}"
    return [Drift(again["name"], words, False, "port", again["bridge"], detached=True)]


def _of_port(kind: str, name: str, every: Sequence[Step]) -> Args | None:
    """Return the fields of the last step of a kind for a port, if there is one."""
    found = [step.args for step in every if step.kind == kind and step.args["name"] == name]
    return found[-1] if found else None


KINDS: Mapping[str, Kind] = {
    "add_br": Kind(
        _fields("name", "datapath_type", "mark"),
        _add_br,
        lambda _host, args: del_br(BridgeRow(args["name"], args["datapath_type"])),
        lambda args: (
            f"add Open vSwitch bridge {args['name']}"
            + (f", datapath {args['datapath_type']}" if args["datapath_type"] else "")
        ),
        drift=lambda args, _every: [
            Drift(args["name"], "Open vSwitch bridge is missing", missing=True)
        ],
        by=TRANSACTION,
    ),
    "del_br": Kind(
        _fields("name", "rows"),
        _del_br,
        _undo_del_br,
        lambda args: f"delete Open vSwitch bridge {args['name']}",
        drift=lambda args, _every: [
            Drift(args["name"], "Open vSwitch bridge is still there, of an earlier description")
        ],
        by=TRANSACTION,
    ),
    "add_port": Kind(
        _fields(
            *("name", "bridge", "type", "options", "external_ids", "mtu_request", "settings"),
            *("qos_type", "qos_row", "attached", "bound"),
        ),
        _add_port,
        lambda _host, args: del_port(PortRow(args["name"], args["bridge"])),
        lambda args: (
            f"add port {args['name']} to {args['bridge']}"
            + (f": {said}" if (said := _columns(_shown(args), {})) else "")
            + ("" if args["attached"] else "; the hypervisor makes its device")
            + ("; wait until OVN has bound it" if args["bound"] else "")
        ),
        drift=_port_missing,
        makes=_new_port,
        by=TRANSACTION,
        crowning=_is_attached,
        doubts=_doubts,
        holds=_holds,
    ),
    "set_port": Kind(
        _fields("name", "type", "rows", "columns", "attached", "bound", "why"),
        _set_port,
        _unset_port,
        _set,
        shows=_shows,
        drift=_port_differs,
        by=TRANSACTION,
        crowning=_is_attached,
        doubts=_doubts,
        holds=_holds,
    ),
    "del_port": Kind(
        _fields("name", "bridge", "rows", "why"),
        _del_port,
        _undo_del_port,
        lambda args: (
            f"delete port {args['name']} from {args['bridge']}"
            + (f": {args['why']}" if args["why"] else "")
        ),
        drift=_port_astray,
        by=TRANSACTION,
    ),
}
"""Every kind of step on Open vSwitch."""
