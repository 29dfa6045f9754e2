# SPDX-License-Identifier: Apache-2.0
"""The tables, the targets and the page."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import environments
from benchmarks.contenders import FLOOR, OURS
from benchmarks.northbound import bound
from benchmarks.northbound.measure import AT_ONCE, NBCTL, REPLICA, Plan, Samples
from benchmarks.statistics import Summary, ratio, summarize
from benchmarks.tables import (
    NOTHING,
    Grid,
    Target,
    markdown,
    median_p90,
    milliseconds,
    outcomes,
    target_grid,
    times,
    told,
)
from tests import debian

LABELS = {
    FLOOR: "floor (one transaction)",
    OURS: "os-vif network",
    REPLICA: "ovsdbapp",
    NBCTL: "ovn-nbctl",
}

OPERATIONS = {
    "add one": "add one",
    "fresh one": "connect and add one",
    "delete one after add": "delete one",
    "check one": "check one",
    "neighbours one": "check one, its neighbours too",
    "add at once": f"add {AT_ONCE} at once",
    "delete at once": f"delete {AT_ONCE} at once",
    "check at once": f"check {AT_ONCE}",
}
"""What the tables call each."""


@dataclass(frozen=True, slots=True)
class Results:
    """The samples of a run and what they are samples of."""

    plan: Plan
    samples: Samples

    def of(self, key: str, operation: str, others: int) -> Summary | None:
        """One cell; None if it was not measured."""
        found = self.samples.of.get((key, operation, others))
        return summarize(found) if found else None


def _over(key: str, base: str, operation: str, others: int) -> Callable[[Results], float | None]:
    return lambda results: ratio(
        results.of(key, operation, others), results.of(base, operation, others)
    )


def _grown(key: str, operation: str, others: int) -> Callable[[Results], float | None]:
    return lambda results: ratio(results.of(key, operation, others), results.of(key, operation, 0))


def _took(key: str, operation: str, others: int) -> Callable[[Results], float | None]:
    def measured(results: Results) -> float | None:
        found = results.of(key, operation, others)
        return None if found is None else found.median * 1000

    return measured


def targets(plan: Plan) -> list[Target[Results]]:
    """What was set out to be reached."""
    most = plan.levels[-1]
    usual = next((it for it in plan.levels if it >= 500), most)
    return [
        Target(f"add one, {usual} others / floor", 1.5, _over(OURS, FLOOR, "add one", usual)),
        Target(f"add one, {most} others / 0 others", 1.5, _grown(OURS, "add one", most)),
        Target(f"the floor's, {most} others / 0 others", 1.5, _grown(FLOOR, "add one", most)),
        Target(f"add {AT_ONCE} at once / floor", 1.5, _over(OURS, FLOOR, "add at once", usual)),
        Target(
            f"ovsdbapp / os-vif, {AT_ONCE} at once",
            5,
            _over(REPLICA, OURS, "add at once", usual),
            at_least=True,
        ),
        Target("check one, 0 others", 0.5, _took(OURS, "check one", 0), unit=" ms"),
        Target(f"check one, {most} others", 0.5, _took(OURS, "check one", most), unit=" ms"),
        Target(
            "plug with wait_for = ovn, after ovn-installed",
            5,
            _took("guest", bound.AFTER, 0),
            unit=" ms",
        ),
    ]


def grids(results: Results) -> list[Grid]:
    """Ratios first, then this machine's times, then what was asked for."""
    levels = results.plan.levels
    titles = tuple(f"{others} others" for others in levels)
    ratios = [
        Grid(
            f"{name}: ratios to the floor",
            ("contender", *titles),
            tuple(
                (
                    label,
                    *(
                        times(ratio(results.of(key, it, n), results.of(FLOOR, it, n)))
                        for n in levels
                    ),
                )
                for key, label in LABELS.items()
            ),
        )
        for it, name in OPERATIONS.items()
    ]
    durations = [
        Grid(
            f"{name}: milliseconds, medians",
            ("contender", *titles),
            tuple((label, *_cells(results, key, it)) for key, label in LABELS.items()),
        )
        for it, name in OPERATIONS.items()
    ]
    northd = Grid(
        "ovn-northd: milliseconds until it has followed, medians",
        ("of", *titles),
        tuple(
            (name, *_cells(results, "northd", it))
            for it, name in (("followed one", "one port"), ("followed at once", f"{AT_ONCE} ports"))
        ),
    )
    plugged = Grid(
        "A guest on OVN, from the call of plug: milliseconds",
        ("until", "median", "90th percentile"),
        tuple((name, *median_p90(results.of("guest", it, 0))) for it, name in _UNTIL.items()),
    )
    rows = outcomes(targets(results.plan), results)
    return [*told([*ratios, *durations, northd, plugged]), target_grid(rows)]


_UNTIL = {
    bound.PLUG: "plug has returned (wait_for = attached)",
    bound.INSTALLED: "ovn-controller has written ovn-installed",
    bound.RETURNED: "plug has returned (wait_for = ovn)",
    bound.PING: "a guest on another host has answered a ping",
}


def _cells(results: Results, key: str, operation: str) -> list[str]:
    found = [results.of(key, operation, others) for others in results.plan.levels]
    return [NOTHING if it is None else milliseconds(it.median) for it in found]


_HEAD = """\
<!-- Generated by "make bench-ovn"; do not edit. -->

# Benchmarks: networks on OVN

What it takes to have ports of a logical switch in OVN's Northbound database: all contenders in
turn, in one run on one machine, each on a connection that is open (but for "connect and add one"),
while the switch has so many *other* ports. The *floor* is one transaction by hand, which looks at
nothing beforehand and remembers the rows it made. os-vif reads each row that it is about to write
and writes what differs; new ports it tries to write at once, provided that there are none and that
the switch, its owner too, is as it was last seen. ovsdbapp has a replica of the database, as
Neutron has it; ovn-nbctl is a process a call.

Northbound is not the network: what ovn-northd needs until it has followed stands below. Until
OVN 23.09 that is most of it, and many ports in one call cost about what one does. Last comes what a
guest waits for: two hosts with the datapath in userspace, a tunnel between them, and its network
applied beforehand. Where the load stands above one a processor, all of it took too long, and what
takes a millisecond wavers.
"""


def page(results: Results) -> str:
    """The page, in Markdown."""
    tree = debian.tree("ovn")
    facts: Sequence[tuple[str, str]] = [
        ("Date", datetime.datetime.now(datetime.UTC).date().isoformat()),
        ("Kernel", platform.release()),
        ("CPUs", str(os.cpu_count())),
        ("Load average at the end", f"{os.getloadavg()[0]:.1f}"),
        ("Python", platform.python_version()),
        ("OVN", _version(tree)),
        *environments.versions("os-vif-5.3.0").items(),
        (
            "Rounds",
            f"{results.plan.rounds} of one port, {results.plan.bulk} of {AT_ONCE} at once, "
            f"{results.plan.followed} of ovn-northd",
        ),
    ]
    about = Grid("Where and with what", ("", ""), tuple(facts))
    return "\n".join([_HEAD, *(markdown(grid) for grid in [*grids(results), about])])


def _version(tree: Path) -> str:
    import subprocess

    said = subprocess.run(
        [*debian.command(tree, "usr/bin/ovn-nbctl"), "--version"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return said.split()[1]
