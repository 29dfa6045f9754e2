#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write into the pages of ``docs`` what the code says, so that they can be read as they lie there.

``make pages`` runs this. ``tests/unit/test_pages.py`` fails while a page is not as it would be
written. In a page, what is between two comments is written anew::

    .. generated: command plug

    .. end of generated

===================== ===========================================================================
``command NAME``      what ``os-vif NAME --help`` prints; without NAME, ``os-vif --help``
``types``             a section for each type of specification: what it may say
``file networks``     what a file may say of a network; ``file routers``, ``file named`` (a VIF that
                      names a network) likewise
``options GROUP``     the options of a plugin
``takes``             which VIF classes and versions the plugins take
``fields CLASS``      a versioned object's fields: their types; the meanings are the page's own, and
                      a field without one, or a meaning without a field, is an error
``examples``          a section for each file of ``examples``
===================== ===========================================================================

Exit status: 0 the pages are written, or were so already; 1 one cannot be, and says why.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs"

_BLOCK = re.compile(
    r"^\.\. generated: (?P<kind>\w+) ?(?P<name>[\w -]*)\n\n(?P<text>.*?)^\.\. end of generated$",
    re.MULTILINE | re.DOTALL,
)
_QUOTED = re.compile(r"(?<!\w)'([^']+)'(?!\w)")
_WIDTH = 100


class PageError(Exception):
    """A block cannot be written; the message says which, and why."""


def pages() -> list[Path]:
    """Return the pages."""
    return [path for path in sorted(FOLDER.rglob("*.rst")) if "_build" not in path.parts]


def written(page: str) -> str:
    """Return the text of a page with all its blocks written anew.

    :raises PageError: a block is of no known kind, or does not fit what the code says
    """

    def block(found: re.Match[str]) -> str:
        kind, name = found["kind"], found["name"]
        if kind not in _KINDS:
            raise PageError(f"generated: {kind}: expected one of {', '.join(_KINDS)}")
        try:
            lines = "\n".join(_KINDS[kind](name, found["text"])).strip("\n")
        except KeyError as error:
            raise PageError(f"generated: {kind} {name}: there is no {error}") from error
        head = f".. generated: {kind} {name}".rstrip()
        return f"{head}\n\n{lines}\n\n.. end of generated"

    return _BLOCK.sub(block, page)


def _definition(term: str, traits: str, meaning: Iterable[str]) -> Iterator[str]:
    yield f"``{term}`` : {traits}"
    for line in meaning:
        yield f"   {line}".rstrip()


def _filled(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH - 3, break_long_words=False, break_on_hyphens=False)


def _section(title: str) -> list[str]:
    return [title, "-" * len(title), ""]


# --- the command ----------------------------------------------------------------------------------


def _command(name: str, _text: str) -> Iterator[str]:
    import click

    from os_vif.cli.main import cli

    settings: dict[str, Any] = {**cli.context_settings, "terminal_width": 88}
    context = click.Context(cli, info_name="os-vif", **settings)
    command: click.Command = cli
    for word in name.split():
        found = command.get_command(context, word) if isinstance(command, click.Group) else None
        if found is None:
            raise KeyError(f"os-vif {name}")
        command = found
        context = click.Context(command, context, info_name=word)
    yield ".. code-block:: text"
    yield ""
    yield from (f"   {line}".rstrip() for line in command.get_help(context).splitlines())


def _types(_name: str, _text: str) -> Iterator[str]:
    from os_vif.cli.specs import types

    for name, shape in types.all_types().items():
        yield f".. _type-{name}:"
        yield ""
        yield from _section(f"type: {name}")
        yield from _spec_fields(shape.fields, "")
        yield ""


def _spec_fields(fields: Iterable[Any], path: str) -> Iterator[str]:
    from os_vif.specs.kinds import ListOf, fields_of

    for field in fields:
        name = f"{path}{field.name}"
        about = f"{field.help[0].upper()}{field.help[1:]}."
        if field.default:
            about += f" Default: {field.default}."
        traits = field.kind.name + (", required" if field.required else "")
        yield from _definition(name, traits, _filled(about))
        many = "[]" if isinstance(field.kind, ListOf) else ""
        yield from _spec_fields(fields_of(field.kind), f"{name}{many}.")


def _file(name: str, _text: str) -> Iterator[str]:
    from os_vif.specs import networks

    groups = {"networks": networks.NETWORK, "routers": networks.ROUTER, "named": networks.NAMED}
    yield from _spec_fields(groups[name].fields, "")


