# SPDX-License-Identifier: Apache-2.0
"""YAML (and JSON, which is YAML) as a tree of text that knows where it stands.

No scalar is given a type here.  To YAML 1.1 the MAC 10:20:30:40:50:59 is a number in base 60,
``no`` a boolean and 0123 is 83; whoever knows the field knows what its text means.  No tag is
obeyed and no object is made, so nothing in a file can do anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import yaml

from os_vif.cli.specs import bounds
from os_vif.cli.specs.refused import BadInput
from os_vif.specs import Mark, Problem
from os_vif.specs.problems import quoted

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass(slots=True, eq=False)
class Scalar:
    """A single value, as text.

    :ivar plain: whether it was written without quotes.
    """

    mark: Mark
    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        """Tell whether this is YAML's (or JSON's) nothing."""
        return self.plain and self.text in _NULLS


@dataclasses.dataclass(slots=True, eq=False)
class Mapping:
    """Keys and values, in order."""

    mark: Mark
    items: list[tuple[Scalar, Node]]

    def get(self, key: str) -> Node | None:
        """Return the value of a key, or None."""
        return next((value for name, value in self.items if name.text == key), None)


@dataclasses.dataclass(slots=True, eq=False)
class Sequence:
    """A list."""

    mark: Mark
    items: list[Node]


Node = Scalar | Mapping | Sequence


def what(node: Node) -> str:
    """Say what a node is, for an error."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    return "nothing" if node.is_null else quoted(node.text)


def compose(source: str, text: str) -> list[Node]:
    """Return the documents of a YAML or JSON text; empty ones are left out.

    :param source: the file's name, for errors
    :raises BadInput: it is no YAML, a key stands twice, or it is more than :mod:`bounds` allows
    """
    if text.lstrip().startswith(("{", "[")):
        # JSON may be indented with tabs, YAML may not; one blank for one tab keeps the columns.
        text = text.replace("\t", " ")
    composer = _Composer(source, text)
    try:
        for event in _events(text):
            composer.take(event)
    except _TooMuchError as error:
        composer.problem(composer.mark(composer.here), str(error))
    except _RefusedError as error:
        composer.problem(*composer.why(error.args[0]))
    if composer.problems:
        raise BadInput(composer.problems)
    return [node for node in composer.documents if not (isinstance(node, Scalar) and node.is_null)]


class _TooMuchError(Exception):
    """The text is YAML, but more of it than anybody needs."""


class _RefusedError(Exception):
    """The library does not take the text; its exception is the argument."""


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=_PARSER)
    except Exception as error:  # whatever it raises where its own bounds are passed
        raise _RefusedError(error) from None


