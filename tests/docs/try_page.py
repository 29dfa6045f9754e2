# SPDX-License-Identifier: Apache-2.0
"""Try out one page: ``python try_page.py PAGE PROGRAMS``, where it finds an empty folder.

PROGRAMS is a folder whose programs come before those installed; it may be left out.

Commands end with 0, unless the next one shows ``$ echo $?``. Where output is shown it is compared,
both streams of it; ``...`` stands for anything, and durations and kernel-given numbers are not
compared. Python blocks of a page share their names; those with ``>>>`` are doctests. YAML is a
specification, and must be valid.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from blocks import Block, Command, blocks_of, commands_of

_DURATION = re.compile(r"\b\d+(\.\d+)? ?(µs|ms|s)\b")
_INDEX = re.compile(r"^\d+: (?=[\w.-]+(@[\w.-]+)?: <)", re.MULTILINE)


# A locale with box-drawing characters.
SURROUNDINGS = {"LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore"}


class Differs(AssertionError):
    """The page says something else than the world."""


def _alike(text: str) -> str:
    text = _INDEX.sub("N: ", _DURATION.sub("TIME", text))
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def matches(shown: str, said: str) -> bool:
    """Tell whether what a page shows is what was said."""
    parts = [re.escape(part) for part in _alike(shown).split("...")]
    return re.fullmatch(".*?".join(parts), _alike(said), re.DOTALL) is not None


def _try_commands(block: Block, last: int) -> int:
    commands = commands_of(block)
    for position, command in enumerate(commands):
        done = subprocess.run(
            ["bash", "-c", f"(exit {last}); {command.text}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        last = done.returncode
        asked = any("$?" in following.text for following in commands[position + 1 : position + 2])
        _judge(command, done, may_fail=asked)
    return last


def _judge(command: Command, done: subprocess.CompletedProcess[str], *, may_fail: bool) -> None:
    where = f"line {command.line}: $ {command.text}"
    if done.returncode and not may_fail:
        raise Differs(f"{where}\nended with {done.returncode}:\n{done.stdout}")
    if command.shown.strip() and not matches(command.shown, done.stdout):
        raise Differs(f"{where}\nshown:\n{command.shown}\n\nsaid:\n{done.stdout}")


def _try_python(block: Block, names: dict[str, Any], page: Path) -> None:
    if block.language == "pycon":
        test = doctest.DocTestParser().get_doctest(
            block.text, names, page.name, str(page), block.line - 1
        )
        report: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        if runner.run(test, out=report.append, clear_globs=False).failed:
            raise Differs("".join(report))
        names.update(test.globs)
        return
    source = "\n" * (block.line - 1) + block.text
    exec(compile(source, str(page), "exec"), names)  # noqa: S102


def surroundings(page: Path, folder: Path) -> dict[str, str]:
    """Return the environment of a page that is tried in this folder."""
    # Modules that a page shows are found in its folder.
    has_modules = any(block.name.endswith(".py") for block in blocks_of(page))
    return SURROUNDINGS | ({"PYTHONPATH": str(folder.resolve())} if has_modules else {})


def try_page(page: Path) -> None:
    """Try out all blocks of a page, in order.

    :raises Differs: one of them is not as it says
    """
    names: dict[str, Any] = {"__name__": "page"}
    last = 0
    for block in blocks_of(page):
        if block.name:
            Path(block.name).write_text(block.text)
        if block.language in ("console", "hidden"):
            last = _try_commands(block, last)
        elif block.language == "yaml":
            name = block.name or "specification.yaml"
            Path(name).write_text(block.text)
            _try_commands(Block(block.line, "console", f"$ os-vif validate {name}"), 0)
        elif not block.name:
            _try_python(block, names, page)


if __name__ == "__main__":
    programs = [*sys.argv[2:], str(Path(sys.executable).parent), os.environ["PATH"]]
    os.environ["PATH"] = ":".join(programs)
    os.environ.update(surroundings(Path(sys.argv[1]), Path.cwd()))
    try:
        try_page(Path(sys.argv[1]))
    except Differs as error:
        sys.exit(str(error))
    except BaseException:
        traceback.print_exc()
        sys.exit("a Python block failed")
