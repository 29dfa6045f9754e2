# SPDX-License-Identifier: Apache-2.0
"""The parent's end of a worker process."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from benchmarks.contenders import Contender
from benchmarks.environments import ROOT
from benchmarks.sandbox import uninterrupted

# The checkout must not be on the contender's path, where it would hide the os-vif that is
# installed there: import our packages by their place, then take the place off the path again.
_BOOT = (
    "import sys; sys.path.insert(0, {root!r}); import benchmarks, tests; sys.path.pop(0);"
    "from benchmarks.worker import main; main()"
)

STOP_GRACE = 10.0
"""Seconds a worker gets to end by itself once its standard input is closed."""


class WorkerError(Exception):
    """A contender failed; the text is its traceback."""


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds that a request took.

    :ivar seconds: from the first call's start to the last one's end
    :ivar calls: of each call by itself; they overlap where they come from several threads
    """

    seconds: float
    calls: tuple[float, ...]


class Worker:
    """A contender's process in the network namespace `host`; a context manager that ends it."""

    def __init__(
        self, contender: Contender, host: str, more: Mapping[str, str] | None = None
    ) -> None:
        self.contender = contender
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        # `ip netns exec` also mounts the namespace's own /sys.  A session of its own: Ctrl-C
        # reaches the parent only, which then ends us in order.
        command = ["ip", "netns", "exec", host, str(contender.interpreter), "-P", "-c"]
        self._process = subprocess.Popen(
            [
                *command,
                _BOOT.format(root=str(ROOT)),
                contender.driver,
                json.dumps({**contender.arguments, **(more or {})}),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            cwd=Path("/"),
            start_new_session=True,
        )
        self._requests = cast("IO[str]", self._process.stdin)
        self._answers = cast("IO[str]", self._process.stdout)

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the worker ended"}
        if "error" in answer:
            self._stderr.seek(0)
            said = self._stderr.read()[-2000:]
            raise WorkerError(f"{self.contender.label}: {answer['error']}\n{said}".strip())
        return answer

    @property
    def pid(self) -> int:
        """The contender's process: what `ip` was it has become."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Return once the contender has connected.

        :raises WorkerError: it could not
        """
        self._answer()

    def ask(self, op: str, ports: Sequence[int], mode: str | None = None, threads: int = 1) -> Took:
        """Have the contender do `op` on port numbers `ports`; what it took.

        :param mode: how, where the contender has several ways
        :param threads: that many threads share the ports, each with a call at a time
        :raises WorkerError: the contender failed
        """
        request: dict[str, object] = {"op": op, "ports": list(ports), "threads": threads}
        if mode:
            request["mode"] = mode
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        answer = self._answer()
        return Took(answer["seconds"], tuple(answer["calls"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with uninterrupted():
            try:
                self._requests.close()
                self._process.wait(0.0 if kind else STOP_GRACE)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait()
            self._answers.close()
            self._stderr.close()
