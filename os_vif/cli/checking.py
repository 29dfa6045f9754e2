# SPDX-License-Identifier: Apache-2.0
"""``plan`` and ``check``: what would be done with VIFs of files, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from os_vif.cli.options import Taught, shared_options
from os_vif.cli.plugging import (
    CHUNK,
    as_result,
    as_warnings,
    failure_of,
    files_argument,
    label_of,
    name_of,
    shown_as,
    with_bridge_option,
)
from os_vif.cli.privilege import explain
from os_vif.cli.session import Exit, Session

if TYPE_CHECKING:
    from os_vif.cli.specs.reader import Entry
    from os_vif.engine.converge import Request
    from os_vif.engine.family import Caution
    from os_vif.engine.step import Step
    from os_vif.verbs import Findings


class _Planned(NamedTuple):
    """What is to be done for one VIF; what fails has its error instead of steps."""

    entry: Entry
    request: Request | None
    devices: list[str]
    steps: list[Step]
    warnings: Sequence[Caution]
    error: str | None


strict_option = click.option("--strict", is_flag=True, help="With a warning, exit with 3.")


@click.command("plan", cls=Taught)
@files_argument
@click.option("--unplug", "unplugging", is_flag=True, help="The steps of unplug instead of plug.")
@with_bridge_option
@strict_option
@shared_options
@click.pass_obj
def plan(
    session: Session, files: tuple[str, ...], *, unplugging: bool, with_bridge: bool, strict: bool
) -> int:
    """Show the steps that plug would take now.

    Nothing is touched. With --unplug, the steps of unplug (--with-bridge as there). The host is
    looked at, so a VIF that is plugged already has no steps, and a device that stands in the way is
    reported as plug would report it (exit code 1). What would keep the guest from its network all
    the same, or do the host harm, is a warning, as check has them.

    Examples:
      os-vif plan web.yaml
      os-vif plan --unplug web.yaml

    With --json: "vifs", each with id, plugin, file, line, devices, state (to_do, nothing_to_do,
    failed), steps (kind, args, words), warnings (device, words) and error.
    """
    if with_bridge and not unplugging:
        raise click.UsageError("--with-bridge goes with --unplug")
    results = []
    number = 0
    voice = _Warnings(session)
    for vif in _planned(session, files, unplugging=unplugging, with_bridge=with_bridge):
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
            session.say((f"  {number:>3}. ", "quiet"), step["words"])
        voice.tell(result)
    return _finish(session, results, Exit.DRIFT if strict and voice.heard else Exit.DONE)


@click.command("check", cls=Taught)
@files_argument
@strict_option
@shared_options
@click.pass_obj
def check(session: Session, files: tuple[str, ...], *, strict: bool) -> int:
    """Compare the host with the VIFs of FILE...

    Nothing is touched. Each thing that is not as described takes one line. The exit code is 0 if
    all is well, 3 if something has drifted (os-vif plug repairs it), 1 if it could not be told.

    Examples:
      os-vif check web.yaml
      os-vif check -q rack7/*.yaml || os-vif plug rack7/*.yaml

    A warning is something that plug does not put right and that may keep the guest from its
    network, a firewall's rule for example. The VIF is healthy and the exit code is 0; with --strict
    it is 3. What takes root to see is warned of only to root, or where a daemon of ours looks.

    A port of Open vSwitch whose device the hypervisor has yet to make is waiting, which is well.

    With --json: "vifs", as for plan, with the states healthy, waiting, drifted and failed, and
    "drifts": device, words, missing, attribute, expected.
    """
    from os_vif.cli.drift import drifts_of

    results = []
    drifted = 0
    voice = _Warnings(session)
    planned = _planned(session, files, unplugging=False)
    waiting = _waiting(planned)
    for vif in planned:
        drifts = drifts_of(vif.steps)
        awaited = waiting.get(vif.entry.vif.id, ())
        state = (
            "failed" if vif.error else "drifted" if drifts else "waiting" if awaited else "healthy"
        )
        result = _result(vif, state)
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
        if vif.error and not session.json:
            session.error(failure_of(result))
        elif awaited and not drifts:
            what = f"  (for {', '.join(awaited)}, which the hypervisor makes)"
            session.say(*_well("waiting", result), "  ", *label_of(result), (what, "quiet"))
        elif not drifts:
            session.say(*_well("healthy", result), "  ", *label_of(result))
        for drift in drifts:
            session.say(
                ("drift", "bad"),
                "    ",
                (drift.device, "title"),
                f"  {drift.words}",
                *_whose(drift.device, result),
            )
        voice.tell(result)
    bad = drifted or (strict and voice.heard)
    return _finish(session, results, Exit.DRIFT if bad else Exit.DONE)


class _Warnings:
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
    session: Session, files: Sequence[str], *, unplugging: bool, with_bridge: bool = False
) -> list[_Planned]:
    """Plan every VIF by itself; what fails has its error instead of steps."""
    batch = session.read(files, tell=not unplugging)
    from os_vif import verbs
    from os_vif.cli.specs import reader

    requests = reader.describe_all(batch, unplugging=unplugging)
    findings: list[Findings] = []
    pairs = [(entry.vif, entry.instance) for entry in batch.entries]
    with session.progress("looking", len(pairs)) as advance:
        for start in range(0, len(pairs), CHUNK):
            chunk = pairs[start : start + CHUNK]
            findings += verbs.examine(chunk, unplugging=unplugging, with_bridge=with_bridge)
            advance(len(chunk))
    planned = []
    before: set[str] = set()
    for entry, request, found in zip(batch.entries, requests, findings, strict=True):
        steps: list[Step] = []
        # What VIFs share (a bridge) is missing only once.
        for step in found.steps:
            key = _identity(step)
            if key not in before:
                before.add(key)
                steps.append(step)
        devices = shown_as(request, entry, unplugging=unplugging)
        error = explain(found.error) if found.error else None
        planned.append(_Planned(entry, request, devices, steps, found.warnings, error))
    return planned


def _identity(step: Step) -> str:
    from os_vif.engine.families import kind_of

    same = kind_of(step.kind).identity(step.args)
    return f"{step.kind} {same}" if same else repr(step)


def _result(vif: _Planned, state: str) -> dict[str, Any]:
    result = as_result(vif.entry, vif.devices, state, vif.steps, vif.error)
    result["warnings"] = as_warnings(vif.warnings)
    return result


def _finish(session: Session, results: list[dict[str, Any]], code: Exit) -> int:
    errors = [
        {"type": "Failed", "message": result["error"], "vif": result["id"]}
        for result in results
        if result["error"]
    ]
    return session.finish(Exit.FAILED if errors else code, errors=errors, vifs=results)
