# SPDX-License-Identifier: Apache-2.0
"""What no hypervisor is told, because it would refuse it itself, later and in fewer words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from os_vif import exception
from os_vif.guest.card import (
    NAMES,
    Another,
    Card,
    Function,
    HypervisorMacvtap,
    Macvtap,
    Tap,
    VhostUser,
)
from os_vif.guest.options import GuestOptions, refuse

LEAST_IPV6 = 1280
"""Bytes that any link of IPv6's carries (RFC 8200, 5)."""


def admit(card: Card, options: GuestOptions, hypervisor: str) -> None:
    """See that a hypervisor can be told of a card.

    :param hypervisor: one of :data:`os_vif.guest.card.NAMES`
    :raises NotForHypervisor: it cannot take what the VIF is plugged as
    :raises InvalidField: the options do not go with the card
    """
    end = card.end
    able = tuple(end.told_by) if isinstance(end, Another) else end.taken_by
    if hypervisor not in able:
        raise refusal(card, hypervisor, end.hint)
    if end.has_mac and card.mac is None:
        refuse(f"{card.vif_class}.address", None, "the guest's MAC address")
    if isinstance(end, VhostUser) and not options.is_virtio:
        refuse("model", options.model, "virtio: vhost-user serves no other")
    if isinstance(end, Tap):
        _need_queues(end, options.queues)
    if isinstance(end, Function) and options.queues > 1:
        refuse("queues", options.queues, "1, as a PCI function brings its own queues")
    if (options.tx_queue_size or 0) > 256 and not isinstance(end, VhostUser):
        refuse("tx_queue_size", options.tx_queue_size, f"256 at most for {end.what}")
    if options.by_name and isinstance(end, Macvtap):
        refuse("by_name", True, "descriptors: a macvtap cannot be opened by its name")
    if options.libvirt_makes_it and not isinstance(end, Macvtap | HypervisorMacvtap):
        refuse("libvirt_makes_it", True, f"a VIFDirect, and not {end.what}")


def _need_queues(tap: Tap, queues: int) -> None:
    if queues > 1 and not tap.multi_queue:
        refuse(
            "queues",
            queues,
            f"1, as tap {tap.device} has a single queue; plug it with multi_queue to have more",
        )
    if queues == 1 and tap.multi_queue:
        refuse(
            "queues",
            queues,
            f"2 or more, as tap {tap.device} is a multi-queue one; without multi_queue it has one",
        )


def refusal(card: Card, hypervisor: str, reason: str) -> exception.NotForHypervisor:
    """Return the error that names those that can."""
    end = card.end
    able = tuple(end.told_by) if isinstance(end, Another) else end.taken_by
    names = [NAMES[name] for name in able]
    can = f"{' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))} can" if names else ""
    return exception.NotForHypervisor(
        hypervisor=NAMES[hypervisor],
        vif_class=card.vif_class,
        what=end.name if isinstance(end, Another) else end.what,
        reason=reason,
        can=can or "none can",
        able=able,
    )


def another(card: Card, options: GuestOptions, hypervisor: str, descriptors: Sequence[int]) -> Any:
    """Return what a third party's end tells a hypervisor; None of an end of ours."""
    if isinstance(card.end, Another):
        return card.end.told_by[hypervisor](card, options, descriptors)
    return None


def card_id(card: Card, options: GuestOptions) -> str:
    """Return the id of a card at its hypervisor."""
    return options.id or f"net-{card.vif_id[:11]}"


def notes(card: Card, options: GuestOptions, heard: Collection[str], hypervisor: str) -> list[str]:
    """Return what people should know of a card, whichever the hypervisor.

    :param heard: the options that the hypervisor is told of; others are named
    """
    found = [
        f"{field.name} reaches nothing: {NAMES[hypervisor]} is not told of it"
        for field in dataclasses.fields(options)
        if field.name not in heard and getattr(options, field.name) != field.default
    ]
    if isinstance(card.end, Function):
        return found
    if card.mtu is None:
        found.append("nothing says the MTU, so the guest is told none: network.mtu would")
    elif not options.is_virtio and card.mtu != 1500:
        found.append(
            f"the guest will not obey the MTU of {card.mtu} bytes: only virtio is told of one, and "
            f"{options.model} is not"
        )
    if card.mtu is not None and card.mtu < LEAST_IPV6 and any(":" in it for it in card.addresses):
        found.append(
            f"the guest has an IPv6 address, and IPv6 takes an MTU of {LEAST_IPV6} bytes at least: "
            f"this is {card.mtu}"
        )
    if options.queues > 1 or card.mtu not in (None, 1500):
        found.append(
            "MTU and queues are what the guest sees, and may not change in a live migration"
        )
    return found


def need_virtio(options: GuestOptions, hypervisor: str) -> None:
    """See that the card is virtio's, where there is no other.

    :raises InvalidField: it is another
    """
    if options.model != "virtio":
        refuse("model", options.model, f"virtio: {NAMES[hypervisor]} has no other")


def one_queue_size(options: GuestOptions) -> int | None:
    """Return the size of both queues, where a hypervisor knows but one.

    :raises InvalidField: two are said
    """
    receive, send = options.rx_queue_size, options.tx_queue_size
    if receive is not None and send is not None and receive != send:
        refuse("tx_queue_size", send, f"{receive}, as rx_queue_size: there is but one size")
    return send if receive is None else receive


def need_distinct(ids: Iterable[str]) -> None:
    """See that the cards of one guest have ids of their own.

    :raises InvalidField: two have the same
    """
    seen: set[str] = set()
    for card_id in ids:
        if card_id in seen:
            refuse("id", card_id, "an id of its own for each card of a guest")
        seen.add(card_id)


def indented(value: Any) -> str:
    """Return plain data as JSON for people; it ends in a newline."""
    return f"{json.dumps(value, indent=2)}\n"
