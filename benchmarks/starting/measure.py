# SPDX-License-Identifier: Apache-2.0
"""The rounds of processes: each once a round, in an order in which each finds what it needs."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import contenders as who
from benchmarks import environments
from benchmarks.client import Worker
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.measure import Tick
from benchmarks.port import BRIDGE, port
from benchmarks.sandbox import Sandbox

BARE = "bare Python"
VERSIONED_OBJECTS = "oslo.versionedobjects alone"
INITIALIZE = "import os_vif; os_vif.initialize()"

HELP, VERSION, COMPLETION = "os-vif --help", "os-vif --version", "completion of a word"
LOOKS = ("list", "show", "gc", "types", "schema", "validate")
WORKS = ("plan", "plug", "check", "unplug")

Line = tuple[list[str], dict[str, str]]
"""A command line, and what its environment has beside ours."""


@dataclass(frozen=True, slots=True)
class StartingPlan:
    """How much of everything.

    :ivar rounds: fresh processes of each kind, after one discarded
    :ivar daemons: fresh daemons, none discarded: the byte code is warm by then
    """

    rounds: int = 8
    daemons: int = 5


STARTING_QUICK = StartingPlan(rounds=2, daemons=1)


@dataclass(slots=True)
class StartingSamples:
    """What was measured.

    :ivar process: seconds by name, from start to exit
    :ivar daemon: seconds of the first plug, by contender's label
    """

    process: dict[str, list[float]] = field(default_factory=dict)
    daemon: dict[str, list[float]] = field(default_factory=dict)


RELEASES = {
    contender.label: contender.environment
    for contender in CONTENDERS
    if contender.key in (who.OURS, who.NEW) and contender.environment
}
"""The virtual environment of each release that is started, by what the tables call it."""


def starts(releases: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """(environment, statement) of what starts a library, by name.

    :param releases: environment by label
    """
    first = next(iter(releases.values()))
    return {
        BARE: (first, "pass"),
        VERSIONED_OBJECTS: (first, "from oslo_versionedobjects import base, fields"),
        **{label: (environment, INITIALIZE) for label, environment in releases.items()},
    }


def commands(command: str, file: str) -> dict[str, Line]:
    """The command lines by name, in the order of a round: `file` gets plugged and unplugged.

    :param command: the path of ours
    """
    word = {
        "_OS_VIF_COMPLETE": "bash_complete",
        "COMP_WORDS": "os-vif pl",
        "COMP_CWORD": "1",
    }
    plain: dict[str, list[str]] = {
        HELP: ["--help"],
        VERSION: ["--version"],
        COMPLETION: [],
        **{f"os-vif {verb}": [verb] for verb in ("types", "schema")},
        **{f"os-vif {verb}": [verb, file] for verb in ("validate", "plan", "plug", "check")},
        **{f"os-vif {verb}": [verb] for verb in ("list", "show")},
        "os-vif gc": ["gc", "--keep", file, "--yes"],
        "os-vif unplug": ["unplug", file],
    }
    return {
        name: ([command, *words], word if name == COMPLETION else {})
        for name, words in plain.items()
    }


def _lines(folder: Path) -> dict[str, Line]:
    one = port(1)
    file = folder / "vif.yaml"
    file.write_text(f"type: bridge\nbridge: {BRIDGE}\nname: {one.name}\nmac: {one.mac}\n")
    ours = environments.python(environments.OURS).with_name("os-vif")
    return {
        **{
            name: ([str(environments.python(environment)), "-P", "-c", statement], {})
            for name, (environment, statement) in starts(RELEASES).items()
        },
        **commands(str(ours), str(file)),
    }


FIRST_PLUGS = [
    contender for contender in CONTENDERS if contender.key in (who.OURS_DAEMON, who.NEW_DAEMON)
]
"""Whose first plug starts a daemon."""


def ticks(plan: StartingPlan) -> int:
    """How many ticks a whole run makes."""
    lines = len(starts(RELEASES)) + len(commands("", ""))
    return 1 + (1 + plan.rounds) * lines + plan.daemons * len(FIRST_PLUGS)


@contextlib.contextmanager
def _starter(sandbox: Sandbox, lines: Mapping[str, Line]) -> Iterator[Worker]:
    starter = Contender(
        "starter",
        "a fresh process",
        "benchmarks.starting.driver",
        arguments={"lines": json.dumps(lines)},
    )
    with Worker(starter, sandbox.host) as worker:
        worker.wait_ready()
        yield worker


def starting(plan: StartingPlan, samples: StartingSamples, tick: Tick) -> None:
    """All processes in turn, then the first plugs of who needs a daemon.

    :raises WorkerError: a process failed
    """
    tick("a host to start on")
    with Sandbox(0).open() as sandbox, tempfile.TemporaryDirectory() as folder:
        lines = _lines(Path(folder))
        with _starter(sandbox, lines) as worker:
            for turn in range(-1, plan.rounds):
                for name in lines:
                    tick(f"a fresh process: {name}")
                    took = worker.ask("plug", [1], name)
                    if turn >= 0:
                        samples.process.setdefault(name, []).append(took.seconds)
        for _turn in range(plan.daemons):
            for contender in FIRST_PLUGS:
                tick(f"the first plug: {contender.label}")
                with Worker(contender, sandbox.host, {"start": "late"}) as worker:
                    worker.wait_ready()
                    took = worker.ask("plug", [2])
                    samples.daemon.setdefault(contender.label, []).append(took.seconds)
                    worker.ask("unplug", [2])
