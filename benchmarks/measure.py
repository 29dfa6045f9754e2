# SPDX-License-Identifier: Apache-2.0
"""The rounds: every contender once a round, in turn, so that the machine's moods hit all alike."""

from __future__ import annotations

import contextlib
import itertools
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    :ivar bulk: ports in the bulk measure, at most 1000 (a bridge takes 1023)
    :ivar bulk_rounds: none of them discarded: the workers are warm by then
    :ivar cold: fresh processes a cold start is measured with, after one discarded
    """

    levels: tuple[int, ...] = (0, 500, 2000)
    rounds: int = 100
    warmup: int = 5
    bulk: int = 500
    bulk_rounds: int = 3
    cold: int = 30


QUICK = Plan(levels=(0, 2000), rounds=10, warmup=2, bulk=100, bulk_rounds=1, cold=5)


@dataclass(slots=True)
class Samples:
    """Seconds of every call that was measured.

    :ivar single: by (contender key, other links, "plug" or "unplug")
    :ivar bulk: by (contender key, "each" or "many", "plug" or "unplug"), for all the ports
    :ivar cold: by label
    :ivar other_kind: kind of the other links
    """

    single: dict[tuple[str, int, str], list[float]] = field(default_factory=dict)
    bulk: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    cold: dict[str, list[float]] = field(default_factory=dict)
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
    """Single calls at every level, then the bulk measure on the host without other links.

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
                        seconds = worker.ask(op, [number])
                        if turn >= 0:
                            key = (worker.contender.key, sandbox.others, op)
                            samples.single.setdefault(key, []).append(seconds)
        _bulk(hosts[0], plan, samples, tick, numbers)


def _bulk(
    host: tuple[Sandbox, list[Worker]],
    plan: Plan,
    samples: Samples,
    tick: Tick,
    numbers: Iterator[int],
) -> None:
    sandbox, workers = host
    for turn in range(plan.bulk_rounds):
        for worker in turned(workers, turn):
            contender = worker.contender
            ways = [("many", "plug_many", "unplug_many")] if contender.bulk else []
            ways += [("each", "plug", "unplug")] if contender.one_by_one else []
            for way, plug, unplug in ways:
                tick(f"{plan.bulk} ports: {contender.label}, {way}")
                ports = list(itertools.islice(numbers, plan.bulk))
                for verb, op in (("plug", plug), ("unplug", unplug)):
                    seconds = worker.ask(op, ports)
                    samples.bulk.setdefault((contender.key, way, verb), []).append(seconds)
                    expected = plan.bulk if verb == "plug" else 0
                    if sandbox.ports_left() != expected:
                        raise WorkerError(
                            f"{contender.label}: {sandbox.ports_left()} ports after {op}"
                            f" of {plan.bulk}, not {expected}"
                        )


INITIALIZE = "import os_vif; os_vif.initialize()"
BARE = "bare Python"
VERSIONED_OBJECTS = "oslo.versionedobjects alone"


def cold_starts(names: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """(environment, statement) of every cold start, by label.

    :param names: environment by label, of the os-vif releases that take part
    """
    first = next(iter(names.values()))
    return {
        **{label: (environment, INITIALIZE) for label, environment in names.items()},
        VERSIONED_OBJECTS: (first, "from oslo_versionedobjects import base, fields"),
        BARE: (first, "pass"),
    }


def cold(names: Mapping[str, str], plan: Plan, samples: Samples, tick: Tick) -> None:
    """Wall time of whole fresh processes, from start to exit, byte code warm.

    :raises WorkerError: a process failed
    """
    starts = cold_starts(names)
    for turn in range(-1, plan.cold):
        for label, (environment, statement) in starts.items():
            tick(f"cold start: {label}")
            begin = time.perf_counter()
            done = subprocess.run(
                [environments.python(environment), "-P", "-c", statement],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
            )
            seconds = time.perf_counter() - begin
            if done.returncode:
                raise WorkerError(f"cold start of {label}: {done.stderr.decode()[-2000:]}")
            if turn >= 0:
                samples.cold.setdefault(label, []).append(seconds)


def steps(contenders: Sequence[Contender], names: Mapping[str, str], plan: Plan) -> int:
    """How many ticks a whole run makes."""
    ways = sum(contender.bulk + contender.one_by_one for contender in contenders)
    plugging_steps = len(plan.levels) * (1 + len(contenders) + plan.warmup + plan.rounds)
    cold_steps = len(cold_starts(names)) * (1 + plan.cold) if names else 0
    return plugging_steps + plan.bulk_rounds * ways + cold_steps
