# SPDX-License-Identifier: Apache-2.0
"""Settings that a device has only under /proc/sys/net (Documentation/networking/ip-sysctl.rst).

/proc/sys/net shows the network namespace of whoever looks, so no mount is needed for another.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable

from os_vif.engine.checks import interface_name

PATHS = {
    "disable_ipv6": "ipv6/conf/{}/disable_ipv6",
    "forwarding6": "ipv6/conf/{}/forwarding",
    "accept_ra": "ipv6/conf/{}/accept_ra",
    "proxy_ndp": "ipv6/conf/{}/proxy_ndp",
    "proxy_delay": "ipv4/neigh/{}/proxy_delay",
    "proxy_delay6": "ipv6/neigh/{}/proxy_delay",
}
"""Where an attribute of a device stands, below /proc/sys/net; others are settings of IPv6."""

_ANEW = "default"
"""In the place of a device: what one that is made now begins with."""

_NET = "/proc/sys/net/"


def _path(device: str, attribute: str) -> str:
    path = PATHS.get(attribute, f"ipv6/conf/{{}}/{attribute}")
    return _NET + path.format(device if device == _ANEW else interface_name(device))


def default_of(attribute: str) -> str:
    """Return the name, for sysctl(8), of what new devices have of an attribute."""
    return "net." + PATHS[attribute].format(_ANEW).replace("/", ".")


def _open(device: str, attribute: str, flags: int) -> int:
    path = _path(device, attribute)
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        # It may be called by an alternative name, which the kernel has no folder for.
        named = _name_of(device)
        if named == device:
            raise
        return os.open(_path(named, attribute), flags | os.O_CLOEXEC)


def _name_of(device: str) -> str:
    try:
        return socket.if_indextoname(socket.if_nametoindex(device))
    except OSError:
        return device


def _text(descriptor: int) -> str:
    with open(descriptor) as setting:
        return setting.read()


def read(device: str, attribute: str) -> int | None:
    """Return a setting of a device; None where the kernel has no such device or setting.

    :raises OSError: the kernel refused.
    """
    return _number(lambda: _text(_open(device, attribute, os.O_RDONLY)))


def read_at(path: str) -> int | None:
    """Return a setting below ``/proc/sys/net``, of no device; None where the kernel has it not.

    :raises OSError: the kernel refused.
    """
    return _number(lambda: _text(os.open(_NET + path, os.O_RDONLY | os.O_CLOEXEC)))


def _number(read_text: Callable[[], str]) -> int | None:
    try:
        return int(read_text())
    except FileNotFoundError:
        return None


def write_at(path: str, value: int) -> None:
    """Set a setting below ``/proc/sys/net``.

    :raises OSError: the kernel refused; ENODEV: it has no such device, or no such setting.
    """
    try:
        descriptor = os.open(_NET + path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise OSError(errno.ENODEV, f"{_NET}{path}: there is no such setting") from None
    except OSError as error:
        raise OSError(error.errno, f"{_NET}{path}: {error.strerror}") from error
    _write(descriptor, _NET + path, value)


def read_secret(device: str) -> str:
    """Return what a device's stable addresses are derived from (RFC 7217); '' for nothing.

    :raises OSError: the kernel refused, as it does those without privilege.
    """
    try:
        return _text(_open(device, "stable_secret", os.O_RDONLY)).strip()
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOENT):
            return ""
        raise


def write(device: str, attribute: str, value: int | str) -> None:
    """Set one; nothing to do for IPv6 on a kernel without it.

    :raises OSError: the kernel refused.
    """
    path = _path(device, attribute)
    try:
        descriptor = _open(device, attribute, os.O_WRONLY)
    except FileNotFoundError:
        if "/ipv6/" in path and not os.path.exists("/proc/sys/net/ipv6"):
            return
        raise OSError(errno.ENODEV, f"{path}: there is no such setting") from None
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    _write(descriptor, path, value)


def _write(descriptor: int, path: str, value: int | str) -> None:
    try:
        os.write(descriptor, f"{value}\n".encode())
    except FileNotFoundError:
        raise OSError(errno.ENODEV, f"{path}: the device went away") from None
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
