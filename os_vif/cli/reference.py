# SPDX-License-Identifier: Apache-2.0
"""``types``, ``schema``, ``validate``, ``host-info`` and ``completion``: no change to any host."""

from __future__ import annotations

import json
from typing import Any

import click

from os_vif.cli.options import Taught, files_argument, shared_options
from os_vif.cli.results import devices_of
from os_vif.cli.session import Exit, Session
from os_vif.cli.specs import types
from os_vif.cli.table import Column, print_table
from os_vif.specs import Field, Group, ListOf, VIFType


def _known(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for name in () if ctx.resilient_parsing else value:
        if name not in types.all_types():
            from os_vif.cli.suggest import suggest

            suggestion = suggest(name, types.all_types())
            raise click.BadParameter(f"there is no type {name!r}; {suggestion}", ctx, param)
    return value


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in types.all_types() if name.startswith(incomplete)]


# The table is read only when a subcommand runs.
_type_names = click.argument(
    "names", nargs=-1, metavar="[TYPE]...", callback=_known, shell_complete=_complete
)


@click.command("types", cls=Taught)
@_type_names
@shared_options
@click.pass_obj
def types_(session: Session, names: tuple[str, ...]) -> int:
    """Show the types of VIF and their fields.

    Examples:
      os-vif types
      os-vif types bridge

    With --json: "types", each with name, summary, use, plugin, vif_class, example and fields
    (path, kind, help, required, default).
    """
    table = types.all_types()
    rows = [table[name] for name in names or table]
    if names:
        for row in rows:
            _one_type(session, row)
    else:
        for row in rows:
            session.say((row.name, "title"))
            session.say(f"    {row.summary}")
            session.say("    for ", row.use)
            session.say((f"    plugin {row.plugin}, object {row.vif_class}", "quiet"))
        session.say(("the fields of one: os-vif types TYPE", "quiet"))
    return session.finish(
        Exit.DONE,
        types=[
            {
                "name": row.name,
                "summary": row.summary,
                "use": row.use,
                "plugin": row.plugin,
                "vif_class": row.vif_class,
                "example": row.example,
                "fields": [
                    {
                        "path": path,
                        "kind": field.kind.name,
                        "help": field.help,
                        "required": field.required,
                        "default": field.default or None,
                    }
                    for path, field in all_fields(row.fields, "")
                ],
            }
            for row in rows
        ],
    )


def _one_type(session: Session, row: VIFType) -> None:
    session.say((row.name, "title"), f"  {row.summary}")
    session.say((f"for {row.use}", "quiet"))
    session.say("")
    for line in row.example.splitlines():
        session.say(("    " + line, "tap"))
    for path, field in all_fields(row.fields, ""):
        if isinstance(field.kind, Group):
            continue
        many = isinstance(field.kind, ListOf)
        takes = field.kind.of.name if isinstance(field.kind, ListOf) else field.kind.name
        session.say("")
        session.say(
            (path, "title"),
            ("  list of: " if many else "  ") + takes,
            (", required" if field.required else "", "warn"),
        )
        session.say(
            f"    {field.help}", (f"; default: {field.default}", "quiet") if field.default else ""
        )


def all_fields(fields: tuple[Field, ...], path: str) -> list[tuple[str, Field]]:
    """Return fields and those in them, each with its path."""
    found = []
    for field in fields:
        inner = f"{path}{field.name}"
        found.append((inner, field))
        if isinstance(field.kind, Group):
            found += all_fields(field.kind.fields, f"{inner}.")
        elif isinstance(field.kind, ListOf) and isinstance(field.kind.of, Group):
            found += all_fields(field.kind.of.fields, f"{inner}[].")
    return found


@click.command("schema", cls=Taught)
@_type_names
@shared_options
@click.pass_obj
def schema(session: Session, names: tuple[str, ...]) -> int:
    """Print the JSON Schema of files.

    Of all types, or of those named. Editors check and complete YAML files with it.

    Examples:
      os-vif schema > os-vif.schema.json
      os-vif schema bridge

    With --json: "schema".
    """
    found = types.schema_of(list(names))
    if not session.json:
        click.echo(json.dumps(found, indent=2))
    return session.finish(Exit.DONE, schema=found)


