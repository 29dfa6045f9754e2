# SPDX-License-Identifier: Apache-2.0
"""``guest``: what a hypervisor must be told of the VIFs of a file."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from os_vif.cli import completions
from os_vif.cli.options import Taught, only_option, shared_options
from os_vif.cli.privilege import explain
from os_vif.cli.results import shown_as
from os_vif.cli.session import Exit, Failure, Session

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Entry
    from os_vif.engine.converge import Request
    from os_vif.guest import asked
    from os_vif.guest.card import Card
    from os_vif.guest.options import GuestOptions
    from os_vif.guest.pages import Told

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("libvirt", "qemu", "qmp", "cloud-hypervisor", "firecracker", "kata")
VHOST_NET = "/dev/vhost-net"
_SIZE = re.compile(r"([0-9]{1,9})([KMGT]?)(?:i?B)?\Z")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _memory(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Read a size as QEMU's ``-m`` has it: a number alone is of MiB."""
    if value is None:
        return None
    parts = _SIZE.match(value)
    if parts is None:
        raise click.BadParameter(f"{value!r} is no size, as in 1024M or 4G")
    return int(parts[1]) * _UNITS[parts[2] or "M"]


def card_options(command: F) -> F:
    """Give a subcommand the options that say what the guest's card is to be like."""
    for option in reversed(
        (
            click.option(
                "--queues",
                type=click.IntRange(1, 256),
                default=1,
                show_default=True,
                metavar="N",
                help="Pairs of queues; more than one takes a multi-queue tap or a macvtap.",
            ),
            click.option(
                "--model", default="virtio", show_default=True, help="Card that the guest sees."
            ),
            click.option(
                "--vhost",
                type=click.Choice(["auto", "on", "off"]),
                default="auto",
                show_default=True,
                help="Let the kernel move the packets; auto: where /dev/vhost-net opens.",
            ),
            click.option("--rx-queue-size", type=int, metavar="N", help="256, 512 or 1024."),
            click.option("--tx-queue-size", type=int, metavar="N", help="256, 512 or 1024."),
            click.option(
                "--memory",
                metavar="SIZE",
                callback=_memory,
                help="The guest's, as in 4G, to be shared with a vhost-user back end.",
            ),
            click.option("--id", "id_", default="", metavar="ID", help="Id of the card."),
            click.option("--bus", default="", metavar="ID", help="PCI bus or root port (QEMU)."),
            click.option("--boot-rom", is_flag=True, help="Let the card boot by PXE."),
            click.option(
                "--by-name", is_flag=True, help="Have a tap opened by its name, not by descriptor."
            ),
            click.option("--qemu-version", default="", metavar="V", help="As in 10.0."),
        )
    ):
        command = option(command)
    return command


def options_of(*, id_: str = "", **said: Any) -> GuestOptions:
    """Return what was said on the command line.

    :raises InvalidField: something of it cannot be
    """
    from os_vif.guest.options import GuestOptions

    return GuestOptions(id=id_, **said)


