# SPDX-License-Identifier: Apache-2.0
"""``list``: what is plugged on this host, one line a VIF."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import click

from os_vif.cli import completions, held
from os_vif.cli.install import VIFS
from os_vif.cli.options import Taught, shared_options
from os_vif.cli.session import Exit, Session
from os_vif.cli.suggest import suggest
from os_vif.cli.table import Column, print_table

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from os_vif.cli.checking import Checked
    from os_vif.engine.plugged import Plugged

_SHORTEST_ID = 8
"""So many characters of an id are shown, at least; ``show`` takes the beginning of one."""

_LEAST = 16
"""Columns that the devices of a VIF get on the narrowest terminal."""

_DEVICES = "DEVICES"


_LONGEST_NAME = 16
"""So much of a guest's name is shown on a terminal."""


def _guests(item: Plugged) -> Iterable[str]:
    return filter(None, [item.mark.guest, item.mark.instance])


FILTERS: dict[str, Callable[[Plugged], Iterable[str]]] = {
    "plugin": lambda item: [item.mark.plugin],
    "state": lambda item: [held.state_of(item).replace(" ", "_")],
    "open": lambda item: [_word(held.is_open(item))],
    "bridge": held.bridges_of,
    "guest": _guests,
}
"""What VIFs are chosen by: what each has of it."""


