# SPDX-License-Identifier: Apache-2.0
"""Groups of subcommands, each of which is imported when it is run."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from os_vif.cli.options import keep_examples

Rows = Mapping[str, tuple[str, str]]
"""By a subcommand's name: its module below ``os_vif.cli`` and its name there, with a colon between,
and what its help begins with."""


class LateGroup(click.Group):
    """Subcommands in the order of a first acquaintance, and a hint for a mistyped one.

    Each is imported when it is run: of the others their names and first words are enough.
    """

    def __init__(self, *arguments: Any, rows: Rows, **more: Any) -> None:
        more["help"] = keep_examples(more.get("help") or "")
        super().__init__(*arguments, **more)
        self._rows = rows

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in their order."""
        del ctx
        return list(self._rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        del ctx
        if cmd_name not in self._rows:
            return None
        module, _colon, name = self._rows[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"os_vif.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands, each with its first words."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_where, words) in self._rows.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Return what begins so: subcommands, each with its first words, and options."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=words)
            for name, (_where, words) in self._rows.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, also by another command's word, or say which may be meant."""
        if not args or args[0].startswith("-") or args[0] in self._rows:
            return super().resolve_command(ctx, args)
        meant = self.by_habit(args[0])
        if meant is not None:
            return super().resolve_command(ctx, [meant, *args[1:]])
        raise click.UsageError(f"there is no command {args[0]!r}; {self.hint(args[0])}", ctx=ctx)

    def by_habit(self, word: str) -> str | None:
        """Return the subcommand that another command has this word for; None for none."""
        del word
        return None

    def hint(self, word: str) -> str:
        """Say what may have been meant by a word that is no subcommand's."""
        from os_vif.cli.suggest import suggest

        return suggest(word, self._rows)
