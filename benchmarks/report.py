# SPDX-License-Identifier: Apache-2.0
"""From samples to tables: one set of them, for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import contenders as who
from benchmarks.contenders import Contender
from benchmarks.macvtap import report as macvtap_report
from benchmarks.macvtap.report import MacvtapResults
from benchmarks.measure import BARE, VERSIONED_OBJECTS, Plan, Samples
from benchmarks.openvswitch import report as switch_report
from benchmarks.openvswitch.report import SwitchResults
from benchmarks.statistics import Summary, ratio, summarize
from benchmarks.tables import NOTHING, Grid, Target, markdown, median_p90, target_grid, times


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

    def bulk(self, key: str, way: str, op: str) -> Summary | None:
        """Of plugging or unplugging all the ports of the bulk measure."""
        found = self.samples.bulk.get((key, way, op))
        return summarize(found) if found else None

    def cold(self, label: str) -> Summary | None:
        """Of a cold start."""
        found = self.samples.cold.get(label)
        return summarize(found) if found else None

    def bulk_rows(self) -> list[tuple[Contender, str]]:
        """What the bulk measure had: contender and way, one by one or at once."""
        return [
            (contender, way)
            for contender in self.contenders
            for way in ("many", "each")
            if self.bulk(contender.key, way, "plug")
        ]


def _single_ratios(results: Results, others: int) -> Grid:
    columns = ["contender"]
    for op in ("plug", "unplug"):
        columns += [f"{op} / floor", f"4.3.1 / {op}"]
    rows = []
    for contender in results.contenders:
        row = [contender.label]
        for op in ("plug", "unplug"):
            mine = results.single(contender.key, others, op)
            row += [
                times(ratio(mine, results.single(who.FLOOR, others, op))),
                times(ratio(results.single(who.OLD, others, op), mine)),
            ]
        rows.append(tuple(row))
    title = f"One port, {others} other links: ratios of medians to floor and os-vif 4.3.1"
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
    return Grid("Growth with other links: ratios of medians", tuple(columns), tuple(rows))


_WAYS = {"many": "at once", "each": "one by one"}


def _bulk_ratios(results: Results) -> Grid:
    count = results.plan.bulk
    rows = []
    for contender, way in results.bulk_rows():
        row = [f"{contender.label}, {_WAYS[way]}"]
        for op in ("plug", "unplug"):
            mine = results.bulk(contender.key, way, op)
            row += [
                times(ratio(mine, results.bulk(who.FLOOR, "many", op))),
                times(ratio(results.bulk(who.OLD, "each", op), mine), 1),
            ]
        rows.append(tuple(row))
    columns = ["contender"]
    for op in ("plug", "unplug"):
        columns += [f"{op} / floor", f"4.3.1 / {op}"]
    title = f"{count} ports: ratios of medians to floor at once and os-vif 4.3.1 one by one"
    return Grid(title, tuple(columns), tuple(rows))


def _cold_ratios(results: Results) -> Grid:
    reference = results.cold(label_of(results.contenders, who.NEW))
    rows = []
    for label in results.samples.cold:
        mine = results.cold(label)
        rows.append((label, times(ratio(mine, reference)), times(ratio(mine, results.cold(BARE)))))
    columns = ("process", "/ os-vif 5.3.0", "/ bare Python")
    return Grid("Cold start, import and initialize: ratios of medians", columns, tuple(rows))


def release(label: str) -> str:
    """The release of a contender's label: what comes before the comma."""
    return label.partition(",")[0]


def label_of(contenders: Sequence[Contender], key: str) -> str:
    """The cold-start label of contender `key`; empty if it does not take part."""
    return next((release(each.label) for each in contenders if each.key == key), "")


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
    title = f"One {op}, this machine's times: median and p90, ms"
    return Grid(title, tuple(columns), tuple(rows))


def _bulk_times(results: Results) -> Grid:
    rows = []
    for contender, way in results.bulk_rows():
        row = [f"{contender.label}, {_WAYS[way]}"]
        for op in ("plug", "unplug"):
            mine = results.bulk(contender.key, way, op)
            row.append(median_p90(mine)[0])
        rows.append(tuple(row))
    title = f"{results.plan.bulk} ports, this machine's times: median, ms"
    return Grid(title, ("contender", "plug all", "unplug all"), tuple(rows))