def _chosen_by(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Split ``KEY=VALUE``, and refuse a key that there is not."""
    found = []
    for word in () if ctx.resilient_parsing else value:
        key, equals, wanted = word.partition("=")
        if key not in FILTERS:
            message = f"there is no {key!r} to choose by; {suggest(key, FILTERS)}"
            raise click.BadParameter(message, ctx, param)
        if not equals or not wanted:
            message = f"{word!r}: expected KEY=VALUE, as in plugin=tap"
            raise click.BadParameter(message, ctx, param)
        found.append((key, wanted))
    return tuple(found)


def _complete(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the keys; of one, what VIFs of this host have."""
    key, equals, _value = incomplete.partition("=")
    if not equals or key not in FILTERS:
        return completions.words((f"{key}=" for key in FILTERS), incomplete, "part")
    there = sorted({it for item in completions.plugged(ctx) for it in FILTERS[key](item)})
    return completions.words((f"{key}={it}" for it in there), incomplete)


@click.command("list", cls=Taught)
@click.option(
    "--filter",
    "filters",
    callback=_chosen_by,
    shell_complete=_complete,
    metavar="KEY=VALUE",
    multiple=True,
    help="Only those with this plugin, state, bridge or guest, or open=yes or no; several: all "
    "of these.",
)
@click.option(
    "--check",
    "described",
    is_flag=False,
    flag_value=VIFS,
    metavar="[FILE]",
    shell_complete=completions.files,
    help=f"Compare with the VIFs of FILE, a folder too (default: {VIFS}).",
)
@click.option("-o", "--output", type=click.Choice(["wide"]), help="Every column, and whole ids.")
@shared_options
@click.pass_obj
def list_(
    session: Session,
    filters: tuple[tuple[str, str], ...],
    described: str | None,
    output: str | None,
) -> int:
    """List the VIFs that are plugged on this host.

    The host itself is the only record: every device made for a VIF carries the VIF's id (as its
    alias; ip link shows it), and so does every port of Open vSwitch (in its external_ids). A PCI
    function that a guest has is marked on its card's network device, or on lo (as an altname). This
    works without privilege, but then forwarding rules and gateways are not seen. Where Open vSwitch
    is not running, its ports are not seen.

    OPEN says whether a program, mostly a hypervisor, has the VIF's tap open. On a terminal, ids are
    shortened (show takes the beginning of one), and devices that do not fit. A guest is named by
    its name, as far as that is noted beside the mark, or else by its id.

    With -v or -o wide, BOUND says whether OVN has bound the VIF's port and installed its flows ("-"
    of a VIF that has no port of Open vSwitch).

    With --check, DRIFT says how many things are not as the files describe them ("-" of a VIF that
    they do not name, "?" where it could not be told); os-vif check names each.

    Examples:
      os-vif list
      os-vif list --filter bridge=br0 --filter open=no
      os-vif list -o wide
      os-vif list --check guests.yaml
      os-vif list --json | jq -r '.vifs[].id'

    With --json: "vifs", each with id, plugin, instance, guest (its name), owner, state (up, down,
    port_error, device_gone, back_end_gone, rules_only, gateway_only), open and carrier (true,
    false, or null where there is no such thing), devices (name, kind, up, open, carrier, mac, mtu,
    master; of a macvtap also link and mode; of a fast path's tap the socket, and whether it listens
    there), ports of Open vSwitch (name, bridge, type, iface_id, ofport, bound, error), bridges (of
    Open vSwitch, the VIF's own), functions of PCI (address, card, vf, driver, mac, vlan), rules,
    and gateways that it uses (bridge, addresses, nat). With --check also drift: device and words of
    each thing, null where no file names the VIF.
    """
    checked = _compare(session, described) if described else None
    session.start(objects=False)
    from os_vif import verbs

    found = verbs.list_vifs()
    chosen = [item for item in found if all(_has(item, *wanted) for wanted in filters)]
    if not found:
        session.say(("no VIF is plugged on this host", "quiet"))
    elif not chosen:
        session.say((_none_of(found, filters), "quiet"))
    else:
        _tell(session, chosen, found, checked, wide=output == "wide")
    vifs = [held.as_json(item) for item in chosen]
    if checked is None:
        return session.finish(Exit.DONE, vifs=vifs)
    missing = len(checked.drifts.keys() - {item.mark.vif_id for item in found})
    if missing:
        is_not = "VIF of the files is" if missing == 1 else "VIFs of the files are"
        session.say(
            (f"{missing} {is_not} not plugged; os-vif check names what is missing", "quiet")
        )
    for vif in vifs:
        vif["drift"] = checked.drifts.get(vif["id"])
    code = Exit.FAILED if checked.errors else Exit.DONE
    return session.finish(code, errors=checked.errors, vifs=vifs)


def _compare(session: Session, described: str) -> Checked:
    from os_vif.cli import checking

    return checking.drifts_of_files(session, described)


def _has(item: Plugged, key: str, wanted: str) -> bool:
    there = FILTERS[key](item)
    if key == "state":
        wanted = wanted.replace(" ", "_")
    if key == "guest":
        from os_vif.engine.topology import is_guest
        from os_vif.specs.objects import derived_id

        # A file's guest with a name and no id has one that is made of the name.
        ids = (wanted, derived_id("instance", wanted))
        return is_guest(item.mark.guest, wanted) or item.mark.instance.startswith(ids)
    return wanted in there


def _none_of(found: Sequence[Plugged], filters: Sequence[tuple[str, str]]) -> str:
    """Say that none was chosen, and what there is to choose."""
    for key, wanted in filters:
        if not any(_has(item, key, wanted) for item in found):
            there = sorted({value for item in found for value in FILTERS[key](item)})
            return f"no VIF has {key}={wanted}; there is: {', '.join(there) or 'none'}"
    return "no VIF has all of these"


def _word(told: bool | None) -> str:
    return "-" if told is None else "yes" if told else "no"


def _tell(
    session: Session,
    chosen: Sequence[Plugged],
    found: Sequence[Plugged],
    checked: Checked | None,
    *,
    wide: bool,
) -> None:
    width = None if wide else session.columns
    more = "..." if session.ascii_only else "\N{HORIZONTAL ELLIPSIS}"
    length = None if width is None else _telling([item.mark.vif_id for item in found])
    titles = ["VIF", "STATE", "OPEN", "CARRIER", _DEVICES, "PLUGIN", "GUEST"]
    rows = [
        [
            item.mark.vif_id[:length],
            held.state_of(item),
            _word(held.is_open(item)),
            _word(held.has_carrier(item)),
            held.places_of(item) or "-",
            item.mark.plugin,
            _guest(item, None if width is None else more),
        ]
        for item in chosen
    ]
    if wide:
        titles.append("INSTANCE")
        for item, row in zip(chosen, rows, strict=True):
            row.append(item.mark.instance or "-")
    if wide or session.verbosity:
        for title, said in held.columns().items():
            titles.insert(at := titles.index("CARRIER") + 1, title)
            for item, row in zip(chosen, rows, strict=True):
                row.insert(at, said(item) or "-")
    if checked is not None:
        titles.insert(2, "DRIFT")
        for item, row in zip(chosen, rows, strict=True):
            row.insert(2, checked.said(item.mark.vif_id))
    if not wide:
        at = titles.index("CARRIER")
        for row in [titles, *rows]:
            del row[at]
    if width is not None:
        _fit(titles, rows, width, more)
    print_table(session, [Column(title) for title in titles], rows)


def _guest(item: Plugged, more: str | None) -> str:
    """Return what a guest is called.

    :param more: what stands for what does not fit; None if all fits
    """
    name, length = item.mark.guest, _LONGEST_NAME
    if name and more is not None and len(name) > length:
        return name[: length - len(more)].rstrip() + more
    return name or item.mark.instance[: _SHORTEST_ID if more else None] or "-"


def _telling(ids: Sequence[str]) -> int:
    """Return how many characters of an id tell each from all others."""
    length = _SHORTEST_ID
    while len({it[:length] for it in ids}) < len(set(ids)):
        length += 1
    return length


def _fit(titles: Sequence[str], rows: list[list[str]], width: int, more: str) -> None:
    """Shorten the devices where a line would be longer than the terminal."""
    at = titles.index(_DEVICES)
    taken = sum(
        max(len(row[number]) for row in [titles, *rows]) + 2
        for number in range(len(titles))
        if number != at
    )
    room = max(width - taken, _LEAST)
    for row in rows:
        if len(row[at]) > room:
            row[at] = row[at][: room - len(more)].rstrip(", ") + more
