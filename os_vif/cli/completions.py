# SPDX-License-Identifier: Apache-2.0
"""What a word on the command line may become: each function is click's ``shell_complete``.

The word goes into a shell's line, so of names that others gave only those are offered which mean
nothing to a shell.  Whatever goes wrong, there is nothing to offer: nobody has asked yet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.cli.session import Session

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

    from os_vif.engine.plugged import Plugged

    Items = list[CompletionItem[str]]

_PLAIN = r"[A-Za-z0-9_./][A-Za-z0-9_.:@%+,/=-]*"

_PATIENCE_S = 2
"""Seconds that a database has, of a person who waits for a word."""


def words(
    found: Iterable[str], incomplete: str, kind: str = "plain", about: str | None = None
) -> Items:
    """Return those that begin so and that a shell takes as they are.

    :param kind: ``part`` if more of the word follows
    """
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(word, type=kind, help=about)
        for word in dict.fromkeys(found)
        if word.startswith(incomplete) and re.fullmatch(_PLAIN, word)
    ]


def files(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Leave it to the shell, which knows files best."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def files_or_plugged(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Return what is plugged, and files."""
    from os_vif.cli import held

    found = plugged(ctx)
    names = words((name for item in found for name in held.names_of(item)), incomplete)
    # Nobody begins to type an id who means a device; all of them would hide the names.
    identities = ids(ctx, param, incomplete) if incomplete and not names else []
    return [*names, *identities, *files(ctx, param, incomplete)]


def ids(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Return the ids of what is plugged, each with what it has."""
    from os_vif.cli import held

    return [
        word
        for item in plugged(ctx)
        for word in words([item.mark.vif_id], incomplete, about=_clean(held.things_of(item)))
    ]


def namespaces(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Return the named network namespaces."""
    from os_vif.cli.namespaces import NAMED

    try:
        return words(sorted(os.listdir(NAMED)), incomplete)
    except OSError:
        return []


def settings(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Return the plugins' options; of one, the values that it takes."""
    import os_vif
    from os_vif import opts

    os_vif._load_plugins()
    prefix = "os_vif_" if incomplete.startswith("os_vif_") else ""
    known: dict[str, Any] = {
        f"{prefix}{group.removeprefix('os_vif_')}.{option.dest}": option
        for group in opts.names()
        for option in opts.options_of(group)
    }
    name, equals, _value = incomplete.partition("=")
    if equals:
        values = _values(known[name]) if name in known else []
        return words((f"{name}={value}" for value in values), incomplete)
    return [
        word
        for name, option in known.items()
        for word in words([f"{name}="], incomplete, "part", _clean(option.help or ""))
    ]


def _values(option: Any) -> Sequence[str]:
    from oslo_config import cfg

    if isinstance(option, cfg.BoolOpt):
        return ["true", "false"]
    return [str(choice) for choice in getattr(option.type, "choices", None) or ()]


def plugged(ctx: click.Context) -> list[Plugged]:
    """Return what is plugged, where the options before the word say; nothing if it is not told."""
    session = ctx.find_object(Session)
    if session is None:
        return []
    try:
        if session.found is None:
            session.found = _look(session)
    except Exception:
        session.found = []
    return session.found


def begin(session: Session, timeout: str) -> None:
    """Start, where the options before the word say, and without a word.

    :param timeout: the option that says how long is waited for what is asked
    :raises Exception: there is nothing to offer
    """
    if session.netns:
        from os_vif.cli import namespaces

        namespaces.enter(session.netns)
    session.quiet = True
    session.settings.append(f"{timeout}={_PATIENCE_S}")
    session.start(objects=False)


def _look(session: Session) -> list[Plugged]:
    begin(session, "ovs.ovs_vsctl_timeout")
    from os_vif import verbs

    return verbs.list_vifs()


def _clean(text: str) -> str:
    """Return it as one short line that steers no terminal."""
    import textwrap

    line = "".join(character if character.isprintable() else " " for character in text)
    return textwrap.shorten(line, 60, placeholder=" ...")
