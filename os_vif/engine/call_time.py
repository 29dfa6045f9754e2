# SPDX-License-Identifier: Apache-2.0
"""How long one call of the library has been going on, for who must give up in time."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import time
from collections.abc import Iterator

GRACE_S = 5.0
"""Seconds for a daemon to undo, and to say so, what it has not done in its time."""

UNDO_S = 20.0
"""Seconds there are for taking back what was done, though the time of the call is over."""


@dataclasses.dataclass(slots=True)
class Call:
    """A call that is going on.

    :ivar begun: when, by :func:`time.monotonic`.
    :ivar lost: how many answers of daemons it has waited for in vain.
    :ivar undoing: whether it takes back what it did.
    :ivar unattended: whether nobody is to be asked for a password.
    """

    begun: float = dataclasses.field(default_factory=time.monotonic)
    lost: int = 0
    undoing: bool = False
    unattended: bool = False

    def end(self, seconds: float | None, patience: float) -> float:
        """Return when it must be over, by :func:`time.monotonic`.

        :param seconds: it may take; None for as long as it likes
        :param patience: seconds that somebody else may take beside
        """
        if seconds is None:
            return float("inf")
        end = self.begun + seconds
        if self.undoing:
            end = max(end, time.monotonic() + UNDO_S)
        return end + patience


_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("call", default=None)


def current() -> Call:
    """Return the call that is going on, or one that begins now."""
    return _current.get() or Call()


@contextlib.contextmanager
def one_call() -> Iterator[None]:
    """Let all that is done in this block be one call."""
    token = _current.set(Call())
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def unattended() -> Iterator[None]:
    """Let nobody be asked for a password in this block."""
    token = _current.set(dataclasses.replace(current(), unattended=True))
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def undoing() -> Iterator[None]:
    """Let what is done in this block have some time, even if the call's is over."""
    call = current()
    token = _current.set(dataclasses.replace(call, undoing=True))
    try:
        yield
    finally:
        _current.reset(token)
