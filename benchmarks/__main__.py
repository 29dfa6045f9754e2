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
from benchmarks.contenders import (
    CNI,
    CONTENDERS,
    MACVTAP_CONTENDERS,
    SWITCH_CONTENDERS,
    Contender,
)
from benchmarks.macvtap import measure as macvtap_measure
from benchmarks.macvtap import report as macvtap_report
from benchmarks.macvtap.report import MacvtapResults
from benchmarks.openvswitch import measure as switch_measure
from benchmarks.openvswitch import report as switch_report
from benchmarks.openvswitch.measure import SwitchSamples
from benchmarks.openvswitch.report import SwitchResults
from tests.debian import PackagesError

DOCUMENT = environments.ROOT / "docs" / "benchmarks.md"
COLD, SWITCH, MACVTAP = "cold", "ovs", "macvtap"
SECTIONS = {COLD, SWITCH, MACVTAP}

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
        help=f"comma-separated contenders ({keys}), '{COLD}' for cold starts, '{SWITCH}' for Open"
        f" vSwitch and '{MACVTAP}' for macvtaps; prints only",
    )
    parser.add_argument(
        "--output", type=Path, help=f"where to write the page (a full run: {DOCUMENT.name})"
    )
    return parser


def _chosen(only: str | None) -> tuple[list[Contender], set[str]]:
    """The contenders to plug with, and what else to measure: some of `SECTIONS`.

    :raises ValueError: an unknown name
    """
    if only is None:
        return list(CONTENDERS), SECTIONS
    names = [name.strip() for name in only.split(",")]
    known = {contender.key for contender in CONTENDERS} | SECTIONS
    unknown = sorted(set(names) - known)
    if unknown:
        raise ValueError(f"--only: unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    return [each for each in CONTENDERS if each.key in names], SECTIONS & set(names)


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
    if any(contender.key == CNI for contender in contenders):
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


def _run_switch(quick: bool, progress: Progress) -> SwitchResults:
    plan = switch_measure.SWITCH_QUICK if quick else switch_measure.SwitchPlan()
    samples = SwitchSamples()
    _install(SWITCH_CONTENDERS, progress)
    tick = _ticker(progress, switch_measure.ticks(SWITCH_CONTENDERS, plan))
    switch_measure.switching(SWITCH_CONTENDERS, plan, samples, tick)
    return SwitchResults(SWITCH_CONTENDERS, plan, samples)


def _run_macvtap(quick: bool, progress: Progress) -> MacvtapResults:
    plan = macvtap_measure.MACVTAP_QUICK if quick else macvtap_measure.MacvtapPlan()
    samples = macvtap_measure.MacvtapSamples()
    _install(MACVTAP_CONTENDERS, progress)
    tick = _ticker(progress, macvtap_measure.ticks(MACVTAP_CONTENDERS, plan))
    macvtap_measure.sharing(MACVTAP_CONTENDERS, plan, samples, tick)
    return MacvtapResults(MACVTAP_CONTENDERS, plan, samples)


def _write(
    output: Path,
    results: report.Results,
    switch: SwitchResults | None,
    macvtap: MacvtapResults | None,
) -> None:
    measured = results.samples.single or results.samples.cold
    took_part = [
        *(results.contenders if measured else ()),
        *(SWITCH_CONTENDERS if switch else ()),
        *(MACVTAP_CONTENDERS if macvtap else ()),
    ]
    facts = _facts(took_part)
    if switch is not None:
        facts.append(("Open vSwitch (Debian)", switch.samples.version))
    if macvtap is not None:
        facts.append(("libvirt (Debian)", environments.libvirt_versions()))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(report.document(results, facts, switch, macvtap))


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
    columns = (TextColumn("{task.description:<55}"), BarColumn(), MofNCompleteColumn())
    try:
        sandbox.remove_leftovers()
        with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
            samples = _run(contenders, COLD in more, plan, progress)
            switch = _run_switch(quick, progress) if SWITCH in more else None
            macvtap = _run_macvtap(quick, progress) if MACVTAP in more else None
    except (environments.SetupError, PackagesError, WorkerError, RuntimeError) as error:
        errors.print(str(error), markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        errors.print("interrupted; nothing is left behind")
        return 130
    results = report.Results(contenders or CONTENDERS, plan, samples)
    grids = [
        *report.grids(results),
        *(switch_report.grids(switch) if switch else ()),
        *(macvtap_report.grids(macvtap) if macvtap else ()),
    ]
    for grid in grids:
        console.print(grid.title, style="bold", markup=False)
        console.print(tables.terminal(grid))
    whole = not quick and arguments.only is None
    output = arguments.output or (DOCUMENT if whole else None)
    if output is not None:
        _write(output, results, switch, macvtap)
        console.print(f"written: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
