# SPDX-License-Identifier: Apache-2.0
"""``network apply`` and ``network delete``: what is done to OVN's Northbound database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from os_vif.cli.network.described import (
    as_result,
    asking,
    described,
    label_of,
    numbered,
    topologies_of,
    widest,
    written,
)
from os_vif.cli.network.options import northbound_options, sb_option, wait_option
from os_vif.cli.options import Taught, dry_run_option, files_argument
from os_vif.cli.privilege import explain
from os_vif.cli.results import SAY_ALL, duration
from os_vif.cli.session import Exit, Failure, Session

if TYPE_CHECKING:
    from os_vif.cli.network.described import Described
    from os_vif.cli.network.holding import Pruned
    from os_vif.network import Applied

_STATES = {
    "added": ("added", "good"),
    "changed": ("changed", "good"),
    "unchanged": ("unchanged", "quiet"),
    "deleted": ("deleted", "good"),
    "not_there": ("was not there", "quiet"),
}


@click.command("apply", cls=Taught)
@files_argument
@wait_option
@click.option("--wait-up", is_flag=True, help="Until each port is plugged on a host, too.")
@click.option(
    "--prune", is_flag=True, help="Then remove what the owner has and FILE... no longer names."
)
@dry_run_option
@northbound_options
@click.pass_context
def apply(
    context: click.Context,
    files: tuple[str, ...],
    *,
    wait: bool,
    wait_up: bool,
    prune: bool,
    dry_run: bool,
) -> int:
    """Make OVN's networks, routers and ports as FILE... says.

    FILE is as for plug; beside 'vifs:' it has 'owner:', 'networks:' and 'routers:'. All of it is
    one transaction: done, or nothing of it. What is there already is compared column by column, and
    only what differs is written; what is another's is never touched. Applying again, after a lost
    answer too, makes nothing twice. If any file has a mistake, nothing is touched.

    A port's chassis is written only if the file says one: live migrations set it meanwhile (see
    network place). What a file no longer names stays, a floating IP for one: network gc takes it
    away, and so does --prune; name all files of the owner then.

    apply returns when the database has it. With --wait, when ovn-northd has passed it on to the
    chassis; with --wait-up, when each port is plugged and bound somewhere. Where that takes longer
    than --timeout it is an error, and what was written stays.

    Examples:
      os-vif network apply lab.yaml
      os-vif network apply --wait --nb tcp:192.0.2.10:6641 lab.yaml
      os-vif network apply --json rack7/*.yaml

    With --json: "networks", each with kind (network or router), id, label, file, line, state
    (added, changed, unchanged), rows, steps (kind, args, words) and error; "rows", how many were
    written, in how many "transactions"; "seconds"; and with --prune "removed", as of network gc.
    """
    if dry_run:
        return _plan(context, files)
    session = context.obj
    found = described(session, files)
    from os_vif import network
    from os_vif.cli.network import holding

    return _change(
        session,
        found,
        lambda: network.apply(topologies_of(found), wait=wait, wait_up=wait_up),
        deleting=False,
        after=(lambda: holding.prune(session, found, wait=wait)) if prune else None,
    )


@click.command("delete", cls=Taught)
@files_argument
@click.option("--force", is_flag=True, help="Also ports that are plugged: guests lose the network.")
@wait_option
@sb_option
@dry_run_option
@northbound_options
@click.pass_context
def delete(
    context: click.Context,
    files: tuple[str, ...],
    *,
    force: bool,
    wait: bool,
    sb: str,
    dry_run: bool,
) -> int:
    """Take the networks, routers and ports of FILE... out of OVN.

    All of it is one transaction: done, or nothing of it. A port that is plugged on a host is an
    error that names it (with --sb, its chassis too), unless --force is given, and so is a network
    that holds what others have put into it. Deleting what is not there is no error.

    Examples:
      os-vif network delete lab.yaml
      os-vif network plan --delete lab.yaml
      os-vif network delete --force --json lab.yaml

    With --json: as network apply, with the states deleted and not_there.
    """
    if dry_run:
        return _plan(context, files, deleting=True, force=force)
    session = context.obj
    found = described(session, files)
    from os_vif import network

    return _change(
        session,
        found,
        lambda: network.delete(topologies_of(found), force=force, wait=wait),
        deleting=True,
        sb=sb,
    )


def _plan(context: click.Context, files: Sequence[str], **options: bool) -> int:
    from os_vif.cli.network.looking import plan

    context.obj.command = "network plan"
    given = {"deleting": False, "force": False, "strict": False, **options}
    done: int = context.invoke(plan, files=files, **given)
    return done


def _change(
    session: Session,
    found: Sequence[Described],
    act: Callable[[], Sequence[Applied]],
    *,
    deleting: bool,
    after: Callable[[], Pruned] | None = None,
    sb: str = "",
) -> int:
    from os_vif import exception, network

    begun = time.monotonic()
    with asking():
        try:
            done = act()
        except exception.HeldByAnother as error:
            where = _where(found, error.kwargs["resource"], sb) if sb else ""
            raise Failure(f"{explain(error)}{where}") from error
    seconds = time.monotonic() - begun
    results = [
        as_result(item, _state(item, applied, deleting=deleting), applied.steps)
        for item, applied in zip(found, done, strict=True)
    ]
    rows = sum(len(applied.steps) for applied in done)
    _report(session, found, results, deleting=deleting)
    transactions = network.transactions_of(rows)
    said = f"{written(rows, transactions)}, {duration(seconds)}" if rows else "nothing to do"
    session.say((said, "quiet"))
    more, errors = after() if after is not None else ({}, [])
    return session.finish(
        Exit.FAILED if errors else Exit.DONE,
        errors=errors,
        networks=results,
        rows=rows,
        transactions=transactions,
        seconds=round(seconds, 6),
        **more,
    )


def _where(found: Sequence[Described], port: str, sb: str) -> str:
    """Return in words which chassis has a port; '' where that is not told."""
    from os_vif import network
    from os_vif.logical import telling

    names = [telling.ports_of(it.topology).get(port, "") for it in found]
    try:
        bound = network.bindings([name for name in names if name], network.southbound(sb))
    except OSError as error:
        return f"; which one was not told: {error.strerror}"
    return "".join(f": {name} has it" for name in bound.values())


def _state(item: Described, applied: Applied, *, deleting: bool) -> str:
    if deleting:
        return "deleted" if applied.steps else "not_there"
    if not applied.steps:
        return "unchanged"
    from os_vif.engine.families import kind_of

    made = {
        name
        for step in applied.steps
        for name in kind_of(step.kind).makes(step.args, applied.steps)
    }
    from os_vif.logical import telling

    return "added" if " ".join(telling.called(item.topology)) in made else "changed"


def _report(
    session: Session,
    found: Sequence[Described],
    results: Sequence[dict[str, Any]],
    *,
    deleting: bool,
) -> None:
    from os_vif.logical import telling

    if len(results) > SAY_ALL and not session.verbosity:
        return
    width = max((len(_STATES[result["state"]][0]) for result in results), default=0)
    longest = 0 if deleting else widest(results)
    for item, result in zip(found, results, strict=True):
        state, style = _STATES[result["state"]]
        about = "" if deleting else telling.summary(item.topology)
        session.say(
            (state.ljust(width), style), "  ", *label_of(result, longest), f"  {about}".rstrip()
        )
        for line in numbered(result["steps"] if session.verbosity else []):
            session.say(*line)
