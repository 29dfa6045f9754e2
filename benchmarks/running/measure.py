# SPDX-License-Identifier: Apache-2.0
"""The rounds of guests: each contender starts one, and ends it."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks import environments
from benchmarks.client import Worker, WorkerError
from benchmarks.contenders import Contender
from benchmarks.measure import Tick, turned
from benchmarks.port import port
from benchmarks.sandbox import Sandbox
from tests.lab.packages import Parts


@dataclass(frozen=True, slots=True)
class RunningPlan:
    """How much of everything.

    :ivar rounds: of a guest each, after `warmup` discarded ones
    """

    rounds: int = 20
    warmup: int = 2


RUNNING_QUICK = RunningPlan(rounds=3, warmup=1)


@dataclass(slots=True)
class RunningSamples:
    """What was measured.

    :ivar first: seconds to the first instruction, by contender key
    """

    first: dict[str, list[float]] = field(default_factory=dict)


def ticks(contenders: Sequence[Contender], plan: RunningPlan) -> int:
    """How many ticks a whole run makes."""
    return 1 + len(contenders) + plan.warmup + plan.rounds


def _verify(worker: Worker, sandbox: Sandbox, number: int) -> None:
    """One guest looked at with other eyes, before anything is timed."""
    contender = worker.contender
    worker.ask("plug", [number])
    faults = sandbox.faults(port(number), tap=True, alias=contender.alias)
    worker.ask("unplug", [number])
    left = sandbox.ports_left()
    if left:
        faults.append(f"{left} ports left after the guest")
    if faults:
        raise WorkerError(f"{contender.label}: {'; '.join(faults)}")


@contextlib.contextmanager
def _workers(contenders: Sequence[Contender], sandbox: Sandbox) -> Iterator[list[Worker]]:
    tree = environments.install_libvirt()
    parts = Parts(tree, tree, tree)
    more = {
        "qemu": json.dumps(parts.qemu_command()),
        "modules": parts.qemu_environment()["QEMU_MODULE_DIR"],
    }
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(each, sandbox.host, more)) for each in contenders]
        for worker in workers:
            worker.wait_ready()
        yield workers


def running(
    contenders: Sequence[Contender], plan: RunningPlan, samples: RunningSamples, tick: Tick
) -> None:
    """Guests in turn.

    :raises WorkerError: a contender failed or did not reach the end state
    """
    numbers = itertools.count(1)
    with contextlib.ExitStack() as stack:
        tick("a host for guests")
        sandbox = stack.enter_context(Sandbox(0).open())
        workers = stack.enter_context(_workers(contenders, sandbox))
        for worker in workers:
            tick(f"{worker.contender.label}: the right end state?")
            _verify(worker, sandbox, next(numbers))
        for turn in range(-plan.warmup, plan.rounds):
            tick("a guest's first instruction")
            for worker in turned(workers, turn):
                number = next(numbers)
                took = worker.ask("plug", [number]).seconds
                worker.ask("unplug", [number])
                if turn >= 0:
                    samples.first.setdefault(worker.contender.key, []).append(took)
