# SPDX-License-Identifier: Apache-2.0
"""The tables, targets and method of the measurements of fresh processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import contenders as who
from benchmarks.contenders import CONTENDERS
from benchmarks.starting.measure import (
    BARE,
    COMPLETION,
    HELP,
    LOOKS,
    RELEASES,
    VERSION,
    VERSIONED_OBJECTS,
    WORKS,
    StartingPlan,
    StartingSamples,
)
from benchmarks.statistics import Summary, ratio, summarize
from benchmarks.tables import Chapter, Grid, Target, gains, median_p90, outcomes, times, told

_LABELS = {each.key: each.label for each in CONTENDERS}
_OURS, _NEW = _LABELS[who.OURS], _LABELS[who.NEW]
_OURS_DAEMON, _NEW_DAEMON = _LABELS[who.OURS_DAEMON], _LABELS[who.NEW_DAEMON]


@dataclass(frozen=True, slots=True)
class StartingResults:
    """The samples of a run and what they are samples of."""

    plan: StartingPlan
    samples: StartingSamples

    def process(self, name: str) -> Summary | None:
        """Of a process from start to exit; None if it was not measured."""
        found = self.samples.process.get(name)
        return summarize(found) if found else None

    def daemon(self, label: str) -> Summary | None:
        """Of the first plug, which starts a daemon; None if it was not measured."""
        found = self.samples.daemon.get(label)
        return summarize(found) if found else None


def _name(name: str) -> str:
    return f"import and initialize: {name}" if name in RELEASES else name


def _ratios(results: StartingResults) -> Grid:
    rows = []
    for name in results.samples.process:
        mine = results.process(name)
        new = results.process(_NEW) if name in RELEASES else None
        row = (_name(name), times(ratio(mine, results.process(BARE))), times(ratio(mine, new)))
        rows.append(row)
    for label in results.samples.daemon:
        first = results.daemon(label)
        over_bare = times(ratio(first, results.process(BARE)))
        over_new = times(ratio(first, results.daemon(_NEW_DAEMON)))
        rows.append((f"the first plug: {label}", over_bare, over_new))
    columns = ("fresh process", "/ bare Python", "/ os-vif 5.3.0")
    return Grid("Starting: ratios of medians", columns, tuple(rows))


def _durations(results: StartingResults) -> Grid:
    rows = [
        *((_name(name), *median_p90(results.process(name))) for name in results.samples.process),
        *(
            (f"the first plug: {label}", *median_p90(results.daemon(label)))
            for label in results.samples.daemon
        ),
    ]
    title = "Starting, this machine's times: median and p90, ms"
    return Grid(title, ("fresh process", "median", "p90"), tuple(rows))


def _worst(names: Sequence[str]) -> Callable[[StartingResults], float | None]:
    """Of several commands the slowest, which has to reach the target too."""

    def measured(results: StartingResults) -> float | None:
        bare = results.process(BARE)
        found = [ratio(results.process(name), bare) for name in names]
        return max((each for each in found if each is not None), default=None)

    return measured


def _initialize(results: StartingResults) -> float | None:
    return ratio(results.process(_OURS), results.process(_NEW))


def _targets() -> list[Target[StartingResults]]:
    named = {
        "--help, --version, completion": ((HELP, VERSION, COMPLETION), 3.5),
        ", ".join(LOOKS): ([f"os-vif {verb}" for verb in LOOKS], 6.0),
        ", ".join(WORKS): ([f"os-vif {verb}" for verb in WORKS], 9.0),
    }
    return [
        *(
            Target(f"the slowest of {text} / bare Python", limit, _worst(names))
            for text, (names, limit) in named.items()
        ),
        Target("import and initialize / os-vif 5.3.0", 0.5, _initialize),
    ]


def _method(plan: StartingPlan) -> str:
    return f"""\
## Method: starting

- The wall time of a whole fresh process, from start to exit, byte code warm, {plan.rounds} of each
  in turn after one discarded. "{VERSIONED_OBJECTS}" is the library all releases of os-vif are
  built on; "{BARE}" is `python -c pass` in the same virtual environment.
- The commands run as root in a private network namespace with a bridge. `plan`, `plug`, `check`
  and `unplug` have one file with one VIF of type `bridge`; `list`, `show` and `gc`, which keeps
  it, find it plugged. Completion is what a shell asks for after `os-vif pl` and Tab.
- The first plug: who calls has no rights, and oslo.privsep's daemon is started by this call,
  {plan.daemons} times. oslo.privsep's helper is started as root: what sudo takes is not in it.
"""


def chapter(results: StartingResults) -> Chapter:
    """All of it."""
    new = results.process(_NEW)
    found = [
        ("importing and initializing the library", ratio(new, results.process(_OURS)), True),
        (
            "the first plug of a caller without rights",
            ratio(results.daemon(_NEW_DAEMON), results.daemon(_OURS_DAEMON)),
            False,
        ),
    ]
    return Chapter(
        gains=gains(*found),
        ratios=told([_ratios(results)]),
        durations=told([_durations(results)]),
        method=_method(results.plan),
        targets=outcomes(_targets(), results),
    )
