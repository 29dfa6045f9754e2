# SPDX-License-Identifier: Apache-2.0
"""The tables, targets and method of the measurements of many ports, and of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.contenders import FLOOR, NEW, OURS, Contender
from benchmarks.processes import MEGABYTE
from benchmarks.statistics import Summary, quantile, ratio, summarize
from benchmarks.tables import (
    NOTHING,
    Chapter,
    Grid,
    Target,
    gains,
    milliseconds,
    outcomes,
    times,
    told,
)
from benchmarks.together.grounds import BRIDGE, PLACES, SWITCH
from benchmarks.together.measure import AT_ONCE, OPS, TogetherPlan, TogetherSamples, storms, way


@dataclass(frozen=True, slots=True)
class TogetherResults:
    """The samples of a run and what they are samples of."""

    plan: TogetherPlan
    samples: TogetherSamples

    def storm(self, place: str, key: str, threads: int, count: int, op: str) -> Summary | None:
        """Of plugging or unplugging all of them; None if it was not measured."""
        found = self.samples.storm.get((place, key, threads, count, op))
        return summarize([took.seconds for took in found]) if found else None

    def call(self, place: str, key: str, threads: int, count: int, op: str) -> list[float]:
        """Seconds of every single call; none for one call that plugs them all."""
        found = self.samples.storm.get((place, key, threads, count, op), [])
        return [] if threads == AT_ONCE else [call for took in found for call in took.calls]

    def rows(self, place: str) -> Iterator[tuple[int, int, Contender]]:
        """What was measured at a place: ports, threads and contender, those compared together."""
        order = {each.key: each for each in PLACES[place].contenders}
        seen = {
            (storm.count, storm.threads, storm.contender): None
            for level in storms(PLACES[place], self.plan)
            for storm in sorted(level, key=lambda storm: storm.threads)
            if (place, storm.contender, storm.threads, storm.count, "plug") in self.samples.storm
        }
        for count, threads, key in seen:
            yield count, threads, order[key]

    def over_at_once(self, place: str, key: str, threads: int, count: int, op: str) -> float | None:
        """Over the bulk call of ours, with the same privilege where there are both."""
        mine = self.storm(place, key, threads, count, op)
        own = key if key in PLACES[place].references else OURS
        return ratio(mine, self.storm(place, own, AT_ONCE, count, op))

    def gain(self, place: str, key: str, threads: int, count: int, op: str) -> float | None:
        """How many times os-vif 5.3.0 takes as long, from as many threads.

        A bulk call, which it has not, is compared with its single calls one by one.
        """
        new = PLACES[place].references.get(key, NEW)
        theirs = self.storm(place, new, threads or 1, count, op)
        return ratio(theirs, self.storm(place, key, threads, count, op))

    def lateness(self, place: str, key: str, threads: int, count: int, op: str) -> float | None:
        """The 95th percentile of a call over its median."""
        calls = self.call(place, key, threads, count, op)
        return quantile(calls, 0.95) / quantile(calls, 0.5) if calls else None


def _name(count: int, threads: int, contender: Contender) -> str:
    return f"{count}, {way(threads)}: {contender.label}"


def _ratios(results: TogetherResults, place: str) -> Grid:
    rows = []
    compared = bool(PLACES[place].references)
    for count, threads, contender in results.rows(place):
        row = [_name(count, threads, contender)]
        for op in OPS:
            what = (place, contender.key, threads, count, op)
            row.append(times(results.over_at_once(*what)))
            if compared:
                row.append(times(results.gain(*what), 1))
            row.append(times(results.lateness(*what), 1))
        rows.append(tuple(row))
    columns = ["ports, way and contender"]
    for op in OPS:
        columns.append(f"{op} / {op}_many")
        if compared:
            columns.append(f"5.3.0 / {op}")
        columns.append("p95 / median of a call")
    title = f"Many ports, {PLACES[place].label}: ratios"
    return Grid(title, tuple(columns), tuple(rows))


def _durations(results: TogetherResults, place: str) -> Grid:
    rows = []
    for count, threads, contender in results.rows(place):
        row = [_name(count, threads, contender)]
        for op in OPS:
            what = (place, contender.key, threads, count, op)
            whole, calls = results.storm(*what), results.call(*what)
            row.append(milliseconds(whole.median) if whole else NOTHING)
            row += [milliseconds(quantile(calls, at)) if calls else NOTHING for at in (0.5, 0.95)]
        rows.append(tuple(row))
    columns = ["ports, way and contender"]
    for op in OPS:
        columns += [f"{op} all", "median of a call", "p95"]
    title = f"Many ports, {PLACES[place].label}, this machine's times: ms"
    return Grid(title, tuple(columns), tuple(rows))


def _memory(results: TogetherResults) -> Grid:
    held: dict[tuple[str, bool], dict[int, float]] = {}
    for (label, daemon, plugs), size in results.samples.memory.items():
        held.setdefault((label, daemon), {})[plugs] = size
    rows = []
    for (label, daemon), sizes in held.items():
        first, last = min(sizes), max(sizes)
        row = [f"{label}: the daemon itself" if daemon else label]
        row += [f"{sizes[first] / MEGABYTE:.1f}", str(last), f"{sizes[last] / MEGABYTE:.1f}"]
        row.append(f"{(sizes[last] - sizes[first]) / MEGABYTE:.1f}")
        rows.append(tuple(row))
    columns = ("process", "MB at rest", "plugs and unplugs", "MB behind them", "more MB")
    return Grid("Memory a process holds", columns, tuple(rows))


Measured = Callable[[TogetherResults], float | None]


def _over_at_once(place: str, threads: int, op: str = "plug") -> Measured:
    return lambda results: results.over_at_once(place, OURS, threads, min(results.plan.counts), op)


def _gain(place: str, threads: int, op: str = "plug") -> Measured:
    return lambda results: results.gain(place, OURS, threads, min(results.plan.counts), op)


def _lateness(place: str, threads: int) -> Measured:
    return lambda results: results.lateness(place, OURS, threads, min(results.plan.counts), "plug")


def _parting(results: TogetherResults) -> float | None:
    plan = results.plan
    theirs, ours = (
        results.storm(BRIDGE, key, threads, plan.parting, "unplug")
        for key, threads in ((NEW, 1), (OURS, plan.parting_threads))
    )
    return ratio(theirs, ours)


def _unplug_gain(results: TogetherResults) -> float | None:
    return results.gain(BRIDGE, OURS, AT_ONCE, max(results.plan.counts), "unplug")


def _transaction(count: int) -> Measured:
    def measured(results: TogetherResults) -> float | None:
        mine = results.storm(SWITCH, OURS, AT_ONCE, count, "plug")
        return ratio(mine, results.storm(SWITCH, FLOOR, AT_ONCE, count, "plug"))

    return measured


def _bulk_gain(count: int) -> Measured:
    return lambda results: results.gain(SWITCH, OURS, AT_ONCE, count, "plug")


def _targets(plan: TogetherPlan) -> list[Target[TogetherResults]]:
    made: list[Target[TogetherResults]] = []
    few, most = min(plan.counts), max(plan.threads)
    for place in (SWITCH, BRIDGE):
        where = f"{PLACES[place].label}, {few} ports"
        for threads, over, gain in ((32, 1.7, 7.0), (8, 2.5, 5.0)):
            from_ = f"{where} from {threads} threads"
            made += [
                Target(f"{from_}: plug / plug_many", over, _over_at_once(place, threads)),
                Target(f"{from_}: os-vif 5.3.0 / plug", gain, _gain(place, threads), True),
            ]
        from_ = f"{where} from {most} threads"
        made += [
            Target(f"{from_}: p95 of a plug / its median", 3.0, _lateness(place, most)),
            Target(f"{from_}: os-vif 5.3.0 / unplug", 2.5, _gain(place, most, "unplug"), True),
        ]
    for count in plan.counts:
        where = f"Open vSwitch, {count} ports at once"
        made += [
            Target(f"{where} / one transaction", 1.5, _transaction(count)),
            Target(f"os-vif 5.3.0 one by one / {where}", 20.0, _bulk_gain(count), True),
        ]
    made += [
        Target(
            f"os-vif 5.3.0 one by one / Linux bridge, {plan.parting} unplugs from"
            f" {plan.parting_threads} threads",
            10.0,
            _parting,
            at_least=True,
        ),
        Target(
            f"os-vif 5.3.0 one by one / Linux bridge, {max(plan.counts)} unplugs at once",
            30.0,
            _unplug_gain,
            at_least=True,
        ),
    ]
    return made


def _method(plan: TogetherPlan) -> str:
    few, many = min(plan.counts), max(plan.counts)
    return f"""\
