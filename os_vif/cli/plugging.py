# SPDX-License-Identifier: Apache-2.0
"""``plug`` and ``unplug``: what is done with the VIFs of files."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from os_vif.cli.options import Taught, shared_options
from os_vif.cli.privilege import explain
from os_vif.cli.session import Exit, Session

if TYPE_CHECKING:
    from os_vif.cli.specs.reader import Entry
    from os_vif.engine.converge import Request
    from os_vif.engine.family import Caution
    from os_vif.engine.step import Step
    from os_vif.verbs import Outcome

CHUNK = 50
"""VIFs per call of the library where progress is shown; all-or-nothing takes one call."""

SAY_ALL = 20
"""Up to so many VIFs each gets its line; of more only those that failed, unless ``-v``."""

_STATES = {
    "plugged": ("plugged", "good"),
    "repaired": ("repaired", "good"),
    "already_plugged": ("already plugged", "quiet"),
    "unplugged": ("unplugged", "good"),
    "not_plugged": ("was not plugged", "quiet"),
    "failed": ("failed", "bad"),
    "not_attempted": ("not done", "warn"),
}


with_bridge_option = click.option(
    "--with-bridge", is_flag=True, help="Take away a bridge of ours too, if nobody else uses it."
)
files_argument = click.argument("files", nargs=-1, required=True, metavar="FILE...")


def devices_of(request: Request | None, entry: Entry) -> list[str]:
    """Return the names of the devices and ports that are the VIF's own."""
    if request is not None:
        own = dict.fromkeys(name for _kind, name in _own(request))
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


def _own(request: Request) -> list[tuple[str, str]]:
    """Return what is the VIF's own, each with the kind of step that makes it."""
    from os_vif.engine.families import rule_of

    return [
        own
        for resource in request.topology.resources
        for own in rule_of(type(resource)).own(resource)
    ]


