# SPDX-License-Identifier: Apache-2.0
"""The tables and the method of the measurements of macvtaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders import FLOOR, LIBVIRT, LIBVIRT_CARD, Contender
from benchmarks.macvtap.measure import MacvtapPlan, MacvtapSamples
from benchmarks.statistics import Summary, ratio, summarize
from benchmarks.tables import Chapter, Grid, median_p90, times, told

SHARE = "libvirt, the first less the second"


@dataclass(frozen=True, slots=True)
class MacvtapResults:
    """The samples of a run and what they are samples of."""

    contenders: Sequence[Contender]
    plan: MacvtapPlan
    samples: MacvtapSamples

    def single(self, key: str, op: str) -> Summary | None:
        """Of one plug or unplug; None if it was not measured."""
        found = self.samples.single.get((key, op))
        return summarize(found) if found else None

    def libvirt_share(self, op: str) -> float | None:
        """Seconds libvirt takes longer for a card with a macvtap than for one without."""
        whole, without = (self.single(key, op) for key in (LIBVIRT, LIBVIRT_CARD))
        return whole.median - without.median if whole and without else None


def _single_ratios(results: MacvtapResults) -> Grid:
    rows = []
    for contender in results.contenders:
        row = [contender.label]
        for op in ("plug", "unplug"):
            mine = results.single(contender.key, op)
            row.append(times(ratio(mine, results.single(FLOOR, op))))
        rows.append(tuple(row))
    share = [SHARE]
    for op in ("plug", "unplug"):
        took, base = results.libvirt_share(op), results.single(FLOOR, op)
        share.append(times(took / base.median if took is not None and base else None))
    rows.append(tuple(share))
    title = "Macvtap, one at a time: ratios of medians to floor"
    return Grid(title, ("contender", "plug / floor", "unplug / floor"), tuple(rows))


def _single_times(results: MacvtapResults) -> Grid:
    rows = []
    for contender in results.contenders:
        row = [contender.label]
        for op in ("plug", "unplug"):
            row += median_p90(results.single(contender.key, op))
        rows.append(tuple(row))
    title = "Macvtap, this machine's times: median and p90, ms"
    return Grid(title, ("contender", "plug", "p90", "unplug", "p90"), tuple(rows))


def _method(results: MacvtapResults) -> str:
    plan = results.plan
    return f"""\
## Method: macvtap

- A macvtap in mode `bridge` with its MAC, an MTU of 1500, an alias and IPv6 disabled, up, on a
  card that is up already: one end of a veth, in a private network namespace that all contenders
  share. No release of os-vif before 6 has a plugin for it, 5.3.0 neither.
- The floor sends two requests, since the kernel takes no alias at creation, and writes one file
  in between; unplugging is one request. It checks nothing and takes nothing back.
- libvirt makes a macvtap for a guest only, so it plugs a card of type `direct` into one that is
  stopped at its first instruction, by `virsh` commands on a connection that stays. Telling QEMU
  is part of each call: the second row has the same card without a device on the host (type
  `user`), and the difference of the medians is about what the macvtap costs. The card is on USB,
  where QEMU lets go of it without asking the guest. libvirt also opens the macvtap for QEMU and
  runs `tc` before deleting it, and neither sets an alias nor disables IPv6.
- Rounds: in each, every contender plugs and unplugs one fresh macvtap, another contender first
  each time. {plan.warmup} rounds are discarded, {plan.rounds} counted. Before, `ip` has looked at
  one plug and unplug of each; a contender that misses the end state ends the run.
"""


def chapter(results: MacvtapResults) -> Chapter:
    """All of it: no gain, since os-vif 5.3.0 has nothing to compare with."""
    return Chapter(
        gains=[],
        ratios=told([_single_ratios(results)]),
        durations=told([_single_times(results)]),
        method=_method(results),
        targets=[],
    )
