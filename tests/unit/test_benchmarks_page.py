# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' page and its chart, of results that were made up."""

import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import chart, document, report
from benchmarks.client import Took
from benchmarks.contenders import (
    CONTENDERS,
    FLOOR,
    LIBVIRT,
    LIBVIRT_CARD,
    MACVTAP_CONTENDERS,
    NEW,
    NEW_DAEMON,
    OLD,
    OURS,
    OURS_DAEMON,
    RUN,
    RUN_BEGUN,
    RUNNING_CONTENDERS,
    SCRIPT,
    SWITCH_CONTENDERS,
)
from benchmarks.macvtap import report as macvtap_report
from benchmarks.macvtap.measure import MacvtapPlan, MacvtapSamples
from benchmarks.measure import Plan, Samples
from benchmarks.openvswitch import report as switch_report
from benchmarks.openvswitch.measure import SwitchPlan, SwitchSamples
from benchmarks.openvswitch.modes import HYBRID, TAP
from benchmarks.running import report as running_report
from benchmarks.running.measure import RunningPlan, RunningSamples
from benchmarks.starting import report as starting_report
from benchmarks.starting.measure import BARE, StartingPlan, StartingSamples
from benchmarks.tables import Chapter, Gain
from benchmarks.together import report as together_report
from benchmarks.together.grounds import BRIDGE, SWITCH
from benchmarks.together.measure import AT_ONCE, TogetherPlan, TogetherSamples

GOLDEN = Path(__file__).parent.parent / "golden" / "benchmarks.svg"

GAINS = [Gain("one plug on a Linux bridge", 5.62), Gain("200 plugs & more", 12.3), Gain("a", 0.9)]


def _met(chapter: Chapter) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in chapter.targets}


def _bridge(**plug: float) -> Chapter:
    """Constant seconds of a plug without other links, by contender."""
    keys = {"floor": FLOOR, "ours": OURS, "old": OLD, "new": NEW, "daemon": OURS_DAEMON}
    samples = Samples({(keys[name], 0, "plug"): [took] * 3 for name, took in plug.items()})
    chosen = [each for each in CONTENDERS if each.key in {keys[name] for name in plug}]
    return report.chapter(report.Results(chosen, Plan(levels=(0,), rounds=3), samples))


def _switch(**plug: float) -> Chapter:
    """Constant seconds of a plug in two modes, by contender."""
    samples = SwitchSamples(version="3.1.0")
    for key, seconds in plug.items():
        for mode in (TAP, HYBRID):
            for op in ("plug", "unplug"):
                name = {"floor": FLOOR, "ours": OURS, "new": NEW}[key]
                samples.single[name, mode, 0, op] = [seconds] * 3
    samples.memory = {(OURS, 0): 50e6, (OURS, 1000): 60e6}
    samples.idle = {(OURS, 1000): 0.0002, (NEW, 1000): 0.02}
    results = switch_report.SwitchResults(SWITCH_CONTENDERS, SwitchPlan(), samples)
    return switch_report.chapter(results)


def _macvtap(**plug: float) -> Chapter:
    """Constant seconds of a plug, ten times of an unplug, by contender."""
    keys = {"floor": FLOOR, "ours": OURS, "libvirt": LIBVIRT, "card": LIBVIRT_CARD}
    samples = MacvtapSamples()
    for name, seconds in plug.items():
        samples.single[keys[name], "plug"] = [seconds] * 3
        samples.single[keys[name], "unplug"] = [seconds * 10] * 3
    chosen = [each for each in MACVTAP_CONTENDERS if each.key in {keys[name] for name in plug}]
    return macvtap_report.chapter(macvtap_report.MacvtapResults(chosen, MacvtapPlan(), samples))


