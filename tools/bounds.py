#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make an environment at a bound of ``pyproject.toml``: ``python tools/bounds.py newest|oldest``.

It is made anew in ``.cache/newest`` or ``.cache/oldest``, of this checkout and its extra ``test``,
and not from the locks: of the newest versions there are, or of the oldest that ``pyproject.toml``
allows; then what these depend on is as new as they let it be. What differs from the locks is said.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import tomllib

from lock import FOLDER, PROJECT, ROOT, LockError, find_uv, pins, run, table

RESOLUTIONS = {"newest": "highest", "oldest": "lowest-direct"}


def build_bound(bound: str) -> str:
    """Return the requirements that builds are constrained to."""
    requires: list[str] = tomllib.loads((ROOT / PROJECT).read_text())["build-system"]["requires"]
    return "".join(f"{each.replace('>=', '==')}\n" for each in requires if bound == "oldest")


def make(bound: str) -> str:
    """Make the environment anew and return what is in it, as a lock without hashes.

    :raises LockError: it cannot be made
    """
    environment = ROOT / ".cache" / bound
    python = ["--python", str(environment / "bin" / "python")]
    uv = find_uv()
    run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)])
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(build_bound(bound))
        constraints.flush()
        install = [uv, "pip", "install", "--quiet", *python, "--resolution", RESOLUTIONS[bound]]
        run([*install, "--build-constraint", constraints.name, "--editable", ".[test]"])
    listed = json.loads(run([uv, "pip", "list", *python, "--format", "json"]))
    return "".join(
        f"{each['name']}=={each['version']}\n" for each in listed if each["name"] != "os-vif"
    )


def locked(found: str) -> str:
    """Return what is locked of the packages that were found, in the same form."""
    locks = "".join((FOLDER / f"{name}.txt").read_text() for name in ("run", "test"))
    there = pins(found)
    return "".join(f"{name}=={old}\n" for name, old in pins(locks).items() if name in there)


def main() -> int:
    """Run the script; see its head."""
    parser = argparse.ArgumentParser(description="Make an environment at a bound.")
    parser.add_argument("bound", choices=RESOLUTIONS)
    bound = parser.parse_args().bound
    try:
        found = make(bound)
    except LockError as error:
        print(f"{bound}: {error}", file=sys.stderr)
        return 1
    print(f"{bound}: made .cache/{bound}; other versions than are locked:")
    print("\n".join(table({bound: locked(found)}, {bound: found})) or "none")
    return 0


if __name__ == "__main__":
    sys.exit(main())
