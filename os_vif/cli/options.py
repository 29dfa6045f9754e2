# SPDX-License-Identifier: Apache-2.0
"""What all subcommands share on the command line: their options, and help that shows examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from os_vif.cli.session import Exit, Failure, Session

F = TypeVar("F", bound=Callable[..., Any])


class Taught(click.Command):
    """A subcommand whose help keeps the line breaks of paragraphs with indented lines."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        more["help"] = keep_examples(more.get("help") or "")
        super().__init__(*arguments, **more)


def keep_examples(text: str) -> str:
    """Mark the paragraphs of a help text that hold indented lines for click (a backspace)."""
    paragraphs = [
        f"\b\n{paragraph}" if re.search(r"(?m)^ {2,}\S", paragraph) else paragraph
        for paragraph in inspect.cleandoc(text).split("\n\n")
    ]
    return "\n\n".join(paragraphs)


def _store(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        session = context.find_object(Session)
        if session is None or not value:
            return
        if name in ("config_files", "settings"):
            getattr(session, name).extend(value)
        elif name == "ovsdb":
            session.settings.append(f"ovs.ovsdb_connection={value}")
        else:
            setattr(session, name, value)

    return callback


def _enter(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
    from os_vif.cli import namespaces

    if value is not None and not context.resilient_parsing:
        try:
            namespaces.enter(value)
        except namespaces.NoNamespace as error:
            code = Exit.BAD_INPUT if error.mistaken else Exit.FAILED
            raise Failure(f"--netns: {error}", code) from None


def shared_options(command: F) -> F:
    """Give a subcommand the options that all have."""
    for option in reversed(
        (
            click.option(
                "--json",
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_store("json"),
                help="Write one JSON object to standard output, also for errors.",
            ),
            click.option(
                "--netns",
                metavar="NAME",
                is_eager=True,
                expose_value=False,
                callback=_enter,
                help="Work in this network namespace (/run/netns/NAME); needs CAP_SYS_ADMIN.",
            ),
            click.option(
                "--config-file",
                metavar="FILE",
                multiple=True,
                expose_value=False,
                callback=_store("config_files"),
                help="Read options from this file (oslo.config); may be repeated.",
            ),
            click.option(
                "--set",
                metavar="GROUP.OPTION=VALUE",
                multiple=True,
                expose_value=False,
                callback=_store("settings"),
                help="Set an option for this run, as in tap.routed=true; may be repeated.",
            ),
            click.option(
                "--ovsdb",
                metavar="REMOTE",
                expose_value=False,
                callback=_store("ovsdb"),
                help="Where Open vSwitch's database is: unix:FILE, tcp:IP:PORT or ssl:IP:PORT; "
                "the same as --set ovs.ovsdb_connection=REMOTE.",
            ),
            click.option(
                "-v",
                "--verbose",
                count=True,
                expose_value=False,
                callback=_store("verbosity"),
                help="Say more: each step; -vv also what the library logs.",
            ),
            click.option(
                "-q",
                "--quiet",
                is_flag=True,
                expose_value=False,
                callback=_store("quiet"),
                help="Say nothing but errors.",
            ),
        )
    ):
        command = option(command)
    return command
