# SPDX-License-Identifier: Apache-2.0
"""Look at a host that others change meanwhile."""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Iterable

from os_vif.engine import dispatch
from os_vif.engine.observed import Asked, Host
from os_vif.engine.place import Place

LOG = logging.getLogger(__name__)

# What is said where something changes in the middle of a look: a device that goes between two
# requests, the kernel's buffer that is full, a daemon that was killed.
_PASSING = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOBUFS, errno.EINTR, errno.EPIPE})
_LOOKS = 6
_PAUSE_S = 0.002
"""Before the second look, at the most; doubled each time."""


def observe(asked: Iterable[Asked], place: Place, *, with_daemon: bool) -> Host:
    """Look at the host as :func:`.dispatch.observe`, and again where it changed in the middle.

    :raises OSError: somebody refused to tell.
    """
    attempt = 1
    while True:
        try:
            return dispatch.observe(asked, place, with_daemon=with_daemon)
        except OSError as error:
            if not _is_passing(error) or attempt == _LOOKS:
                raise
            LOG.debug("%s; looking again", error)
        time.sleep(random.SystemRandom().uniform(0, _PAUSE_S * 2**attempt))
        attempt += 1


def _is_passing(error: OSError) -> bool:
    # What goes takes its files along.
    gone = error.errno == errno.ENOENT and str(error.filename).startswith(("/sys/", "/proc/"))
    return gone or error.errno in _PASSING
