# SPDX-License-Identifier: Apache-2.0
"""The rounds on a network card: one macvtap at a time."""

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


@dataclass(frozen=True, slots=True)
class MacvtapPlan:
    """How much of everything.

    :ivar rounds: of plug and unplug, after `warmup` discarded ones
    """

    rounds: int = 50
    warmup: int = 5


MACVTAP_QUICK = MacvtapPlan(rounds=5, warmup=1)


@dataclass(slots=True)
class MacvtapSamples:
    """What was measured.

    :ivar single: seconds by (contender key, "plug" or "unplug")
    """

    single: dict[tuple[str, str], list[float]] = field(default_factory=dict)


def ticks(contenders: Sequence[Contender], plan: MacvtapPlan) -> int:
    """How many ticks a whole run makes."""
    return 1 + len(contenders) + plan.warmup + plan.rounds


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


def sharing(
    contenders: Sequence[Contender], plan: MacvtapPlan, samples: MacvtapSamples, tick: Tick
) -> None:
    """Single calls in turn.

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
                    seconds = worker.ask(op, [number]).seconds
                    if turn >= 0:
                        samples.single.setdefault((worker.contender.key, op), []).append(seconds)


@contextlib.contextmanager
def _workers(contenders: Sequence[Contender], sandbox: CardSandbox) -> Iterator[list[Worker]]:
    more = {"libvirt": str(environments.install_libvirt())}
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(each, sandbox.host, more)) for each in contenders]
        for worker in workers:
            worker.wait_ready()
        yield workers
