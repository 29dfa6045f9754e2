# SPDX-License-Identifier: Apache-2.0
"""``exec``: start a guest with the descriptors of its VIF."""

from __future__ import annotations

import os
import signal

import click

from os_vif.cli.options import Taught, shared_options
from os_vif.cli.privilege import explain
from os_vif.cli.session import Exit, Failure, Session

VARIABLE = "OS_VIF_FDS"


@click.command("exec", cls=Taught)
@click.argument("file", metavar="FILE")
@click.argument("words", nargs=-1, required=True, metavar="-- CMD...", type=click.UNPROCESSED)
@click.option(
    "--queues",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="Open so many queues, each with a descriptor.",
)
@shared_options
@click.pass_obj
def exec_(session: Session, file: str, words: tuple[str, ...], queues: int) -> int:
    r"""Run CMD with the guest's end of a plugged VIF open.

    CMD inherits it as file descriptors. FILE holds one VIF that is plugged as a tap or macvtap;
    this changes nothing about it. {fds} in a word of CMD becomes the descriptors' numbers, with
    colons in between, as QEMU takes them; they are in the environment too, as OS_VIF_FDS. CMD
    takes the place of this process. Each frame has a virtio header before it (vnet_hdr). Several
    queues take a macvtap or a multi-queue tap.

    Examples:
      os-vif exec web.yaml -- qemu-system-x86_64 -netdev tap,id=n,fd={fds} \
          -device virtio-net-pci,netdev=n,mac=52:54:00:12:34:56 ...
      os-vif exec web.yaml --queues 2 -- qemu-system-x86_64 -netdev tap,id=n,fds={fds} \
          -device virtio-net-pci,netdev=n,mac=52:54:00:12:34:56,mq=on,vectors=6 ...
    """
    entries = session.read([file]).entries
    if len(entries) != 1:
        raise Failure(f"{file}: expected one VIF, found {len(entries)}", Exit.BAD_INPUT)
    from os_vif import verbs

    try:
        descriptors = verbs.open_guest_end(entries[0].vif, queues)
    except Exception as error:
        raise Failure(explain(error)) from error
    numbers = ":".join(str(descriptor) for descriptor in descriptors)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    command = [word.replace("{fds}", numbers) for word in words]
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        # Python ignores these, and exec would hand that on (signal(7)).
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, {**os.environ, VARIABLE: numbers})  # noqa: S606
    except (OSError, ValueError) as error:  # the latter of an empty word
        raise Failure(f"{command[0]}: {getattr(error, 'strerror', error)}") from None
