# SPDX-License-Identifier: Apache-2.0
"""``export``: what is plugged, as a specification that plugs it again."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from os_vif.cli import held as held_words
from os_vif.cli import naming
from os_vif.cli.options import Taught, shared_options
from os_vif.cli.session import Exit, Session

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Batch, Options
    from os_vif.engine.plugged import Held
    from os_vif.specs import Told, VIFType


@click.command("export", cls=Taught)
@click.argument("targets", nargs=-1, metavar="[VIF|DEVICE|GUEST]...")
@shared_options
@click.pass_obj
def export(session: Session, targets: tuple[str, ...]) -> int:
    """Write what is plugged as a specification.

    Plugging the file makes the host the same again. VIF is the id of a plugged VIF, or the
    beginning of one, DEVICE the name of its device, GUEST its guest; without an argument, every VIF
    is written, those of each owner as a document of its own.
    What the host does not tell (the network's name, say) stands in comments. A VIF of which the
    host tells too little to plug it again is named on standard error, the others are written, and
    the exit code is 1. Sockets of other programs (type: vhostuser) leave nothing on the host to
    export.
    Options that count for a whole call are written, too. Of VIFs that take different ones, the
    fewer are named as errors: name them (os-vif export tap0) to have a file for those.

    Examples:
      os-vif export > all.yaml
      os-vif export tap0
      os-vif export --json | jq .vifs

    With --json: "vifs", each as a file may have it, and "options", as there; "unknown", by id, what
    the host does not tell; "owners", by id; and "warnings", what plugging a VIF would change now.
    """
    session.start()
    from os_vif import verbs
    from os_vif.cli.specs.batch import Batch

    batch = Batch()
    found: list[_Written] = []
    refused: list[dict[str, str]] = []

    def refuse(item: Held, why: str) -> None:
        name = held_words.things_of(item) or item.mark.vif_id
        message = f"{name}: not exported: {why}"
        refused.append({"type": "NotTold", "message": message, "vif": item.mark.vif_id})

    for item in naming.meant_of(verbs.held_vifs(), targets):
        try:
            it = _Written(item, *_said(item))
            _read_back(it.said, item, batch)
            found.append(it)
        except _RefusedError as error:
            refuse(item, str(error))
    options, apart = _settled(found)
    for it, why in apart:
        refuse(it.item, why)
    gone = {it.said["id"] for it, _why in apart}
    written = [it for it in found if it.said["id"] not in gone]
    batch.entries = [entry for entry in batch.entries if str(entry.vif.id) not in gone]
    warnings = _drifts(session, batch, options)
    for message in () if session.json else warnings:
        session.warn(message)
    for problem in () if session.json else refused:
        session.error(problem["message"])
    if not session.json and not session.quiet:
        click.echo(_document(written, options), nl=False)
    return session.finish(
        Exit.FAILED if refused else Exit.DONE,
        errors=refused,
        vifs=[it.said for it in written],
        options=options,
        unknown={it.said["id"]: it.told.unknown for it in written},
        owners={it.said["id"]: it.item.mark.owner for it in written if it.item.mark.owner},
        warnings=[{"type": "Drift", "message": message} for message in warnings],
    )


class _Written(NamedTuple):
    """What is written of a VIF: its fields in their order, and what else is told."""

    item: Held
    said: dict[str, Any]
    told: Told


_Options = dict[str, dict[str, bool]]
"""Options that count for a whole call, by plugin and name."""


class _RefusedError(Exception):
    """A VIF cannot be exported; str() says why."""


def _said(item: Held) -> tuple[dict[str, Any], Told]:
    """Return what a file would say of a VIF.

    :raises _RefusedError: no type can
    """
    from os_vif.cli.specs import types
    from os_vif.specs import NotTold

    rows = [row for row in types.all_types().values() if row.plugin == item.mark.plugin]
    able = [row for row in rows if row.held is not None]
    for row in able:
        try:
            told = row.held(item) if row.held is not None else None
        except NotTold as error:
            raise _RefusedError(str(error)) from None
        if told is not None:
            return _in_order(row, told), told
    if not able:
        raise _RefusedError(f"no type tells what plugin {item.mark.plugin!a} has plugged")
    names = ", ".join(row.name for row in able)
    raise _RefusedError(f"what is here of it is of no type that plugin makes ({names})")


def _settled(found: Sequence[_Written]) -> tuple[_Options, list[tuple[_Written, str]]]:
    """Return the options to write, and VIFs that need others, each with why it is not written."""
    from oslo_config import cfg

    shown: defaultdict[tuple[str, str], dict[bool, list[_Written]]]
    shown = defaultdict(lambda: {False: [], True: []})
    for it in found:
        for name, value in it.told.options.items():
            shown[it.item.mark.plugin, name][value].append(it)
    options: _Options = {}
    apart = []
    for (plugin, name), by_value in shown.items():
        value = len(by_value[True]) > len(by_value[False])
        # Where it is plugged again this host's configuration may not be.
        if value or getattr(cfg.CONF[f"os_vif_{plugin}"], name):
            options.setdefault(plugin, {})[name] = value
        other = str(not value).lower()
        why = (
            f"it takes {name}: {other} (options: {plugin}), which counts for a whole call, and "
            "more VIFs here take the opposite; name it to have it in a file of its own"
        )
        apart += [(it, why) for it in by_value[not value]]
    return options, apart


def _in_order(row: VIFType, told: Told) -> dict[str, Any]:
    order = {"type": -1} | {field.name: at for at, field in enumerate(row.fields)}
    said = {"type": row.name, **told.values}
    return dict(sorted(said.items(), key=lambda pair: order.get(pair[0], len(order))))


def _read_back(said: dict[str, Any], item: Held, batch: Batch) -> None:
    """Add what reading makes of what was written, which must be the same VIF.

    :raises _RefusedError: it cannot be read
    """
    from os_vif.cli.specs import reader
    from os_vif.cli.specs.batch import Batch
    from os_vif.cli.specs.refused import BadInput

    alone = Batch(said=batch.said)
    try:
        # JSON is YAML; what the host holds is anybody's text, and may be no value of a field.
        reader.read_text("export", json.dumps(said), alone)
    except BadInput as error:
        alone.problems += error.problems
    if alone.problems:
        problem = alone.problems[0]
        raise _RefusedError(f"{problem.field}: {problem.message}")
    [entry] = alone.entries
    if str(entry.vif.id) != item.mark.vif_id:
        raise _RefusedError(f"its id {item.mark.vif_id!a} would be read as {str(entry.vif.id)!a}")
    entry.owner = item.mark.owner
    batch.entries.append(entry)


def _drifts(session: Session, batch: Batch, options: _Options) -> list[str]:
    """Return in words what plugging the VIFs would change now: it is not in the file."""
    if not batch.entries:
        return []
    from os_vif import verbs
    from os_vif.cli import configuration
    from os_vif.cli.privilege import explain
    from os_vif.engine.steps import describe, tells_drift
    from os_vif.specs import Mark

    applied: Options = {
        (plugin, name): (str(value).lower(), Mark("export", 0, 0))
        for plugin, named in options.items()
        for name, value in named.items()
    }
    configuration.apply(applied, session.settings, batch.said)
    pairs = [(entry.vif, entry.instance) for entry in batch.entries]
    told = []
    for found in verbs.examine(pairs, owners=naming.owners_of(batch.entries)):
        who = f"VIF {found.vif.id}"
        if found.error is not None:
            told.append(f"{who}: not checked: {explain(found.error)}")
            continue
        sure = [step for step in found.steps if step not in found.assumed]
        if any(tells_drift(step, sure) for step in sure):
            words = "; ".join(map(describe, sure))
            told.append(f"{who}: plugging it again would change this: {words}")
    return told


def _document(written: Sequence[_Written], options: _Options) -> str:
    import yaml

    documents: dict[str, str] = {}
    for it in written:
        lines = [f"# not told here: {_clean(words)}" for words in it.told.unknown]
        text = yaml.safe_dump(it.said, sort_keys=False, default_flow_style=False, width=96)
        lines += text.splitlines()
        owner = it.item.mark.owner
        said = {"owner": owner} if owner else {}
        above = {**said, **({"options": options} if options else {})}
        begun = documents.get(owner) or f"{yaml.safe_dump(above) if above else ''}vifs:\n"
        documents[owner] = begun + "- " + "\n  ".join(lines) + "\n"
    return "---\n".join(documents.values()) or "vifs: []\n"


def _clean(text: str) -> str:
    return "".join(it if it.isprintable() else "\N{REPLACEMENT CHARACTER}" for it in text)
