# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' arithmetic and tables; measuring itself needs a kernel and is not tested here."""

import re

import pytest

from benchmarks import report
from benchmarks.__main__ import _chosen
from benchmarks.contenders import CONTENDERS, FLOOR, NEW, OLD, OURS
from benchmarks.measure import BARE, Plan, Samples, cold_starts
from benchmarks.port import port
from benchmarks.statistics import Summary, quantile, ratio, summarize


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
    assert [report.milliseconds(s) for s in (0.000567, 0.0156, 9.7)] == ["0.57", "15.6", "9700"]


def test_only_chooses_and_names_what_it_does_not_know() -> None:
    chosen, cold = _chosen("4.3.1, floor")
    assert [each.key for each in chosen] == [FLOOR, OLD]
    assert not cold
    assert _chosen(None) == (list(CONTENDERS), True)
    assert _chosen("cold") == ([], True)
    with pytest.raises(ValueError, match=r"unknown florr; known: .*floor"):
        _chosen("florr,floor")


def test_cold_starts_are_all_releases_the_library_below_them_and_python_itself() -> None:
    starts = cold_starts({"os-vif 6": "six", "os-vif 5.3.0": "five"})
    assert starts["os-vif 6"][0] == "six"
    assert starts["os-vif 5.3.0"] == ("five", starts["os-vif 6"][1])
    assert starts[BARE] == ("six", "pass")


def test_contenders_are_told_apart_and_only_cni_makes_something_else() -> None:
    for what in ("key", "label"):
        assert len({getattr(each, what) for each in CONTENDERS}) == len(CONTENDERS)
    assert [each.key for each in CONTENDERS if not each.tap] == ["cni"]
