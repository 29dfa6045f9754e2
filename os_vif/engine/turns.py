# SPDX-License-Identifier: Apache-2.0
"""Callers of one process that come together: one of them serves all who wait (group commit).

What may live here: who serves whom, and when; not what is done.  Whoever finds nobody at it takes
the turn, and with it the jobs of all who wait.  Each of these is told the moment it is served; the
turn goes on to the first of those who came meanwhile, and takes all of them.  So nobody waits
for more than the batch that is being served and the two verbs behind it.

Who serves and has nothing left to do but to wait for somebody else says so (:func:`only_waits`):
the turn goes on at once, and the next batch is on its way when the other gets to it.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Verb = TypeVar("Verb")
Item = TypeVar("Item")

Serve = Callable[[Verb, Sequence[Item], bool], None]
"""Serves items by a verb, all or none of them if the last is true; each item learns the outcome."""

_MOST_ON_THEIR_WAY = 2
"""Batches of a verb that are waited for at a time."""

_hand_on: contextvars.ContextVar[Callable[[], None] | None] = contextvars.ContextVar(
    "hand_on", default=None
)


def only_waits() -> None:
    """Let the turn go on, if the caller has it: what it does from here on is mostly to wait."""
    hand_on = _hand_on.get()
    if hand_on is not None:
        hand_on()


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
    _batch: list[Job[Verb, Item]] = dataclasses.field(default_factory=list, repr=False)
    _served: bool = False
    _left: bool = False

    def _tell(self) -> None:
        if self._told is not None:
            self._told.set()


class Turn(Generic[Verb, Item]):
    """Those who wait for one another, and the one who serves.

    :ivar waiting: who is in no batch yet, first come first.
    :ivar leader: who has the turn.
    :ivar on_their_way: who had it, and waits for what its batch has asked for.
    """

    def __init__(self) -> None:
        self.waiting: list[Job[Verb, Item]] = []
        self.leader: Job[Verb, Item] | None = None
        self.on_their_way: list[Job[Verb, Item]] = []
        self._lock = threading.Lock()

    def have_served(self, job: Job[Verb, Item], serve: Serve[Verb, Item]) -> None:
        """Return when a job is served: by this thread, with all that can go with it, or another.

        :raises BaseException: this thread was interrupted; the others are served all the same.
        """
        try:
            with self._lock:
                self.waiting.append(job)
                self._go_on()
                if self.leader is not job and job._told is None:
                    job._told = threading.Event()  # who is alone needs none
            if self.leader is not job and job._told is not None:
                job._told.wait()
            if self.leader is job:
                with self._lock:
                    job._batch = self._take(job)
                mine = _hand_on.set(functools.partial(self._let_go, job))
                try:
                    serve(job.verb, [item for one in job._batch for item in one.items], job.alone)
                finally:
                    _hand_on.reset(mine)
                job._served = True
        finally:
            try:
                self._leave(job)
            except BaseException:  # Ctrl-C, in the one moment in which others depend on it
                self._leave(job)
                raise

    def _held(self) -> set[str]:
        return {key for job in self.on_their_way for one in job._batch for key in one.keys}

    def _take(self, first: Job[Verb, Item]) -> list[Job[Verb, Item]]:
        """Take all that can be served with the first out of the queue."""
        batch, rest, held = [], [], self._held()
        for job in self.waiting:
            with_it = job.verb is first.verb and not (first.alone or job.alone)
            if job is first or (with_it and not job.keys & held):
                batch.append(job)
            else:
                rest.append(job)
                held |= job.keys
        self.waiting = rest
        return batch

    def _go_on(self) -> None:
        """Give the turn, where nobody has it, to the first whom it helps."""
        if self.leader is not None:
            return
        held = self._held()
        for job in self.waiting:
            others = sum(one.verb is job.verb for one in self.on_their_way)
            if others < _MOST_ON_THEIR_WAY and not job.keys & held:
                self.leader = job
                job._tell()
                return
            held |= job.keys

    def _let_go(self, job: Job[Verb, Item]) -> None:
        with self._lock:
            if self.leader is job:
                self.on_their_way.append(job)
                self.leader = None
                self._go_on()

    def _leave(self, job: Job[Verb, Item]) -> None:
        """Be gone from the queue and, where this job has a batch, tell all; hand the turn on."""
        with self._lock:
            job._left = True
            if job in self.waiting:
                self.waiting.remove(job)
            others = [one for one in job._batch if not one._left and one not in self.waiting]
            if job._served:
                for one in others:
                    one._tell()
            else:
                # Interrupted: what is ours is given up, the others are as they were, and first.
                self.waiting[:0] = others
            job._batch = []
            if job in self.on_their_way:
                self.on_their_way.remove(job)
            if self.leader is job:
                self.leader = None
            self._go_on()
