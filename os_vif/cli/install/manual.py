# SPDX-License-Identifier: Apache-2.0
"""The manual pages, from the subcommands and the types of VIF as they are: man(7)."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Iterator

import click

import os_vif
from os_vif.cli.main import cli
from os_vif.cli.reference import all_fields
from os_vif.cli.specs import types
from os_vif.specs import Field, Group, VIFType

_ESCAPED = str.maketrans({"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha"})


def command_page() -> str:
    """Return os-vif(1)."""
    root = click.Context(cli, info_name="os-vif")
    first, *rest = _paragraphs(cli.help or "")
    lines = [_title("os-vif", 1), ".SH NAME", _text(f"os-vif - {first[0].lower()}{first[1:-1]}")]
    lines += [".SH SYNOPSIS", ".B os\\-vif", _text("COMMAND [OPTION]... [FILE]...")]
    lines += [".SH DESCRIPTION", *_body(rest), ".SH OPTIONS", ".SS All commands have these"]
    shared = {parameter.name for parameter in cli.params}
    lines += _options(cli.params, root)
    lines.append(".SH COMMANDS")
    lines += _commands(cli, root, shared)
    lines += [".SH EXIT STATUS", *_body(_paragraphs(cli.epilog or ""))]
    lines += [".SH FILES", ".TP", ".I /etc/os\\-vif/vifs.d"]
    lines.append(_text("The VIFs that os-vif.service plugs at boot; see os-vif install."))
    return "\n".join([*lines, ".SH SEE ALSO", ".BR os\\-vif.yaml (5)"]) + "\n"


def _commands(
    group: click.Group, root: click.Context, shared: Collection[str | None], path: str = ""
) -> Iterator[str]:
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        if command is None:
            continue
        context = click.Context(command, info_name=name, parent=root)
        usage = " ".join([f"{path}{name}", *command.collect_usage_pieces(context)])
        yield from (f".SS {_text(usage)}", *_body(_paragraphs(command.help or "")))
        yield from _options([it for it in command.params if it.name not in shared], context)
        if isinstance(command, click.Group):
            yield from _commands(command, context, shared, f"{path}{name} ")


def file_page() -> str:
    """Return os-vif.yaml(5)."""
    lines = [_title("os-vif.yaml", 5), ".SH NAME", _text("os-vif.yaml - descriptions of VIFs")]
    about = """A file is YAML or JSON, in UTF-8. It holds one VIF, a list of VIFs, or a mapping with
    "vifs"; it may have several documents. Beside the VIFs, "options" sets options of the plugins
    for the whole call.

    What is not given is derived: an id from name or else from mac, a name from the id. Derived ids
    are the same on each run and each host, so the same file finds its VIF again. Each VIF has a
    type, and the fields of that."""
    lines += [".SH DESCRIPTION", *_body(_paragraphs(inspect.cleandoc(about))), ".SH TYPES"]
    for row in types.all_types().values():
        lines += _type(row)
    return "\n".join([*lines, ".SH SEE ALSO", ".BR os\\-vif (1)"]) + "\n"


def _title(name: str, section: int) -> str:
    # Without a date: the same code gives the same page.
    return f'.TH "{_text(name.upper())}" {section} "" "{_text(f"os-vif {os_vif.__version__}")}"'


def _type(row: VIFType) -> Iterator[str]:
    yield f".SS {_text(row.name)}"
    yield _text(f"{row.summary[0].upper()}{row.summary[1:]}, for {row.use}.")
    yield from _kept(row.example.splitlines())
    for path, field in all_fields(row.fields, ""):
        if not isinstance(field.kind, Group):
            yield from _tagged(path, _about(field))


def _about(field: Field) -> str:
    default = f"; default: {field.default}" if field.default else ""
    required = " Required." if field.required else ""
    return f"{field.help[0].upper()}{field.help[1:]}{default} ({field.kind.name}).{required}"


def _options(parameters: Iterable[click.Parameter], context: click.Context) -> Iterator[str]:
    for parameter in parameters:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        said = click.Option.get_help_record(parameter, context)
        if said is not None:
            yield from _tagged(*said)


def _tagged(tag: str, about: str) -> Iterator[str]:
    yield from (".TP", f".B {_text(tag)}", _text(about))


def _paragraphs(text: str) -> list[str]:
    return text.split("\n\n")


def _body(paragraphs: Iterable[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        if paragraph.startswith("\b\n"):  # as click has it: keep the lines
            yield from _kept(paragraph[2:].splitlines())
        else:
            yield from (".PP", *map(_text, paragraph.splitlines()))


def _kept(lines: Iterable[str]) -> Iterator[str]:
    yield from (".PP", ".nf", *map(_text, lines), ".fi")


def _text(line: str) -> str:
    """Return text that is nothing else to roff."""
    escaped = line.translate(_ESCAPED)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
