# SPDX-License-Identifier: Apache-2.0
"""Callers of one process that come together: one of them serves all who wait (group commit).

What may live here: who serves whom, and when; not what is done.  Whoever finds nobody at it takes
the turn, and with it the jobs of all who wait.  Each of these is told the moment it is served; the
turn goes on to the first of those who came meanwhile, and takes all of them.  So nobody waits
for more than the batch that is being served and the two verbs behind it.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Verb = TypeVar("Verb")
Item = TypeVar("Item")

Serve = Callable[[Verb, Sequence[Item], bool], None]
"""Serves items by a verb, all or none of them if the last is true; each item learns the outcome."""


@dataclasses.dataclass(slots=True, eq=False)
class Job(Generic[Verb, Item]):
    """What one caller wants done.

    :ivar verb: only jobs of one verb are served in one batch.
    :ivar items: what it is to be done to.
    :ivar keys: whose turn at these comes first has it first, whatever the verbs.
    :ivar alone: whether it is a batch by itself: all or nothing.
    """

    verb: Verb
    items: Sequence[Item]
    keys: frozenset[str] = frozenset()
    alone: bool = False
    _told: threading.Event | None = dataclasses.field(default=None, repr=False)
    _left: bool = False

    def _tell(self) -> None:
        if self._told is not None:
            self._told.set()


class Turn(Generic[Verb, Item]):
    """Those who wait for one another, and the one who serves."""

    def __init__(self) -> None:
        self.waiting: list[Job[Verb, Item]] = []
        self.leader: Job[Verb, Item] | None = None
        self._batch: list[Job[Verb, Item]] = []
        self._served = False
        self._lock = threading.Lock()

    def have_served(self, job: Job[Verb, Item], serve: Serve[Verb, Item]) -> None:
        """Return when a job is served: by this thread, with all that can go with it, or another.

        :raises BaseException: this thread was interrupted; the others are served all the same.
        """
        try:
            with self._lock:
                self.waiting.append(job)
                if self.leader is None:
                    self.leader = job
                elif job._told is None:  # the first one needs none, and mostly is alone
                    job._told = threading.Event()
            if self.leader is not job and job._told is not None:
                job._told.wait()
            if self.leader is job:
                with self._lock:
                    self._batch, self._served = self._take(job), False
                serve(job.verb, [item for one in self._batch for item in one.items], job.alone)
                self._served = True
        finally:
            try:
                self._leave(job)
            except BaseException:  # Ctrl-C, in the one moment in which others depend on it
                self._leave(job)
                raise

    def _take(self, first: Job[Verb, Item]) -> list[Job[Verb, Item]]:
        """Take all that can be served with the first out of the queue."""
        batch, rest, held = [], [], set[str]()
        for job in self.waiting:
            with_it = job.verb is first.verb and not (first.alone or job.alone)
            if job is first or (with_it and not job.keys & held):
                batch.append(job)
            else:
                rest.append(job)
                held |= job.keys
        self.waiting = rest
        return batch

    def _leave(self, job: Job[Verb, Item]) -> None:
        """Be gone from the queue and, where this job has the turn, tell all, and hand it on."""
        with self._lock:
            job._left = True
            if job in self.waiting:
                self.waiting.remove(job)
            if self.leader is not job:
                return
            others = [one for one in self._batch if not one._left and one not in self.waiting]
            if self._served:
                for one in others:
                    one._tell()
            else:
                # Interrupted: what is ours is given up, the others are as they were, and first.
                self.waiting[:0] = others
            self._batch, self.leader = [], self.waiting[0] if self.waiting else None
            if self.leader is not None:
                self.leader._tell()