def resolved(options: GuestOptions) -> GuestOptions:
    """Return options for a QEMU of this host: ``vhost`` is on where it can be, if that is left.

    QEMU does not start with it where /dev/vhost-net cannot be opened.
    """
    if options.vhost != "auto" or not options.is_virtio:
        return options
    try:
        os.close(os.open(VHOST_NET, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return options
    return dataclasses.replace(options, vhost="on")


@click.command("guest", cls=Taught)
@click.argument("file", metavar="FILE", shell_complete=completions.files)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    required=True,
    help="For whom: libvirt (XML), qemu (its command line), qmp (into a running QEMU), or JSON.",
)
@only_option
@click.option(
    "--check",
    "running",
    metavar="RUNNING",
    shell_complete=completions.files,
    help="Compare with a guest that runs: a file of virsh dumpxml, or -; with qmp QEMU's socket.",
)
@card_options
@click.option(
    "--domain-type",
    type=click.Choice(["kvm", "qemu"]),
    default="kvm",
    show_default=True,
    help="Of libvirt's domain.",
)
@click.option(
    "--libvirt-makes-it", is_flag=True, help="Of a VIFDirect, let libvirt make the macvtap."
)
@click.option("--vcpus", type=int, metavar="N", help="Processors (Cloud Hypervisor).")
@click.option("--firecracker-version", default="", metavar="V", help="As in 1.15.")
@shared_options
@click.pass_obj
def guest(
    session: Session,
    /,
    file: str,
    *,
    form: str,
    only: tuple[str, ...],
    running: str | None,
    **said: Any,
) -> int:
    r"""Write what a hypervisor must be told of the VIFs of FILE.

    It is written from FILE alone: plug first, or afterwards, but before the guest starts. All VIFs
    of FILE (or of --only) are one guest's. What people should know goes to standard error. Queues,
    MTU, MAC address and device are those that plugging gives the VIF; what the hypervisor cannot
    take is refused, and those that can are named.

    QEMU is given descriptors: {fds:NAME} stands for them, and os-vif exec replaces it.

    With --check nothing is written: a guest that runs is compared with what it should have been
    told, a domain of libvirt's (--format libvirt), or a QEMU by its monitor's socket (--format
    qmp). If it is otherwise the exit code is 3.

    Examples:
      os-vif guest web.yaml --format libvirt
      os-vif guest web.yaml --format libvirt | virsh attach-device web /dev/stdin
      os-vif guest web.yaml --format qemu --queues 2
      os-vif guest web.yaml --format qmp --bus rp1 --json
      virsh dumpxml web | os-vif guest web.yaml --format libvirt --check -
      os-vif guest web.yaml --format qmp --check /run/web/monitor
    """
    from os_vif.cli import naming
    from os_vif.guest.pages import page_of

    options = options_of(**said)
    if form in ("qemu", "qmp"):
        options = resolved(options)
    entries, requests, _owners = naming.described(session, [file], only, tell=False)
    if not entries:
        raise Failure(f"{file}: there is no VIF in it", Exit.BAD_INPUT)
    _need_one_guest(entries, file)
    if running is not None:
        pairs = list(zip(entries, requests, strict=True))
        with _asked(form, options, running) as found_of:
            return _compared(session, form, pairs, found_of)
    page = page_of(form)
    told: list[Told] = []
    found: list[dict[str, Any]] = []
    sentences: list[str] = []
    plugged = _plugged(entries)
    for entry, request in zip(entries, requests, strict=True):
        devices = shown_as(request, entry, unplugging=False)
        name = next(iter(devices), str(entry.vif.id))
        try:
            made = page.tell(card_for(entry, request), options)
        except Exception as error:
            raise _refused(error, name if len(entries) > 1 else "") from error
        told.append(made)
        notes = [*made.notes]
        if request is not None and request.topology.resources and entry.vif.id not in plugged:
            notes.append("it is not plugged here yet: plug it before the guest starts")
        sentences += [f"{name}: {note}" if len(entries) > 1 else note for note in notes]
        value = {"id": str(entry.vif.id), "devices": devices}
        found.append({**value, "value": made.as_json(), "notes": notes})
    text = page.document(told)
    if not session.json:
        for note in sentences:
            session.note(note)
        click.echo(text, nl=False)
    return session.finish(Exit.DONE, format=form, vifs=found, text=text)


@contextlib.contextmanager
def _asked(
    form: str, options: GuestOptions, running: str
) -> Iterator[Callable[[Card], asked.Found]]:
    """Provide what compares a card with a guest that runs.

    :raises Failure: it cannot be asked
    """
    if form == "libvirt":
        from os_vif.cli.specs import files
        from os_vif.guest import asked, compared

        domain = compared.domain_of(files.text_of(running))
        yield lambda card: asked.Found(compared.differences(card, options, domain))
    elif form == "qmp":
        from os_vif.cli.monitor import Monitor
        from os_vif.guest import asked

        with Monitor(running) as monitor:
            yield lambda card: asked.differences(card, options, monitor)
    else:
        raise Failure(f"--check takes --format libvirt or qmp, not {form}", Exit.BAD_INPUT)


def _compared(
    session: Session,
    form: str,
    pairs: Sequence[tuple[Entry, Request | None]],
    found_of: Callable[[Card], asked.Found],
) -> int:
    """Compare a guest that runs with the cards of the files.

    :raises Failure: it cannot be compared
    """
    from os_vif.guest.asked import Refused

    told: list[dict[str, Any]] = []
    for entry, request in pairs:
        devices = shown_as(request, entry, unplugging=False)
        name = next(iter(devices), str(entry.vif.id))
        try:
            found = found_of(card_for(entry, request))
        except Failure:
            raise
        except Refused as error:
            raise Failure(f"QEMU refuses: {error}") from error
        except Exception as error:
            raise _refused(error, name if len(pairs) > 1 else "") from error
        for drift in found.drifts:
            session.say(("drift", "warn"), f"  {name}: {drift}")
        if not found.drifts:
            session.say(("as told", "good"), f"  {name}")
        for note in () if session.json else found.notes:
            session.note(f"{name}: {note}")
        value = {"id": str(entry.vif.id), "devices": devices}
        told.append({**value, "drifts": list(found.drifts), "notes": list(found.notes)})
    code = Exit.DRIFT if any(it["drifts"] for it in told) else Exit.DONE
    return session.finish(code, format=form, vifs=told)


def _need_one_guest(entries: Sequence[Entry], file: str) -> None:
    """See that no two guests are meant.

    :raises Failure: there are
    """
    from os_vif.cli import naming

    guests = naming.guests_of(entries)
    if len(guests) > 1:
        raise Failure(
            f"{file}: these are VIFs of {len(guests)} guests ({', '.join(guests)}); "
            "choose with --only NAME",
            Exit.BAD_INPUT,
        )


def card_for(entry: Entry, request: Request | None) -> Card:
    """Return the card of a VIF's guest."""
    from os_vif import verbs

    topology = None if request is None else request.topology
    return verbs.guest_card(entry.vif, entry.instance, topology)


def _plugged(entries: Sequence[Entry]) -> set[str]:
    """Return the ids of the VIFs that are plugged, and of all where that cannot be seen."""
    from os_vif import verbs

    ids = {str(entry.vif.id) for entry in entries}
    with contextlib.suppress(Exception):  # a note is not worth an error
        return {item.mark.vif_id for item in verbs.list_vifs()}
    return ids


def _refused(error: Exception, name: str) -> Failure:
    """Return an error about one of several VIFs."""
    from os_vif import exception

    bad = (exception.InvalidField, exception.NotForHypervisor, exception.NotDescribed)
    code = Exit.BAD_INPUT if isinstance(error, bad) else Exit.FAILED
    return Failure(f"{name}: {explain(error)}" if name else explain(error), code)
