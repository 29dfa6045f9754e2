# SPDX-License-Identifier: Apache-2.0
"""``network show``: a picture of networks, the edge on top and the VIFs below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from os_vif.cli import completions, drawn
from os_vif.cli.network.described import asking, described, topologies_of
from os_vif.cli.network.options import northbound_options, owner_option, sb_option
from os_vif.cli.options import Taught
from os_vif.cli.privilege import explain
from os_vif.cli.session import Exit, Session

if TYPE_CHECKING:
    from os_vif.drawing.scene import Fault
    from os_vif.engine.step import Drift
    from os_vif.engine.topology import Topology


_MANY = 24
"""With more VIFs, those that look alike are drawn as one."""


class _Seen(NamedTuple):
    """What is to be drawn.

    :ivar drifts: what is wrong, of each topology.
    :ivar up: whether a chassis has a port, by what people call it; what is not here is not there.
    :ivar code: how the command ends.
    """

    topologies: Sequence[Topology]
    drifts: Sequence[Sequence[Drift]]
    up: Mapping[str, bool]
    code: Exit = Exit.DONE


@click.command("show", cls=Taught)
@click.argument("files", nargs=-1, metavar="[FILE]...", shell_complete=completions.files)
@owner_option
@click.option(
    "--svg",
    metavar="FILE",
    shell_complete=completions.files,
    help="Write the picture to this file, as SVG.",
)
@click.option("--no-check", is_flag=True, help="Of a file, draw what it asks for, unchecked.")
@sb_option
@northbound_options
@click.pass_obj
def show(
    session: Session,
    files: tuple[str, ...],
    *,
    owner: str,
    svg: str | None,
    no_check: bool,
    sb: str,
) -> int:
    """Draw networks: the provider's on top, then routers, switches, and the VIFs below.

    Of FILE, what it asks for is drawn, and what OVN lacks or has otherwise is marked in red.
    Without FILE, what os-vif has made there, of all owners or of one. Each port says whether it is
    up; with --sb, on which chassis.

    Examples:
      os-vif network show lab.yaml
      os-vif network show --owner lab --sb tcp:192.0.2.10:6642
      os-vif network show --no-check --svg lab.svg lab.yaml

    With --json: "parts", each with key, kind, title, lines, below (the key it is attached to),
    missing and faults.
    """
    if files and owner:
        raise click.UsageError("--owner goes without FILE, which says whose it is")
    if svg is not None:
        drawn.check_svg(session, svg)
    seen = _of_files(session, files, look=not no_check) if files else _held(session, owner)
    from os_vif.drawing.scene import scene_of
    from os_vif.logical.pieces import pieces_of

    notes = _notes(seen, _chassis(seen, sb) if sb else {})
    whole = [(topology, None) for topology in seen.topologies]
    faults = _faults(seen, scene_of(whole).parts)
    scene = scene_of(whole, faults, notes)
    if svg is not None:
        drawn.write_svg(session, svg, scene)
    elif not whole:
        session.say(("there is no network", "quiet"))
    elif not session.json and not session.quiet:
        pieces = [(piece, None) for piece in pieces_of(seen.topologies)]
        if len(pieces) > _MANY:
            drawn.draw_folded(session, scene)
        else:
            drawn.draw(session, pieces, faults, notes)
    return session.finish(seen.code, parts=drawn.parts_of(scene))


def _of_files(session: Session, files: Sequence[str], *, look: bool) -> _Seen:
    found = described(session, files)
    topologies = topologies_of(found)
    if not look:
        return _Seen(topologies, [()] * len(topologies), {})
    from os_vif import network
    from os_vif.cli.drift import drifts_in
    from os_vif.logical import telling

    with asking():
        checked = network.check(topologies)
    drifts = [drifts_in(item) for item in checked]
    up: dict[str, bool] = {}
    code = Exit.DONE
    for item, wrong in zip(checked, drifts, strict=True):
        made = {drift.device for drift in wrong if drift.missing}
        ports = telling.ports_of(item.topology)
        up |= {what: what not in item.waiting for what in ports if what not in made}
        if item.error:  # the picture is worth showing all the same
            session.error(f"{' '.join(telling.called(item.topology))}: {explain(item.error)}")
            code = Exit.FAILED
    return _Seen(topologies, drifts, up, code)


def _held(session: Session, owner: str) -> _Seen:
    session.start(objects=False)
    from os_vif import network
    from os_vif.logical import held

    with asking():
        rows = network.list_rows(owner=owner)
    topologies = held.drawable(rows)
    up = {held.called(row): bool(row.up) for row in rows if row.up is not None}
    return _Seen(topologies, [()] * len(topologies), up)


def _chassis(seen: _Seen, sb: str) -> Mapping[str, str]:
    """Return the chassis that have ports, by what people call these."""
    from os_vif import network
    from os_vif.logical import telling

    names = {
        what: name
        for topology in seen.topologies
        for what, name in telling.ports_of(topology).items()
    }
    with asking():
        bound = network.bindings(list(names.values()), network.southbound(sb))
    return {what: bound[name] for what, name in names.items() if name in bound}


def _notes(seen: _Seen, chassis: Mapping[str, str]) -> dict[str, list[str]]:
    return {
        what: [f"up on {chassis[what]}" if up and what in chassis else "up" if up else "on no host"]
        for what, up in seen.up.items()
    }


def _faults(seen: _Seen, parts: Mapping[str, object]) -> dict[str, Fault]:
    """Return the faults by the key of a part; of what is no part, those of its network's."""
    import dataclasses

    from os_vif.cli.drift import faults_of
    from os_vif.logical import telling

    placed: list[Drift] = []
    for topology, drifts in zip(seen.topologies, seen.drifts, strict=True):
        root = " ".join(telling.called(topology))
        missing = any(drift.missing and drift.device == root for drift in drifts)
        for drift in drifts:
            if drift.device in parts:
                placed.append(drift)
            elif not missing:
                words = f"{drift.device} {drift.words}"
                placed.append(dataclasses.replace(drift, words=words, missing=False, part=root))
    return faults_of(placed)
