# SPDX-License-Identifier: Apache-2.0
"""How long a call goes on while others change what it is at, and how long it pauses.

Nobody waits for a lock, so whoever is slow among fast ones may be overtaken many times in a row.
That somebody else was faster is no failure of the call's own: where an error says so (ESTALE), or
the next look finds other things to do, the call goes on for a time.  What may as well stay as it
is, whoever tries, is tried a number of times.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Mapping
from typing import Any

OVERTAKEN = errno.ESTALE
"""What a step says that somebody else has overtaken: what it was planned on had changed when it
ran, and nothing else can be the cause."""

_OVERTAKEN_S = 20.0
"""Seconds that a call goes on for while others are faster."""

_ROUNDS = 20
"""In which the same is tried; and those there are in any case, however long each takes."""

# What is said, too, where another process was faster: look again instead of giving up.
_MAYBE_OVERTAKEN = frozenset(
    {
        errno.EEXIST,
        errno.EBUSY,
        errno.ENODEV,
        errno.ENOENT,
        errno.ENXIO,
        errno.EADDRNOTAVAIL,
        errno.EPIPE,  # a database that was restarted
        errno.EBADFD,  # a tap that was deleted while we made it
    }
)
# And what is rather said of what stays: it is tried a few times only.
_RARELY_OVERTAKEN = errno.EAGAIN
_FEW = 4

_LOOKS = 7
_PAUSE_S = 0.002
"""Seconds before the second look; doubled each time: a quarter of a second in all."""
_LONGEST_PAUSE_S = 0.25


class Tries:
    """What has been tried for one VIF.

    :ivar count: how often the same in a row, with nothing that tells that somebody else has
        changed the host.
    :ivar rarely: how often what was said is rarely another's doing.
    :ivar lost: how the latest try failed, as a report says it, if somebody else was faster.
    """

    def __init__(self) -> None:
        self.count = self.rarely = 0
        self.lost: Mapping[str, Any] | None = None
        self._last: Any = None

    def again(self, todo: Any) -> None:
        """Note that this is tried now."""
        self.count = self.count + 1 if todo == self._last and not self.lost else 1
        self._last = todo
        self.lost = None


class Patience:
    """That of one call."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._rounds = self._blocked = 0

    def blocks(self) -> bool:
        """Tell whether what is in the way may be gone at the next look.

        Another process may be making it, and a tap cannot be marked in the moment it is made.
        """
        return self._blocked < _LOOKS and not self._is_over()

    def look(self, *, blocked: bool) -> None:
        """Note whether something was in the way at a look."""
        self._blocked = self._blocked + 1 if blocked else 0

    def wait(self) -> None:
        """Pause before the next look at what is in the way."""
        time.sleep(_PAUSE_S * 2 ** (self._blocked - 1))

    def round(self) -> bool:
        """Note that steps are run, and tell whether it is for the first time."""
        self._rounds += 1
        return self._rounds == 1

    def is_over(self, tries: Tries) -> bool:
        """Tell whether a VIF's steps are not to be run again."""
        return tries.count > _ROUNDS or self._is_over()

    def passes(self, error: Mapping[str, Any], tries: Tries) -> bool:
        """Tell whether to look again after an error, which may have been another's doing.

        :param error: as a report says it
        """
        code = error["errno"]
        if error["left"]:
            return False
        if code == OVERTAKEN:
            tries.lost = error
            return not self._is_over()
        if code == _RARELY_OVERTAKEN:
            tries.rarely += 1
            return tries.rarely <= _FEW
        return code in _MAYBE_OVERTAKEN and tries.count < _ROUNDS and not self._is_over()

    def words(self, error: Mapping[str, Any]) -> str:
        """Return what is to be added to the reason of an error that did not pass."""
        if error["errno"] != OVERTAKEN or error["left"]:
            return ""
        return f", {self._rounds} times in {time.monotonic() - self._begun:.0f} s"

    def pause(self, *, overtaken: bool) -> None:
        """Let others go on: those who change the same thing must not go on in step.

        Whoever has been at it longest pauses the least, so that in the end it is the others' turn
        to be overtaken.
        """
        if self._rounds > (1 if overtaken else 2):
            left = 1 - (time.monotonic() - self._begun) / _OVERTAKEN_S
            longest = min(_PAUSE_S * 2 ** min(self._rounds - 1, 20), _LONGEST_PAUSE_S * left)
            time.sleep(random.SystemRandom().uniform(0, max(longest, _PAUSE_S)))

    def _is_over(self) -> bool:
        return self._rounds >= _ROUNDS and time.monotonic() > self._begun + _OVERTAKEN_S
