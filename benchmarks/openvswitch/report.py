# SPDX-License-Identifier: Apache-2.0
"""The tables and the method of the measurements on Open vSwitch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.contenders import FLOOR, NEW, OURS, Contender
from benchmarks.openvswitch.measure import SwitchPlan, SwitchSamples
from benchmarks.openvswitch.modes import HYBRID, MODES, OWN_BRIDGE, TAP, VHOST_USER
from benchmarks.processes import MEGABYTE
from benchmarks.statistics import Summary, ratio, summarize
from benchmarks.tables import (
    NOTHING,
    Chapter,
    Grid,
    Target,
    gains,
    median_p90,
    outcomes,
    times,
    told,
)


@dataclass(frozen=True, slots=True)
class SwitchResults:
    """The samples of a run and what they are samples of."""

    contenders: Sequence[Contender]
    plan: SwitchPlan
    samples: SwitchSamples

    def single(self, key: str, mode: str, others: int, op: str) -> Summary | None:
        """Of one plug or unplug; None if it was not measured."""
        found = self.samples.single.get((key, mode, others, op))
        return summarize(found) if found else None

    def modes(self, others: int) -> list[str]:
        """The modes measured with so many other ports."""
        return [mode for mode in MODES if self.single(FLOOR, mode, others, "plug")]


def _gain_of(mode: str) -> Callable[[SwitchResults], float | None]:
    def measured(results: SwitchResults) -> float | None:
        base = results.plan.levels[0]
        mine = results.single(OURS, mode, base, "plug")
        return ratio(results.single(NEW, mode, base, "plug"), mine)

    return measured


def _over_floor(mode: str) -> Callable[[SwitchResults], float | None]:
    def measured(results: SwitchResults) -> float | None:
        base = results.plan.levels[0]
        mine = results.single(OURS, mode, base, "plug")
        return ratio(mine, results.single(FLOOR, mode, base, "plug"))

    return measured


def _memory_growth(results: SwitchResults) -> float | None:
    first, last = (results.samples.memory.get((OURS, n)) for n in _ends(results))
    return last / first if first and last else None


def _idle_at_most(results: SwitchResults) -> float | None:
    share = results.samples.idle.get((OURS, results.plan.levels[-1]))
    return None if share is None else share * 1000


def _ends(results: SwitchResults) -> tuple[int, int]:
    return results.plan.levels[0], results.plan.levels[-1]


_OVER_FLOOR = {TAP: 1.5, HYBRID: 1.6, OWN_BRIDGE: 1.5, VHOST_USER: 1.5}
_GAINS = {TAP: 3.0, HYBRID: 5.0}

TARGETS: Sequence[Target[SwitchResults]] = (
    *(
        Target(f"Open vSwitch: plug / floor, {MODES[mode]}", limit, _over_floor(mode))
        for mode, limit in _OVER_FLOOR.items()
    ),
    *(
        Target(f"Open vSwitch: os-vif 5.3.0 / plug, {MODES[mode]}", limit, _gain_of(mode), True)
        for mode, limit in _GAINS.items()
    ),
    Target("Open vSwitch: client's memory, most other ports / none", 1.1, _memory_growth),
    Target("Open vSwitch: client's idle CPU, most other ports", 1.0, _idle_at_most, unit=" ms/s"),
)


def _single_ratios(results: SwitchResults, others: int) -> Grid:
    rows = []
    for mode in results.modes(others):
        for contender in results.contenders:
            row = [f"{MODES[mode]}: {contender.label}"]
            for op in ("plug", "unplug"):
                mine = results.single(contender.key, mode, others, op)
                row += [
                    times(ratio(mine, results.single(FLOOR, mode, others, op))),
                    times(ratio(results.single(NEW, mode, others, op), mine)),
                ]
            rows.append(tuple(row))
    columns = ["mode and contender"]
    for op in ("plug", "unplug"):
        columns += [f"{op} / floor", f"5.3.0 / {op}"]
    title = f"Open vSwitch, one port, {others} other ports: ratios of medians"
    return Grid(title, tuple(columns), tuple(rows))


def _single_times(results: SwitchResults, op: str) -> Grid:
    rows = []
    for mode, name in MODES.items():
        for contender in results.contenders:
            row = [f"{name}: {contender.label}"]
            for others in results.plan.levels:
                row += median_p90(results.single(contender.key, mode, others, op))
            rows.append(tuple(row))
    columns = ["mode and contender"]
    for others in results.plan.levels:
        columns += [f"{others} ports", "p90"]
    title = f"Open vSwitch, one {op}, this machine's times: median and p90, ms"
    return Grid(title, tuple(columns), tuple(rows))


def _at_rest(results: SwitchResults) -> Grid:
    first, last = _ends(results)
    columns = ["client", f"MB, {first} ports", f"MB, {last} ports", "more MB"]
    columns += [f"CPU ms/s, {n} ports" for n in (first, last)]
    rows = []
    for contender in results.contenders:
        held = [results.samples.memory.get((contender.key, n)) for n in (first, last)]
        busy = [results.samples.idle.get((contender.key, n)) for n in (first, last)]
        row = [NOTHING if each is None else f"{each / MEGABYTE:.1f}" for each in held]
        known = [each for each in held if each is not None]
        row.append(f"{(known[1] - known[0]) / MEGABYTE:.1f}" if len(known) > 1 else NOTHING)
        row += [NOTHING if each is None else f"{each * 1000:.2f}" for each in busy]
        rows.append((contender.label, *row))
    title = "Open vSwitch, a client at rest: resident memory and CPU time"
    return Grid(title, tuple(columns), tuple(rows))


def _method(results: SwitchResults) -> str:
    plan = results.plan
    others = ", ".join(str(level) for level in plan.levels)
    return f"""\
