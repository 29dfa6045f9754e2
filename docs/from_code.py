# SPDX-License-Identifier: Apache-2.0
"""Directives that read the code, so that what they print cannot go stale.

``vif``           a specification, and the picture ``os-vif show`` draws of it
``examples``      every file of ``examples/``, each as by ``vif``
``object-fields`` a versioned object's fields; the text gives the meaning of each, and a field
                  without one, or a meaning without a field, is a warning (hence an error)
``takes``         which VIF classes and versions the plugins take
``options``       the options of a plugin
``command``       what ``os-vif SUBCOMMAND --help`` prints
``spec-fields``   what a specification of one type may say
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[1]


class FromCode(SphinxDirective):
    """Base of the directives here: text that is parsed as if it stood in the page."""

    def parse(self, lines: Iterable[str]) -> list[nodes.Node]:
        where = self.get_source_info()[0]
        content = StringList(list(lines), source=where)
        container = nodes.Element()
        self.state.nested_parse(content, self.content_offset, container, match_titles=True)
        return container.children

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[str]], widths: str) -> list[str]:
        lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
        for row in [heads, *rows]:
            for number, cell in enumerate(row):
                first, *rest = cell.splitlines() or [""]
                lines.append(f"   {' ' if number else '*'} - {first}".rstrip())
                lines += [f"       {line}" for line in rest]
        return [*lines, ""]


# --- pictures -----------------------------------------------------------------------------------


class picture(nodes.General, nodes.Element):
    """An SVG drawn from a specification."""


def _draw(name: str, text: str) -> tuple[str, str]:
    """Return a specification's picture and what to say to who cannot see it."""
    from oslo_config import cfg

    import os_vif
    from os_vif.cli import configuration
    from os_vif.cli.hosting import guest_of
    from os_vif.cli.specs import reader
    from os_vif.drawing import scene, svg

    os_vif.initialize()
    batch = reader.Batch()
    reader.read_text(name, text, batch)
    if batch.problems:
        raise ValueError("; ".join(map(str, batch.problems)))
    for (group, option), value in configuration.COMMAND_DEFAULTS.items():
        cfg.CONF.set_default(option, value, group=group)
    configuration.apply(batch.options, [])
    try:
        requests = reader.describe_all(batch)
    finally:
        cfg.CONF.reset()
        cfg.CONF.clear()
    pairs = [
        (request.topology, guest_of(entry))
        for entry, request in zip(batch.entries, requests, strict=True)
        if request is not None
    ]
    drawn = scene.scene_of(pairs)
    return svg.draw(drawn), drawn.description


def _visit_picture(self: Any, node: picture) -> None:
    folder = Path(self.builder.outdir) / self.builder.imagedir
    folder.mkdir(parents=True, exist_ok=True)
    (folder / node["name"]).write_text(node["svg"])
    self.body.append(
        self.starttag(
            node, "img", "", src=f"{self.builder.imgpath}/{node['name']}", alt=node["alt"]
        )
    )
    raise nodes.SkipNode


