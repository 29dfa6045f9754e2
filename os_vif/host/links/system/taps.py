# SPDX-License-Identifier: Apache-2.0
"""Taps, which are made over /dev/net/tun and set up over rtnetlink.

Sources: linux/if_tun.h, Documentation/networking/tuntap.rst.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Mapping
from typing import Any

from os_vif.host.links.questions import Link
from os_vif.host.links.system import deleting
from os_vif.host.links.system import devices as links
from os_vif.host.links.system.link_message import IFF_MULTI_QUEUE, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_TUNSETOWNER = 0x400454CC
_TUNSETGROUP = 0x400454CE
_TUNGETIFF = 0x800454D2
_IFF_PERSIST = 0x0800
_IFF_TUN_EXCL = 0x8000

_ACCESS = (("owner", _TUNSETOWNER), ("owner_group", _TUNSETGROUP))


def create(name: str, attributes: Mapping[str, Any]) -> Link:
    """Make a tap, with its mark, and return how it looks then; or leave nothing behind.

    :raises OSError: the kernel refused, or has no taps; ``strerror`` says which part.
    """
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | _IFF_TUN_EXCL
    if attributes.get("multi_queue"):
        flags |= IFF_MULTI_QUEUE
    descriptor = _open()
    try:
        _attach(descriptor, name, flags)
        _give(descriptor, attributes)
        # Until it is persistent the device goes with this descriptor: a failure or a kill leaves
        # nothing, or a device with its mark.
        early = {key: attributes[key] for key in attributes if key not in ("multi_queue", "up")}
        link = links.change(name, early)
        fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
    finally:
        os.close(descriptor)
    # Only now: up and open it has a carrier, and losing that again costs the bridge some time.
    # It is not looked at once more, for the kernel would first settle the carrier's loss.
    if attributes.get("up"):
        try:
            links.bring(name, up=True)
        except BaseException:
            deleting.delete([(name, 0)])
            raise
        link.attributes["up"] = True
    return link


def change(name: str, attributes: Mapping[str, Any]) -> Link:
    """Set attributes of a tap of which whose it is is one, and return how it looks then.

    For that it is opened, as it was made; a multi-queue tap that is in use has one queue more for
    that moment.

    :raises OSError: the kernel refused; EBUSY: a program has opened it meanwhile.
    """
    link = links.change(name, attributes)
    descriptor = _open()
    try:
        _attach(descriptor, name, links.flags_of_tap(name))
        (flags,) = struct.unpack_from("=H", fcntl.ioctl(descriptor, _TUNGETIFF, bytes(40)), 16)
        if not flags & _IFF_PERSIST:  # made by opening it, and it goes with us
            raise OSError(errno.ENODEV, f"{name} went away")
        _give(descriptor, attributes)
    finally:
        os.close(descriptor)
    link.attributes.update({key: attributes[key] for key, _ in _ACCESS if key in attributes})
    return link


def _open() -> int:
    try:
        return os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(
            error.errno, f"/dev/net/tun, which the module tun provides: {error.strerror}"
        ) from error


def _attach(descriptor: int, name: str, flags: int) -> None:
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("=16sH22x", name.encode(), flags))


def _give(descriptor: int, attributes: Mapping[str, Any]) -> None:
    for key, request in _ACCESS:
        # The kernel takes neither away again; None is for none.
        if attributes.get(key) is not None:
            fcntl.ioctl(descriptor, request, attributes[key])
