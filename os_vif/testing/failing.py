# SPDX-License-Identifier: Apache-2.0
"""A step that fails, though nothing is wrong with it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
from collections.abc import Iterator

from os_vif.engine import runner
from os_vif.engine.family import Seen
from os_vif.engine.step import Args


@dataclasses.dataclass(slots=True)
class Fault:
    """What became of it.

    :ivar struck: whether a step failed.
    """

    struck: bool = False


@contextlib.contextmanager
def failing_at(number: int) -> Iterator[Fault]:
    """Have the step of this number, from 0, fail before it does anything; what undoes runs."""
    fault = Fault()
    handler_of = runner.handler_of
    count = 0

    def counted(kind: str) -> runner.Handler:
        act = handler_of(kind)

        def run(args: Args) -> Args | Seen | None:
            nonlocal count
            count += 1
            if count - 1 == number:
                fault.struck = True
                raise OSError(errno.EIO, "a test has it fail")
            return act(args)

        return run

    runner.handler_of = counted
    try:
        yield fault
    finally:
        runner.handler_of = handler_of
