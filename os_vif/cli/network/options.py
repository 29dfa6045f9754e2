# SPDX-License-Identifier: Apache-2.0
"""What the subcommands of ``network`` share: where the databases are, and how long to wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from os_vif.cli.network import completing
from os_vif.cli.options import shared_options
from os_vif.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])


def _store(option: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        session = context.find_object(Session)
        if session is not None and value is not None:
            session.settings.append(f"ovn.{option}={value}")

    return callback


_nb_option = click.option(
    "--nb",
    metavar="REMOTE",
    callback=_store("nb_connection"),
    expose_value=False,
    help="OVN's Northbound database: unix:FILE, tcp:IP:PORT or ssl:IP:PORT; several with commas "
    "between.",
)
_timeout_option = click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.IntRange(min=0),
    callback=_store("timeout"),
    expose_value=False,
    help="When to give up (default: 30); 0 waits for ever.",
)
sb_option = click.option(
    "--sb",
    metavar="REMOTE",
    default="",
    help="OVN's Southbound database, to say on which chassis ports are.",
)
owner_option = click.option(
    "--owner",
    metavar="NAME",
    default="",
    shell_complete=completing.owners,
    help="Only what is this one's.",
)
wait_option = click.option(
    "--wait", is_flag=True, help="Until ovn-northd has told the chassis' database."
)


def northbound_options(command: F) -> F:
    """Give a subcommand the options that all of ``network`` have."""
    return _nb_option(_timeout_option(shared_options(command)))
