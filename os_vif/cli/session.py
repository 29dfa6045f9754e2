# SPDX-License-Identifier: Apache-2.0
"""One run of the command: the options all subcommands share, and how it speaks.

Results go to standard output, everything else to standard error.  With ``--json`` standard
output holds one JSON object, also for errors::

    {"command": "plug", "exit_code": 0, "errors": [...], ...}

``errors`` is empty or holds objects with ``message`` and, where known, ``type``, ``file``,
``line``, ``column`` and ``field``; what else there is, each subcommand's help says.
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.cli.specs.nodes import BadInput
from os_vif.specs import Problem

if TYPE_CHECKING:
    from rich.console import Console

    from os_vif.cli.specs.reader import Batch
    from os_vif.drawing.text import Run

STYLES = {
    "good": "green",
    "fault": "bold red",
    "bad": "bold red",
    "warn": "yellow",
    "quiet": "dim",
    "title": "bold",
    "guest": "blue",
    "tap": "cyan",
    "veth": "cyan",
    "bridge": "yellow",
    "vlan": "magenta",
    "port": "cyan",
    "socket": "magenta",
    "process": "blue",
    "switch": "green",
    "edge": "dim",
}


_TOLD = 20
"""So many warnings of one kind are told; JSON has all."""


class Exit(enum.IntEnum):
    """What the command's exit code means."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    DRIFT = 3
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class Failure(Exception):
    """The command cannot go on.

    :ivar code: its exit code.
    """

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


