# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' arithmetic and tables; measuring itself needs a kernel and is not tested here."""

import itertools
import re
from typing import Any

import pytest

from benchmarks import report
from benchmarks.__main__ import _chosen
from benchmarks.contenders import (
    CONTENDERS,
    FLOOR,
    LIBVIRT,
    LIBVIRT_CARD,
    MACVTAP_CONTENDERS,
    NEW,
    OLD,
    OURS,
    SWITCH_CONTENDERS,
)
from benchmarks.drivers import iproute2
from benchmarks.macvtap import report as macvtap_report
from benchmarks.macvtap.measure import AT_ONCE as MANY
from benchmarks.macvtap.measure import MacvtapPlan, MacvtapSamples
from benchmarks.measure import BARE, Plan, Samples, cold_starts, turned
from benchmarks.openvswitch import report as switch_report
from benchmarks.openvswitch.measure import AT_ONCE, EACH, SwitchPlan, SwitchSamples
from benchmarks.openvswitch.modes import HYBRID, TAP, device
from benchmarks.port import port
from benchmarks.statistics import Summary, quantile, ratio, summarize
from benchmarks.tables import milliseconds


def test_quantile_lies_between_the_samples() -> None:
    samples = [4.0, 1.0, 3.0, 2.0]
    assert quantile(samples, 0) == 1.0
    assert quantile(samples, 0.5) == 2.5
    assert quantile(samples, 0.9) == pytest.approx(3.7)
    assert quantile(samples, 1) == 4.0
    assert quantile([7.0], 0.9) == 7.0


