# SPDX-License-Identifier: Apache-2.0
"""What became of VIFs of files, or would: as JSON, and in words."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Entry
    from os_vif.engine.converge import Request
    from os_vif.engine.family import Caution
    from os_vif.engine.step import Change, Step

CHUNK = 50
"""VIFs per call of the library where progress is shown; all-or-nothing takes one call."""

SAY_ALL = 20
"""Up to so many VIFs each gets its line; of more only those that failed, unless ``-v``."""


def devices_of(request: Request | None, entry: Entry) -> list[str]:
    """Return the names of the devices and ports that are the VIF's own."""
    if request is not None:
        own = dict.fromkeys(name for _kind, name in own_of(request))
        if own:
            return list(own)
    vif: Any = entry.vif
    named = "vif_name" in vif.fields and vif.obj_attr_is_set("vif_name")
    return [str(vif.vif_name)] if named else []


def shown_as(request: Request | None, entry: Entry, *, unplugging: bool) -> list[str]:
    """Return what a VIF is shown as: what it has, or would have, when it is plugged."""
    from os_vif import exception, verbs

    if unplugging and request is not None:
        # Unplugging looks for what any mode could have made.
        with contextlib.suppress(exception.ExceptionBase, ValueError):
            request = verbs.describe(entry.vif, entry.instance)
    return devices_of(request, entry)


def own_of(request: Request) -> list[tuple[str, str]]:
    """Return what is the VIF's own, each with the kind of step that makes it."""
    from os_vif.engine.families import rule_of

    return [
        own
        for resource in request.topology.resources
        for own in rule_of(type(resource)).own(resource)
    ]


def as_steps(steps: Sequence[Step], changes: Sequence[Change] = ()) -> list[dict[str, Any]]:
    """Return steps for JSON.

    :param changes: of each step, to be told with it; () where they are not known
    """
    from os_vif.engine.steps import describe

    if not changes:
        return [{"kind": step.kind, "args": step.args, "words": describe(step)} for step in steps]
    return [
        {
            "kind": step.kind,
            "args": step.args,
            "words": describe(step, change.before),
            "before": dict(change.before),
            "after": dict(change.after),
        }
        for step, change in zip(steps, changes, strict=True)
    ]


def as_warnings(warnings: Sequence[Caution]) -> list[dict[str, str]]:
    """Return warnings for JSON."""
    return [{"device": it.device, "words": it.words} for it in warnings]


def as_result(
    entry: Entry,
    devices: list[str],
    state: str,
    steps: Sequence[Step],
    error: str | None = None,
    *,
    changes: Sequence[Change] = (),
) -> dict[str, Any]:
    """Return what became of a VIF, or would, for JSON; ``changes`` as of :func:`as_steps`."""
    return {
        "id": str(entry.vif.id),
        "plugin": entry.vif.plugin,
        "file": entry.mark.source,
        "line": entry.mark.line,
        "devices": devices,
        "state": state,
        "steps": as_steps(steps, changes),
        "error": error,
    }


def errors_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return why VIFs failed, for JSON."""
    return [
        {"type": "Failed", "message": result["error"], "vif": result["id"]}
        for result in results
        if result["error"] is not None
    ]


def name_of(result: dict[str, Any]) -> str:
    """Return what a VIF is called: by its devices, or else by its id."""
    return ", ".join(result["devices"]) or str(result["id"])


def failure_of(result: dict[str, Any]) -> str:
    """Return why a VIF failed, with its place in the file."""
    place = f"{result['file']}:{result['line']}: " if result["file"] else ""
    return f"{place}{name_of(result)}: {result['error']}"


def label_of(result: dict[str, Any]) -> list[str | tuple[str, str]]:
    """Return a VIF's name and id, to be said."""
    if not result["devices"]:
        return [str(result["id"])]
    return [(name_of(result), "title"), "  ", (f"VIF {result['id']}", "quiet")]


def duration(seconds: float) -> str:
    """Return a duration for people."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
