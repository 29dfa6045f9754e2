# SPDX-License-Identifier: Apache-2.0
"""Who looks and who runs: this process where it may, else the daemon behind the boundary."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from os_vif.host import observer, runner, steps
from os_vif.host.observed import Host, Questions

if TYPE_CHECKING:
    from types import ModuleType

_CAP_NET_ADMIN = 12


@functools.lru_cache(maxsize=4)
def _has_net_admin(_process: int, _user: int) -> bool:
    with open("/proc/thread-self/status") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)
    return False


def is_privileged() -> bool:
    """Tell whether this process may change network devices itself (CAP_NET_ADMIN)."""
    return _has_net_admin(os.getpid(), os.geteuid())


def _daemon() -> ModuleType:
    # oslo.privsep is only loaded where there is somebody to serve it for.
    from os_vif.host import privilege

    return privilege


def run(section: str, groups: list[runner.Group], *, together: bool) -> list[runner.Report]:
    """Run groups of steps, here or in the daemon of a section; see :func:`os_vif.host.runner.run`.

    :raises NotPrivileged: this process may not, and no daemon could be started.
    """
    if is_privileged():
        return runner.run(groups, together=together)
    plain = [_plain(group, together=together) for group in groups]
    reports: list[runner.Report] = _daemon().run(section, plain, together=together)
    return reports


def _plain(group: runner.Group, *, together: bool) -> runner.Plain:
    plain: runner.Plain = []
    for position, (step, undo) in enumerate(group, 1):
        # Nobody needs the last one's undo on the other side if that either does all or nothing.
        needed = together or position < len(group) or steps.KINDS[step.kind].partial
        back = (undo.kind, undo.args) if undo and needed else (None, None)
        plain.append([step.kind, step.args, *back])
    return plain


def observe(asked: Questions, section: str, *, with_daemon: bool) -> Host:
    """Answer questions about the host.

    :param with_daemon: ask the daemon for what needs privilege, which costs a trip to it
    :raises OSError: the kernel refused to tell.
    """
    host = observer.observe(asked)
    if asked.forwarding and (with_daemon or is_privileged()):
        look = (
            observer.forwarding
            if is_privileged()
            else functools.partial(_daemon().forwarding, section)
        )
        host.forwarding.update(look(sorted(asked.forwarding)))
    return host
