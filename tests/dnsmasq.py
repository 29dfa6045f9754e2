# SPDX-License-Identifier: Apache-2.0
"""dnsmasq for the tests: Debian's, unpacked, and what is left of it ended.

See :mod:`tests.debian`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

from oslo_config import cfg

from os_vif.host.dnsmasq import options
from os_vif.host.dnsmasq.system import folders
from tests import debian

PROGRAM = "usr/sbin/dnsmasq"


def command() -> str:
    """Return the command of the program, as the option has it."""
    return shlex.join(debian.command(debian.tree("dnsmasq"), PROGRAM))


def folder() -> str:
    """Return a folder for PATH, whose program ``dnsmasq`` it is."""
    made = debian.CACHE / "dnsmasq-for-path"
    program = made / "dnsmasq"
    text = f'#!/bin/sh\nexec {command()} "$@"\n'
    made.mkdir(exist_ok=True)
    if not program.exists() or program.read_text() != text:
        partial = made / f"{os.getpid()}"
        partial.write_text(text)
        partial.chmod(0o755)
        partial.rename(program)
    return str(made)


@contextlib.contextmanager
def available(program: str) -> Iterator[None]:
    """Have bridges of this network namespace served by it; what is left in the end is ended.

    :param program: its :func:`command`, which is asked for where it can be fetched
    """
    cfg.CONF.set_override("command", program, group=options.GROUP)
    try:
        yield
    finally:
        cfg.CONF.clear_override("command", group=options.GROUP)
        end()


def end() -> None:
    """End all that run in the network namespace of the calling thread."""
    for pid in running():
        os.kill(pid, signal.SIGKILL)
    for bridge in folders.bridges():
        folders.remove(bridge)


def running() -> list[int]:
    """Return the ids of all that run in the network namespace of the calling thread."""
    here = os.readlink("/proc/thread-self/ns/net")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            is_one = any(word.endswith(PROGRAM.encode()) for word in words)
            is_one = is_one and any(word.startswith(b"--conf-file=") for word in words)
            if is_one and os.readlink(process / "ns/net") == here:
                found.append(int(process.name))
    return sorted(found)
