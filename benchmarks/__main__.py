# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks``: measure, print the tables, write the page of the documentation."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import environments, measure, report, sandbox, tables
from benchmarks.client import WorkerError
from benchmarks.contenders import CONTENDERS, SWITCH_CONTENDERS, Contender
from benchmarks.openvswitch import measure as switch_measure
from benchmarks.openvswitch import report as switch_report
from benchmarks.openvswitch.measure import SwitchSamples
from benchmarks.openvswitch.report import SwitchResults
from tests.debian import PackagesError

DOCUMENT = environments.ROOT / "docs" / "benchmarks.md"
COLD, SWITCH = "cold", "ovs"

WIDE = 120
"""Columns of the tables where there is no terminal to ask."""


def _parser() -> argparse.ArgumentParser:
    keys = ", ".join(contender.key for contender in CONTENDERS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, under a minute; prints only"
    )
    parser.add_argument(
        "--only",
        metavar="NAMES",
        help=f"comma-separated contenders ({keys}), '{COLD}' for cold starts and '{SWITCH}' for"
        " Open vSwitch; prints only",
    )
    parser.add_argument(
        "--output", type=Path, help=f"where to write the page (a full run: {DOCUMENT.name})"
    )
    return parser


def _chosen(only: str | None) -> tuple[list[Contender], set[str]]:
    """The contenders to plug with, and what else to measure: cold starts, Open vSwitch.

    :raises ValueError: an unknown name
    """
    if only is None:
        return list(CONTENDERS), {COLD, SWITCH}
    names = [name.strip() for name in only.split(",")]
    known = {contender.key for contender in CONTENDERS} | {COLD, SWITCH}
    unknown = sorted(set(names) - known)
    if unknown:
        raise ValueError(f"--only: unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return [each for each in CONTENDERS if each.key in names], {COLD, SWITCH} & set(names)


def _releases(contenders: Sequence[Contender]) -> dict[str, str]:
    """The environments of os-vif releases among the contenders, by cold-start label."""
    return {
        report.release(each.label): each.environment
        for each in contenders
        if each.environment is not None
    }


def _facts(contenders: Sequence[Contender]) -> list[tuple[str, str]]:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    facts = [
        ("Date", datetime.datetime.now(datetime.UTC).date().isoformat()),
        ("Kernel", platform.release()),
        ("CPUs", f"{os.cpu_count()}, {cpu}"),
        ("Python", platform.python_version()),
        ("iproute2", environments.ip_version()),
    ]
    if any(not contender.tap for contender in contenders):
        facts.append(("CNI plugins (Debian)", environments.cni_version()))
    for label, environment in _releases(contenders).items():
        found = environments.versions(environment)
        facts.append((label, ", ".join(f"{name} {version}" for name, version in found.items())))
    return facts


def _install(contenders: Sequence[Contender], progress: Progress) -> None:
    task = progress.add_task("installing", total=None)
    for contender in {each.environment or each.driver: each for each in contenders}.values():
        progress.update(task, description=f"installing: {contender.label}")
        contender.install()
    progress.remove_task(task)


def _ticker(progress: Progress, total: int) -> measure.Tick:
    task = progress.add_task("", total=total)

    def tick(doing: str) -> None:
        progress.update(task, description=doing, advance=1)

    return tick


def _run(
    contenders: Sequence[Contender], cold: bool, plan: measure.Plan, progress: Progress
) -> measure.Samples:
    samples = measure.Samples()
    if not contenders and not cold:
        return samples
    releases = _releases(contenders or CONTENDERS) if cold else {}
    _install(contenders or CONTENDERS, progress)
    tick = _ticker(progress, measure.steps(contenders, releases, plan))
    if contenders:
        measure.plugging(contenders, plan, samples, tick)
    if releases:
        measure.cold(releases, plan, samples, tick)
    return samples


def _run_switch(plan: switch_measure.SwitchPlan, progress: Progress) -> SwitchResults:
    samples = SwitchSamples()
    _install(SWITCH_CONTENDERS, progress)
    tick = _ticker(progress, switch_measure.ticks(SWITCH_CONTENDERS, plan))
    switch_measure.switching(SWITCH_CONTENDERS, plan, samples, tick)
    return SwitchResults(SWITCH_CONTENDERS, plan, samples)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Once only: a second Ctrl-C must not stop the taking down of what the run made."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """0 done, 1 a contender failed or cannot be had, 2 bad arguments or not root."""
    arguments = _parser().parse_args()
    console, errors = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = WIDE
    try:
        contenders, more = _chosen(arguments.only)
    except ValueError as error:
        errors.print(str(error), markup=False)
        return 2
    if os.geteuid() != 0:
        errors.print("the benchmarks make network namespaces: run them as root")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    quick = arguments.quick
    plan = measure.QUICK if quick else measure.Plan()
    switch_plan = switch_measure.SWITCH_QUICK if quick else switch_measure.SwitchPlan()
    switch = None
    columns = (TextColumn("{task.description:<55}"), BarColumn(), MofNCompleteColumn())
    try:
        sandbox.remove_leftovers()
        with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
            samples = _run(contenders, COLD in more, plan, progress)
            if SWITCH in more:
                switch = _run_switch(switch_plan, progress)
    except (environments.SetupError, PackagesError, WorkerError, RuntimeError) as error:
        errors.print(str(error), markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        errors.print("interrupted; nothing is left behind")
        return 130
    results = report.Results(contenders or CONTENDERS, plan, samples)
    grids = report.grids(results)
    if switch is not None:
        grids += switch_report.grids(switch)
    for grid in grids:
        console.print(grid.title, style="bold", markup=False)
        console.print(tables.terminal(grid))
    whole = not quick and arguments.only is None
    output = arguments.output or (DOCUMENT if whole else None)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        facts = _facts(contenders or CONTENDERS)
        if switch is not None:
            facts.append(("Open vSwitch (Debian)", switch.samples.version))
        output.write_text(report.document(results, facts, switch))
        console.print(f"written: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
