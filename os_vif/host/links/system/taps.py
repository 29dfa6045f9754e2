# SPDX-License-Identifier: Apache-2.0
"""Taps, which are made over /dev/net/tun and set up over rtnetlink.

Sources: linux/if_tun.h, Documentation/networking/tuntap.rst.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Mapping
from typing import Any

from os_vif.host.links.questions import Link
from os_vif.host.links.system import devices as links

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_IFF_TAP = 0x0002
_IFF_MULTI_QUEUE = 0x0100
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_IFF_TUN_EXCL = 0x8000


def create(name: str, attributes: Mapping[str, Any]) -> Link:
    """Make a tap, with its mark, and return how it looks then; or leave nothing behind.

    :raises OSError: the kernel refused, or has no taps; ``strerror`` says which part.
    """
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_TUN_EXCL
    if attributes.get("multi_queue"):
        flags |= _IFF_MULTI_QUEUE
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(
            error.errno, f"/dev/net/tun, which the module tun provides: {error.strerror}"
        ) from error
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("=16sH22x", name.encode(), flags))
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
            links.delete([(name, 0)])
            raise
        link.attributes["up"] = True
    return link