class Vif(FromCode):
    """``.. vif:: web.yaml``: the specification is the content, or the file of that name."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if self.content:
            text = "\n".join(self.content) + "\n"
        else:
            path = ROOT / name
            self.env.note_dependency(str(path))
            text = path.read_text()
        try:
            svg, alt = _draw(name, text)
        except Exception as error:
            raise self.error(f"{name}: {error}") from error
        block = nodes.literal_block(text, text, language="yaml", caption=name)
        caption = nodes.caption(name, name)
        figure = nodes.container("", caption, block, literal_block=True)
        figure["classes"].append("literal-block-wrapper")
        file = re.sub(r"[^a-z0-9]+", "-", f"{self.env.docname}-{name}".lower()) + ".svg"
        return [figure, nodes.paragraph("", "", picture(name=file, svg=svg, alt=alt))]


class Examples(FromCode):
    """``.. examples::`` shows every file of ``examples/``."""

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        for path in sorted((ROOT / "examples").glob("*.yaml")):
            lines += [path.stem, "-" * len(path.stem), ""]
            lines += [f".. vif:: {path.relative_to(ROOT)}", ""]
        return self.parse(lines)


# --- objects ------------------------------------------------------------------------------------


def _type(field: Any) -> str:
    from oslo_versionedobjects import fields

    text = str(type(field).__name__).removesuffix("Field")
    named = {
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
    if isinstance(field, fields.ListOfObjectsField):
        return f"list of {field._type._element_type._type._obj_name}"
    if isinstance(field, fields.ObjectField):
        return f"{field.objname}{' or a subclass' if field._type._subclasses else ''}"
    if isinstance(field, fields.BaseEnumField):
        return "one of " + ", ".join(f"``{value}``" for value in field.valid_values)
    return named[text]


class ObjectFields(FromCode):
    """``.. object-fields:: Network`` with a definition list: field, then its meaning."""

    required_arguments = 1
    option_spec: ClassVar = {"inherited": directives.flag}
    has_content = True

    def run(self) -> list[nodes.Node]:
        from oslo_versionedobjects.base import VersionedObjectRegistry

        cls = VersionedObjectRegistry.obj_classes()[self.arguments[0]][0]
        meanings: dict[str, list[str]] = {}
        for line in self.content:
            if line and not line[0].isspace():
                meanings[line.strip("`")] = []
            elif meanings:
                meanings[list(meanings)[-1]].append(line.strip())
        known = dict(cls.fields)
        if "inherited" not in self.options:
            above = {name for base in cls.__mro__[1:] for name in getattr(base, "fields", {})}
            known = {name: field for name, field in known.items() if name not in above}
        for name in known.keys() ^ meanings.keys():
            raise self.error(f"{cls.obj_name()}.{name}: a field, or a meaning, without the other")
        rows = []
        for name, field in known.items():
            traits = [_type(field)]
            if field.nullable:
                traits.append("may be None")
            if field.default is not _unset():
                traits.append(f"default {field.default}")
            rows.append((f"``{name}``", "; ".join(traits), "\n".join(meanings[name]).strip()))
        return self.parse(self.table(("field", "type", "meaning"), rows, "20 25 55"))


def _unset() -> Any:
    from oslo_versionedobjects import fields

    return fields.UnspecifiedDefault


class Takes(FromCode):
    """``.. takes::``: plugins, VIF classes and versions, as ``os_vif.host_info()`` has them."""

    def run(self) -> list[nodes.Node]:
        import os_vif

        rows = [
            (f"``{plugin.plugin_name}``", vif.vif_object_name, vif.min_version, vif.max_version)
            for plugin in os_vif.host_info().plugin_info
            for vif in plugin.vif_info
        ]
        return self.parse(self.table(("plugin", "VIF class", "from", "to"), rows, "30 40 15 15"))


# --- configuration ------------------------------------------------------------------------------


class Options(FromCode):
    """``.. options:: os_vif_tap``: the options of a plugin's group."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        group = self.arguments[0]
        from os_vif import opts

        found = dict(opts.list_plugins_opts())[group]
        rows = []
        for option in found:
            kind = type(option.type).__name__.lower()
            named = {"boolean": "true or false", "integer": "whole number"}
            kind = named.get(kind, "text" if kind.endswith("string") else kind)
            if option.multi:
                kind += ", may be given several times"
            about = inspect.cleandoc(option.help or "").replace("'", "``")
            older = ", ".join(
                f"``[{item.group}] {item.name or option.name}``" for item in option.deprecated_opts
            )
            if older:
                about += f"\nAlso read from {older} (deprecated)."
            default = "" if option.default in (None, "") else f"``{_as_written(option.default)}``"
            rows.append((f"``{option.dest}``", kind, default or "none", about))
        heads = ("option", "type", "default", "meaning")
        return self.parse(self.table(heads, rows, "25 15 10 50"))


def _as_written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- the command --------------------------------------------------------------------------------


class Command(FromCode):
    """``.. command:: plug`` prints its help; without an argument, that of ``os-vif`` itself."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        import click

        from os_vif.cli.main import cli

        settings: dict[str, Any] = {**cli.context_settings, "terminal_width": 88}
        context = click.Context(cli, info_name="os-vif", **settings)
        command: click.Command = cli
        if self.arguments:
            found = cli.get_command(context, self.arguments[0])
            if found is None:
                raise self.error(f"there is no os-vif {self.arguments[0]}")
            command = found
            context = click.Context(command, context, info_name=self.arguments[0])
        text = command.get_help(context)
        return [nodes.literal_block(text, text, language="none")]


class SpecFields(FromCode):
    """``.. spec-fields:: bridge``: the fields of a type, nested ones with their path."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from os_vif.cli.specs import types

        rows = list(_rows(types.all_types()[self.arguments[0]].fields, ""))
        heads = ("field", "what", "meaning")
        return self.parse(self.table(heads, rows, "35 25 40"))


def _rows(fields: Iterable[Any], path: str) -> Iterable[tuple[str, str, str]]:
    from os_vif.specs import Group
    from os_vif.specs.kinds import ListOf

    for field in fields:
        name = f"{path}{field.name}"
        required = ", required" if field.required else ""
        about = field.help[0].upper() + field.help[1:] + "."
        if field.default:
            about += f" Default: {field.default}."
        yield f"``{name}``", field.kind.name + required, about
        inner, many = (field.kind.of, "[]") if isinstance(field.kind, ListOf) else (field.kind, "")
        if isinstance(inner, Group):
            yield from _rows(inner.fields, f"{name}{many}.")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_node(picture, html=(_visit_picture, None))
    for name, directive in (
        ("vif", Vif),
        ("examples", Examples),
        ("object-fields", ObjectFields),
        ("takes", Takes),
        ("options", Options),
        ("command", Command),
        ("spec-fields", SpecFields),
    ):
        app.add_directive(name, directive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
