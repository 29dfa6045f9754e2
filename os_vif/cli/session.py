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
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from os_vif.cli.specs.refused import BadInput

if TYPE_CHECKING:
    from os_vif.cli.config_files import Placed
    from os_vif.cli.specs.batch import Batch
    from os_vif.cli.specs.wanted import Logical
    from os_vif.drawing.text import Run
    from os_vif.engine.plugged import Plugged
    from os_vif.specs import Problem

STYLES: dict[str, dict[str, Any]] = {
    "good": {"fg": "green"},
    "fault": {"fg": "red", "bold": True},
    "bad": {"fg": "red", "bold": True},
    "warn": {"fg": "yellow"},
    "quiet": {"dim": True},
    "title": {"bold": True},
    "guest": {"fg": "blue"},
    "tap": {"fg": "cyan"},
    "veth": {"fg": "cyan"},
    "bridge": {"fg": "yellow"},
    "vlan": {"fg": "magenta"},
    "port": {"fg": "cyan"},
    "socket": {"fg": "magenta"},
    "process": {"fg": "blue"},
    "switch": {"fg": "green"},
    "router": {"fg": "yellow"},
    "edge": {"dim": True},
}
"""How each is shown on a terminal, as :func:`click.style` takes it."""


_TOLD = 20
"""So many errors, or warnings of one kind, are told; JSON has all."""


