# SPDX-License-Identifier: Apache-2.0
"""The library's calls as the tests make them, each for the same guest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from tests import vifs, witness


def plug(vif: Any) -> None:
    os_vif.plug(vif, vifs.instance())


def unplug(vif: Any) -> None:
    os_vif.unplug(vif, vifs.instance())


def steps_left(vif: Any) -> list[Any]:
    return os_vif.check(vif, vifs.instance())


@contextlib.contextmanager
def refused(words: str) -> Iterator[None]:
    """Expect plugging to fail with these words and to leave the host exactly as it was."""
    before = witness.snapshot()
    with pytest.raises(exception.PlugException, match=words) as caught:
        yield
    assert isinstance(caught.value.__cause__, exception.ExceptionBase), repr(caught.value)
    found = witness.differences(before, witness.snapshot())
    assert not found, found
