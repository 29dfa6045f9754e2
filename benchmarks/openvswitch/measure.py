# SPDX-License-Identifier: Apache-2.0
"""The rounds on a switch, one size of switch after the other: it works also when nobody asks."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.client import Worker, WorkerError
from benchmarks.contenders import FLOOR, Contender
from benchmarks.measure import Tick, turned
from benchmarks.openvswitch.modes import MODES, TAP, VHOST_USER
from benchmarks.openvswitch.sandbox import SwitchSandbox
from benchmarks.port import port
from benchmarks.processes import cpu_seconds, resident_bytes


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    """How much of everything.

    :ivar levels: numbers of other ports on the switch
    :ivar rounds: of plug and unplug without other ports, after `warmup` discarded ones
    :ivar crowded: rounds with other ports, where a call takes a tenth of a second
    :ivar idle: seconds the contenders are watched doing nothing
    """

    levels: tuple[int, ...] = (0, 1000)
    rounds: int = 20
    crowded: int = 10
    warmup: int = 2
    idle: float = 10.0

    def counted(self, others: int) -> int:
        """How many rounds are made with so many other ports, after those discarded."""
        return self.crowded if others else self.rounds


SWITCH_QUICK = SwitchPlan(levels=(0, 250), rounds=3, crowded=2, warmup=1, idle=2.0)


@dataclass(slots=True)
class SwitchSamples:
    """What was measured.

    :ivar single: seconds by (contender key, mode, other ports, "plug" or "unplug")
    :ivar memory: resident bytes by (contender key, other ports)
    :ivar idle: share of a CPU, 0 to 1, while nothing is asked, by (contender key, other ports)
    :ivar version: of Open vSwitch
    """

    single: dict[tuple[str, str, int, str], list[float]] = field(default_factory=dict)
    memory: dict[tuple[str, int], float] = field(default_factory=dict)
    idle: dict[tuple[str, int], float] = field(default_factory=dict)
    version: str = ""


def ticks(plan: SwitchPlan) -> int:
    """How many ticks a whole run makes."""
    rounds = sum((len(MODES) - 1) * (1 + plan.warmup + plan.counted(n)) for n in plan.levels)
    return len(plan.levels) + 3 + rounds + 1 + plan.warmup + plan.counted(0)


class _Bench:
    """One switch with its contenders."""

    def __init__(
        self,
        sandbox: SwitchSandbox,
        workers: Sequence[Worker],
        *,
        numbers: Iterator[int],
        plan: SwitchPlan,
        samples: SwitchSamples,
        tick: Tick,
    ) -> None:
        self.sandbox = sandbox
        self.workers = workers
        self.numbers = numbers
        self.plan = plan
        self.samples = samples
        self.tick = tick
        self.others = 0

    def fill(self, others: int) -> None:
        """Have the floor make the other ports, which stay."""
        self.others = others
        if others:
            [floor] = [each for each in self.workers if each.contender.key == FLOOR]
            floor.ask("plug_many", list(itertools.islice(self.numbers, others)), TAP)

    def _verify(self, worker: Worker, mode: str) -> None:
        """One plug and unplug looked at with other eyes, before anything is timed."""
        number = next(self.numbers)
        before = set(self.sandbox.links())
        worker.ask("plug", [number], mode)
        faults = self.sandbox.faults(port(number), mode)
        worker.ask("unplug", [number], mode)
        left = set(self.sandbox.links()) - before
        faults += [f"{name} is left after unplug" for name in left]
        self.sandbox.expect(worker, self.others)
        if faults:
            raise WorkerError(f"{worker.contender.label}, {mode}: {'; '.join(faults)}")

    def single(self, mode: str) -> None:
        """Plug and unplug one port at a time."""
        self.tick(f"{mode}: the right end state?")
        for worker in self.workers:
            self._verify(worker, mode)
        for turn in range(-self.plan.warmup, self.plan.counted(self.others)):
            self.tick(f"{mode}, {self.others} other ports")
            for worker in turned(self.workers, turn):
                number = next(self.numbers)
                for op in ("plug", "unplug"):
                    seconds = worker.ask(op, [number], mode).seconds
                    if turn >= 0:
                        key = (worker.contender.key, mode, self.others, op)
                        self.samples.single.setdefault(key, []).append(seconds)

    def rest(self) -> None:
        """Watch what the contenders hold and do while nobody asks them for anything."""
        self.tick(f"{self.others} other ports: {self.plan.idle:g} s of rest")
        time.sleep(1)  # the last answers to the last unplug are still being read
        begin = time.monotonic()
        before = [cpu_seconds(worker.pid) for worker in self.workers]
        time.sleep(self.plan.idle)
        after = [cpu_seconds(worker.pid) for worker in self.workers]
        wall = time.monotonic() - begin
        for worker, start, end in zip(self.workers, before, after, strict=True):
            key = (worker.contender.key, self.others)
            self.samples.idle[key] = (end - start) / wall
            self.samples.memory[key] = resident_bytes(worker.pid)


@contextlib.contextmanager
def _bench(
    contenders: Sequence[Contender],
    numbers: Iterator[int],
    plan: SwitchPlan,
    samples: SwitchSamples,
    tick: Tick,
    *,
    dpdk: bool = False,
) -> Iterator[_Bench]:
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(SwitchSandbox(dpdk=dpdk).open())
        samples.version = sandbox.version
        more = {"remote": sandbox.switch.remote}
        workers = [stack.enter_context(Worker(each, sandbox.host, more)) for each in contenders]
        for worker in workers:
            worker.wait_ready()
        yield _Bench(sandbox, workers, numbers=numbers, plan=plan, samples=samples, tick=tick)


def switching(
    contenders: Sequence[Contender], plan: SwitchPlan, samples: SwitchSamples, tick: Tick
) -> None:
    """Single calls at every level, rest at the first and the last.

    :raises WorkerError: a contender failed or did not reach the end state
    """
    numbers = itertools.count(1)
    for others in plan.levels:
        tick(f"a switch with {others} other ports")
        with _bench(contenders, numbers, plan, samples, tick) as bench:
            bench.fill(others)
            for mode in MODES:
                if mode != VHOST_USER:
                    bench.single(mode)
            if others in {plan.levels[0], plan.levels[-1]}:
                bench.rest()
    tick("a switch with DPDK")
    with _bench(contenders, numbers, plan, samples, tick, dpdk=True) as bench:
        bench.single(VHOST_USER)
