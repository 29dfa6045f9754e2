# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' arithmetic and tables; measuring itself needs a kernel and is not tested here."""

import itertools
import re
import threading
from typing import Any

import pytest

from benchmarks import sections
from benchmarks.contenders import (
    CONTENDERS,
    FLOOR,
    LIBVIRT_CARD,
    MACVTAP_CONTENDERS,
    NEW,
    NEW_DAEMON,
    OLD,
    OURS,
    OURS_DAEMON,
    SWITCH_CONTENDERS,
)
from benchmarks.drivers import Driver, iproute2
from benchmarks.drivers.unprivileged import Late
from benchmarks.measure import turned
from benchmarks.openvswitch.modes import device
from benchmarks.port import Port, port
from benchmarks.running.first import firmware
from benchmarks.sections import Floor
from benchmarks.starting.measure import BARE, COMPLETION, commands, starts
from benchmarks.statistics import Summary, quantile, ratio, summarize
from benchmarks.tables import milliseconds
from benchmarks.together.grounds import BRIDGE, CARD, PLACES, SWITCH
from benchmarks.together.measure import AT_ONCE, TogetherPlan, storms, ticks, way
from benchmarks.worker import run, together
from tests import debian
from tests.waiting import PATIENCE_S


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


def test_milliseconds_keep_the_digits_that_mean_something() -> None:
    assert [milliseconds(s) for s in (0.000567, 0.0156, 9.7)] == ["0.57", "15.6", "9700"]


def _titles(only: str | None) -> list[str]:
    return [each.title for each in sections.chosen(only, quick=True, floor=Floor())]


def test_only_chooses_and_names_what_it_does_not_know() -> None:
    assert _titles("together") == ["many ports"]
    assert _titles("macvtap, ovs") == ["one port of Open vSwitch", "one macvtap"]
    assert _titles("run") == ["guests' programs"]
    assert len(_titles(None)) == 6
    (some,) = sections.chosen("4.3.1, floor", quick=True, floor=Floor())
    assert [each.key for each in some.contenders] == [FLOOR, OLD]
    (all_,) = sections.chosen("bridge", quick=True, floor=Floor())
    assert list(all_.contenders) == list(CONTENDERS)
    with pytest.raises(ValueError, match=r"unknown florr; known: bridge, ovs, .*floor"):
        _titles("florr,floor")


def test_a_run_says_beforehand_that_it_takes_no_longer_than_it_may() -> None:
    assert sum(each.minutes for each in sections.chosen(None, quick=False, floor=Floor())) <= 12


def test_processes_are_releases_the_library_below_them_python_itself_and_the_command() -> None:
    found = starts({"os-vif 6": "six", "os-vif 5.3.0": "five"})
    assert found["os-vif 6"][0] == "six"
    assert found["os-vif 5.3.0"] == ("five", found["os-vif 6"][1])
    assert found[BARE] == ("six", "pass")


def test_a_processor_begins_with_what_says_so() -> None:
    """At the reset vector, 16 bytes below the end of what is mapped below 4 GiB."""
    found = firmware()
    assert len(found) == 1 << 16
    assert found[-16:-12] == b"\xb0!\xe6\xe9"
    assert len(found[-16:]) == 16


def test_each_command_finds_what_it_needs() -> None:
    lines = commands("/bin/os-vif", "/tmp/vif.yaml")
    order = list(lines)
    for verb in ("check", "list", "show", "gc"):
        assert order.index("os-vif plug") < order.index(f"os-vif {verb}")
        assert order.index(f"os-vif {verb}") < order.index("os-vif unplug")
    assert lines["os-vif gc"][0] == ["/bin/os-vif", "gc", "--keep", "/tmp/vif.yaml", "--yes"]
    assert lines[COMPLETION][1]["COMP_WORDS"] == "os-vif pl"
    assert not lines["os-vif plug"][1]


class _Calls(Driver):
    """Remembers its calls; `plug` returns once `together` of them are under way."""

    def __init__(self, together: int = 1) -> None:
        self.gate = threading.Barrier(together)
        self.plugged: list[str] = []
        self.threads: set[int] = set()

    def plug(self, port: Port) -> None:
        self.gate.wait(timeout=PATIENCE_S)
        self.threads.add(threading.get_ident())
        self.plugged.append(port.name)

    def unplug(self, port: Port) -> None:
        raise OSError(f"{port.name} is busy")

    def plug_many(self, ports: Any) -> None:
        self.plugged += [each.name for each in ports]


