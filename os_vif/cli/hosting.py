# SPDX-License-Identifier: Apache-2.0
"""``show`` and ``gc``: what this host holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from os_vif.cli import completions, drawn, held, naming
from os_vif.cli.options import Taught, force_option, shared_options
from os_vif.cli.privilege import explain, tell_unseen
from os_vif.cli.session import Exit, Failure, Session

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Entry
    from os_vif.drawing.scene import Fault, Guest
    from os_vif.engine.family import Shared, Use
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.step import Drift
    from os_vif.engine.topology import Topology

# --- show -------------------------------------------------------------------------------------


@click.command("show", cls=Taught)
@click.argument(
    "targets",
    nargs=-1,
    metavar="[FILE|VIF|DEVICE|GUEST]...",
    shell_complete=completions.files_or_plugged,
)
@click.option(
    "--svg",
    "svg",
    metavar="FILE",
    shell_complete=completions.files,
    help="Write the picture to this file, as SVG.",
)
@click.option("--no-check", is_flag=True, help="Of a file, draw what it asks for, unchecked.")
@shared_options
@click.pass_obj
def show(session: Session, targets: tuple[str, ...], svg: str | None, no_check: bool) -> int:
    """Draw where VIFs sit on the host.

    FILE is a specification ('-' for standard input): it is drawn as it should be, and what the
    host lacks or has otherwise is marked in red. VIF is the id of a plugged VIF, or the beginning
    of one, DEVICE the name of its device, GUEST that of its guest, or its UUID: they are drawn as
    they are. Without an argument, every plugged VIF is drawn.

    Examples:
      os-vif show web.yaml
      os-vif show tap0
      os-vif show web.yaml --no-check --svg web.svg

    Where something could not be checked it is drawn all the same, and the exit code is 1. What
    check warns of is said on standard error.

    With --json: "parts", each with key, kind, title, lines, below (the key it is attached to),
    missing and faults.
    """
    from os_vif.drawing.scene import scene_of

    if svg is not None:
        drawn.check_svg(session, svg)
    faults: dict[str, Fault] = {}
    code = Exit.DONE
    if naming.files_of(targets):
        vifs, faults, seen = _from_files(session, targets, look=not no_check)
        code = Exit.DONE if seen else Exit.FAILED
    else:
        session.start(objects=False)
        # Those of one bridge side by side, so that they are drawn on the same one.
        chosen = sorted(naming.plugged(targets), key=held.beside)
        vifs = [held.as_plugged(item) for item in chosen]
        faults = {key: fault for item in chosen for key, fault in held.faults_of(item).items()}
    scene = scene_of(vifs, faults)
    if svg is not None:
        drawn.write_svg(session, svg, scene)
    elif not vifs:
        session.say(("no VIF is plugged on this host", "quiet"))
    elif not session.json and not session.quiet:
        drawn.draw(session, vifs, faults)
    return session.finish(code, parts=drawn.parts_of(scene))


def _from_files(
    session: Session, files: Sequence[str], *, look: bool
) -> tuple[list[tuple[Topology, Guest]], dict[str, Fault], bool]:
    """Return what is to be drawn, what is wrong with it, and whether that could be found out."""
    seen = True
    batch = session.read(files, some=True)
    from os_vif import exception, verbs
    from os_vif.cli.drift import drifts_in, faults_of
    from os_vif.cli.specs import reader

    vifs = []
    for entry, request in zip(batch.entries, reader.describe_all(batch), strict=True):
        if request is None:
            raise Failure(str(exception.NotDescribed(plugin_name=entry.vif.plugin)))
        vifs.append((request.topology, guest_of(entry)))
    drifts: list[Drift] = []
    warnings: dict[tuple[str, str], None] = {}
    pairs = [(entry.vif, entry.instance) for entry in batch.entries]
    owners = naming.owners_of(batch.entries)
    findings = verbs.examine(pairs, partial=True, owners=owners) if look else []
    for found in findings:
        drifts += drifts_in(found)
        warnings |= dict.fromkeys((it.device, it.words) for it in found.warnings)
        if found.error:  # the picture is worth showing all the same
            session.error(f"{found.vif.id}: not checked: {explain(found.error)}")
            seen = False
    tell_unseen(session, findings, "not checked")
    for device, words in warnings if not session.json else ():
        session.warn(f"{device}: {words}")
    return vifs, faults_of(drifts), seen


def guest_of(entry: Entry) -> Guest:
    """Return the guest's end of a VIF, for a picture."""
    from os_vif.drawing.scene import Guest

    instance, vif = entry.instance, entry.vif
    name = instance.name if instance is not None and instance.obj_attr_is_set("name") else "guest"
    lines = [str(vif.address)] if vif.obj_attr_is_set("address") and vif.address else []
    network = vif.network if vif.obj_attr_is_set("network") else None
    if network is not None and network.obj_attr_is_set("subnets"):
        for subnet in network.subnets:
            fixed = subnet.ips if subnet.obj_attr_is_set("ips") else []
            lines += [str(item.address) for item in fixed]
    return Guest(name, tuple(lines))


