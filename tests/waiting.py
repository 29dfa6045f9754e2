# SPDX-License-Identifier: Apache-2.0
"""Waiting for what comes a little later, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

PATIENCE_S = 60.0
_PAUSE_S = 0.01

_Found = TypeVar("_Found")


def until(
    look: Callable[[], _Found], *, instead: Callable[[], Any] = lambda: "it never came"
) -> _Found:
    """Look again and again, until something is there; return it.

    :param instead: says what there is, should it not come
    """
    deadline = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline, instead()
        time.sleep(_PAUSE_S)
    return found
