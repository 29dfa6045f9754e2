# SPDX-License-Identifier: Apache-2.0
"""What the lab is made of, fetched from Debian and unpacked into a cache.

Nothing fetched here is installed. apt runs with lists, archives and an *empty* list of installed
packages of its own, so that QEMU's whole dependency closure down to libc lands in one folder: the
lab is the same on every machine, needs no root for it, and leaves the machine's packages alone.
Only the sources (``/etc/apt``) are the machine's own; a further suite, such as backports for a
newer QEMU, is one more source file handed to :class:`Apt`.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

QEMU_PACKAGE = "qemu-system-x86"
KERNEL_PACKAGE = "linux-image-amd64"
"""The stock flavour: Debian's cloud flavour lacks 9p, igb and most switch drivers."""
BUSYBOX_PACKAGE = "busybox-static"


class LabError(Exception):
    """The lab cannot be built or run on this machine; the message says what is missing."""


def say(what: str) -> None:
    """One line on what the lab is doing now."""
    sys.stdout.write(f"lab: {what}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Apt:
    """apt-get with its state below ``folder`` and the machine's own sources."""

    folder: Path

    def _run(self, command: str, *arguments: str, cwd: Path | None = None) -> str:
        status = self.folder / "status"
        options = [
            f"Dir::State={self.folder}",
            f"Dir::State::lists={self.folder}/lists",
            f"Dir::State::status={status}",
            f"Dir::Cache={self.folder}",
            f"Dir::Cache::archives={self.folder}/archives",
            # Root's apt would download as a user who cannot write below a checkout.
            "APT::Sandbox::User=root",
            "APT::Install-Recommends=false",
        ]
        argv = [command, "-q", *(word for option in options for word in ("-o", option)), *arguments]
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LabError(f"{command} {' '.join(arguments)} failed:\n{done.stderr.strip()}")
        for line in done.stderr.splitlines():
            say(line)  # an unreachable source is but a warning to apt-get update
        return done.stdout

    def update(self) -> None:
        """Read the package lists of the machine's sources."""
        for name in ("lists", "archives"):
            (self.folder / name / "partial").mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        say("reading the package lists (apt-get update)")
        self._run("apt-get", "update")

    def dependency(self, package: str) -> str:
        """The one package that the metapackage ``package`` stands for now."""
        lines = self._run("apt-cache", "depends", "--important", package).splitlines()
        names = [line.split(":")[1].strip() for line in lines if "Depends:" in line]
        if len(names) != 1:
            raise LabError(f"{package} was expected to depend on one package, not on {names}")
        return names[0]

    def unpack(self, package: str, into: Path) -> None:
        """Download ``package`` alone and unpack it below ``into``."""
        folder = self.folder / "archives"
        say(f"downloading {package}")
        self._run("apt-get", "download", package, cwd=folder)
        self._extract(into)

    def unpack_closure(self, package: str, into: Path) -> None:
        """Download ``package`` and all it depends on, and unpack them below ``into``."""
        say(f"downloading {package} and the libraries it needs")
        self._run("apt-get", "install", "--yes", "--download-only", package)
        self._extract(into)

    def _extract(self, into: Path) -> None:
        for archive in sorted((self.folder / "archives").glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(archive), str(into)], check=True)
            archive.unlink()


@dataclass(frozen=True)
class Parts:
    """The unpacked parts of the lab."""

    qemu: Path
    """Root of the tree that holds QEMU, its firmware and every library it needs."""
    kernel: Path
    """Root of the tree that holds the kernel's image and modules."""
    busybox: Path
    """Root of the tree that holds the statically linked busybox."""

    @property
    def busybox_binary(self) -> Path:
        """busybox itself: in ``bin`` up to Debian 12, in ``usr/bin`` since."""
        return next(self.busybox.glob("**/bin/busybox"))

    @property
    def release(self) -> str:
        """The guest's ``uname -r``."""
        return self.modules.name

    @property
    def modules(self) -> Path:
        """``lib/modules/<release>`` of the guest's kernel."""
        return next(self.kernel.glob("**/lib/modules/*"))

    @property
    def image(self) -> Path:
        """The kernel's bzImage."""
        return self.kernel / f"boot/vmlinuz-{self.release}"

    def qemu_command(self) -> list[str]:
        """The start of QEMU's command line: its tree's own loader and libraries, not the host's."""
        libraries = [f"{self.qemu}/{top}/x86_64-linux-gnu" for top in ("lib", "usr/lib")]
        # /lib64/ld-linux... is an absolute symbolic link and would lead to the host's loader.
        loaders = [Path(folder, "ld-linux-x86-64.so.2") for folder in libraries]
        return [
            str(next(loader for loader in loaders if loader.exists())),
            "--library-path",
            ":".join(libraries),
            f"{self.qemu}/usr/bin/qemu-system-x86_64",
            *("-L", f"{self.qemu}/usr/share/qemu", "-L", f"{self.qemu}/usr/share/seabios"),
        ]

    def qemu_environment(self) -> dict[str, str]:
        """Environment for QEMU: its accelerators are loadable modules, found by this variable."""
        folder = f"{self.qemu}/usr/lib/x86_64-linux-gnu/qemu"
        return {**os.environ, "QEMU_MODULE_DIR": folder}


def prepare(cache: Path) -> Parts:
    """The lab's parts, fetched into ``cache`` on first use and taken from there afterwards.

    Raises LabError where this is not a Debian on amd64, or apt cannot deliver.
    """
    parts = Parts(cache / "qemu", cache / "kernel", cache / "busybox")
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        if all(tree.exists() for tree in (parts.qemu, parts.kernel, parts.busybox)):
            return parts
        _require_debian()
        with tempfile.TemporaryDirectory(prefix="apt-", dir=cache) as folder:
            apt = Apt(Path(folder))
            apt.update()
            with _complete_or_absent(parts.qemu) as tree:
                apt.unpack_closure(QEMU_PACKAGE, tree)
            with _complete_or_absent(parts.busybox) as tree:
                apt.unpack(BUSYBOX_PACKAGE, tree)
            with _complete_or_absent(parts.kernel) as tree:
                apt.unpack(apt.dependency(KERNEL_PACKAGE), tree)
                # modules.dep and modules.alias are made only when a kernel is installed.
                release = Parts(parts.qemu, tree, parts.busybox).release
                depmod = [str(parts.busybox_binary), "depmod", "-b", str(tree), release]
                subprocess.run(depmod, check=True)
    return parts


def _require_debian() -> None:
    if platform.machine() != "x86_64":
        raise LabError("the guest runs this machine's own Python, so the lab needs an amd64 host")
    if platform.freedesktop_os_release().get("ID") != "debian":
        raise LabError(
            f"the lab is made of Debian's packages {QEMU_PACKAGE} (7.2 or later), {KERNEL_PACKAGE}"
            f" and {BUSYBOX_PACKAGE}, and this is no Debian: run it in a Debian 12 container"
            " (it needs neither root nor KVM)"
        )


@contextmanager
def _complete_or_absent(tree: Path) -> Iterator[Path]:
    """A folder to fill that gets the name ``tree`` only once it is full."""
    partial = tree.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(tree, ignore_errors=True)
    partial.mkdir()
    yield partial
    partial.rename(tree)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep a second runner from fetching into the same cache meanwhile."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
