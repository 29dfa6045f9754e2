# SPDX-License-Identifier: Apache-2.0
"""A port is plugged with its guest: from the start of a program to QEMU's first instruction."""

from __future__ import annotations

import json
import os
import signal
import sys
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from benchmarks.drivers import Driver
from benchmarks.port import BRIDGE, MTU, Port, port
from benchmarks.running.first import First

_SCRIPT = f"""
set -e
ip tuntap add dev "$1" mode tap vnet_hdr
ip link set dev "$1" address "$2" mtu {MTU} master {BRIDGE}
echo 1 > "/proc/sys/net/ipv6/conf/$1/disable_ipv6"
ip link set dev "$1" up
shift 2
exec "$@"
"""

_BEFORE = port(0xFFFFFF)
"""Plugged and unplugged by who runs once beforehand."""


class Guests(Driver):
    """One guest at a time."""

    def __init__(self, qemu: Sequence[str]) -> None:
        self._first = First()
        self._qemu = [*qemu, *self._first.words()]
        self._process = 0

    @abstractmethod
    def start(self, port: Port) -> int:
        """Start the program; its process id."""

    def plug(self, port: Port) -> None:
        self._process = self.start(port)
        self._first.wait()

    def unplug(self, port: Port) -> None:
        os.kill(self._process, signal.SIGTERM)
        self.wait()

    def wait(self) -> None:
        """Wait until the program has ended in order."""
        _process, status = os.waitpid(self._process, 0)
        code = os.waitstatus_to_exitcode(status)
        if code:
            raise RuntimeError(f"the guest's program ended with {code}")

    def spawned(self, words: Sequence[str]) -> int:
        """Start a program that has neither our input nor our output; its process id."""
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, 2, 1),
        ]
        return os.posix_spawnp(words[0], list(words), os.environ, file_actions=actions)


class Script(Guests):
    """What one writes oneself: three commands, a file, and QEMU in the shell's place."""

    def start(self, port: Port) -> int:
        card = f"virtio-net-pci,netdev=n,mac={port.mac},host_mtu={MTU},romfile="
        back = f"tap,id=n,ifname={port.name},script=no,downscript=no"
        words = [*self._qemu, "-netdev", back, "-device", card]
        return self.spawned(["sh", "-c", _SCRIPT, "sh", port.name, port.host_mac, *words])

    def unplug(self, port: Port) -> None:
        super().unplug(port)
        self._process = self.spawned(["ip", "link", "delete", "dev", port.name])
        self.wait()


class Run(Guests):
    """The command, from its start on."""

    def prepare(self, ports: Sequence[Port]) -> None:
        for each in ports:
            self._file(each).write_text(
                f"type: bridge\nid: {each.vif_id}\nbridge: {BRIDGE}\nname: {each.name}\n"
                f"mac: {each.mac}\nfiltered: true\n"
            )

    def _file(self, port: Port) -> Path:
        return self._first.folder / f"{port.name}.yaml"

    def words(self, port: Port, program: Sequence[str]) -> list[str]:
        """What the command is told."""
        return ["run", "--quiet", str(self._file(port)), "--", *program]

    def start(self, port: Port) -> int:
        command = Path(sys.executable).with_name("os-vif")
        return self.spawned([str(command), *self.words(port, self._qemu)])


class Begun(Run):
    """The command where its start is behind it: another process that has loaded all it needs."""

    def __init__(self, qemu: Sequence[str]) -> None:
        super().__init__(qemu)
        # A run loads what the next ones need.
        self.prepare([_BEFORE])
        self._process = self._forked(_BEFORE, ["true"])
        self.wait()
        self._main(_BEFORE, ["true"])

    def start(self, port: Port) -> int:
        return self._forked(port, self._qemu)

    def _forked(self, port: Port, program: Sequence[str]) -> int:
        process = os.fork()
        if process:
            return process
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            code = self._main(port, program)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        finally:
            os._exit(code)

    def _main(self, port: Port, program: Sequence[str]) -> int:
        from os_vif.cli.main import main

        try:
            main(self.words(port, program))
        except SystemExit as ended:
            return int(ended.code or 0)


def connect(arguments: dict[str, str]) -> Driver:
    """``how`` is ``script``, ``run`` or ``begun``; ``qemu`` is the start of its line, in JSON.

    ``modules`` is the folder of QEMU's own modules.
    """
    os.chdir("/")
    os.environ["QEMU_MODULE_DIR"] = arguments["modules"]
    kinds = {"script": Script, "run": Run, "begun": Begun}
    return kinds[arguments["how"]](json.loads(arguments["qemu"]))