## Method: many ports

- "At once" is one call of `plug_many` or `unplug_many`; the floor deletes links by group and
  sends Open vSwitch one transaction, `ip` takes one batch. "One by one" is a loop over the single
  call. From threads: they start at the same moment, each takes the next port as soon as its call
  is over, and the clock runs until the last has returned. Fresh ports each time, on a place
  without others; how many there are is looked at after each of these, and 0 after unplugging.
- os-vif 5.3.0 has no bulk call: "at once" is compared with its single calls one by one, and
  threads with as many threads. It has no plugin for macvtaps.
- {few} ports: {plan.rounds} rounds for this library and for bulk calls; once what takes long: one
  by one, os-vif 5.3.0, and all with {many} ports. The percentiles are those of the single calls.
- {plan.parting} ports that go at once: {plan.rounds} rounds, {plan.parting_threads} threads.
- ovs-vswitchd takes about as long as one of the kernel's RCU waits to let go of each device,
  whoever asks for it, so that unplugging many costs everybody the same.
- Memory is what /proc calls VmRSS: when all are imported, initialized and connected, and behind
  the storms on the Linux bridge, of which some were of {many} ports in one call.
"""


def chapter(results: TogetherResults) -> Chapter:
    """All of it."""
    few, most = min(results.plan.counts), max(results.plan.threads)
    found = [
        (
            f"{few} {op}s from {most} threads on {PLACES[place].where}",
            results.gain(place, OURS, most, few, op),
            op == "plug",
        )
        for place in (SWITCH, BRIDGE)
        for op in OPS
    ]
    return Chapter(
        gains=gains(*found),
        ratios=told([*(_ratios(results, place) for place in PLACES), _memory(results)]),
        durations=told([_durations(results, place) for place in PLACES]),
        method=_method(results.plan),
        targets=outcomes(_targets(results.plan), results),
    )
