# SPDX-License-Identifier: Apache-2.0
"""What a guest boots: Debian's kernel, and a small system that does what a script says.

The kernel and busybox are the lab's (see :mod:`tests.lab.packages`); ``ip``, which joins groups, is
this machine's own, with its libraries.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path

from tests.lab import initrd
from tests.lab.initrd import EXECUTABLE, FOLDER
from tests.lab.packages import Parts, prepare

CACHE = Path(__file__).resolve().parents[2] / ".cache/lab"
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=-1 mitigations=off"
    " no_timer_check"  # on a busy machine it may seem not to tick
)
_MODULES = ("virtio_pci", "virtio_net")
_START = """#!/bin/busybox sh
for module in $(/bin/busybox cat /modules); do /bin/busybox insmod $module; done
/bin/busybox --install -s /bin
export PATH=/bin
"""
_FOLDERS = ("bin", "dev", "known", "lib", "proc", "sbin", "sys")


@functools.cache
def parts() -> Parts:
    """Return the lab's parts, fetched on first use."""
    return prepare(CACHE)


@functools.cache
def kernel() -> bytes:
    """Return the kernel, uncompressed if it can be."""
    content = parts().image.read_bytes()
    return initrd.uncompressed_kernel(content) or content


@functools.cache
def system(script: str, more: tuple[str, ...] = ()) -> bytes:
    """Return the initial RAM disk.

    :param script: of busybox's shell, run as root once the network cards have drivers; the guest
        ends with it
    :param more: names of modules that it takes beside those
    """
    modules = initrd.with_dependencies(parts().modules, (*_MODULES, *more))
    order = "".join(f"/lib/{module.stem}\n" for module in modules)
    program = shutil.which("ip")
    assert program is not None
    files = {
        "init": (_START + script).encode(),
        "modules": order.encode(),
        "bin/busybox": parts().busybox_binary.read_bytes(),
        "sbin/ip": Path(program).read_bytes(),
        **{f"lib/{module.stem}": initrd.module(module) for module in modules},
    }
    said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    # Each where the program looks: "libmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x7f...)"
    for library in re.findall(r"(/\S+) \(0x", said):
        files[library.removeprefix("/")] = Path(library).read_bytes()
    folders = {str(folder) for file in files for folder in Path(file).parents} | {*_FOLDERS}
    return initrd.cpio(
        [
            *((name, FOLDER, b"") for name in sorted(folders - {"."})),
            *((name, EXECUTABLE, content) for name, content in files.items()),
        ]
    )
