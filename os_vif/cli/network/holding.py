# SPDX-License-Identifier: Apache-2.0
"""``network list`` and ``network gc``: what OVN's Northbound database holds of os-vif's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from os_vif.cli import completions
from os_vif.cli.network import completing
from os_vif.cli.network.described import asking, described, rows_of, topologies_of
from os_vif.cli.network.options import (
    northbound_options,
    owner_option,
    sb_option,
    wait_option,
)
from os_vif.cli.options import Taught
from os_vif.cli.removing import ask
from os_vif.cli.session import Exit, Failure, Session
from os_vif.cli.table import Column, print_table

if TYPE_CHECKING:
    from os_vif.cli.network.described import Described
    from os_vif.logical.held import Held
    from os_vif.network import Owned


@click.command("list", cls=Taught)
@owner_option
@sb_option
@northbound_options
@click.pass_obj
def list_(session: Session, *, owner: str, sb: str) -> int:
    """List the networks and routers that os-vif made in OVN, whoever applied them.

    The database itself is the only record: each row that apply makes carries what it is of and
    whose it is (external_ids:os-vif and os-vif-owner). What others have there, Neutron for one, is
    not listed. With -v each port takes a line of its own.

    Examples:
      os-vif network list
      os-vif network list -v --sb tcp:192.0.2.10:6642
      os-vif network list --owner lab --json | jq -r '.networks[].id'

    With --json: "networks", each with kind (network or router), id, label, owner, rows, and ports
    (name, shown, addresses, up, and chassis with --sb).
    """
    session.start(objects=False)
    from os_vif import network
    from os_vif.logical import held

    with asking():
        found = held.held(network.list_rows(owner=owner))
        ports = [port.name for item in found for port in item.ports]
        chassis = network.bindings(ports, network.southbound(sb)) if sb else {}
    if not found:
        session.say(("os-vif has no network there", "quiet"))
    else:
        titles = ("NETWORK", "KIND", "OWNER", "PORTS", "UP", "ROWS", "ID")
        rows = [
            (
                item.label or "-",
                item.kind,
                item.owner,
                str(len(item.ports)),
                str(sum(port.up for port in item.ports)),
                str(item.rows),
                item.id,
            )
            for item in found
        ]
        print_table(session, [Column(title) for title in titles], rows)
    if session.verbosity:
        _tell_ports(session, found, chassis)
    networks = [
        {
            "kind": item.kind,
            "id": item.id,
            "label": item.label,
            "owner": item.owner,
            "rows": item.rows,
            "ports": [
                {
                    "name": port.name,
                    "shown": port.shown,
                    "addresses": port.addresses,
                    "up": port.up,
                    "chassis": chassis.get(port.name),
                }
                for port in item.ports
            ],
        }
        for item in found
    ]
    return session.finish(Exit.DONE, networks=networks)


def _tell_ports(session: Session, found: Sequence[Held], chassis: dict[str, str]) -> None:
    rows = [
        (
            port.shown,
            item.label or item.id,
            chassis.get(port.name) or ("yes" if port.up else "no"),
            " ".join(port.addresses) or "-",
            port.name,
        )
        for item in found
        for port in item.ports
    ]
    if rows:
        titles = ("PORT", "NETWORK", "UP", "ADDRESSES", "NAME")
        session.say("")
        print_table(session, [Column(title) for title in titles], rows)


@click.command("gc", cls=Taught)
@click.option(
    "--owner",
    metavar="NAME",
    required=True,
    shell_complete=completing.owners,
    help="Whose rows may go: a file's owner.",
)
@click.option(
    "--keep",
    metavar="FILE",
    multiple=True,
    shell_complete=completions.files,
    help="Keep what is in it.",
)
@click.option("--keep-none", is_flag=True, help="Keep nothing: remove all that the owner has.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--force", is_flag=True, help="Also ports that are plugged: guests lose the network.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_option
@northbound_options
@click.pass_obj
def gc(
    session: Session,
    *,
    owner: str,
    keep: tuple[str, ...],
    keep_none: bool,
    dry_run: bool,
    force: bool,
    yes: bool,
    wait: bool,
) -> int:
    """Remove the rows of an owner that the owner's files no longer name.

    Name all files of the owner. Rows of other owners, and of others than os-vif, are not even
    looked at. A port that is plugged on a host stays, and so does what it needs; that is an error,
    unless --force is given. On a terminal you are shown what goes, and asked.

    Examples:
      os-vif network gc --owner lab --keep lab.yaml --dry-run
      os-vif network gc --owner lab --keep /etc/networks --yes
      os-vif network gc --owner lab --keep-none

    With --json: "removed" (or, with --dry-run, "would_remove"), rows with table, uuid, owner, mark,
    label; and "plugged", those that stay because a host has them.
    """
    if keep_none == bool(keep):
        raise click.UsageError("say what to keep: --keep FILE, or else --keep-none")
    if keep:
        found = described(session, keep)
        others = {it.topology.mark.owner for it in found} - {owner}
        if others:
            raise Failure(
                f"--owner {owner}: the files are of {', '.join(sorted(others))}", Exit.BAD_INPUT
            )
        wanted = topologies_of(found)
    else:
        session.start(objects=False)
        wanted = []
    from os_vif import network

    with asking():
        doomed = network.gc(wanted, owner, dry_run=True, force=force)
    gone = [row for row in doomed if not row.kept]
    spared = _spared(session, [row for row in doomed if row.kept and row.up])
    for row in gone:
        _tell(session, row, "would remove" if dry_run else "to remove")
    if not gone:
        session.say(("nothing to remove", "quiet"))
    plugged = [_as_json(row) for row in doomed if row.kept and row.up]
    code = Exit.FAILED if spared else Exit.DONE
    if dry_run:
        would = [_as_json(row) for row in gone]
        return session.finish(code, errors=spared, would_remove=would, plugged=plugged)
    if gone and not yes:
        ask(rows_of(len(gone)))
    with asking():
        done = network.gc(wanted, owner, force=force, wait=wait) if gone else []
    removed = [row for row in done if not row.kept]
    if removed:
        session.say(("removed", "good"), f"  {rows_of(len(removed))}")
    rows = [_as_json(row) for row in removed]
    return session.finish(code, errors=spared, removed=rows, plugged=plugged)


Pruned = tuple[dict[str, Any], list[dict[str, Any]]]
"""What went and what stays, for JSON; and the errors, of what is plugged."""


def prune(session: Session, found: Sequence[Described], *, wait: bool) -> Pruned:
    """Remove what the owner has and the files no longer name, but what is plugged.

    :param wait: until ovn-northd has followed
    """
    from os_vif import network

    owner = found[0].topology.mark.owner
    with asking():
        done = network.gc(topologies_of(found), owner, wait=wait)
    removed = [row for row in done if not row.kept]
    plugged = [row for row in done if row.kept and row.up]
    errors = _spared(session, plugged)
    if removed:
        many = rows_of(len(removed))
        session.say(("removed", "good"), f"  {many} that the files no longer name")
    told = {"removed": [*map(_as_json, removed)], "plugged": [*map(_as_json, plugged)]}
    return told, errors


def _tell(session: Session, row: Owned, words: str) -> None:
    from os_vif.logical import held

    mark = row.mark.partition(" ")[0].replace("=", " ")
    session.say((words, "warn"), "  ", (held.called(row), "title"), (f"  {mark}", "quiet"))


def _as_json(row: Owned) -> dict[str, Any]:
    from os_vif.logical import held

    return {
        "table": row.table,
        "uuid": row.uuid,
        "owner": row.owner,
        "mark": row.mark,
        "label": held.label(row),
    }


def _spared(session: Session, plugged: Sequence[Owned]) -> list[dict[str, Any]]:
    """Say which ports stay because hosts have them; return that as errors."""
    from os_vif.logical import held

    errors = []
    for row in plugged:
        message = (
            f"{held.called(row)} is plugged on a host: unplug it there first, or remove it all "
            "the same with --force"
        )
        errors.append({"type": "Failed", "message": message, "port": row.name})
        if not session.json:
            session.error(message)
    return errors