def _cold_times(results: Results) -> Grid:
    rows = []
    for label in results.samples.cold:
        rows.append((label, *median_p90(results.cold(label))))
    title = "Cold start, this machine's times: median and p90, ms"
    return Grid(title, ("process", "median", "p90"), tuple(rows))


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


def _bulk_gain(results: Results) -> float | None:
    each = results.bulk(who.OURS, "each", "unplug")
    return ratio(each, results.bulk(who.OURS, "many", "unplug"))


def _cold_share(results: Results) -> float | None:
    mine = results.cold(label_of(results.contenders, who.OURS))
    return ratio(mine, results.cold(label_of(results.contenders, who.NEW)))


TARGETS: Sequence[Target[Results]] = (
    Target("plug in process / floor", 2.0, _plug_over(who.OURS, who.FLOOR)),
    Target("plug through the daemon / floor", 3.0, _plug_over(who.OURS_DAEMON, who.FLOOR)),
    Target("os-vif 4.3.1 / plug, in process", 6.0, _plug_over(who.OLD, who.OURS), at_least=True),
    Target(
        "os-vif 4.3.1 / plug, both by daemon",
        6.0,
        _plug_over(who.OLD_DAEMON, who.OURS_DAEMON),
        at_least=True,
    ),
    Target("unplug one by one / unplug at once", 30.0, _bulk_gain, at_least=True),
    Target("plug, most other links / none", 1.1, _grown("plug")),
    Target("unplug, most other links / none", 1.1, _grown("unplug")),
    Target("import and initialize / os-vif 5.3.0", 0.8, _cold_share),
)


def grids(results: Results) -> list[Grid]:
    """All tables there is something for, ratios first."""
    made = [target_grid("Targets", "ratio of medians", TARGETS, results)]
    made += [_single_ratios(results, others) for others in results.plan.levels]
    if len(results.plan.levels) > 1:
        made.append(_growth(results))
    made += [_bulk_ratios(results), _cold_ratios(results)]
    made += [_single_times(results, op) for op in ("plug", "unplug")]
    made += [_bulk_times(results), _cold_times(results)]
    return [grid for grid in made if any(set(row[1:]) != {NOTHING} for row in grid.rows)]


def document(
    results: Results,
    facts: Sequence[tuple[str, str]],
    switch: SwitchResults | None = None,
    macvtap: MacvtapResults | None = None,
) -> str:
    """The page of the documentation.

    :param switch: what was measured on Open vSwitch
    :param macvtap: what was measured of macvtaps
    :param facts: (what, value) pairs about the machine, the versions and the date
    """
    plan = results.plan
    others = ", ".join(str(level) for level in plan.levels)
    about = Grid("Where and with what", ("", ""), tuple(facts))
    opening = """\
<!-- Generated by "make bench"; do not edit. -->

# Benchmarks

Every contender brings the host to the same end state: a persistent tap with its MAC, an MTU of
1500 and IPv6 disabled, up, on a Linux bridge that is already there and correct. The floor is a
bare netlink script in plain Python: the least a Python program has to do. Ratios come first,
because they carry over; the times are those of the one machine named at the end.
"""
    method = f"""\
## Method

- Each contender runs in a process of its own, in a virtual environment of its own, inside a
  private network namespace. One plug and unplug is read back with `ip` before anything is timed,
  and a contender that misses the end state ends the run.
- Rounds: in each, every contender plugs and unplugs one fresh port, at every number of other
  links ({others}; kind {results.samples.other_kind or "none"}), another contender first each
  time. {plan.warmup} rounds are discarded, {plan.rounds} counted. Only the contender's own call is
  inside the clock.
- {plan.bulk} ports: {plan.bulk_rounds} rounds, without other links. "At once" is the contender's
  bulk call (the floor and `ip` delete by link group), "one by one" a loop over the single call.
- Cold start: the wall time of a whole fresh process, byte code warm, {plan.cold} of each in turn.
  "{VERSIONED_OBJECTS}" is the library all releases of os-vif are built on.
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
    sections = [opening, *(markdown(grid) for grid in grids(results)), method]
    if switch is not None:
        sections += [markdown(grid) for grid in switch_report.grids(switch)]
        sections.append(switch_report.method(switch))
    if macvtap is not None:
        sections += [markdown(grid) for grid in macvtap_report.grids(macvtap)]
        sections.append(macvtap_report.method(macvtap))
    return "\n".join([*sections, markdown(about)])
