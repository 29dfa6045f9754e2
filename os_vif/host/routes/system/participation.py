# SPDX-License-Identifier: Apache-2.0
"""How a host takes part in IPv6 by a device: the settings, and its part of addresses (the token).

Sources: Documentation/networking/ip-sysctl.rst, ip-token(8), linux/if_link.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Mapping

from os_vif.host.routes.questions import ANEW, HOST_PART, HOW_SETTINGS, STABLE_PRIVACY
from os_vif.system import netlink, sysctl
from os_vif.system.netlink import Message

_IFINFO = struct.Struct("=BxHiII")
_IFLA_LINKINFO, _IFLA_INFO_KIND = 18, 1
_IFLA_AF_SPEC, _IFLA_INET6_TOKEN = 26, 7


def of_device(device: str) -> dict[str, int | str]:
    """Return the settings that this kernel has, by name; none where it has no IPv6, or no device.

    :raises OSError: the kernel refused.
    """
    found: dict[str, int | str] = {
        name: value
        for name in sorted(HOW_SETTINGS)
        if (value := sysctl.read(device, name)) is not None
    }
    if found and device != ANEW:
        found[HOST_PART] = _host_part(device)
    return found


def _shown(device: str) -> dict[int, bytes]:
    """Return what the kernel shows of a device; nothing of one that is not there."""
    try:
        index = socket.if_nametoindex(device)
        body = netlink.ask(Message(netlink.RTM_GETLINK, 0, _IFINFO.pack(0, 0, index, 0, 0)))
    except OSError:
        return {}
    return dict(netlink.attributes(body, _IFINFO.size))


def is_bridge(device: str) -> bool:
    """Tell whether there is a Linux bridge of this name."""
    info = dict(netlink.attributes(_shown(device).get(_IFLA_LINKINFO, b"")))
    return info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0") == b"bridge"


def _host_part(device: str) -> str:
    families = _shown(device).get(_IFLA_AF_SPEC, b"")
    ipv6 = dict(netlink.attributes(families)).get(socket.AF_INET6, b"")
    token = dict(netlink.attributes(ipv6)).get(_IFLA_INET6_TOKEN, b"\0" * 16)
    return str(ipaddress.IPv6Address(token))


def set_on(device: str, settings: Mapping[str, int | str], as_on: str) -> None:
    """Set them; the secret of stable addresses, which nobody is told, is copied from ``as_on``.

    :param as_on: the device they are those of; '' for none
    :raises OSError: the kernel refused.
    """
    derives = bool(as_on) and sysctl.read(as_on, "addr_gen_mode") == STABLE_PRIVACY
    if derives and (secret := sysctl.read_secret(as_on)):
        # First, as the kernel takes the mode only where there is one.
        sysctl.write(device, "stable_secret", secret)
    host_part = settings.get(HOST_PART)
    # The kernel takes one, and takes it back, where router advertisements are listened to.
    if host_part == "::":
        _set_host_part(device, host_part)
    for name, value in settings.items():
        if name != HOST_PART:
            sysctl.write(device, name, value)
    if host_part not in (None, "::"):
        _set_host_part(device, str(host_part))


def _set_host_part(device: str, text: str) -> None:
    value = netlink.attribute(_IFLA_INET6_TOKEN, ipaddress.IPv6Address(text).packed)
    body = _IFINFO.pack(0, 0, socket.if_nametoindex(device), 0, 0) + netlink.nested(
        _IFLA_AF_SPEC, netlink.nested(socket.AF_INET6, value)
    )
    netlink.ask(Message(netlink.RTM_SETLINK, netlink.NLM_F_ACK, body))
