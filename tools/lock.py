#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renew the locks in ``requirements``: what every environment of this checkout is made of.

``make lock`` runs this, in ``.venv``. ``python tools/lock.py [NAME ...]`` renews some of them only.
Each lock holds the newest versions its source allows, with the sha256 of all their files, for
every Python and platform at once:

==================== ============================================================================
``build``, ``run``   ``build.in``; the dependencies in ``pyproject.toml``
``test``, ...        what an extra of ``pyproject.toml`` adds to ``run``
the rest             the ``.in`` file of that name
==================== ============================================================================

Those of the project are resolved together first, so that a package has one version in all of them;
the rest take the same version where their sources allow it. With the same package index the result
is the same. Exit status: 0 the locks are written, 1 they are as they were.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
PROJECT = "pyproject.toml"
BUILD = "requirements/build.in"

HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Made by `make lock`, see CONTRIBUTING.md. Not to be edited.
"""

_PINNED = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)
ENTRY = re.compile(r"^[\w.-]+==.*\n(?:[ \t].*\n)*", re.MULTILINE)


class LockError(Exception):
    """A lock cannot be made; the text says why."""


def sources() -> dict[str, list[str]]:
    """Return for each lock what it is made from, as arguments for ``uv pip compile``."""
    project = tomllib.loads((ROOT / PROJECT).read_text())["project"]
    found = {"build": [BUILD], "run": [PROJECT]}
    for extra in project["optional-dependencies"]:
        found[extra] = [PROJECT, "--extra", extra]
    for path in sorted(FOLDER.glob("*.in")):
        name = str(path.relative_to(ROOT))
        # The checkout itself, where a source names it, is no file of an index and has no hash.
        itself = "--editable ." in path.read_text().splitlines()
        found.setdefault(path.stem, [name, *(["--no-emit-package", "os-vif"] if itself else [])])
    return found


def pins(lock: str) -> dict[str, str]:
    """Return the versions in a lock by the packages' names."""
    return dict(_PINNED.findall(lock))


def added(lock: str, base: str) -> str:
    """Return a lock without those entries that ``base`` has, too: with it, it is complete."""
    there = {entry.partition("\n")[0] for entry in ENTRY.findall(base)}
    return ENTRY.sub(lambda found: "" if found[0].partition("\n")[0] in there else found[0], lock)


def compiled(arguments: Sequence[str], preferred: str = "") -> str:
    """Return the lock that uv makes.

    :param arguments: of `sources`
    :param preferred: a lock whose versions are taken wherever that is allowed
    :raises LockError: uv finds no solution, or no index
    """
    project = tomllib.loads((ROOT / PROJECT).read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "lock.txt"
        output.write_text(preferred)  # uv keeps to the versions of a file it is to replace
        command = [
            *(find_uv(), "pip", "compile", "--quiet", "--output-file", str(output)),
            # One version of a package for all Pythons, rather than the newest for each.
            *("--universal", "--python-version", oldest, "--fork-strategy", "fewest"),
            *("--generate-hashes", "--no-header", "--no-emit-index-url", "--no-emit-find-links"),
            *arguments,
        ]
        run(command)
        return output.read_text()


def find_uv() -> str:
    """Return the path of uv: of this environment, else whatever PATH has."""
    own = Path(sys.executable).with_name("uv")
    return str(own) if own.exists() else "uv"


def run(command: Sequence[str]) -> str:
    """Run a command of uv's in the checkout and return what it printed.

    :raises LockError: it failed; the text is what it said
    """
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LockError(
            f"{error.filename} is missing: if `make lock` cannot install it, have one on PATH"
        ) from None
    if done.returncode:
        hint = "uv does not read pip's settings; UV_DEFAULT_INDEX names a mirror to it"
        raise LockError(f"{done.stderr.strip()}\n{' '.join(command[:3])} failed ({hint})")
    return done.stdout


def renewed(names: Sequence[str]) -> dict[str, str]:
    """Return the new locks of these names.

    :raises LockError: one cannot be made
    """
    all_sources = sources()
    everything = compiled([PROJECT, "--all-extras", BUILD])
    run_lock = compiled(all_sources["run"], everything)
    found = {}
    for name in names:
        lock = compiled(all_sources[name], everything)
        found[name] = HEADER + (added(lock, run_lock) if "--extra" in all_sources[name] else lock)
    return found


def table(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return lines that say which versions differ between locks and in which; none if none does."""
    changes: dict[tuple[str, str, str], list[str]] = {}
    for name in after:
        old, new = pins(before.get(name, "")), pins(after[name])
        for package in old.keys() | new.keys():
            versions = old.get(package, "-"), new.get(package, "-")
            if versions[0] != versions[1]:
                changes.setdefault((package, *versions), []).append(name)
    if not changes:
        return []
    rows = [("package", "old", "new", "in")]
    rows += [(*change, ", ".join(where)) for change, where in sorted(changes.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"{package:{widths[0]}}  {old:>{widths[1]}} -> {new:{widths[2]}}  {where}"
        for package, old, new, where in rows
    ]


def main() -> int:
    """Run the script; see its head."""
    known = sources()
    parser = argparse.ArgumentParser(description="Renew the locks in requirements.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    names = parser.parse_args().names or list(known)
    if unknown := set(names) - known.keys():
        parser.error(f"no lock is called {', '.join(sorted(unknown))}")
    files = {name: FOLDER / f"{name}.txt" for name in names}
    before = {name: file.read_text() for name, file in files.items() if file.exists()}
    try:
        after = renewed(names)
    except LockError as error:
        print(f"lock: {error}", file=sys.stderr)
        return 1
    for name, file in files.items():
        file.write_text(after[name])
    changes = table(before, after)
    same = "lock: all versions were the newest that are allowed"
    print("\n".join(changes) or same)
    return 0


if __name__ == "__main__":
    sys.exit(main())
