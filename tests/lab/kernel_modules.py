# SPDX-License-Identifier: Apache-2.0
"""Kernel modules that Debian does not ship, built for the guest's kernel.

``representor`` is our own (``modules/representor``); ``netdevsim`` is the kernel's own, from
Debian's package of its source, and configured in none of Debian's kernels.

The headers come from Debian as everything else does. So does the compiler that they ask for by
name, if this machine has not got it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests import debian
from tests.debian import Apt
from tests.lab.packages import LabError, Parts, say

SOURCES = Path(__file__).with_name("modules")
NETDEVSIM = "drivers/net/netdevsim"


def build(cache: Path, parts: Parts) -> Path:
    """The folder with ``netdevsim.ko`` and ``representor.ko``, built when their source is new.

    Raises PackagesError if apt cannot deliver what that takes, LabError if a module does not build.
    """
    files = sorted(path for path in SOURCES.rglob("*") if path.is_file())
    content = b"".join([parts.release.encode(), *(path.read_bytes() for path in files)])
    built = cache / f"modules-{hashlib.sha256(content).hexdigest()[:12]}"
    with debian.locked(cache / "modules.lock"):
        if not built.exists():
            headers = _headers(cache, parts.release)
            with debian.complete_or_absent(built) as folder:
                _build(headers / "source", "netdevsim", headers, parts.release, folder)
                _build(SOURCES / "representor", "representor", headers, parts.release, folder)
    return built


def _headers(cache: Path, release: str) -> Path:
    """A tree with the kernel's headers, what building takes, and netdevsim in ``source``."""
    headers = cache / "headers"
    if (headers / f"usr/src/linux-headers-{release}").exists():
        return headers
    version = ".".join(re.findall(r"\d+", release)[:2])
    base = release.rpartition("-")[0]
    with tempfile.TemporaryDirectory(prefix="apt-", dir=cache) as name:
        apt = Apt(Path(name), "lab")
        apt.update()
        with debian.complete_or_absent(headers) as tree:
            try:
                apt.unpack(f"linux-headers-{release}", tree)
                apt.unpack(f"linux-headers-{base}-common", tree)
            except debian.PackagesError as error:
                old = "a kernel may be too old for its headers to be had: remove .cache/lab"
                raise LabError(f"{error}\n{old}") from None
            kbuild = _dependency(apt, f"linux-headers-{release}", "linux-kbuild-")
            apt.unpack(kbuild, tree)
            apt.unpack(f"linux-source-{version}", tree)
            _extract_netdevsim(tree)
            compiler = _compiler(tree, release)
            if not (shutil.which(compiler) and shutil.which("make")):
                apt.unpack_closure(tree, kbuild, compiler, "make")
    return headers


def _dependency(apt: Apt, package: str, start: str) -> str:
    """The package that ``package`` depends on and whose name begins with ``start``."""
    return next(name for name in apt.dependencies(package) if name.startswith(start))


def _compiler(headers: Path, release: str) -> str:
    """The package and command of the compiler that the kernel was built with, such as gcc-12."""
    variables = headers / f"usr/src/linux-headers-{release}/.kernelvariables"
    found = re.search(r"gcc-\d+", variables.read_text())
    if not found:
        raise LabError(f"{variables} names no compiler")
    return found[0]


def _extract_netdevsim(tree: Path) -> None:
    """Keep netdevsim of the kernel's source, as ``source``, and remove the rest."""
    (archive,) = (tree / "usr/src").glob("linux-source-*.tar.xz")
    say(f"extracting {NETDEVSIM}")
    (tree / "source").mkdir()
    with tarfile.open(archive, "r|xz") as source:
        found = False
        for member in source:
            if f"/{NETDEVSIM}/" in member.name:
                found = True
                content = source.extractfile(member)
                assert content, f"{member.name} is no file"
                (tree / "source" / Path(member.name).name).write_bytes(content.read())
            elif found:
                break  # a folder's files lie together, and most of the source is yet to come
    archive.unlink()


def _build(source: Path, name: str, headers: Path, release: str, into: Path) -> None:
    """Build the module ``name`` out of the folder ``source``; it lands in ``into``."""
    say(f"building {name} for Linux {release}")
    # All there is here is this machine's own, but for a compiler that had to be fetched. That is of
    # the release of Debian this machine has, and makes do with its loader.
    libraries = [f"{headers}/{top}/x86_64-linux-gnu" for top in ("usr/lib", "lib")]
    environment = {
        **os.environ,
        "PATH": f"{headers}/usr/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": ":".join(libraries),
    }
    kernel = headers / "usr/src" / f"linux-headers-{release}"
    common = headers / "usr/src" / f"linux-headers-{release.rpartition('-')[0]}-common"
    with tempfile.TemporaryDirectory(prefix="build-", dir=into.parent) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
        # The Makefile in `kernel` would include the other by its path when installed.
        argv = ["make", f"-j{os.cpu_count()}", "-C", str(common), f"O={kernel}", f"M={folder}"]
        argv += [f"CC={_compiler(headers, release)}", f"CONFIG_{name.upper()}=m"]
        # Type information of modules takes the kernel's own and a program to join them.
        argv += ["CONFIG_DEBUG_INFO=", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"{name} could not be built:\n{done.stdout}{done.stderr}")
        shutil.move(Path(folder, f"{name}.ko"), into)