class Session:
    """What one run was asked for beside its subcommand, and its voice."""

    def __init__(self) -> None:
        self.command = ""
        self.json = False
        self.quiet = False
        self.verbosity = 0
        self.config_files: list[str] = []
        self.settings: list[str] = []
        self.progress_from = 20
        self._out: Console | None = None
        self._err: Console | None = None
        self._unused: list[Problem] | None = None

    # --- starting -------------------------------------------------------------------------

    def start(self) -> None:
        """Load library, configuration and settings, for what reads no specifications.

        :raises BadInput: a setting cannot be used
        """
        from os_vif.cli import configuration

        self._load()
        configuration.apply({}, self.settings)

    def _load(self) -> None:
        """Load library and configuration; after the namespace was entered, before specs."""
        from os_vif.cli import configuration

        level = (logging.ERROR, logging.WARNING, logging.DEBUG)[min(self.verbosity, 2)]
        logging.basicConfig(
            level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
        )
        if not self.verbosity:
            # Its errors come as exceptions too, and those are told once, in our words.
            logging.getLogger("oslo.privsep").setLevel(logging.CRITICAL + 1)
        configuration.start(self.config_files)

    def read(self, files: Sequence[str], *, tell: bool = False) -> Batch:
        """Start, read specifications and apply the options in them.

        :param tell: warn of what they say and nothing hears
        :raises BadInput: with every problem
        """
        from os_vif.cli import configuration
        from os_vif.cli.specs import reader

        if list(files).count("-") > 1:
            raise Failure("'-' (standard input) can be read only once", Exit.BAD_INPUT)
        if "-" in files and sys.stdin.isatty() and not self.quiet:
            self.note("reading VIFs from the terminal; end with Ctrl-D")
        self._load()
        batch = reader.read_files(files)
        configuration.apply(batch.options, self.settings, batch.said)
        if tell:
            from os_vif.cli.specs.unused import unused

            self._unused = unused(batch)
            for problem in () if self.json else self._unused[:_TOLD]:
                self.warn(str(problem))
            if len(self._unused) > _TOLD and not self.json:
                self.warn(f"and {len(self._unused) - _TOLD} more that reach nothing (see --json)")
        return batch

    # --- speaking -------------------------------------------------------------------------

    @property
    def out(self) -> Console:
        """Standard output; where it is no terminal nothing is wrapped or cut off."""
        if self._out is None:
            self._out = _console(sys.stdout)
        return self._out

    @property
    def err(self) -> Console:
        """Standard error."""
        if self._err is None:
            self._err = _console(sys.stderr)
        return self._err

    def say(self, *runs: str | tuple[str, str]) -> None:
        """Write a line to standard output, unless ``--json`` or ``--quiet``.

        :param runs: texts, or texts with a style of :data:`STYLES`
        """
        if not self.json and not self.quiet:
            _write(self.out, runs)

    def draw(self, lines: Iterable[list[Run]]) -> None:
        """Write a picture to standard output."""
        for line in lines:
            _write(self.out, line)

    def note(self, message: str) -> None:
        """Write a line to standard error, unless ``--quiet``."""
        if not self.quiet:
            _write(self.err, [(message, "quiet")])

    def warn(self, message: str) -> None:
        """Write a warning to standard error, unless ``--quiet``."""
        if not self.quiet:
            _write(self.err, [("warning: ", "warn"), message])

    def problems(self, problems: Sequence[Problem]) -> None:
        """Write what is wrong with the input, with the lines it is in."""
        for problem in problems:
            _write(self.err, [("error: ", "bad"), str(problem)])
            mark = problem.mark
            if mark and mark.text.strip():
                _excerpt(self.err, mark.line, mark.column, mark.width, mark.text)
        many = f"{len(problems)} errors" if len(problems) > 1 else "1 error"
        _write(self.err, [(f"{many}; nothing was touched", "quiet")])

    def error(self, message: str) -> None:
        """Write an error to standard error."""
        _write(self.err, [("error: ", "bad"), message])

    def finish(self, code: Exit, *, errors: Sequence[dict[str, Any]] = (), **result: Any) -> int:
        """End the run: with ``--json`` write the object; return the exit code."""
        if self.json:
            whole = {
                "command": self.command,
                "exit_code": int(code),
                "errors": list(errors),
                **({} if self._unused is None else {"warnings": as_errors(self._unused, "Unused")}),
                **result,
            }
            json.dump(whole, sys.stdout, indent=2, default=str)
            sys.stdout.write("\n")
        return int(code)

    @property
    def ascii_only(self) -> bool:
        """Whether only ASCII can be shown: the locale is C by request, or the encoding is not."""
        encoding = (sys.stdout.encoding or "ascii").lower()
        return os.environ.get("LC_ALL") in ("C", "POSIX") or not encoding.startswith("utf")

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar on a terminal while many are worked on; yields what advances it."""
        wanted = total >= self.progress_from and not self.quiet and not self.json
        if not wanted or not self.err.is_terminal:
            yield lambda _count: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), Elapsed())
        with Progress(*columns, console=self.err, transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda count: bar.advance(task, count)


def _console(stream: Any) -> Console:
    from rich.console import Console
    from rich.theme import Theme

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            # Rich would end the process with 1, which means that the work failed.
            raise BrokenPipeError

    console = Piped(file=stream, highlight=False, markup=False, emoji=False, theme=Theme(STYLES))
    if not console.is_terminal:
        console.width = 10_000
    return console


def _write(console: Console, runs: Iterable[str | tuple[str, str]]) -> None:
    from rich.text import Text

    text = Text()
    for run in runs:
        words, style = (run, "") if isinstance(run, str) else run
        text.append(_clean(words), style=style if style in STYLES else "")
    # A long line is the terminal's to wrap: what is copied from it stays one line.
    console.print(text, soft_wrap=True)


def _clean(text: str) -> str:
    """Return text from files and the host without what would steer a terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def _excerpt(console: Console, line: int, column: int, width: int, text: str) -> None:
    """Show a line of a file with its column marked; of a long one only the part around it."""
    start = max(0, column - 40) if len(text) > 100 else 0
    shown = text[start : start + 100].replace("\t", " ")
    gutter = f"{line:>6} | "
    at = column - 1 - start
    carets = "^" * max(1, min(width, len(shown) - at))
    _write(console, [(gutter, "quiet"), shown])
    _write(console, [(" " * (len(gutter) - 2) + "| ", "quiet"), " " * at, (carets, "bad")])


def as_errors(problems: Sequence[Problem], kind: str = "BadInput") -> list[dict[str, Any]]:
    """Return problems for JSON."""
    return [
        {
            "type": kind,
            "message": problem.message,
            "field": problem.field or None,
            "file": problem.mark.source if problem.mark else None,
            "line": problem.mark.line if problem.mark else None,
            "column": problem.mark.column if problem.mark else None,
        }
        for problem in problems
    ]


def bad_input(session: Session, error: BadInput) -> int:
    """End the run because of its input."""
    if not session.json:
        session.problems(error.problems)
    return session.finish(Exit.BAD_INPUT, errors=as_errors(error.problems))
