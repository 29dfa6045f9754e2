# SPDX-License-Identifier: Apache-2.0
"""Kata Containers: a device of a Directly Attachable Network, ``{dan_conf}/{sandbox id}.json``.

The runtime in Go takes ``vfio`` alone, the one in Rust all three kinds.

Checked against runtime-rs (crates/resource/src/network/dan.rs, of 2026), and never run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from os_vif.engine.checks import interface_name
from os_vif.guest import admitted
from os_vif.guest.card import KATA, Card, Function, Tap, VhostUser
from os_vif.guest.options import GuestOptions

_HEARD = frozenset({"queues", "rx_queue_size", "tx_queue_size", "id", "by_name"})


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """What Kata is told of one card.

    :ivar device: one of ``devices``; beside them stands ``netns``.
    :ivar notes: sentences for people.
    """

    device: dict[str, Any]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return all but the notes as plain data."""
        return {"device": self.device}


def device(card: Card, options: GuestOptions) -> Device:
    """Return the device of a card; ``id`` is its name in the guest.

    :raises NotForHypervisor: Kata cannot take what the VIF is plugged as
    :raises InvalidField: the options do not go with the card
    """
    admitted.admit(card, options, KATA)
    told = admitted.another(card, options, KATA, ())
    if isinstance(told, Device):
        return told
    end = card.end
    notes = admitted.notes(card, options, _HEARD, KATA)
    queues: dict[str, Any] = {"queue_num": options.queues}  # pairs of them
    size = admitted.one_queue_size(options)
    if size is not None:
        queues["queue_size"] = size
    interface: dict[str, Any] = {"ip_addresses": list(card.addresses)}
    if card.mtu is not None:
        interface["mtu"] = card.mtu
    match end:
        case Tap():
            connected = {"type": "host-tap", "tap_name": end.device, **queues}
            interface["ntype"] = "tuntap"
        case VhostUser():
            connected = {"type": "vhost-user", "path": end.path, **queues}
            notes.append("the sandbox's memory must be shared with the back end")
            if end.mode == "server":
                notes.append("see that this hypervisor of Kata's listens at the socket")
        case Function():
            connected = {"type": "vfio", "pci_device_id": end.address}
        case _:
            raise admitted.refusal(card, KATA, end.hint)
    if not isinstance(end, Function):
        admitted.need_virtio(options, KATA)
        notes.append("only the runtime in Rust takes this; the one in Go takes vfio alone")
    name = interface_name(admitted.card_id(card, options), "id")
    said: dict[str, Any] = {"name": name}
    if card.mac is not None:
        said["guest_mac"] = card.mac
    said["device"] = connected
    said["network_info"] = {
        "interface": interface,
        "routes": [{"dest": to, "gateway": via} for to, via in card.routes],
    }
    return Device(said, tuple(notes))


def document(cards: Sequence[Device]) -> str:
    """Return what is said of all cards as ``devices``, in JSON; ``netns`` is the sandbox's.

    :raises InvalidField: two cards have one name
    """
    admitted.need_distinct(card.device["name"] for card in cards)
    return admitted.indented({"devices": [card.device for card in cards]})
