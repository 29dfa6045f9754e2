# SPDX-License-Identifier: Apache-2.0
"""The process a contender runs in: one line of JSON in, one line of JSON out.

Requests are ``{"op": OP, "ports": [NUMBER, ...]}`` with OP one of plug, unplug (one after the
other), plug_threads, unplug_threads (from several threads), plug_many, unplug_many (the
contender's bulk call), and ``"mode"`` where the contender has several.  Answers are
``{"seconds": FLOAT}`` or ``{"error": TEXT}``; the first line, before any request, is
``{"ready": true}``.

Only the contender's own call is inside the clock: the pipe, the JSON and building the VIF
objects are not.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from benchmarks.drivers import Driver
from benchmarks.port import port

THREADS = 8


def run(driver: Driver, op: str, numbers: list[int]) -> float:
    """Do `op` and return the seconds it took."""
    ports = [port(number) for number in numbers]
    driver.prepare(ports)
    if op in ("plug", "unplug"):
        call = getattr(driver, op)
        begin = time.perf_counter()
        for each in ports:
            call(each)
        return time.perf_counter() - begin
    if op in ("plug_threads", "unplug_threads"):
        call = getattr(driver, op.removesuffix("_threads"))
        with ThreadPoolExecutor(THREADS) as pool:
            begin = time.perf_counter()
            list(pool.map(call, ports))
            return time.perf_counter() - begin
    if op in ("plug_many", "unplug_many"):
        bulk = getattr(driver, op)
        begin = time.perf_counter()
        bulk(ports)
        return time.perf_counter() - begin
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
            answer({"seconds": run(driver, request["op"], request["ports"])})
        except Exception:  # whatever it is, the parent shows it
            answer({"error": traceback.format_exc()})