def as_steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return steps for JSON."""
    from os_vif.engine.steps import describe

    return [{"kind": step.kind, "args": step.args, "words": describe(step)} for step in steps]


def as_warnings(warnings: Sequence[Caution]) -> list[dict[str, str]]:
    """Return warnings for JSON."""
    return [{"device": it.device, "words": it.words} for it in warnings]


def as_result(
    entry: Entry, devices: list[str], state: str, steps: Sequence[Step], error: str | None = None
) -> dict[str, Any]:
    """Return what became of a VIF, or would, for JSON."""
    return {
        "id": str(entry.vif.id),
        "plugin": entry.vif.plugin,
        "file": entry.mark.source,
        "line": entry.mark.line,
        "devices": devices,
        "state": state,
        "steps": as_steps(steps),
        "error": error,
    }


def _state(outcome: Outcome, request: Request | None, *, unplugging: bool) -> str:
    from os_vif import exception

    if isinstance(outcome.error, exception.NotAttempted):
        return "not_attempted"
    if outcome.error is not None:
        return "failed"
    if not outcome.told:
        return "unplugged" if unplugging else "plugged"
    if not outcome.steps:
        return "not_plugged" if unplugging else "already_plugged"
    if unplugging:
        return "unplugged"
    # What was there in part, or with other settings, was repaired.
    own = set(_own(request)) if request is not None else set()
    return "plugged" if _adopts(outcome.steps) or own <= _made(outcome.steps) else "repaired"


def _adopts(steps: Sequence[Step]) -> bool:
    from os_vif.engine.families import kind_of

    return any(kind_of(step.kind).adopts(step.args) for step in steps)


def _made(steps: Sequence[Step]) -> set[tuple[str, str]]:
    """Return what the VIF had not before, as :func:`_own` does."""
    from os_vif.engine.families import kind_of

    return {
        (step.kind, name) for step in steps for name in kind_of(step.kind).makes(step.args, steps)
    }


@click.command("plug", cls=Taught)
@files_argument
@click.option(
    "--all-or-nothing", is_flag=True, help="If one VIF fails, take back what the others got."
)
@shared_options
@click.pass_obj
def plug(session: Session, files: tuple[str, ...], all_or_nothing: bool) -> int:
    """Make the host ready for the VIFs of FILE...

    FILE may be '-', standard input. Plugging is convergent: what is missing is made, what has
    drifted is repaired, and a VIF that is as it should be is left alone ("already plugged"). One
    VIF that fails takes back its own steps and does not stop the others. If any file has a
    mistake, nothing is touched.

    Examples:
      os-vif plug web.yaml
      os-vif plug --all-or-nothing rack7/*.yaml
      echo '{type: tap, name: tap0, mac: "52:54:00:12:34:56"}' | os-vif plug -

    With --json: "vifs", each with id, plugin, file, line, devices, state (plugged, repaired,
    already_plugged, failed, not_attempted), steps, warnings and error; and "seconds".
    """
    return _many(session, files, unplugging=False, together=all_or_nothing)


@click.command("unplug", cls=Taught)
@files_argument
@with_bridge_option
@shared_options
@click.pass_obj
def unplug(session: Session, files: tuple[str, ...], with_bridge: bool) -> int:
    """Take away what plug made.

    What others may use stays: bridges, VLAN devices, uplinks. Only devices that are the VIF's own
    are deleted, many of them at once. Unplugging what is not plugged is no error.

    With --with-bridge, a bridge and a VLAN device that os-vif made go with their last user. The
    host's addresses and routes move back to the uplink first, and it gets its MTU back. A bridge
    that anybody else has a port, a rule or a device on stays, and so does one that os-vif has not
    made.

    Examples:
      os-vif unplug web.yaml
      os-vif unplug --with-bridge web.yaml
      os-vif unplug --json rack7/*.yaml

    With --json: as plug, with the states unplugged, not_plugged and failed.
    """
    return _many(session, files, unplugging=True, together=False, with_bridge=with_bridge)


def _many(
    session: Session,
    files: Sequence[str],
    *,
    unplugging: bool,
    together: bool,
    with_bridge: bool = False,
) -> int:
    batch = session.read(files, tell=not unplugging)
    from os_vif import verbs
    from os_vif.cli.specs import reader

    requests = reader.describe_all(batch, unplugging=unplugging)
    pairs = [(entry.vif, entry.instance) for entry in batch.entries]
    begun = time.monotonic()
    outcomes: list[Outcome] = []
    with session.progress("unplugging" if unplugging else "plugging", len(pairs)) as advance:
        # Every deletion costs the kernel a wait, so chunks of those are as large as can be.
        size = len(pairs) if together else CHUNK * (10 if unplugging else 1)
        for start in range(0, len(pairs), size):
            chunk = pairs[start : start + size]
            if unplugging:
                outcomes += verbs.unplug_many(chunk, with_bridge=with_bridge)
            else:
                outcomes += verbs.plug_many(chunk, together=together)
            advance(len(chunk))
    seconds = time.monotonic() - begun
    results = []
    for entry, request, outcome in zip(batch.entries, requests, outcomes, strict=True):
        devices = shown_as(request, entry, unplugging=unplugging)
        state = _state(outcome, request, unplugging=unplugging)
        error = explain(outcome.error) if outcome.error else None
        result = as_result(entry, devices, state, outcome.steps, error)
        result["warnings"] = as_warnings(outcome.warnings)
        results.append(result)
    for device, words in dict.fromkeys(
        (it["device"], it["words"])
        for result in ([] if session.json else results)
        for it in result["warnings"]
    ):
        session.warn(f"{device}: {words}")
    _report(session, results, seconds)
    failed = [result for result in results if result["error"] is not None]
    errors = [
        {"type": "Failed", "message": result["error"], "vif": result["id"]} for result in failed
    ]
    code = Exit.FAILED if failed else Exit.DONE
    return session.finish(code, errors=errors, vifs=results, seconds=round(seconds, 6))


def _report(session: Session, results: list[dict[str, Any]], seconds: float) -> None:
    width = max(len(_STATES[result["state"]][0]) for result in results)
    for result in results:
        if result["state"] == "failed" and not session.json:
            session.error(failure_of(result))
        elif len(results) <= SAY_ALL or session.verbosity:
            words, style = _STATES[result["state"]]
            session.say((words.ljust(width), style), "  ", *label_of(result))
            for number, step in enumerate(result["steps"] if session.verbosity else [], start=1):
                session.say((f"  {number:>3}. ", "quiet"), step["words"])
    if len(results) > 1:
        counts = Counter(_STATES[result["state"]][0] for result in results)
        summary = ", ".join(f"{count} {words}" for words, count in counts.items())
        session.say((f"{summary} in {duration(seconds)}", "quiet"))


def name_of(result: dict[str, Any]) -> str:
    """Return what a VIF is called: by its devices, or else by its id."""
    return ", ".join(result["devices"]) or str(result["id"])


def failure_of(result: dict[str, Any]) -> str:
    """Return why a VIF failed, with its place in the file."""
    return f"{result['file']}:{result['line']}: {name_of(result)}: {result['error']}"


def label_of(result: dict[str, Any]) -> list[str | tuple[str, str]]:
    """Return a VIF's name and id, to be said."""
    if not result["devices"]:
        return [str(result["id"])]
    return [(name_of(result), "title"), "  ", (f"VIF {result['id']}", "quiet")]


def duration(seconds: float) -> str:
    """Return a duration for people."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
