# SPDX-License-Identifier: Apache-2.0
"""A process that dies (SIGKILL) just before one of its changes of the host.

A change is each netlink message that is not a question, each ioctl, each setting, each write for a
PCI driver, each run of iptables or fp-vdev, each OVSDB transaction that writes; of dpdk-testpmd its
start, the wait until it forwards, that it is let go, each signal, and what is done to its files.
Nothing else can happen between two of these.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from os_vif.host.vhost_user.system import fp_vdev
from os_vif.system import netlink
from os_vif.system import ovsdb
from os_vif.host.functions.system import pci_drivers
from os_vif.system import sysctl
from os_vif.host.vhost_user.system import testpmd
from os_vif.host.vhost_user.system import vhost_sockets


def _die_before(number: int) -> None:
    """Have this process kill itself just before its change of this number, from 0."""
    changes = 0

    def count() -> None:
        nonlocal changes
        if changes == number:
            os.kill(os.getpid(), signal.SIGKILL)
        changes += 1

    bind, command = pci_drivers._write, fp_vdev._run
    exchange, ioctl, run, write, transact = (
        netlink._exchange,
        fcntl.ioctl,
        subprocess.run,
        sysctl.write,
        ovsdb.Connection.transact,
    )

    def counted_exchange(channel: Any, messages: Any, *port: int) -> Any:
        # Type 2 modulo 4 is the question of each family of messages (RTM_GET...).
        if any(message.type % 4 != 2 for message in messages):
            count()
        return exchange(channel, messages, *port)

    def counted_ioctl(*args: Any) -> Any:
        count()
        return ioctl(*args)

    def counted_run(command: Any, **options: Any) -> Any:
        if any(str(command[0]).endswith(tool) for tool in ("restore", "-restore")):
            count()
        return run(command, **options)

    def counted_transact(self: Any, operations: Any, deadline: Any) -> Any:
        if any(operation["op"] not in ("select", "wait") for operation in operations):
            count()
        return transact(self, operations, deadline)

    def counted_write(*args: Any) -> None:
        count()
        write(*args)

    def counted_bind(*args: Any) -> None:
        count()
        bind(*args)

    def counted_command(*words: str) -> str:
        if words[0] != "get":
            count()
        return command(*words)

    fp_vdev._run = counted_command

    def first_counted(act: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            count()
            return act(*args, **options)

        return counted

    for place, name in (
        (testpmd.Detached, "let_go"),
        (testpmd, "Detached"),
        (testpmd, "_until_it_forwards"),
        (signal, "pidfd_send_signal"),
        (shutil, "rmtree"),
        (vhost_sockets, "hand_over"),
        (vhost_sockets, "make_way"),
    ):
        setattr(place, name, first_counted(getattr(place, name)))
    pci_drivers._write = counted_bind
    netlink._exchange = counted_exchange  # type: ignore[assignment]
    fcntl.ioctl = counted_ioctl  # type: ignore[assignment]
    subprocess.run = counted_run  # type: ignore[assignment]
    sysctl.write = counted_write
    ovsdb.Connection.transact = counted_transact  # type: ignore[method-assign]


def killed(act: Callable[[], None], number: int) -> bool:
    """Run ``act`` in a child that dies before change ``number``; tell whether it came to that."""
    child = os.fork()
    if child == 0:
        try:
            _die_before(number)
            act()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the child failed before it was killed"
    return False
