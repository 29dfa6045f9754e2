# SPDX-License-Identifier: Apache-2.0
"""From nodes to values: a mapping is read by the fields it may have, every problem is noted."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from os_vif import exception
from os_vif.cli.specs.nodes import Mapping, Node, Scalar, Sequence, what
from os_vif.specs import Field, Group, Kind, ListOf, Reading


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


def read(kind: Kind | ListOf | Group, node: Node, path: str, into: Reading) -> Any:
    """Read a value of a kind; None, with a problem in ``into``, if it cannot be used."""
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
    into.problem(node.mark, path, f"{node.text!r} cannot be used; expected {expected}")
    return None


def place_of(word: str, fields: Iterable[Field], path: str = "") -> str:
    """Return the path of the field that goes by this name elsewhere: in OpenStack, or deeper."""
    for field in fields:
        if word in field.known_as or (path and word == field.name):
            return f"{path}{field.name}"
        if isinstance(field.kind, Group):
            deeper = place_of(word, field.kind.fields, f"{path}{field.name}.")
            if deeper:
                return deeper
    return ""


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was meant, by its looks; '' if none is close."""
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[close[0]] if close else ""


def suggest(word: str, known: Iterable[str]) -> str:
    """Say which of the known words may have been meant."""
    words = list(known)
    meant = closest(word, words)
    return f"did you mean {meant!r}?" if meant else f"expected one of: {', '.join(words)}"
