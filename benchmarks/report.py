# SPDX-License-Identifier: Apache-2.0
"""The tables, targets and method of one tap at a time on a Linux bridge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import contenders as who
from benchmarks.contenders import Contender
from benchmarks.measure import Plan, Samples
from benchmarks.statistics import Summary, ratio, summarize
from benchmarks.tables import Chapter, Grid, Target, gains, median_p90, outcomes, times, told


@dataclass(frozen=True, slots=True)
class Results:
    """The samples of a run and what they are samples of."""

    contenders: Sequence[Contender]
    plan: Plan
    samples: Samples

    def single(self, key: str, others: int, op: str) -> Summary | None:
        """Of one plug or unplug; None if it was not measured."""
        found = self.samples.single.get((key, others, op))
        return summarize(found) if found else None

    @property
    def spread(self) -> float | None:
        """90th percentile over median of the floor's plug; None if it was not measured."""
        floor = self.single(who.FLOOR, self.plan.levels[0], "plug")
        return floor.p90 / floor.median if floor else None


def _single_ratios(results: Results, others: int) -> Grid:
    columns = ["contender"]
    for op in ("plug", "unplug"):
        columns += [f"{op} / floor", f"5.3.0 / {op}"]
    rows = []
    for contender in results.contenders:
        row = [contender.label]
        for op in ("plug", "unplug"):
            mine = results.single(contender.key, others, op)
            row += [
                times(ratio(mine, results.single(who.FLOOR, others, op))),
                times(ratio(results.single(who.NEW, others, op), mine)),
            ]
        rows.append(tuple(row))
    title = f"One tap on a Linux bridge, {others} other links: ratios of medians"
    return Grid(title, tuple(columns), tuple(rows))


def _growth(results: Results) -> Grid:
    base, *more = results.plan.levels
    columns = ["contender"]
    columns += [f"{op} {others} / {base}" for op in ("plug", "unplug") for others in more]
    rows = []
    for contender in results.contenders:
        row = [contender.label]
        for op in ("plug", "unplug"):
            at_base = results.single(contender.key, base, op)
            row += [times(ratio(results.single(contender.key, n, op), at_base)) for n in more]
        rows.append(tuple(row))
    return Grid(
        "One tap on a Linux bridge, growth with other links: ratios of medians",
        tuple(columns),
        tuple(rows),
    )


def _single_times(results: Results, op: str) -> Grid:
    columns = ["contender"]
    for others in results.plan.levels:
        columns += [f"{others} links", "p90"]
    rows = []
    for contender in results.contenders:
        row = [contender.label]
        for others in results.plan.levels:
            mine = results.single(contender.key, others, op)
            row += median_p90(mine)
        rows.append(tuple(row))
    title = f"One tap on a Linux bridge, {op}, this machine's times: median and p90, ms"
    return Grid(title, tuple(columns), tuple(rows))


def _plug_over(key: str, base: str) -> Callable[[Results], float | None]:
    def measured(results: Results) -> float | None:
        others = results.plan.levels[0]
        mine = results.single(key, others, "plug")
        return ratio(mine, results.single(base, others, "plug"))

    return measured


def _grown(op: str) -> Callable[[Results], float | None]:
    def measured(results: Results) -> float | None:
        base, most = results.plan.levels[0], results.plan.levels[-1]
        mine = results.single(who.OURS, most, op)
        return ratio(mine, results.single(who.OURS, base, op))

    return measured


TARGETS: Sequence[Target[Results]] = (
    Target("Linux bridge: plug in process / floor", 1.7, _plug_over(who.OURS, who.FLOOR)),
    Target(
        "Linux bridge: plug through the daemon / floor", 2.5, _plug_over(who.OURS_DAEMON, who.FLOOR)
    ),
    Target(
        "Linux bridge: os-vif 4.3.1 / plug, in process",
        6.0,
        _plug_over(who.OLD, who.OURS),
        at_least=True,
    ),
    Target(
        "Linux bridge: os-vif 4.3.1 / plug, both by daemon",
        6.0,
        _plug_over(who.OLD_DAEMON, who.OURS_DAEMON),
        at_least=True,
    ),
    Target("Linux bridge: plug, most other links / none", 1.1, _grown("plug")),
    Target("Linux bridge: unplug, most other links / none", 1.1, _grown("unplug")),
)


def _method(results: Results) -> str:
    plan = results.plan
    others = ", ".join(str(level) for level in plan.levels)
    return f"""\
## Method: one tap on a Linux bridge

- Every contender brings the host to the same end state: a persistent tap with its MAC, an MTU of
  1500 and IPv6 disabled, up, on a Linux bridge that is already there and correct. The floor is a
  bare netlink script in plain Python: the least a Python program has to do.
- Each contender runs in a process of its own, in a virtual environment of its own, inside a
  private network namespace. One plug and unplug is read back with `ip` before anything is timed,
  and a contender that misses the end state ends the run.
- Rounds: in each, every contender plugs and unplugs one fresh port, at every number of other
  links ({others}; kind {results.samples.other_kind or "none"}), another contender first each
  time. {plan.warmup} rounds are discarded, {plan.rounds} counted. Only the contender's own call is
  inside the clock.
- os-vif 4.3.1 and 5.3.0 leave the tap of a Linux bridge to the hypervisor. They are driven
  through their own calls that make a tap and enslave a device (two privileged calls); their
  `os_vif.plug`, which a caller pays on top, is left out.
- Through the daemon, the caller runs as an unprivileged user and oslo.privsep's daemon does the
  work.
- The CNI plugin makes a veth pair into a container's namespace, without alias, IPv6 left on. `ip`
  cannot disable IPv6: the script around it writes that file itself.
- Every deletion of a link waits for the kernel's RCU callbacks, whoever asks for it; only deleting
  many links in one request avoids it.
"""


def chapter(results: Results) -> Chapter:
    """All of it."""
    levels = results.plan.levels
    found = [
        ("one plug on a Linux bridge", _plug_over(who.NEW, who.OURS)(results), True),
        (
            "one plug on a Linux bridge, through the daemon",
            _plug_over(who.NEW_DAEMON, who.OURS_DAEMON)(results),
            False,
        ),
    ]
    ratios = [_single_ratios(results, others) for others in levels]
    if len(levels) > 1:
        ratios.append(_growth(results))
    return Chapter(
        gains=gains(*found),
        ratios=told(ratios),
        durations=told([_single_times(results, op) for op in ("plug", "unplug")]),
        method=_method(results),
        targets=outcomes(TARGETS, results),
    )
