# SPDX-License-Identifier: Apache-2.0
"""dpdk-testpmd for the tests: Debian's, unpacked into ``.cache`` (see :mod:`tests.debian`)."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from os_vif.host.vhost_user.system import testpmd
from os_vif.host.vhost_user.system.testpmd import ROOT
from os_vif.host.vhost_user.system.testpmd_words import Settings
from tests import debian, witness
from tests.conftest import PrivateHost
from tests.debian import CACHE
from tests.vhost_user import FrontEnd

DEVICE = "fp0"
MAC, GUEST_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"

PROGRAM = "usr/bin/dpdk-testpmd"
_DRIVERS = ("net_tap", "net_vhost", "net_virtio", "mempool_ring")


def settings(**fields: Any) -> Settings:
    """Return settings with which the unpacked program runs.

    It ends by itself when no test can need it any more, should one be killed that was to stop it.
    """
    tree = debian.tree("dpdk")
    # Drivers by name, not by folder: DPDK refuses folders below a world-writable one, and a
    # checkout may well be in /tmp.
    drivers = [
        min(path.name for path in tree.glob(f"usr/lib/*/librte_{name}.so.*")) for name in _DRIVERS
    ]
    prefix = fields.pop("prefix", ("timeout", "--foreground", "--signal=KILL", "200"))
    made = Settings(
        command=(*prefix, *debian.command(tree, PROGRAM)),
        memory=64,
        cores="",
        queues=1,
        eal=("--no-huge", "--no-pci", *(word for driver in drivers for word in ("-d", driver))),
        socket_owner="",
        socket_group="",
        socket_mode=0o660,
        seconds=30,
    )
    return dataclasses.replace(made, **fields)


@contextlib.contextmanager
def virtio_user(guest: PrivateHost, path: str, mac: str, *, server: bool) -> Iterator[str]:
    """Have a namespace be a guest: DPDK's own virtio driver, and a device behind it.

    :returns: the device, which is up
    """
    made = settings(prefix=())
    role = ",server=1" if server else ""
    device, prefix = "virtio0", f"guest-{guest.pid}"
    words = [
        *made.command,
        *made.eal,
        f"--file-prefix={prefix}",
        "-m64",
        "--lcores=(0,1)@(0,1)",
        f"--vdev=net_virtio_user0,path={path},mac={mac},queues=1{role}",
        f"--vdev=net_tap0,iface={device},mac={mac}",
        "--",
        "--auto-start",
        "--disable-link-check",
        "--no-mlockall",
        "--forward-mode=io",
        "--total-num-mbufs=2048",
    ]
    # It ends with its input, and removes a socket of its own then.
    process = subprocess.Popen(
        guest.argv(*words),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while "UP" not in guest.links().get(device, {}).get("flags", ()):
            assert process.poll() is None, (
                (process.stdout and process.stdout.read()) or b""
            ).decode()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield device
    finally:
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(ROOT / prefix, ignore_errors=True)


# --- a port without a plugin ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Port:
    """A tap and the folder of its socket."""

    settings: Settings
    path: str

    def start(self, *, listen: bool, device: str = DEVICE, **fields: Any) -> testpmd.Testpmd:
        path = fields.pop("path", self.path)
        settings = dataclasses.replace(self.settings, **fields)
        return testpmd.start(device, path, listen=listen, mac=MAC, settings=settings)

    @contextlib.contextmanager
    def guest(self, *, listens: bool) -> Iterator[FrontEnd]:
        with contextlib.closing(FrontEnd(self.path, GUEST_MAC, server=listens)) as made:
            yield made

    def assert_nothing_left(self) -> None:
        assert testpmd.look(DEVICE) is None
        assert testpmd.devices() == []
        assert not Path(self.path).exists()
        assert queues() == 0


def queues(device: str = DEVICE) -> int:
    """Return how many queues of a tap somebody holds."""
    found = witness.link(device)
    assert found is not None
    return int(found["linkinfo"]["info_data"]["numqueues"])


def seen(**wanted: Any) -> testpmd.Testpmd:
    """Return the process once it is as wanted."""
    deadline = time.monotonic() + 30
    while True:
        found = testpmd.look(DEVICE)
        if found is not None and all(getattr(found, name) == wanted[name] for name in wanted):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Wait until fewer than two other tests have processes that poll."""
    with contextlib.ExitStack() as stack:
        slots = [stack.enter_context((CACHE / f"polling-{it}.lock").open("w")) for it in (1, 2)]
        while not any(_taken(slot) for slot in slots):
            time.sleep(0.05)
        yield


def _taken(slot: TextIO) -> bool:
    try:
        fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def kill(pid: int) -> None:
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        assert select.select([process], [], [], 30)[0]
    finally:
        os.close(process)


def processes() -> dict[int, str]:
    """Return what else runs in this network namespace, but for its holder: programs by id."""
    here = os.stat("/proc/thread-self/ns/net").st_ino
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program = (process / "cmdline").read_text().split("\0")[0]
            if (process / "ns/net").stat().st_ino == here and program not in ("", "cat"):
                found[int(process.name)] = os.path.basename(program)
    found.pop(os.getpid(), None)
    return found


def testpmds() -> list[int]:
    """Return the ids of all that are dpdk-testpmd, whether or not they can be found by a lock."""
    program = os.path.basename(settings(prefix=()).command[0])
    return [pid for pid, name in processes().items() if name == program]


def assert_no_process() -> None:
    """Fail unless all that was started in this network namespace has ended."""
    deadline = time.monotonic() + 30
    while found := processes():
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
