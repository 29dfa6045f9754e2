# SPDX-License-Identifier: Apache-2.0
"""The rounds on a switch, one size of switch after the other: it works also when nobody asks."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.client import Worker, WorkerError
from benchmarks.contenders import FLOOR, NEW, OURS, Contender
from benchmarks.measure import Tick, turned
from benchmarks.openvswitch.modes import MODES, TAP, VHOST_USER
from benchmarks.openvswitch.sandbox import SwitchSandbox
from benchmarks.port import port

AT_ONCE, THREADS, EACH = "at once", "8 threads", "one by one"
_CPUCLOCK_SCHED = 2

_PATIENCE = 10.0
"""Seconds, not counted, until ports that a contender has called plugged have to be."""

_OPS = {AT_ONCE: "{}_many", THREADS: "{}_threads", EACH: "{}"}


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    """How much of everything.

    :ivar levels: numbers of other ports on the switch
    :ivar rounds: of plug and unplug, after `warmup` discarded ones
    :ivar storms: numbers of ports at a time
    :ivar storm_rounds: for the ways that take seconds; those that take a minute go once
    :ivar idle: seconds the contenders are watched doing nothing
    """

    levels: tuple[int, ...] = (0, 250, 500, 1000)
    rounds: int = 20
    warmup: int = 2
    storms: tuple[int, ...] = (100, 500)
    storm_rounds: int = 3
    idle: float = 20.0


SWITCH_QUICK = SwitchPlan(
    levels=(0, 250), rounds=5, warmup=1, storms=(100,), storm_rounds=1, idle=5.0
)


@dataclass(slots=True)
class SwitchSamples:
    """What was measured.

    :ivar single: seconds by (contender key, mode, other ports, "plug" or "unplug")
    :ivar storm: seconds by (contender key, way, ports, "plug" or "unplug"), for all the ports
    :ivar memory: resident bytes by (contender key, other ports)
    :ivar idle: share of a CPU, 0 to 1, while nothing is asked, by (contender key, other ports)
    :ivar version: of Open vSwitch
    """

    single: dict[tuple[str, str, int, str], list[float]] = field(default_factory=dict)
    storm: dict[tuple[str, str, int, str], list[float]] = field(default_factory=dict)
    memory: dict[tuple[str, int], float] = field(default_factory=dict)
    idle: dict[tuple[str, int], float] = field(default_factory=dict)
    version: str = ""


def storm_ways(contender: Contender) -> tuple[str, ...]:
    """How a contender plugs many ports."""
    if contender.key == OURS:
        return AT_ONCE, THREADS
    return (AT_ONCE,) if contender.bulk else (EACH,)


def ticks(contenders: Sequence[Contender], plan: SwitchPlan) -> int:
    """How many ticks a whole run makes."""
    modes = (len(MODES) - 1) * len(plan.levels) + 1
    ways = [way for each in contenders for way in storm_ways(each)]
    storms = sum(_rounds(way, plan) for way in ways) * len(plan.storms)
    return len(plan.levels) + 3 + modes * (1 + plan.warmup + plan.rounds) + storms


def _rounds(way: str, plan: SwitchPlan) -> int:
    return plan.storm_rounds if way == AT_ONCE else 1


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
        self._expect(worker, 0)
        if faults:
            raise WorkerError(f"{worker.contender.label}, {mode}: {'; '.join(faults)}")

    def _expect(self, worker: Worker, ports: int) -> None:
        # os-vif 5.3.0 makes the port before its tap and does not wait for the second try.
        deadline = time.monotonic() + (_PATIENCE if worker.contender.key == NEW else 0)
        while True:
            found = self.sandbox.ports() - self.others
            unattached = self.sandbox.unattached()
            if found == ports and not unattached:
                return
            if time.monotonic() >= deadline:
                raise WorkerError(
                    f"{worker.contender.label}: {found} ports, not {ports};"
                    f" {len(unattached)} without a number: {', '.join(unattached[:3])}"
                )
            time.sleep(0.1)

    def single(self, mode: str) -> None:
        """Plug and unplug one port at a time."""
        self.tick(f"{mode}: the right end state?")
        for worker in self.workers:
            self._verify(worker, mode)
        for turn in range(-self.plan.warmup, self.plan.rounds):
            self.tick(f"{mode}, {self.others} other ports")
            for worker in turned(self.workers, turn):
                number = next(self.numbers)
                for op in ("plug", "unplug"):
                    seconds = worker.ask(op, [number], mode)
                    if turn >= 0:
                        key = (worker.contender.key, mode, self.others, op)
                        self.samples.single.setdefault(key, []).append(seconds)

    def warm_up(self, count: int) -> None:
        """Let everybody who has a bulk call grow the buffers it takes."""
        for worker in self.workers:
            if worker.contender.bulk:
                ports = list(itertools.islice(self.numbers, count))
                for op in ("plug_many", "unplug_many"):
                    worker.ask(op, ports, TAP)

    def storm(self, count: int) -> None:
        """Plug and unplug `count` ports at a time, all the ways the contenders have."""
        for turn in range(self.plan.storm_rounds):
            for worker in turned(self.workers, turn):
                for way in storm_ways(worker.contender):
                    if turn < _rounds(way, self.plan):
                        self.tick(f"{count} ports, {way}: {worker.contender.label}")
                        self._storm(worker, way, list(itertools.islice(self.numbers, count)))

    def _storm(self, worker: Worker, way: str, ports: Sequence[int]) -> None:
        for op in ("plug", "unplug"):
            seconds = worker.ask(_OPS[way].format(op), ports, TAP)
            key = (worker.contender.key, way, len(ports), op)
            self.samples.storm.setdefault(key, []).append(seconds)
            self._expect(worker, len(ports) if op == "plug" else 0)

    def rest(self) -> None:
        """Watch what the contenders hold and do while nobody asks them for anything."""
        self.tick(f"{self.others} other ports: {self.plan.idle:g} s of rest")
        time.sleep(1)  # the last answers to the last unplug are still being read
        begin = time.monotonic()
        before = [_cpu_seconds(worker.pid) for worker in self.workers]
        time.sleep(self.plan.idle)
        after = [_cpu_seconds(worker.pid) for worker in self.workers]
        wall = time.monotonic() - begin
        for worker, start, end in zip(self.workers, before, after, strict=True):
            key = (worker.contender.key, self.others)
            self.samples.idle[key] = (end - start) / wall
            self.samples.memory[key] = _resident_bytes(worker.pid)


def _cpu_seconds(pid: int) -> float:
    """CPU time of all threads, in nanoseconds' steps where /proc/PID/stat has 10 ms.

    The clock's number is made as clock_getcpuclockid(3) makes it.
    """
    return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)


def _resident_bytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) * 1024
    raise WorkerError(f"process {pid} has ended")


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
    """Single calls and rest at every level, the storms on the empty switch.

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
            if others == plan.levels[0]:
                bench.warm_up(plan.storms[0])
                for count in plan.storms:
                    bench.storm(count)
    tick("a switch with DPDK")
    with _bench(contenders, numbers, plan, samples, tick, dpdk=True) as bench:
        bench.single(VHOST_USER)
