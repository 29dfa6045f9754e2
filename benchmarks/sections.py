# SPDX-License-Identifier: Apache-2.0
"""The families of measurements: what each is called, takes, needs on disk and brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import measure, report
from benchmarks.contenders import (
    CONTENDERS,
    MACVTAP_CONTENDERS,
    RUNNING_CONTENDERS,
    SWITCH_CONTENDERS,
    Contender,
)
from benchmarks.macvtap import measure as macvtap_measure
from benchmarks.macvtap import report as macvtap_report
from benchmarks.measure import Tick
from benchmarks.openvswitch import measure as switch_measure
from benchmarks.openvswitch import report as switch_report
from benchmarks.running import measure as running_measure
from benchmarks.running import report as running_report
from benchmarks.starting import measure as starting_measure
from benchmarks.starting import report as starting_report
from benchmarks.tables import Chapter
from benchmarks.together import measure as together_measure
from benchmarks.together import report as together_report
from benchmarks.together.grounds import PLACES

BRIDGE, SWITCH, TOGETHER, STARTING, MACVTAP = "bridge", "ovs", "together", "starting", "macvtap"
RUNNING = "run"


@dataclass(frozen=True, slots=True)
class Section:
    """A family of measurements.

    :ivar title: what is measured
    :ivar contenders: what has to be on disk
    :ivar ticks: how many steps the progress bar has
    :ivar minutes: what a whole one took where the page was written last;
    :ivar run: measure
    """

    title: str
    contenders: Sequence[Contender]
    ticks: int
    minutes: float
    run: Callable[[Tick], Chapter]


@dataclass(slots=True)
class Floor:
    """What the floor's samples say of the machine.

    :ivar spread: 90th percentile of its plug over the median; None if it was not measured
    """

    spread: float | None = None


def _bridge(contenders: Sequence[Contender], quick: bool, floor: Floor) -> Section:
    plan = measure.QUICK if quick else measure.Plan()

    def run(tick: Tick) -> Chapter:
        samples = measure.Samples()
        measure.plugging(contenders, plan, samples, tick)
        results = report.Results(contenders, plan, samples)
        floor.spread = results.spread
        return report.chapter(results)

    return Section("one tap on a Linux bridge", contenders, measure.ticks(contenders, plan), 1, run)


def _switch(quick: bool) -> Section:
    plan = switch_measure.SWITCH_QUICK if quick else switch_measure.SwitchPlan()

    def run(tick: Tick) -> Chapter:
        samples = switch_measure.SwitchSamples()
        switch_measure.switching(SWITCH_CONTENDERS, plan, samples, tick)
        results = switch_report.SwitchResults(SWITCH_CONTENDERS, plan, samples)
        return switch_report.chapter(results)

    return Section(
        "one port of Open vSwitch", SWITCH_CONTENDERS, switch_measure.ticks(plan), 1.5, run
    )


def _together(quick: bool) -> Section:
    plan = together_measure.TOGETHER_QUICK if quick else together_measure.TogetherPlan()

    def run(tick: Tick) -> Chapter:
        samples = together_measure.TogetherSamples()
        together_measure.coming_together(plan, samples, tick)
        return together_report.chapter(together_report.TogetherResults(plan, samples))

    contenders = [each for place in PLACES.values() for each in place.contenders]
    return Section("many ports", contenders, together_measure.ticks(plan), 6.5, run)


def _starting(quick: bool) -> Section:
    plan = starting_measure.STARTING_QUICK if quick else starting_measure.StartingPlan()

    def run(tick: Tick) -> Chapter:
        samples = starting_measure.StartingSamples()
        starting_measure.starting(plan, samples, tick)
        return starting_report.chapter(starting_report.StartingResults(plan, samples))

    releases = set(starting_measure.RELEASES.values())
    contenders = [each for each in CONTENDERS if each.environment in releases]
    return Section("fresh processes", contenders, starting_measure.ticks(plan), 1.5, run)


def _macvtap(quick: bool) -> Section:
    plan = macvtap_measure.MACVTAP_QUICK if quick else macvtap_measure.MacvtapPlan()

    def run(tick: Tick) -> Chapter:
        samples = macvtap_measure.MacvtapSamples()
        macvtap_measure.sharing(MACVTAP_CONTENDERS, plan, samples, tick)
        results = macvtap_report.MacvtapResults(MACVTAP_CONTENDERS, plan, samples)
        return macvtap_report.chapter(results)

    ticks = macvtap_measure.ticks(MACVTAP_CONTENDERS, plan)
    return Section("one macvtap", MACVTAP_CONTENDERS, ticks, 0.5, run)


def _running(quick: bool) -> Section:
    plan = running_measure.RUNNING_QUICK if quick else running_measure.RunningPlan()

    def run(tick: Tick) -> Chapter:
        samples = running_measure.RunningSamples()
        running_measure.running(RUNNING_CONTENDERS, plan, samples, tick)
        results = running_report.RunningResults(RUNNING_CONTENDERS, plan, samples)
        return running_report.chapter(results)

    ticks = running_measure.ticks(RUNNING_CONTENDERS, plan)
    return Section("guests' programs", RUNNING_CONTENDERS, ticks, 1, run)


def chosen(only: str | None, *, quick: bool, floor: Floor) -> list[Section]:
    """What to measure, in the order of the page.

    :param only: comma-separated sections, and contenders of the bridge; None is all
    :param floor: gets what the floor's samples say
    :raises ValueError: an unknown name
    """
    made = {
        SWITCH: _switch,
        TOGETHER: _together,
        STARTING: _starting,
        MACVTAP: _macvtap,
        RUNNING: _running,
    }
    keys = [contender.key for contender in CONTENDERS]
    names = [BRIDGE, *made] if only is None else [name.strip() for name in only.split(",")]
    unknown = sorted(set(names) - {BRIDGE, *made, *keys})
    if unknown:
        known = ", ".join([BRIDGE, *made, *keys])
        raise ValueError(f"--only: unknown {', '.join(unknown)}; known: {known}")
    contenders = [each for each in CONTENDERS if BRIDGE in names or each.key in names]
    found = [_bridge(contenders, quick, floor)] if contenders else []
    return found + [make(quick) for name, make in made.items() if name in names]
