# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a file, and where: what a type's own check notes."""

from __future__ import annotations

import dataclasses

_MOST_SHOWN = 60
"""Characters of a value or of a field's path; what is longer is no name, but a mistake."""


def quoted(value: object) -> str:
    """Return a value as an error shows it: in quotes, and of a long one the beginning."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) <= 2 * _MOST_SHOWN:
        return repr(value)
    beginning = text[:_MOST_SHOWN]
    shown = repr(beginning) if isinstance(value, str) else beginning
    return f"{shown}... ({len(text)} characters)"


def shortened(text: str) -> str:
    """Return a text without its middle, where it is too long to be read."""
    most = 10 * _MOST_SHOWN
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file: line and column count from 1; ``width`` is in characters, 1 at least.

    Line 0 is the file as a whole, one that is missing, say.
    """

    source: str
    line: int
    column: int
    width: int = 1
    text: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the input: where, in which field, and what would be right.

    :ivar field: the path of the field, as in ``vifs[0].network.mtu``; '' for the whole.
    """

    mark: Mark | None
    field: str
    message: str

    def __str__(self) -> str:
        said = f"{shortened(self.field)}: {self.message}" if self.field else self.message
        return f"{self.mark}: {said}" if self.mark else said


@dataclasses.dataclass(slots=True)
class Reading:
    """What reading one VIF found.

    :ivar marks: where each field stands, by its path within the VIF.
    """

    root: str
    problems: list[Problem] = dataclasses.field(default_factory=list)
    marks: dict[str, Mark] = dataclasses.field(default_factory=dict)

    def path(self, inner: str) -> str:
        """Return the path of a field from the top of its document."""
        return f"{self.root}.{inner}" if self.root and inner else self.root or inner

    def problem(self, mark: Mark, inner: str, message: str) -> None:
        """Note a problem of the field ``inner``."""
        self.problems.append(Problem(mark, self.path(inner), message))
