# SPDX-License-Identifier: Apache-2.0
"""The guest: Debian's kernel and QEMU, busybox, and a script that says what cards it has."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from tests.lab.packages import Parts
from tests.vm import image
from tests.vm.qmp import PATIENCE

PROGRAM = "qemu-system-x86_64"
PORT = "port1"
"""The id of the root port that a second card goes into."""

ADDRESSES = {"eth0": "198.51.100.1", "eth1": "203.0.113.1"}

BARE = "-machine q35 -accel tcg -display none -nodefaults -no-user-config"
"""A machine, whose processor is emulated."""
MONITOR = "-qmp unix:monitor,server=on,wait=off"
LINES = (
    f"{BARE} -m 128M",
    f"-device pcie-root-port,id={PORT},chassis=1,slot=1",
    f"-serial file:console {MONITOR}",
    "-kernel kernel -initrd initrd",
    f"-append '{image.KERNEL_ARGUMENTS}'",
)
"""What it is started with, but for its cards."""

_SCRIPT = """
mkdir -p /sys
mount -t sysfs sysfs /sys
known=
while :; do
    there=
    for card in eth0 eth1; do
        [ -e /sys/class/net/$card ] || continue
        there="$there $card"
        case "$known" in *$card*) continue ;; esac
        ip link set $card up
        case $card in %s esac
        read mac < /sys/class/net/$card/address
        read mtu < /sys/class/net/$card/mtu
        echo "$card is there, $mac, MTU $mtu"
    done
    case "$known" in *eth1*) case "$there" in *eth1*) ;; *) echo "eth1 is gone" ;; esac ;; esac
    known=$there
    sleep 0.1
done
"""


class Silent(Exception):
    """The guest does not say what it should."""


def prepare(parts: Parts, folder: Path) -> None:
    """Write what it boots into a folder, and the program that starts it."""
    cases = "".join(f"{card}) ip addr add {it}/24 dev {card} ;; " for card, it in ADDRESSES.items())
    (folder / "kernel").write_bytes(image.kernel())
    (folder / "initrd").write_bytes(image.system(_SCRIPT % cases))
    shutil.copy(parts.busybox_binary, folder / "busybox")
    write_program(parts, folder)


def write_program(parts: Parts, folder: Path) -> None:
    """Write a program into a folder that runs QEMU."""
    environment = [f"QEMU_MODULE_DIR={parts.qemu_environment()['QEMU_MODULE_DIR']}"]
    command = shlex.join(["env", *environment, *parts.qemu_command()])
    program = folder / PROGRAM
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)


def heard(console: Path, pattern: str, process: subprocess.Popen[bytes]) -> str:
    """Return what the guest says on its console that a pattern fits, as soon as it does.

    :param process: that runs it
    :raises Silent: it has ended, or says nothing of the kind in PATIENCE
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        ended = process.poll() is not None
        said = console.read_text(errors="replace") if console.exists() else ""
        if found := re.search(pattern, said):
            return found[0]
        if ended or time.monotonic() > deadline:
            why = f"has ended with {process.returncode}" if ended else f"did not say {pattern!r}"
            raise Silent(f"the guest {why}; its console:\n{said}")
        time.sleep(0.05)
