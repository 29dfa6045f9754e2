# SPDX-License-Identifier: Apache-2.0
"""The acts of the demo: each does something real, times it, and says what came of it."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from os_vif.cli.demo import served, world
from os_vif.cli.results import duration
from os_vif.cli.session import Failure, Session

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Batch
    from os_vif.drawing.scene import Fault, Guest
    from os_vif.engine.converge import Request
    from os_vif.outcomes import Outcome

BRIDGE = "br-demo"

# Filtered: packet filter rules are of no use here, and in a user namespace they take a lock
# that belongs to the real root.
SPEC = """\
vifs:
  - type: bridge
    bridge: br-demo
    name: tap-anna
    mac: 52:54:00:00:00:01
    filtered: true
    instance: {name: anna}
    network: {subnets: [{cidr: 198.51.100.0/24, addresses: [198.51.100.1]}]}
  - type: bridge
    bridge: br-demo
    name: tap-ben
    mac: 52:54:00:00:00:02
    filtered: true
    instance: {name: ben}
    network: {subnets: [{cidr: 198.51.100.0/24, addresses: [198.51.100.2]}]}
"""

ANNA = ("tap-anna", "52:54:00:00:00:01", "198.51.100.1")
BEN = ("tap-ben", "52:54:00:00:00:02", "198.51.100.2")
PINGS = 100
PATIENCE = 5
"""Seconds to wait for an answer that must come; a busy host may take its time."""


class Story:
    """The demo as it is told.

    :ivar acts: what happened, for ``--json``.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.acts: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def act(self, title: str) -> Iterator[dict[str, Any]]:
        """Announce an act and time it; what is put into the dictionary goes to ``--json``."""
        number = len(self.acts) + 1
        self.session.say("")
        self.session.say((f"{number}. {title}", "title"))
        facts: dict[str, Any] = {"act": title}
        begun = time.perf_counter()
        yield facts
        facts.setdefault("seconds", round(time.perf_counter() - begun, 6))
        self.tell(
            (f"{facts.setdefault('timed', 'all of it')}: {duration(facts['seconds'])}", "quiet")
        )
        self.acts.append(facts)

    @staticmethod
    @contextlib.contextmanager
    def timed(facts: dict[str, Any], what: str) -> Iterator[None]:
        """Have an act tell how long this part of it took, and not all of it."""
        begun = time.perf_counter()
        yield
        facts.update(timed=what, seconds=round(time.perf_counter() - begun, 6))

    def tell(self, *runs: str | tuple[str, str]) -> None:
        """Say a line of an act."""
        self.session.say("   ", *runs)

    def expect(self, truth: bool, otherwise: str) -> None:
        """Go on only if something is as the story has it.

        :raises Failure: it is not
        """
        if not truth:
            raise Failure(f"the demo failed: {otherwise}")

    def expect_done(self, outcomes: Iterable[Outcome]) -> None:
        """Go on only if all that was asked for is done; raises Failure."""
        for outcome in outcomes:
            self.expect(outcome.error is None, str(outcome.error))


def play(session: Session) -> dict[str, Any]:
    """Play all acts in this network namespace, which must be a private one; return the facts.

    They are ``acts``, and ``left_out``: why the last one is, where this host has not what it takes.

    :raises Failure: something did not come out as it should
    """
    from os_vif.cli.specs import reader
    from os_vif.cli.specs.batch import Batch

    session.start()
    batch = Batch()
    reader.read_text("demo", SPEC, batch)
    requests = [item for item in reader.describe_all(batch) if item is not None]
    story = Story(session)
    before = world.devices()
    _plug(story, batch, requests)
    with world.Guest(*ANNA) as anna, world.Guest(*BEN):
        with story.act("Real packets through the real bridge") as facts:
            _ping(story, anna, facts)
        _break(story, anna)
        _check(story, batch, requests)
        _repair(story, batch, anna)
    _unplug(story, batch, before)
    left_out = served.play(story)
    if left_out:
        session.say("")
        session.say(("left out: a network with DHCP and a way out", "warn"), f"; {left_out}")
    return {"acts": story.acts, "left_out": left_out or None}


