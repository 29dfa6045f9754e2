# SPDX-License-Identifier: Apache-2.0
"""What every test in the booted guest relies on."""

from __future__ import annotations

import os

import pytest

from tests.lab.runner import GUEST_MARK


@pytest.fixture(scope="session", autouse=True)
def in_the_guest() -> None:
    """These tests stop and start units: never on a host."""
    if os.environ.get(GUEST_MARK) != "booted":
        pytest.fail("runs in the lab's guest only: python -m tests.lab.runner", pytrace=False)
