# SPDX-License-Identifier: Apache-2.0
"""The guest's kernel and initial RAM disk, made out of the unpacked packages.

Formats: cpio "newc" and the bzImage header as the kernel documents them
(Documentation/driver-api/early-userspace/buffer-format.rst, Documentation/arch/x86/boot.rst).
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterable
from pathlib import Path

from tests.lab.packages import Parts

BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
"""What the guest needs before it can see the host's files."""

APPLETS = ("sh", "mount", "mkdir", "ln", "cp", "cat", "insmod", "ip", "switch_root")
"""The busybox commands that init uses."""

EXECUTABLE, FOLDER, LINK = 0o100755, 0o040755, 0o120777


def uncompressed_kernel(image: bytes) -> bytes | None:
    """The ELF kernel inside a bzImage, or None if it is not compressed with xz.

    QEMU enters an ELF kernel directly (PVH), so the guest need not decompress it: 3 s less on an
    emulated processor.
    """
    setup_sectors = image[0x1F1]
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start : start + length]
    if not payload.startswith(b"\xfd7zXZ\0"):
        return None
    # Not lzma.decompress(): four bytes with the uncompressed size follow the xz stream.
    return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)


def with_dependencies(modules: Path, wanted: Iterable[str]) -> list[Path]:
    """The files of the modules ``wanted`` and of all they need, in the order to load them.

    Modules built into the kernel have no file and are left out.
    """
    needs: dict[Path, list[Path]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        name, _, others = line.partition(":")
        needs[modules / name] = [modules / other for other in others.split()]
    by_name = {path.name.partition(".")[0].replace("-", "_"): path for path in needs}
    ordered: dict[Path, None] = {}

    def add(path: Path) -> None:
        for other in needs[path]:
            add(other)
        ordered[path] = None

    for name in wanted:
        if name in by_name:
            add(by_name[name])
    return list(ordered)


def build(parts: Parts, init: Path) -> bytes:
    """The initrd: busybox, the script ``init`` as /init, the boot modules and their order."""
    modules = with_dependencies(parts.modules, BOOT_MODULES)
    entries = [(folder, FOLDER, b"") for folder in ("bin", "dev", "proc", "sys", "lib", "mnt")]
    entries += [("bin/busybox", EXECUTABLE, parts.busybox_binary.read_bytes())]
    entries += [(f"bin/{applet}", LINK, b"busybox") for applet in APPLETS]
    entries += [(f"lib/{path.stem}", EXECUTABLE, module(path)) for path in modules]
    order = "".join(f"/lib/{path.stem}\n" for path in modules)
    entries += [("modules", EXECUTABLE, order.encode()), ("init", EXECUTABLE, init.read_bytes())]
    entries += [("tree", EXECUTABLE, str(parts.modules).encode())]
    return cpio(entries)


def module(path: Path) -> bytes:
    """A kernel module as insmod takes it."""
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def cpio(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """A cpio archive of (name, mode, content), all owned by root."""
    archive = bytearray()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields)
        archive += name.encode() + b"\0"
        archive += bytes(-len(archive) % 4)
        archive += content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)
