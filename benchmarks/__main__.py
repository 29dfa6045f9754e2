# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks``: measure, print the tables, write the page of the documentation."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import document, environments, quiet, sandbox, sections, tables
from benchmarks.client import WorkerError
from benchmarks.contenders import CNI, CONTENDERS, LIBVIRT, Contender
from benchmarks.sections import Floor, Section
from benchmarks.tables import Chapter
from tests.debian import PackagesError

PAGE = environments.ROOT / "docs" / "benchmarks.md"

WIDE = 120
"""Columns of the tables where there is no terminal to ask."""


def _parser() -> argparse.ArgumentParser:
    keys = ", ".join(contender.key for contender in CONTENDERS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, two minutes or so; prints only"
    )
    parser.add_argument(
        "--only",
        metavar="NAMES",
        help=f"comma-separated: '{sections.BRIDGE}' for a tap on a Linux bridge, or some contenders"
        f" there ({keys}); '{sections.SWITCH}' for Open vSwitch, '{sections.TOGETHER}' for many"
        f" ports, '{sections.STARTING}' for fresh processes, '{sections.MACVTAP}' for macvtaps,"
        f" '{sections.RUNNING}' for guests' programs; prints only",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"where to write the page (a full run: {PAGE.name})",
    )
    parser.add_argument(
        "--busy-anyway", action="store_true", help="measure and write although the machine is busy"
    )
    return parser


def _facts(
    contenders: Sequence[Contender], watch: quiet.Watch, minutes: float
) -> list[tuple[str, str]]:
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
        ("Minutes it took", f"{minutes:.0f}"),
        ("Load average per processor beforehand", f"{watch.load:.2f}"),
        ("Something else was running", f"at {watch.others} of {watch.looks} looks"),
        ("Kernel", platform.release()),
        ("CPUs", f"{os.cpu_count()}, {cpu}"),
        ("Python", platform.python_version()),
        ("iproute2", environments.ip_version()),
    ]
    keys = {contender.key for contender in contenders}
    if CNI in keys:
        facts.append(("CNI plugins (Debian)", environments.cni_version()))
    if LIBVIRT in keys:
        facts.append(("libvirt (Debian)", environments.libvirt_versions()))
    for environment in dict.fromkeys(each.environment for each in contenders if each.environment):
        found = environments.versions(environment)
        facts.append(
            (
                environment.replace("os-vif-", "os-vif "),
                ", ".join(f"{name} {version}" for name, version in found.items()),
            )
        )
    return facts


def _install(contenders: Sequence[Contender], progress: Progress) -> None:
    task = progress.add_task("installing", total=None)
    for contender in {each.environment or each.driver: each for each in contenders}.values():
        progress.update(task, description=f"installing: {contender.label}")
        contender.install()
    progress.remove_task(task)


def _rest(progress: Progress) -> float:
    task = progress.add_task("", total=None)
    load = quiet.rest(lambda doing: progress.update(task, description=doing))
    progress.remove_task(task)
    return load


def _measure(chosen: Sequence[Section], watch: quiet.Watch, progress: Progress) -> list[Chapter]:
    task = progress.add_task("", total=sum(section.ticks for section in chosen))

    def tick(doing: str) -> None:
        progress.update(task, description=doing, advance=1)

    with quiet.watched(watch):
        chapters = []
        for section in chosen:
            progress.console.print(f"measuring: {section.title}")
            chapters.append(section.run(tick))
    return chapters


def _print(chapters: Sequence[Chapter], console: Console) -> None:
    grids = [tables.target_grid([row for chapter in chapters for row in chapter.targets])]
    grids += [grid for chapter in chapters for grid in (*chapter.ratios, *chapter.durations)]
    for grid in tables.told(grids):
        console.print(grid.title, style="bold", markup=False)
        console.print(tables.terminal(grid))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Once only: a second Ctrl-C must not stop the taking down of what the run made."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """0 done, 1 a contender failed or the machine was busy, 2 bad arguments or not root."""
    arguments = _parser().parse_args()
    console, errors = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = WIDE
    floor, watch = Floor(), quiet.Watch()
    try:
        chosen = sections.chosen(arguments.only, quick=arguments.quick, floor=floor)
    except ValueError as error:
        errors.print(str(error), markup=False)
        return 2
    if os.geteuid() != 0:
        errors.print("the benchmarks make network namespaces: run them as root")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    whole = not arguments.quick and arguments.only is None
    output = arguments.output or (PAGE if whole else None)
    careful = output is not None and not arguments.busy_anyway
    contenders = [each for section in chosen for each in section.contenders]
    minutes = sum(section.minutes for section in chosen) / (5 if arguments.quick else 1)
    long = f"{minutes:.0f} minutes" if minutes >= 1.5 else "a minute"
    errors.print(f"This takes about {long}, once all is installed.")
    columns = (TextColumn("{task.description:<55}"), BarColumn(), MofNCompleteColumn())
    try:
        sandbox.remove_leftovers()
        with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as progress:
            _install(contenders, progress)
            watch.load = _rest(progress) if careful else quiet.load()
            busy = quiet.reasons(watch, None) if careful else []
            if busy:
                errors.print(_busy(busy, careful=careful), markup=False, style="red")
                return 1
            begin = time.monotonic()
            chapters = _measure(chosen, watch, progress)
            minutes = (time.monotonic() - begin) / 60
    except (environments.SetupError, PackagesError, WorkerError, RuntimeError) as error:
        errors.print(str(error), markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        errors.print("interrupted; nothing is left behind")
        return 130
    _print(chapters, console)
    busy = quiet.reasons(watch, floor.spread)
    if busy and (careful or output is None):
        errors.print(_busy(busy, careful=careful), markup=False, style="red")
        return 1 if careful else 0
    if output is not None:
        document.write(output, chapters, _facts(contenders, watch, minutes))
        console.print(f"written: {output}")
    return 0


def _busy(reasons: Sequence[str], *, careful: bool) -> str:
    said = f"The machine is busy: {'; '.join(reasons)}. Such figures are of little worth."
    if not careful:
        return said
    return (
        f"{said} No page is written: end what else runs and try again, or have it with"
        " --busy-anyway."
    )


if __name__ == "__main__":
    sys.exit(main())
