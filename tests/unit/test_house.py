# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that import-linter cannot state: see CONTRIBUTING.md.

import-linter (pyproject.toml) says which of our rooms may know which. These tests read the source
for the rest: who may reach the system, what a file may be called, and how long it may grow.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("os_vif", "vif_plug_ovs", "vif_plug_linux_bridge")
ROOMS = {
    "__init__",
    "cli",
    "drawing",
    "exception",
    "guest",
    "host",
    "negotiation",
    "objects",
    "opts",
    "plugin",
    "plugins",
    "py.typed",
    "verbs",
}
DRAWERS = {"common", "helper", "helpers", "misc", "shared", "util", "utils"}
MOST_LINES = 449

# Module that reaches the system or another user: the only places that may import it. The command
# enters namespaces itself, and its demo has guests that are none of the library's.
GUARDED: dict[str, tuple[str, ...]] = {
    "ctypes": ("os_vif/host/backends/", "os_vif/cli/namespaces.py"),
    "fcntl": ("os_vif/host/backends/", "os_vif/cli/demo/world.py"),
    "oslo_privsep": ("os_vif/host/privilege.py",),
    "socket": ("os_vif/host/backends/", "os_vif/cli/demo/world.py"),
    "subprocess": ("os_vif/host/backends/",),
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


def package_of(path: Path) -> str:
    """Return the dotted name of the package a file is in."""
    return ".".join(path.relative_to(ROOT).parent.parts)


def files(*folders: str) -> list[Path]:
    """Return the Python files below `folders` that are there."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def names(path: Path) -> str:
    """Return a file's place in the checkout, for the names of tests."""
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
    assert set(imports_of(source, "os_vif.host.backends")) == {
        "socket",
        "os.path",
        "os_vif.host.backends",
        "os_vif.host.backends.netlink",
        "os_vif.host.steps",
        "os_vif.host.steps.Step",
        "subprocess",
        "subprocess.run",
    }


def test_there_is_something_to_check() -> None:
    assert {package_of(path).partition(".")[0] for path in PRODUCT} == set(PACKAGES)


@pytest.mark.parametrize("folder", sorted({path.parent for path in PRODUCT}), ids=names)
def test_a_package_is_shipped(folder: Path) -> None:
    assert (folder / "__init__.py").is_file(), "setuptools leaves out a folder without it"


@pytest.mark.parametrize("path", PRODUCT, ids=names)
def test_only_its_guardian_reaches_the_system(path: Path) -> None:
    place = names(path)
    found = {name.partition(".")[0] for name in imports_of(path.read_text(), package_of(path))}
    wrong = {name for name in found & GUARDED.keys() if not place.startswith(GUARDED[name])}
    assert not wrong, {name: f"only {GUARDED[name]} may import it" for name in wrong}


@pytest.mark.parametrize("path", files("os_vif/objects"), ids=names)
def test_objects_know_exceptions_and_themselves(path: Path) -> None:
    known = ("os_vif.exception", "os_vif.objects")
    ours = {
        name
        for name in imports_of(path.read_text(), package_of(path))
        if name.partition(".")[0] in PACKAGES
    }
    wrong = {name for name in ours - {"os_vif"} if not name.startswith(known)}
    assert not wrong


def test_every_room_is_known() -> None:
    rooms = {path.stem if path.suffix == ".py" else path.name for path in ROOT.glob("os_vif/*")}
    assert not rooms - ROOMS - {"__pycache__"}, "a new room needs rules, here and in pyproject.toml"


@pytest.mark.parametrize("path", EVERYTHING, ids=names)
def test_no_file_is_a_drawer(path: Path) -> None:
    assert path.stem not in DRAWERS
    assert path.parent.name not in DRAWERS


@pytest.mark.parametrize("path", [*PRODUCT, *files("tools")], ids=names)
def test_a_file_is_a_page(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", EVERYTHING, ids=names)
def test_the_licence_is_on_top(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#!")]
    assert not lines or lines[0] == "# SPDX-License-Identifier: Apache-2.0"
