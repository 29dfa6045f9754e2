# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that import-linter cannot state: see CONTRIBUTING.md.

import-linter (pyproject.toml) says which of our rooms may know which. These tests read the source
for the rest: who may reach the system, what a file may be called, and how long it may grow.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("os_vif", "vif_plug_ovs", "vif_plug_linux_bridge")
ROOMS = {
    "__init__",
    "cli",
    "drawing",
    "engine",
    "exception",
    "guest",
    "host",
    "installed",
    "logical",
    "negotiation",
    "network",
    "objects",
    "opts",
    "outcomes",
    "plugin",
    "plugins",
    "py.typed",
    "specs",
    "system",
    "testing",
    "verbs",
}
FAMILY_ROOMS = {"__init__", "options", "picture", "questions"}
FAMILY_ROOMS |= {"resources", "rules", "steps", "system"}
DRAWERS = {"common", "helper", "helpers", "misc", "shared", "util", "utils"}
MOST_LINES = 449

# What may reach the system, by the pattern of its place: a family's room for it, and what these
# share. The command enters namespaces, starts programs and asks a QEMU itself, and its demo has
# guests that are none of the library's; the testing kit kills and looks.
SYSTEM = r"os_vif/(host/\w+/system(/|\.py)|system/|testing/)"
GUARDED = {
    "ctypes": rf"{SYSTEM}|os_vif/cli/(children|monitor|namespaces)\.py",
    "fcntl": rf"{SYSTEM}|os_vif/cli/(demo/world|monitor)\.py",
    "oslo_privsep": r"os_vif/engine/(daemon|privilege)\.py",
    "socket": rf"{SYSTEM}|os_vif/engine/daemon\.py|os_vif/cli/(demo/world|monitor)\.py",
    "subprocess": rf"{SYSTEM}|os_vif/cli/children\.py",
}


def imports_of(source: str, package: str = "") -> Iterator[str]:
    """Yield the full name of everything `source` imports, wherever the statement stands.

    `package` is the package of the file, for relative imports. `from a import b` yields `a` and
    `a.b`, since b may be a module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_in(path: Path) -> Iterator[str]:
    """Yield the full name of everything that a file of the checkout imports."""
    return imports_of(path.read_text(), package_of(path))


def package_of(path: Path) -> str:
    """Return the dotted name of the package a file is in."""
    return ".".join(path.relative_to(ROOT).parent.parts)


def files(*folders: str) -> list[Path]:
    """Return the Python files below `folders` that are there."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def names(path: Path) -> str:
    """Return a file's place in the checkout."""
    return path.relative_to(ROOT).as_posix()


PRODUCT = files(*PACKAGES)
EVERYTHING = [*PRODUCT, *files("benchmarks", "examples", "tests", "tools")]


def test_the_reader_finds_imports_in_every_form() -> None:
    source = (
        "import socket\n"
        "import os.path as p\n"
        "from . import netlink\n"
        "from ..steps import Step\n"
        "def f():\n"
        "    from subprocess import run\n"
    )
    assert set(imports_of(source, "os_vif.host.links")) == {
        "socket",
        "os.path",
        "os_vif.host.links",
        "os_vif.host.links.netlink",
        "os_vif.host.steps",
        "os_vif.host.steps.Step",
        "subprocess",
        "subprocess.run",
    }


def test_there_is_something_to_check() -> None:
    assert {package_of(path).partition(".")[0] for path in PRODUCT} == set(PACKAGES)


def test_a_package_is_shipped() -> None:
    """Setuptools leaves out a folder without an ``__init__.py``."""
    folders = {path.parent for path in PRODUCT}
    assert [names(it) for it in folders if not (it / "__init__.py").is_file()] == []


def test_only_its_guardian_reaches_the_system() -> None:
    wrong = {
        names(path): f"only {GUARDED[module]} may import {module}"
        for path in PRODUCT
        for module in {it.partition(".")[0] for it in imports_in(path)} & GUARDED.keys()
        if not re.match(GUARDED[module], names(path))
    }
    assert wrong == {}


def test_objects_know_exceptions_and_themselves() -> None:
    known = ("os_vif.exception", "os_vif.objects")
    wrong = {
        names(path): name
        for path in files("os_vif/objects")
        for name in imports_in(path)
        if name.partition(".")[0] in PACKAGES and name != "os_vif" and not name.startswith(known)
    }
    assert wrong == {}


def test_every_room_is_known() -> None:
    rooms = {path.stem if path.suffix == ".py" else path.name for path in ROOT.glob("os_vif/*")}
    assert not rooms - ROOMS - {"__pycache__"}, "a new room needs rules, here and in pyproject.toml"


# --- families: what holds for ours holds for a new one without a line here -----------------------

FAMILIES = sorted(path.parent for path in ROOT.glob("os_vif/host/*/__init__.py"))


def floor(name: str) -> int:
    from os_vif.engine import families

    return families.load(name).floor


@pytest.mark.parametrize("folder", FAMILIES, ids=names)
def test_every_family_has_the_same_rooms(folder: Path) -> None:
    rooms = {path for path in folder.iterdir() if path.name not in ("__pycache__", "py.typed")}
    others = {names(path) for path in rooms if path.stem not in FAMILY_ROOMS}
    assert not others, "a room that other families have not"


@pytest.mark.parametrize("folder", FAMILIES, ids=names)
def test_families_look_down_and_only_at_what_can_be_described_and_asked(folder: Path) -> None:
    mine = folder.name
    for path in files(names(folder)):
        room = path.relative_to(folder).with_suffix("").parts[0]
        seen = {"resources", "questions"} | ({"system"} if room == "system" else set())
        for name in imports_in(path):
            found = name.split(".")
            if found[:2] != ["os_vif", "host"] or len(found) < 4 or found[2] == mine:
                continue
            assert found[3] in seen, f"{names(path)}: {name} is another family's {found[3]}"
            assert floor(found[2]) < floor(mine), f"{names(path)}: {name} is not below"


def test_nothing_here_knows_of_a_family_from_outside() -> None:
    """The package examples/vxlan brings one: what it had to touch is nothing."""
    own = [ROOT / "pyproject.toml", *PRODUCT]
    assert [names(path) for path in own if "vxlan" in path.read_text().lower()] == []


def test_layers_have_no_names() -> None:
    flat = [path for path in PRODUCT if path.stem.endswith(("_rules", "_steps"))]
    assert not flat, "what belongs to one kind of thing stands together"


# --- files ----------------------------------------------------------------------------------------


def test_no_file_is_a_drawer() -> None:
    found = [names(it) for it in EVERYTHING if {it.stem, it.parent.name} & DRAWERS]
    assert found == []


def test_a_file_is_a_page() -> None:
    lines = {names(it): it.read_text().count("\n") for it in [*PRODUCT, *files("tools")]}
    assert {name: many for name, many in lines.items() if many > MOST_LINES} == {}


def test_the_licence_is_on_top() -> None:
    wrong = []
    for path in EVERYTHING:
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#!")]
        if lines and lines[0] != "# SPDX-License-Identifier: Apache-2.0":
            wrong.append(names(path))
    assert wrong == []
