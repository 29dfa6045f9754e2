# SPDX-License-Identifier: Apache-2.0
"""What `check` says: each step that plugging would take, as what is wrong now."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from os_vif.drawing.scene import HOST, Fault, process_of
from os_vif.host.function_marks import parse_function_mark
from os_vif.host.step import Step
from os_vif.host.switch import MARK_KEY


@dataclasses.dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is not as described.

    :ivar device: the device it concerns, or the host's routing.
    :ivar words: what is wrong, without the device.
    :ivar missing: the device is not there at all.
    :ivar attribute: the attribute that differs; '' where it is something else.
    :ivar expected: the attribute's right value.
    """

    device: str
    words: str
    missing: bool = False
    attribute: str = ""
    expected: Any = None


def _attribute(key: str, value: Any) -> str:
    from os_vif.host.topology import noted_socket

    if key == "up":
        return "is down" if value else "should be down"
    if key == "master":
        return f"should be a port of {value}" if value else "should be a port of nothing"
    if key == "alias":
        socket = noted_socket(value)
        told = f", with its socket {socket[0]}" if socket else ""
        return f"lacks the mark of its owner{told}"
    if key == "mtu":
        return f"MTU should be {value}"
    if key == "mac":
        return f"MAC should be {value}"
    if isinstance(value, bool):
        return f"{key} should be {'on' if value else 'off'}"
    return f"{key} should be {value}"


def _changed(args: Mapping[str, Any]) -> list[Drift]:
    return [
        Drift(args["name"], _attribute(key, value), attribute=key, expected=value)
        for key, value in args["attributes"].items()
    ]


def _route(args: Mapping[str, Any]) -> list[Drift]:
    route = args["route"]
    via = f" via {route['gateway']}" if route["gateway"] else ""
    return [Drift(args["device"], f"the route to {route['destination']}{via} is missing")]


def _rules(args: Mapping[str, Any]) -> list[Drift]:
    # The rules are a bridge's, and the picture shows them there.
    bridge = args["comment"].rpartition("bridge=")[2]
    tool = "ip6tables" if args["ipv6"] else "iptables"
    return [Drift(bridge, f"its FORWARD rules ({tool}) are missing or differ")]


def _created(args: Mapping[str, Any]) -> list[Drift]:
    ends = [args["name"], *([args["attributes"]["peer"]] if args["kind"] == "veth" else [])]
    return [Drift(name, f"{args['kind']} is missing", missing=True) for name in ends]


def _made_anew(args: Mapping[str, Any]) -> str:
    from os_vif.host.fields import said_mode

    differs = "multi_queue differs"
    if args["kind"] == "macvtap":
        wanted = args["attributes"]
        differs = f"it should be on {wanted['link']} in mode {said_mode(wanted['mode'])}"
    return f"must be made anew ({differs})"


def _port_added(args: Mapping[str, Any]) -> list[Drift]:
    # The device of one that is attached at once is there, or is missed by itself.
    alone = bool(args["type"]) or not args["attached"]
    words = f"port of {args['bridge']} is missing"
    return [Drift(args["name"], words, alone, "port", args["bridge"])]


def _port_changed(args: Mapping[str, Any]) -> list[Drift]:
    found = []
    for column, value in args["columns"].items():
        keyed = value.items() if isinstance(value, dict) else [("", value)]
        for key, wanted in keyed:
            attribute = f"{column}:{key}" if key else column
            words = f"{attribute} should " + ("not be set" if wanted is None else f"be {wanted}")
            if (column, key) == ("external_ids", MARK_KEY):
                words = "the port lacks the mark of its owner"
            found.append(Drift(args["name"], words, False, attribute, wanted))
    if not args["columns"] or args["why"]:
        words = "Open vSwitch has not attached it" + (f" ({args['why']})" if args["why"] else "")
        found.append(Drift(args["name"], words, attribute="port"))
    return found


def _port_moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> Drift:
    """Return what is wrong with a port that must be deleted and added again."""
    words = f"is on {old['bridge']} and should be on {new['bridge']}"
    if old["bridge"] == new["bridge"]:
        words = f"must be attached anew: {old['why']}"
    return Drift(new["name"], words, False, "port", new["bridge"])


def _vf_changed(args: Mapping[str, Any]) -> list[Drift]:
    from os_vif.host.function_steps import setting_in_words

    return [
        Drift(args["address"], f"should have {words}", False, name, value)
        for name, value in args["settings"].items()
        if (words := setting_in_words(name, value))
    ]


def _driver(args: Mapping[str, Any]) -> list[Drift]:
    words = f"should be driven by {args['driver']}"
    return [Drift(args["address"], words, False, "driver", args["driver"])]


