# SPDX-License-Identifier: Apache-2.0
"""``exec``: start a guest with the descriptors of its VIF."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from os_vif.cli import completions
from os_vif.cli.options import Taught, only_option, shared_options
from os_vif.cli.privilege import explain
from os_vif.cli.results import shown_as
from os_vif.cli.session import Exit, Failure, Session

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Entry
    from os_vif.engine.converge import Request

VARIABLE = "OS_VIF_FDS"
PLACE = re.compile(r"\{fds(?::([^{}]*))?\}")
"""Of a word: where the numbers of descriptors go."""

file_argument = click.argument("file", metavar="FILE", shell_complete=completions.files)
words_argument = click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="-- CMD...",
    type=click.UNPROCESSED,
    shell_complete=completions.files,
)
queues_option = click.option(
    "--queues",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="Open so many queues, each with a descriptor.",
)


@click.command("exec", cls=Taught)
@file_argument
@words_argument
@only_option
@queues_option
@shared_options
@click.pass_obj
def exec_(
    session: Session, file: str, words: tuple[str, ...], *, only: tuple[str, ...], queues: int
) -> int:
    r"""Run CMD with the guest's end of a plugged VIF open.

    CMD inherits it as file descriptors. FILE holds a VIF that is plugged as a tap or macvtap;
    this changes nothing about it. {fds} in a word of CMD becomes the descriptors' numbers, with
    colons in between, as QEMU takes them; they are in the environment too, as OS_VIF_FDS. CMD
    takes the place of this process. Each frame has a virtio header before it (vnet_hdr). Several
    queues take a macvtap or a multi-queue tap.

    Of several VIFs in FILE, --only chooses; else all are opened. {fds:NAME} are the descriptors of
    one of them (by id, device or guest), {fds} is refused, and OS_VIF_FDS has those of all, in the
    order of FILE, the same number of each.

    Examples:
      os-vif exec web.yaml -- \
          qemu-system-x86_64 ... -netdev tap,id=n,fd={fds} \
          -device virtio-net-pci,netdev=n,mac=52:54:00:12:34:56
      os-vif exec web.yaml --queues 2 -- \
          qemu-system-x86_64 ... -netdev tap,id=n,fds={fds} \
          -device virtio-net-pci,netdev=n,mac=52:54:00:12:34:56,mq=on,vectors=6
      os-vif exec --only tap-web guests.yaml -- \
          qemu-system-x86_64 ... -netdev tap,id=n,fd={fds}
      os-vif exec guests.yaml -- \
          qemu-system-x86_64 ... -netdev tap,id=a,fd={fds:tap-web} \
          -netdev tap,id=b,fd={fds:tap-db}
    """
    from os_vif.cli import naming

    entries, requests, _owners = naming.described(session, [file], only, tell=False)
    if not entries:
        raise Failure(f"{file}: there is no VIF in it", Exit.BAD_INPUT)
    meant = meant_places(words, entries, requests, file)
    descriptors = opened(entries, requests, queues)
    for descriptor in (number for own in descriptors for number in own):
        os.set_inheritable(descriptor, True)
    command, environment = filled(words, meant, descriptors)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        # Python ignores these, and exec would hand that on (signal(7)).
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606
    except (OSError, ValueError) as error:  # the latter of an empty word
        raise Failure(f"{command[0]}: {getattr(error, 'strerror', error)}") from None


def meant_places(
    words: Sequence[str], entries: Sequence[Entry], requests: Sequence[Request | None], file: str
) -> dict[str | None, int]:
    """Return the place of the VIF that each NAME of a ``{fds:NAME}`` means.

    :raises Failure: one means none or several, or ``{fds}`` would be several VIFs'
    """
    from os_vif.cli import naming

    names = list(dict.fromkeys(place[1] for word in words for place in PLACE.finditer(word)))
    devices = [
        shown_as(request, entry, unplugging=False)
        for entry, request in zip(entries, requests, strict=True)
    ]
    found: dict[str | None, int] = {}
    for name in names:
        if name is None:
            places = set(range(len(entries)))
        else:
            places = naming.meant_by([name], entries, devices, said="{{fds:{}}}")
        if len(places) > 1:
            known = ", ".join(filter(None, map(", ".join, devices)))
            place = "{fds}" if name is None else f"{{fds:{name}}}"
            raise Failure(
                f"{file}: {place} would be {len(places)} VIFs'; "
                f"choose with --only NAME, or write {{fds:NAME}} for each ({known})",
                Exit.BAD_INPUT,
            )
        found[name] = next(iter(places))
    return found


def opened(
    entries: Sequence[Entry], requests: Sequence[Request | None], queues: int
) -> list[list[int]]:
    """Open the guests' ends, of each VIF so many queues.

    :raises Failure: one cannot be
    """
    from os_vif import verbs

    found: list[list[int]] = []
    for entry, request in zip(entries, requests, strict=True):
        try:
            found.append(verbs.open_guest_end(entry.vif, queues))
        except Exception as error:
            hint = ""
            if len(entries) > 1:
                name = next(iter(shown_as(request, entry, unplugging=False)), entry.vif.id)
                hint = f" (for {name}; --only NAME opens those that are named, not all)"
            for descriptor in (number for own in found for number in own):
                os.close(descriptor)
            raise Failure(f"{explain(error)}{hint}") from error
    return found


def filled(
    words: Sequence[str], meant: Mapping[str | None, int], opened: Sequence[Sequence[int]]
) -> tuple[list[str], dict[str, str]]:
    """Return a command and its environment, with the numbers of the descriptors in both.

    :param meant: as :func:`meant_places` has it
    :param opened: the descriptors of each VIF
    """
    numbers = [":".join(map(str, own)) for own in opened]
    everyone = ":".join(filter(None, numbers))
    command = [
        PLACE.sub(lambda place: numbers[meant[place[1]]] if place[1] else everyone, word)
        for word in words
    ]
    return command, {**os.environ, VARIABLE: everyone}
