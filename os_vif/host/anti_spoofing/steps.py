# SPDX-License-Identifier: Apache-2.0
"""Steps that let guests send from their own addresses alone, or from any again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from os_vif.engine import checks, fields
from os_vif.engine.observed import Host
from os_vif.engine.step import Args, Drift, Kind, Step
from os_vif.engine.topology import parse_mark
from os_vif.host.anti_spoofing.questions import FILTERS, Filter, hook_of
from os_vif.host.anti_spoofing.questions.chains import is_chains


def setting(vif: str, found: Filter | None) -> Step:
    """Return the step that makes this the filter of a VIF; None for none."""
    way, _, device = found.hook.partition(" ") if found else ("", "", "")
    args: Args = {"vif": vif, "mark": found.mark if found else "", "device": device}
    chains = dict(found.chains) if found else {}
    return Step("set_guest_filter", {**args, "guest_inside": way == "egress", "chains": chains})


def removing(vif: str, device: str) -> Step:
    """Return the step that takes away the filter of a VIF.

    :param device: that has it, for people; '' for one that is not known
    """
    return Step("remove_guest_filters", {"filters": [[vif, device]]})


def filter_of(args: Args) -> Filter | None:
    """Return the filter that a step sets."""
    if not args["chains"]:
        return None
    hook = hook_of(args["device"], guest_inside=args["guest_inside"])
    return Filter(args["mark"], hook, args["chains"])


# --- what they hold -------------------------------------------------------------------------------


def _is_device(value: Any) -> bool:
    return value == "" or fields.NAME(value)


def _is_mark(value: Any) -> bool:
    return value == "" or (fields.is_text(value, 255) and parse_mark(value) is not None)


def _is_whole(args: Args) -> bool:
    """Tell whether it is a filter of the VIF's on a device, or none."""
    if not args["chains"]:
        return not (args["mark"] or args["device"] or args["guest_inside"])
    mark = parse_mark(args["mark"])
    return mark is not None and mark.vif_id == args["vif"] and bool(args["device"])


_IS_VIF = fields.holds(checks.vif_id)


def _are_filters(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(it, list) and len(it) == 2 and _IS_VIF(it[0]) and _is_device(it[1])
        for it in value
    )


# --- what they do, and what takes them back ------------------------------------------------------


def _set(host: Host, args: Args) -> None:
    host[FILTERS][args["vif"]] = filter_of(args)


def _unset(host: Host, args: Args) -> Step:
    # Where nobody could look beforehand, the system reports what it found in its place.
    return setting(args["vif"], host[FILTERS].get(args["vif"]))


def _remove(host: Host, args: Args) -> None:
    host[FILTERS].update({vif: None for vif, _device in args["filters"]})


def _unremove(host: Host, args: Args) -> Step:
    [[vif, _device]] = args["filters"]
    return setting(vif, host[FILTERS].get(vif))


# --- in words -------------------------------------------------------------------------------------


def _words(args: Args) -> str:
    if not args["chains"]:
        return f"let the guest of VIF {args['vif']} send from any address"
    what = "its own addresses" if "ip4" in args["chains"] else "its own MAC address"
    return f"let the guest behind {args['device']} send from {what} alone"


def _removed(args: Args) -> str:
    named = ", ".join(device or f"VIF {vif}" for vif, device in args["filters"])
    return f"let the guest behind {named} send from any address"


def _differ(args: Args, todo: Sequence[Step]) -> list[Drift]:
    device = args["device"]
    if any(step.kind == "create_link" and step.args["name"] == device for step in todo):
        return []  # it is missing, and so is all that goes with it
    return [Drift(device, "what keeps its guest from sending as another is missing or differs")]


def _remain(args: Args, _todo: Sequence[Step]) -> list[Drift]:
    words = "its guest may send from its own addresses alone, and should not be kept to them"
    return [Drift(device or f"VIF {vif}", words) for vif, device in args["filters"]]


KINDS: Mapping[str, Kind] = {
    "set_guest_filter": Kind(
        {
            "vif": _IS_VIF,
            "mark": _is_mark,
            "device": _is_device,
            "guest_inside": fields.FLAG,
            "chains": is_chains,
        },
        _set,
        _unset,
        _words,
        drift=_differ,
        whole=_is_whole,
        hidden=True,
    ),
    "remove_guest_filters": Kind(
        {"filters": _are_filters},
        _remove,
        _unremove,
        _removed,
        drift=_remain,
        hidden=True,
        merge=lambda one, other: {"filters": [*one["filters"], *other["filters"]]},
    ),
}
"""Every kind of step on what guests send."""
