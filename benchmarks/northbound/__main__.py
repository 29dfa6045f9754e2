# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.northbound``: measure, print, write the page of the documentation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import environments, sandbox, tables
from benchmarks.northbound import report
from benchmarks.northbound.measure import QUICK, Plan, Samples, measure

PAGE = environments.ROOT / "docs" / "benchmarks-ovn.md"


def main() -> int:
    """0 done, 1 a contender failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.northbound", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds; prints only")
    parser.add_argument("--levels", help="numbers of other ports, with commas; prints only")
    parser.add_argument("--output", type=Path, help=f"where to write the page (default: {PAGE})")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else Plan()
    if arguments.levels:
        plan = Plan(levels=tuple(int(it) for it in arguments.levels.split(",")))
    console, errors = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = 120
    sandbox.remove_leftovers()
    environments.install_ours()
    environments.install_reference("os-vif-5.3.0")
    samples = Samples()
    said: list[str] = []

    def tick(doing: str) -> None:
        if said[-1:] != [doing]:
            said.append(doing)
            errors.print(doing, markup=False)

    measure(plan, samples, tick)
    results = report.Results(plan, samples)
    for grid in report.grids(results):
        console.print(grid.title, style="bold", markup=False)
        console.print(tables.terminal(grid))
    whole = not arguments.quick and not arguments.levels
    output = arguments.output or (PAGE if whole else None)
    if output is not None:
        output.write_text(report.page(results))
        errors.print(f"written: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
