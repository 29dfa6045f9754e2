# SPDX-License-Identifier: Apache-2.0
"""All that ``make test`` fetches beside its own environment, side by side, before the tests begin.

And the tests compiled, as pytest has them, or each worker does it by itself.

What cannot be had is said here, and again by the tests that need it, which try once more: so this
ends with 0 all the same.  ``python -m tests.prefetch long`` fetches what ``make test-lab`` needs
for its long ones.
"""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests import debian, environments
from tests.upgrade import services

TESTS = Path(__file__).parent


def compile_tests() -> None:
    """Have the tests collected once, in a checkout where that was never done."""
    compiled = f"test_*.{sys.implementation.cache_tag}-pytest-*.pyc"
    if not any(TESTS.glob(f"unit/__pycache__/{compiled}")):
        # What is wrong with them is said when they are to run.
        command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet"]
        subprocess.run(command, cwd=TESTS.parent, capture_output=True, check=False)


WANTED: Mapping[str, Callable[[], object]] = {
    # What takes longest comes first.
    "tests": compile_tests,
    **{name: partial(debian.tree, name) for name in debian.TREES},
}
WANTED_BY_LONG: Mapping[str, Callable[[], object]] = {
    "clients": environments.clients,
    **{f"os-vif {release}": partial(services.python_of, release) for release in services.LOCKS},
}


def fetch(wanted: Mapping[str, Callable[[], object]]) -> list[str]:
    """Fetch all, four at a time; return in words what could not be had."""
    failures = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        for done in concurrent.futures.as_completed(
            running := {pool.submit(each): name for name, each in wanted.items()}
        ):
            error = done.exception()
            if isinstance(error, (debian.PackagesError, pytest.fail.Exception, OSError)):
                failures.append(f"{running[done]}: {error}")
            elif error is not None:
                raise error
    return failures


if __name__ == "__main__":
    began = time.monotonic()
    for failure in fetch(WANTED_BY_LONG if sys.argv[1:] == ["long"] else WANTED):
        debian.say(failure, "prefetch")
    debian.say(f"done in {time.monotonic() - began:.0f} s", "prefetch")
