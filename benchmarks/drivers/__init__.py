# SPDX-License-Identifier: Apache-2.0
"""One file a contender.

A driver runs inside the contender's own environment, so each file may import the standard
library, `benchmarks.port`, `benchmarks.floor` and what that environment holds: nothing else.
Each module has ``connect(arguments) -> Driver``; the arguments come from
`benchmarks.contenders`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from benchmarks.port import Port


class Driver(ABC):
    """What the worker asks of a contender.  Only `plug*` and `unplug*` are timed."""

    def prepare(self, ports: Sequence[Port]) -> None:  # noqa: B027 - most have nothing to do
        """Build what a caller has in hand before it calls, such as the VIF object."""

    def choose(self, mode: str) -> None:
        """Plug from now on the way `mode` says, where a driver has several."""
        raise NotImplementedError(f"{type(self).__name__} has one mode")

    @abstractmethod
    def plug(self, port: Port) -> None:
        """Bring `port` to the end state every contender shares, on the existing bridge."""

    @abstractmethod
    def unplug(self, port: Port) -> None:
        """Delete the port's device; return when the system says it is done."""

    def plug_many(self, ports: Sequence[Port]) -> None:
        """Plug all of them the fastest way the contender has."""
        raise NotImplementedError(f"{type(self).__name__} has no bulk call")

    def unplug_many(self, ports: Sequence[Port]) -> None:
        """Unplug all of them the fastest way the contender has."""
        raise NotImplementedError(f"{type(self).__name__} has no bulk call")
