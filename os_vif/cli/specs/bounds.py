# SPDX-License-Identifier: Apache-2.0
"""How much a file may say, and a look for what is too much that asks no library.

A YAML library has bounds of its own, which change with its release and which it looks for ahead
of what it hands out. Once it has refused a text, :func:`excess` tells whether ours are passed
too, so that the same file gets the same answer everywhere. A text that the library takes is
never looked at here.
"""

from __future__ import annotations

import dataclasses
import re

MAX_BYTES = 64 * 2**20
"""One file; a VIF takes about 2 kB."""

MAX_VALUES = 2_000_000
"""Mappings, lists and scalars of one file; a VIF on the wire has about 150."""

MAX_DEPTH = 40
"""Nested mappings and lists; a VIF on the wire has about ten."""

MAX_GROWTH = 10
"""How many times larger aliases may make a document (beyond that it is a bomb, not a template)."""

TOO_LARGE = f"larger than {MAX_BYTES // 2**20} MiB"
TOO_MANY = f"more than {MAX_VALUES} values"
TOO_DEEP = f"deeper than {MAX_DEPTH} levels"
GROWN = "aliases make this document larger than anybody needs"

_BREAKS = str.maketrans(dict.fromkeys("\r\x85\u2028\u2029", "\n"))
_GAP = re.compile(r"(?:[ \t\n\ufeff]+|#[^\n]*)*+")
_DOCUMENT = re.compile(r"(?:---|\.\.\.)(?=[ \t\n]|\Z)")
_TAG = re.compile(r"!(?:<[^> \t\n]*>?|[^ \t\n,]*)")
_NAME = re.compile(r"[\w-]*", re.ASCII)
_SINGLE = re.compile(r"'(?:[^']|'')*+'?")
_DOUBLE = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_PLAIN = re.compile(r"(?:[^ \t\n:#]|:(?=[^ \t\n])|(?<=[^ \t\n])#|[ \t]+(?=[^ \t\n#]))++")
_PLAIN_IN_FLOW = re.compile(
    r"(?:[^ \t\n:#,\[\]{}]|:(?=[^ \t\n,\[\]{}])|(?<=[^ \t\n])#|[ \t]+(?=[^ \t\n#]))++"
)
_NEXT_LINES = re.compile(r"[ \t]*(?:\n[ \t]*)++(?=[^ \t\n#])")
_BLOCK_HEAD = re.compile(r"[|>][-+0-9]*[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_FIRST_LINE = re.compile(r"(?: *\n)*+ *")


@dataclasses.dataclass(slots=True)
class _Open:
    """A mapping or list that is not closed yet.

    :ivar kind: "-" or ":" for one by indentation, "[" or "{" for one in brackets, "(" for the
        mapping of one pair that a list may hold without brackets.
    :ivar column: its indentation.
    :ivar start: where it stands, if it can be a key.
    """

    kind: str
    column: int
    anchor: str
    start: int | None
    size: int = 1

    @property
    def in_flow(self) -> bool:
        return self.kind in "[{("


class _ExcessError(Exception):
    """A bound is passed: which (the sentence), and where (the offset)."""


def excess(text: str) -> tuple[str, int] | None:
    """Return which bound a text passes first and where (offset), or None.

    It takes time in proportion to the text and no recursion. Only structure is understood: what
    is no YAML leads to no error, but perhaps to another count than a parser's.
    """
    try:
        _Outline(text).follow()
    except _ExcessError as error:
        said, offset = error.args
        return said, offset
    return None


class _Outline:
    """Goes over a text and keeps what is open: brackets and indentations."""

    def __init__(self, text: str) -> None:
        self.text = text.translate(_BREAKS)  # at the same offsets
        self.at = 0
        self.line = 0  # where it begins
        self.start: int | None = None  # of the node in this line, which may turn out to be a key
        self.open: list[_Open] = []
        self.sizes: dict[str, int] = {}
        self.values = 0
        self.anchor = ""  # of the node that comes
        self.anchored = 0
        self.outer = ""  # of the mapping whose first key that node turns out to be

    def follow(self) -> None:
        while True:
            self._move(_GAP.match(self.text, self.at).end())  # type: ignore[union-attr]
            if self.at >= len(self.text):
                return
            self._token()

    def _move(self, to: int) -> None:
        newline = self.text.rfind("\n", self.at, to)
        if newline >= 0:
            self.line = newline + 1
            self.start = None
        self.at = to

    def _token(self) -> None:
        char = self.text[self.at]
        column = self.at - self.line
        if column == 0 and _DOCUMENT.match(self.text, self.at):
            self.open.clear()
            self.sizes.clear()
            self.start = None
            self._move(self.at + 3)
            return
        if column == 0 and char == "%":
            newline = self.text.find("\n", self.at)
            self._move(newline if newline >= 0 else len(self.text))
            return
        in_flow = bool(self.open) and self.open[-1].in_flow
        indicates = self.text[self.at + 1 : self.at + 2] in ("", " ", "\t", "\n")
        if not in_flow:
            self._dedent(column, entry=char == "-" and indicates)
        if char in "[{":
            self._mark_start()
            self._push(char, column)
            self._move(self.at + 1)
            self.start = None
        elif in_flow and char in "]},":
            self._end_in_flow(char)
        elif char in "-?" and indicates:
            self._indicator("-" if char == "-" else ":", column)
        elif char == ":" and (in_flow or indicates):
            self._indicator(":", column if self.start is None else self.start - self.line)
        elif char in "|>" and not in_flow and (head := _BLOCK_HEAD.match(self.text, self.at)):
            self._move(head.end())
            self._block_scalar(head[0])
        else:
            self._node(char, in_flow)

    def _node(self, char: str, in_flow: bool) -> None:
        self._mark_start()
        if char == "!":
            self._move(_TAG.match(self.text, self.at).end())  # type: ignore[union-attr]
        elif char in "&*":
            name = _NAME.match(self.text, self.at + 1)[0]  # type: ignore[index]
            if char == "*":
                self._value(self.sizes.get(name, 1))
            else:
                self.outer, self.anchor, self.anchored = self.anchor, name, self.at
            self._move(self.at + 1 + len(name))
        else:
            if char == "'":
                end = _SINGLE.match(self.text, self.at).end()  # type: ignore[union-attr]
            elif char == '"':
                end = _DOUBLE.match(self.text, self.at).end()  # type: ignore[union-attr]
            else:
                end = self._end_of_plain(in_flow)
            self._value(1)
            self._move(end)

    def _mark_start(self) -> None:
        if self.start is None:
            self.start = self.at

    def _indent(self) -> int:
        return self.open[-1].column if self.open else -1

    def _dedent(self, column: int, *, entry: bool) -> None:
        """Close what a token in this column is not in."""
        while self.open and (
            column < self.open[-1].column
            # The list of a key may stand in the column of the key.
            or (column == self.open[-1].column and self.open[-1].kind == "-" and not entry)
        ):
            self._close()

    def _indicator(self, kind: str, column: int) -> None:
        """Take in "- ", "? " or ": ", with which a mapping or list begins or goes on."""
        top = self.open[-1] if self.open else None
        if top and top.in_flow:
            if top.kind == "[" and kind == ":":
                self._push("(", top.column)
        elif not top or column > top.column or (kind == "-" and top.kind == ":"):
            if self.start is not None and kind == ":" and not self.anchor:
                self.anchor = self.outer
            self._push(kind, column)
        self.outer = ""
        self.start = None
        self._move(self.at + 1)

    def _end_in_flow(self, char: str) -> None:
        if self.open[-1].kind == "(":
            self._close()
        self.start = None
        if char != ",":
            start = self.open[-1].start
            self._close()
            if start is not None and start >= self.line:
                self.start = start
        self._move(self.at + 1)

    def _push(self, kind: str, column: int) -> None:
        if len(self.open) >= MAX_DEPTH:
            raise _ExcessError(TOO_DEEP, self.line + column)
        in_block = kind in "-:"
        self.open.append(
            _Open(kind, column if in_block else self._indent(), self.anchor, self.start)
        )
        self.anchor = ""

    def _close(self) -> None:
        node = self.open.pop()
        if node.anchor:
            self.sizes[node.anchor] = node.size
        self._add(node.size)

    def _value(self, size: int) -> None:
        """Take in a scalar or an alias."""
        self.outer = self.outer or (self.anchor if self.anchored < self.line else "")
        if self.anchor:
            self.sizes[self.anchor] = size
            self.anchor = ""
        self._add(size)

    def _add(self, size: int) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _ExcessError(TOO_MANY, self.at)
        if self.open:
            self.open[-1].size += size
            if grown(self.open[-1].size, self.values):
                raise _ExcessError(GROWN, self.at)

    def _block_scalar(self, head: str) -> None:
        least = max(self._indent() + 1, 1)
        digit = next(filter(str.isdigit, head.partition("#")[0]), "")
        if digit:
            width = max(self._indent(), 0) + int(digit)
        else:
            lead = _FIRST_LINE.match(self.text, self.at)[0]  # type: ignore[index]
            width = max(least, *map(len, lead.split("\n")))
        lines = re.compile(rf"(?: {{{width}}}[^\n]*(?:\n|\Z)| *(?:\n|\Z))*+")
        self._value(1)
        self._move(lines.match(self.text, self.at).end())  # type: ignore[union-attr]

    def _end_of_plain(self, in_flow: bool) -> int:
        """Return where an unquoted scalar ends; it goes on in deeper lines."""
        pattern = _PLAIN_IN_FLOW if in_flow else _PLAIN
        indent = self._indent()
        end = self.at + 1
        found = pattern.match(self.text, self.at)
        while found:
            end = found.end()
            lines = _NEXT_LINES.match(self.text, end)
            if not lines:
                break
            column = lines.end() - self.text.rfind("\n", end, lines.end()) - 1
            if not in_flow and column <= indent:
                break
            if column == 0 and _DOCUMENT.match(self.text, lines.end()):
                break
            found = pattern.match(self.text, lines.end())
        return end


def grown(size: int, values: int) -> bool:
    """Tell whether aliases make ``size`` values out of fewer, beyond reason."""
    return size > MAX_GROWTH * values + 10_000
