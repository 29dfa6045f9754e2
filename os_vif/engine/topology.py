# SPDX-License-Identifier: Apache-2.0
"""What one VIF looks like on a host: its resources, in building order, and the mark they carry.

What may live here: how resources belong together, and the text by which a thing on the host is
known as ours.  A device has the mark as its interface alias (IFLA_IFALIAS), so ``ip link`` shows
it and no state file is needed; where else it stands, each family says.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from os_vif.engine import checks

if TYPE_CHECKING:
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase

PREFIX = "os-vif vif="
"""What every mark begins with."""


class Resource(Protocol):
    """Anything a topology can be made of: a frozen dataclass of a family's ``resources``.

    Which family's, says the module it is defined in.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """Whose a device is.

    :ivar vif_id: the VIF's id.
    :ivar plugin: the plugin that described it.
    :ivar instance: the guest's UUID; '' when the caller gave none.
    :ivar owner: who takes away what is the VIF's once it no longer exists; '' for who does so for
        all that have none.
    :ivar guest: what the guest is called, for people; '' for unknown.  Two marks are the same
        whatever it is, and it is no part of the text: :func:`with_guest` puts it behind.
    """

    vif_id: str
    plugin: str
    instance: str = ""
    owner: str = ""
    guest: str = dataclasses.field(default="", compare=False)

    def __post_init__(self) -> None:
        checks.vif_id(self.vif_id)
        checks.word(self.plugin, "plugin")
        if self.instance:
            checks.word(self.instance, "instance uuid")
        if self.owner:
            checks.owner(self.owner)

    @classmethod
    def of(cls, vif: VIFBase, plugin: str, instance_info: InstanceInfo | None) -> Mark:
        """Return the mark of a VIF's devices.

        :raises InvalidField: the id or the instance's UUID cannot stand in a mark.
        """
        instance = guest = ""
        if instance_info is not None:
            if instance_info.obj_attr_is_set("uuid"):
                instance = instance_info.uuid
            if instance_info.obj_attr_is_set("name"):
                name = str(instance_info.name or "")
                guest = "" if name == instance else name  # told already
        return cls(vif.id if vif.obj_attr_is_set("id") else "", plugin, instance, guest=guest)

    def __str__(self) -> str:
        text = f"{PREFIX}{self.vif_id} plugin={self.plugin}"
        text = f"{text} instance={self.instance}" if self.instance else text
        return f"{text} owner={self.owner}" if self.owner else text


def parse_mark(alias: str | None) -> Mark | None:
    """Return whose a device with this alias is, or None if the alias is no mark of ours.

    It begins with just what :class:`Mark` writes.  Words of others may follow, but none that says
    once more whose it is.
    """
    if not alias or not alias.startswith(PREFIX) or not alias.isprintable():
        return None
    told: dict[str, str] = {}
    for word in alias.split(" "):
        key, _, value = word.partition("=")
        told.setdefault(key, value)
    try:
        mark = Mark(
            told["vif"],
            told.get("plugin", ""),
            told.get("instance", ""),
            told.get("owner", ""),
            read_guest(told.get(GUEST_WORD, "")),
        )
    except Exception:  # an alias that only looks like ours is a stranger's
        return None
    text = str(mark)
    if alias == text:
        return mark
    notes = [note.partition("=")[0] for note in alias.removeprefix(text).split(" ")[1:]]
    if not alias.startswith(f"{text} ") or any(key in _OWNER for key in notes):
        return None
    return mark


_OWNER = ("vif", "plugin", "instance", "owner", "")
"""Words that no family may put behind a mark."""


# --- the guest's name -----------------------------------------------------------------------------

GUEST_WORD = "guest"
"""The word behind a mark that says what the guest is called."""

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~@+")
_MORE = "\N{HORIZONTAL ELLIPSIS}"

GUEST_MOST, _GUEST_LEAST = 64, 16
"""Bytes that the name of a guest takes, at most, and those without which it is not worth it."""


def written_guest(name: str, most: int = GUEST_MOST) -> str:
    """Return the name of a guest as one word: any text, escaped as in a URL (RFC 3986, 2.1).

    :param most: bytes; of a longer one the beginning is kept, with an ellipsis behind it
    """
    parts = [it if it in _PLAIN else _escaped(it) for it in name[: most + 1]]
    if sum(map(len, parts)) <= most:
        return "".join(parts)
    more = _escaped(_MORE)
    while parts and sum(map(len, parts)) > most - len(more):
        parts.pop()
    return "".join(parts) + more


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode(errors="replace"))


def read_guest(word: str) -> str:
    """Return the name of a guest from the word for it, as it may be shown; '' for none.

    Whoever may write on the host may write anything: what cannot be shown stays escaped.
    """
    word = word[:GUEST_MOST]
    if not word.isprintable():
        return ""
    head, *escapes = word.split("%")
    found = bytearray(head.encode())
    try:
        for it in escapes:
            found += bytes.fromhex(it[:2]) + it[2:].encode()
        name = found.decode()
    except ValueError:
        return word
    return name if name.isprintable() else word


def is_guest(told: str, name: str) -> bool:
    """Tell whether a guest with this name may be the one that a mark tells of.

    :param told: as :func:`read_guest` returns it
    """
    shown = read_guest(written_guest(name))
    if told.endswith(_MORE) and told != shown:
        return name.startswith(told.removesuffix(_MORE))
    return bool(told) and told in (name, shown)


def whole_guest(told: str) -> str:
    """Return the name that a mark tells, if it is all of it; else ''."""
    return "" if told.endswith(_MORE) else told


def with_guest(alias: str, name: str, most: int) -> str:
    """Return the alias of a device with the name of the guest behind it, as far as it has room.

    :param alias: a mark, and words behind it
    :param most: bytes of an alias
    """
    room = min(most - len(f"{alias} {GUEST_WORD}="), GUEST_MOST)
    if not name or room < _GUEST_LEAST:
        return alias
    return f"{alias} {GUEST_WORD}={written_guest(name, room)}"


def without_guest(alias: str) -> str:
    """Return the alias of a device of a VIF's without the name of the guest."""
    return " ".join(word for word in alias.split(" ") if not word.startswith(f"{GUEST_WORD}="))


# --- a VIF ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Topology:
    """A VIF on a host; or a network or a router, in a database that hosts follow.

    :ivar mark: whose it is.
    :ivar resources: in the order in which they are made; taken away in reverse.
    :ivar awaited: names of devices that are the VIF's too, though others make and delete them.
    :ivar kind: what people call such a thing, for the log.
    """

    mark: Mark
    resources: tuple[Resource, ...]
    awaited: tuple[str, ...] = ()
    kind: str = "VIF"