def _marked(args: Mapping[str, Any]) -> list[Drift]:
    mark = parse_function_mark(args["mark"])
    return [Drift(mark.address, "lacks the mark of its owner", False, "mark")] if mark else []


def _still_marked(args: Mapping[str, Any]) -> list[Drift]:
    mark = parse_function_mark(args["mark"])
    words = f"carries the mark of VIF {mark.vif_id}" if mark else ""
    return [Drift(mark.address, words, False, "mark")] if mark else []


def _started(args: Mapping[str, Any]) -> list[Drift]:
    why = f": {args['why']}" if args["why"] else ""
    words = f"its back end does not run as it should{why}"
    return [Drift(args["name"], words, attribute="back end")]


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], list[Drift]]] = {
    "create_link": _created,
    "set_link": _changed,
    "rename_link": lambda args: [
        Drift(args["name"], f"should be called {args['to']}", False, "name", args["to"])
    ],
    "add_br": lambda args: [Drift(args["name"], "Open vSwitch bridge is missing", missing=True)],
    "add_port": _port_added,
    "set_port": _port_changed,
    "del_port": lambda args: [Drift(args["name"], f"should not be on {args['bridge']}")],
    "add_address": lambda args: [
        Drift(args["device"], f"the address {args['address']['local']} is missing")
    ],
    "delete_address": lambda args: [
        Drift(args["device"], f"still has the address {args['address']['local']}")
    ],
    "add_route": _route,
    "delete_route": lambda args: [
        Drift(args["device"], f"still has the route to {args['route']['destination']}")
    ],
    "add_proxy": lambda args: [Drift(args["device"], f"does not answer for {args['address']}")],
    "set_forwarding": _rules,
    "mark_function": _marked,
    "unmark_function": _still_marked,
    "set_vf": _vf_changed,
    "bind_driver": _driver,
    "associate_vsi": lambda args: [
        Drift(args["interface"], f"VSI {args['vsi']['instance']} is not associated", False, "vsi")
    ],
    "set_port_profile": lambda args: [
        Drift(args["device"], f'should have the port profile "{args["profile"]}"', False, "profile")
    ],
    "add_fp_device": lambda args: [Drift(args["name"], "fast path has not made it", missing=True)],
    "start_back_end": _started,
    "stop_back_end": lambda _args: [],
    "expect_socket": lambda args: [Drift(args["path"], args["why"], False, "socket")],
    "disassociate_vsi": lambda args: [
        Drift(args["interface"], f"still has VSI {args['vsi']['instance']}", False, "vsi")
    ],
    "clear_port_profile": lambda args: [
        Drift(args["device"], "still has the port profile it had before", False, "profile")
    ],
}


def drifts_of(steps: Iterable[Step]) -> list[Drift]:
    """Return what is wrong, once each, from the steps that would put it right."""
    from os_vif.host.steps import describe

    steps = list(steps)
    found: list[Drift] = []
    doomed: set[str] = set()
    added = {step.args["name"]: step.args for step in steps if step.kind == "add_port"}
    moved: set[str] = set()
    for step in steps:
        if step.kind == "delete_links":
            # Plugging deletes only what it makes anew, because the kernel cannot change it.
            doomed.update(name for name, _index in step.args["links"])
        elif step.kind == "create_link" and step.args["name"] in doomed:
            found.append(Drift(step.args["name"], _made_anew(step.args)))
        elif step.kind == "del_port" and step.args["name"] in added:
            moved.add(step.args["name"])
            found.append(_port_moved(step.args, added[step.args["name"]]))
        elif step.kind == "add_port" and step.args["name"] in moved:
            pass
        elif step.kind in _WORDS:
            found += _WORDS[step.kind](step.args)
        else:
            found.append(Drift(HOST, f"to do: {describe(step)}"))
    # Of what is not there, it goes without saying that it is not as it should be.
    missing = {drift.device for drift in found if drift.missing}
    said = [drift for drift in found if drift.missing or drift.device not in missing]
    return list({(drift.device, drift.words): drift for drift in said}.values())


def faults_of(drifts: Iterable[Drift]) -> dict[str, Fault]:
    """Return the faults to draw, by device."""
    notes: dict[str, list[str]] = {}
    missing: set[str] = set()
    detached: set[str] = set()
    for drift in drifts:
        part = process_of(drift.device) if drift.attribute == "back end" else drift.device
        notes.setdefault(part, []).append("missing" if drift.missing else drift.words)
        if drift.missing:
            missing.add(part)
        if drift.attribute in ("master", "port"):
            detached.add(part)
    return {
        device: Fault(device in missing, device in detached, tuple(dict.fromkeys(words)))
        for device, words in notes.items()
    }
