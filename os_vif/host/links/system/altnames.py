# SPDX-License-Identifier: Apache-2.0
"""Alternative names of network devices, which carry the marks of what has no alias of its own.

Sources: ip-link(8) (property), linux/if_link.h (IFLA_PROP_LIST), linux/rtnetlink.h
(RTM_NEWLINKPROP), all since Linux 5.5.  Looking at a device shows them too (link_message.py).
"""

from __future__ import annotations

import errno

from os_vif.host.links.system import devices as links
from os_vif.host.links.system.link_message import (
    IFLA_ALT_IFNAME,
    IFLA_PROP_LIST,
    RTM_DELLINKPROP,
    RTM_NEWLINKPROP,
    by_name,
)
from os_vif.system import netlink
from os_vif.system.netlink import Message, NetlinkError


def add(device: str, mark: str, use: str = "by which PCI functions are marked") -> bool:
    """Give a device a mark among its names; tell whether it had it not yet.

    :param use: what the mark is for, in words
    :raises OSError: the kernel refused; another device has the name (EEXIST); it is older than
        5.5 (EOPNOTSUPP).
    """
    flags = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
    try:
        _ask(RTM_NEWLINKPROP, flags, device, mark)
    except NetlinkError as error:
        if error.errno == errno.EEXIST:
            # No two devices of a namespace have one name; this may be another one's.
            link = links.look_up([device])[device]
            if link is not None and mark in link.altnames:
                return False
            raise NetlinkError(errno.EEXIST, f"another device than {device} has it") from error
        if error.errno == errno.EOPNOTSUPP:
            raise NetlinkError(
                error.errno,
                f"this kernel knows no alternative names of devices, {use}; that takes Linux 5.5: "
                f"{error.strerror}",
            ) from error
        raise
    return True


def remove(device: str, mark: str) -> bool:
    """Take a mark off a device; tell whether it was there.

    :raises OSError: the kernel refused.
    """
    try:
        _ask(RTM_DELLINKPROP, 0, device, mark)
    except NetlinkError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return False
        raise
    return True


def _ask(kind: int, flags: int, device: str, mark: str) -> None:
    names = netlink.nested(IFLA_PROP_LIST, netlink.attribute_text(IFLA_ALT_IFNAME, mark))
    netlink.ask(Message(kind, flags | netlink.NLM_F_ACK, by_name(device) + names))
