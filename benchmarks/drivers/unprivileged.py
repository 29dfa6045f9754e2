# SPDX-License-Identifier: Apache-2.0
"""From root to a service's user, once the privileged daemon has been started.

oslo.privsep starts its daemon through a helper command, sudo as a rule.  A benchmark cannot ask
for a sudoers file, so it starts the daemon while it is root and then becomes nobody.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.drivers import Driver
from benchmarks.port import Port

NOBODY = 65534


def drop_privileges() -> None:
    """Become nobody for good, able to read files and nothing else.

    CAP_DAC_READ_SEARCH stays because the checkout may sit in a home directory that nobody cannot
    read, and Python imports some modules late.
    """
    from oslo_privsep import capabilities

    keep = [capabilities.CAP_DAC_READ_SEARCH]
    capabilities.set_keepcaps(True)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    capabilities.set_keepcaps(False)
    capabilities.drop_all_caps_except(keep, keep, [])


class Late(Driver):
    """Starts the daemon no earlier than the first plug needs it."""

    def __init__(self, driver: Driver, start: Callable[[], object]) -> None:
        self._driver = driver
        self._start: Callable[[], object] | None = start

    def prepare(self, ports: Sequence[Port]) -> None:
        self._driver.prepare(ports)

    def plug(self, port: Port) -> None:
        if self._start is not None:
            self._start()
            drop_privileges()
            self._start = None
        self._driver.plug(port)

    def unplug(self, port: Port) -> None:
        self._driver.unplug(port)


def through_daemon(
    driver: Driver, context: Any, section: str, arguments: Mapping[str, str]
) -> Driver:
    """Have what `driver` calls done by a daemon of oslo.privsep, and become nobody.

    :param context: the library's, which starts the daemon
    :param section: of the options, where the daemon's command is
    :param arguments: of the driver; with ``start`` being ``late``, by the first plug
    """
    from oslo_config import cfg

    cfg.CONF.set_override("helper_command", f"{sys.prefix}/bin/privsep-helper", section)
    if arguments.get("start") == "late":
        return Late(driver, context.start)
    context.start()
    drop_privileges()
    return driver
