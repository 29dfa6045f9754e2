# SPDX-License-Identifier: Apache-2.0
"""Into a running guest and out of it: what QEMU is told by QMP, in order, and what to wait for.

The order is what matters.  ``netdev_del`` under a card that the guest still has succeeds, and cuts
the guest off; ``netdev_add`` of a vhost-user socket that is not connected blocks the monitor.
``netdev_add`` takes descriptors and socket over, and ``netdev_del`` ends them.

Sources: qapi/net.json, qapi/qdev.json, qapi/char.json; net/vhost-user.c; docs/interop/qmp-spec.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from os_vif.guest import admitted, qemu
from os_vif.guest.card import QMP, Card, VhostUser
from os_vif.guest.options import GuestOptions


@dataclasses.dataclass(frozen=True, slots=True)
class Wait:
    """What must be so before the next command.

    :ivar event: an event with ``data`` in it; of another card's there may be one before.
    :ivar query: or a command to repeat, until the entry of its answer with ``data`` in it has no
        ``filename`` that begins with ``disconnected:``.
    :ivar data: by name.
    """

    data: Mapping[str, str]
    event: str = ""
    query: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        if self.event:
            return {"event": self.event, "data": dict(self.data)}
        return {"query": self.query, "entry": dict(self.data), "until": "connected"}


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A command of QMP.

    :ivar execute: its name.
    :ivar arguments: its arguments.
    :ivar descriptor: which of the descriptors of the tap or macvtap is sent with it (SCM_RIGHTS),
        counted from 0; None for none.
    :ivar wait: for what, once it is answered; None for nothing.
    :ivar undo: what takes it back, should a later one be refused, the last first; None where
        nothing is left.  What ``netdev_del`` has taken along is not found then, and need not be.
    """

    execute: str
    arguments: Mapping[str, Any]
    descriptor: int | None = None
    wait: Wait | None = None
    undo: Command | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; what QEMU is sent is ``execute`` and ``arguments``."""
        said: dict[str, Any] = {"execute": self.execute, "arguments": dict(self.arguments)}
        if self.descriptor is not None:
            said["descriptor"] = self.descriptor
        if self.wait is not None:
            said["wait"] = self.wait.as_json()
        if self.undo is not None:
            said["undo"] = self.undo.as_json()
        return said


@dataclasses.dataclass(frozen=True, slots=True)
class Dialogue:
    """What QEMU is told of one card.

    :ivar plug: in order, once the VIF is plugged.
    :ivar unplug: in order, before the VIF is unplugged.
    :ivar notes: sentences for people.
    """

    plug: tuple[Command, ...]
    unplug: tuple[Command, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return all but the notes as plain data."""
        return {
            "plug": [command.as_json() for command in self.plug],
            "unplug": [command.as_json() for command in self.unplug],
        }


def dialogue(card: Card, options: GuestOptions) -> Dialogue:
    """Return what a running QEMU is told of a card.

    :raises NotForHypervisor: QEMU cannot take what the VIF is plugged as
    :raises InvalidField: the options do not go with the card
    """
    admitted.admit(card, options, QMP)
    told = admitted.another(card, options, QMP, ())
    if isinstance(told, Dialogue):
        return told
    end = card.end
    device_id = admitted.card_id(card, options)
    plug: list[Command] = []
    unplug = [
        Command(
            "device_del",
            {"id": device_id},
            wait=Wait({"device": device_id}, event="DEVICE_DELETED"),
        )
    ]
    names = ""
    if qemu.opened(card, options, ()):
        given = [f"fd-{device_id}-{number}" for number in range(options.queues)]
        plug += [_getfd(name, number) for number, name in enumerate(given)]
        names = ":".join(given)
    if isinstance(end, VhostUser):
        chardev = qemu.chardev_id(card, options)
        remove = Command("chardev-remove", {"id": chardev})
        connected = Wait({"label": chardev}, query="query-chardev")
        plug.append(
            Command(
                "chardev-add",
                {"id": chardev, "backend": _socket(end, options)},
                wait=connected,
                undo=remove,
            )
        )
    back = qemu.netdev(card, options, names)
    if back:
        remove_back = Command("netdev_del", {"id": back["id"]})
        plug.append(Command("netdev_add", back, undo=remove_back))
        unplug.append(remove_back)
    plug.append(Command("device_add", qemu.device(card, options)))
    return Dialogue(tuple(plug), tuple(unplug), tuple(_notes(card, options)))


def _getfd(name: str, number: int) -> Command:
    # netdev_add takes what it was given, so there is something to close only until then.
    close = Command("closefd", {"fdname": name})
    return Command("getfd", {"fdname": name}, descriptor=number, undo=close)


def _socket(end: VhostUser, options: GuestOptions) -> dict[str, Any]:
    address = {"type": "unix", "data": {"path": end.path}}
    data: dict[str, Any] = {"addr": address, "server": end.mode == "server"}
    if end.mode == "server":
        data["wait"] = False
    else:
        word, value = qemu.reconnect(options)
        data[word] = value
    return {"type": "socket", "data": data}


def _notes(card: Card, options: GuestOptions) -> list[str]:
    found = qemu.notes(card, options)
    if not options.bus:
        found.append("the card needs a free root port (bus): pcie.0 itself takes nothing later")
    if isinstance(card.end, VhostUser):
        found.append("the guest must have been started with shared memory")
    return found


def document(cards: Sequence[Dialogue]) -> str:
    """Return the commands for all cards as JSON: in order, and the last card goes first.

    :raises InvalidField: two cards have one id
    """
    admitted.need_distinct(card.unplug[0].arguments["id"] for card in cards)
    plug = [command.as_json() for card in cards for command in card.plug]
    unplug = [command.as_json() for card in reversed(cards) for command in card.unplug]
    return admitted.indented({"plug": plug, "unplug": unplug})
