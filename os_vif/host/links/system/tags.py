# SPDX-License-Identifier: Apache-2.0
"""Alternative names by which a VIF's devices are found, whatever they are called by then.

Sources: linux/if_link.h (IFLA_PROP_LIST), linux/rtnetlink.h (RTM_NEWLINKPROP), since Linux 5.5; on
an older kernel devices have none, and are found by the names of the description alone.
"""

from __future__ import annotations

import errno
import itertools
from typing import cast

from os_vif.host.links.questions import Link
from os_vif.host.links.questions.tags import TAG_PREFIX, id_of, is_tagged, tag
from os_vif.host.links.system.link_message import (
    IFINFO,
    IFLA_ALT_IFNAME,
    IFLA_PROP_LIST,
    LOOKUP_TAIL,
    NO_INDEX,
    RTM_DELLINKPROP,
    RTM_NEWLINKPROP,
    by_name,
    parse,
)
from os_vif.system import netlink
from os_vif.system.netlink import Message, NetlinkError

_UNKNOWN = (errno.EOPNOTSUPP, errno.EINVAL)
"""What a kernel says that knows no alternative names."""

_ATTEMPTS = 8

Found = tuple[dict[str, Link | None], dict[str, tuple[str, ...]]]
"""Devices by name, None where there is none; and by VIFs' ids, the names of those tagged for it."""

_AT_ONCE = 3
"""So many of a VIF's tags are asked for along with names: no VIF of ours has more devices."""


def look_up(asked: list[str], owners: list[str]) -> Found:
    """Return the devices of these names, and those that are found by the ids of VIFs.

    ``master`` and ``link`` are indices still.
    """
    messages = [asking(name) for name in asked]
    messages += [_asking_tag(it, number + 1) for it in owners for number in range(_AT_ONCE)]
    answers = netlink.request(messages)
    found: dict[str, Link | None] = {}
    for name, answer in zip(asked, answers, strict=False):
        found[name] = link = None if _is_none(answer) else parse(cast("bytes", answer))
        if link is not None:
            # It may have been asked for by an alternative name (IFLA_ALT_IFNAME).
            link.name = name
    tagged: dict[str, tuple[str, ...]] = {}
    if owners:
        known = {link.index: link for link in found.values() if link is not None}
        for at, owner in enumerate(owners):
            start = len(asked) + at * _AT_ONCE
            by_tag = answers[start : start + _AT_ONCE]
            if not _knows_no_names(by_tag[0]):
                mine = _tagged(owner, by_tag, known)
                found.update({link.name: link for link in mine})
                tagged[owner] = tuple(link.name for link in mine)
    return found, tagged


def _tagged(vif_id: str, answers: list[bytes | NetlinkError], known: dict[int, Link]) -> list[Link]:
    """Return the devices of a VIF.

    :param answers: to the questions for its first tags
    :param known: devices that were seen, by index
    """
    mine: list[Link] = []
    number = len(answers)
    while True:
        mine += [_once(cast("bytes", answer), known) for answer in answers if not _is_none(answer)]
        if _is_none(answers[-1]):
            return mine
        number += 1  # there may be others beyond the last
        answers = netlink.request([_asking_tag(vif_id, number)])


def _once(answer: bytes, known: dict[int, Link]) -> Link:
    """Return the device that an answer shows, read once however often it is shown."""
    index = IFINFO.unpack_from(answer)[2]
    if index not in known:
        known[index] = parse(answer)
    return known[index]


def _is_none(answer: bytes | NetlinkError) -> bool:
    """Tell whether there is no such device.

    :raises NetlinkError: the kernel refused to tell.
    """
    if isinstance(answer, NetlinkError) and answer.errno != errno.ENODEV:
        raise answer
    return isinstance(answer, NetlinkError)


def _knows_no_names(answer: bytes | NetlinkError) -> bool:
    # Before Linux 5.5 the attribute is unknown, and a request without a name no request.
    return isinstance(answer, NetlinkError) and answer.errno in (errno.EINVAL, errno.EOPNOTSUPP)


# --- giving and taking them -----------------------------------------------------------------------


def first(name: str, alias: str | None) -> list[Message]:
    """Return what tags a device that gets this alias, to be sent with it; it may be refused.

    :param alias: None for one that keeps its own
    """
    vif_id = id_of(alias)
    return [_changing(RTM_NEWLINKPROP, name, tag(vif_id, 1))] if vif_id else []


def settle(link: Link, answer: bytes | NetlinkError = b"") -> None:
    """See that a device has the tag that goes with its alias, and none that does not.

    :param link: as it is now
    :param answer: what the kernel said to its :func:`first`
    :raises NetlinkError: the kernel refused.
    """
    vif_id = id_of(link.alias)
    for name in link.altnames:
        if name.startswith(TAG_PREFIX) and not name.startswith(f"{TAG_PREFIX}{vif_id},"):
            netlink.ask(_changing(RTM_DELLINKPROP, link.name, name))
    if not vif_id or is_tagged(link, vif_id):
        return
    if isinstance(answer, NetlinkError) and answer.errno in _UNKNOWN:
        return
    for _attempt in range(_ATTEMPTS):
        try:
            netlink.ask(_changing(RTM_NEWLINKPROP, link.name, _free(vif_id)))
        except NetlinkError as error:
            if error.errno in _UNKNOWN:
                return
            if error.errno != errno.EEXIST:
                raise
        else:
            return
    raise NetlinkError(errno.ESTALE, "each of its alternative names was taken meanwhile")


def asking(name: str) -> Message:
    """Return the request for the device of this name."""
    return Message(netlink.RTM_GETLINK, 0, by_name(name) + LOOKUP_TAIL)


def _asking_tag(vif_id: str, number: int) -> Message:
    name = netlink.attribute_text(IFLA_ALT_IFNAME, tag(vif_id, number))
    return Message(netlink.RTM_GETLINK, 0, NO_INDEX + name + LOOKUP_TAIL)


def _free(vif_id: str) -> str:
    """Return the first tag of a VIF that no device has."""
    for number in itertools.count(1):
        [answer] = netlink.request([_asking_tag(vif_id, number)])
        if isinstance(answer, NetlinkError):
            break
    return tag(vif_id, number)


def _changing(kind: int, device: str, name: str) -> Message:
    flags = netlink.NLM_F_ACK
    if kind == RTM_NEWLINKPROP:
        flags |= netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
    names = netlink.nested(IFLA_PROP_LIST, netlink.attribute_text(IFLA_ALT_IFNAME, name))
    return Message(kind, flags, by_name(device) + names)
