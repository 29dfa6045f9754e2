# SPDX-License-Identifier: Apache-2.0
"""What QEMU is told of its only network card, read from its command line."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Told:
    """All of that but the names by which one thing refers to another, and the card's place.

    :ivar netdev: the host's side.
    :ivar device: the guest's.
    :ivar chardev: of a vhost-user socket.
    :ivar memory: the guest's.
    :ivar descriptors: the numbers of those it is given.
    """

    netdev: dict[str, Any]
    device: dict[str, Any]
    chardev: dict[str, str]
    memory: dict[str, Any]
    descriptors: tuple[int, ...]

    def flat(self) -> dict[str, Any]:
        """Return all that is said, by part and field."""
        parts = {"netdev": self.netdev, "device": self.device, "chardev": self.chardev}
        parts["memory"] = self.memory
        return {f"{part} {key}": it for part, said in parts.items() for key, it in said.items()}


def told(words: Sequence[str]) -> Told:
    """Return what a command line says."""
    said: dict[str, list[str]] = {}
    for option, value in itertools.pairwise(words):
        said.setdefault(option, []).append(value)
    [netdev] = map(json.loads, said["-netdev"])
    [device] = (it for it in map(json.loads, said["-device"]) if it.get("netdev") == netdev["id"])
    chardevs = {fields.pop("id"): fields for fields in map(_fields, said.get("-chardev", ()))}
    objects = [json.loads(it) for it in said.get("-object", ()) if it.startswith("{")]
    memories = [it for it in objects if it["qom-type"].startswith("memory-backend-")]
    memory = memories[0] if memories else {}
    if memory:
        assert f"memory-backend={memory.pop('id')}" in said["-machine"][0].split(",")
    numbers = netdev.pop("fds", netdev.pop("fd", ""))
    chardev = chardevs[netdev.pop("chardev")] if "chardev" in netdev else {}
    for part, names in ((netdev, ("id",)), (device, ("id", "netdev", "bus", "addr"))):
        for name in names:
            part.pop(name, None)
    opened = tuple(map(int, filter(None, numbers.split(":"))))
    return Told(netdev, device, chardev, memory, opened)


def _fields(option: str) -> dict[str, str]:
    """Return the fields of an option that is not JSON; a comma in a value is doubled there."""
    kind, *pairs = re.split(r"(?<!,),(?!,)", option)
    return {"type": kind, **dict(it.replace(",,", ",").partition("=")[::2] for it in pairs)}
