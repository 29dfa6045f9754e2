# SPDX-License-Identifier: Apache-2.0
"""The hypervisors' pages by name, alike: what tells of one card, and the text for all of a guest.

A page is imported when it is asked for.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from os_vif.guest.card import CLOUD_HYPERVISOR, FIRECRACKER, KATA, LIBVIRT, QEMU, QMP

if TYPE_CHECKING:
    from os_vif.guest.card import Card
    from os_vif.guest.options import GuestOptions


class Told(Protocol):
    """What a page returns of one card."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people."""

    def as_json(self) -> dict[str, Any]:
        """Return all but the notes as plain data."""


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One hypervisor's.

    :ivar tell: what it is told of a card.
    :ivar document: the text for all cards of one guest; it ends in a newline.  Raises InvalidField
        where two of them cannot be in one guest.
    """

    tell: Callable[[Card, GuestOptions], Told]
    document: Callable[[Sequence[Any]], str]


_TELL: Mapping[str, tuple[str, str]] = {
    LIBVIRT: ("libvirt", "interface"),
    QEMU: ("qemu", "arguments"),
    QMP: ("qmp", "dialogue"),
    CLOUD_HYPERVISOR: ("cloud_hypervisor", "config"),
    FIRECRACKER: ("firecracker", "interface"),
    KATA: ("kata", "device"),
}


def page_of(hypervisor: str) -> Page:
    """Return the page of a hypervisor, one of :data:`os_vif.guest.card.NAMES`."""
    module, tell = _TELL[hypervisor]
    page = importlib.import_module(f"os_vif.guest.{module}")
    return Page(getattr(page, tell), page.document)
