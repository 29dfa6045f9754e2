# SPDX-License-Identifier: Apache-2.0
"""What one VIF looks like on a host: its resources, in building order, and the mark they carry.

What may live here: how resources belong together, and the text by which a device on the host is
known as ours.  The mark is the interface alias (IFLA_IFALIAS), so ``ip link`` shows it and no
state file is needed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.host import checks
from os_vif.host.fast_path import BackEnd, FastPathDevice, VhostSocket
from os_vif.host.passthrough import FunctionVlan, PciDevice, VirtualFunction
from os_vif.host.profiles import PortProfileQbg, PortProfileQbh
from os_vif.host.resources import (
    Bridge,
    ForwardRules,
    HostRoute,
    Macvtap,
    ProxyNeighbour,
    Representor,
    Tap,
    Uplink,
    Veth,
    Vlan,
)
from os_vif.host.switch import OvsBridge, OvsPort

if TYPE_CHECKING:
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase

Resource = (
    Tap
    | Veth
    | Bridge
    | Vlan
    | Macvtap
    | Uplink
    | ForwardRules
    | HostRoute
    | ProxyNeighbour
    | Representor
    | PciDevice
    | VirtualFunction
    | FunctionVlan
    | PortProfileQbg
    | PortProfileQbh
    | FastPathDevice
    | BackEnd
    | VhostSocket
    | OvsBridge
    | OvsPort
)
"""Everything a topology can be made of."""

SHARED_MARK = "os-vif shared"
"""Alias of a device that os-vif made for many VIFs (a bridge, a VLAN device)."""

UNFINISHED_GROUP = 0x6F732D76
"""IFLA_GROUP of a device between its creation and its mark ("os-v").

The kernel takes a group at creation but not an alias, so this is how a device of ours is known
when the process that was making it was killed.
"""

LONGEST_ALIAS = 255
"""Bytes; IFALIASZ of linux/if.h counts a NUL too."""

_PREFIX = "os-vif vif="
_FORMER = "own-name"
_LOWER_DOWN = "lower=down"
_LISTENS, _CONNECTS = "listens", "connects"


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
        text = f"{_PREFIX}{self.vif_id} plugin={self.plugin}"
        return f"{text} instance={self.instance}" if self.instance else text


def parse_mark(alias: str | None) -> Mark | None:
    """Return whose a device with this alias is, or None if the alias is no mark of ours."""
    if not alias or not alias.startswith(_PREFIX):
        return None
    words = dict(part.partition("=")[::2] for part in alias.split(" ")[1:])
    try:
        return Mark(words["vif"], words.get("plugin", ""), words.get("instance", ""))
    except Exception:  # an alias that only looks like ours is a stranger's
        return None


def lent_mark(mark: Mark, former: str) -> str:
    """Return the alias of a device that is only lent to a VIF, under another name than its own."""
    return f"{mark} {_FORMER}={former}"


def former_name(alias: str) -> str:
    """Return the own name of a device lent under another; '' where it goes by its own."""
    words = dict(part.partition("=")[::2] for part in alias.split(" "))
    try:
        return checks.interface_name(words.get(_FORMER))
    except exception.InvalidField:
        return ""


def raising_mark(mark: str) -> str:
    """Return the alias of a device whose lower one was down, and is to be so again after it."""
    return f"{mark} {_LOWER_DOWN}"


def found_lower_down(alias: str) -> bool:
    """Tell whether the lower device was down before the one with this alias was made."""
    return parse_mark(alias) is not None and _LOWER_DOWN in alias.split(" ")


def socket_note(path: str, *, listens: bool) -> str:
    """Return the word by which the alias of a tap tells what socket its process has."""
    return f"{_LISTENS if listens else _CONNECTS}={path}"


def noted_socket(alias: str) -> tuple[str, bool] | None:
    """Return the socket of the process of a tap with this alias, and whether it listens there."""
    for word in alias.split(" "):
        role, _, path = word.partition("=")
        if role in (_LISTENS, _CONNECTS):
            try:
                return checks.back_end_path(path), role == _LISTENS
            except exception.InvalidField:
                return None
    return None


def rules_comment(mark: Mark, bridge: str) -> str:
    """Return the comment by which a VIF's forwarding rules for a bridge are known as ours."""
    return f"{_PREFIX}{mark.vif_id} bridge={bridge}"


def parse_rules_comment(comment: str) -> str | None:
    """Return the id of the VIF that a rule with this comment belongs to; None for a stranger's."""
    words = comment.removeprefix(_PREFIX).split(" ")
    if not comment.startswith(_PREFIX) or len(words) != 2 or not words[1].startswith("bridge="):
        return None
    try:
        checks.interface_name(words[1].removeprefix("bridge="))
        return checks.vif_id(words[0])
    except exception.InvalidField:
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Topology:
    """A VIF on a host.

    :ivar mark: whose it is.
    :ivar resources: in the order in which they are made; taken away in reverse.
    """

    mark: Mark
    resources: tuple[Resource, ...]
