# SPDX-License-Identifier: Apache-2.0
"""How the command shows a picture: on the terminal, as SVG, as JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from os_vif.cli.session import Failure, Session

if TYPE_CHECKING:
    from os_vif.drawing.scene import Fault, Guest, Scene
    from os_vif.engine.topology import Topology


def draw(
    session: Session,
    vifs: Sequence[tuple[Topology, Guest | None]],
    faults: Mapping[str, Fault],
    notes: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Draw it on the terminal; where it is too wide, in several pictures.

    :param notes: as :func:`~os_vif.drawing.scene.scene_of` has them
    """
    from os_vif.drawing import text

    for number, scene in enumerate(text.fitting(vifs, faults, session.width, notes)):
        if number:
            session.say("")
        session.draw(text.draw(scene, ascii_only=session.ascii_only))


def draw_folded(session: Session, scene: Scene) -> None:
    """Draw a scene of many on the terminal, as one picture: of those that look alike, a few."""
    from os_vif.drawing import text
    from os_vif.drawing.rows import folded

    session.draw(text.draw(folded(scene), ascii_only=session.ascii_only))


def check_svg(session: Session, name: str) -> None:
    """See that a picture may be written so.

    :raises UsageError: it may not
    """
    if name == "-" and session.json:
        raise click.UsageError("--svg - and --json both want standard output; name a file for one")
    kind = Path(name).suffix.lower()
    if kind not in ("", ".svg"):
        raise click.UsageError(f"--svg {name}: a picture is SVG; expected a name in .svg")


def write_svg(session: Session, name: str, scene: Scene) -> None:
    """Write a picture to a file; ``-`` is standard output.

    :raises Failure: it could not be written
    """
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


def parts_of(scene: Scene) -> list[dict[str, Any]]:
    """Return what is in a picture, for JSON."""
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