@click.command("validate", cls=Taught)
@files_argument
@shared_options
@click.pass_obj
def validate(session: Session, files: tuple[str, ...]) -> int:
    """Check files without looking at the host.

    It takes no privilege. Every mistake of every file is reported, with its line, and what would
    be right. What only the host can tell (is the uplink there?) is plan's to find out. Networks and
    routers are looked at as for OVN, if the files have an owner.

    Examples:
      os-vif validate web.yaml
      os-vif validate --json rack7/*.yaml

    With --json: "vifs", each with id, plugin, file, line, devices and type (null for the wire
    form).
    """
    batch = session.read(files, tell=True)
    from os_vif.cli.specs import reader

    results: list[dict[str, Any]] = []
    requests = reader.describe_all(batch)
    if batch.owners and (batch.networks or batch.routers):
        from os_vif.cli.specs import wanted

        if wanted.is_meant(batch):
            session.unheard(wanted.of_batch(batch).warnings)
    for entry, request in zip(batch.entries, requests, strict=True):
        devices = devices_of(request, entry)
        results.append(
            {
                "id": str(entry.vif.id),
                "plugin": entry.vif.plugin,
                "file": entry.mark.source,
                "line": entry.mark.line,
                "devices": devices,
                "type": entry.row.name if entry.row else None,
            }
        )
        session.say(
            ("valid", "good"),
            "  ",
            (", ".join(devices) or str(entry.vif.id), "title"),
            (f"  {entry.vif.obj_name()} for plugin {entry.vif.plugin}, {entry.mark}", "quiet"),
        )
    return session.finish(Exit.DONE, vifs=results)


@click.command("host-info", cls=Taught)
@shared_options
@click.pass_obj
def host_info(session: Session) -> int:
    """Show which VIFs this host can plug.

    Plugins, VIF classes and their versions: this is what a network manager asks a host for, to
    decide what to send it.

    Examples:
      os-vif host-info
      os-vif host-info --json | jq .host_info

    With --json: "host_info", the HostInfo object as on the wire.
    """
    session.start()
    import os_vif

    info = os_vif.host_info()
    rows = []
    for plugin in info.plugin_info:
        for vif in plugin.vif_info:
            profiles = ", ".join(
                f"{item.profile_object_name} {_range(item)}" for item in vif.supported_port_profiles
            )
            rows.append((plugin.plugin_name, vif.vif_object_name, _range(vif), profiles or "-"))
    columns = ("PLUGIN", "VIF CLASS", "VERSIONS", "PORT PROFILES")
    print_table(session, [Column(title) for title in columns], rows)
    return session.finish(Exit.DONE, host_info=info.obj_to_primitive())


def _range(item: Any) -> str:
    if item.min_version == item.max_version:
        return str(item.min_version)
    return f"{item.min_version}-{item.max_version}"


@click.command("completion", cls=Taught)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the completion script of a shell.

    Beside subcommands and options it completes files, types, the options and values of --set,
    network namespaces, and names and ids of what is plugged.

    To install it for bash:
      os-vif completion bash > ~/.os-vif-completion.bash
      echo '. ~/.os-vif-completion.bash' >> ~/.bashrc

    For zsh, unless its fpath has a folder of yours already:
      mkdir -p ~/.zsh/completions
      os-vif completion zsh > ~/.zsh/completions/_os-vif
      echo 'fpath=(~/.zsh/completions $fpath)' >> ~/.zshrc
      echo 'autoload -Uz compinit; compinit' >> ~/.zshrc

    For fish:
      mkdir -p ~/.config/fish/completions
      os-vif completion fish > ~/.config/fish/completions/os-vif.fish
    """
    from os_vif.cli import shells

    click.echo(shells.of(shell, context.find_root().command).source())
    return int(Exit.DONE)
