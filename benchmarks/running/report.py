# SPDX-License-Identifier: Apache-2.0
"""The tables, the target and the method of the measurements of guests' programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders import RUN, RUN_BEGUN, SCRIPT, Contender
from benchmarks.running.measure import RunningPlan, RunningSamples
from benchmarks.statistics import Summary, ratio, summarize
from benchmarks.tables import Chapter, Grid, Target, median_p90, outcomes, times, told


@dataclass(frozen=True, slots=True)
class RunningResults:
    """The samples of a run and what they are samples of."""

    contenders: Sequence[Contender]
    plan: RunningPlan
    samples: RunningSamples

    def first(self, key: str) -> Summary | None:
        """To a guest's first instruction; None if it was not measured."""
        found = self.samples.first.get(key)
        return summarize(found) if found else None

    def over_script(self, key: str) -> float | None:
        """How many times as long as the script's."""
        return ratio(self.first(key), self.first(SCRIPT))


def _ratios(results: RunningResults) -> Grid:
    rows = tuple((each.label, times(results.over_script(each.key))) for each in results.contenders)
    title = "A guest's program, to its first instruction: ratios of medians to the script"
    return Grid(title, ("contender", "/ script"), rows)


def _times(results: RunningResults) -> Grid:
    rows = tuple((each.label, *median_p90(results.first(each.key))) for each in results.contenders)
    title = "A guest's program, to its first instruction, this machine's times: median and p90, ms"
    return Grid(title, ("contender", "median", "p90"), rows)


TARGETS: Sequence[Target[RunningResults]] = (
    Target(
        "os-vif run, its own start aside / a script",
        1.3,
        lambda results: results.over_script(RUN_BEGUN),
    ),
)


def _method(plan: RunningPlan) -> str:
    return f"""\
## Method: a guest's program

- From the start of a program to the first instruction of its guest: a firmware of the benchmark's
  own writes a byte to QEMU's debug console, and that byte ends the clock. QEMU is Debian's, its
  processor emulated, its machine `pc` with one virtio card.
- The script is what one writes oneself: `ip tuntap`, `ip link`, a file that turns IPv6 off, `ip
  link`, and QEMU in the shell's place, which opens the tap by its name. It looks at nothing and
  leaves the tap behind.
- `os-vif run` reads a file, looks, plugs, opens the tap and starts QEMU below it. "{RUN}" is a
  whole fresh command; with its own start aside, a process that has loaded all that a run needs
  forks, and the clock begins there.
- Rounds: in each, every contender has one guest, another contender first each time. {plan.warmup}
  rounds are discarded, {plan.rounds} counted. Before, `ip` has looked at the tap of one guest of
  each: it is as the taps of one plug on a Linux bridge are.
"""


def chapter(results: RunningResults) -> Chapter:
    """All of it: no gain, since os-vif 5.3.0 starts no guest."""
    return Chapter(
        gains=[],
        ratios=told([_ratios(results)]),
        durations=told([_times(results)]),
        method=_method(results.plan),
        targets=outcomes(TARGETS, results),
    )
