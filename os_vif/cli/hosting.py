# SPDX-License-Identifier: Apache-2.0
"""``list``, ``show`` and ``gc``: what this host holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from os_vif.cli import held
from os_vif.cli.options import Taught, shared_options
from os_vif.cli.privilege import explain
from os_vif.cli.session import Exit, Failure, Session
from os_vif.cli.table import Column, print_table

if TYPE_CHECKING:
    from os_vif.cli.specs.reader import Entry
    from os_vif.drawing.scene import Fault, Guest, Scene
    from os_vif.engine.family import Shared
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.step import Drift
    from os_vif.engine.topology import Topology

# --- list -------------------------------------------------------------------------------------


@click.command("list", cls=Taught)
@shared_options
@click.pass_obj
def list_(session: Session) -> int:
    """List the VIFs that are plugged on this host.

    The host itself is the only record: every device made for a VIF carries the VIF's id (as its
    alias; ip link shows it), and so does every port of Open vSwitch (in its external_ids). A PCI
    function that a guest has is marked on its card's network device, or on lo (as an altname). This
    works without privilege, but then forwarding rules are not seen. Where Open vSwitch is not
    running, its ports are not seen.

    Examples:
      os-vif list
      os-vif list --json | jq -r '.vifs[].id'

    With --json: "vifs", each with id, plugin, instance, state (up, down, port_error, device_gone,
    back_end_gone, rules_only), devices (name, kind, up, mac, mtu, master; of a macvtap also link
    and mode; of a fast path's tap the socket, and whether it listens there), ports of Open vSwitch
    (name, bridge, type, iface_id, ofport, error), bridges (of Open vSwitch, the VIF's own),
    functions of PCI (address, card, vf, driver, mac, vlan) and rules.
    """
    session.start()
    from os_vif import verbs

    found = verbs.list_vifs()
    if not found:
        session.say(("no VIF is plugged on this host", "quiet"))
    else:
        columns = [Column(title) for title in ("VIF", "STATE", "DEVICES", "PLUGIN", "INSTANCE")]
        rows = [
            (
                item.mark.vif_id,
                held.state_of(item),
                held.places_of(item) or "-",
                item.mark.plugin,
                item.mark.instance or "-",
            )
            for item in found
        ]
        print_table(session, columns, rows)
    return session.finish(Exit.DONE, vifs=[held.as_json(item) for item in found])


# --- show -------------------------------------------------------------------------------------


@click.command("show", cls=Taught)
@click.argument("targets", nargs=-1, metavar="[FILE|VIF|DEVICE]...")
@click.option("--svg", "svg", metavar="FILE", help="Write the picture to this file, as SVG.")
@click.option("--no-check", is_flag=True, help="Of a file, draw what it asks for, unchecked.")
@shared_options
@click.pass_obj
def show(session: Session, targets: tuple[str, ...], svg: str | None, no_check: bool) -> int:
    """Draw where VIFs sit on the host.

    FILE is a specification ('-' for standard input): it is drawn as it should be, and what the
    host lacks or has otherwise is marked in red. VIF is the id of a plugged VIF, or the beginning
    of one, and DEVICE the name of its device: they are drawn as they are. Without an argument,
    every plugged VIF is drawn.

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

    files = [target for target in targets if target == "-" or Path(target).is_file()]
    if files and len(files) < len(targets):
        others = [target for target in targets if target not in files]
        raise Failure(
            f"{', '.join(others)}: no such file; files and plugged VIFs are drawn apart",
            Exit.BAD_INPUT,
        )
    faults: dict[str, Fault] = {}
    code = Exit.DONE
    if files:
        vifs, faults, seen = _from_files(session, files, look=not no_check)
        code = Exit.DONE if seen else Exit.FAILED
    else:
        session.start()
        # Those of one bridge side by side, so that they are drawn on the same one.
        chosen = sorted(_chosen(targets), key=held.beside)
        vifs = [held.as_plugged(item) for item in chosen]
        faults = {key: fault for item in chosen for key, fault in held.faults_of(item).items()}
    scene = scene_of(vifs, faults)
    if svg is not None:
        _write_svg(session, svg, scene)
    elif not vifs:
        session.say(("no VIF is plugged on this host", "quiet"))
    elif not session.json and not session.quiet:
        _draw(session, vifs, faults)
    return session.finish(code, parts=_parts(scene))


def _from_files(
    session: Session, files: Sequence[str], *, look: bool
) -> tuple[list[tuple[Topology, Guest]], dict[str, Fault], bool]:
    """Return what is to be drawn, what is wrong with it, and whether that could be found out."""
    seen = True
    batch = session.read(files)
    from os_vif import exception, verbs
    from os_vif.cli.drift import drifts_of, faults_of
    from os_vif.cli.specs import reader

    vifs = []
    drifts: list[Drift] = []
    warnings: dict[tuple[str, str], None] = {}
    for entry, request in zip(batch.entries, reader.describe_all(batch), strict=True):
        if request is None:
            raise Failure(str(exception.NotDescribed(plugin_name=entry.vif.plugin)))
        vifs.append((request.topology, guest_of(entry)))
        if look:
            [found] = verbs.examine([(entry.vif, entry.instance)])
            drifts += drifts_of(found.steps)
            warnings |= dict.fromkeys((it.device, it.words) for it in found.warnings)
            if found.error:  # the picture is worth showing all the same
                session.error(f"{entry.vif.id}: not checked: {explain(found.error)}")
                seen = False
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


def _chosen(targets: Sequence[str]) -> list[Plugged]:
    """Return the plugged VIFs that are meant; all of them without targets."""
    from os_vif import verbs
    from os_vif.cli.specs.reading import suggest

    found = verbs.list_vifs()
    if not targets:
        return found
    chosen = []
    for target in targets:
        hits = [
            item
            for item in found
            if item.mark.vif_id.startswith(target) or target in held.names_of(item)
        ]
        if not hits:
            names = [name for item in found for name in held.names_of(item)]
            names += [item.mark.vif_id for item in found]
            hint = suggest(target, names) if names else "no VIF is plugged on this host"
            raise Failure(
                f"{target!r} is neither a file nor the id or device of a plugged VIF; {hint}",
                Exit.BAD_INPUT,
            )
        if len(hits) > 1:
            ids = ", ".join(item.mark.vif_id for item in hits)
            raise Failure(f"{target!r} may mean any of {ids}", Exit.BAD_INPUT)
        chosen += hits
    return chosen


def _draw(session: Session, vifs: list[tuple[Topology, Guest]], faults: dict[str, Fault]) -> None:
    from os_vif.drawing import text

    width = session.out.width if session.out.is_terminal else 100
    for number, scene in enumerate(text.fitting(vifs, faults, width)):
        if number:
            session.say("")
        session.draw(text.draw(scene, ascii_only=session.ascii_only))


def _write_svg(session: Session, name: str, scene: Scene) -> None:
    from os_vif.drawing import svg

    picture = svg.draw(scene)
    try:
        if name == "-":
            sys.stdout.write(picture)
        else:
            Path(name).write_text(picture, encoding="utf-8")
            session.say("wrote ", (name, "title"))
    except OSError as error:
        raise Failure(f"--svg {name}: {error.strerror}") from None


def _parts(scene: Scene) -> list[dict[str, Any]]:
    return [
        {
            "key": part.key,
            "kind": part.kind,
            "title": part.title,
            "lines": part.lines,
            "below": part.below,
            "missing": bool(part.fault and part.fault.missing),
            "faults": list(part.fault.notes) if part.fault else [],
        }
        for part in scene.parts.values()
    ]


# --- gc ---------------------------------------------------------------------------------------


@click.command("gc", cls=Taught)
@click.option("--keep", "keep", metavar="FILE", multiple=True, help="Keep the VIFs of this file.")
@click.option("--keep-id", metavar="ID", multiple=True, help="Keep the VIF with this id.")
@click.option("--keep-none", is_flag=True, help="Keep nothing: remove every VIF of this host.")
@click.option("--bridges", is_flag=True, help="Also bridges of ours that nobody uses.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared_options
@click.pass_obj
def gc(
    session: Session,
    *,
    keep: tuple[str, ...],
    keep_id: tuple[str, ...],
    keep_none: bool,
    bridges: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Remove what is left of VIFs that no longer exist.

    Say which VIFs still exist. Devices, ports of Open vSwitch and forwarding rules that carry the
    mark of any other VIF go, and nothing else: what VIFs share (bridges and VLAN devices, marked
    "os-vif shared") stays. A representor and a PCI function are given back. Of a VIF of --keep FILE
    goes what it has elsewhere, of an earlier description, unless a program has it open. With
    --bridges, what is shared and nobody uses any more goes too; uplinks get back the host's
    addresses and routes, and their MTU.
    On a terminal you are shown what goes, and asked.

    Examples:
      os-vif gc --keep web.yaml --keep db.yaml --dry-run
      os-vif gc --keep web.yaml --yes
      os-vif gc --keep-none
      os-vif gc --keep web.yaml --bridges

    With --json: "removed" (or, with --dry-run, "would_remove"), as the "vifs" of list; and "ended"
    ("would_end"), the names of taps that are gone and whose back ends were not; and "bridges"
    ("would_remove_bridges"), each with name and uplinks.
    """
    if keep_none == bool(keep or keep_id):
        raise click.UsageError("say what to keep: --keep FILE, --keep-id ID, or else --keep-none")
    live = set(keep_id)
    described = []
    if keep:
        for entry in session.read(keep).entries:
            live.add(str(entry.vif.id))
            described.append((entry.vif, entry.instance))
    else:
        session.start()
    from os_vif import verbs

    doomed = verbs.gc(live, dry_run=True, described=described)
    lost = verbs.lost_back_ends()
    unused = verbs.unused_bridges(live) if bridges else []
    as_json = [held.as_json(item) for item in doomed]
    for item in doomed:
        devices = held.things_of(item)
        session.say(
            ("would remove" if dry_run else "to remove", "warn"),
            "  ",
            (devices, "title"),
            (f"  VIF {item.mark.vif_id}", "quiet"),
            ("  which is elsewhere now" if item.mark.vif_id in live else "", "quiet"),
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
    if dry_run:
        return session.finish(
            Exit.DONE, would_remove=as_json, would_end=lost, would_remove_bridges=named
        )
    many = _many(doomed, lost, unused)
    if many and not yes:
        _ask(many)
    try:
        gone = verbs.gc(live, bridges=bridges, described=described)
    except Exception as error:
        raise Failure(explain(error)) from error
    if many:
        session.say(("removed", "good"), f"  {_many(gone, lost, unused)}")
    removed = [held.as_json(item) for item in gone]
    return session.finish(Exit.DONE, removed=removed, ended=lost, bridges=named)


def _many(vifs: Sequence[Plugged], back_ends: Sequence[str], shared: Sequence[Shared]) -> str:
    counted = (
        (len(vifs), "VIF"),
        (len(back_ends), "back end"),
        (len(shared), "shared device"),
    )
    return " and ".join(
        f"{count} {what}{'s' if count > 1 else ''}" for count, what in counted if count
    )


def _ask(many: str) -> None:
    if not sys.stdin.isatty():
        raise Failure(
            f"{many} would be removed: say --yes, or --dry-run to see which", Exit.BAD_INPUT
        )
    if not click.confirm(f"Remove {many}?", err=True):
        raise Failure("nothing was removed")
