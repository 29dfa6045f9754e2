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
    """

    vif_id: str
    plugin: str
    instance: str = ""

    def __post_init__(self) -> None:
        checks.vif_id(self.vif_id)
        checks.word(self.plugin, "plugin")
        if self.instance:
            checks.word(self.instance, "instance uuid")

    @classmethod
    def of(cls, vif: VIFBase, plugin: str, instance_info: InstanceInfo | None) -> Mark:
        """Return the mark of a VIF's devices.

        :raises InvalidField: the id or the instance's UUID cannot stand in a mark.
        """
        instance = ""
        if instance_info is not None and instance_info.obj_attr_is_set("uuid"):
            instance = instance_info.uuid
        return cls(vif.id if vif.obj_attr_is_set("id") else "", plugin, instance)

    def __str__(self) -> str:
        text = f"{PREFIX}{self.vif_id} plugin={self.plugin}"
        return f"{text} instance={self.instance}" if self.instance else text


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
        mark = Mark(told["vif"], told.get("plugin", ""), told.get("instance", ""))
    except Exception:  # an alias that only looks like ours is a stranger's
        return None
    text = str(mark)
    if alias == text:
        return mark
    notes = [note.partition("=")[0] for note in alias.removeprefix(text).split(" ")[1:]]
    if not alias.startswith(f"{text} ") or any(key in _OWNER for key in notes):
        return None
    return mark


_OWNER = ("vif", "plugin", "instance", "")
"""Words that no family may put behind a mark."""


@dataclasses.dataclass(frozen=True, slots=True)
class Topology:
    """A VIF on a host.

    :ivar mark: whose it is.
    :ivar resources: in the order in which they are made; taken away in reverse.
    :ivar awaited: names of devices that are the VIF's too, though others make and delete them.
    """

    mark: Mark
    resources: tuple[Resource, ...]
    awaited: tuple[str, ...] = ()
