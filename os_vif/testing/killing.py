# SPDX-License-Identifier: Apache-2.0
"""A process that dies (SIGKILL) just before one of its changes of the host.

A change is each netlink message and each ioctl that is not a question, each setting, each run of a
program, each OVSDB transaction that writes; and what a test names besides.  Nothing else can happen
between two of these.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from os_vif.system import netlink, notices, sysctl


def _always(*_args: Any, **_options: Any) -> bool:
    return True


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """A function that changes the host when it is called.

    :ivar place: the module or class that has it.
    :ivar name: its name there.
    :ivar counts: whether a call with these arguments changes anything.
    """

    place: Any
    name: str
    counts: Callable[..., bool] = _always


def _is_message(_channel: Any, messages: Any, *_port: int) -> bool:
    # Type 2 modulo 4 is the question of each family of messages (RTM_GET...).
    return any(message.type % 4 != 2 for message in messages)


def _is_setting(_descriptor: Any, request: int, *_argument: Any) -> bool:
    return request != netlink.SIOCGIFINDEX


def _is_program(command: Any, **_options: Any) -> bool:
    return not str(command[0]).endswith(("-save", "-version"))


CHANGES = (
    Change(netlink, "_exchange", _is_message),
    Change(notices, "request"),
    Change(fcntl, "ioctl", _is_setting),
    Change(sysctl, "write"),
    Change(sysctl, "write_at"),
    Change(subprocess, "run", _is_program),
)
"""What every family may use."""


def _die_before(number: int, changes: tuple[Change, ...]) -> None:
    """Have this process kill itself just before its change of this number, from 0."""
    count = 0

    def counted(change: Change) -> Callable[..., Any]:
        act = getattr(change.place, change.name)

        def run(*args: Any, **options: Any) -> Any:
            nonlocal count
            if change.counts(*args, **options):
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1
            return act(*args, **options)

        return run

    for change in changes:
        setattr(change.place, change.name, counted(change))


def killed(act: Callable[[], None], number: int, changes: tuple[Change, ...] = ()) -> bool:
    """Run ``act`` in a child that dies before change ``number``; tell whether it came to that.

    :param changes: what changes the host beside :data:`CHANGES`
    :raises AssertionError: the child failed before it was killed
    """
    child = os.fork()
    if child == 0:
        try:
            _die_before(number, (*CHANGES, *changes))
            act()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"ended by signal {os.WTERMSIG(status)}"
        return True
    assert os.WEXITSTATUS(status) == 0, "the child failed before it was killed"
    return False
