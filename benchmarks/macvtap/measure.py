# SPDX-License-Identifier: Apache-2.0
"""The rounds on a network card: one macvtap at a time, then many."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks import environments
from benchmarks.client import Worker, WorkerError
from benchmarks.contenders import Contender
from benchmarks.macvtap.sandbox import CardSandbox
from benchmarks.measure import Tick, turned
from benchmarks.port import port

AT_ONCE, EACH = "at once", "one by one"
_OPS = {AT_ONCE: "{}_many", EACH: "{}"}


@dataclass(frozen=True, slots=True)
class MacvtapPlan:
    """How much of everything.

    :ivar rounds: of plug and unplug, after `warmup` discarded ones
    :ivar storm: macvtaps at a time
    :ivar storm_rounds: none of them discarded: the contenders are warm by then
    """

    rounds: int = 100
    warmup: int = 5
    storm: int = 100
    storm_rounds: int = 5


MACVTAP_QUICK = MacvtapPlan(rounds=10, warmup=2, storm=50, storm_rounds=1)


@dataclass(slots=True)
class MacvtapSamples:
    """What was measured.

    :ivar single: seconds by (contender key, "plug" or "unplug")
    :ivar storm: seconds by (contender key, way, "plug" or "unplug"), for all the macvtaps
    """

    single: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    storm: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)


def storm_ways(contender: Contender) -> list[str]:
    """How a contender plugs many macvtaps; libvirt's guest has not the slots for it."""
    there = ((AT_ONCE, contender.bulk), (EACH, contender.one_by_one))
    return [way for way, has in there if has]


def ticks(contenders: Sequence[Contender], plan: MacvtapPlan) -> int:
    """How many ticks a whole run makes."""
    ways = sum(len(storm_ways(each)) for each in contenders)
    return 1 + len(contenders) + plan.warmup + plan.rounds + ways * plan.storm_rounds


def _verify(worker: Worker, sandbox: CardSandbox, number: int) -> None:
    """One plug and unplug looked at with other eyes, before anything is timed."""
    contender = worker.contender
    worker.ask("plug", [number])
    if contender.tap:
        faults = sandbox.faults(port(number), marked=contender.alias)
    else:
        faults = [f"{each['ifname']} was made" for each in sandbox.macvtaps()]
    worker.ask("unplug", [number])
    faults += [f"{each['ifname']} is left after unplug" for each in sandbox.macvtaps()]
    if faults:
        raise WorkerError(f"{contender.label}: {'; '.join(faults)}")


def _storm(worker: Worker, sandbox: CardSandbox, way: str, numbers: Sequence[int]) -> list[float]:
    took = []
    for op, expected in (("plug", len(numbers)), ("unplug", 0)):
        took.append(worker.ask(_OPS[way].format(op), numbers))
        found = len(sandbox.macvtaps())
        if found != expected:
            raise WorkerError(
                f"{worker.contender.label}: {found} macvtaps after {op}, not {expected}"
            )
    return took


def sharing(
    contenders: Sequence[Contender], plan: MacvtapPlan, samples: MacvtapSamples, tick: Tick
) -> None:
    """Single calls in turn, then the storms.

    :raises WorkerError: a contender failed or did not reach the end state
    """
    numbers = itertools.count(1)
    with contextlib.ExitStack() as stack:
        tick("a network card")
        sandbox = stack.enter_context(CardSandbox().open())
        workers = stack.enter_context(_workers(contenders, sandbox))
        for worker in workers:
            tick(f"{worker.contender.label}: the right end state?")
            _verify(worker, sandbox, next(numbers))
        for turn in range(-plan.warmup, plan.rounds):
            tick("plug and unplug a macvtap")
            for worker in turned(workers, turn):
                number = next(numbers)
                for op in ("plug", "unplug"):
                    seconds = worker.ask(op, [number])
                    if turn >= 0:
                        samples.single.setdefault((worker.contender.key, op), []).append(seconds)
        for turn in range(plan.storm_rounds):
            for worker in turned(workers, turn):
                for way in storm_ways(worker.contender):
                    tick(f"{plan.storm} macvtaps, {way}: {worker.contender.label}")
                    ports = list(itertools.islice(numbers, plan.storm))
                    took = _storm(worker, sandbox, way, ports)
                    for op, seconds in zip(("plug", "unplug"), took, strict=True):
                        key = (worker.contender.key, way, op)
                        samples.storm.setdefault(key, []).append(seconds)


@contextlib.contextmanager
def _workers(contenders: Sequence[Contender], sandbox: CardSandbox) -> Iterator[list[Worker]]:
    more = {"libvirt": str(environments.install_libvirt())}
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(each, sandbox.host, more)) for each in contenders]
        for worker in workers:
            worker.wait_ready()
        yield workers
