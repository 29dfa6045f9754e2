# SPDX-License-Identifier: Apache-2.0
"""``plug``, ``unplug``, ``plan`` and ``check``: what is done, or would be, with VIFs of files."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from os_vif.cli.options import Taught, shared_options
from os_vif.cli.privilege import explain
from os_vif.cli.session import Exit, Session

if TYPE_CHECKING:
    from os_vif.cli.specs.reader import Entry
    from os_vif.engine.converge import Request
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


class _Planned(NamedTuple):
    """What is to be done for one VIF; what fails has its error instead of steps."""

    entry: Entry
    request: Request | None
    devices: list[str]
    steps: list[Step]
    error: str | None


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


def _shown(request: Request | None, entry: Entry, *, unplugging: bool) -> list[str]:
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


def _result(
    entry: Entry, devices: list[str], state: str, steps: Sequence[Step], error: str | None = None
) -> dict[str, Any]:
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
    already_plugged, failed, not_attempted), steps and error; and "seconds".
    """
    return _many(session, files, unplugging=False, together=all_or_nothing)


@click.command("unplug", cls=Taught)
@files_argument
@shared_options
@click.pass_obj
def unplug(session: Session, files: tuple[str, ...]) -> int:
    """Take away what plug made.

    What others may use stays: bridges, VLAN devices, uplinks. Only devices that are the VIF's own
    are deleted, many of them at once. Unplugging what is not plugged is no error.

    Examples:
      os-vif unplug web.yaml
      os-vif unplug --json rack7/*.yaml

    With --json: as plug, with the states unplugged, not_plugged and failed.
    """
    return _many(session, files, unplugging=True, together=False)


def _many(session: Session, files: Sequence[str], *, unplugging: bool, together: bool) -> int:
    batch = session.read(files)
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
                outcomes += verbs.unplug_many(chunk)
            else:
                outcomes += verbs.plug_many(chunk, together=together)
            advance(len(chunk))
    seconds = time.monotonic() - begun
    results = []
    for entry, request, outcome in zip(batch.entries, requests, outcomes, strict=True):
        devices = _shown(request, entry, unplugging=unplugging)
        state = _state(outcome, request, unplugging=unplugging)
        error = explain(outcome.error) if outcome.error else None
        results.append(_result(entry, devices, state, outcome.steps, error))
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
            session.error(_failure(result))
        elif len(results) <= SAY_ALL or session.verbosity:
            words, style = _STATES[result["state"]]
            session.say((words.ljust(width), style), "  ", *_label(result))
            for number, step in enumerate(result["steps"] if session.verbosity else [], start=1):
                session.say((f"  {number:>3}. ", "quiet"), step["words"])
    if len(results) > 1:
        counts = Counter(_STATES[result["state"]][0] for result in results)
        summary = ", ".join(f"{count} {words}" for words, count in counts.items())
        session.say((f"{summary} in {duration(seconds)}", "quiet"))


def _name(result: dict[str, Any]) -> str:
    return ", ".join(result["devices"]) or str(result["id"])


def _failure(result: dict[str, Any]) -> str:
    return f"{result['file']}:{result['line']}: {_name(result)}: {result['error']}"


def _label(result: dict[str, Any]) -> list[str | tuple[str, str]]:
    if not result["devices"]:
        return [str(result["id"])]
    return [(_name(result), "title"), "  ", (f"VIF {result['id']}", "quiet")]


