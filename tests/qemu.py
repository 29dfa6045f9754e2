# SPDX-License-Identifier: Apache-2.0
"""A guest in QEMU: Debian's kernel, busybox, and a network card behind whatever a VIF has.

It is made of the lab's parts (see :mod:`tests.lab.packages`) and is a second of booting away from
its script; the processor is emulated, so /dev/kvm is not needed.
"""

from __future__ import annotations

import functools
import lzma
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.lab import initrd
from tests.lab.packages import Parts, prepare

CACHE = Path(__file__).resolve().parent.parent / ".cache/lab"
MODULES = ("virtio_pci", "virtio_net")
MEMORY = "128M"
KERNEL_ARGUMENTS = "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0"

_START = """#!/bin/busybox sh
for module in $(/bin/busybox cat /modules); do /bin/busybox insmod $module; done
/bin/busybox --install -s /bin
export PATH=/bin
"""


class Machine:
    """A running guest whose card is its ``eth0``; it ends with this object and this process."""

    def __init__(
        self,
        netdev: Sequence[str],
        mac: str,
        script: str,
        *,
        card: str = "",
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start it.

        :param netdev: QEMU's options for the back end ``card``, as of :func:`behind_socket`
        :param script: of busybox's shell, run as root; the guest ends with it
        :param card: further properties of the card, each with a comma before it
        :param descriptors: what it inherits
        """
        parts = prepare(CACHE)
        self._folder = Path(tempfile.mkdtemp(prefix="qemu-"))
        kernel = self._folder / "kernel"
        kernel.write_bytes(_kernel(parts.image))
        disk = _initrd(parts, self._folder, _START + script)
        argv = [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *parts.qemu_command(),
            *("-accel", "tcg", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
            # The back end maps the guest's memory.
            *("-object", f"memory-backend-memfd,id=memory,size={MEMORY},share=on"),
            *("-machine", "pc,memory-backend=memory", "-m", MEMORY, "-nic", "none"),
            *netdev,
            *("-device", f"virtio-net-pci,netdev=card,mac={mac},romfile={card}"),
            *("-chardev", f"file,id=console,path={self._folder}/console"),
            *("-serial", "chardev:console"),
            *("-kernel", str(kernel), "-initrd", str(disk), "-append", KERNEL_ARGUMENTS),
        ]
        with (self._folder / "said").open("wb") as output:
            self._process = subprocess.Popen(
                argv,
                env=parts.qemu_environment(),
                pass_fds=tuple(descriptors),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def said(self) -> str:
        """Return what the guest wrote to its console, and what QEMU had to say."""
        files = [self._folder / name for name in ("said", "console")]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def assert_running(self) -> None:
        """Fail, with what was said, if the guest has ended."""
        assert self._process.poll() is None, f"QEMU ended: {self.said()}"

    def close(self) -> None:
        """End it as with SIGKILL."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)


def behind_socket(path: str) -> tuple[str, ...]:
    """Return the options for a vhost-user socket that QEMU makes; it boots when one connects."""
    wire = f"socket,id=wire,path={path},server=on,wait=off"
    return ("-chardev", wire, "-netdev", "vhost-user,id=card,chardev=wire")


def behind_descriptors(descriptors: Sequence[int]) -> tuple[str, ...]:
    """Return the options for a tap or macvtap that is open already, once for each queue."""
    return ("-netdev", f"tap,id=card,fds={':'.join(map(str, descriptors))}")


@functools.cache
def _kernel(image: Path) -> bytes:
    content = image.read_bytes()
    return initrd.uncompressed_kernel(content) or content


def _initrd(parts: Parts, folder: Path, script: str) -> Path:
    root = folder / "root"
    for name in ("bin", "dev", "lib"):
        (root / name).mkdir(parents=True)
    shutil.copy(parts.busybox_binary, root / "bin/busybox")
    modules = initrd.with_dependencies(parts.modules, MODULES)
    for module in modules:
        (root / "lib" / module.stem).write_bytes(_module(module))
    (root / "modules").write_text("".join(f"/lib/{module.stem}\n" for module in modules))
    (root / "init").write_text(script)
    (root / "init").chmod(0o755)
    return _packed(parts, root, sorted(root.rglob("*")), folder / "initrd")


def _module(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def _packed(parts: Parts, root: Path, files: Sequence[Path], archive: Path) -> Path:
    names = "\n".join(os.path.relpath(file, root) for file in files)
    command = [str(parts.busybox_binary), "cpio", "-o", "-H", "newc"]
    done = subprocess.run(command, input=names.encode(), cwd=root, capture_output=True, check=True)
    archive.write_bytes(done.stdout)
    return archive