def _together() -> Chapter:
    """Ten ports: totals, and calls of which one in ten takes three times as long."""
    samples = TogetherSamples(memory={("os-vif 6", False, 0): 50e6, ("os-vif 6", False, 90): 51e6})
    totals = {
        (SWITCH, FLOOR, AT_ONCE, 10): 0.1,
        (SWITCH, OURS, AT_ONCE, 10): 0.2,
        (SWITCH, OURS, 8, 10): 0.4,
        (SWITCH, OURS, 32, 10): 0.3,
        (SWITCH, NEW, 1, 10): 4.0,
        (SWITCH, NEW, 8, 10): 1.6,
        (SWITCH, NEW, 32, 10): 2.4,
        (BRIDGE, OURS_DAEMON, AT_ONCE, 10): 0.1,
        (BRIDGE, OURS_DAEMON, 32, 10): 0.15,
        (BRIDGE, NEW_DAEMON, 32, 10): 0.9,
        (BRIDGE, NEW, 32, 10): 0.3,
        (BRIDGE, OURS, AT_ONCE, 10): 0.2,
        (BRIDGE, NEW, 1, 10): 2.9,
        (BRIDGE, OURS, 25, 50): 0.08,
        (BRIDGE, NEW, 1, 50): 0.5,
    }
    for what, seconds in totals.items():
        calls = (0.01,) * 9 + (0.03,)
        for op in ("plug", "unplug"):
            took = Took(seconds * (2 if op == "unplug" and what[1] == NEW else 1), calls)
            samples.storm[(*what, op)] = [took]
    plan = TogetherPlan(counts=(10,))
    return together_report.chapter(together_report.TogetherResults(plan, samples))


def _starting() -> Chapter:
    samples = StartingSamples(
        process={
            BARE: [0.02] * 3,
            "os-vif 6": [0.3] * 3,
            "os-vif 5.3.0": [0.9] * 3,
            "os-vif --help": [0.06] * 3,
            "os-vif --version": [0.08] * 3,
            "os-vif plug": [0.16] * 3,
        },
        daemon={"os-vif 6, daemon": [0.2], "os-vif 5.3.0, daemon": [0.8]},
    )
    return starting_report.chapter(starting_report.StartingResults(StartingPlan(), samples))


def _running(**first: float) -> Chapter:
    samples = RunningSamples(first={key: [seconds] * 3 for key, seconds in first.items()})
    results = running_report.RunningResults(RUNNING_CONTENDERS, RunningPlan(), samples)
    return running_report.chapter(results)


def _all() -> list[Chapter]:
    return [
        _bridge(floor=0.001, ours=0.0015, old=0.012, new=0.006),
        _switch(floor=0.002, ours=0.003, new=0.012),
        _together(),
        _starting(),
        _macvtap(floor=0.001, ours=0.002, libvirt=0.009, card=0.004),
        _running(**{SCRIPT: 0.2, RUN_BEGUN: 0.25, RUN: 0.6}),
    ]


def test_targets_compare_the_right_two() -> None:
    assert _met(_bridge(floor=0.001, ours=0.0015, old=0.012, new=0.01, daemon=0.003)) == {
        "Linux bridge: plug in process / floor": ("≤ 1.7x", "1.50x", "yes"),
        "Linux bridge: plug through the daemon / floor": ("≤ 2.5x", "3.00x", "no"),
        "Linux bridge: os-vif 4.3.1 / plug, in process": ("≥ 6x", "8.00x", "yes"),
        "Linux bridge: plug, most other links / none": ("≤ 1.1x", "1.00x", "yes"),
    }


def test_targets_of_the_switch_compare_the_right_two() -> None:
    assert _met(_switch(floor=0.002, ours=0.003, new=0.012)) == {
        "Open vSwitch: plug / floor, VIFOpenVSwitch, tap": ("≤ 1.5x", "1.50x", "yes"),
        "Open vSwitch: plug / floor, VIFBridge, hybrid": ("≤ 1.6x", "1.50x", "yes"),
        "Open vSwitch: os-vif 5.3.0 / plug, VIFOpenVSwitch, tap": ("≥ 3x", "4.00x", "yes"),
        "Open vSwitch: os-vif 5.3.0 / plug, VIFBridge, hybrid": ("≥ 5x", "4.00x", "no"),
        "Open vSwitch: client's memory, most other ports / none": ("≤ 1.1x", "1.20x", "no"),
        "Open vSwitch: client's idle CPU, most other ports": ("≤ 1 ms/s", "0.20 ms/s", "yes"),
    }


