# SPDX-License-Identifier: Apache-2.0
"""Whether the benchmarks notice that they were not alone on the machine."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks import __main__ as program
from benchmarks import quiet, sections
from benchmarks.quiet import Process, Watch, reasons, strangers
from benchmarks.tables import Chapter
from tests.waiting import until


def test_a_quiet_machine_has_nothing_against_it() -> None:
    assert reasons(Watch(load=0.5, looks=100, others=10), 1.5) == []
    assert reasons(Watch(), None) == []


def test_each_sign_of_a_busy_machine_is_named_with_its_figure() -> None:
    (load,) = reasons(Watch(load=1.25), None)
    assert "1.25 per processor" in load
    (others,) = reasons(Watch(looks=100, others=11), None)
    assert "11 of 100 looks" in others
    (spread,) = reasons(Watch(), 1.75)
    assert "1.75 times its median" in spread


def test_strangers_run_and_are_neither_ours_nor_the_kernels() -> None:
    processes = [
        Process(1, 0, "S", 1),
        Process(2, 0, "S", 1),
        Process(20, 2, "R", 1),  # a thread of the kernel
        Process(100, 1, "R", 1),  # ours,
        Process(101, 100, "S", 7),  # what it started,
        Process(102, 101, "R", 7),  # and what that started
        Process(103, 1, "R", 8),  # a daemon in a namespace of ours
        Process(200, 1, "S", 1),
        Process(201, 200, "R", 1),
        Process(202, 1, "R", 9),
        Process(203, 999, "R", 9),  # whose parent has ended while we looked
    ]
    assert strangers(processes, 100, {8}) == [201, 202, 203]


def with_stranger(pid: int) -> list[Process]:
    """Return all processes, once this one runs and is nobody's."""
    found = quiet._processes()
    return found if pid in strangers(found, -1, set()) else []


def test_somebody_who_runs_is_seen_and_a_child_of_ours_is_not() -> None:
    busy = "import time\nend = time.monotonic() + 120\nwhile time.monotonic() < end: pass"
    with subprocess.Popen([sys.executable, "-c", busy]) as child:
        try:
            found = until(lambda: with_stranger(child.pid))
            assert child.pid not in strangers(found, os.getpid(), set())
        finally:
            child.kill()


def test_the_watch_looks_while_the_block_runs_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quiet, "_BETWEEN", 0.01)
    monkeypatch.setattr(quiet, "_processes", lambda: [Process(4, 1, "R", 0)])
    watch = Watch()
    with quiet.watched(watch):
        until(lambda: watch.looks >= 3)
    looks = watch.looks
    assert looks >= 3
    assert watch.others == looks
    time.sleep(0.05)
    assert watch.looks == looks


def test_load_is_waited_for_until_it_has_fallen(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = iter([1.0, 0.75, 0.25])
    said: list[str] = []
    monkeypatch.setattr(quiet, "load", lambda: next(loads))
    monkeypatch.setattr(quiet.time, "sleep", lambda _seconds: None)
    assert quiet.rest(said.append) == 0.25
    assert len(said) == 2
    assert "load average 0.75" in said[1]


@pytest.fixture
def bench(monkeypatch, tmp_path, capsys):
    """``make bench`` on a machine that was so busy; its exit code, page and what was said."""

    def run(*arguments, load=0.0, others=0, spread=1.0):
        def measured(_tick):
            floors[0].spread = spread
            return Chapter([], [], [], "## Method", [])

        floors = []

        def chosen(only, *, quick, floor):
            floors.append(floor)
            return [sections.Section("a tap", [], 1, 1.0, measured)]

        class Watched:
            def __init__(self, watch):
                watch.looks, watch.others = 100, others

            __enter__ = __exit__ = lambda self, *_: None

        page = tmp_path / "benchmarks.md"
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        monkeypatch.setattr(program, "PAGE", page)
        monkeypatch.setattr(program.os, "geteuid", lambda: 0)
        monkeypatch.setattr(program.signal, "signal", lambda *_: None)
        monkeypatch.setattr(program.sandbox, "remove_leftovers", lambda: None)
        monkeypatch.setattr(program.sections, "chosen", chosen)
        monkeypatch.setattr(program.environments, "ip_version", lambda: "6.1.0")
        monkeypatch.setattr(quiet, "load", lambda: load)
        monkeypatch.setattr(quiet, "PATIENCE", 0.0)
        monkeypatch.setattr(quiet, "watched", Watched)
        code = program.main()
        said = capsys.readouterr()
        return code, page, " ".join((said.out + said.err).split())

    return run


def test_a_quiet_run_says_how_long_it_takes_and_writes_the_page(bench):
    code, page, said = bench()
    assert code == 0
    assert "This takes about a minute" in said
    assert "measuring: a tap" in said
    assert "at 0 of 100 looks" in page.read_text()


@pytest.mark.parametrize("busy", [{"load": 2.0}, {"others": 50}, {"spread": 2.0}])
def test_a_busy_machine_gets_no_page_unless_told_to(bench, busy):
    code, page, said = bench(**busy)
    assert code == 1
    assert not page.exists()
    assert "--busy-anyway" in said
    assert ("measuring" in said) == ("load" not in busy)
    code, page, said = bench("--busy-anyway", **busy)
    assert code == 0
    assert page.exists()


def test_who_wants_no_page_is_warned_and_no_more(bench):
    code, page, said = bench("--quick", others=50)
    assert code == 0
    assert not page.exists()
    assert "50 of 100 looks" in said
