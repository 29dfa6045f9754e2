# SPDX-License-Identifier: Apache-2.0
"""What configuration files say to us, and where: oslo.config passes over what it does not know.

A file may be another program's too (nova.conf, say): of it, only our sections are looked at, and
those whose names look like a mistake for one of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg, iniparser

from os_vif.cli.suggest import closest, suggest
from os_vif.specs import Mark, Problem
from os_vif.specs.problems import quoted, shortened

Placed = dict[tuple[str, str], Mark | None]
"""By section and option, where it was set; None on the command line."""

Known = Mapping[str, Mapping[str, str]]
"""By section, its options by each name that a file may have for them."""


class _Places(iniparser.BaseParser):
    """Notes where sections and options stand."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.section = "DEFAULT"
        self.sections: dict[str, Mark] = {}
        self.options: dict[tuple[str, str], Mark] = {}
        self._line = 0
        self._lines = path.read_text(errors="replace").splitlines()
        self.parse(self._lines)

    def _mark(self, word: str, line: int) -> Mark:
        text = self._lines[line - 1]
        return Mark(str(self.path), line, max(text.find(word), 0) + 1, len(word), text)

    def new_section(self, section: str) -> None:
        self.section = section
        self.sections.setdefault(section, self._mark(section, self.lineno))

    def _split_key_value(self, line: str) -> tuple[str, list[str]]:
        self._line = self.lineno  # what it says may go on in the next ones
        return super()._split_key_value(line)

    def assignment(self, key: str, value: list[str]) -> None:
        del value
        self.options[self.section, key] = self._mark(key, self._line)

    def comment(self, comment: str) -> None:
        del comment


def names_of(options: Iterable[cfg.Opt]) -> dict[str, str]:
    """Return options by each name that a file may have for them in their section."""
    named: dict[str, str] = {}
    for option in options:
        former = (old.name for old in option.deprecated_opts if old.group is None)
        named |= {name: option.dest for name in (option.dest, option.name, *former) if name}
    return named


def look(known: Known) -> tuple[Placed, list[Problem], list[Problem]]:
    """Return what stands where in the files that were read.

    :param known: what may stand in them
    :returns: where each of our options was set, what cannot be used, and what reaches nothing
    """
    placed: Placed = {}
    bad: list[Problem] = []
    unheard: list[Problem] = []
    for path in _files():
        places = _Places(path)
        for section, mark in places.sections.items():
            if section not in known and (meant := _meant(section, known)):
                said = f"there is no such section; did you mean [{meant}]?"
                unheard.append(Problem(mark, f"[{section}]", said))
        for (section, name), mark in places.options.items():
            if section not in known:
                continue
            option = known[section].get(name)
            if option is None:
                said = f"there is no such option; {suggest(name, known[section])}"
                unheard.append(Problem(mark, f"[{section}] {name}", said))
                continue
            placed[section, option] = mark
            try:
                getattr(cfg.CONF[section], option)
            except cfg.ConfigFileValueError as error:
                said = str(error)
                said = said.partition(" is not valid: ")[2] or said
                bad.append(Problem(mark, f"[{section}] {name}", _cannot(mark, name, said)))
    return placed, bad, unheard


def _cannot(mark: Mark, name: str, said: str) -> str:
    value = mark.text.partition(name)[2].lstrip().removeprefix("=").removeprefix(":").strip()
    return f"{quoted(value)} cannot be used; {shortened(said)}"


def _meant(section: str, known: Known) -> str:
    if f"os_vif_{section}" in known:
        return f"os_vif_{section}"
    return closest(section, known) if "vif" in section.lower() else ""


def _files() -> list[Path]:
    files = [Path(name) for name in cfg.CONF.config_file]
    for folder in cfg.CONF.config_dir or ():
        files += sorted(Path(folder).glob("*.conf"))
    return files


def origin(placed: Placed, section: str, value: Any) -> tuple[Mark | None, str] | None:
    """Return which option of a section was set to a value, and where; None if none, or several."""
    found = [
        (mark, f"[{section}] {name}" if mark else f"--set {section}.{name}")
        for (of, name), mark in placed.items()
        if of == section and _holds(getattr(cfg.CONF[section], name), value)
    ]
    return found[0] if len(found) == 1 else None


def _holds(said: Any, value: Any) -> bool:
    if isinstance(said, dict):
        return value in said.values()
    return value in said if isinstance(said, list) else bool(said == value)
