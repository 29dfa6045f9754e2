# SPDX-License-Identifier: Apache-2.0
"""Plugged VIFs that go by their marks alone: named, or no longer in the files of their owner."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import click

from os_vif.cli.privilege import explain
from os_vif.cli.session import Exit, Failure

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Entry
    from os_vif.engine.family import Use
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.step import Step
    from os_vif.outcomes import Outcome


def take_away(items: Sequence[Plugged], *, force: bool) -> list[dict[str, Any]]:
    """Remove what the host holds of VIFs; return what became of each, for JSON.

    :param force: also of those that a program has open
    """
    from os_vif import verbs
    from os_vif.engine import inventory

    uses = {} if force else inventory.uses(items)
    results = []
    for item in items:
        steps: Sequence[Step] = ()
        error = None
        try:
            if item.mark.vif_id in uses:
                raise in_use(uses[item.mark.vif_id])
            steps = verbs.remove([item])
        except Exception as why:  # each VIF has its own answer
            error = explain(why)
        results.append(as_result(item, "failed" if error else "unplugged", steps, error))
    return results


def as_result(
    item: Plugged, state: str, steps: Sequence[Step], error: str | None = None
) -> dict[str, Any]:
    """Return what became of a plugged VIF, or would, for JSON; no file names it."""
    from os_vif.cli import held
    from os_vif.cli.results import as_steps

    return {
        "id": item.mark.vif_id,
        "plugin": item.mark.plugin,
        "file": None,
        "line": None,
        "devices": held.names_of(item),
        "state": state,
        "steps": as_steps(steps),
        "error": error,
        "warnings": [],
    }


def no_longer_named(owners: Collection[str], entries: Sequence[Entry]) -> list[Plugged]:
    """Return the plugged VIFs of owners that are not among those of the files.

    :raises Failure: nobody owns what the files name
    """
    from os_vif import verbs

    unowned = next((f"{entry.mark}: " for entry in entries if not entry.owner), None)
    if unowned is not None or not owners:
        raise Failure(
            f"{unowned or ''}--prune takes away what its owner's files no longer name, and nothing "
            f"says {'whose this VIF is' if unowned else 'who that is'}; say 'owner: NAME' beside "
            "'vifs:'",
            Exit.BAD_INPUT,
        )
    named = {str(entry.vif.id) for entry in entries}
    return [
        item
        for item in verbs.list_vifs()
        if item.mark.owner in owners and item.mark.vif_id not in named
    ]


def in_use(uses: Sequence[Use]) -> Exception:
    """Return the error for a VIF that is not unplugged, because programs have it open."""
    from os_vif import exception

    said = ", ".join(dict.fromkeys(str(use) for use in uses))
    device = ", ".join(dict.fromkeys(use.device for use in uses))
    reason = f"{said}; stop the guest first, or take it away all the same with --force"
    return exception.HeldByAnother(resource=device, reason=reason)


def those_in_use(entries: Sequence[Entry]) -> dict[str, Outcome]:
    """Return what unplugging answers for VIFs that programs have open, by their ids."""
    from os_vif import outcomes
    from os_vif.engine import inventory

    vifs = {str(entry.vif.id): entry.vif for entry in entries}
    uses = inventory.uses_of(vifs.keys())
    return {
        vif_id: outcomes.Outcome(vifs[vif_id], error=in_use(found))
        for vif_id, found in uses.items()
    }


def ask(many: str) -> None:
    """Ask whether so many things are to be removed.

    :raises Failure: they are not, or nobody is there to be asked
    """
    if not sys.stdin.isatty():
        raise Failure(
            f"{many} would be removed: say --yes, or --dry-run to see which", Exit.BAD_INPUT
        )
    if not click.confirm(f"Remove {many}?", err=True):
        raise Failure("nothing was removed")