def test_threads_call_at_the_same_time_and_share_the_ports() -> None:
    driver = _Calls(together=4)
    seconds, calls = run(driver, "plug", list(range(12)), 4)
    assert sorted(driver.plugged) == [port(number).name for number in range(12)]
    assert len(driver.threads) == 4
    assert len(calls) == 12
    assert max(calls) <= seconds


def test_one_thread_is_this_one_and_keeps_the_order() -> None:
    driver = _Calls()
    seconds, calls = run(driver, "plug", [3, 1, 2], 1)
    assert driver.plugged == [port(number).name for number in (3, 1, 2)]
    assert driver.threads == {threading.get_ident()}
    assert sum(calls) <= seconds


def test_no_more_threads_than_ports_are_waited_for() -> None:
    assert len(together(_Calls(together=2).plug, [port(1), port(2)], 25)[1]) == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_a_call_that_fails_is_not_taken_for_a_fast_one(threads: int) -> None:
    with pytest.raises(OSError, match="is busy"):
        run(_Calls(), "unplug", [1, 2], threads)


def test_a_bulk_call_is_one_call() -> None:
    driver = _Calls()
    seconds, calls = run(driver, "plug_many", [1, 2], 1)
    assert calls == [seconds]
    assert len(driver.plugged) == 2


def test_a_daemon_that_starts_late_starts_inside_the_first_plug_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "benchmarks.drivers.unprivileged.drop_privileges", lambda: said.append("nobody")
    )
    inner = _Calls()
    late = Late(inner, lambda: said.append("started"))
    assert not said
    late.plug(port(1))
    late.plug(port(2))
    assert said == ["started", "nobody"]
    assert len(inner.plugged) == 2


def test_storms_are_all_ways_with_every_contender_that_has_them() -> None:
    plan = TogetherPlan(rounds=3)
    few, many, parting = storms(PLACES[BRIDGE], plan)
    assert {each.count for each in (*few, *many)} == {200, 500}
    assert {each.threads for each in few if each.contender == OURS} == {AT_ONCE, 1, 8, 32}
    assert {each.threads for each in few if each.contender == NEW_DAEMON} == {1, 8, 32}
    assert {each.threads for each in few if each.contender == FLOOR} == {AT_ONCE}
    assert {each.rounds for each in few if each.contender == NEW or each.threads == 1} == {1}
    assert {each.rounds for each in few if each.threads == 32 and each.contender == OURS} == {3}
    assert {each.rounds for each in many} == {1}
    assert {each.threads for each in many if each.contender == NEW} == {1, 32}
    assert {(each.count, each.threads) for each in parting} == {(50, 1), (50, 25)}
    assert [len(storms(PLACES[place], plan)) for place in (SWITCH, CARD)] == [2, 2]
    assert [way(threads) for threads in (AT_ONCE, 1, 8)] == ["at once", "one by one", "8 threads"]
    assert ticks(plan) == len(PLACES) + sum(
        storm.rounds
        for place in PLACES.values()
        for level in storms(place, plan)
        for storm in level
    )


def test_ours_is_compared_with_the_reference_of_the_same_privilege() -> None:
    assert PLACES[BRIDGE].references == {OURS: NEW, OURS_DAEMON: NEW_DAEMON}
    for place in PLACES.values():
        keys = {each.key for each in place.contenders}
        assert {*place.references, *place.references.values()} <= keys


def test_contenders_are_told_apart_and_only_cni_makes_something_else() -> None:
    for what in ("key", "label"):
        for group in (CONTENDERS, SWITCH_CONTENDERS, MACVTAP_CONTENDERS):
            assert len({getattr(each, what) for each in group}) == len(group)
    assert [each.key for each in CONTENDERS if not each.tap] == ["cni"]
    assert [each.key for each in MACVTAP_CONTENDERS if not each.tap] == [LIBVIRT_CARD]


def test_open_vswitch_is_fetched_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(debian, "tree", asked.append)
    floor, *_rest = SWITCH_CONTENDERS
    floor.install()
    assert asked == ["openvswitch", "openvswitch-dpdk"]
    assert set(asked) <= set(debian.TREES)


def test_devices_of_different_ports_differ_although_names_are_cut() -> None:
    ports = [port(number) for number in range(300)]
    assert len({device("qvo", each) for each in ports}) == len(ports)
    assert max(len(device("qvo", each)) for each in ports) == 14


def test_ip_makes_what_it_is_asked_for() -> None:
    one = port(1)
    assert iproute2.Tap().add(one) == "tuntap add dev tapb000001 mode tap vnet_hdr"
    assert iproute2.Macvtap().add(one).endswith("mtu 1500 type macvtap mode bridge")
    assert f"address {one.mac} " in iproute2.Macvtap().add(one)
    assert "master" not in iproute2.Macvtap().set(one)
