# SPDX-License-Identifier: Apache-2.0
"""The last act: a network of this host's own, whose guest is told its address and gets outside."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from os_vif.cli.demo import world
from os_vif.cli.session import Failure

if TYPE_CHECKING:
    from os_vif.cli.demo.story import Story
    from os_vif.verbs import Pair

SPEC = """\
vifs:
  - type: bridge
    bridge: br-own
    name: tap-cleo
    mac: 52:54:00:00:00:03
    filtered: true
    instance: {name: cleo}
    network:
      nat: true
      subnets:
      - cidr: 10.42.7.0/24
        gateway: 10.42.7.1
        dhcp: true
        addresses: [10.42.7.10]
"""

CLEO = ("tap-cleo", "52:54:00:00:00:03")
UPLINK, UPLINK_ADDRESS = "outside", "203.0.113.1"
FAR = ("52:54:00:00:00:09", "203.0.113.9")
"""Somebody outside, who has never heard of the guests' network."""

PINGS = 10
PATIENCE = 10
"""Seconds to wait for an answer that must come; a busy host may take its time."""


def play(story: Story) -> str:
    """Play it; return why it is left out, where this host cannot: '' if it is not.

    :raises Failure: something did not come out as it should
    """
    from os_vif import exception, verbs
    from os_vif.cli import configuration
    from os_vif.cli.specs import reader
    from os_vif.cli.specs.batch import Batch

    batch = Batch()
    reader.read_text("demo", SPEC, batch)
    configuration.apply({}, story.session.settings, batch.said)
    pairs = [(entry.vif, entry.instance) for entry in batch.entries]
    before = {*world.devices(), UPLINK}
    with world.Guest(UPLINK, *FAR) as far:
        world.lead_out(UPLINK, f"{UPLINK_ADDRESS}/24", FAR[1])
        try:
            for vif, instance in pairs:
                verbs.plan(vif, instance)
        except exception.UnusableDevice as error:
            return str(error)
        try:
            with story.act("A network of this host's own, with a way out") as facts:
                _plug(story, pairs, facts)
                _reach(story, far, facts)
        finally:
            # Whatever happens: a server outlives who has started it.
            outcomes = verbs.unplug_many(pairs, with_bridge=True)
        story.expect_done(outcomes)
    left = sorted({*world.devices()} - before)
    story.expect(not left, f"devices are left: {', '.join(left)}")
    story.tell(("unplugged", "good"), ": the bridge, its gateway and DHCP went with the guest")
    return ""


def _plug(story: Story, pairs: Sequence[Pair], facts: dict[str, Any]) -> None:
    from os_vif import verbs
    from os_vif.engine.steps import describe

    story.tell(("as in a file with an entry that ends like this:", "quiet"))
    for line in textwrap.dedent(SPEC[SPEC.index("    network:") :]).splitlines():
        story.tell(("  " + line, "quiet"))
    with story.timed(facts, "plug"):
        outcomes = verbs.plug_many(pairs)
    story.expect_done(outcomes)
    for outcome in outcomes:
        for step in outcome.steps:
            story.tell("- ", describe(step).partition(":")[0].partition(", ")[0])


def _reach(story: Story, far: world.Guest, facts: dict[str, Any]) -> None:
    with world.Guest(*CLEO) as cleo:
        lease = cleo.lease(PATIENCE)
        if lease is None:
            raise Failure("the demo failed: nobody told the guest its address")
        facts.update(address=str(lease.address), router=lease.router)
        story.tell("cleo is ", ("told", "good"), f": {lease.address}, router {lease.router}")
        times = cleo.ping(FAR[1], PINGS, patience=PATIENCE, router=lease.router)
    facts.update(sent=PINGS, answered=len(times), seen_as=sorted(far.callers))
    story.expect(len(times) == PINGS, f"only {len(times)} of {PINGS} pings were answered")
    story.expect(facts["seen_as"] == [UPLINK_ADDRESS], f"seen as {facts['seen_as']}")
    story.tell(
        f"cleo pings {FAR[1]}, outside: {len(times)} of {PINGS} ",
        ("answered", "good"),
        f", seen there as {UPLINK_ADDRESS}",
    )