def duration(seconds: float) -> str:
    """Return a duration for people."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


@click.command("plan", cls=Taught)
@files_argument
@click.option("--unplug", "unplugging", is_flag=True, help="The steps of unplug instead of plug.")
@shared_options
@click.pass_obj
def plan(session: Session, files: tuple[str, ...], unplugging: bool) -> int:
    """Show the steps that plug would take now.

    Nothing is touched. With --unplug, the steps of unplug. The host is looked at, so a VIF that is
    plugged already has no steps, and a device that stands in the way is reported as plug would
    report it (exit code 1).

    Examples:
      os-vif plan web.yaml
      os-vif plan --unplug web.yaml

    With --json: "vifs", each with id, plugin, file, line, devices, state (to_do, nothing_to_do,
    failed), steps (kind, args, words) and error.
    """
    results = []
    number = 0
    for entry, _request, devices, steps, error in _planned(session, files, unplugging=unplugging):
        state = "failed" if error else "to_do" if steps else "nothing_to_do"
        result = _result(entry, devices, state, steps, error)
        results.append(result)
        if error:
            if not session.json:
                session.error(_failure(result))
            continue
        nothing = "not plugged" if unplugging else "already plugged"
        session.say(*_label(result), "" if steps else (f"  {nothing}: nothing to do", "quiet"))
        for step in result["steps"]:
            number += 1
            session.say((f"  {number:>3}. ", "quiet"), step["words"])
    return _finish_planned(session, results, Exit.DONE)


@click.command("check", cls=Taught)
@files_argument
@shared_options
@click.pass_obj
def check(session: Session, files: tuple[str, ...]) -> int:
    """Compare the host with the VIFs of FILE...

    Nothing is touched. Each thing that is not as described takes one line. The exit code is 0 if
    all is well, 3 if something has drifted (os-vif plug repairs it), 1 if it could not be told.

    Examples:
      os-vif check web.yaml
      os-vif check -q rack7/*.yaml || os-vif plug rack7/*.yaml

    A port of Open vSwitch whose device the hypervisor has yet to make is waiting, which is well.

    With --json: "vifs", as for plan, with the states healthy, waiting, drifted and failed, and
    "drifts": device, words, missing, attribute, expected.
    """
    from os_vif.cli.drift import drifts_of

    results = []
    drifted = 0
    planned = _planned(session, files, unplugging=False)
    waiting = _waiting(planned)
    for entry, _request, devices, steps, error in planned:
        drifts = drifts_of(steps)
        awaited = waiting.get(entry.vif.id, ())
        state = "failed" if error else "drifted" if drifts else "waiting" if awaited else "healthy"
        result = _result(entry, devices, state, steps, error)
        result["drifts"] = [
            {
                "device": drift.device,
                "words": drift.words,
                "missing": drift.missing,
                "attribute": drift.attribute or None,
                "expected": drift.expected,
            }
            for drift in drifts
        ]
        results.append(result)
        drifted += bool(drifts)
        if error and not session.json:
            session.error(_failure(result))
        elif awaited and not drifts:
            what = f"  (for {', '.join(awaited)}, which the hypervisor makes)"
            session.say(("waiting", "good"), "  ", *_label(result), (what, "quiet"))
        elif not drifts:
            session.say(("healthy", "good"), "  ", *_label(result))
        for drift in drifts:
            session.say(
                ("drift", "bad"),
                "    ",
                (drift.device, "title"),
                f"  {drift.words}",
                *_whose(drift.device, result),
            )
    return _finish_planned(session, results, Exit.DRIFT if drifted else Exit.DONE)


def _waiting(planned: Sequence[_Planned]) -> dict[str, tuple[str, ...]]:
    """Return the names of what waits, by VIF, as far as any of these may have such a thing."""
    from os_vif import verbs
    from os_vif.cli import held
    from os_vif.engine.families import of_resource

    requests = [vif.request for vif in planned if vif.request is not None and not vif.error]
    kinds = {type(resource) for request in requests for resource in request.topology.resources}
    if all(of_resource(kind).picture.waiting is None for kind in kinds):
        return {}
    return {item.mark.vif_id: held.waiting_of(item) for item in verbs.list_vifs()}


def _whose(device: str, result: dict[str, Any]) -> list[tuple[str, str]]:
    return [] if device in result["devices"] else [(f"  (for {_name(result)})", "quiet")]


def _planned(session: Session, files: Sequence[str], *, unplugging: bool) -> list[_Planned]:
    """Plan every VIF by itself; what fails has its error instead of steps."""
    batch = session.read(files)
    from os_vif import verbs
    from os_vif.cli.specs import reader

    requests = reader.describe_all(batch, unplugging=unplugging)
    planned = []
    before: set[str] = set()
    with session.progress("looking", len(requests)) as advance:
        for entry, request in zip(batch.entries, requests, strict=True):
            steps: list[Step] = []
            error = None
            try:
                # What VIFs share (a bridge) is missing only once.
                for step in verbs.plan(entry.vif, entry.instance, unplugging=unplugging):
                    key = _identity(step)
                    if key not in before:
                        before.add(key)
                        steps.append(step)
            except Exception as failure:  # each VIF has its own answer
                error = explain(failure)
            devices = _shown(request, entry, unplugging=unplugging)
            planned.append(_Planned(entry, request, devices, steps, error))
            advance(1)
    return planned


def _identity(step: Step) -> str:
    from os_vif.engine.families import kind_of

    same = kind_of(step.kind).identity(step.args)
    return f"{step.kind} {same}" if same else repr(step)


def _finish_planned(session: Session, results: list[dict[str, Any]], code: Exit) -> int:
    errors = [
        {"type": "Failed", "message": result["error"], "vif": result["id"]}
        for result in results
        if result["error"]
    ]
    return session.finish(Exit.FAILED if errors else code, errors=errors, vifs=results)