# --- gc ---------------------------------------------------------------------------------------


@click.command("gc", cls=Taught)
@click.option(
    "--keep",
    metavar="FILE",
    multiple=True,
    shell_complete=completions.files,
    help="Keep the VIFs in it.",
)
@click.option(
    "--keep-id",
    metavar="ID",
    multiple=True,
    shell_complete=completions.ids,
    help="Keep the VIF with this id.",
)
@click.option("--keep-none", is_flag=True, help="Keep nothing: remove every VIF of this host.")
@click.option("--owner", metavar="NAME", default="", help="Only VIFs of this owner (see plug).")
@click.option("--bridges", is_flag=True, help="Also bridges of ours that nobody uses.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@force_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared_options
@click.pass_obj
def gc(
    session: Session,
    *,
    keep: tuple[str, ...],
    keep_id: tuple[str, ...],
    keep_none: bool,
    owner: str,
    bridges: bool,
    dry_run: bool,
    force: bool,
    yes: bool,
) -> int:
    """Remove what is left of VIFs that no longer exist.

    Say which VIFs still exist. Devices, ports of Open vSwitch and forwarding rules that carry the
    mark of any other VIF go, and nothing else: what VIFs share (bridges and VLAN devices, marked
    "os-vif shared") stays. A representor and a PCI function are given back. Of a VIF of --keep FILE
    goes what it has elsewhere, of an earlier description, unless a program has it open. With
    --bridges, what is shared and nobody uses any more goes too; uplinks get back the host's
    addresses and routes, and their MTU.
    A VIF whose tap or macvtap a program has open stays, and that is an error, unless --force is
    given. VIFs that have an owner ('owner:' of a file, see plug) are left; --owner NAME is about
    those of this owner, and no others.
    On a terminal you are shown what goes, and asked.

    Examples:
      os-vif gc --keep web.yaml --keep db.yaml --dry-run
      os-vif gc --keep web.yaml --yes
      os-vif gc --keep-none
      os-vif gc --keep web.yaml --bridges
      os-vif gc --owner rack7 --keep /etc/guests

    With --json: "removed" (or, with --dry-run, "would_remove"), as the "vifs" of list; and "ended"
    ("would_end"), the names of taps that are gone and whose back ends were not; "bridges"
    ("would_remove_bridges"), each with name and uplinks; and "in_use", the ids of VIFs that stay
    because a program has them open; and "owned", how many VIFs were left to each owner.
    """
    _need_owner(owner)
    if keep_none == bool(keep or keep_id):
        raise click.UsageError("say what to keep: --keep FILE, --keep-id ID, or else --keep-none")
    live = set(keep_id)
    described = []
    if keep:
        for entry in session.read(keep, some=True).entries:
            live.add(str(entry.vif.id))
            described.append((entry.vif, entry.instance))
    else:
        session.start(objects=False)
    from os_vif import verbs
    from os_vif.engine import inventory

    found = verbs.list_vifs()
    _need_whole(keep_id, {item.mark.vif_id for item in found})
    doomed = verbs.gc(live, dry_run=True, described=described, owner=owner, found=found)
    owned = (
        {} if owner else _tell_owned(session, [it for it in found if it.mark.vif_id not in live])
    )
    gone = [item for item in doomed if item.mark.vif_id not in live]
    uses = {} if force else inventory.uses(gone)
    doomed = [item for item in doomed if item.mark.vif_id not in uses]
    spared = _spared(session, uses)
    known = set(live)
    live |= set(uses)
    lost = verbs.lost_back_ends()
    unused = verbs.unused_bridges(live, owner=owner) if bridges else []
    as_json = [held.as_json(item) for item in doomed]
    for item in doomed:
        devices = held.things_of(item)
        session.say(
            ("would remove" if dry_run else "to remove", "warn"),
            "  ",
            (devices, "title"),
            (f"  VIF {item.mark.vif_id}", "quiet"),
            ("  which is elsewhere now" if item.mark.vif_id in known else "", "quiet"),
        )
    for name in lost:
        session.say(
            ("would end" if dry_run else "to end", "warn"),
            "  ",
            (f"the back end of {name}", "title"),
            ("  its tap is gone", "quiet"),
        )
    for shared in unused:
        back = f"; {', '.join(shared.uplinks)} gets back what it had" if shared.uplinks else ""
        session.say(
            ("would remove" if dry_run else "to remove", "warn"),
            "  ",
            (shared.name, "title"),
            (f"  nobody uses it any more{back}", "quiet"),
        )
    named = [{"name": it.name, "uplinks": list(it.uplinks)} for it in unused]
    if not doomed and not lost and not unused:
        session.say(("nothing to remove", "quiet"))
    code = Exit.FAILED if spared else Exit.DONE
    left = {"in_use": sorted(uses), "owned": owned}
    if dry_run:
        would = {"would_remove": as_json, "would_end": lost, "would_remove_bridges": named}
        return session.finish(code, errors=spared, **would, **left)
    many = _many(doomed, lost, unused)
    if many and not yes:
        from os_vif.cli import removing

        removing.ask(many)
    try:
        gone = verbs.gc(live, bridges=bridges, described=described, owner=owner)
    except Exception as error:
        raise Failure(explain(error)) from error
    if many:
        session.say(("removed", "good"), f"  {_many(gone, lost, unused)}")
    removed = [held.as_json(item) for item in gone]
    return session.finish(code, errors=spared, removed=removed, ended=lost, bridges=named, **left)


def _need_owner(owner: str) -> None:
    from os_vif import exception
    from os_vif.engine import checks

    try:
        checks.owner(owner or "nobody")
    except exception.InvalidField as error:
        said = f"--owner {owner}: expected {error.kwargs['expected']}"
        raise Failure(said, Exit.BAD_INPUT) from None


def _need_whole(keep: Iterable[str], known: Collection[str]) -> None:
    """Refuse what is but the beginning of an id: here it would keep nothing.

    :raises Failure: there is one
    """
    for word in keep:
        meant = [vif_id for vif_id in known if vif_id.startswith(word) and word not in known]
        if meant:
            said = f"--keep-id {word!r} is the beginning of {meant[0]}; write the whole id"
            raise Failure(said, Exit.BAD_INPUT)


def _tell_owned(session: Session, left: Iterable[Plugged]) -> dict[str, int]:
    """Say how many VIFs are left because they have owners; return that, by owner."""
    owned = dict(sorted(Counter(it.mark.owner for it in left if it.mark.owner).items()))
    for owner, count in owned.items():
        those = "1 VIF that has" if count == 1 else f"{count} VIFs that have"
        session.say((f"left {those} the owner {owner}; see --owner {owner}", "quiet"))
    return owned


def _spared(session: Session, uses: Mapping[str, Sequence[Use]]) -> list[dict[str, Any]]:
    """Say which VIFs stay because programs have them open; return that as errors."""
    from os_vif.cli import removing

    errors = []
    for vif_id, found in uses.items():
        message = f"VIF {vif_id}: {explain(removing.in_use(found))}"
        errors.append({"type": "Failed", "message": message, "vif": vif_id})
        if not session.json:
            session.error(message)
    return errors


def _many(vifs: Sequence[Plugged], back_ends: Sequence[str], shared: Sequence[Shared]) -> str:
    counted = (
        (len(vifs), "VIF"),
        (len(back_ends), "back end"),
        (len(shared), "shared device"),
    )
    return " and ".join(
        f"{count} {what}{'s' if count > 1 else ''}" for count, what in counted if count
    )
