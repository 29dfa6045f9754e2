# SPDX-License-Identifier: Apache-2.0
"""``doctor``: what is wrong with the host itself, whatever VIFs it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from os_vif.cli import completions
from os_vif.cli.options import Taught, shared_options
from os_vif.cli.session import Exit, Failure, Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _complete(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    from os_vif.engine import inventory

    return completions.words(inventory.examinable(), incomplete)


@click.command("doctor", cls=Taught)
@click.argument("what", metavar="WHAT", shell_complete=_complete)
@shared_options
@click.pass_obj
def doctor(session: Session, what: str) -> int:
    """Say what is wrong with this host itself, and what mends it.

    WHAT is ovn: whether this host is in order as a chassis of OVN. What ovn-controller must be told
    (system-id, ovn-remote, ovn-encap-type, ovn-encap-ip), the integration bridge and ports that
    have an iface-id and are elsewhere, whether the Southbound database can be asked and knows this
    chassis, the device of the tunnels and its MTU, and the bridges of ovn-bridge-mappings.

    Nothing is touched. Each thing takes one line, and what is wrong another one with the command
    that puts it right. The exit code is 0 if all is well, 3 if something is wrong, 1 if Open
    vSwitch could not be asked.

    Examples:
      os-vif doctor ovn
      os-vif doctor ovn --json | jq -r '.findings[] | select(.well | not).mend'

    With --json: "findings", each with about, well (true or false), words, and mend ('' if well).
    """
    session.start(objects=False)
    from os_vif import exception, verbs

    try:
        found = verbs.diagnose(what)
    except exception.InvalidField as error:
        said = f"{what!r} cannot be examined; expected {error.kwargs['expected']}"
        raise Failure(said, Exit.BAD_INPUT) from None
    except OSError as error:
        raise Failure(error.strerror or str(error)) from error
    width = max((len(it.about) for it in found), default=0)
    for it in found:
        state = ("wrong", "bad") if it.mend else ("well ", "good")
        session.say(state, "  ", (it.about.ljust(width), "title"), f"  {it.words}")
        if it.mend:
            session.say(f"       {it.mend}")
    wrong = any(it.mend for it in found)
    findings = [
        {"about": it.about, "well": not it.mend, "words": it.words, "mend": it.mend} for it in found
    ]
    return session.finish(Exit.DRIFT if wrong else Exit.DONE, findings=findings)