@pytest.mark.parametrize(("samples", "fraction"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_quantile_refuses_nonsense(samples: list[float], fraction: float) -> None:
    with pytest.raises(ValueError, match=r"no samples|not in 0\.\.1"):
        quantile(samples, fraction)


def test_median_is_not_moved_by_one_outlier() -> None:
    assert summarize([1.0, 1.1, 0.9, 1.0, 500.0]).median == 1.0


def test_ratio_is_of_medians_and_none_where_a_side_is_missing() -> None:
    one, other = Summary(3.0, 9.0, 5), Summary(2.0, 2.0, 5)
    assert ratio(one, other) == 1.5
    assert ratio(None, other) is None
    assert ratio(one, None) is None


def test_in_turn_everybody_is_first_and_has_other_neighbours() -> None:
    workers: list[Any] = ["one", "two", "three", "four"]
    rounds = [turned(workers, turn) for turn in range(-4, 20)]
    assert all(sorted(each) == sorted(workers) for each in rounds)
    assert [each[0] for each in rounds[:5]] == ["one", "two", "three", "four", "one"]
    before = {first for each in rounds for first, then in itertools.pairwise(each) if then == "one"}
    assert before == {"two", "three", "four"}


def test_ports_differ_and_have_names_and_addresses_the_kernel_takes() -> None:
    ports = [port(number) for number in (0, 1, 255, 256, 0xFFFFFF)]
    for what in ("name", "mac", "vif_id"):
        assert len({getattr(each, what) for each in ports}) == len(ports)
    assert all(len(each.name) <= 15 for each in ports)
    assert all(re.fullmatch(r"52:54:00(:[0-9a-f]{2}){3}", each.mac) for each in ports)
    with pytest.raises(ValueError, match="not in 0"):
        port(0x1000000)


def _results(plug: dict[str, float], cold: dict[str, float] | None = None) -> report.Results:
    """Constant times: seconds of a plug without other links by contender, and of cold starts."""
    samples = Samples(
        single={(key, 0, "plug"): [seconds] * 3 for key, seconds in plug.items()},
        cold={label: [seconds] * 3 for label, seconds in (cold or {}).items()},
    )
    chosen = [each for each in CONTENDERS if each.key in plug]
    return report.Results(chosen, Plan(levels=(0,), rounds=3), samples)


def _targets(results: report.Results) -> dict[str, tuple[str, ...]]:
    (grid,) = [grid for grid in report.grids(results) if grid.title == "Targets"]
    return {row[0]: row[1:] for row in grid.rows}


def test_targets_compare_the_right_two() -> None:
    results = _results(
        {FLOOR: 0.001, OURS: 0.0015, OLD: 0.012, NEW: 0.010},
        {"os-vif 6": 0.4, "os-vif 5.3.0": 0.5, BARE: 0.02},
    )
    assert _targets(results) == {
        "plug in process / floor": ("≤ 2x", "1.50x", "yes"),
        "os-vif 4.3.1 / plug, in process": ("≥ 6x", "8.00x", "yes"),
        "plug, most other links / none": ("≤ 1.1x", "1.00x", "yes"),
        "import and initialize / os-vif 5.3.0": ("≤ 0.8x", "0.80x", "yes"),
    }


def test_a_missed_target_is_called_missed() -> None:
    missed = _targets(_results({FLOOR: 0.001, OURS: 0.0021, OLD: 0.012}))
    assert missed["plug in process / floor"] == ("≤ 2x", "2.10x", "no")
    assert missed["os-vif 4.3.1 / plug, in process"] == ("≥ 6x", "5.71x", "no")


def test_tables_leave_out_what_was_not_measured() -> None:
    titles = [grid.title for grid in report.grids(_results({FLOOR: 0.001, OLD: 0.01}))]
    assert not [title for title in titles if title.startswith(("Cold", "500 ports", "Growth"))]
    assert "One plug, this machine's times: median and p90, ms" in titles


def test_document_has_ratios_before_times_and_every_row_as_wide_as_its_header() -> None:
    results = _results({FLOOR: 0.001, OURS: 0.0015, OLD: 0.012}, {"os-vif 6": 0.4, BARE: 0.02})
    page = report.document(results, [("Kernel", "6.1"), ("Date", "2030-01-02")])
    assert page.index("ratios of medians") < page.index("this machine's times")
    assert "| Kernel | 6.1 |" in page
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_milliseconds_keep_the_digits_that_mean_something() -> None:
    assert [milliseconds(s) for s in (0.000567, 0.0156, 9.7)] == ["0.57", "15.6", "9700"]


def test_only_chooses_and_names_what_it_does_not_know() -> None:
    chosen, more = _chosen("4.3.1, floor")
    assert [each.key for each in chosen] == [FLOOR, OLD]
    assert not more
    assert _chosen(None) == (list(CONTENDERS), {"cold", "ovs", "macvtap"})
    assert _chosen("cold") == ([], {"cold"})
    assert _chosen("ovs,floor")[1] == {"ovs"}
    assert _chosen("macvtap") == ([], {"macvtap"})
    with pytest.raises(ValueError, match=r"unknown florr; known: .*floor"):
        _chosen("florr,floor")


def test_cold_starts_are_all_releases_the_library_below_them_and_python_itself() -> None:
    starts = cold_starts({"os-vif 6": "six", "os-vif 5.3.0": "five"})
    assert starts["os-vif 6"][0] == "six"
    assert starts["os-vif 5.3.0"] == ("five", starts["os-vif 6"][1])
    assert starts[BARE] == ("six", "pass")


def test_contenders_are_told_apart_and_only_cni_makes_something_else() -> None:
    for what in ("key", "label"):
        for group in (CONTENDERS, SWITCH_CONTENDERS, MACVTAP_CONTENDERS):
            assert len({getattr(each, what) for each in group}) == len(group)
    assert [each.key for each in CONTENDERS if not each.tap] == ["cni"]
    assert [each.key for each in MACVTAP_CONTENDERS if not each.tap] == [LIBVIRT_CARD]


def test_devices_of_different_ports_differ_although_names_are_cut() -> None:
    ports = [port(number) for number in range(300)]
    assert len({device("qvo", each) for each in ports}) == len(ports)
    assert max(len(device("qvo", each)) for each in ports) == 14


def _switch_results(**plug: float) -> switch_report.SwitchResults:
    """Constant seconds of a plug in two modes and of a storm of two, by contender."""
    samples = SwitchSamples(version="3.1.0")
    for key, seconds in plug.items():
        name = {"floor": FLOOR, "ours": OURS, "new": NEW}[key]
        way = EACH if name == NEW else AT_ONCE
        for mode in (TAP, HYBRID):
            for op in ("plug", "unplug"):
                samples.single[name, mode, 0, op] = [seconds] * 3
        samples.storm[name, way, 2, "plug"] = [seconds * 2]
    samples.memory = {(OURS, 0): 50e6, (OURS, 1000): 60e6}
    samples.idle = {(OURS, 1000): 0.0002, (NEW, 1000): 0.02}
    plan = SwitchPlan(levels=(0, 1000), storms=(2,))
    return switch_report.SwitchResults(SWITCH_CONTENDERS, plan, samples)


def test_targets_of_the_switch_compare_the_right_two() -> None:
    (grid, *_rest) = switch_report.grids(_switch_results(floor=0.002, ours=0.003, new=0.012))
    assert {row[0]: row[1:] for row in grid.rows} == {
        "plug / floor: VIFOpenVSwitch, tap": ("≤ 1.5x", "1.50x", "yes"),
        "plug / floor: VIFBridge, hybrid": ("≤ 1.5x", "1.50x", "yes"),
        "os-vif 5.3.0 / plug: VIFOpenVSwitch, tap": ("≥ 3x", "4.00x", "yes"),
        "os-vif 5.3.0 / plug: VIFBridge, hybrid": ("≥ 5x", "4.00x", "no"),
        "2 ports at once / one transaction": ("≤ 1.5x", "1.50x", "yes"),
        "os-vif 5.3.0 one by one / 2 ports at once": ("≥ 20x", "4.00x", "no"),
        "client's memory, most other ports / none": ("≤ 1.1x", "1.20x", "no"),
        "client's idle CPU with most other ports": ("≤ 1 ms/s", "0.20 ms/s", "yes"),
    }


def test_document_has_the_switch_behind_the_rest_and_tables_as_wide_as_their_headers() -> None:
    switch = _switch_results(floor=0.002, ours=0.003, new=0.012)
    page = report.document(_results({FLOOR: 0.001, OURS: 0.0015}), [("Kernel", "6.1")], switch)
    assert page.index("## Method") < page.index("## Open vSwitch: targets")
    assert page.index("## Open vSwitch: method") < page.index("| Kernel | 6.1 |")
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def _macvtap_results(**plug: float) -> macvtap_report.MacvtapResults:
    """Constant seconds of a plug, ten times of an unplug, and a storm of two, by contender."""
    keys = {"floor": FLOOR, "ours": OURS, "libvirt": LIBVIRT, "card": LIBVIRT_CARD}
    samples = MacvtapSamples()
    for name, seconds in plug.items():
        samples.single[keys[name], "plug"] = [seconds] * 3
        samples.single[keys[name], "unplug"] = [seconds * 10] * 3
    for op in ("plug", "unplug"):
        samples.storm[FLOOR, MANY, op] = [0.01]
        samples.storm[OURS, MANY, op] = [0.015]
    chosen = [each for each in MACVTAP_CONTENDERS if each.key in {keys[name] for name in plug}]
    return macvtap_report.MacvtapResults(chosen, MacvtapPlan(storm=2), samples)


def test_a_macvtap_of_libvirts_is_told_from_what_its_guest_costs() -> None:
    results = _macvtap_results(floor=0.001, ours=0.002, libvirt=0.009, card=0.004)
    single, storm, *_times = macvtap_report.grids(results)
    assert {row[0]: row[1:] for row in single.rows} == {
        "floor (bare netlink)": ("1.00x", "1.00x"),
        "os-vif 6": ("2.00x", "2.00x"),
        "libvirt, a card with a macvtap": ("9.00x", "9.00x"),
        "libvirt, a card without a device": ("4.00x", "4.00x"),
        macvtap_report.SHARE: ("5.00x", "5.00x"),
    }
    assert storm.title.startswith("2 macvtaps")
    assert ("os-vif 6, at once", "1.50x", "1.50x") in storm.rows


def test_document_has_macvtaps_behind_the_rest_and_tables_as_wide_as_their_headers() -> None:
    macvtap = _macvtap_results(floor=0.001, ours=0.002, libvirt=0.009, card=0.004)
    results = _results({FLOOR: 0.001, OURS: 0.0015})
    page = report.document(results, [("Kernel", "6.1")], macvtap=macvtap)
    assert page.index("## Method") < page.index("## Macvtap, one at a time")
    assert page.index("## Macvtap: method") < page.index("| Kernel | 6.1 |")
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_ip_makes_what_it_is_asked_for() -> None:
    one = port(1)
    assert iproute2.Tap().add(one) == "tuntap add dev tapb000001 mode tap vnet_hdr"
    assert iproute2.Macvtap().add(one).endswith("mtu 1500 type macvtap mode bridge")
    assert f"address {one.mac} " in iproute2.Macvtap().add(one)
    assert "master" not in iproute2.Macvtap().set(one)