## Method: Open vSwitch

- A private network namespace with its own ovsdb-server and ovs-vswitchd
  {results.samples.version}, datapath in userspace (`netdev`), without traffic. All contenders
  share it, in processes and virtual environments of their own, privileged in process. After one
  plug and unplug each the rows, the port numbers, the devices and what is left are looked at with
  `ovs-vsctl` and `ip`; a contender that misses the end state ends the run.
- The floor knows beforehand that the bridge is there and nothing in the way. It sends one
  transaction, waits until ovs-vswitchd's `cur_cfg` has caught up with it, and makes the devices
  with the fewest requests: a tap with one ioctl and one netlink message, the hybrid bridge and
  veth with five. It checks nothing, takes nothing back, and remembers the rows it made, so that
  it need not look for them to unplug.
- Rounds: in each, every contender plugs and unplugs one fresh port, another contender first each
  time; at every number of other ports ({others}; taps, on the same bridge), one switch after the
  other. {plan.warmup} rounds are discarded, {plan.rounds} counted; {plan.crowded} with other ports.
- vhost-user needs a switch with DPDK (`--no-huge`, no guest connected), here without other ports.
  Its polling thread takes a good part of a CPU: compare these rows with each other only.
- os-vif 5.3.0 may return before Open vSwitch has given a port its number; the time until it has
  is not counted.
- At rest: after the rounds the contenders keep their connections and are left alone for
  {plan.idle:g} s; memory is what /proc calls VmRSS, CPU time what the scheduler counted. There is
  no traffic: what a replica of the database costs while statistics change is not seen here.
"""


def chapter(results: SwitchResults) -> Chapter:
    """All of it."""
    found = [
        ("one plug on Open vSwitch", _gain_of(TAP)(results), True),
        ("one hybrid plug on Open vSwitch", _gain_of(HYBRID)(results), False),
    ]
    levels = results.plan.levels
    return Chapter(
        gains=gains(*found),
        ratios=told([*(_single_ratios(results, n) for n in levels), _at_rest(results)]),
        durations=told([_single_times(results, op) for op in ("plug", "unplug")]),
        method=_method(results),
        targets=outcomes(TARGETS, results),
        facts=[("Open vSwitch (Debian)", results.samples.version)],
    )
