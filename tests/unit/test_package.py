# SPDX-License-Identifier: Apache-2.0
"""What is shipped: the source archive holds all of the checkout; what README says installs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("benchmarks", "docs", "examples", "os_vif", "requirements", "tests", "tools")
_MADE = shutil.ignore_patterns(
    ".cache", ".git", ".venv", ".hypothesis", "_build", "build", "dist", "*.egg-info", "__pycache__"
)


def run(*command: Any, **options: Any) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(what: str, source: Path, into: Path) -> Path:
    code = f"from setuptools import build_meta; print(build_meta.build_{what}({str(into)!r}))"
    return into / run(sys.executable, "-c", code, cwd=source).split()[-1]


def files_below(folder: Path) -> set[str]:
    return {str(it.relative_to(folder)) for it in folder.rglob("*") if it.is_file()}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The source archive, unpacked."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT, folder / "checkout", ignore=_MADE, symlinks=True)
    archive = build("sdist", folder / "checkout", folder)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def test_the_archive_holds_all_that_the_checkout_does(source):
    checkout = source.parent / "checkout"
    wanted = {
        name
        for name in files_below(checkout)
        if name.startswith(tuple(f"{folder}/" for folder in SHIPPED)) or "/" not in name
    }
    hidden = {name for name in wanted if name.startswith(".")}
    assert files_below(source) >= wanted - hidden
    assert (source / ".ci" / "run").stat().st_mode & 0o111


def test_tests_run_from_the_archive(source):
    here = {**os.environ, "PYTHONPATH": str(source), "PYTEST_ADDOPTS": ""}
    said = run(
        sys.executable, "-m", "pytest", "-q", "tests/unit/test_turns.py", cwd=source, env=here
    )
    assert " passed" in said


def test_the_wheel_holds_the_packages_alone(source, tmp_path):
    with zipfile.ZipFile(build("wheel", source, tmp_path)) as wheel:
        folders = {name.partition("/")[0] for name in wheel.namelist()}
    assert {name for name in folders if not name.endswith(".dist-info")} == {
        "os_vif",
        "vif_plug_linux_bridge",
        "vif_plug_ovs",
    }


@pytest.mark.long
def test_what_readme_says_installs_the_command(source, tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "os-vif")
    [packages] = (tmp_path / "os-vif" / "lib").glob("python3*/site-packages")
    # What it depends on, and what builds it, is here already; nothing is fetched.
    run(tmp_path / "os-vif" / "bin" / "pip", "uninstall", "--yes", "setuptools")
    (packages / "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    offline = {**os.environ, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    run(tmp_path / "os-vif" / "bin" / "pip", "install", ".", cwd=source, env=offline)
    said = run(tmp_path / "os-vif" / "bin" / "os-vif", "--version", cwd=tmp_path)
    assert said == "os-vif, version 6.0.0\n"
    # It finds the units that came with it.
    run(tmp_path / "os-vif" / "bin" / "os-vif", "install", "--root", tmp_path / "root")
    [unit] = (tmp_path / "root").rglob("os-vif.service")
    assert f"{tmp_path}/os-vif/bin/os-vif plug /etc/os-vif/vifs.d\n" in unit.read_text()
    where = run(
        tmp_path / "os-vif" / "bin" / "python",
        *("-c", "import os_vif; print(os_vif.__file__)"),
        cwd=tmp_path,
    )
    assert where.startswith(str(packages))
