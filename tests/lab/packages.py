# SPDX-License-Identifier: Apache-2.0
"""What the lab is made of, fetched from Debian and unpacked into a cache.

See :mod:`tests.debian`: nothing fetched here is installed, and QEMU comes with every library it
needs, so that the lab is the same on every machine.
"""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests import debian
from tests.debian import Apt

QEMU_PACKAGE = "qemu-system-x86"
QEMU_RELEASE = 8
"""The first that can play igb, a NIC with SR-IOV."""
KERNEL_PACKAGE = "linux-image-amd64"
"""The stock flavour: Debian's cloud flavour lacks 9p, igb and most switch drivers."""
BUSYBOX_PACKAGE = "busybox-static"


class LabError(debian.PackagesError):
    """The lab cannot be built or run on this machine; the message says what is missing."""


say = functools.partial(debian.say, who="lab")


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
        return [
            *debian.command(self.qemu, "usr/bin/qemu-system-x86_64"),
            *("-L", f"{self.qemu}/usr/share/qemu", "-L", f"{self.qemu}/usr/share/seabios"),
        ]

    def qemu_environment(self) -> dict[str, str]:
        """Environment for QEMU: its accelerators are loadable modules, found by this variable."""
        folder = f"{self.qemu}/usr/lib/x86_64-linux-gnu/qemu"
        return {**os.environ, "QEMU_MODULE_DIR": folder}


def there(cache: Path) -> bool:
    """Tell whether the lab's parts need not be fetched any more."""
    return all(tree.exists() for tree in _trees(cache))


def _trees(cache: Path) -> tuple[Path, Path, Path]:
    return cache / f"qemu{QEMU_RELEASE}", cache / "kernel", cache / "busybox"


def prepare(cache: Path) -> Parts:
    """The lab's parts, fetched into ``cache`` on first use and taken from there afterwards.

    Raises PackagesError where this is not a Debian on amd64, or apt cannot deliver.
    """
    parts = Parts(*_trees(cache))
    cache.mkdir(parents=True, exist_ok=True)
    with debian.locked(cache / "lock"):
        if there(cache):
            return parts
        _require_debian()
        with tempfile.TemporaryDirectory(prefix="apt-", dir=cache) as folder:
            apt = Apt(Path(folder), "lab")
            apt.update()
            with debian.complete_or_absent(parts.qemu) as tree:
                versions = _with_new_qemu(apt).unpack_closure(tree, QEMU_PACKAGE)
                debian.note(tree, apt.user, {QEMU_PACKAGE: versions[QEMU_PACKAGE]})
            with debian.complete_or_absent(parts.busybox) as tree:
                debian.note(tree, apt.user, apt.unpack(BUSYBOX_PACKAGE, tree))
            with debian.complete_or_absent(parts.kernel) as tree:
                # The package's name has the release in it: another with each of its versions.
                (version,) = apt.unpack(apt.dependency(KERNEL_PACKAGE), tree).values()
                debian.note(tree, apt.user, {KERNEL_PACKAGE: version})
                # modules.dep and modules.alias are made only when a kernel is installed.
                release = Parts(parts.qemu, tree, parts.busybox).release
                depmod = [str(parts.busybox_binary), "depmod", "-b", str(tree), release]
                subprocess.run(depmod, check=True)
    return parts


def _with_new_qemu(apt: Apt) -> Apt:
    """Add backports to the machine's sources if its own QEMU is too old."""
    upstream = apt.version(QEMU_PACKAGE).rpartition(":")[2]
    if int(upstream.partition(".")[0]) >= QEMU_RELEASE:
        return apt
    return apt.with_suite(f"{debian.suite()}-backports")


def _require_debian() -> None:
    if platform.machine() != "x86_64":
        raise LabError("the guest runs this machine's own Python, so the lab needs an amd64 host")
    if platform.freedesktop_os_release().get("ID") != "debian":
        raise LabError(
            f"the lab is made of Debian's packages {QEMU_PACKAGE} ({QEMU_RELEASE} or later),"
            f" {KERNEL_PACKAGE} and {BUSYBOX_PACKAGE}, and this is no Debian: run it in a Debian"
            " container (it needs neither root nor KVM)"
        )
