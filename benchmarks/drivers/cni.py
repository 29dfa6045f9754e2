# SPDX-License-Identifier: Apache-2.0
"""The CNI bridge plugin: a process a call, configuration on standard input (CNI 0.4.0).

It makes a veth pair into a container's namespace, not a tap, and sets neither the alias nor
disable_ipv6 on the host's end: nearest neighbour, not the same end state.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from benchmarks.drivers import Driver
from benchmarks.port import BRIDGE, MTU, Port


class CniBridge(Driver):
    """Layer two only: no address management."""

    def __init__(self, plugin: Path, guest: str) -> None:
        self._plugin = plugin
        self._guest = guest
        self._configuration = json.dumps(
            {
                "cniVersion": "0.4.0",
                "name": "bench",
                "type": "bridge",
                "bridge": BRIDGE,
                "mtu": MTU,
                "ipam": {},
            }
        )

    def _call(self, command: str, port: Port) -> None:
        done = subprocess.run(
            [self._plugin],
            input=self._configuration,
            text=True,
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": port.vif_id,
                "CNI_NETNS": f"/run/netns/{self._guest}",
                "CNI_IFNAME": port.name,
                "CNI_ARGS": f"MAC={port.mac}",
                "CNI_PATH": str(self._plugin.parent),
            },
        )
        if done.returncode:
            raise RuntimeError(f"CNI {command}: {done.stdout}{done.stderr}")

    def plug(self, port: Port) -> None:
        self._call("ADD", port)

    def unplug(self, port: Port) -> None:
        self._call("DEL", port)


def connect(arguments: dict[str, str]) -> Driver:
    """``plugin`` is the program's path, ``guest`` the name of the namespace to plug into."""
    return CniBridge(Path(arguments["plugin"]), arguments["guest"])
