# SPDX-License-Identifier: Apache-2.0
"""A call to an OVSDB server: when it has to be over, and how it may fail (RFC 7047, 3.1)."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os_vif.host.openvswitch.resources import Database


class OvsdbError(OSError):
    """The server could not be reached, or refused; ``strerror`` holds the words."""


class Lost(OvsdbError):
    """No answer came to what was sent, which may have been done or not."""


class Malformed(Lost):
    """What came is no answer to what was sent, which may have been done or not."""

    def __init__(self, words: str) -> None:
        words = f"the connection was lost: the server's answer is no OVSDB: {words}"
        super().__init__(errno.EPROTO, words)


class Refused(OvsdbError):
    """The server refused an operation of a transaction, and so did none of it.

    :ivar position: of the operation; the number of operations where the whole was refused.
    :ivar kind: the server's error string (RFC 7047, 3.1), such as ``timed out``.
    :param least: the release that knows all columns
    """

    def __init__(self, position: int, kind: str, details: str, least: str) -> None:
        self.position = position
        self.kind = kind
        code, words = errno.EPROTO, f"{kind}: {details}" if details else kind
        if kind == "timed out":  # a guard that no longer holds
            code, words = errno.ESTALE, "somebody else was faster, and changed it"
        elif kind == "constraint violation":
            code = errno.EEXIST
        elif " column " in details or kind == "unknown table":
            words += f"; this needs the database of {least} or later"
        super().__init__(code, words)


class Deadline:
    """When a call has to be over.

    :param seconds: from now; 0 for never
    """

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds if seconds else None

    def at_least(self, seconds: int) -> Deadline:
        """Return a deadline that leaves so much time: this one, or one later than this."""
        if self._end is None or self._end - time.monotonic() >= seconds:
            return self
        return Deadline(seconds)

    def left_ms(self, most: int = 60_000) -> int:
        """Return the milliseconds left, ``most`` of them where there is no end.

        :raises OvsdbError: there are none.
        """
        if self._end is None:
            return most
        left = int((self._end - time.monotonic()) * 1000)
        if left <= 0:
            raise OvsdbError(errno.ETIMEDOUT, f"no answer within {self._seconds} s")
        return min(left, most)


_deadlines: contextvars.ContextVar[dict[Database, Deadline] | None] = contextvars.ContextVar(
    "deadlines", default=None
)


@contextlib.contextmanager
def one_call() -> Iterator[None]:
    """Let all that is asked of a database in this block share one deadline."""
    token = _deadlines.set({})
    try:
        yield
    finally:
        _deadlines.reset(token)


def deadline_of(database: Database) -> Deadline:
    """Return when this call has to be over; see :func:`one_call`."""
    shared = _deadlines.get()
    if shared is None:
        return Deadline(database.timeout)
    return shared.setdefault(database, Deadline(database.timeout))
