# SPDX-License-Identifier: Apache-2.0
"""The process a contender runs in: one line of JSON in, one line of JSON out.

Requests are ``{"op": OP, "ports": [NUMBER, ...]}`` with OP one of plug, unplug (a call a port) and
plug_many, unplug_many (the contender's bulk call), with ``"threads": NUMBER`` where the calls are
to come from several threads, and ``"mode"`` where the contender has several.  Answers are
``{"seconds": FLOAT, "calls": [FLOAT, ...]}``, from the first call's start to the last one's end
and each by itself, or ``{"error": TEXT}``; the first line, before any request, is
``{"ready": true}``.

Only the contender's own call is inside the clock: the pipe, the JSON and building the VIF
objects are not.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.drivers import Driver
from benchmarks.port import Port, port


def together(
    call: Callable[[Port], None], ports: Sequence[Port], threads: int
) -> tuple[float, list[float]]:
    """Call with every port, from `threads` threads that start at once; what worker answers."""

    def timed(each: Port) -> float:
        start = time.perf_counter()
        call(each)
        return time.perf_counter() - start

    if threads == 1:
        begin = time.perf_counter()
        calls = [timed(each) for each in ports]
        return time.perf_counter() - begin, calls
    threads = min(threads, len(ports))
    began: list[float] = []
    # The pool starts its threads one by one: nobody calls before all are there.
    gate = threading.Barrier(threads, action=lambda: began.append(time.perf_counter()))
    with ThreadPoolExecutor(threads, initializer=gate.wait) as pool:
        calls = list(pool.map(timed, ports))
        return time.perf_counter() - began[0], calls


def run(driver: Driver, op: str, numbers: list[int], threads: int) -> tuple[float, list[float]]:
    """Do `op`; the seconds it took, and those of each call."""
    ports = [port(number) for number in numbers]
    driver.prepare(ports)
    if op in ("plug", "unplug"):
        return together(getattr(driver, op), ports, threads)
    if op in ("plug_many", "unplug_many"):
        bulk = getattr(driver, op)
        begin = time.perf_counter()
        bulk(ports)
        seconds = time.perf_counter() - begin
        return seconds, [seconds]
    raise ValueError(f"unknown op {op!r}")


def main() -> None:
    """Serve until the parent closes our standard input."""
    # What a contender prints must not get between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(message: dict[str, object]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    module, arguments = sys.argv[1], json.loads(sys.argv[2])
    try:
        driver: Driver = importlib.import_module(module).connect(arguments)
    except Exception:  # whatever it is, the parent shows it
        answer({"error": traceback.format_exc()})
        return
    answer({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "mode" in request:
                driver.choose(request["mode"])
            seconds, calls = run(driver, request["op"], request["ports"], request.get("threads", 1))
            answer({"seconds": seconds, "calls": calls})
        except Exception:  # whatever it is, the parent shows it
            answer({"error": traceback.format_exc()})
