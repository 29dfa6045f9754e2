# SPDX-License-Identifier: Apache-2.0
"""ovn-nbctl: a process a call."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence

from benchmarks.drivers import Driver
from benchmarks.northbound.rows import ADD, CHECK, NAME, address, ids, need
from benchmarks.port import Port


class Nbctl(Driver):
    """One process a call, of many ports too."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._mode = ADD

    def choose(self, mode: str) -> None:
        self._mode = mode

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._command, *words], check=True, capture_output=True, text=True, timeout=120
        )
        return done.stdout

    @staticmethod
    def _added(port: Port) -> list[str]:
        said = [f"external_ids:{key}={json.dumps(value)}" for key, value in ids(port).items()]
        return [
            *("--", "lsp-add", NAME, port.vif_id),
            *("--", "lsp-set-addresses", port.vif_id, address(port)),
            *("--", "lsp-set-port-security", port.vif_id, address(port)),
            *("--", "lsp-set-enabled", port.vif_id, "enabled"),
            *("--", "set", "Logical_Switch_Port", port.vif_id, *said),
        ]

    def plug(self, port: Port) -> None:
        if self._mode == CHECK:
            need(self._run("lsp-get-addresses", port.vif_id).strip() == address(port))
            return
        self.plug_many([port])

    def unplug(self, port: Port) -> None:
        self.unplug_many([port])

    def plug_many(self, ports: Sequence[Port]) -> None:
        self._run(*(word for port in ports for word in self._added(port)))

    def unplug_many(self, ports: Sequence[Port]) -> None:
        self._run(*(word for port in ports for word in ("--", "lsp-del", port.vif_id)))


def connect(arguments: Mapping[str, str]) -> Driver:
    """Take the command that the arguments hold."""
    return Nbctl(json.loads(arguments["command"]))