class Exit(enum.IntEnum):
    """What the command's exit code means."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    DRIFT = 3
    NOT_RUNNABLE = 126
    NO_PROGRAM = 127
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
        self.netns = ""
        self.found: list[Plugged] | None = None
        self.progress_from = 20
        self._unused: list[Problem] | None = None

    # --- starting -------------------------------------------------------------------------

    def start(self, *, objects: bool = True) -> None:
        """Load library, configuration and settings, for what reads no specifications.

        :param objects: the versioned objects too; what only looks at the host needs none
        :raises BadInput: a setting cannot be used
        """
        from os_vif.cli import configuration

        self._load(objects=objects)
        configuration.apply({}, self.settings)

    def _load(self, *, objects: bool) -> Placed:
        """Load library and configuration; after the namespace was entered, before specs.

        :returns: where the configuration files set which option
        """
        import logging

        from os_vif.cli import configuration

        level = (logging.ERROR, logging.WARNING, logging.DEBUG)[min(self.verbosity, 2)]
        logging.basicConfig(
            level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
        )
        if not self.verbosity:
            # Its errors come as exceptions too, and those are told once, in our words.
            logging.getLogger("oslo.privsep").setLevel(logging.CRITICAL + 1)
        placed, unheard = configuration.start(self.config_files, objects=objects)
        if unheard:
            self._unused = unheard
            for problem in () if self.json else unheard:
                self.warn(str(problem))
        return placed

    def read(self, files: Sequence[str], *, tell: bool = False, some: bool = False) -> Batch:
        """Start, read specifications and apply the options in them.

        :param tell: warn of what they say and nothing hears
        :param some: at least one VIF must be there, in folders too
        :raises BadInput: with every problem
        """
        from os_vif.cli.specs import reader

        placed = self._begin(files)
        batch = reader.read_files(files)
        if not batch.entries:
            where = f"there is no VIF in {', '.join(files)}"
            if some:
                raise Failure(where, Exit.BAD_INPUT)
            if not self.json:
                self.note(f"{where}: nothing to do")
        self._apply(batch, placed)
        if tell:
            from os_vif.cli.specs.unused import unused

            self.unheard(unused(batch))
        return batch

    def read_networks(self, files: Sequence[str]) -> Logical:
        """Start, read what specifications want of OVN, and apply the options in them.

        :raises BadInput: with every problem
        """
        from os_vif.cli.specs import wanted

        placed = self._begin(files)
        found = wanted.read(files)
        self._apply(found.batch, placed)
        self.unheard(found.warnings)
        return found

    def _begin(self, files: Sequence[str]) -> Placed:
        if list(files).count("-") > 1:
            raise Failure("'-' (standard input) can be read only once", Exit.BAD_INPUT)
        if "-" in files and sys.stdin.isatty() and not self.quiet:
            self.note("reading VIFs from the terminal; end with Ctrl-D")
        return self._load(objects=True)

    def _apply(self, batch: Batch, placed: Placed) -> None:
        from os_vif.cli import configuration

        batch.placed = placed | configuration.apply(batch.options, self.settings, batch.said)

    def unheard(self, found: Sequence[Problem]) -> None:
        """Warn of what was said and will not be as it may be meant."""
        self._unused = [*(self._unused or ()), *found]
        for problem in () if self.json else found[:_TOLD]:
            self.warn(str(problem))
        if len(found) > _TOLD and not self.json:
            self.warn(f"and {len(found) - _TOLD} more that reach nothing (see --json)")

    # --- speaking -------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """So many columns a picture may have."""
        return _columns() if _is_terminal(sys.stdout) else 100

    @property
    def columns(self) -> int | None:
        """So many columns a line of a table may have; None where no terminal is to be filled."""
        return _columns() if sys.stdout.isatty() else None

    def say(self, *runs: str | tuple[str, str]) -> None:
        """Write a line to standard output, unless ``--json`` or ``--quiet``.

        :param runs: texts, or texts with a style of :data:`STYLES`
        """
        if not self.json and not self.quiet:
            _write(sys.stdout, runs)

    def draw(self, lines: Iterable[list[Run]]) -> None:
        """Write a picture to standard output."""
        for line in lines:
            _write(sys.stdout, line)

    def note(self, message: str) -> None:
        """Write a line to standard error, unless ``--quiet``."""
        if not self.quiet:
            _write(sys.stderr, [(message, "quiet")])

    def warn(self, message: str) -> None:
        """Write a warning to standard error, unless ``--quiet``."""
        if not self.quiet:
            _write(sys.stderr, [("warning: ", "warn"), message])

    def problems(self, problems: Sequence[Problem]) -> None:
        """Write what is wrong with the input, with the lines it is in."""
        for problem in problems[:_TOLD]:
            _write(sys.stderr, [("error: ", "bad"), str(problem)])
            mark = problem.mark
            if mark and mark.text.strip():
                _excerpt(sys.stderr, mark.line, mark.column, mark.width, mark.text)
        if len(problems) > _TOLD:
            _write(
                sys.stderr,
                [("error: ", "bad"), f"and {len(problems) - _TOLD} more; --json has all"],
            )
        many = f"{len(problems)} errors" if len(problems) > 1 else "1 error"
        _write(sys.stderr, [(f"{many}; nothing was touched", "quiet")])

    def error(self, message: str) -> None:
        """Write an error to standard error."""
        _write(sys.stderr, [("error: ", "bad"), message])

    def finish(self, code: int, *, errors: Sequence[dict[str, Any]] = (), **result: Any) -> int:
        """End the run: with ``--json`` write the object; return the exit code."""
        if self.json:
            import json

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
        if not wanted or not _is_terminal(sys.stderr):
            yield lambda _count: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), Elapsed())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda count: bar.advance(task, count)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _is_terminal(stream: TextIO) -> bool:
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def _write(stream: TextIO, runs: Iterable[str | tuple[str, str]]) -> None:
    """Write a line; a long one is the terminal's to wrap: what is copied from it stays one."""
    styled = _is_terminal(stream) and os.environ.get("TERM") not in ("dumb", "unknown")
    line = ""
    for run in runs:
        words, name = (run, "") if isinstance(run, str) else run
        style = STYLES.get(name, {}) if styled else {}
        if os.environ.get("NO_COLOR"):  # bold and dim are no colours
            style = {key: value for key, value in style.items() if key != "fg"}
        line += click.style(_clean(words), **style) if style and words else _clean(words)
    click.echo(line, file=stream, color=styled)


def _clean(text: str) -> str:
    """Return text from files and the host without what would steer a terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def _excerpt(stream: TextIO, line: int, column: int, width: int, text: str) -> None:
    """Show a line of a file with its column marked; of a long one only the part around it."""
    start = max(0, column - 40) if len(text) > 100 else 0
    shown = text[start : start + 100].replace("\t", " ")
    gutter = f"{line:>6} | "
    at = column - 1 - start
    carets = "^" * max(1, min(width, len(shown) - at))
    _write(stream, [(gutter, "quiet"), shown])
    _write(stream, [(" " * (len(gutter) - 2) + "| ", "quiet"), " " * at, (carets, "bad")])


def as_errors(problems: Sequence[Problem], kind: str = "BadInput") -> list[dict[str, Any]]:
    """Return problems for JSON."""
    return [
        {
            "type": kind,
            "message": problem.message,
            "field": problem.field or None,
            "file": problem.mark.source if problem.mark else None,
            "line": (problem.mark and problem.mark.line) or None,
            "column": (problem.mark and problem.mark.column) or None,
        }
        for problem in problems
    ]


def bad_input(session: Session, error: BadInput) -> int:
    """End the run because of its input."""
    if not session.json:
        session.problems(error.problems)
    return session.finish(Exit.BAD_INPUT, errors=as_errors(error.problems))