def test_callers_that_come_together_are_compared_with_one_call_and_with_as_many() -> None:
    assert _met(_together()) == {
        "Open vSwitch, 10 ports from 32 threads: plug / plug_many": ("≤ 1.7x", "1.50x", "yes"),
        "Open vSwitch, 10 ports from 32 threads: os-vif 5.3.0 / plug": ("≥ 7x", "8.00x", "yes"),
        "Open vSwitch, 10 ports from 32 threads: p95 of a plug / its median": (
            *("≤ 3x", "2.10x", "yes"),
        ),
        "Open vSwitch, 10 ports from 32 threads: os-vif 5.3.0 / unplug": (
            *("≥ 2.5x", "16.00x", "yes"),
        ),
        "Open vSwitch, 10 ports from 8 threads: plug / plug_many": ("≤ 2.5x", "2.00x", "yes"),
        "Open vSwitch, 10 ports from 8 threads: os-vif 5.3.0 / plug": ("≥ 5x", "4.00x", "no"),
        "Open vSwitch, 10 ports at once / one transaction": ("≤ 1.5x", "2.00x", "no"),
        "os-vif 5.3.0 one by one / Open vSwitch, 10 ports at once": ("≥ 20x", "20.00x", "yes"),
        "os-vif 5.3.0 one by one / Linux bridge, 50 unplugs from 25 threads": (
            *("≥ 10x", "12.50x", "yes"),
        ),
        "os-vif 5.3.0 one by one / Linux bridge, 10 unplugs at once": ("≥ 30x", "29.00x", "no"),
    }


def test_tables_of_many_ports_keep_the_privileges_apart() -> None:
    _switch_grid, bridge, memory = _together().ratios
    rows = {row[0]: row[1:] for row in bridge.rows}
    assert rows["10, at once: os-vif 6, daemon"] == ("1.00x", "-", "-", "1.00x", "-", "-")
    assert rows["10, 32 threads: os-vif 6, daemon"] == (
        *("1.50x", "6.0x", "2.1x"),
        *("1.50x", "6.0x", "2.1x"),
    )
    assert memory.rows == (("os-vif 6", "50.0", "90", "51.0", "1.0"),)


def test_of_several_commands_the_slowest_has_to_reach_the_target() -> None:
    assert _met(_starting()) == {
        "the slowest of --help, --version, completion / bare Python": ("≤ 3.5x", "4.00x", "no"),
        "the slowest of plan, plug, check, unplug / bare Python": ("≤ 9x", "8.00x", "yes"),
        "import and initialize / os-vif 5.3.0": ("≤ 0.5x", "0.33x", "yes"),
    }
    (grid,) = _starting().ratios
    assert ("the first plug: os-vif 6, daemon", "10.00x", "0.25x") in grid.rows
    assert ("import and initialize: os-vif 6", "15.00x", "0.33x") in grid.rows


def test_a_macvtap_of_libvirts_is_told_from_what_its_guest_costs() -> None:
    (single,) = _macvtap(floor=0.001, ours=0.002, libvirt=0.009, card=0.004).ratios
    assert {row[0]: row[1:] for row in single.rows} == {
        "floor (bare netlink)": ("1.00x", "1.00x"),
        "os-vif 6": ("2.00x", "2.00x"),
        "libvirt, a card with a macvtap": ("9.00x", "9.00x"),
        "libvirt, a card without a device": ("4.00x", "4.00x"),
        macvtap_report.SHARE: ("5.00x", "5.00x"),
    }


def test_a_guests_program_is_compared_with_a_script_but_for_its_own_start() -> None:
    chapter = _running(**{SCRIPT: 0.2, RUN_BEGUN: 0.25, RUN: 0.6})
    assert [row[1:] for row in chapter.ratios[0].rows] == [("1.00x",), ("1.25x",), ("3.00x",)]
    assert [row[1:] for row in chapter.targets] == [("≤ 1.3x", "1.25x", "yes")]
    [(*_rest, met)] = _running(**{SCRIPT: 0.2, RUN_BEGUN: 0.28}).targets
    assert met == "no"
    assert _running(**{RUN_BEGUN: 0.28}).targets == []


