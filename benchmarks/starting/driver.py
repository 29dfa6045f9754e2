# SPDX-License-Identifier: Apache-2.0
"""Whole processes, from start to exit: the driver's mode says which, a plug starts it once."""

from __future__ import annotations

import json
import os
import subprocess

from benchmarks.drivers import Driver
from benchmarks.port import Port


class Processes(Driver):
    """Command lines by name, each with what its environment has beside ours."""

    def __init__(self, lines: dict[str, tuple[list[str], dict[str, str]]]) -> None:
        self._lines = lines
        self._chosen: tuple[list[str], dict[str, str]] = ([], {})

    def choose(self, mode: str) -> None:
        argv, more = self._lines[mode]
        self._chosen = argv, {**os.environ, **more}

    def plug(self, port: Port) -> None:
        argv, environment = self._chosen
        done = subprocess.run(
            argv,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(argv)}: exit code {done.returncode}\n{said}")

    def unplug(self, port: Port) -> None:
        raise NotImplementedError("a process ends by itself")


def connect(arguments: dict[str, str]) -> Driver:
    """``lines`` is JSON: by name a pair of words and more variables of the environment."""
    return Processes(json.loads(arguments["lines"]))
