# SPDX-License-Identifier: Apache-2.0
"""What tells this host from every other one.

Sources: machine-id(5), random(4), uname(2), network_namespaces(7).
"""

from __future__ import annotations

import os

from os_vif.system import netlink

_MACHINE_ID = "/etc/machine-id"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def of_host() -> str:
    """Return a text that no other host has; the same each time, if it has a machine-id.

    Machines that were copied from one image share that at times, so their name is a part of it; and
    network namespaces of one machine are as many hosts.  It is to be hashed, never shown.
    """
    # Before its first start a machine has the word "uninitialized", or an empty file.
    machine = _read(_MACHINE_ID)
    if len(machine) != 32:
        machine = _read(_BOOT_ID)
    return f"{machine} {os.uname().nodename} {netlink.namespace()}"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
