# SPDX-License-Identifier: Apache-2.0
"""Environments of what is locked in ``requirements``, for programs that are not this library.

Each is kept in ``.cache`` and made on first use, in a few seconds.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import bootstrap

ROOT = Path(__file__).resolve().parent.parent


def python_of(name: str, lock: str, *, ours: bool = False) -> str:
    """Return the Python of an environment, which is made if need be.

    :param name: of its folder
    :param lock: what it holds: the name of a file in ``requirements``
    :param ours: whether this checkout is installed in it too, as os-vif
    """
    folder = ROOT / ".cache" / name
    made_from = [f"requirements/{each}.txt" for each in ("build", lock)]
    made_from += ["pyproject.toml"] * ours
    wanted = "\n".join([sys.version, *((ROOT / each).read_text() for each in made_from)])
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{name}.lock").open("w") as waiting:
        fcntl.flock(waiting, fcntl.LOCK_EX)  # other workers, and other runs in this checkout
        return _made_once(folder, lock, wanted, ours=ours)


def clients() -> str:
    """Return the Python that has Nova, Kuryr and Zun, and this checkout as their os-vif."""
    return python_of("clients", "clients", ours=True)


def _made_once(folder: Path, lock: str, wanted: str, *, ours: bool) -> str:
    python, made_for = folder / "bin" / "python", folder / "made-for"
    if made_for.exists() and made_for.read_text() == wanted:
        return str(python)
    shutil.rmtree(folder, ignore_errors=True)
    made = _run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    assert made.returncode == 0, made.stderr
    # uv takes 3 s where pip takes 60; but the index may be one only pip is configured for.
    for installer in (
        ["uv", "pip", "install", "--python", str(python)],
        ["pip", "--python", str(python), "install"],
    ):
        # Some ask for os-vif, which is not locked where it is this checkout.
        install = [sys.executable, "-m", *installer, "--no-deps"]
        commands = bootstrap.lock_commands(install, lock)
        if ours:
            commands.append([*install, "--no-build-isolation", "--editable", str(ROOT)])
        for command in commands:
            installed = _run(*command)
            if installed.returncode:
                break
        else:
            made_for.write_text(wanted)
            return str(python)
    pytest.fail(f"what is locked in {lock}.txt cannot be installed:\n{installed.stderr}")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, check=False, text=True)
