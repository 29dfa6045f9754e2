# SPDX-License-Identifier: Apache-2.0
"""What all subcommands share on the command line: their options, and help that shows examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from os_vif.cli import completions
from os_vif.cli.session import Exit, Failure, Session

F = TypeVar("F", bound=Callable[..., Any])


class Taught(click.Command):
    """A subcommand whose help keeps the line breaks of paragraphs with indented lines.

    Of the options that all have it gives the names alone; ``os-vif --help`` explains them.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        more["help"] = keep_examples(more.get("help") or "")
        super().__init__(*arguments, **more)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommand's own options, and the names of the common ones."""
        super().format_options(ctx, formatter)
        common = [it for it in self.get_params(ctx) if isinstance(it, Common)]
        if common:
            names = ", ".join(min(it.opts, key=len) for it in common)
            with formatter.section("Common options"):
                formatter.write_text(f"{names}: see os-vif --help")


class Common(click.Option):
    """An option that all subcommands have: the help of the command itself explains it."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return its name and its words, but not for a subcommand."""
        return super().get_help_record(ctx) if ctx.parent is None else None


def keep_examples(text: str) -> str:
    """Mark the paragraphs of a help text that hold indented lines for click (a backspace)."""
    paragraphs = [
        f"\b\n{paragraph}" if re.search(r"(?m)^ {2,}\S", paragraph) else paragraph
        for paragraph in inspect.cleandoc(text).split("\n\n")
    ]
    return "\n\n".join(paragraphs)


_OF_OVS = {"ovsdb": "ovsdb_connection", "wait_for": "wait_for"}
"""What sets an option of the plugin ``ovs``, by its name there."""


def _store(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        session = context.find_object(Session)
        if session is None or not value:
            return
        if name in ("config_files", "settings"):
            getattr(session, name).extend(value)
        elif name in _OF_OVS:
            session.settings.append(f"ovs.{_OF_OVS[name]}={value}")
        else:
            setattr(session, name, value)

    return callback


def _enter(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
    session = context.find_object(Session)
    if session is not None and value is not None:
        session.netns = value
    if value is not None and not context.resilient_parsing:
        from os_vif.cli import namespaces

        try:
            namespaces.enter(value)
        except namespaces.NoNamespace as error:
            code = Exit.BAD_INPUT if error.mistaken else Exit.FAILED
            raise Failure(f"--netns: {error}", code) from None


with_bridge_option = click.option(
    "--with-bridge", is_flag=True, help="Take away a bridge of ours too, if nobody else uses it."
)
# plan is the one to be shown.
dry_run_option = click.option("--dry-run", is_flag=True, hidden=True)
files_argument = click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", shell_complete=completions.files
)
only_option = click.option(
    "--only",
    metavar="NAME",
    multiple=True,
    shell_complete=completions.ids,
    help="Only the VIF with this id (or its beginning), device or guest; may be repeated.",
)
prune_option = click.option(
    "--prune", is_flag=True, help="Unplug what the owner of the files has and they no longer name."
)
strict_option = click.option("--strict", is_flag=True, help="With a warning, exit with 3.")
wait_for_option = click.option(
    "--wait-for",
    type=click.Choice(["attached", "ovn"]),
    callback=_store("wait_for"),
    expose_value=False,
    help="Of ports of Open vSwitch: that it has attached them, or that OVN has bound them too.",
)
force_option = click.option(
    "--force", is_flag=True, help="Also what a program has open: its guest loses the network."
)


def shared_options(command: F) -> F:
    """Give a subcommand the options that all have."""
    for option in reversed(
        (
            click.option(
                "--json",
                cls=Common,
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_store("json"),
                help="Write one JSON object to standard output, also for errors.",
            ),
            click.option(
                "--netns",
                cls=Common,
                metavar="NAME",
                is_eager=True,
                expose_value=False,
                callback=_enter,
                shell_complete=completions.namespaces,
                help="Work in this network namespace (/run/netns/NAME); needs CAP_SYS_ADMIN.",
            ),
            click.option(
                "--config-file",
                cls=Common,
                metavar="FILE",
                multiple=True,
                expose_value=False,
                callback=_store("config_files"),
                shell_complete=completions.files,
                help="Read options from this file (oslo.config); may be repeated.",
            ),
            click.option(
                "--set",
                cls=Common,
                metavar="GROUP.OPTION=VALUE",
                multiple=True,
                expose_value=False,
                callback=_store("settings"),
                shell_complete=completions.settings,
                help="Set an option for this run, as in tap.routed=true; may be repeated.",
            ),
            click.option(
                "--ovsdb",
                cls=Common,
                metavar="REMOTE",
                expose_value=False,
                callback=_store("ovsdb"),
                help="Where Open vSwitch's database is: unix:FILE, tcp:IP:PORT or ssl:IP:PORT; "
                "the same as --set ovs.ovsdb_connection=REMOTE.",
            ),
            click.option(
                "-v",
                "--verbose",
                cls=Common,
                count=True,
                expose_value=False,
                callback=_store("verbosity"),
                help="Say more: each step; -vv also what the library logs.",
            ),
            click.option(
                "-q",
                "--quiet",
                cls=Common,
                is_flag=True,
                expose_value=False,
                callback=_store("quiet"),
                help="Say nothing but errors.",
            ),
        )
    ):
        command = option(command)
    return command