def _examples(_name: str, _text: str) -> Iterator[str]:
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        yield from _section(path.stem)
        yield from (".. code-block:: yaml", f"   :caption: {path.name}", "")
        yield from (f"   {line}".rstrip() for line in path.read_text().splitlines())
        yield from ("", ".. picture::", "")


# --- the library ----------------------------------------------------------------------------------

_OBJECT_TYPES = {
    "UUID": "UUID",
    "String": "text",
    "Boolean": "true or false",
    "Integer": "whole number",
    "MACAddress": "MAC address",
    "IPAddress": "IP address",
    "IPNetwork": "network in CIDR form",
    "PCIAddress": "PCI address",
    "ListOfIPAddress": "list of IP addresses",
}


def _object_type(field: Any) -> str:
    from oslo_versionedobjects import fields

    inner = field._type
    if isinstance(field, fields.ListOfObjectsField):
        return f"list of {inner._element_type._type._obj_name}"
    if isinstance(field, fields.ObjectField):
        return f"{field.objname}{' or a subclass' if inner._subclasses else ''}"
    if isinstance(field, fields.BaseEnumField):
        return "one of " + ", ".join(f"``{value}``" for value in field.valid_values)
    return _OBJECT_TYPES[type(field).__name__.removesuffix("Field")]


def _fields(name: str, text: str) -> Iterator[str]:
    from oslo_versionedobjects import fields
    from oslo_versionedobjects.base import VersionedObjectRegistry

    import os_vif

    os_vif.initialize()
    cls = VersionedObjectRegistry.obj_classes()[name][0]
    meanings: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line[0].isspace():
            meanings[line.split(" : ")[0].strip("`")] = []
        elif meanings:
            meanings[list(meanings)[-1]].append(line.strip())
    above = {field for base in cls.__mro__[1:] for field in getattr(base, "fields", {})}
    known = {field: kind for field, kind in cls.fields.items() if field not in above}
    for field in sorted(known.keys() ^ meanings.keys()):
        what = "the page has no meaning of it" if field in known else "it is no field"
        raise PageError(f"generated: fields {name}: {field}: {what}")
    for field, kind in known.items():
        traits = [_object_type(kind)]
        if kind.nullable:
            traits.append("may be None")
        if kind.default is not fields.UnspecifiedDefault:
            traits.append(f"default {kind.default}")
        meaning = "\n".join(meanings[field]).strip().splitlines()
        yield from _definition(field, "; ".join(traits), meaning)


def _takes(_name: str, _text: str) -> Iterator[str]:
    import os_vif

    os_vif.initialize()
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 30 40 15 15", "")
    rows = [("plugin", "VIF class", "from", "to")]
    rows += [
        (f"``{plugin.plugin_name}``", vif.vif_object_name, vif.min_version, vif.max_version)
        for plugin in os_vif.host_info().plugin_info
        for vif in plugin.vif_info
    ]
    for row in rows:
        for number, cell in enumerate(row):
            yield f"   {' ' if number else '*'} - {cell}"


def _options(group: str, _text: str) -> Iterator[str]:
    from os_vif import opts

    groups = dict([*opts.list_plugins_opts(), *opts.list_other_opts()])
    for option in groups[group]:
        kind = type(option.type).__name__.lower()
        named = {"boolean": "true or false", "integer": "whole number", "dict": "pairs"}
        kind = named.get(kind, "text" if kind.endswith("string") else kind)
        if option.multi:
            kind += ", may be given several times"
        default = (
            "" if option.default in (None, "", {}, []) else f"``{_as_written(option.default)}``"
        )
        about = _QUOTED.sub(r"``\1``", inspect.cleandoc(option.help or ""))
        older = ", ".join(
            f"``[{item.group}] {item.name or option.name}``" for item in option.deprecated_opts
        )
        if older:
            about += f" Also read from {older} (deprecated)."
        traits = f"{kind}; default {default}" if default else f"{kind}; no default"
        yield from _definition(option.dest, traits, _filled(about))


def _as_written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


_KINDS: dict[str, Callable[[str, str], Iterator[str]]] = {
    "command": _command,
    "types": _types,
    "file": _file,
    "options": _options,
    "takes": _takes,
    "fields": _fields,
    "examples": _examples,
}


def main() -> int:
    """Run the script; see its head for the exit status."""
    status = 0
    for path in pages():
        text = path.read_text()
        try:
            fresh = written(text)
        except PageError as error:
            print(f"{path.relative_to(ROOT)}: {error}", file=sys.stderr)
            status = 1
            continue
        if fresh != text:
            path.write_text(fresh)
            print(f"written: {path.relative_to(ROOT)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
