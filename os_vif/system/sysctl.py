# SPDX-License-Identifier: Apache-2.0
"""Settings that a device has only under /proc/sys/net (Documentation/networking/ip-sysctl.rst).

/proc/sys/net shows the network namespace of whoever looks, so no mount is needed for another.
"""

from __future__ import annotations

import errno
import os

from os_vif.engine.checks import interface_name

PATHS = {
    "disable_ipv6": "ipv6/conf/{}/disable_ipv6",
    "forwarding6": "ipv6/conf/{}/forwarding",
    "accept_ra": "ipv6/conf/{}/accept_ra",
    "proxy_ndp": "ipv6/conf/{}/proxy_ndp",
    "proxy_delay": "ipv4/neigh/{}/proxy_delay",
    "proxy_delay6": "ipv6/neigh/{}/proxy_delay",
}
"""Where an attribute of a device stands, below /proc/sys/net."""


_NET = "/proc/sys/net/"


def _path(device: str, attribute: str) -> str:
    return _NET + PATHS[attribute].format(interface_name(device))


def default_of(attribute: str) -> str:
    """Return the name, for sysctl(8), of what new devices have of an attribute."""
    return "net." + PATHS[attribute].format("default").replace("/", ".")


def read(device: str, attribute: str) -> int | None:
    """Return a setting of a device; None where the kernel has no such device or setting.

    :raises OSError: the kernel refused.
    """
    return _read(_path(device, attribute))


def read_at(path: str) -> int | None:
    """Return a setting below ``/proc/sys/net``, of no device; None where the kernel has it not.

    :raises OSError: the kernel refused.
    """
    return _read(_NET + path)


def _read(path: str) -> int | None:
    try:
        with open(path) as setting:
            return int(setting.read())
    except FileNotFoundError:
        return None


def write(device: str, attribute: str, value: int) -> None:
    """Set one; nothing to do for IPv6 on a kernel without it.

    :raises OSError: the kernel refused.
    """
    path = _path(device, attribute)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if "/ipv6/" in path and not os.path.exists("/proc/sys/net/ipv6"):
            return
        raise OSError(errno.ENODEV, f"{path}: there is no such setting") from None
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    try:
        os.write(descriptor, b"%d\n" % value)
    except FileNotFoundError:
        raise OSError(errno.ENODEV, f"{path}: the device went away") from None
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
