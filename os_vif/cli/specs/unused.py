# SPDX-License-Identifier: Apache-2.0
"""What a specification says and nothing hears: fields a type has no use for, options of nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from os_vif.specs import Field, Group, ListOf, Problem

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Batch, Entry

_READS_TOO = {"vhostuser_fp": frozenset({"ovs"})}
"""Of a plugin of ours: the plugins whose options it reads beside its own."""


def unused(batch: Batch) -> list[Problem]:
    """Return what reaches nothing, once the options are set."""
    found = [problem for entry in batch.entries for problem in _of_entry(entry)]
    return [*found, *_options(batch)]


def _of_entry(entry: Entry) -> Iterator[Problem]:
    if entry.row is None:
        return
    # What a network says that stands by itself is for all who name it.
    own = [it for it in entry.row.fields if entry.named is None or it.name != "network"]
    for path, why in _of_fields(own, entry.values, "", entry.values):
        whole = f"{entry.root}.{path}" if entry.root else path
        yield Problem(entry.marks.get(path, entry.mark), whole, f"reaches nothing: {why}")


def _of_fields(
    fields: Iterable[Field], said: Mapping[str, Any], path: str, values: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    for field in fields:
        if field.name not in said:
            continue
        inner, held = f"{path}{field.name}", said[field.name]
        why = field.unused(values) if field.unused is not None else ""
        if why:
            yield inner, why
        elif isinstance(field.kind, Group):
            yield from _of_fields(field.kind.fields, held, f"{inner}.", values)
        elif isinstance(field.kind, ListOf) and isinstance(field.kind.of, Group):
            for at, item in enumerate(held):
                yield from _of_fields(field.kind.of.fields, item, f"{inner}[{at}].", values)


def _options(batch: Batch) -> Iterator[Problem]:
    from os_vif import opts

    known = {plugin: list(loaded.CONFIG_OPTS) for plugin, loaded in opts.plugins_list}
    here = {str(entry.vif.plugin) for entry in batch.entries}
    reached = here.union(*(_READS_TOO.get(plugin, ()) for plugin in here))
    # What somebody else's plugin reads, nobody knows.
    ours = all(_is_ours(plugin, dict(opts.plugins_list)) for plugin in here)
    for (group, name), (_text, mark) in batch.options.items():
        plugin = group.removeprefix("os_vif_")
        path = f"options.{group}.{name}"
        if plugin in known and plugin not in reached and ours:
            yield Problem(mark, path, f"reaches nothing: no VIF of this call is of plugin {plugin}")
        for option in known.get(plugin, ()):
            if option.dest == name and option.deprecated_for_removal:
                yield Problem(mark, path, f"reaches nothing: {option.deprecated_reason}")


def _is_ours(plugin: str, loaded: Mapping[str, Any]) -> bool:
    return plugin in loaded and type(loaded[plugin]).__module__.startswith("os_vif.")
