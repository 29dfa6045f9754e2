# SPDX-License-Identifier: Apache-2.0
"""Firecracker: a network interface of its API.  It opens a tap of one queue by its name.

Checked against the published interface of version 1.17 (in development), and never run.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from os_vif.guest import admitted
from os_vif.guest.card import FIRECRACKER, Card, Tap
from os_vif.guest.options import GuestOptions, refuse, version_of

NEWEST = (1, 17)
"""The newest version whose interface is known here."""

MTU_SINCE = (1, 16)
"""The first version that tells a guest its MTU."""

_HEARD = frozenset({"queues", "id", "by_name", "firecracker_version"})


@dataclasses.dataclass(frozen=True, slots=True)
class Interface:
    """What Firecracker is told of one card.

    :ivar path: where the body is PUT; in a configuration file it is one of
        ``network-interfaces``.
    :ivar body: what is said.
    :ivar notes: sentences for people.
    """

    path: str
    body: dict[str, Any]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return all but the notes as plain data."""
        return {"path": self.path, "body": self.body}


def interface(card: Card, options: GuestOptions) -> Interface:
    """Return the interface of a card.

    :raises NotForHypervisor: Firecracker cannot take what the VIF is plugged as
    :raises InvalidField: the options do not go with the card
    """
    admitted.admit(card, options, FIRECRACKER)
    told = admitted.another(card, options, FIRECRACKER, ())
    if isinstance(told, Interface):
        return told
    end = card.end
    if not isinstance(end, Tap):
        raise admitted.refusal(card, FIRECRACKER, end.hint)
    if options.queues > 1:
        refuse(
            "queues",
            options.queues,
            "1: Firecracker has but one; plug the tap without multi_queue",
        )
    admitted.need_virtio(options, FIRECRACKER)
    notes = admitted.notes(card, options, _HEARD, FIRECRACKER)
    # Letters, digits and '_' alone.
    card_id = re.sub("[^A-Za-z0-9_]", "_", admitted.card_id(card, options))
    body: dict[str, Any] = {
        "iface_id": card_id,
        "host_dev_name": end.device,
        "guest_mac": card.mac,
    }
    version = version_of("firecracker_version", options.firecracker_version, (1, 0)) or NEWEST
    if card.mtu is not None and version >= MTU_SINCE:
        body["mtu"] = card.mtu
    elif card.mtu is not None:
        notes.append(
            f"Firecracker tells a guest its MTU ({card.mtu} bytes) since 1.16 only: set it inside"
        )
    if version > NEWEST:
        notes.append(f"what is known here is Firecracker up to {NEWEST[0]}.{NEWEST[1]}")
    notes.append(
        f"run as root, it makes tap {end.device} itself where it is not there: plug before; it "
        "looks for it in its own network namespace"
    )
    return Interface(f"/network-interfaces/{card_id}", body, tuple(notes))


def document(cards: Sequence[Interface]) -> str:
    """Return what is said of all cards as a part of a configuration file, in JSON.

    :raises InvalidField: two cards have one id
    """
    admitted.need_distinct(card.body["iface_id"] for card in cards)
    return admitted.indented({"network-interfaces": [card.body for card in cards]})
