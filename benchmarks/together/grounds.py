# SPDX-License-Identifier: Apache-2.0
"""Where many ports are plugged, and who takes part there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from benchmarks import contenders as who
from benchmarks.client import Worker, WorkerError
from benchmarks.contenders import Contender
from benchmarks.macvtap.sandbox import CardSandbox
from benchmarks.openvswitch.modes import TAP
from benchmarks.openvswitch.sandbox import SwitchSandbox
from benchmarks.sandbox import Sandbox

BRIDGE, SWITCH, CARD = "bridge", "switch", "card"

Expect = Callable[[Worker, int], None]
"""Look whether there are so many ports.

:raises WorkerError: there are not
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """An open sandbox.

    :ivar host: the network namespace
    :ivar arguments: for the contenders' drivers, beside their own
    :ivar mode: for the drivers that have several
    """

    host: str
    expect: Expect
    arguments: Mapping[str, str] = field(default_factory=dict)
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of sandbox, and who takes part.

    :ivar label: what the tables call it
    :ivar where: what a sentence says behind "on"
    :ivar references: os-vif 5.3.0's contender, by the one of ours that it is compared with
    :ivar partings: whether many go at once from there, too
    """

    label: str
    where: str
    open: Callable[[], AbstractContextManager[Ground]]
    contenders: Sequence[Contender]
    references: Mapping[str, str]
    partings: bool = False


def _expect_links(count: Callable[[], int]) -> Expect:
    """What is asked of a place whose ports are links."""

    def expect(worker: Worker, ports: int) -> None:
        found = count()
        if found != ports:
            raise WorkerError(f"{worker.contender.label}: {found} ports, not {ports}")

    return expect


@contextlib.contextmanager
def _bridge() -> Iterator[Ground]:
    with Sandbox(0).open() as sandbox:
        yield Ground(sandbox.host, _expect_links(sandbox.ports_left))


@contextlib.contextmanager
def _switch() -> Iterator[Ground]:
    with SwitchSandbox().open() as sandbox:
        remote = {"remote": sandbox.switch.remote}
        yield Ground(sandbox.host, sandbox.expect, remote, TAP)


@contextlib.contextmanager
def _card() -> Iterator[Ground]:
    with CardSandbox().open() as sandbox:
        yield Ground(sandbox.host, _expect_links(lambda: len(sandbox.macvtaps())))


def _of(contenders: Sequence[Contender], *keys: str) -> list[Contender]:
    return [each for each in contenders if each.key in keys]


PLACES = {
    SWITCH: Place(
        "Open vSwitch",
        "Open vSwitch",
        _switch,
        who.SWITCH_CONTENDERS,
        {who.OURS: who.NEW},
    ),
    BRIDGE: Place(
        "Linux bridge",
        "a Linux bridge",
        _bridge,
        _of(
            who.CONTENDERS,
            *(who.FLOOR, who.OURS, who.OURS_DAEMON, who.NEW, who.NEW_DAEMON, who.IP_BATCH),
        ),
        {who.OURS: who.NEW, who.OURS_DAEMON: who.NEW_DAEMON},
        partings=True,
    ),
    CARD: Place(
        "macvtap",
        "a network card",
        _card,
        _of(who.MACVTAP_CONTENDERS, who.FLOOR, who.OURS, who.OURS_DAEMON, who.IP_BATCH),
        {},
    ),
}
"""By key, in the order of the page."""
