# SPDX-License-Identifier: Apache-2.0
"""``network plan`` and ``network check``: what would be changed in OVN, and what is wrong there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from os_vif.cli.checking import Warnings
from os_vif.cli.network.described import (
    as_result,
    asking,
    described,
    label_of,
    numbered,
    topologies_of,
    written,
)
from os_vif.cli.network.options import northbound_options, sb_option
from os_vif.cli.options import Taught, files_argument, strict_option
from os_vif.cli.privilege import explain
from os_vif.cli.results import as_warnings
from os_vif.cli.session import Exit, Session

if TYPE_CHECKING:
    from os_vif.cli.network.described import Described
    from os_vif.network import Findings


@click.command("plan", cls=Taught)
@files_argument
@click.option("--delete", "deleting", is_flag=True, help="What delete would change instead.")
@click.option("--force", is_flag=True, help="With --delete, as there.")
@strict_option
@northbound_options
@click.pass_obj
def plan(
    session: Session, files: tuple[str, ...], *, deleting: bool, force: bool, strict: bool
) -> int:
    """Show what network apply would change now.

    Nothing is touched. What is in the way (a row of another's) is reported as apply would report it
    (exit code 1). The last line says how many rows would be written, and in how many transactions:
    of more than a thousand rows each transaction is all or nothing by itself.

    Examples:
      os-vif network plan lab.yaml
      os-vif network plan --delete lab.yaml
      os-vif network plan --json rack7/*.yaml

    With --json: "networks", as for network apply, with the states to_do, nothing_to_do and failed,
    and warnings; "rows"; and "transactions".
    """
    if force and not deleting:
        raise click.UsageError("--force goes with --delete")
    found = described(session, files)
    from os_vif import network

    with asking():
        planned = network.plan(topologies_of(found), deleting=deleting, force=force)
    voice = Warnings(session)
    results = []
    number = 1
    for item, seen in zip(found, planned, strict=True):
        state = "failed" if seen.error else "to_do" if seen.steps else "nothing_to_do"
        result = _result(item, seen, state)
        results.append(result)
        if seen.error:
            _tell_failed(session, result)
            continue
        nothing = "not there" if deleting else "as described"
        quiet = "" if seen.steps else (f"  {nothing}: nothing to do", "quiet")
        session.say(*label_of(result), quiet)
        for line in numbered(result["steps"], number):
            session.say(*line)
        number += len(seen.steps)
        voice.tell(result)
    rows = sum(len(seen.steps) for seen in planned)
    transactions = network.transactions_of(rows)
    session.say((written(rows, transactions) if rows else "nothing to do", "quiet"))
    code = Exit.DRIFT if strict and voice.heard else Exit.DONE
    return _finish(session, results, code, rows=rows, transactions=transactions)


@click.command("check", cls=Taught)
@files_argument
@sb_option
@strict_option
@northbound_options
@click.pass_obj
def check(session: Session, files: tuple[str, ...], *, sb: str, strict: bool) -> int:
    """Compare OVN with the networks, routers and VIFs of FILE...

    Nothing is touched. Each column that is not as described takes one line. The exit code is 0 if
    all is well, 3 if something has drifted (network apply repairs it), 1 if it could not be told.

    A port that is plugged on no host is waiting, which is well: plug on its host is what it waits
    for. A warning is something that apply does not put right; with --strict the exit code is 3.
    With --sb it is also looked up whether OVN knows the chassis that the file names, and whether
    they know the provider's networks (ovn-bridge-mappings).

    Examples:
      os-vif network check lab.yaml
      os-vif network check --sb tcp:192.0.2.10:6642 lab.yaml
      os-vif network check -q lab.yaml || os-vif network apply lab.yaml

    With --json: "networks", as for network plan, with the states healthy, waiting, drifted and
    failed; "drifts": device, words, missing, attribute, expected, before, after; and "waiting",
    names of what is plugged on no host.
    """
    found = described(session, files)
    from os_vif import network
    from os_vif.cli.drift import as_json, drifts_in

    with asking():
        checked = network.check(topologies_of(found), sb=network.southbound(sb) if sb else None)
    voice = Warnings(session)
    results = []
    for item, seen in zip(found, checked, strict=True):
        drifts = drifts_in(seen)
        state = (
            "failed"
            if seen.error
            else "drifted"
            if drifts
            else "waiting"
            if seen.waiting
            else "healthy"
        )
        result = _result(item, seen, state)
        result["waiting"] = list(seen.waiting)
        result["drifts"] = [*map(as_json, drifts)]
        results.append(result)
        if seen.error:
            _tell_failed(session, result)
            continue
        if not drifts:
            session.say(("healthy", "good"), "  ", *label_of(result))
        for drift in drifts:
            session.say(("drift  ", "bad"), "  ", (drift.device, "title"), f"  {drift.words}")
        for name in seen.waiting:
            session.say(("waiting", "warn"), "  ", (name, "title"), "  is plugged on no host")
        voice.tell(result)
    drifted = any(result["drifts"] for result in results) or (strict and voice.heard)
    return _finish(session, results, Exit.DRIFT if drifted else Exit.DONE)


def _result(item: Described, seen: Findings, state: str) -> dict[str, Any]:
    error = explain(seen.error) if seen.error else None
    result = as_result(item, state, seen.steps, error, changes=seen.changes)
    result["warnings"] = as_warnings(seen.warnings)
    return result


def _tell_failed(session: Session, result: dict[str, Any]) -> None:
    place = f"{result['file']}:{result['line']}: " if result["file"] else ""
    if not session.json:
        session.error(f"{place}{result['kind']} {result['label']}: {result['error']}")


def _finish(session: Session, results: Sequence[dict[str, Any]], code: Exit, **more: Any) -> int:
    errors = [
        {"type": "Failed", "message": it["error"], it["kind"]: it["id"]}
        for it in results
        if it["error"]
    ]
    code = Exit.FAILED if errors else code
    return session.finish(code, errors=errors, networks=results, **more)
