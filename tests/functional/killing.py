# SPDX-License-Identifier: Apache-2.0
"""A process that dies (SIGKILL) just before one of its changes of the host.

Beside what :mod:`os_vif.testing` counts, a change is each write for a PCI driver, each batch for
nf_tables, each OVSDB transaction that writes, of iptables each restore and no other run, and of
fp-vdev each run but its questions; of dpdk-testpmd and dnsmasq the start, the wait until it serves,
that it is let go, each signal, and what is done to its files.  Nothing else can happen between two
of these.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from typing import Any

from os_vif.host.dnsmasq.system import folders, servers
from os_vif.host.functions.system import pci_drivers
from os_vif.host.vhost_user.system import fp_vdev, testpmd, vhost_sockets
from os_vif.system import nf_tables, ovsdb
from os_vif.testing import killing
from os_vif.testing.killing import Change


def _writes(_connection: Any, operations: Any, *_deadline: Any) -> bool:
    return any(operation["op"] not in ("select", "wait") for operation in operations)


CHANGES = (
    Change(fp_vdev, "_run", lambda *words: words[0] != "get"),
    Change(testpmd.Detached, "let_go"),
    Change(testpmd, "Detached"),
    Change(testpmd, "_until_it_forwards"),
    Change(signal, "pidfd_send_signal"),
    Change(shutil, "rmtree"),
    Change(folders, "write"),
    Change(folders, "remove"),
    Change(servers, "Detached"),
    Change(servers, "_until_it_serves"),
    Change(servers, "_forget"),
    Change(servers, "_give_back"),
    Change(vhost_sockets, "hand_over"),
    Change(vhost_sockets, "make_way"),
    Change(pci_drivers, "_write"),
    Change(nf_tables, "commit"),
    Change(ovsdb.Connection, "transact", _writes),
)


def killed(act: Callable[[], None], number: int) -> bool:
    """Run ``act`` in a child that dies before change ``number``; tell whether it came to that."""
    return killing.killed(act, number, CHANGES)
