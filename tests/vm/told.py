# SPDX-License-Identifier: Apache-2.0
"""What QEMU is told of a plugged VIF: by ``os_vif.guest``, and by nobody else."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

from os_vif import verbs
from os_vif.cli.monitor import Monitor as Asking
from os_vif.guest import Card, GuestOptions, qemu, qmp
from os_vif.guest.asked import Found, differences
from tests import vifs
from tests.lab.packages import Parts
from tests.vm.machine import MEMORY, PATIENCE, Machine, booted
from tests.vm.qmp import Monitor


@dataclasses.dataclass(frozen=True)
class Told:
    """A VIF, and what its guest is to have of it.

    :ivar card: what plugging makes known of it
    """

    vif: Any
    options: GuestOptions
    card: Card

    @classmethod
    def of(cls, vif: Any, **options: Any) -> Told:
        """Return a VIF with options of its guest, whose memory a back end may share."""
        asked = GuestOptions(memory=MEMORY << 20, **options)
        return cls(vif, asked, verbs.guest_card(vif, vifs.instance()))

    def opened(self) -> list[int]:
        """Return the descriptors that QEMU is to have: one a queue, none where it takes none."""
        if self.options.by_name or not self.card.end.descriptors:
            return []
        return verbs.open_guest_end(self.vif, self.options.queues)

    def arguments(self, descriptors: Sequence[int]) -> qemu.Arguments:
        """Return QEMU's arguments."""
        return qemu.arguments(self.card, self.options, descriptors)

    def put_in(self, monitor: Monitor) -> None:
        """Give it to a running guest, in the order that we say."""
        descriptors = self.opened()
        try:
            monitor.follow(qmp.dialogue(self.card, self.options).plug, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def unlike(self, machine: Machine) -> Found:
        """Return how a guest differs from what it was told; nobody may be on its monitor."""
        with Asking(machine.socket, silence=PATIENCE, patience=2 * PATIENCE) as running:
            return differences(self.card, self.options, running)

    def take_out(self, monitor: Monitor) -> None:
        """Take it from a running guest, in the order that we say."""
        monitor.follow(qmp.dialogue(self.card, self.options).unplug, ())


@contextlib.contextmanager
def guest_with(
    *cards: Told, parts: Parts | None = None, words: Sequence[str] = ()
) -> Iterator[Machine]:
    """Boot a guest that has these cards, whose VIFs are plugged.

    :param parts: with the QEMU that is to run it; the newest unless told
    :param words: more for QEMU
    """
    descriptors: list[int] = []
    arguments = []
    for one in cards:
        own = one.opened()
        descriptors += own
        arguments.append(one.arguments(own))
    with booted([*words, *qemu.together(arguments)], descriptors, parts) as guest:
        yield guest
