# SPDX-License-Identifier: Apache-2.0
"""The blocks of a page that can be tried out, from Markdown and reStructuredText.

What readers see::

    ```console                  .. code-block:: console
    $ ip link show br0
    3: br0: ...                    (the same, indented)
    ```

A block of YAML with a caption is a file of that name. What only the tests see:

* ``<!-- hidden`` ... ``-->`` or ``.. hidden`` with indented lines: shell commands that set the
  stage, written as they are, without a prompt.
* ``<!-- untested: WHY -->`` or ``.. untested: WHY``: the next block is left out.
* ``<!-- needs: openvswitch -->`` or ``.. needs: openvswitch``: the page is tried where Open vSwitch
  runs, and ``ovs-vsctl`` talks to it; ``dnsmasq``: where that is in the PATH.
* ``<!-- file: NAME -->``, for Markdown has no captions: the next block is a file of that name.
"""

from __future__ import annotations

import dataclasses
import re
import textwrap
from pathlib import Path

TRIED = frozenset({"console", "hidden", "python", "pycon", "yaml"})


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """What stands in a block.

    :ivar line: the line of the page its text begins at, from 1.
    :ivar language: one of :data:`TRIED`.
    :ivar name: the file it is shown as; '' for none.
    """

    line: int
    language: str
    text: str
    name: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A command line of a ``console`` block, and what is shown below it."""

    line: int
    text: str
    shown: str


_MARKDOWN = re.compile(
    r"^<!-- hidden\n(?P<hidden>.*?)^-->"
    r"|^<!-- (?P<note>untested|file): (?P<words>.*?) -->"
    r"|^```(?P<language>\w+)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_RST = re.compile(
    r"^(?P<indent> *)\.\. (?:"
    r"(?P<hidden>hidden)"
    r"|untested: (?P<why>.+)"
    r"|code-block:: (?P<language>\w+)"
    r")\n"
    r"(?P<options>(?:(?P=indent) +:\w+:.*\n)*)"
    r"(?P<text>(?:(?P=indent) +.*\n|[ ]*\n)*)",
    re.MULTILINE,
)


def blocks_of(path: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    source = path.read_text()
    return list(_markdown(source) if path.suffix == ".md" else _rst(source))


def _markdown(source: str) -> list[Block]:
    found, note, words = [], "", ""
    for match in _MARKDOWN.finditer(source):
        if match["note"]:
            note, words = match["note"], match["words"]
            continue
        kind = "hidden" if match["hidden"] is not None else match["language"]
        group = "hidden" if kind == "hidden" else "text"
        line = source.count("\n", 0, match.start(group)) + 1
        if kind in TRIED and note != "untested":
            found.append(Block(line, kind, match[group], words))
        note = words = ""
    return found


def _rst(source: str) -> list[Block]:
    found, skip = [], False
    for match in _RST.finditer(source):
        if match["why"]:
            skip = True
            continue
        kind = "hidden" if match["hidden"] else match["language"]
        caption = re.search(r":caption: (.+)", match["options"])
        name = caption[1] if caption else ""
        text = textwrap.dedent(match["text"]).strip("\n") + "\n"
        if kind in TRIED and not skip and text.strip():
            lead = len(match["text"]) - len(match["text"].lstrip("\n"))
            line = source.count("\n", 0, match.start("text")) + lead + 1
            found.append(Block(line, kind, text, name))
        skip = False
    return found


def commands_of(block: Block) -> list[Command]:
    """Return the command lines of a block.

    A line that ends with a backslash goes on in the next one.
    """
    if block.language == "hidden":
        return [Command(block.line, f"set -e\n{block.text}", "")]
    found: list[tuple[int, list[str], list[str]]] = []
    going_on = False
    for offset, line in enumerate(block.text.splitlines()):
        if going_on:
            found[-1][1].append(line)
        elif line.startswith("$ "):
            found.append((block.line + offset, [line[2:]], []))
        elif found:
            found[-1][2].append(line)
        else:
            raise ValueError(f"line {block.line + offset}: output before the first command")
        going_on = (going_on or line.startswith("$ ")) and line.endswith("\\")
    return [Command(at, "\n".join(text), "\n".join(shown)) for at, text, shown in found]
