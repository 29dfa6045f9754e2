# SPDX-License-Identifier: Apache-2.0
"""Who may open a tap or a macvtap, and what follows from that for one that is there.

Without an owner and a group everybody may who reaches /dev/net/tun.  The kernel takes either from
who has a queue of the tap, and takes none away again (TUNSETOWNER, TUNSETGROUP).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.engine.family import Caution
from os_vif.host.links.questions import ACCOUNTS, LINKS, NODES

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Topology
    from os_vif.host.links.questions import Link
    from os_vif.host.links.resources import Macvtap, Tap, Value

_KINDS = (("user", "owner", "tap_owner"), ("group", "owner_group", "tap_group"))


def _names(tap: Tap | Macvtap) -> tuple[str, str]:
    return tap.owner, tap.group


def asks_accounts(tap: Tap | Macvtap) -> list[Asked]:
    """Return the questions about the user and the group, unless their numbers are known."""
    return [
        ACCOUNTS((kind, name))
        for (kind, _attribute, _field), name in zip(_KINDS, _names(tap), strict=True)
        if name and name != "root" and not name.isdigit()
    ]


def access_of(host: Host, tap: Tap | Macvtap) -> Mapping[str, Value]:
    """Return the numbers of user and group by attribute, None for none; empty for everybody.

    :raises InvalidField: this host has no such user or group.
    """
    if not any(_names(tap)):
        return {}
    found: dict[str, Value] = {}
    for (kind, attribute, field), name in zip(_KINDS, _names(tap), strict=True):
        if not name:
            found[attribute] = None
        elif name == "root" or name.isdigit():
            found[attribute] = 0 if name == "root" else int(name)
        else:
            found[attribute] = number = host[ACCOUNTS].get((kind, name))
            if number is None:
                raise exception.InvalidField(
                    field=field, value=name, expected=f"name or number of a {kind} of this host"
                )
    return found


def can_become(link: Link, tap: Tap, access: Mapping[str, Value]) -> bool:
    """Tell whether the kernel can make of this tap what is wanted, or must leave whose it is."""
    if tap.multi_queue not in (None, link.attributes.get("multi_queue")):
        return False
    return is_stuck(link, access) or not _must_lose(link, access)


def _must_lose(link: Link, access: Mapping[str, Value]) -> bool:
    return any(
        value is None and link.attributes.get(key) is not None for key, value in access.items()
    )


def is_stuck(link: Link, access: Mapping[str, Value]) -> bool:
    """Tell whether whose a tap is stays as it is while a program has it open.

    Nobody else can have the only queue then.
    """
    single = not link.attributes.get("multi_queue")
    return bool(link.attributes.get("queues")) and (single or _must_lose(link, access))


def warn_of_access(_topology: Topology, host: Host, tap: Tap) -> Iterator[Caution]:
    """Warn of a tap that is another's and cannot change hands while a program has it open."""
    link = host[LINKS].get(tap.name)
    if link is None or link.kind != "tap":
        return
    access = access_of(host, tap)
    differs = any(link.attributes.get(key) != value for key, value in access.items())
    if differs and is_stuck(link, access):
        yield Caution(
            tap.name,
            "who may open it is not as tap_owner and tap_group say, and cannot be changed while a "
            "program has it open; plug again when the guest is stopped",
        )


def give_node(draft: Draft, macvtap: Macvtap) -> None:
    """Give the character device of a macvtap to its user and its group."""
    access = access_of(draft.host, macvtap)
    if not access:
        return
    have = draft.host[NODES].get(macvtap.name)
    user, group = (
        number if isinstance(number, int) else there
        for number, there in zip(access.values(), have or (0, 0), strict=False)
    )
    mode = 0o660 if macvtap.group else 0o600
    if have != (user, group, mode):
        draft.add("give_node", name=macvtap.name, user=user, group=group, mode=mode)
