# SPDX-License-Identifier: Apache-2.0
"""A guest in QEMU, booted in seconds; the processor is emulated, so /dev/kvm is not needed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests import debian
from tests.lab.packages import Parts
from tests.vm import image
from tests.vm.qmp import Monitor

_SCRIPT = Path(__file__).with_name("init")
MEMORY = 128
"""Of a guest, in MiB."""
PATIENCE = 120.0
"""Seconds for what a guest does within a few on a machine that is not busy."""
ROOT_PORTS = ("port0", "port1", "port2", "port3")
"""Into which cards can be put while the guest runs."""


def newest() -> Parts:
    """Return the lab's parts: its QEMU may come from backports."""
    return image.parts()


@functools.cache
def oldest() -> Parts:
    """Return the same with QEMU 7.2, the oldest that has what we say: that of libvirt 9."""
    return dataclasses.replace(image.parts(), qemu=debian.tree("libvirt9"))


QEMUS: dict[str, Callable[[], Parts]] = {"oldest": oldest, "newest": newest}


@dataclasses.dataclass(frozen=True)
class Card:
    """A network card as the guest's kernel sees it.

    :ivar name: such as eth0
    :ivar mtu: in bytes
    :ivar queues: how many pairs the driver uses
    :ivar carrier: whether there is a link
    """

    name: str
    mac: str
    mtu: int
    queues: int
    carrier: bool


_LINE = re.compile(
    r"^card (\S+) (\S+) mtu=(\d+) queues=(\d+) carrier=([01])\r?$|^gone (\S+)\r?$", re.MULTILINE
)
_REACHED = re.compile(r"^reached (\S+) (\S+)\r?$", re.MULTILINE)


class Machine:
    """A running guest; it ends with this object and with this process.

    :param network: QEMU's arguments for the network, memory that is shared included
    :param descriptors: what QEMU inherits
    :param parts: with the QEMU that is to run it; the newest unless told
    :param within: the start of a command line that QEMU's is the rest of
    """

    def __init__(
        self,
        network: Sequence[str],
        *,
        descriptors: Sequence[int] = (),
        parts: Parts | None = None,
        within: Sequence[str] = (),
    ) -> None:
        parts = parts or newest()
        self._folder = Path(tempfile.mkdtemp(prefix="qemu-"))
        (self._folder / "kernel").write_bytes(image.kernel())
        (self._folder / "system").write_bytes(image.system(_SCRIPT.read_text()))
        argv = [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *within,
            *parts.qemu_command(),
            *("-accel", "tcg", "-smp", "2", "-m", f"{MEMORY}", "-machine", "q35"),
            *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
            *(
                word
                for number, port in enumerate(ROOT_PORTS, start=1)
                for word in ("-device", f"pcie-root-port,id={port},chassis={number},slot={number}")
            ),
            *("-chardev", f"file,id=console,path={self._folder}/console"),
            *("-serial", "chardev:console"),
            *("-qmp", f"unix:{self._folder}/monitor,server=on,wait=off"),
            *("-kernel", f"{self._folder}/kernel", "-initrd", f"{self._folder}/system"),
            *("-append", image.KERNEL_ARGUMENTS),
            *network,
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

    @property
    def pid(self) -> int:
        """Process id of QEMU."""
        return self._process.pid

    def said(self) -> str:
        """Return what QEMU had to say, and what the guest wrote to its console."""
        files = [self._folder / name for name in ("said", "console")]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def assert_running(self) -> None:
        """Fail, with what was said, if the guest has ended."""
        assert self._process.poll() is None, f"QEMU ended: {self.said()}"

    def until(self, what: Callable[[], bool]) -> None:
        """Wait until something is so; fail, with what was said, if it never is."""
        deadline = time.monotonic() + PATIENCE
        while not what():
            self.assert_running()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def cards(self) -> dict[str, Card]:
        """Return what the guest says it has now, by MAC address."""
        found: dict[str, Card] = {}
        for name, mac, mtu, queues, carrier, gone in _LINE.findall(self.said()):
            found = {one.mac: one for one in found.values() if one.name not in (name, gone)}
            if not gone:
                found[mac] = Card(name, mac, int(mtu), int(queues), carrier == "1")
        return found

    def card(self, mac: str) -> Card:
        """Return the card with a MAC address once the guest has it."""
        self.until(lambda: mac in self.cards())
        return self.cards()[mac]

    def has_reached(self, card: str, group: str) -> None:
        """Fail unless somebody in a multicast group answers the guest by one of its cards."""
        self.until(lambda: (card, group) in _REACHED.findall(self.said()))

    def ended(self) -> int:
        """Return QEMU's exit code once it has ended."""
        return self._process.wait(PATIENCE)

    @property
    def socket(self) -> str:
        """Path of the monitor's socket, once it is there; it speaks with one at a time."""
        path = self._folder / "monitor"
        self.until(path.exists)
        return str(path)

    @contextlib.contextmanager
    def monitor(self) -> Iterator[Monitor]:
        """Provide a connection to the monitor."""
        with contextlib.closing(Monitor(self.socket)) as made:
            yield made

    def close(self) -> None:
        """End it as with SIGKILL."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)


@contextlib.contextmanager
def booted(
    network: Sequence[str],
    descriptors: Sequence[int] = (),
    parts: Parts | None = None,
    within: Sequence[str] = (),
) -> Iterator[Machine]:
    """Run a guest for a while; the descriptors are its own from now on."""
    try:
        made = Machine(network, descriptors=descriptors, parts=parts, within=within)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    with contextlib.closing(made):
        yield made
