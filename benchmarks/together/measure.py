# SPDX-License-Identifier: Apache-2.0
"""The storms: so many ports, each way a contender has, plugged and taken away again."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.client import Took, Worker
from benchmarks.contenders import Contender
from benchmarks.measure import Tick, turned
from benchmarks.processes import resident_bytes
from benchmarks.sandbox import ip
from benchmarks.together.grounds import BRIDGE, PLACES, Ground, Place

MEMORY_AT = BRIDGE
"""Where all kinds of processes are that memory is asked of."""

AT_ONCE = 0
"""In place of a number of threads: the contender's bulk call."""

OPS = ("plug", "unplug")


def way(threads: int) -> str:
    """What the tables call it."""
    return {AT_ONCE: "at once", 1: "one by one"}.get(threads, f"{threads} threads")


@dataclass(frozen=True, slots=True)
class TogetherPlan:
    """How much of everything.

    :ivar counts: numbers of ports, at most 1000 (a Linux bridge takes 1023)
    :ivar threads: numbers of threads the ports are shared among; 1 is one after the other
    :ivar rounds: of what takes seconds; what takes longer goes once
    :ivar parting: ports that go at once from `parting_threads` threads
    """

    counts: tuple[int, ...] = (200, 500)
    threads: tuple[int, ...] = (1, 8, 32)
    rounds: int = 3
    parting: int = 50
    parting_threads: int = 25


TOGETHER_QUICK = TogetherPlan(counts=(40,), threads=(1, 8), rounds=1, parting=20)


@dataclass(slots=True)
class TogetherSamples:
    """What was measured.

    :ivar storm: by (place, contender key, threads, ports, "plug" or "unplug")
    :ivar memory: resident bytes by (contender's label, whether of its daemon, plugs since)
    """

    storm: dict[tuple[str, str, int, int, str], list[Took]] = field(default_factory=dict)
    memory: dict[tuple[str, bool, int], float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Storm:
    """One thing to do in a round.

    :ivar rounds: in how many rounds it is done
    """

    contender: str
    threads: int
    count: int
    rounds: int


def _calls(contender: Contender) -> bool:
    """Whether its single call is called many times: not of what is there for its bulk call."""
    return contender.environment is not None


def storms(place: Place, plan: TogetherPlan) -> list[list[Storm]]:
    """All that is done at a place: a list a number of ports."""
    made = []
    for count in plan.counts:
        level = []
        for contender in place.contenders:
            new = contender.key in place.references.values()
            # Most of the run would be spent there.
            slow = new and count == max(plan.counts) and len(plan.counts) > 1
            threads = [plan.threads[0], plan.threads[-1]] if slow else plan.threads
            ways = [AT_ONCE] if contender.bulk else []
            ways += threads if _calls(contender) else []
            for each in ways:
                again = count == min(plan.counts) and each != 1 and not new
                level.append(Storm(contender.key, each, count, plan.rounds if again else 1))
        made.append(level)
    if place.partings:
        made.append(
            [
                Storm(contender.key, each, plan.parting, plan.rounds)
                for contender in place.contenders
                if _calls(contender)
                for each in (1, plan.parting_threads)
            ]
        )
    return made


def ticks(plan: TogetherPlan) -> int:
    """How many ticks a whole run makes."""
    made = 0
    for place in PLACES.values():
        every = [storm for level in storms(place, plan) for storm in level]
        made += 1 + sum(storm.rounds for storm in every)
    return made


class _Memory:
    """What the contenders' processes, and the daemons they have started, hold."""

    def __init__(self, host: str, samples: TogetherSamples) -> None:
        self._host = host
        self._samples = samples
        self._processes: list[tuple[str, bool, int]] = []
        self._seen: set[str] = set()
        self._plugs: dict[str, int] = {}

    def started(self, worker: Worker) -> None:
        """Find who is new in the namespace: the worker, and the daemon it may have started."""
        label = worker.contender.label
        now = set(ip("netns", "pids", self._host).split())
        self._processes += [(label, int(pid) != worker.pid, int(pid)) for pid in now - self._seen]
        self._seen = now
        self._plugs[label] = 0

    def plugged(self, worker: Worker, count: int) -> None:
        """Count plugs."""
        self._plugs[worker.contender.label] += count

    def note(self) -> None:
        """Add what they hold now to the samples."""
        for label, daemon, pid in self._processes:
            with contextlib.suppress(ProcessLookupError):
                self._samples.memory[label, daemon, self._plugs[label]] = resident_bytes(pid)


class _Bench:
    """An open place with its contenders."""

    def __init__(
        self, key: str, ground: Ground, workers: Sequence[Worker], samples: TogetherSamples
    ) -> None:
        self._key = key
        self._ground = ground
        self._samples = samples
        self._numbers = itertools.count(1)
        self.workers = workers

    def storm(self, worker: Worker, storm: Storm) -> None:
        """Plug and unplug, and look whether all are there and gone again."""
        ports = list(itertools.islice(self._numbers, storm.count))
        for op, expected in zip(OPS, (storm.count, 0), strict=True):
            name = f"{op}_many" if storm.threads == AT_ONCE else op
            took = worker.ask(name, ports, self._ground.mode, max(1, storm.threads))
            self._ground.expect(worker, expected)
            key = (self._key, storm.contender, storm.threads, storm.count, op)
            self._samples.storm.setdefault(key, []).append(took)


@contextlib.contextmanager
def _bench(key: str, place: Place, samples: TogetherSamples) -> Iterator[tuple[_Bench, _Memory]]:
    with contextlib.ExitStack() as stack:
        ground = stack.enter_context(place.open())
        memory = _Memory(ground.host, samples)
        workers = []
        for contender in place.contenders:
            # One after the other, to know whose the daemons are.
            worker = stack.enter_context(Worker(contender, ground.host, ground.arguments))
            worker.wait_ready()
            memory.started(worker)
            workers.append(worker)
        yield _Bench(key, ground, workers, samples), memory


def _in_turn(
    workers: Sequence[Worker], level: Sequence[Storm], rounds: int
) -> Iterator[tuple[Worker, Storm]]:
    for turn in range(rounds):
        for worker in turned(workers, turn):
            for storm in level:
                if storm.contender == worker.contender.key and turn < storm.rounds:
                    yield worker, storm


def coming_together(plan: TogetherPlan, samples: TogetherSamples, tick: Tick) -> None:
    """All storms at all places, and what everybody holds in memory where some have a daemon.

    :raises WorkerError: a contender failed, or left more or fewer ports than it should
    """
    for key, place in PLACES.items():
        tick(f"many ports: {place.label}")
        with _bench(key, place, samples) as (bench, memory):
            if key == MEMORY_AT:
                memory.note()
            for level in storms(place, plan):
                for worker, storm in _in_turn(bench.workers, level, plan.rounds):
                    doing = f"{place.label}, {storm.count} ports, {way(storm.threads)}"
                    tick(f"{doing}: {worker.contender.label}")
                    bench.storm(worker, storm)
                    memory.plugged(worker, storm.count)
            if key == MEMORY_AT:
                memory.note()
