# SPDX-License-Identifier: Apache-2.0
"""Cloud Hypervisor: a part of its VmConfig, and the same for its command line.

``mtu`` and ``host_mac`` are left out: they set the tap, and the guest is told the tap's MTU anyway.

Checked against the published interface of version 53 (OpenAPI 3.0.1, version 0.3.0 of the API), and
never run.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from os_vif.guest import admitted
from os_vif.guest.card import CLOUD_HYPERVISOR, Card, Function, Macvtap, Tap, VhostUser
from os_vif.guest.options import GuestOptions, refuse

_HEARD = frozenset({"queues", "rx_queue_size", "tx_queue_size", "memory", "id", "vcpus", "by_name"})
# Its lists have a quoting of their own; what needs none is told by the command line.
_TELLABLE = re.compile(r"[A-Za-z0-9_./:@+~-]+\Z")

FIRST_DESCRIPTOR = 3
"""It refuses the standard ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """What Cloud Hypervisor is told of one card.

    :ivar config: ``net`` or ``devices``, each a list of one, and ``memory``, as ``vm.create`` has
        them; what is in the list is the body of ``vm.add-net`` or ``vm.add-device`` too.
    :ivar words: the same for the command line; empty where that cannot say it.
    :ivar notes: sentences for people.
    """

    config: dict[str, Any]
    words: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return all but the notes as plain data."""
        return {"config": self.config, "words": list(self.words)}


def config(card: Card, options: GuestOptions, descriptors: Sequence[int] = ()) -> Config:
    """Return the configuration of a card.

    :param descriptors: of the tap or macvtap, one for each queue, as it will inherit them; by the
        API they are sent with ``vm.add-net`` (SCM_RIGHTS), and ``config`` names no device
    :raises NotForHypervisor: it cannot take what the VIF is plugged as
    :raises InvalidField: the options do not go with the card
    """
    admitted.admit(card, options, CLOUD_HYPERVISOR)
    told = admitted.another(card, options, CLOUD_HYPERVISOR, descriptors)
    if isinstance(told, Config):
        return told
    notes = admitted.notes(card, options, _HEARD, CLOUD_HYPERVISOR)
    end = card.end
    card_id = admitted.card_id(card, options)
    if isinstance(end, Function):
        device = {"id": card_id, "path": f"/sys/bus/pci/devices/{end.address}"}
        if end.managed:
            notes.append(
                f"it takes {end.address} from the driver vfio-pci alone: plug it with bind_driver, "
                "or bind it before"
            )
        return Config({"devices": [device]}, ("--device", _listed(device)), tuple(notes))
    _need(card, options, descriptors)
    net: dict[str, Any] = {"id": card_id, "mac": card.mac, "num_queues": 2 * options.queues}
    size = admitted.one_queue_size(options)
    if size is not None:
        net["queue_size"] = size
    said: dict[str, Any] = {"net": [net]}
    words: tuple[str, ...] = ()
    match end:
        case VhostUser():
            memory = _vhost_user(end, options, net, said, notes)
            line = {**net, "vhost_mode": end.mode, "socket": net["vhost_socket"]}
            del line["vhost_socket"]
            if _TELLABLE.match(end.path):
                words = (*memory, "--net", _listed(line))
            else:
                notes.append("the command line cannot be told this path: use the API")
        case Tap() if not descriptors:
            net["tap"] = end.device
            words = ("--net", _listed(net))
            notes.append(
                f"run as root, it makes tap {end.device} itself where it is not there: plug before"
            )
        case Tap() | Macvtap():
            words = ("--net", _listed({"fd": _fds(end, options, descriptors), **net}))
            if not _fds(end, options, descriptors):
                words = ()
            notes.append(
                "by the API the descriptors are sent with vm.add-net (SCM_RIGHTS), not with "
                "vm.create"
            )
        case _:
            raise admitted.refusal(card, CLOUD_HYPERVISOR, end.hint)
    return Config(said, words, tuple(notes))


def _need(card: Card, options: GuestOptions, descriptors: Sequence[int]) -> None:
    """See that it can be told so.

    :raises InvalidField: it would refuse
    """
    admitted.need_virtio(options, CLOUD_HYPERVISOR)
    if options.vcpus is not None and options.queues > options.vcpus:
        refuse("queues", options.queues, f"{options.vcpus} at most: as many as processors")
    if not descriptors:
        return
    if not card.end.descriptors:
        refuse("descriptors", list(descriptors), f"none for {card.end.what}")
    if len(descriptors) != options.queues or min(descriptors) < FIRST_DESCRIPTOR:
        refuse(
            "descriptors",
            list(descriptors),
            f"{options.queues}, one for each queue, none of 0 to {FIRST_DESCRIPTOR - 1}",
        )


def _vhost_user(
    end: VhostUser,
    options: GuestOptions,
    net: dict[str, Any],
    said: dict[str, Any],
    notes: list[str],
) -> tuple[str, ...]:
    """Add what a socket takes; return the words for the memory."""
    net |= {
        "vhost_user": True,
        "vhost_socket": end.path,
        "vhost_mode": end.mode.capitalize(),
    }
    notes.append(
        "it connects to the back end again by itself, but once that was away for 60 s the card is "
        "dead until the guest is started anew"
    )
    if options.memory is None:
        notes.append("the guest's memory must be shared: give its size (memory) to have that said")
        return ()
    said["memory"] = {"size": options.memory, "shared": True}
    return ("--memory", f"size={options.memory},shared=on")


def _fds(end: Tap | Macvtap, options: GuestOptions, descriptors: Sequence[int]) -> str:
    """Return the list for the command line; '' where nobody knows the numbers yet."""
    if descriptors:
        return f"[{','.join(map(str, descriptors))}]"
    return f"[{{fds:{end.device}}}]" if options.queues == 1 else ""


def _listed(said: dict[str, Any]) -> str:
    words = {True: "true", False: "false"}
    return ",".join(
        f"{key}={words[value] if isinstance(value, bool) else value}" for key, value in said.items()
    )


def document(cards: Sequence[Config]) -> str:
    """Return what is said of all cards as one part of a VmConfig, in JSON.

    :raises InvalidField: two cards have one id
    """
    whole: dict[str, Any] = {}
    for card in cards:
        for key, value in card.config.items():
            whole[key] = [*whole.get(key, ()), *value] if isinstance(value, list) else value
    admitted.need_distinct(it["id"] for key in ("net", "devices") for it in whole.get(key, ()))
    return admitted.indented(whole)
