# SPDX-License-Identifier: Apache-2.0
"""``plug`` and ``unplug``: what is done with the VIFs of files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from os_vif.cli import completions
from os_vif.cli.options import (
    Taught,
    dry_run_option,
    files_argument,
    force_option,
    only_option,
    prune_option,
    shared_options,
    wait_for_option,
    with_bridge_option,
)
from os_vif.cli.privilege import explain
from os_vif.cli.results import (
    CHUNK,
    SAY_ALL,
    as_result,
    as_warnings,
    duration,
    errors_of,
    failure_of,
    label_of,
    own_of,
    shown_as,
)
from os_vif.cli.session import Exit, Session

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Entry
    from os_vif.engine.converge import Request
    from os_vif.engine.step import Step
    from os_vif.outcomes import Outcome

_STATES = {
    "plugged": ("plugged", "good"),
    "repaired": ("repaired", "good"),
    "already_plugged": ("already plugged", "quiet"),
    "unplugged": ("unplugged", "good"),
    "not_plugged": ("was not plugged", "quiet"),
    "failed": ("failed", "bad"),
    "not_attempted": ("not done", "warn"),
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
    own = set(own_of(request)) if request is not None else set()
    return "plugged" if _adopts(outcome.steps) or own <= _made(outcome.steps) else "repaired"


def _adopts(steps: Sequence[Step]) -> bool:
    from os_vif.engine.families import kind_of

    return any(kind_of(step.kind).adopts(step.args) for step in steps)


def _made(steps: Sequence[Step]) -> set[tuple[str, str]]:
    """Return what the VIF had not before, as :func:`own_of` does."""
    from os_vif.engine.families import kind_of

    return {
        (step.kind, name) for step in steps for name in kind_of(step.kind).makes(step.args, steps)
    }


@click.command("plug", cls=Taught)
@files_argument
@only_option
@click.option(
    "--all-or-nothing", is_flag=True, help="If one VIF fails, take back what the others got."
)
@prune_option
@click.option("--force", is_flag=True, help="With --prune, also what a program has open.")
@dry_run_option
@wait_for_option
@shared_options
@click.pass_context
def plug(
    context: click.Context,
    files: tuple[str, ...],
    *,
    only: tuple[str, ...],
    all_or_nothing: bool,
    prune: bool,
    force: bool,
    dry_run: bool,
) -> int:
    """Make the host ready for the VIFs of FILE...

    FILE may be '-', standard input, or a folder, of which *.yaml, *.yml and *.json are read in the
    order of their names; an empty one is no mistake. Plugging is convergent: what is missing is
    made, what has drifted is repaired, and a VIF that is as it should be is left alone ("already
    plugged"). One VIF that fails takes back its own steps and does not stop the others. If any file
    has a mistake, nothing is touched.

    'owner: NAME' beside 'vifs:' says whose the VIFs are. With --prune, those of the same owner that
    FILE... no longer names are unplugged first; name all files of the owner. One that a program has
    open is left, which is an error, unless --force is given. plan --prune shows what would go.

    Examples:
      os-vif plug web.yaml
      os-vif plug --only tap-web guests.yaml
      os-vif plug --all-or-nothing rack7/*.yaml
      os-vif plug --prune /etc/guests
      echo '{type: tap, name: tap0, mac: "52:54:00:12:34:56"}' | os-vif plug -

    With --json: "vifs", each with id, plugin, file, line, devices, state (plugged, repaired,
    already_plugged, failed, not_attempted), steps, warnings and error; and "seconds". What --prune
    took away is among them, as unplug NAME has it.
    """
    if force and not prune:
        raise click.UsageError("--force goes with --prune")
    if prune and all_or_nothing:
        raise click.UsageError("--prune and --all-or-nothing: what was unplugged is not taken back")
    if prune and only:
        raise click.UsageError("--prune and --only: what is not named is not gone")
    if dry_run:
        return _plan(context, files, only, prune=prune)
    together = all_or_nothing
    return _many(
        context.obj, files, only, unplugging=False, together=together, prune=prune, force=force
    )


@click.command("unplug", cls=Taught)
@click.argument(
    "targets",
    nargs=-1,
    required=True,
    metavar="FILE...|VIF|DEVICE|GUEST...",
    shell_complete=completions.files_or_plugged,
)
@only_option
@with_bridge_option
@dry_run_option
@force_option
@shared_options
@click.pass_context
def unplug(
    context: click.Context,
    targets: tuple[str, ...],
    *,
    only: tuple[str, ...],
    with_bridge: bool,
    dry_run: bool,
    force: bool,
) -> int:
    """Take away what plug made.

    Instead of FILE, a plugged VIF can be named, as for show: by its id or the beginning of that, by
    a device, by its guest (all of the guest's VIFs). What carries its mark goes, whatever a file
    says of it.

    What others may use stays: bridges, VLAN devices, uplinks. Only devices that are the VIF's own
    are deleted, many of them at once. Unplugging what is not plugged is no error.

    With --with-bridge, a bridge and a VLAN device that os-vif made go with their last user. The
    host's addresses and routes move back to the uplink first, and it gets its MTU back. A bridge
    that anybody else has a port, a rule or a device on stays, and so does one that os-vif has not
    made.

    A VIF whose tap or macvtap a program has open is left as it is, and that is an error, which
    names the program where it can be seen; --force takes it away all the same.

    Examples:
      os-vif unplug web.yaml
      os-vif unplug tap-web
      os-vif unplug --only tap-web guests.yaml
      os-vif unplug --with-bridge web.yaml
      os-vif unplug --json rack7/*.yaml

    With --json: as plug, with the states unplugged, not_plugged and failed; file and line are null
    where the VIF was named.
    """
    from os_vif.cli import naming

    session = context.obj
    if naming.files_of(targets):
        if dry_run:
            return _plan(context, targets, only, unplugging=True, with_bridge=with_bridge)
        return _many(
            session,
            targets,
            only,
            unplugging=True,
            together=False,
            with_bridge=with_bridge,
            force=force,
        )
    if only:
        raise click.UsageError("--only chooses from FILE...; without files, name the VIFs alone")
    if with_bridge:
        raise click.UsageError(
            "--with-bridge goes with FILE..., which names the bridge; os-vif gc --bridges takes "
            "away those that nobody uses"
        )
    return _named(session, targets, force=force, dry_run=dry_run)


def _plan(
    context: click.Context, files: Sequence[str], only: Sequence[str], **options: bool
) -> int:
    from os_vif.cli.checking import plan

    context.obj.command = "plan"
    found: int = context.invoke(plan, files=files, only=only, **options)
    return found


def _named(session: Session, words: Sequence[str], *, force: bool, dry_run: bool) -> int:
    """Unplug what is there of VIFs, by the marks."""
    session.start(objects=False)
    from os_vif.cli import checking, naming, removing

    if dry_run:
        session.command = "plan"
        results = checking.plan_removal(session, naming.plugged(words), checking.Warnings(session))
        return session.finish(Exit.DONE, vifs=results)
    begun = time.monotonic()
    results = removing.take_away(naming.plugged(words), force=force)
    return _conclude(session, results, time.monotonic() - begun)


def _many(
    session: Session,
    files: Sequence[str],
    only: Sequence[str],
    *,
    unplugging: bool,
    together: bool,
    with_bridge: bool = False,
    force: bool = False,
    prune: bool = False,
) -> int:
    from os_vif.cli.naming import described, owners_of

    entries, requests, owners = described(
        session, files, only, unplugging=unplugging, tell=not unplugging
    )
    from os_vif import verbs
    from os_vif.cli import removing

    refused = removing.those_in_use(entries) if unplugging and not force else {}
    whose = owners_of(entries)
    pairs = [(it.vif, it.instance) for it in entries if str(it.vif.id) not in refused]
    begun = time.monotonic()
    results = []
    if prune:  # first, as names and addresses may be others' now
        results = removing.take_away(removing.no_longer_named(owners, entries), force=force)
    done: list[Outcome] = []
    with session.progress("unplugging" if unplugging else "plugging", len(pairs)) as advance:
        # Every deletion costs the kernel a wait, so chunks of those are as large as can be.
        size = max(len(pairs), 1) if together else CHUNK * (10 if unplugging else 1)
        for start in range(0, len(pairs), size):
            chunk = pairs[start : start + size]
            if unplugging:
                done += verbs.unplug_many(chunk, with_bridge=with_bridge)
            else:
                done += verbs.plug_many(chunk, together=together, owners=whose)
            advance(len(chunk))
    seconds = time.monotonic() - begun
    rest = iter(done)
    found = [refused.get(str(entry.vif.id)) or next(rest) for entry in entries]
    results += results_of(entries, requests, found, unplugging=unplugging)
    warn_of(session, results)
    return _conclude(session, results, seconds)


def results_of(
    entries: Sequence[Entry],
    requests: Sequence[Request | None],
    outcomes: Sequence[Outcome],
    *,
    unplugging: bool,
) -> list[dict[str, Any]]:
    """Return what became of VIFs, for JSON."""
    results = []
    for entry, request, outcome in zip(entries, requests, outcomes, strict=True):
        devices = shown_as(request, entry, unplugging=unplugging)
        state = _state(outcome, request, unplugging=unplugging)
        error = explain(outcome.error) if outcome.error else None
        result = as_result(entry, devices, state, outcome.steps, error)
        results.append(result | {"warnings": as_warnings(outcome.warnings)})
    return results


def warn_of(session: Session, results: Sequence[Mapping[str, Any]]) -> None:
    """Say what plugging warned of, once each; in JSON the results have it."""
    for device, words in dict.fromkeys(
        (it["device"], it["words"])
        for result in ([] if session.json else results)
        for it in result["warnings"]
    ):
        session.warn(f"{device}: {words}")


def _conclude(session: Session, results: list[dict[str, Any]], seconds: float) -> int:
    _report(session, results, seconds)
    errors = errors_of(results)
    code = Exit.FAILED if errors else Exit.DONE
    return session.finish(code, errors=errors, vifs=results, seconds=round(seconds, 6))


def _report(session: Session, results: list[dict[str, Any]], seconds: float) -> None:
    width = max((len(_STATES[result["state"]][0]) for result in results), default=0)
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