def test_tables_leave_out_what_was_not_measured() -> None:
    chapter = _bridge(floor=0.001, old=0.01)
    assert [grid.title for grid in chapter.durations] == [
        "One tap on a Linux bridge, plug, this machine's times: median and p90, ms"
    ]
    assert not chapter.gains
    assert not _met(chapter)


def test_the_page_says_first_what_is_gained() -> None:
    page = document.text(_all(), [("Kernel", "6.1")], "benchmarks.svg")
    body = page.partition("# Benchmarks\n")[2]
    first, picture, *_rest = [part for part in body.split("\n\n") if part.strip()]
    assert first.strip() == (
        "**One plug on a Linux bridge is 4.0 times as fast as with os-vif 5.3.0**,"
        " one plug on Open vSwitch 4.0 times,"
        " 10 plugs from 32 threads on Open vSwitch 8.0 times"
        " and importing and initializing the library 3.0 times."
    )
    assert re.fullmatch(r"!\[Bars: .*4\.0.*\]\(benchmarks\.svg\)", picture.strip())


def _kind(title: str) -> str:
    if "this machine's times" in title:
        return "times"
    if title in {"Targets", "Where and with what"}:
        return title
    return "method" if title.startswith("Method") else "ratios"


def test_the_page_has_ratios_times_method_targets_and_the_machine_in_this_order() -> None:
    page = document.text(_all(), [("Kernel", "6.1")], "benchmarks.svg")
    titles = re.findall(r"^## (.*)", page, re.MULTILINE)
    kinds = [kind for kind, _ in itertools.groupby(titles, _kind)]
    assert kinds == ["ratios", "times", "method", "Targets", "Where and with what"]
    assert titles.count("Targets") == 1
    assert "| Kernel | 6.1 |" in page
    assert "| Open vSwitch (Debian) | 3.1.0 |" in page


def test_every_row_of_a_table_is_as_wide_as_its_header() -> None:
    page = document.text(_all(), [("Kernel", "6.1")], "benchmarks.svg")
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert len(tables) > 10
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_a_page_without_os_vif_5_says_so_and_has_no_picture() -> None:
    page = document.text([_macvtap(floor=0.001, ours=0.002)], [], "benchmarks.svg")
    assert "Nothing of it was measured beside os-vif 5.3.0." in page
    assert "![" not in page


def test_page_and_chart_are_written_beside_each_other(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "figures.md"
    document.write(page, _all(), [])
    assert "(figures.svg)" in page.read_text()
    assert page.with_suffix(".svg").read_text().startswith("<svg ")


def test_the_chart_is_as_it_was() -> None:
    """Look at it when it changes: on light and dark ground, and as narrow as a telephone."""
    assert chart.svg(GAINS) == GOLDEN.read_text()


def test_the_chart_is_well_formed_and_its_bars_are_as_long_as_the_gains_are_large() -> None:
    root = ElementTree.fromstring(chart.svg(GAINS))  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    bars = [float(bar.attrib["width"]) for bar in root.findall(f"{space}rect[@class='bar']")]
    assert [bar / gain.factor for bar, gain in zip(bars, GAINS, strict=True)] == pytest.approx(
        [bars[0] / GAINS[0].factor] * 3, rel=0.01
    )
    assert max(bars) < chart.WIDTH
    said = [text.text for text in root.iter(f"{space}text")]
    assert "200 plugs & more" in said
    assert [each for each in said if each and each.endswith("\u00d7")] == [
        *("5.6\u00d7", "12\u00d7", "0.9\u00d7")
    ]
    assert root.attrib["role"] == "img"
    assert "12" in str(root.findtext(f"{space}desc"))


def test_names_of_all_gains_fit_into_the_chart() -> None:
    # 8 px a character is more than any of the fonts takes on average at 14 px.
    room = (chart.WIDTH - 32) / 8
    assert [gain.text for each in _all() for gain in each.gains if len(gain.text) > room] == []


def test_no_gains_are_not_drawn() -> None:
    with pytest.raises(ValueError, match="no gains"):
        chart.svg([])
