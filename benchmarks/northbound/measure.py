# SPDX-License-Identifier: Apache-2.0
"""The rounds: everybody in turn, with so many other ports in the switch."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.client import Worker
from benchmarks.contenders import FLOOR, OURS, Contender
from benchmarks.environments import OURS as OURS_VENV
from benchmarks.northbound import bound
from benchmarks.northbound.floor import Server, insert
from benchmarks.northbound.rows import ADD, CHECK, FRESH, NEIGHBOURS
from benchmarks.port import Port, port
from benchmarks.sandbox import Sandbox
from tests import debian, ovn

REPLICA, NBCTL = "ovsdbapp", "nbctl"
AT_ONCE = 100
_BEARABLE = 500
"""With more other ports than this, a replica takes seconds to be filled."""
_FILL = 1000
"""Ports a transaction, when the switch is filled."""

Tick = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything.

    :ivar levels: numbers of other ports in the switch
    :ivar rounds: of each operation on one port, after `warmup` discarded ones
    :ivar bulk: of those on :data:`AT_ONCE`
    :ivar followed: of what ovn-northd is waited for; up to `most` other ports
    :ivar crowded: rounds of one port, and one of many, with more than `most`
    :ivar plugged: of a guest that is plugged, bound and pinged
    """

    levels: tuple[int, ...] = (0, 500, 2000, 10000)
    rounds: int = 15
    bulk: int = 4
    warmup: int = 5
    followed: int = 5
    most: int = 2000
    crowded: int = 5
    plugged: int = 15

    def counted(self, others: int) -> tuple[int, int]:
        """How many rounds of one port and of many are made, after those discarded."""
        return (self.rounds, self.bulk) if others <= self.most else (self.crowded, 1)


QUICK = Plan(levels=(0, 500), rounds=5, bulk=2, warmup=1, followed=2, plugged=3)


@dataclass(slots=True)
class Samples:
    """What was measured: seconds by (contender key, operation, other ports)."""

    of: dict[tuple[str, str, int], list[float]] = field(default_factory=dict)

    def add(self, key: str, operation: str, others: int, seconds: float) -> None:
        """Keep one."""
        self.of.setdefault((key, operation, others), []).append(seconds)


def contenders(path: str, tree: Path) -> list[Contender]:
    """Who takes part.

    :param path: of the database's socket
    :param tree: where OVN is unpacked
    """
    command = [*debian.command(tree, "usr/bin/ovn-nbctl"), f"--db=unix:{path}"]
    where = {"path": path}
    package = "benchmarks.northbound"
    return [
        Contender(FLOOR, "floor (one transaction)", f"{package}.floor", arguments=where),
        Contender(OURS, "os-vif network", f"{package}.ours", OURS_VENV, where),
        Contender(REPLICA, "ovsdbapp", f"{package}.replica", "os-vif-5.3.0", where),
        Contender(
            NBCTL,
            "ovn-nbctl",
            f"{package}.nbctl",
            arguments={"command": json.dumps([*command, "--timeout=120", "--no-leader-only"])},
        ),
    ]


MODES = {FLOOR: (ADD, FRESH, CHECK), OURS: (ADD, FRESH, CHECK, NEIGHBOURS)}
MODES |= {REPLICA: (ADD, FRESH, CHECK), NBCTL: (ADD, CHECK)}


def measure(plan: Plan, samples: Samples, tick: Tick) -> None:
    """All of it.

    :raises WorkerError: a contender failed
    """
    for others in plan.levels:
        with contextlib.closing(ovn.Server()) as server, Sandbox(0).open() as sandbox:
            server.nbctl("init")
            path = server.northbound.removeprefix("unix:")
            with contextlib.ExitStack() as stack:
                chosen = contenders(path, server.tree)
                workers: dict[str, Worker] = {}
                for contender in chosen:
                    tick(f"{others} other ports: {contender.label}")
                    workers[contender.key] = stack.enter_context(Worker(contender, sandbox.host))
                    workers[contender.key].wait_ready()
                    if contender.key == OURS:
                        workers[OURS].ask("plug_many", [], ADD)  # the switch
                        fill(path, others)
                _rounds(workers, others, plan, samples, tick)
    _followed(plan, samples, tick)
    tick("a guest that is plugged, bound, and pinged")
    bound.measure(plan.plugged, lambda what, seconds: samples.add("guest", what, 0, seconds))


