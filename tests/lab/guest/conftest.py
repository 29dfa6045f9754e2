# SPDX-License-Identifier: Apache-2.0
"""What every test in the guest relies on."""

from __future__ import annotations

import os

import pytest

from tests.lab.runner import GUEST_MARK


@pytest.fixture(scope="session", autouse=True)
def in_the_guest() -> None:
    """These tests load modules and change links at will: never on a host."""
    if os.environ.get(GUEST_MARK) != "guest":
        pytest.fail("runs in the lab's guest only: python -m tests.lab.runner", pytrace=False)
