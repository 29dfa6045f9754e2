# SPDX-License-Identifier: Apache-2.0
"""Who else sees to a network device: network managers and DHCP clients.

Sources: systemd-networkd keeps a file a link below ``/run/systemd/netif/links``
(sd-network, ``network_link_get_setup_state``), NetworkManager below ``/run/NetworkManager/devices``
(NetworkManager.conf(5), "device state"), both by interface index; DHCP clients are processes:
dhclient(8), dhcpcd(8), udhcpc of BusyBox.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

RUN = Path("/run")
PROC = Path("/proc")

_CLIENTS = frozenset({"dhclient", "dhcpcd", "udhcpc"})
_EVERYWHERE = frozenset({"[master]", "[manager]"})
"""How dhcpcd calls its process that sees to all devices."""


def of(names: dict[str, int]) -> dict[str, tuple[str, ...]]:
    """Return who sees to devices, which are given by name with their index."""
    clients = list(_clients()) if names else []
    found = {}
    for name, index in names.items():
        mine = [client for client, words in clients if _is_for(name, client, words)]
        # Their files tell of the namespace in which the managers run.
        if _namespace(PROC / "thread-self") in (_namespace(PROC / "1"), 0):
            mine = [*_by_file(index), *mine]
        found[name] = tuple(dict.fromkeys(mine))
    return found


def _by_file(index: int) -> Iterator[str]:
    lines = _lines(RUN / "NetworkManager/devices" / str(index))
    if "managed=true" in lines or any(line.startswith("connection-uuid=") for line in lines):
        yield "NetworkManager"
    lines = _lines(RUN / "systemd/netif/links" / str(index))
    state = {key: value for key, _is, value in (line.partition("=") for line in lines)}
    managed = state.get("ADMIN_STATE", "unmanaged") not in ("unmanaged", "pending", "initialized")
    # One that is told to put it into a bridge does what we do.
    if managed and not any(
        line.startswith("Bridge=") for line in _lines(Path(state.get("NETWORK_FILE", "")))
    ):
        yield "systemd-networkd"


def _clients() -> Iterator[tuple[str, list[str]]]:
    """Return the DHCP clients of this network namespace, each with the words of its command."""
    here = _namespace(PROC / "thread-self")
    for folder in PROC.glob("[0-9]*"):
        [client] = _lines(folder / "comm")[:1] or [""]
        if client in _CLIENTS and _namespace(folder) in (here, 0):
            said = "".join(_lines(folder / "cmdline"))
            yield client, [word for word in re.split(r"[\0\s]+", said) if word]


def _is_for(name: str, client: str, words: list[str]) -> bool:
    everywhere = client == "dhcpcd" and not _EVERYWHERE.isdisjoint(words)
    return everywhere or name in words or f"-i{name}" in words


def _namespace(folder: Path) -> int:
    """Return a number for the network namespace of a process; 0 where that is not for us to see."""
    try:
        return os.stat(folder / "ns/net").st_ino
    except OSError:
        return 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
