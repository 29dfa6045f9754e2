# SPDX-License-Identifier: Apache-2.0
"""From nodes to values: a mapping is read by the fields it may have, every problem is noted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from os_vif import exception
from os_vif.cli.specs.nodes import Mapping, Node, Scalar, Sequence, what
from os_vif.cli.suggest import closest, suggest
from os_vif.specs import Either, Field, Group, ListOf, MapOf, Reading
from os_vif.specs.kinds import AnyKind
from os_vif.specs.problems import quoted


def read_group(fields: Iterable[Field], node: Node, path: str, into: Reading) -> dict[str, Any]:
    """Read a mapping; problems go to ``into``, and what could be read is returned."""
    known = {field.name: field for field in fields}
    values: dict[str, Any] = {}
    meant: set[str] = set()
    into.marks[path] = node.mark
    if not isinstance(node, Mapping):
        example = ", ".join(list(known)[:3])
        into.problem(node.mark, path, f"expected a mapping ({example}, ...), found {what(node)}")
        return values
    for key, value in node.items:
        inner = f"{path}.{key.text}" if path else key.text
        into.marks[inner] = value.mark
        field = known.get(key.text)
        if field is None:
            place = place_of(key.text, known.values())
            meant.add(place or closest(key.text, known))
            hint = f"did you mean {place!r}?" if place else suggest(key.text, known)
            into.problem(key.mark, inner, f"unknown field; {hint}")
        elif not (isinstance(value, Scalar) and value.is_null):
            found = read(field.kind, value, inner, into)
            if found is not None:
                values[field.name] = found
        elif field.required:
            into.problem(value.mark, inner, f"has no value; expected {field.kind.name}")
    for field in known.values():
        if field.required and field.name not in meant and node.get(field.name) is None:
            inner = f"{path}.{field.name}" if path else field.name
            message = f"missing; add {field.name}: {field.help} ({field.kind.name})"
            into.problem(node.mark, inner, message)
    return values


def read(kind: AnyKind, node: Node, path: str, into: Reading) -> Any:
    """Read a value of a kind; None, with a problem in ``into``, if it cannot be used."""
    if isinstance(kind, Either):
        if isinstance(node, Scalar):
            kind = kind.single
        elif isinstance(node, Sequence if isinstance(kind.other, ListOf) else Mapping):
            kind = kind.other
        else:
            into.problem(node.mark, path, f"expected {kind.name}, found {what(node)}")
            return None
    if isinstance(kind, MapOf):
        return _read_map(kind, node, path, into)
    if isinstance(kind, Group):
        return read_group(kind.fields, node, path, into)
    if isinstance(kind, ListOf):
        if not isinstance(node, Sequence):
            hint = f": write [{node.text}]" if isinstance(node, Scalar) else ""
            into.problem(node.mark, path, f"expected a list, found {what(node)}{hint}")
            return None
        found = []
        for position, item in enumerate(node.items):
            inner = f"{path}[{position}]"
            into.marks[inner] = item.mark
            found.append(read(kind.of, item, inner, into))
        return [item for item in found if item is not None]
    if not isinstance(node, Scalar):
        into.problem(node.mark, path, f"expected {kind.name}, found {what(node)}")
        return None
    try:
        return kind.convert(node.text)
    except exception.InvalidField as error:
        expected = error.kwargs["expected"]
    except ValueError as error:
        expected = str(error)
    into.problem(node.mark, path, f"{quoted(node.text)} cannot be used; expected {expected}")
    return None


def _read_map(kind: MapOf, node: Node, path: str, into: Reading) -> dict[Any, Any] | None:
    if not isinstance(node, Mapping):
        into.problem(node.mark, path, f"expected {kind.name}, found {what(node)}")
        return None
    values = {}
    for key, value in node.items:
        inner = f"{path}.{key.text}"
        into.marks[inner] = value.mark
        name = read(kind.keys, key, inner, into)
        found = read(kind.of, value, inner, into)
        if name is not None and found is not None:
            values[name] = found
    return values


def place_of(word: str, fields: Iterable[Field], path: str = "") -> str:
    """Return the path of the field that goes by this name elsewhere: in OpenStack, or deeper."""
    word = word.replace("-", "_")  # as external_ids have it: iface-id
    for field in fields:
        if word in field.known_as or (path and word == field.name):
            return f"{path}{field.name}"
        if isinstance(field.kind, Group):
            deeper = place_of(word, field.kind.fields, f"{path}{field.name}.")
            if deeper:
                return deeper
    return ""
