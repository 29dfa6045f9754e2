# SPDX-License-Identifier: Apache-2.0
"""What a word of ``network`` may become: owners, and ports, as OVN has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif.cli import completions
from os_vif.cli.session import Session

if TYPE_CHECKING:
    import click

    from os_vif.cli.completions import Items
    from os_vif.logical.held import Held


def owners(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Return whose networks there are."""
    return completions.words(sorted({it.owner for it in _held(ctx)}), incomplete)


def ports(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Return the devices of the VIFs that have ports; of who types one, the ids too."""
    found = [port for it in _held(ctx) for port in it.ports]
    names = completions.words(sorted(port.shown for port in found), incomplete)
    if names or not incomplete:
        return names
    return completions.words((port.name for port in found), incomplete)


def _held(ctx: click.Context) -> list[Held]:
    session = ctx.find_object(Session)
    if session is None:
        return []
    try:
        completions.begin(session, "ovn.timeout")
        from os_vif import network
        from os_vif.logical import held

        return held.held(network.list_rows())
    except Exception:
        return []
