# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line: netdev, device and, for vhost-user, the socket and the shared memory.

``-netdev`` and ``-device`` are JSON (QEMU 7.2 and 6.2), as libvirt writes them; ``-chardev`` has no
JSON, and a comma in a value is doubled there.

Sources: qemu-options.hx; qapi/net.json; hw/net/virtio-net.c for ``vectors`` and ``host_mtu``.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from os_vif.guest import admitted
from os_vif.guest.card import NAMES, QEMU, Card, End, Function, Macvtap, Tap, VhostUser
from os_vif.guest.options import GuestOptions, refuse, version_of

MEMORY = "guest-memory"
"""Id of the memory that a guest shares with vhost-user back ends."""

RECONNECT = 1
"""Seconds between the attempts to connect to a vhost-user back end again."""

_HEARD = frozenset(
    {
        *("queues", "model", "vhost", "rx_queue_size", "tx_queue_size", "memory", "bus", "id"),
        *("by_name", "boot_rom", "qemu_version"),
    }
)
_DRIVERS = {
    "virtio": "virtio-net-pci",
    "virtio-transitional": "virtio-net-pci-transitional",
    "virtio-non-transitional": "virtio-net-pci-non-transitional",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Arguments:
    """What QEMU's command line says of one card.

    :ivar words: options and their values, by turns.
    :ivar memory: the same of the guest's memory, once for all of its cards; empty for none.
    :ivar netdev_id: of the host's side; '' where there is none.
    :ivar device_id: of the guest's card.
    :ivar notes: sentences for people.
    """

    words: tuple[str, ...]
    memory: tuple[str, ...]
    netdev_id: str
    device_id: str
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return all but the notes as plain data."""
        return {
            "words": list(self.words),
            "memory": list(self.memory),
            "netdev_id": self.netdev_id,
            "device_id": self.device_id,
        }


def arguments(card: Card, options: GuestOptions, descriptors: Sequence[int] = ()) -> Arguments:
    """Return the arguments for a card.

    :param descriptors: of the tap or macvtap, one for each queue, as QEMU will inherit them;
        without any, ``{fds:DEVICE}`` stands in their place, which ``os-vif exec`` replaces
    :raises NotForHypervisor: QEMU cannot take what the VIF is plugged as
    :raises InvalidField: the options do not go with the card
    """
    admitted.admit(card, options, QEMU)
    told = admitted.another(card, options, QEMU, descriptors)
    if isinstance(told, Arguments):
        return told
    end = card.end
    words: list[str] = []
    if isinstance(end, VhostUser):
        words += ["-chardev", _chardev(end, options, chardev_id(card, options))]
    back = netdev(card, options, opened(card, options, descriptors))
    if back:
        words += ["-netdev", _json(back)]
    words += ["-device", _json(device(card, options))]
    memory: tuple[str, ...] = ()
    if isinstance(end, VhostUser) and options.memory is not None:
        shared = {
            "qom-type": "memory-backend-memfd",
            "id": MEMORY,
            "size": options.memory,
            "share": True,
        }
        memory = ("-object", _json(shared), "-machine", f"memory-backend={MEMORY}")
    return Arguments(
        words=tuple(words),
        memory=memory,
        netdev_id=str(back.get("id", "")),
        device_id=admitted.card_id(card, options),
        notes=(*notes(card, options), *_socket_notes(end, options)),
    )


def together(cards: Iterable[Arguments]) -> list[str]:
    """Return the words for all cards of one guest, its memory once.

    :raises InvalidField: two cards have one id, or ask for different memory
    """
    cards = list(cards)
    admitted.need_distinct(card.device_id for card in cards)
    memories = {card.memory: None for card in cards if card.memory}
    if len(memories) > 1:
        sizes = [json.loads(memory[1])["size"] for memory in memories]
        refuse("memory", sizes, "one size: they share one guest's memory")
    return [
        *(it for words in memories for it in words),
        *(it for card in cards for it in card.words),
    ]


def document(cards: Sequence[Arguments]) -> str:
    """Return the words for all cards as a shell reads them, an option a line.

    :raises InvalidField: as :func:`together`
    """
    words = [shlex.quote(word) for word in together(cards)]
    lines = [f"{option} {value}" for option, value in zip(words[::2], words[1::2], strict=True)]
    return " \\\n".join(lines) + "\n"


def netdev_id(card: Card, options: GuestOptions) -> str:
    """Return the id of the host's side."""
    return f"host-{admitted.card_id(card, options)}"


def chardev_id(card: Card, options: GuestOptions) -> str:
    """Return the id of a vhost-user socket."""
    return f"char-{admitted.card_id(card, options)}"


def opened(card: Card, options: GuestOptions, descriptors: Sequence[int]) -> str:
    """Return what QEMU is told of a card's descriptors; '' where it opens by name.

    :raises InvalidField: there are not as many as queues, or none can be
    """
    end = card.end
    if descriptors and (options.by_name or not end.descriptors):
        expected = "none with by_name" if options.by_name else f"none for {end.what}"
        refuse("descriptors", list(descriptors), expected)
    if not isinstance(end, Tap | Macvtap) or options.by_name:
        return ""
    if not descriptors:
        return f"{{fds:{end.device}}}"
    if len(descriptors) != options.queues or min(descriptors) < 0:
        refuse("descriptors", list(descriptors), f"{options.queues}, one for each queue")
    return ":".join(map(str, descriptors))


def netdev(card: Card, options: GuestOptions, fds: str) -> dict[str, Any]:
    """Return the host's side, for ``-netdev`` and ``netdev_add``; empty where there is none.

    :param fds: numbers or names of descriptors with colons between; '' to open by name
    """
    end = card.end
    said: dict[str, Any] = {"id": netdev_id(card, options)}
    if isinstance(end, VhostUser):
        said = {"type": "vhost-user", **said, "chardev": chardev_id(card, options)}
        return {**said, "queues": options.queues} if options.queues > 1 else said
    if not isinstance(end, Tap | Macvtap):
        return {}
    said = {"type": "tap", **said}
    if fds:
        said["fd" if options.queues == 1 else "fds"] = fds
    else:
        # Without these QEMU runs /etc/qemu-ifup.
        said |= {"ifname": end.device, "script": "no", "downscript": "no"}
        if options.queues > 1:
            said["queues"] = options.queues
    if options.is_virtio and options.vhost != "auto":
        said["vhost"] = options.vhost == "on"
    return said


def device(card: Card, options: GuestOptions) -> dict[str, Any]:
    """Return the guest's card, for ``-device`` and ``device_add``."""
    end = card.end
    said: dict[str, Any] = {"id": admitted.card_id(card, options)}
    if isinstance(end, Function):
        said = {"driver": "vfio-pci", **said, "host": end.address}
    else:
        driver = _DRIVERS.get(options.model, options.model)
        said = {"driver": driver, **said, "netdev": netdev_id(card, options), "mac": card.mac}
    if not isinstance(end, Function) and options.is_virtio:
        if options.queues > 1:
            # One for each queue, one for the control queue, one for changes of the card.
            said |= {"mq": True, "vectors": 2 * options.queues + 2}
        if card.mtu is not None:
            said["host_mtu"] = card.mtu
        for field in ("rx_queue_size", "tx_queue_size"):
            if getattr(options, field) is not None:
                said[field] = getattr(options, field)
    if not options.boot_rom:
        # Nor does QEMU start with one where ipxe's files are not installed.
        said["romfile"] = ""
    if options.bus:
        said["bus"] = options.bus
    return said


def reconnect(options: GuestOptions) -> tuple[str, int]:
    """Return by which word, and with what value, a client connects again."""
    version = version_of("qemu_version", options.qemu_version, (7, 2))
    if version is not None and version >= (9, 2):
        return "reconnect-ms", RECONNECT * 1000
    return "reconnect", RECONNECT


def notes(card: Card, options: GuestOptions) -> list[str]:
    """Return what people should know of a card, whichever way QEMU is told."""
    end = card.end
    found = admitted.notes(card, options, _HEARD, QEMU)
    if isinstance(end, Tap) and options.by_name:
        found.append(
            f"QEMU run as root makes tap {end.device} itself where it is not there, down and on no "
            "bridge: plug before it starts"
        )
    if isinstance(end, Function) and end.managed:
        found.append(
            f"{NAMES[QEMU]} takes {end.address} from the driver vfio-pci alone: plug it with "
            "bind_driver, or bind it before"
        )
    return found


def _socket_notes(end: End, options: GuestOptions) -> list[str]:
    if not isinstance(end, VhostUser):
        return []
    memory = "the size of the shared memory must be that of -m"
    if options.memory is None:
        memory = "the guest's memory must be shared: give its size (memory) to have that said too"
    # net/vhost-user.c connects before the monitor answers, whatever the chardev's wait says.
    return [memory, "QEMU starts once the back end is there"]


def _chardev(end: VhostUser, options: GuestOptions, name: str) -> str:
    said = f"socket,id={name},path={end.path.replace(',', ',,')}"
    if end.mode == "server":
        return f"{said},server=on,wait=off"
    word, value = reconnect(options)
    return f"{said},{word}={value}"


_json = json.JSONEncoder(separators=(",", ":")).encode
