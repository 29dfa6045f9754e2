# SPDX-License-Identifier: Apache-2.0
"""What the contenders need on disk, each in a place of its own below ``.cache/bench``.

Everything comes from the package index (what is locked in ``requirements``) and from Debian, once;
later runs find it there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import debian
from tools import bootstrap

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "bench"
CNI_PACKAGE = "containernetworking-plugins"

OURS = "os-vif-6"
REFERENCES = {"os-vif-4.3.1": "reference-4", "os-vif-5.3.0": "reference-5"}
"""The lock of each."""

_SHOWN = (
    *("os-vif", "oslo.versionedobjects", "oslo.privsep", "oslo.config", "stevedore", "pyroute2"),
    *("ovs", "ovsdbapp"),
)
_VERSIONS = """
import importlib.metadata as m, json, sys
found = {}
for name in sys.argv[1:]:
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: pass
print(json.dumps(found))
"""


class SetupError(Exception):
    """Something a contender needs cannot be had; the text says what and how to get it."""


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, check=False, cwd=cwd, text=True, capture_output=True)
    if done.returncode:
        words = " ".join(str(word) for word in command)
        raise SetupError(f"{words} failed:\n{(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def python(environment: str) -> Path:
    """The interpreter of a virtual environment made by this module."""
    return CACHE / environment / "bin" / "python"


def _virtual_environment(name: str, lock: str, project: Path | None = None) -> None:
    """Make it of what is locked, unless its stamp says it is complete.

    :param project: a source tree that is installed as well, anew each time
    """
    stamp = CACHE / name / "complete"
    locks = "".join((bootstrap.LOCKS / f"{each}.txt").read_text() for each in ("build", lock))
    made = stamp.exists() and stamp.read_text() == locks
    if made and project is None:
        return
    if not made:
        shutil.rmtree(CACHE / name, ignore_errors=True)
        _run(sys.executable, "-m", "venv", CACHE / name)
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check")
    stamp.unlink(missing_ok=True)
    pip = [str(python(name)), "-m", "pip", "install", *quiet]
    for command in bootstrap.lock_commands(pip, lock):
        _run(*command)
    if project is not None:
        _run(*pip, "--no-deps", "--no-build-isolation", project)
    # Cold start is measured with warm byte code, also for files pip did not compile.
    _run(python(name), "-m", "compileall", "-qq", next((CACHE / name).glob("lib/python*")))
    stamp.write_text(locks)


def install_reference(name: str) -> None:
    """os-vif of the package index; its linux_bridge is in 4.3.1, gone from 5.0."""
    _virtual_environment(name, REFERENCES[name])


def install_ours() -> None:
    """This checkout, installed as a user has it: an editable install would start slower."""
    stamp = CACHE / OURS / "complete"
    sources = [ROOT / "pyproject.toml", *bootstrap.LOCKS.glob("*.txt")]
    for package in ("os_vif", "vif_plug_ovs", "vif_plug_linux_bridge"):
        sources += (ROOT / package).rglob("*.py")
    if not sources[0].exists():
        raise SetupError(f"{sources[0].name} is missing: this is not a checkout of os-vif")
    if stamp.exists() and stamp.stat().st_mtime >= max(path.stat().st_mtime for path in sources):
        return
    # From a copy: setuptools builds in place, and would ship what an earlier build left there.
    skip = shutil.ignore_patterns(
        ".*", "__pycache__", "*.egg-info", "build", "dist", "docs", "tests"
    )
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "os-vif"
        shutil.copytree(ROOT, copy, ignore=skip)
        _virtual_environment(OURS, "run", copy)


def install_cni() -> Path:
    """Debian's CNI plugins, unpacked and not installed; the path of ``bridge``."""
    installed = Path("/usr/lib/cni/bridge")
    if installed.exists():
        return installed
    unpacked = CACHE / "cni" / "usr" / "lib" / "cni" / "bridge"
    if not unpacked.exists():
        if not shutil.which("apt-get"):
            raise SetupError(f"{installed} is missing: install the CNI plugins, or leave cni out")
        folder = CACHE / "cni"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            _run("apt-get", "download", "-qq", CNI_PACKAGE, cwd=folder)
        except SetupError:  # no package lists on a fresh machine
            _run("apt-get", "update", "-qq")
            _run("apt-get", "download", "-qq", CNI_PACKAGE, cwd=folder)
        (package,) = folder.glob("*.deb")
        _run("dpkg", "-x", package, folder)
    return unpacked


def install_libvirt() -> Path:
    """Debian's libvirt and QEMU, unpacked and not installed; the root they are to see.

    :raises PackagesError: apt cannot deliver
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    return debian.unpacked(CACHE / "libvirt", "libvirt", *debian.LIBVIRT)


def install_openvswitch() -> None:
    """Debian's Open vSwitch, without and with DPDK, unpacked and not installed.

    :raises PackagesError: apt cannot deliver
    """
    for name in ("openvswitch", "openvswitch-dpdk"):
        debian.tree(name)


def versions(environment: str) -> dict[str, str]:
    """The versions that matter in a virtual environment, by distribution name."""
    found: dict[str, str] = json.loads(_run(python(environment), "-P", "-c", _VERSIONS, *_SHOWN))
    return found


def cni_version() -> str:
    """Debian's version of the CNI plugins."""
    packages = list((CACHE / "cni").glob("*.deb"))
    if packages:
        return _run("dpkg-deb", "--field", packages[0], "Version").strip()
    return _run("dpkg-query", "--show", "--showformat=${Version}", CNI_PACKAGE).strip()


def libvirt_versions() -> str:
    """Of the unpacked libvirt and QEMU, as they say it themselves."""
    tree = install_libvirt()
    libvirt = _run(*debian.command(tree, "usr/bin/virsh"), "--version").strip()
    said = _run(*debian.command(tree, "usr/bin/qemu-system-x86_64"), "--version")
    found = re.search(r"version ([\d.]+)", said)
    return f"{libvirt}, QEMU {found[1] if found else said.strip()}"


def ip_version() -> str:
    """Of iproute2, as ``ip -V`` says it."""
    said = _run("ip", "-V")
    found = re.search(r"iproute2-([\w.]+)", said)
    return found[1] if found else said.strip()