class _Composer:
    """Builds nodes from parser events, with a stack of its own: depth costs no recursion."""

    def __init__(self, source: str, text: str) -> None:
        self.source = source
        self.text = text
        self.lines = text.splitlines()
        self.documents: list[Node] = []
        self.problems: list[Problem] = []
        self.open: list[Mapping | Sequence] = []
        self.keys: list[Scalar | None] = []
        self.anchors: dict[str, Node] = {}
        self.sizes: dict[int, int] = {}
        self.values = 0
        self.here: Any = None

    def line(self, number: int) -> str:
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def mark(self, start: Any, end: Any = None) -> Mark:
        if start is None:
            return Mark(self.source, 1, 1, 1, self.line(1))
        same_line = end is not None and end.line == start.line
        width = max(1, end.column - start.column) if same_line else 1
        line: int = start.line + 1
        return Mark(self.source, line, start.column + 1, width, self.line(line))

    def _mark_at(self, offset: int) -> Mark:
        line = self.text.count("\n", 0, offset) + 1
        column = offset - self.text.rfind("\n", 0, offset)
        return Mark(self.source, line, column, 1, self.line(line))

    def problem(self, mark: Mark, message: str, field: str = "") -> None:
        self.problems.append(Problem(mark, field, message))

    def why(self, error: Exception) -> tuple[Mark, str]:
        """Say why the library refused the text; our own bounds come before what it says."""
        passed = bounds.excess(self.text)
        if passed:
            return self._mark_at(passed[1]), passed[0]
        if isinstance(error, yaml.MarkedYAMLError):
            said = ", ".join(filter(None, (error.context, error.problem)))
            where = error.problem_mark or error.context_mark or self.here
            return self.mark(where), f"this is not YAML: {said or error}"
        if isinstance(error, yaml.reader.ReaderError):
            # A character that may not stand in YAML at all; the reader knows only how far it came.
            said = str(error.reason).partition("\n")[0]
            return self._mark_at(error.position), f"this is not YAML: {said}"
        said = str(error).partition("\n")[0] or type(error).__name__
        return self.mark(self.here), f"this cannot be read as YAML: {said}"

    def take(self, event: Any) -> None:
        self.here = event.start_mark
        if isinstance(event, yaml.DocumentStartEvent):
            self.anchors.clear()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            self._check_tag(event)
            mark = self.mark(event.start_mark, event.end_mark)
            node = Scalar(mark, event.value, plain=not event.style)
            self._anchor(event, node)
            self._finished(node, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()

    def _start(self, event: Any) -> None:
        self._check_tag(event)
        if len(self.open) >= bounds.MAX_DEPTH:
            raise _TooMuchError(bounds.TOO_DEEP)
        mark = self.mark(event.start_mark)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        node: Mapping | Sequence = Mapping(mark, []) if is_mapping else Sequence(mark, [])
        self._anchor(event, node)
        self.sizes[id(node)] = 1
        self.open.append(node)
        self.keys.append(None)

    def _end(self) -> None:
        node = self.open.pop()
        self.keys.pop()
        if isinstance(node, Mapping):
            self._settle(node)
        self._finished(node, self.sizes[id(node)])

    def _check_tag(self, event: Any) -> None:
        if event.tag and not event.tag.startswith("tag:yaml.org,2002:") and event.tag != "!":
            self.problem(self.mark(event.start_mark), f"the tag {event.tag} has no meaning here")
        elif event.tag and event.tag.startswith("tag:yaml.org,2002:python"):
            self.problem(self.mark(event.start_mark), "Python objects are not taken")

    def _anchor(self, event: Any, node: Node) -> None:
        if event.anchor:
            self.anchors[event.anchor] = node

    def _alias(self, event: Any) -> None:
        node = self.anchors.get(event.anchor)
        if node is None:
            raise _TooMuchError(f"no anchor &{event.anchor} stands before this alias")
        if any(node is outer for outer in self.open):
            raise _TooMuchError(f"*{event.anchor} contains itself")
        size = self.sizes.get(id(node), 1)
        if isinstance(node, Scalar):  # as a field it stands here, not where its anchor is
            node = Scalar(self.mark(event.start_mark, event.end_mark), node.text, node.plain)
        self._finished(node, size)

    def _finished(self, node: Node, size: int) -> None:
        self.values += 1
        if self.values > bounds.MAX_VALUES:
            raise _TooMuchError(bounds.TOO_MANY)
        self.sizes.setdefault(id(node), size)
        if not self.open:
            self.documents.append(node)
            return
        parent = self.open[-1]
        self.sizes[id(parent)] += size
        if bounds.grown(self.sizes[id(parent)], self.values):
            # Without the guard a file of 1 kB could keep us busy for years.
            raise _TooMuchError(bounds.GROWN)
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif self.keys[-1] is None:
            if not isinstance(node, Scalar):
                self.problem(node.mark, f"a key must be a word, and this is {what(node)}")
                node = Scalar(node.mark, "?", plain=False)
            self.keys[-1] = node
        else:
            parent.items.append((self.keys[-1], node))
            self.keys[-1] = None

    def _settle(self, node: Mapping) -> None:
        """Refuse keys that stand twice, and take in what ``<<`` refers to."""
        first: dict[str, Scalar] = {}
        merged: list[tuple[Scalar, Node]] = []
        own: list[tuple[Scalar, Node]] = []
        for key, value in node.items:
            if key.text in first:
                self.problem(
                    key.mark,
                    f"this key stands twice, first in line {first[key.text].mark.line}; "
                    "keep one of them",
                    key.text,
                )
                continue
            first[key.text] = key
            if not (key.plain and key.text == "<<"):
                own.append((key, value))
                continue
            for template in value.items if isinstance(value, Sequence) else [value]:
                if isinstance(template, Mapping):
                    merged += template.items
                else:
                    self.problem(key.mark, f"<< takes a mapping, and this is {what(template)}")
        for key, value in merged:
            if key.text not in first:
                first[key.text] = key
                own.append((key, value))
        node.items[:] = own
