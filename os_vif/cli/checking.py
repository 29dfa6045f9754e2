# SPDX-License-Identifier: Apache-2.0
"""``plan`` and ``check``: what would be done with VIFs of files, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from os_vif.cli import naming
from os_vif.cli.options import (
    Taught,
    files_argument,
    only_option,
    prune_option,
    shared_options,
    strict_option,
    wait_for_option,
    with_bridge_option,
)
from os_vif.cli.privilege import explain, tell_unseen
from os_vif.cli.results import (
    CHUNK,
    as_result,
    as_warnings,
    failure_of,
    label_of,
    name_of,
    shown_as,
)
from os_vif.cli.session import Exit, Session

if TYPE_CHECKING:
    from os_vif.cli.naming import Described
    from os_vif.cli.specs.batch import Entry
    from os_vif.engine.converge import Request
    from os_vif.engine.family import Caution, Unseen, Use
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.step import Change, Step
    from os_vif.outcomes import Findings


class _Planned(NamedTuple):
    """What is to be done for one VIF; what fails has its error instead of steps."""

    entry: Entry
    request: Request | None
    devices: list[str]
    steps: Sequence[Step]
    changes: Sequence[Change]
    warnings: Sequence[Caution]
    error: str | None
    unseen: Sequence[Unseen] = ()
    assumed: Sequence[Step] = ()


@click.command("plan", cls=Taught)
@files_argument
@only_option
@click.option("--unplug", "unplugging", is_flag=True, help="The steps of unplug instead of plug.")
@with_bridge_option
@prune_option
@strict_option
@wait_for_option
@shared_options
@click.pass_obj
def plan(
    session: Session,
    files: tuple[str, ...],
    *,
    only: tuple[str, ...],
    unplugging: bool,
    with_bridge: bool,
    prune: bool,
    strict: bool,
) -> int:
    """Show the steps that plug would take now.

    Nothing is touched. With --unplug, the steps of unplug (--with-bridge as there); with --prune,
    those of plug --prune. The host is
    looked at, so a VIF that is plugged already has no steps, and a device that stands in the way is
    reported as plug would report it (exit code 1). What would keep the guest from its network all
    the same, or do the host harm, is a warning, as check has them.

    What takes privilege to see (FORWARD rules) is planned as if it were missing, where you have
    none and no helper; a line on standard error says so.

    Examples:
      os-vif plan web.yaml
      os-vif plan --only tap-web guests.yaml
      os-vif plan --unplug web.yaml
      os-vif plan --prune /etc/guests

    With --json: "vifs", each with id, plugin, file, line, devices, state (to_do, nothing_to_do,
    failed), steps (kind, args, words, before, after, assumed), warnings (device, words), unseen
    (what, needs) and error.
    """
    if with_bridge and not unplugging:
        raise click.UsageError("--with-bridge goes with --unplug")
    if prune and (unplugging or only):
        raise click.UsageError("--prune goes without --unplug and --only")
    found = naming.described(session, files, only, unplugging=unplugging, tell=not unplugging)
    voice = Warnings(session)
    results = _pruned(session, found, voice) if prune else []
    number = sum(len(result["steps"]) for result in results)
    planned = _planned(session, found, unplugging=unplugging, with_bridge=with_bridge)
    for vif in _once_each(planned):
        state = "failed" if vif.error else "to_do" if vif.steps else "nothing_to_do"
        result = _result(vif, state)
        results.append(result)
        if vif.error:
            if not session.json:
                session.error(failure_of(result))
            continue
        nothing = "not plugged" if unplugging else "already plugged"
        session.say(
            *label_of(result), "" if vif.steps else (f"  {nothing}: nothing to do", "quiet")
        )
        for step in result["steps"]:
            number += 1
            unless = [("  (unless it is so already)", "quiet")] if step["assumed"] else []
            session.say((f"  {number:>3}. ", "quiet"), step["words"], *unless)
        voice.tell(result)
    tell_unseen(session, planned, "planned as if they were missing")
    return _finish(session, results, Exit.DRIFT if strict and voice.heard else Exit.DONE)


@click.command("check", cls=Taught)
@files_argument
@only_option
@strict_option
@wait_for_option
@shared_options
@click.pass_obj
def check(session: Session, files: tuple[str, ...], *, only: tuple[str, ...], strict: bool) -> int:
    """Compare the host with the VIFs of FILE...

    Nothing is touched. Each thing that is not as described takes one line. The exit code is 0 if
    all is well, 3 if something has drifted (os-vif plug repairs it), 1 if it could not be told.

    Examples:
      os-vif check web.yaml
      os-vif check --only tap-web guests.yaml
      os-vif check -q rack7/*.yaml || os-vif plug rack7/*.yaml

    A warning is something that plug does not put right and that may keep the guest from its
    network, a firewall's rule for example. The VIF is healthy and the exit code is 0; with --strict
    it is 3. What takes root to see is warned of only to root, or where a daemon of ours looks.

    What takes privilege to see (FORWARD rules) is not checked, where you have none and no helper; a
    line on standard error says so, and the exit code is that of the rest.

    A port of Open vSwitch whose device the hypervisor has yet to make is waiting, which is well.

    With --json: "vifs", as for plan (no step is assumed), with the states healthy, waiting, drifted
    and failed, and "drifts": device, words, missing, attribute, expected, before, after.
    """
    from os_vif.cli.drift import as_json, drifts_of

    results = []
    drifted = 0
    voice = Warnings(session)
    found = _planned(session, naming.described(session, files, only), unplugging=False)
    planned = [_certain(vif) for vif in found]
    waiting = _waiting(planned)
    told: set[tuple[str, str]] = set()
    for vif in planned:
        drifts = drifts_of(vif.steps, vif.changes)
        # What VIFs share (a bridge) takes one line.
        new = [it for it in drifts if (it.device, it.words) not in told]
        told |= {(it.device, it.words) for it in new}
        awaited = waiting.get(vif.entry.vif.id, ())
        state = (
            "failed" if vif.error else "drifted" if drifts else "waiting" if awaited else "healthy"
        )
        result = _result(vif, state)
        result["drifts"] = [*map(as_json, drifts)]
        results.append(result)
        drifted += bool(drifts)
        if vif.error and not session.json:
            session.error(failure_of(result))
        elif awaited and not drifts:
            what = f"  (for {', '.join(awaited)}, which the hypervisor makes)"
            session.say(*_well("waiting", result), "  ", *label_of(result), (what, "quiet"))
        elif not drifts:
            session.say(*_well("healthy", result), "  ", *label_of(result))
        elif not new:
            where = ", ".join(dict.fromkeys(it.device for it in drifts))
            session.say(("drift", "bad"), "    ", *label_of(result), f"  as told of {where}")
        for drift in new:
            session.say(
                ("drift", "bad"),
                "    ",
                (drift.device, "title"),
                f"  {drift.words}",
                *_whose(drift.device, result),
            )
        voice.tell(result)
    tell_unseen(session, planned, "not checked")
    bad = drifted or (strict and voice.heard)
    return _finish(session, results, Exit.DRIFT if bad else Exit.DONE)


class Checked(NamedTuple):
    """What VIFs of files differ in from the host.

    :ivar drifts: by id, device and words of each thing; None where it could not be told.
    :ivar errors: why, for JSON.
    """

    drifts: dict[str, list[dict[str, str]] | None]
    errors: list[dict[str, Any]]

    def said(self, vif_id: str) -> str:
        """Return in a word what is so of a VIF."""
        found = self.drifts.get(vif_id, ())
        if found is None:
            return "?"
        return "-" if vif_id not in self.drifts else str(len(found)) if found else "no"


def drifts_of_files(session: Session, file: str) -> Checked:
    """Compare the host with the VIFs of a file or folder; say what could not be told, and why."""
    from os_vif.cli.drift import drifts_of

    checked = Checked({}, [])
    planned = _planned(session, naming.described(session, [file], tell=False), unplugging=False)
    for vif in map(_certain, planned):
        found = [
            {"device": it.device, "words": it.words} for it in drifts_of(vif.steps, vif.changes)
        ]
        vif_id = str(vif.entry.vif.id)
        checked.drifts[vif_id] = None if vif.error else found
        if vif.error:
            checked.errors.append({"type": "Failed", "message": vif.error, "vif": vif_id})
            if not session.json:
                session.error(failure_of(_result(vif, "failed")))
    tell_unseen(session, planned, "not checked")
    return checked


class Warnings:
    """Says each warning once: what VIFs share is one thing.

    :ivar heard: whether there was any.
    """

    def __init__(self, session: Session) -> None:
        self.heard = False
        self._session = session
        self._said: set[tuple[str, str]] = set()

    def tell(self, result: dict[str, Any]) -> None:
        """Say what to be warned of with a VIF."""
        for warning in result["warnings"]:
            self.heard = True
            what = (warning["device"], warning["words"])
            if what not in self._said:
                self._said.add(what)
                self._session.say(("warning", "warn"), "  ", (what[0], "title"), f"  {what[1]}")


def _only(vif: _Planned, wanted: Callable[[Step], bool]) -> _Planned:
    pairs = zip(vif.steps, vif.changes, strict=True)
    found = [(step, change) for step, change in pairs if wanted(step)]
    return vif._replace(steps=[step for step, _ in found], changes=[change for _, change in found])


def _certain(vif: _Planned) -> _Planned:
    return _only(vif, lambda step: step not in vif.assumed)._replace(assumed=())


def _well(state: str, result: dict[str, Any]) -> list[tuple[str, str]]:
    many = len(result["warnings"])
    count = [(f", {many} warning{'s' if many > 1 else ''}", "warn")] if many else []
    return [(state, "good"), *count]


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
    return [] if device in result["devices"] else [(f"  (for {name_of(result)})", "quiet")]


def _planned(
    session: Session, these: Described, *, unplugging: bool, with_bridge: bool = False
) -> list[_Planned]:
    """Plan every VIF by itself; what fails has its error instead of steps."""
    entries, requests, _owners = these
    from os_vif import verbs
    from os_vif.engine import inventory

    findings: list[Findings] = []
    pairs = [(entry.vif, entry.instance) for entry in entries]
    with session.progress("looking", len(pairs)) as advance:
        for start in range(0, len(pairs), CHUNK):
            chunk = pairs[start : start + CHUNK]
            findings += verbs.examine(
                chunk,
                unplugging=unplugging,
                with_bridge=with_bridge,
                partial=True,
                owners=naming.owners_of(these.entries),
            )
            advance(len(chunk))
    planned = []
    uses = inventory.uses_of({str(it.vif.id) for it in entries}) if unplugging else {}
    for entry, request, found in zip(entries, requests, findings, strict=True):
        devices = shown_as(request, entry, unplugging=unplugging)
        error = explain(found.error) if found.error else None
        held = [_held_open(use) for use in uses.get(str(entry.vif.id), ())]
        planned.append(
            _Planned(
                entry,
                request,
                devices,
                found.steps,
                found.changes,
                (*found.warnings, *held),
                error,
                found.unseen,
                found.assumed,
            )
        )
    return planned


def _once_each(planned: Iterable[_Planned]) -> Iterator[_Planned]:
    """Yield the same, with what VIFs share (a bridge) made only once."""
    before: set[str] = set()
    for vif in planned:
        yield _only(vif, lambda step: _identity(step) not in before)
        before.update(map(_identity, vif.steps))


def _pruned(session: Session, found: Described, voice: Warnings) -> list[dict[str, Any]]:
    from os_vif.cli import removing

    gone = removing.no_longer_named(found.owners, found.entries)
    return plan_removal(session, gone, voice, "  the files no longer name it")


def plan_removal(
    session: Session, gone: Sequence[Plugged], voice: Warnings, why: str = ""
) -> list[dict[str, Any]]:
    """Say what taking VIFs away by their marks would do; return that, for JSON."""
    from os_vif.cli import removing
    from os_vif.engine import inventory

    uses = inventory.uses(gone)
    results = []
    number = 0
    for item in gone:
        result = removing.as_result(item, "to_do", inventory.plan_removal(item))
        held = [_held_open(use) for use in uses.get(item.mark.vif_id, ())]
        session.say(*label_of(result), (why, "quiet"))
        for step in result["steps"]:
            step |= {"before": {}, "after": {}, "assumed": False}
            number += 1
            session.say((f"  {number:>3}. ", "quiet"), step["words"])
        results.append({**result, "warnings": as_warnings(held), "unseen": []})
        voice.tell(results[-1])
    return results


def _held_open(use: Use) -> Caution:
    from os_vif.engine.family import Caution

    return Caution(use.device, f"{use}; it is taken away only with --force")


def _identity(step: Step) -> str:
    from os_vif.engine.families import kind_of

    same = kind_of(step.kind).identity(step.args)
    return f"{step.kind} {same}" if same else repr(step)


def _result(vif: _Planned, state: str) -> dict[str, Any]:
    result = as_result(vif.entry, vif.devices, state, vif.steps, vif.error, changes=vif.changes)
    for step, shown in zip(vif.steps, result["steps"], strict=True):
        shown["assumed"] = step in vif.assumed
    result["warnings"] = as_warnings(vif.warnings)
    result["unseen"] = [{"what": item.what, "needs": item.needs} for item in vif.unseen]
    return result


def _finish(session: Session, results: list[dict[str, Any]], code: Exit) -> int:
    errors = [
        {"type": "Failed", "message": result["error"], "vif": result["id"]}
        for result in results
        if result["error"]
    ]
    return session.finish(Exit.FAILED if errors else code, errors=errors, vifs=results)
