# SPDX-License-Identifier: Apache-2.0
"""The rounds: every contender once a round, in turn, so that the machine's moods hit all alike."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks import environments
from benchmarks.client import Worker, WorkerError
from benchmarks.contenders import Contender
from benchmarks.port import port
from benchmarks.sandbox import Sandbox

Tick = Callable[[str], None]
"""Called once a step with what is being done; drives the progress bar."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything.

    :ivar levels: numbers of other links on the host
    :ivar rounds: of plug and unplug, after `warmup` discarded ones
    """

    levels: tuple[int, ...] = (0, 2000)
    rounds: int = 50
    warmup: int = 5


QUICK = Plan(rounds=5, warmup=1)


@dataclass(slots=True)
class Samples:
    """Seconds of every call that was measured.

    :ivar single: by (contender key, other links, "plug" or "unplug")
    :ivar other_kind: kind of the other links
    """

    single: dict[tuple[str, int, str], list[float]] = field(default_factory=dict)
    other_kind: str = ""


def turned(items: Sequence[Worker], by: int) -> list[Worker]:
    """All of them, another one first each round, the others in an order of chance.

    What a deletion leaves the kernel to do is paid for by the next one: nobody may always run
    behind the same neighbour.
    """
    first = by % len(items)
    others = [each for place, each in enumerate(items) if place != first]
    random.Random(by).shuffle(others)  # noqa: S311 - the same order every time
    return [items[first], *others]


def _verify(worker: Worker, sandbox: Sandbox, number: int) -> None:
    """One plug and unplug looked at with other eyes, before anything is timed."""
    contender = worker.contender
    worker.ask("plug", [number])
    faults = sandbox.faults(port(number), tap=contender.tap, alias=contender.alias)
    worker.ask("unplug", [number])
    left = sandbox.ports_left()
    if left:
        faults.append(f"{left} ports left after unplug")
    if faults:
        raise WorkerError(f"{contender.label}: {'; '.join(faults)}")


@contextlib.contextmanager
def _workers(contenders: Sequence[Contender], sandbox: Sandbox) -> Iterator[list[Worker]]:
    with contextlib.ExitStack() as stack:
        more = {"guest": sandbox.guest}
        if any(not contender.tap for contender in contenders):
            more["plugin"] = str(environments.install_cni())
        workers = [stack.enter_context(Worker(each, sandbox.host, more)) for each in contenders]
        for worker in workers:
            worker.wait_ready()
        yield workers


def plugging(contenders: Sequence[Contender], plan: Plan, samples: Samples, tick: Tick) -> None:
    """Single calls at every level.

    :raises WorkerError: a contender failed or did not reach the end state
    """
    numbers = itertools.count(1)
    with contextlib.ExitStack() as stack:
        hosts: list[tuple[Sandbox, list[Worker]]] = []
        for others in plan.levels:
            tick(f"a host with {others} other links")
            sandbox = stack.enter_context(Sandbox(others).open())
            hosts.append((sandbox, stack.enter_context(_workers(contenders, sandbox))))
            samples.other_kind = samples.other_kind or sandbox.other_kind
        for sandbox, workers in hosts:
            for worker in workers:
                tick(f"{worker.contender.label}: the right end state?")
                _verify(worker, sandbox, next(numbers))
        for turn in range(-plan.warmup, plan.rounds):
            for sandbox, workers in hosts:
                tick(f"plug and unplug, {sandbox.others} other links")
                for worker in turned(workers, turn):
                    number = next(numbers)
                    for op in ("plug", "unplug"):
                        seconds = worker.ask(op, [number]).seconds
                        if turn >= 0:
                            key = (worker.contender.key, sandbox.others, op)
                            samples.single.setdefault(key, []).append(seconds)


def ticks(contenders: Sequence[Contender], plan: Plan) -> int:
    """How many ticks a whole run makes."""
    return len(plan.levels) * (1 + len(contenders) + plan.warmup + plan.rounds)