def _plug(story: Story, batch: Batch, requests: list[Request]) -> None:
    from os_vif import verbs
    from os_vif.engine.steps import describe

    with story.act("Plug two guests") as facts:
        story.tell(("as in a file with two entries like this one:", "quiet"))
        for line in SPEC.splitlines()[1:6]:
            story.tell(("  " + line, "quiet"))
        with story.timed(facts, "plug"):
            outcomes = verbs.plug_many([(entry.vif, entry.instance) for entry in batch.entries])
        story.expect_done(outcomes)
        steps = [step for outcome in outcomes for step in outcome.steps]
        for step in steps:
            story.tell("- ", describe(step).partition(":")[0])
        facts["steps"] = len(steps)
        story.tell(("plugged", "good"), " both:")
        _draw(story, batch, requests, {})


def _ping(story: Story, anna: world.Guest, facts: dict[str, Any]) -> None:
    times = anna.ping(BEN[2], PINGS, patience=PATIENCE)
    facts.update(sent=PINGS, answered=len(times))
    story.expect(len(times) == PINGS, f"only {len(times)} of {PINGS} pings were answered")
    facts["median_seconds"] = round(statistics.median(times), 9)
    story.tell(
        f"anna pings ben: {len(times)} of {PINGS} ",
        ("answered", "good"),
        f", median round trip {facts['median_seconds'] * 1e6:.0f} µs",
    )


def _break(story: Story, anna: world.Guest) -> None:
    with story.act("Somebody slips") as facts:
        world.slip(ANNA[0], 900, BEN[0], BRIDGE)
        story.tell(f"the MTU of {ANNA[0]} becomes 900, and {BEN[0]} is taken out of {BRIDGE}")
        times = anna.ping(BEN[2], 1, patience=0.1)
        facts.update(sent=1, answered=len(times))
        story.expect(not times, "packets still pass between the guests")
        story.tell("anna pings ben: ", ("no answer", "bad"))


def _check(story: Story, batch: Batch, requests: list[Request]) -> None:
    from os_vif import verbs
    from os_vif.cli.drift import drifts_in, faults_of

    with story.act("os-vif check finds it") as facts:
        with story.timed(facts, "check"):
            findings = verbs.examine([(entry.vif, entry.instance) for entry in batch.entries])
        drifts = [drift for found in findings for drift in drifts_in(found)]
        facts["drifts"] = [f"{drift.device}: {drift.words}" for drift in drifts]
        for drift in drifts:
            story.tell(("drift", "bad"), "  ", (drift.device, "title"), f"  {drift.words}")
        found = {(drift.device, drift.attribute) for drift in drifts}
        story.expect(
            {(ANNA[0], "mtu"), (BEN[0], "master")} <= found, f"check found only {facts['drifts']}"
        )
        _draw(story, batch, requests, faults_of(drifts))


def _repair(story: Story, batch: Batch, anna: world.Guest) -> None:
    from os_vif import verbs

    pairs = [(entry.vif, entry.instance) for entry in batch.entries]
    with story.act("os-vif plug, once more, repairs it") as facts:
        with story.timed(facts, "plug"):
            outcomes = verbs.plug_many(pairs)
        story.expect_done(outcomes)
        story.tell(("repaired", "good"))
        _ping(story, anna, facts)
        again = verbs.plug_many(pairs)
        story.expect(not any(outcome.steps for outcome in again), "plug had still something to do")
        story.tell("and a third time: ", ("already plugged", "good"))


def _unplug(story: Story, batch: Batch, before: list[str]) -> None:
    from os_vif import verbs

    with story.act("Unplug, and nothing is left") as facts:
        with story.timed(facts, "unplug"):
            outcomes = verbs.unplug_many([(entry.vif, entry.instance) for entry in batch.entries])
        story.expect_done(outcomes)
        left = [item.mark.vif_id for item in verbs.list_vifs()]
        story.expect(not left, f"still plugged: {', '.join(left)}")
        devices = [name for name in world.devices() if name not in (*before, BRIDGE)]
        story.expect(not devices, f"devices are left: {', '.join(devices)}")
        story.tell(("unplugged", "good"), " both")
        story.tell(f"of the two VIFs nothing is left; {BRIDGE}, which guests share, stays")


def _draw(story: Story, batch: Batch, requests: list[Request], faults: Mapping[str, Fault]) -> None:
    from os_vif.cli.hosting import guest_of
    from os_vif.drawing import scene, text

    if story.session.json or story.session.quiet:
        return
    guests: list[Guest] = [guest_of(entry) for entry in batch.entries]
    pairs = [(request.topology, guest) for request, guest in zip(requests, guests, strict=True)]
    drawn = text.draw(scene.scene_of(pairs, faults), ascii_only=story.session.ascii_only)
    story.session.draw([[("   ", ""), *line] for line in drawn])
