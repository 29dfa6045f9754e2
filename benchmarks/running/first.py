# SPDX-License-Identifier: Apache-2.0
"""A guest whose first instructions say that they were run, and that does nothing else.

In the place of its firmware it has 64 KiB that end, as a PC's do, with where the processor begins.
A byte written to the port of QEMU's debug console comes out of a pipe here.

Sources: Intel SDM volume 3, "First Instruction Executed"; QEMU's hw/char/debugcon.c.
"""

from __future__ import annotations

import os
import select
import tempfile
from pathlib import Path

PATIENCE = 60.0
"""Seconds until the first instruction must have been run."""

_BEGIN = bytes.fromhex(
    "b021"  # mov al, '!'
    "e6e9"  # out 0xe9, al
    "f4"  # hlt
    "ebfd"  # jmp to the hlt
)
_SIZE = 1 << 16
_RESET = _SIZE - 16


def firmware() -> bytes:
    """What the processor begins with."""
    return bytes(_RESET) + _BEGIN.ljust(_SIZE - _RESET, b"\0")


class First:
    """The files of such a guest, and who waits for it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="first-")
        self.folder = Path(self._folder.name)
        (self.folder / "firmware").write_bytes(firmware())
        os.mkfifo(self.folder / "said")
        # Both ends are open: QEMU never waits for somebody to read, nor sees us go.
        self._said = os.open(self.folder / "said", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)

    def words(self) -> list[str]:
        """QEMU's arguments for all but the network."""
        return [
            *("-machine", "pc", "-accel", "tcg", "-m", "32", "-display", "none"),
            *("-nodefaults", "-no-user-config", "-bios", str(self.folder / "firmware")),
            *("-chardev", f"file,id=said,path={self.folder}/said"),
            *("-device", "isa-debugcon,iobase=0xe9,chardev=said"),
        ]

    def wait(self) -> None:
        """Return once the first instructions were run.

        :raises RuntimeError: they were not, in all that time
        """
        if not select.select([self._said], [], [], PATIENCE)[0]:
            raise RuntimeError(f"no instruction was run for {PATIENCE:g} s")
        os.read(self._said, 1)