def fill(path: str, others: int) -> None:
    """Add other ports; the switch is there."""
    numbers = range(100_000, 100_000 + others)
    with contextlib.closing(Server(path)) as server:
        for start in range(0, others, _FILL):
            server.transact(insert([port(it) for it in numbers[start : start + _FILL]]))


def _rounds(
    workers: dict[str, Worker], others: int, plan: Plan, samples: Samples, tick: Tick
) -> None:
    numbers = iter(range(1, 100_000))
    rounds, bulk = plan.counted(others)
    for turn in range(-plan.warmup, rounds):
        tick(f"{others} other ports: one")
        for key, worker in workers.items():
            one = [next(numbers)]
            for mode in MODES[key]:
                if mode in (CHECK, NEIGHBOURS) or (mode, key) in _slow(others):
                    continue
                took = {f"{mode} one": worker.ask("plug", one, mode).seconds}
                for look in {CHECK, NEIGHBOURS}.intersection(MODES[key]) if mode == ADD else ():
                    took[f"{look} one"] = worker.ask("plug", one, look).seconds
                took[f"delete one after {mode}"] = worker.ask("unplug", one, ADD).seconds
                for operation, seconds in took.items() if turn >= 0 else ():
                    samples.add(key, operation, others, seconds)
    for turn in range(-1, bulk):
        tick(f"{others} other ports: {AT_ONCE}")
        for key, worker in workers.items():
            many = [next(numbers) for _each in range(AT_ONCE)]
            took = {"add at once": worker.ask("plug_many", many, ADD).seconds}
            if key == OURS:
                took["check at once"] = worker.ask("plug_many", many, CHECK).seconds
            if ("delete at once", key) not in _slow(others):
                took["delete at once"] = worker.ask("unplug_many", many, ADD).seconds
            for operation, seconds in took.items() if turn >= 0 else ():
                samples.add(key, operation, others, seconds)


def _slow(others: int) -> set[tuple[str, str]]:
    """What takes so long with so many other ports that it is left out, and who it is."""
    if others <= _BEARABLE:
        return set()
    return {(FRESH, REPLICA), ("delete at once", REPLICA)}


# --- ovn-northd -----------------------------------------------------------------------------------


def _followed(plan: Plan, samples: Samples, tick: Tick) -> None:
    """How long until ovn-northd has followed one port, and many at once."""
    for others in (it for it in plan.levels if it <= plan.most):
        with contextlib.closing(ovn.Centre()) as centre, Sandbox(0).open() as sandbox:
            path = centre.northbound.removeprefix("unix:")
            ours = contenders(path, centre.tree)[1]
            with Worker(ours, sandbox.host) as worker:
                worker.wait_ready()
                worker.ask("plug_many", [], ADD)
            fill(path, others)
            numbers = iter(range(1, 100_000))
            with contextlib.closing(Server(path)) as server:
                _follow(server)
                for _turn in range(plan.followed):
                    for operation, count in (("followed one", 1), ("followed at once", AT_ONCE)):
                        tick(f"{others} other ports: ovn-northd")
                        ports = [port(next(numbers)) for _each in range(count)]
                        samples.add("northd", operation, others, _commit(server, ports))


def _commit(server: Server, ports: Sequence[Port]) -> float:
    begun = time.perf_counter()
    server.transact(insert(ports))
    _follow(server)
    return time.perf_counter() - begun


def _follow(server: Server) -> None:
    """Have ovn-northd follow, and return when it has."""
    count = {"op": "mutate", "table": "NB_Global", "where": []}
    server.transact([{**count, "mutations": [["nb_cfg", "+=", 1]]}])
    look = {"op": "select", "table": "NB_Global", "where": [], "columns": ["nb_cfg", "sb_cfg"]}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        [found] = server.transact([look])
        [row] = found["rows"]
        if row["sb_cfg"] >= row["nb_cfg"]:
            return
        time.sleep(0.0005)
    raise RuntimeError("ovn-northd has not followed within two minutes")
